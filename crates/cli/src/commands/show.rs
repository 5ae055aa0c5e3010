//! `mdevkit show`: what a domain file asks for, without looking at any host.

use super::cell;
use crate::cli::Context;
use crate::document::Document;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::{Alias, Domain, HostdevKind, Policy, Request, Uuid, wants};
use serde::Serialize;

/// Show what a domain's XML asks for, and whether it is consistent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the file only; `mdevkit plan` looks at the host as well. Exit status 1: the domain
would not start as it is written, and stderr says why.

Examples:
  mdevkit show vm.xml
  virsh dumpxml vm | mdevkit show --json -")]
pub(crate) struct Args {
    /// The domain's XML; `-` is stdin
    #[arg(value_name = "FILE", allow_hyphen_values = true)]
    file: String,
}

/// The answer of `show --json`.
#[derive(Serialize)]
struct Answer<'a> {
    /// The file, `stdin` for `-`.
    file: &'a str,
    domain_name: &'a str,
    /// Null when the file has none.
    domain_uuid: Option<Uuid>,
    /// The domain that the requests were injected for; null when that is not known.
    injected_for: Option<Uuid>,
    requests: Vec<Row<'a>>,
    /// What is odd and stops nothing.
    warnings: Vec<String>,
    /// Why the domain would not start; null when nothing in the file stops it.
    problem: Option<Problem>,
}

/// One request; what it does not say is null.
#[derive(Serialize)]
struct Row<'a> {
    slot: Option<u8>,
    r#type: &'a str,
    /// The device's UUID, from its hostdev, else from the request.
    uuid: Option<Uuid>,
    /// Whether its hostdev is there.
    hostdev: bool,
    /// The hostdev's model.
    model: Option<&'static str>,
    policy: Option<&'static str>,
    parent: Option<&'a str>,
    params: Option<String>,
}

/// What stops the domain from starting.
#[derive(Serialize)]
struct Problem {
    code: &'static str,
    message: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let document = Document::read(&self.file)?;
        let domain = domain::read(&document)?;
        let set = domain.requests.as_ref();
        let rows: Vec<Row<'_>> = set
            .iter()
            .flat_map(|set| &set.requests)
            .map(|request| row(request, &domain))
            .collect();
        // Which policy is the host's default makes no difference to whether the file is consistent.
        let wanted = wants(&domain, Policy::default());
        if context.out.json {
            context.out.json(&Answer {
                file: &document.name,
                domain_name: &domain.name,
                domain_uuid: domain.uuid,
                injected_for: set.and_then(|set| set.injected_for).flatten(),
                requests: rows,
                warnings: wanted
                    .iter()
                    .flat_map(|wanted| &wanted.warnings)
                    .map(ToString::to_string)
                    .collect(),
                problem: wanted.as_ref().err().map(|error| Problem {
                    code: error.code().as_str(),
                    message: error.to_string(),
                }),
            })?;
        } else {
            let head = ["SLOT", "TYPE", "DEVICE", "HOSTDEV", "POLICY", "PARENT", "PARAMS"];
            let none = format!("{}: asks for nothing", document.name);
            context.out.table(head, rows.iter().map(person).collect(), &none)?;
        }
        match wanted {
            Ok(wanted) => {
                for warning in &wanted.warnings {
                    note(format!("{}: warning: {warning}", document.name));
                }
                Ok(Exit::Done)
            }
            Err(error) => Err(Failure::from(&error).within(&document.name)),
        }
    }
}

fn row<'a>(request: &'a Request, domain: &Domain) -> Row<'a> {
    let alias = request.slot.map(Alias);
    let hostdev = domain.hostdevs.iter().find(|hostdev| match alias {
        Some(alias) => hostdev.ours() == Some(alias),
        None => request.uuid.is_some() && hostdev.mdev() == request.uuid,
    });
    let model = match hostdev.map(|hostdev| &hostdev.kind) {
        Some(HostdevKind::Mdev { model, .. }) => model.map(|model| model.as_str()),
        _ => None,
    };
    Row {
        slot: request.slot.map(|slot| slot.number()),
        r#type: request.spec.as_str(),
        uuid: hostdev.and_then(|hostdev| hostdev.mdev()).or(request.uuid),
        hostdev: hostdev.is_some(),
        model,
        policy: request.policy.map(|policy| policy.as_str()),
        parent: request.parent.as_ref().map(|parent| parent.as_str()),
        params: request.params.as_ref().map(ToString::to_string),
    }
}

fn person(row: &Row<'_>) -> [String; 7] {
    [
        cell(row.slot),
        row.r#type.to_owned(),
        cell(row.uuid),
        if row.hostdev {
            cell(row.model)
        } else {
            "missing".to_owned()
        },
        cell(row.policy),
        cell(row.parent),
        cell(row.params.as_deref()),
    ]
}
