//! `mdevkit gpu ...`: what an operator switches on one GPU while the host runs.

mod cordon;
mod drain;
mod switch;

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use mdevkit_core::{ParentName, PgpuName};
use mdevkit_host::{Host, Survey};

/// Switch types on and off on a GPU, cordon it, empty it
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
What is switched here outlives a reboot and wins over /etc/mdevkit/config.toml. Devices that
exist stay, whatever is switched; only new ones are concerned.

Examples:
  mdevkit gpu disable 0000:06:00.0 V100DX-1Q     no more of the small ones there
  mdevkit gpu drain --cordon 0000:06:00.0        before a repair: what has to stop, and nothing new
  mdevkit gpu uncordon 0000:06:00.0"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Enable(switch::Enable),
    Disable(switch::Disable),
    Cordon(cordon::Cordon),
    Uncordon(cordon::Uncordon),
    Drain(drain::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.what {
            What::Enable(args) => args.what.run(context, true),
            What::Disable(args) => args.what.run(context, false),
            What::Cordon(args) => args.what.run(context, true),
            What::Uncordon(args) => args.what.run(context, false),
            What::Drain(args) => args.run(context),
        }
    }
}

/// The GPU that is meant: of those that are here, by its own name or a parent's; of those that are away (being
/// repaired, say), one that was switched before.
fn meant(host: &Host, survey: &Survey, name: &ParentName) -> Result<PgpuName, Failure> {
    match look::gpu(survey, name) {
        Ok(gpu) => Ok(gpu.name.clone()),
        Err(failure) => {
            let away = PgpuName::from(name.clone());
            let known = host.settings()?.gpus.contains_key(&away);
            if known { Ok(away) } else { Err(failure) }
        }
    }
}
