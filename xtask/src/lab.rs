//! The lab is a program of its own (package mdevkit-tests); here it gets the binaries to test: as they are shipped.

use crate::{dist, sh};
use anyhow::Result;
use std::process::Command;

/// Runs `lab` with these arguments; with none, the quick part.
pub(crate) fn run(args: &[String]) -> Result<()> {
    sh::run(&mut command(args)?)
}

/// The command, ready to run.
pub(crate) fn command(args: &[String]) -> Result<Command> {
    let programs = dist::build_static(&["mdevkit", "mdevkit-hook", "mdevkit-tests"])?;
    let mut lab = sh::command(programs.join("lab"));
    if args.is_empty() {
        lab.arg("run");
    }
    lab.args(args);
    Ok(lab)
}
