//! `mdevkit plan`: where a domain's devices would go now, or why nowhere.

use crate::cli::Context;
use crate::document::Document;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::{Domain, Plan, Refusal, Uuid, wants};
use mdevkit_host::Decision;
use serde::Serialize;

/// Show where a domain's devices would go if it started now, or why nowhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each file is planned against the host as it is now; nothing is created or reserved. Exit status 1 when one of them is
refused.

Examples:
  mdevkit plan vm.xml
  virsh dumpxml vm | mdevkit plan -
  mdevkit plan /etc/libvirt/qemu/*.xml")]
pub(crate) struct Args {
    /// Domain XML files; `-` is stdin
    #[arg(required = true, value_name = "FILE", allow_hyphen_values = true)]
    files: Vec<String>,
}

/// One element of `plan --json`: one for each file.
#[derive(Serialize)]
struct Row<'a> {
    /// The file, `stdin` for `-`.
    file: &'a str,
    /// The domain's name.
    domain_name: &'a str,
    /// The domain's UUID; null when the file has none.
    domain_uuid: Option<Uuid>,
    /// Where each device goes; empty when refused, or when nothing is asked for.
    devices: Vec<Device>,
    /// What is odd and stops nothing.
    warnings: Vec<String>,
    /// Why not; null when there is a plan.
    refusal: Option<No>,
}

/// One device of a plan.
#[derive(Serialize)]
struct Device {
    slot: u8,
    uuid: Uuid,
    r#type: String,
    parent: String,
}

/// A refusal.
#[derive(Serialize)]
struct No {
    /// The stable code, `E-FULL` and so on.
    code: &'static str,
    /// One line.
    message: String,
    /// The request that has no place.
    slot: u8,
    /// One for each parent.
    reasons: Vec<Because>,
}

/// Why one parent is not the place.
#[derive(Serialize)]
struct Because {
    /// Null when the reason is about the type's name.
    parent: Option<String>,
    reason: String,
}

/// What came of one file.
struct Planned {
    file: String,
    domain: Domain,
    warnings: Vec<String>,
    answer: Result<Plan, Box<Refusal>>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let planned = self
            .files
            .iter()
            .map(|file| plan(file, context))
            .collect::<Result<Vec<_>, _>>()?;
        if context.out.json {
            context.out.json(&planned.iter().map(json).collect::<Vec<_>>())?;
        } else {
            people(&planned, context)?;
        }
        let refused = planned.iter().any(|one| one.answer.is_err());
        Ok(if refused { Exit::Refused } else { Exit::Done })
    }
}

fn plan(file: &str, context: &Context) -> Result<Planned, Failure> {
    let document = Document::read(file)?;
    let domain = domain::read(&document)?;
    let host = context.host();
    let wanted = wants(&domain, host.config()?.policy)
        .map_err(|error| Failure::bad_input(error.code(), error.to_string()).within(&document.name))?;
    let answer = match host.plan(&wanted.wants)? {
        Decision::Plan(plan) => Ok(plan),
        Decision::Refusal(refusal) => Err(refusal),
    };
    let warnings = wanted.warnings.iter().map(ToString::to_string).collect();
    Ok(Planned {
        file: document.name,
        domain,
        warnings,
        answer,
    })
}

fn people(planned: &[Planned], context: &Context) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for one in planned {
        for warning in &one.warnings {
            note(format!("{}: warning: {warning}", one.file));
        }
        let plan = match &one.answer {
            Ok(plan) => plan,
            Err(refusal) => {
                Failure::from(refusal.as_ref()).within(&one.file).report();
                continue;
            }
        };
        if plan.placements.is_empty() {
            note(format!("{}: asks for nothing", one.file));
        }
        rows.extend(plan.placements.iter().map(|placement| {
            [
                one.file.clone(),
                one.domain.name.escape_debug().to_string(),
                placement.slot.to_string(),
                placement.uuid.to_string(),
                placement.type_id.to_string(),
                placement.parent.to_string(),
            ]
        }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    context
        .out
        .table(["FILE", "DOMAIN", "SLOT", "UUID", "TYPE", "PARENT"], rows, "")
}

fn json(one: &Planned) -> Row<'_> {
    let placements = one.answer.as_ref().map_or(&[][..], |plan| &plan.placements);
    Row {
        file: &one.file,
        domain_name: &one.domain.name,
        domain_uuid: one.domain.uuid,
        devices: placements
            .iter()
            .map(|placement| Device {
                slot: placement.slot.number(),
                uuid: placement.uuid,
                r#type: placement.type_id.to_string(),
                parent: placement.parent.to_string(),
            })
            .collect(),
        warnings: one.warnings.clone(),
        refusal: one.answer.as_ref().err().map(|refusal| No {
            code: refusal.code.as_str(),
            message: refusal.to_string(),
            slot: refusal.slot.number(),
            reasons: refusal
                .reasons
                .iter()
                .map(|reason| Because {
                    parent: reason.parent().map(ToString::to_string),
                    reason: reason.to_string(),
                })
                .collect(),
        }),
    }
}
