//! The operator's command, `mdevkit`: see what a host can make, plan, edit domain files, make and remove devices by
//! hand, simulate a host.
//!
//! One file per subcommand in `commands/`: its arguments, its help, and what it does. What a program may rely on are
//! the [exit codes](Exit) and the JSON of `--json`, whose shapes stand beside the rows they are made of.
//!
//! This is a program's library; programs use `mdevkit-core`, `mdevkit-xml`, `mdevkit-sysfs` and `mdevkit-host`.
#![forbid(unsafe_code)]

mod ask;
mod cli;
mod commands;
mod document;
mod domain;
mod exit;
mod failure;
mod hint;
mod look;
mod map;
mod out;
mod random;
mod time;

pub use exit::Exit;

use clap::Parser;
use std::ffi::OsString;

/// Runs one command line and tells how it ended.
///
/// ```
/// assert_eq!(mdevkit::run(["mdevkit".into(), "--root".into(), "/nonexistent".into(), "devices".into()]), mdevkit::Exit::Usage);
/// ```
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // `--help` and `--version` come here too; a closed stdout is nobody's fault.
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let verbose = cli.verbose();
    match cli.run() {
        Ok(exit) => exit,
        Err(failure) => {
            failure.report(verbose);
            failure.exit
        }
    }
}
