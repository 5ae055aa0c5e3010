//! What a file asks for, and which of its devices exist already.
//!
//! Invariant: a device that a start would refuse is refused here, too, in the same words.

use super::{No, Planned};
use crate::document::Document;
use crate::domain;
use crate::failure::Failure;
use mdevkit_core::ledger::Owner;
use mdevkit_core::{Description, Domain, Plan, Uuid, Want};
use mdevkit_host::{Config, Host, HostError, PgpuRow, ResidentRow, Survey};

/// A device of a domain that exists already.
pub(super) struct There {
    pub(super) slot: u8,
    pub(super) uuid: Uuid,
    pub(super) type_id: String,
    pub(super) pgpu: String,
    pub(super) parent: String,
}

/// What becomes of a device that exists, when its domain starts.
enum Met {
    /// It is used as it is.
    There(There),
    /// It is of another type than is asked for now, and made anew.
    Replaced,
    /// The start is refused.
    Refused(HostError),
}

/// Reads one file. What is wrong with it is an answer, which hides none about the others.
pub(super) fn file(file: &str, host: &Host, config: &Config, survey: Option<&Survey>) -> Planned {
    let mut planned = Planned {
        file: file.to_owned(),
        domain: Domain::default(),
        wants: Vec::new(),
        there: Vec::new(),
        warnings: Vec::new(),
        answer: Ok(Plan { placements: Vec::new() }),
    };
    let wanted = Document::read(file).and_then(|document| {
        planned.file.clone_from(&document.name);
        planned.domain = domain::read(&document)?;
        let wanted = host.wants(&planned.domain, config);
        wanted.map_err(|error| Failure::from(error).within(&document.name))
    });
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(failure) => {
            planned.answer = Err(No::from(failure));
            return planned;
        }
    };
    planned.warnings = wanted.warnings.iter().map(ToString::to_string).collect();
    for want in wanted.wants {
        match survey.and_then(|survey| meet(&want, planned.domain.uuid, survey)) {
            None => planned.wants.push(want),
            Some(Met::There(there)) => planned.there.push(there),
            Some(Met::Replaced) => {
                planned.warnings.push(format!(
                    "slot {}: device {} exists and is not {}: a start makes it anew",
                    want.slot, want.uuid, want.what
                ));
                planned.wants.push(want);
            }
            Some(Met::Refused(error)) => {
                planned.answer = Err(No::from(Failure::from(error).within(&planned.file)));
            }
        }
    }
    planned
}

/// The want's device, where it exists.
fn meet(want: &Want, domain: Option<Uuid>, survey: &Survey) -> Option<Met> {
    let found = survey.gpus.iter().find_map(|gpu| {
        let device = gpu.residents.iter().find(|device| device.uuid == want.uuid)?;
        Some((gpu, device))
    });
    let (gpu, device) = found?;
    let type_id = device.type_id.as_ref()?;
    // One that a person made is used as a foreign one is.
    let owner = device.owner.as_ref().filter(|owner| **owner != Owner::Manual);
    let own = owner.map(|owner| owner.domain().is_some() && owner.domain() == domain);
    Some(match (own, is_wanted(want, gpu, device, survey)) {
        (Some(false), _) => Met::Refused(HostError::Owned {
            uuid: want.uuid,
            by: device.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
        (None, false) => Met::Refused(HostError::ForeignType {
            uuid: want.uuid,
            found: type_id.clone(),
            what: want.what.clone(),
        }),
        (Some(true), false) => Met::Replaced,
        (Some(true) | None, true) => Met::There(There {
            slot: want.slot.number(),
            uuid: want.uuid,
            type_id: type_id.to_string(),
            pgpu: gpu.name.to_string(),
            parent: device.parent.to_string(),
        }),
    })
}

/// Whether a device that exists is what is asked for.
fn is_wanted(want: &Want, gpu: &PgpuRow, device: &ResidentRow, survey: &Survey) -> bool {
    let Some(id) = &device.type_id else { return false };
    let name = gpu.types.iter().find(|ty| ty.id == *id).and_then(|ty| ty.name.as_ref());
    let offer = survey
        .inventory
        .parent(&device.parent)
        .and_then(|parent| parent.get(id));
    let text = offer.and_then(|offer| offer.description.get());
    let description = text.map(|text| Description::read(text)).unwrap_or_default();
    want.what.means(id, name, &description)
}
