//! `mdevkit gpu enable`, `mdevkit gpu disable`: which types may be created on a GPU.

use super::meant;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use crate::out::{count, note};
use mdevkit_core::{ParentName, PgpuName, TypeId, TypeSpec};
use mdevkit_host::Survey;
use serde::Serialize;

/// Allow a type on a GPU, whatever the configuration says
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  mdevkit gpu enable 0000:06:00.0 V100DX-4Q")]
pub(crate) struct Enable {
    #[command(flatten)]
    pub(super) what: Switch,
}

/// Allow no more devices of a type on a GPU; those that exist stay
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  mdevkit gpu disable 0000:06:00.0 V100DX-1Q")]
pub(crate) struct Disable {
    #[command(flatten)]
    pub(super) what: Switch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The GPU's address, or its name where it is not PCI (see: mdevkit gpus)
    #[arg(value_name = "ADDRESS")]
    gpu: ParentName,
    /// The type's id, full name or short name; `passthrough` for the card as a whole
    #[arg(value_name = "TYPE")]
    spec: TypeSpec,
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The answer of `gpu enable --json` and `gpu disable --json`.
#[derive(Serialize)]
struct Answer<'a> {
    pgpu: &'a str,
    /// The type's id.
    r#type: &'a str,
    /// Whether it may be created there from now on.
    enabled: bool,
    /// Whether that is different from before.
    changed: bool,
    /// Whether nothing was written.
    dry_run: bool,
    /// How many devices of the type exist there (count).
    devices: usize,
}

impl Switch {
    pub(super) fn run(self, context: &Context, enabled: bool) -> Result<Exit, Failure> {
        let host = context.host();
        let survey = look::all(&host)?;
        let gpu = meant(&host, &survey, &self.gpu)?;
        let (type_id, was) = self.type_id(&survey, &gpu)?;
        if !self.dry_run {
            host.switch(&gpu, &type_id, enabled)?;
        }
        let rows = survey.gpus.iter().filter(|row| row.name == gpu);
        let devices = rows
            .flat_map(|row| &row.residents)
            .filter(|device| device.type_id.as_ref() == Some(&type_id))
            .count();
        let changed = was != Some(enabled);
        if context.out.json {
            context.out.json(&Answer {
                pgpu: gpu.as_str(),
                r#type: type_id.as_str(),
                enabled,
                changed,
                dry_run: self.dry_run,
                devices,
            })?;
            return Ok(Exit::Done);
        }
        let word = if enabled { "enabled" } else { "disabled" };
        let already = if changed { "" } else { " already" };
        let dry_run = if self.dry_run { " (dry run)" } else { "" };
        note(format!("{gpu}: {type_id} is {word}{already}{dry_run}"));
        if !enabled && devices > 0 {
            let stay = if devices == 1 { "stays" } else { "stay" };
            let devices = count(devices, "device");
            note(format!(
                "{gpu}: {devices} of that type {stay} until stopped (see: mdevkit devices)"
            ));
        }
        Ok(Exit::Done)
    }

    /// The type that is meant, and whether it is enabled now; none on a GPU that is away.
    fn type_id(&self, survey: &Survey, gpu: &PgpuName) -> Result<(TypeId, Option<bool>), Failure> {
        let Some(row) = survey.gpus.iter().find(|row| row.name == *gpu) else {
            let id = self.spec.as_id().ok_or_else(|| {
                let message = format!("{gpu} is not here now: name the type by its id, not {}", self.spec);
                Failure::new(mdevkit_core::Code::Type, message)
            })?;
            return Ok((id, None));
        };
        let id = look::type_of(row, &self.spec)?;
        let now = row.types.iter().find(|ty| ty.id == *id).map(|ty| ty.enabled);
        Ok((id.clone(), now))
    }
}
