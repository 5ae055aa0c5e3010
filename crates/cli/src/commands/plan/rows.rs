//! How a plan is shown: a table and lines for people, JSON for programs.

use super::{No, Planned};
use crate::cli::Context;
use crate::failure::Failure;
use crate::hint::Way;
use crate::out::{note, plain};
use mdevkit_core::{Placement, Reason, Uuid};
use serde::Serialize;

/// One element of `plan --json`: one for each file.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    /// The file, `stdin` for `-`.
    file: &'a str,
    /// The domain's name.
    domain_name: &'a str,
    /// The domain's UUID; null when the file has none.
    domain_uuid: Option<Uuid>,
    /// Where each device goes, or is; empty when refused, or when nothing is asked for.
    devices: Vec<Device>,
    /// What is odd and stops nothing.
    warnings: &'a [String],
    /// Why not; null when there is a plan.
    refusal: Option<Refused>,
}

/// One device of a plan.
#[derive(Serialize)]
struct Device {
    slot: u8,
    uuid: Uuid,
    r#type: String,
    parent: String,
    /// The physical GPU that the parent is, or belongs to.
    pgpu: String,
    /// Why there.
    because: String,
    /// Whether it exists already.
    exists: bool,
}

/// Why there is no plan.
#[derive(Serialize)]
struct Refused {
    /// The stable code, `E-FULL` and so on.
    code: &'static str,
    /// One line.
    message: String,
    /// The request that has no place; null when it is about the file as a whole.
    slot: Option<u8>,
    /// One for each GPU.
    reasons: Vec<Because>,
    /// What would have to stop for the device to find a place, the fewest first: one for each GPU where that helps.
    stops: Vec<Way>,
    /// Whether the domain would fit without the other files: then another arrangement may exist. Null when planned alone.
    fits_alone: Option<bool>,
    /// Whether another arrangement of the domain's devices may exist: the search was cut short.
    unproven: bool,
}

/// Why one GPU is not the place.
#[derive(Serialize)]
struct Because {
    /// The same as `pgpu`.
    parent: String,
    reason: String,
    pgpu: String,
    /// The reason as a word: `full`, `other-size`, `cordoned`...
    kind: &'static str,
}

/// For programs.
pub(super) fn json(planned: &[Planned]) -> Vec<Row<'_>> {
    planned
        .iter()
        .map(|one| Row {
            file: &one.file,
            domain_name: &one.domain.name,
            domain_uuid: one.domain.uuid,
            devices: devices(one),
            warnings: &one.warnings,
            refusal: one.answer.as_ref().err().map(refused),
        })
        .collect()
}

/// For people: the table of what fits, and a line for what does not.
pub(super) fn people(planned: &[Planned], context: &Context) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for one in planned {
        for warning in &one.warnings {
            note(format!("{}: warning: {}", one.file, plain(warning)));
        }
        if let Err(no) = &one.answer {
            no.failure.report(context.out.verbose);
            continue;
        }
        let devices = devices(one);
        if devices.is_empty() {
            note(format!("{}: asks for nothing", one.file));
        }
        for device in devices {
            context
                .out
                .detail(format!("{}: slot {}: {}", one.file, device.slot, device.because));
            rows.push([
                one.file.clone(),
                plain(&one.domain.name),
                device.slot.to_string(),
                device.uuid.to_string(),
                device.r#type,
                place(&device.parent, &device.pgpu, device.exists),
            ]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    context
        .out
        .table(["FILE", "DOMAIN", "SLOT", "UUID", "TYPE", "PARENT"], rows, "")
}

/// `0000:3b:00.4 of 0000:3b:00.0 (exists)`.
fn place(parent: &str, pgpu: &str, exists: bool) -> String {
    let exists = if exists { " (exists)" } else { "" };
    if parent == pgpu {
        format!("{parent}{exists}")
    } else {
        format!("{parent} of {pgpu}{exists}")
    }
}

/// The devices of a domain that has its places, by slot.
fn devices(one: &Planned) -> Vec<Device> {
    let Ok(plan) = &one.answer else { return Vec::new() };
    let planned = |placement: &Placement| Device {
        slot: placement.slot.number(),
        uuid: placement.uuid,
        r#type: placement.type_id.to_string(),
        parent: placement.parent.to_string(),
        pgpu: placement.pgpu.to_string(),
        because: placement.because.to_string(),
        exists: false,
    };
    let mut devices: Vec<Device> = plan.placements.iter().map(planned).collect();
    devices.extend(one.there.iter().map(|there| Device {
        slot: there.slot,
        uuid: there.uuid,
        r#type: there.type_id.clone(),
        parent: there.parent.clone(),
        pgpu: there.pgpu.clone(),
        because: "it exists already".to_owned(),
        exists: true,
    }));
    devices.sort_by_key(|device| device.slot);
    devices
}

fn refused(no: &No) -> Refused {
    let refusal = no.refusal.as_deref();
    let because = |reason: &Reason| Because {
        parent: reason.pgpu.to_string(),
        reason: reason.to_string(),
        pgpu: reason.pgpu.to_string(),
        kind: reason.why.kind(),
    };
    Refused {
        code: no.failure.code().as_str(),
        message: refusal.map_or_else(|| no.failure.message().to_owned(), ToString::to_string),
        slot: refusal.map(|refusal| refusal.slot.number()),
        reasons: refusal
            .into_iter()
            .flat_map(|refusal| &refusal.reasons)
            .map(because)
            .collect(),
        stops: no.ways.clone(),
        fits_alone: no.alone,
        unproven: refusal.is_some_and(|refusal| refusal.unproven),
    }
}
