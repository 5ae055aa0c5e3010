//! `mdevkit refresh`: a clone gets devices of its own.

use crate::cli::Context;
use crate::document::EditArgs;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;

/// Give a cloned domain devices of its own: new UUIDs for the ones it has from its original
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A domain whose devices are its own already is left as it is.

Example:
  virt-clone --original vm --name vm2 --auto-clone && EDITOR='mdevkit refresh' virsh edit vm2")]
pub(crate) struct Args {
    #[command(flatten)]
    edit: EditArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        domain::edit(&self.edit, &context.out, "refreshed", |xml, fresh| {
            mdevkit_xml::refresh(xml, || fresh.next())
        })
    }
}
