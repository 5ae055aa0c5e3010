//! `mdevkit __reap UUID ROOT`: the child that writes `remove`, because the write may block unkillably. Started by
//! ourselves only; says nothing, its exit status is its answer.

use crate::exit::Exit;
use crate::failure::Failure;
use mdevkit_core::Uuid;
use mdevkit_host::Root;
use std::path::PathBuf;

/// The hidden subcommand's name.
pub(crate) const NAME: &str = "__reap";

/// Remove one device and wait until it is gone
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    uuid: Uuid,
    root: PathBuf,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        mdevkit_host::reap(&Root::at(self.root), self.uuid)?;
        Ok(Exit::Done)
    }
}
