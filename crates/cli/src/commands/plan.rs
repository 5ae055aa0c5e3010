//! `mdevkit plan`: where a domain's devices would go now, or why nowhere.

use crate::cli::Context;
use crate::document::Document;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::{Domain, Placement, Plan, Policy, Reason, Refusal, Uuid, wants};
use mdevkit_host::{Decision, Host};
use serde::Serialize;

/// Show where a domain's devices would go if it started now, or why nowhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each file is planned against the host as it is now; nothing is created or reserved. Exit status
1 when one of them is refused, 3 when one cannot be read.

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
    warnings: &'a [String],
    /// Why not; null when there is a plan.
    refusal: Option<&'a No>,
}

/// One device of a plan.
#[derive(Serialize)]
struct Device {
    slot: u8,
    uuid: Uuid,
    r#type: String,
    parent: String,
}

/// Why there is no plan.
#[derive(Serialize)]
struct No {
    /// The stable code, `E-FULL` and so on.
    code: &'static str,
    /// One line.
    message: String,
    /// The request that has no place; null when it is about the file as a whole.
    slot: Option<u8>,
    /// One for each parent.
    reasons: Vec<Because>,
    #[serde(skip)]
    failure: Failure,
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
    answer: Result<Plan, No>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let policy = host.config()?.policy;
        let planned = self
            .files
            .iter()
            .map(|file| plan(file, &host, policy))
            .collect::<Result<Vec<_>, _>>()?;
        if context.out.json {
            context.out.json(&planned.iter().map(json).collect::<Vec<_>>())?;
        } else {
            people(&planned, context)?;
        }
        // One bad file must not hide the answer about the others; the gravest tells how it ended.
        let exits = planned
            .iter()
            .filter_map(|one| one.answer.as_ref().err())
            .map(|no| no.failure.exit);
        Ok(exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done))
    }
}

/// Plans one file. What is wrong with the file is an answer; what is wrong with the host is an error.
fn plan(file: &str, host: &Host, policy: Policy) -> Result<Planned, Failure> {
    let mut planned = Planned {
        file: file.to_owned(),
        domain: Domain::default(),
        warnings: Vec::new(),
        answer: Ok(Plan { placements: Vec::new() }),
    };
    let wanted = Document::read(file).and_then(|document| {
        planned.file.clone_from(&document.name);
        planned.domain = domain::read(&document)?;
        wants(&planned.domain, policy).map_err(|error| Failure::from(&error).within(&document.name))
    });
    match wanted {
        Err(failure) => planned.answer = Err(No::from(failure)),
        Ok(wanted) => {
            planned.warnings = wanted.warnings.iter().map(ToString::to_string).collect();
            planned.answer = match host.plan(&wanted.wants)? {
                Decision::Plan(plan) => Ok(plan),
                Decision::Refusal(refusal) => Err(No::refused(&refusal, &planned.file)),
            };
        }
    }
    Ok(planned)
}

impl No {
    fn refused(refusal: &Refusal, file: &str) -> Self {
        let because = |reason: &Reason| Because {
            parent: reason.parent().map(ToString::to_string),
            reason: reason.to_string(),
        };
        Self {
            code: refusal.code.as_str(),
            message: refusal.to_string(),
            slot: Some(refusal.slot.number()),
            reasons: refusal.reasons.iter().map(because).collect(),
            failure: Failure::from(refusal).within(file),
        }
    }
}

impl From<Failure> for No {
    fn from(failure: Failure) -> Self {
        let (code, message) = (failure.code().as_str(), failure.message().to_owned());
        Self {
            code,
            message,
            slot: None,
            reasons: Vec::new(),
            failure,
        }
    }
}

fn people(planned: &[Planned], context: &Context) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for one in planned {
        for warning in &one.warnings {
            note(format!("{}: warning: {warning}", one.file));
        }
        let plan = match &one.answer {
            Ok(plan) => plan,
            Err(no) => {
                no.failure.report();
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
    let device = |placement: &Placement| Device {
        slot: placement.slot.number(),
        uuid: placement.uuid,
        r#type: placement.type_id.to_string(),
        parent: placement.parent.to_string(),
    };
    Row {
        file: &one.file,
        domain_name: &one.domain.name,
        domain_uuid: one.domain.uuid,
        devices: placements.iter().map(device).collect(),
        warnings: &one.warnings,
        refusal: one.answer.as_ref().err(),
    }
}
