//! `mdevkit types`: what the host can create.

use super::cell;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::ParentName;
use mdevkit_host::TypeRow;
use serde::Serialize;

/// Show what this host can create: every type of every parent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
AVAILABLE is the kernel's own count for this moment; types of one parent share their room. FB is
the framebuffer in MiB, MAX how many fit on an empty parent; - where the driver does not say.

Examples:
  mdevkit types
  mdevkit types --parent 0000:06:00.0
  mdevkit types --json | jq '.[] | select(.available_instances > 0) | .id'")]
pub(crate) struct Args {
    /// Only the types of this parent
    #[arg(long, value_name = "PARENT")]
    parent: Option<ParentName>,
}

/// One row of `types --json`. A number is missing (null) where the driver does not say it.
#[derive(Serialize)]
struct Row<'a> {
    /// PCI address or other name of the parent.
    parent: &'a str,
    /// The type's id.
    id: &'a str,
    /// Its full name.
    name: Option<&'a str>,
    /// The driver's description as it is, several lines perhaps.
    description: Option<&'a str>,
    /// `vfio-pci`, `vfio-ccw` or `vfio-ap`.
    device_api: Option<&'a str>,
    /// Count.
    available_instances: Option<u32>,
    /// MiB.
    framebuffer_mib: Option<u32>,
    /// Count on an empty parent.
    max_instances: Option<u32>,
    /// What could not be read, and why.
    problems: &'a [String],
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut rows = context.host().types()?;
        if let Some(parent) = &self.parent {
            rows.retain(|row| row.parent == *parent);
        }
        if context.out.json {
            context.out.json(&rows.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Done);
        }
        for problem in rows.iter().flat_map(|row| &row.problems) {
            note(format!("mdevkit: {problem}"));
        }
        let head = ["PARENT", "TYPE", "NAME", "AVAILABLE", "FB", "MAX", "API"];
        let none = match &self.parent {
            Some(parent) => format!("no types: there is no parent {parent} here (see: mdevkit types)"),
            None => "no types: this host has no parents of mediated devices; is the driver loaded?".to_owned(),
        };
        context.out.table(head, rows.iter().map(person).collect(), &none)?;
        Ok(Exit::Done)
    }
}

fn json(row: &TypeRow) -> Row<'_> {
    Row {
        parent: row.parent.as_str(),
        id: row.id.as_str(),
        name: row.name.as_ref().map(|name| name.as_str()),
        description: row.description.as_deref(),
        device_api: row.device_api.map(|api| api.as_str()),
        available_instances: row.available_instances,
        framebuffer_mib: row.read.framebuffer_mib,
        max_instances: row.read.max_instances,
        problems: &row.problems,
    }
}

fn person(row: &TypeRow) -> [String; 7] {
    [
        row.parent.to_string(),
        row.id.to_string(),
        cell(row.name.as_ref()),
        cell(row.available_instances),
        cell(row.read.framebuffer_mib),
        cell(row.read.max_instances),
        cell(row.device_api),
    ]
}
