//! The lab is a program of its own (package mdevkit-tests); here it gets release binaries to test.

use crate::sh::{self, Profile};
use anyhow::Result;
use std::process::Command;

/// Runs `lab` with these arguments; with none, the quick part.
pub(crate) fn run(args: &[String]) -> Result<()> {
    sh::run(&mut command(args)?)
}

/// The command, ready to run.
pub(crate) fn command(args: &[String]) -> Result<Command> {
    let programs = sh::build(&["mdevkit", "mdevkit-hook", "mdevkit-tests"], Profile::Release)?;
    let mut lab = sh::command(programs.join("lab"));
    if args.is_empty() {
        lab.arg("run");
    }
    lab.args(args);
    Ok(lab)
}
