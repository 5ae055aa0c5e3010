//! `mdevkit eject`: what `inject` put in comes out.

use crate::cli::Context;
use crate::document::EditArgs;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use mdevkit_core::Uuid;
use mdevkit_xml::Eject;

/// Take devices out of a domain's XML again, all of ours or some
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes out what `mdevkit inject` put in, and nothing else: hostdevs of others stay. A file that
nobody else rewrote in between is what it was before, byte for byte.

Examples:
  EDITOR='mdevkit eject --all' virsh edit vm
  mdevkit eject --uuid 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 vm.xml")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub(crate) struct Args {
    #[command(flatten)]
    edit: EditArgs,
    /// Everything of mdevkit's
    #[arg(long, group = "what")]
    all: bool,
    /// The device with this UUID (repeatable)
    #[arg(long = "uuid", value_name = "UUID", group = "what")]
    uuids: Vec<Uuid>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let what = if self.all { Eject::All } else { Eject::Uuids(self.uuids) };
        domain::edit(&self.edit, &context.out, "ejected", |xml, _| {
            mdevkit_xml::eject(xml, &what)
        })
    }
}
