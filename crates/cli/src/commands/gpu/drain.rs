//! `mdevkit gpu drain`: what has to stop before a GPU is empty.

use super::{cordon, meant};
use crate::cli::Context;
use crate::commands::gpus::{Device, device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::{self, Measure};
use crate::out::{count, note, plain};
use mdevkit_core::ParentName;
use mdevkit_host::{PgpuRow, ResidentRow};
use serde::Serialize;
use std::collections::BTreeSet;

/// Say what has to stop before a GPU is empty; exit status 1 while something runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stops nothing by itself: the domains are yours. Without --cordon, new devices may come as others
go.

Examples:
  mdevkit gpu drain --cordon 0000:06:00.0
  until mdevkit gpu drain 0000:06:00.0 2>/dev/null; do sleep 60; done     wait until it is empty
  mdevkit gpu drain --json 0000:06:00.0 | jq -r '.devices[].domain_name' | sort -u")]
pub(crate) struct Args {
    /// The GPU's address, or its name where it is not PCI (see: mdevkit gpus)
    #[arg(value_name = "ADDRESS")]
    gpu: ParentName,
    /// Cordon it as well
    #[arg(long)]
    cordon: bool,
    /// With --cordon: change nothing
    #[arg(long, requires = "cordon")]
    dry_run: bool,
}

/// The answer of `gpu drain --json`.
#[derive(Serialize)]
struct Answer<'a> {
    pgpu: &'a str,
    /// Whether nothing new is made on it (with --dry-run: would be).
    cordoned: bool,
    /// Whether nothing was written.
    dry_run: bool,
    /// Whether nothing is on it any more.
    empty: bool,
    /// What is on it.
    devices: Vec<Device<'a>>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let before = look::all(&host)?;
        let gpu = meant(&host, &before, &self.gpu)?;
        let mut cordoned = before.inventory.rulebook.cordoned(&gpu);
        if self.cordon {
            let changed = cordon::set(&host, &before, &gpu, true, self.dry_run)?;
            cordoned = true;
            if changed && !context.out.json {
                let dry_run = if self.dry_run { " (dry run)" } else { "" };
                note(format!("{gpu}: cordoned{dry_run}"));
            }
        }
        // What came before the cordon is seen only after it.
        let survey = if self.cordon { look::all(&host)? } else { before };
        let capacities = look::capacities(&survey)?;
        let row = survey.gpus.iter().find(|row| row.name == gpu);
        let measure = row.map(|row| Measure::of(row, &survey, &capacities));
        let residents = row.map_or(&[][..], |row| &row.residents);
        if context.out.json {
            let devices = measure
                .iter()
                .flat_map(|it| residents.iter().map(|resident| device(resident, it)));
            context.out.json(&Answer {
                pgpu: gpu.as_str(),
                cordoned,
                dry_run: self.dry_run,
                empty: residents.is_empty(),
                devices: devices.collect(),
            })?;
        } else if let (Some(row), Some(measure)) = (row.filter(|row| !row.residents.is_empty()), &measure) {
            let head = ["UUID", "TYPE", "OWNER", "TO STOP IT"];
            let rows = row.residents.iter().map(|device| person(device, measure)).collect();
            context.out.table(head, rows, "")?;
            note(format!("{gpu}: {}", summary(row)));
        } else {
            note(format!("{gpu}: empty"));
        }
        if !cordoned && !context.out.json {
            note(format!(
                "{gpu}: not cordoned, new devices may come (mdevkit gpu cordon {gpu})"
            ));
        }
        Ok(if residents.is_empty() {
            Exit::Done
        } else {
            Exit::Refused
        })
    }
}

fn person(device: &ResidentRow, measure: &Measure) -> [String; 4] {
    let stop = match (&device.owner, look::domain(device.owner.as_ref())) {
        (_, Some((uuid, ""))) => format!("virsh shutdown {uuid}"),
        (_, Some((uuid, name))) if name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)) => {
            format!("virsh shutdown {uuid}")
        }
        (_, Some((_, name))) => format!("virsh shutdown {name}"),
        (Some(_), None) => format!("mdevkit remove {}", device.uuid),
        (None, None) => "who made it removes it".to_owned(),
    };
    [
        device.uuid.to_string(),
        plain(&measure.label(device)),
        look::owner(device.owner.as_ref()),
        stop,
    ]
}

/// `2 domains and 1 other device have to stop`.
fn summary(gpu: &PgpuRow) -> String {
    let domains: BTreeSet<_> = gpu
        .residents
        .iter()
        .filter_map(|device| look::domain(device.owner.as_ref()))
        .collect();
    let others = gpu
        .residents
        .iter()
        .filter(|device| look::domain(device.owner.as_ref()).is_none())
        .count();
    match (domains.len(), others) {
        (domains, 0) => format!("{} to stop", count(domains, "domain")),
        (0, others) => format!("{} to remove", count(others, "device")),
        (domains, others) => format!(
            "{} to stop, {} to remove",
            count(domains, "domain"),
            count(others, "other device")
        ),
    }
}
