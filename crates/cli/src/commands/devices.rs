//! `mdevkit devices`: what exists, and whose it is.

use super::cell;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use mdevkit_core::Uuid;
use mdevkit_host::{DeviceRow, InUse};
use serde::Serialize;

/// Show the devices that exist, and whose they are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
OWNER is the domain that a device was made for, `mdevkit create` when a person made it with
mdevkit, and `foreign` when something else did: mdevkit never removes those. IN USE is `unknown`
when nobody was found who has it open, which is no proof that nobody has.

Examples:
  mdevkit devices
  mdevkit devices --json | jq -r '.[] | select(.owner == \"foreign\") | .uuid'")]
pub(crate) struct Args {}

/// One row of `devices --json`.
#[derive(Serialize)]
struct Row<'a> {
    /// The device.
    uuid: Uuid,
    /// The parent that made it.
    parent: &'a str,
    /// Its type's id; null while it is being created or removed.
    r#type: Option<&'a str>,
    /// Its type's full name, where there is one.
    type_name: Option<&'a str>,
    /// The domain it was made for.
    domain_uuid: Option<Uuid>,
    /// That domain's name when it was started.
    domain_name: Option<&'a str>,
    /// `mdevkit` or `foreign`.
    owner: &'static str,
    /// The ledger's word: `intent`, `created` or `releasing`; null for foreign devices.
    state: Option<String>,
    /// `yes`, `no` or `unknown`.
    in_use: &'static str,
    /// Who has it open, when that was found.
    in_use_by: Option<&'a str>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let rows = context.host().devices()?;
        if context.out.json {
            context.out.json(&rows.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Done);
        }
        let head = ["UUID", "PARENT", "TYPE", "OWNER", "STATE", "IN USE"];
        context
            .out
            .table(head, rows.iter().map(person).collect(), "no devices")?;
        Ok(Exit::Done)
    }
}

fn json(row: &DeviceRow) -> Row<'_> {
    let domain = look::domain(row.owner.as_ref());
    let (in_use, in_use_by) = in_use(row);
    Row {
        uuid: row.uuid,
        parent: row.parent.as_str(),
        r#type: row.type_id.as_ref().map(|id| id.as_str()),
        type_name: row.type_name.as_ref().map(|name| name.as_str()),
        domain_uuid: domain.map(|(uuid, _)| uuid),
        domain_name: domain.map(|(_, name)| name),
        owner: if row.owner.is_some() { "mdevkit" } else { "foreign" },
        state: row.state.map(|state| state.to_string()),
        in_use,
        in_use_by,
    }
}

fn person(row: &DeviceRow) -> [String; 6] {
    let owner = look::owner(row.owner.as_ref());
    let in_use = match in_use(row) {
        (_, Some(by)) => by.to_owned(),
        (word, None) => word.to_owned(),
    };
    let type_name = match (&row.type_id, &row.type_name) {
        (Some(id), Some(name)) => format!("{id} ({name})"),
        (id, _) => cell(id.as_ref()),
    };
    [
        row.uuid.to_string(),
        row.parent.to_string(),
        type_name,
        owner,
        cell(row.state),
        in_use,
    ]
}

fn in_use(row: &DeviceRow) -> (&'static str, Option<&str>) {
    match &row.in_use {
        InUse::Yes { by } => ("yes", Some(by)),
        InUse::No => ("no", None),
        InUse::Unknown => ("unknown", None),
    }
}
