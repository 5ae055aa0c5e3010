//! `mdevkit gpu cordon`, `mdevkit gpu uncordon`: whether anything new may be created on a GPU.

use super::meant;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use crate::out::{count, note};
use mdevkit_core::{ParentName, PgpuName};
use mdevkit_host::{Host, Survey};
use serde::Serialize;

/// Create nothing new on a GPU; devices that exist stay
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts that could go elsewhere go elsewhere; the others are refused and say that it is cordoned.

Example:
  mdevkit gpu cordon 0000:06:00.0")]
pub(crate) struct Cordon {
    #[command(flatten)]
    pub(super) what: Switch,
}

/// Use a GPU again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  mdevkit gpu uncordon 0000:06:00.0")]
pub(crate) struct Uncordon {
    #[command(flatten)]
    pub(super) what: Switch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The GPU's address, or its name where it is not PCI (see: mdevkit gpus)
    #[arg(value_name = "ADDRESS")]
    gpu: ParentName,
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The answer of `gpu cordon --json` and `gpu uncordon --json`.
#[derive(Serialize)]
struct Answer<'a> {
    pgpu: &'a str,
    /// Whether it is cordoned from now on.
    cordoned: bool,
    /// Whether that is different from before.
    changed: bool,
    /// Whether nothing was written.
    dry_run: bool,
    /// How many devices are on it (count).
    devices: usize,
}

impl Switch {
    pub(super) fn run(self, context: &Context, cordoned: bool) -> Result<Exit, Failure> {
        let host = context.host();
        let survey = look::all(&host)?;
        let gpu = meant(&host, &survey, &self.gpu)?;
        let changed = set(&host, &survey, &gpu, cordoned, self.dry_run)?;
        let row = survey.gpus.iter().find(|row| row.name == gpu);
        let devices = row.map_or(0, |row| row.residents.len());
        if context.out.json {
            context.out.json(&Answer {
                pgpu: gpu.as_str(),
                cordoned,
                changed,
                dry_run: self.dry_run,
                devices,
            })?;
            return Ok(Exit::Done);
        }
        let word = if cordoned { "cordoned" } else { "not cordoned" };
        let already = if changed { "" } else { " already" };
        let dry_run = if self.dry_run { " (dry run)" } else { "" };
        note(format!("{gpu}: {word}{already}{dry_run}"));
        if cordoned && devices > 0 {
            let devices = count(devices, "device");
            note(format!(
                "{gpu}: {devices} on it (mdevkit gpu drain {gpu} says what has to stop)"
            ));
        }
        Ok(Exit::Done)
    }
}

/// Cordons or uncordons; says whether that is different from before.
pub(super) fn set(
    host: &Host,
    survey: &Survey,
    gpu: &PgpuName,
    cordoned: bool,
    dry_run: bool,
) -> Result<bool, Failure> {
    if !dry_run {
        host.cordon(gpu, cordoned)?;
    }
    Ok(survey.inventory.rulebook.cordoned(gpu) != cordoned)
}
