//! `mdevkit remove`: the end of a device made by `mdevkit create`.

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::{Code, Uuid};
use mdevkit_host::Removal;

/// Remove a device that `mdevkit create` made; never a domain's, never anybody else's
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A domain's device goes when the domain stops (or by `mdevkit reconcile` after a crash). A device
that something else made is for that to remove: `mdevctl stop`, `virsh nodedev-destroy`, or
`echo 1 > /sys/bus/mdev/devices/UUID/remove`.")]
pub(crate) struct Args {
    uuid: Uuid,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match context.host().remove(self.uuid)? {
            Removal::Removed => context.out.detail(format!("removed {}", self.uuid)),
            Removal::AlreadyGone => note(format!("{} was gone already", self.uuid)),
            Removal::Pending { why } => {
                let message = format!(
                    "device {} is not gone yet: {why}; `mdevkit reconcile` finishes it",
                    self.uuid
                );
                return Err(Failure::new(Code::Busy, message));
            }
        }
        Ok(Exit::Done)
    }
}
