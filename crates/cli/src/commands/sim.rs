//! `mdevkit sim`: a host with simulated GPUs, for trying things out and for tests.

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::Code;
use mdevkit_sim::{BoardSpec, Sim, SimError};
use nix::sys::signal::{SigSet, Signal};
use std::path::PathBuf;

/// Mount a simulated host at DIR, and stay until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints `ready` when the host is there; use it with --root DIR, the hook with MDEVKIT_ROOT=DIR.
Nothing is left behind at the end. DIR/sim/control takes faults (read it for the list),
DIR/sim/log tells what was asked of the drivers.

Examples:
  mdevkit sim --list
  mdevkit sim --board v100dx:8 --board mtty /tmp/host &
  mdevkit --root /tmp/host types
  echo 'fail-create * * 1 EIO' > /tmp/host/sim/control")]
pub(crate) struct Args {
    /// What the host has (repeatable): a board, and how many of it
    #[arg(long = "board", value_name = "NAME[:COUNT]", required_unless_present = "list")]
    boards: Vec<BoardSpec>,
    /// List the boards, and mount nothing
    #[arg(long, conflicts_with = "boards")]
    list: bool,
    /// Where; made when missing
    #[arg(required_unless_present = "list")]
    dir: Option<PathBuf>,
}

/// One row of `sim --list --json`.
#[derive(serde::Serialize)]
struct Row {
    name: String,
    description: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Some(dir) = self.dir.filter(|_| !self.list) else {
            return list(context);
        };
        let signals = Signals::hold()?;
        let sim = Sim::mount(&dir, &self.boards).map_err(failure)?;
        context.out.line("ready")?;
        note(format!("simulated host at {}; Ctrl-C ends it", sim.root().display()));
        signals.wait()?;
        sim.unmount().map_err(failure)?;
        Ok(Exit::Done)
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let boards = Sim::known_boards().into_iter();
    if context.out.json {
        let rows = boards.map(|board| Row {
            name: board.name,
            description: board.description,
        });
        context.out.json(&rows.collect::<Vec<_>>())?;
    } else {
        context.out.table(
            ["BOARD", "WHAT"],
            boards.map(|board| [board.name, board.description]).collect(),
            "",
        )?;
    }
    Ok(Exit::Done)
}

/// A simulation's error as a failure.
pub(crate) fn failure(error: SimError) -> Failure {
    match error {
        SimError::UnknownBoard { .. } | SimError::BoardCount { .. } | SimError::BoardTwice { .. } => {
            Failure::new(Code::Usage, error.to_string())
        }
        SimError::Mounted { .. } | SimError::NotEmpty { .. } => Failure::new(Code::Host, error.to_string()),
        _ => Failure::host(error.to_string()),
    }
}

/// SIGTERM, SIGINT and SIGHUP, held back in every thread that is started from now on, to be waited for.
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Call before the simulation's threads exist.
    pub(crate) fn hold() -> Result<Self, Failure> {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        signals
            .thread_block()
            .map_err(|error| Failure::host(format!("cannot block signals: {error}")))?;
        Ok(Self(signals))
    }

    /// Waits for one of them.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        self.0
            .wait()
            .map(|_| ())
            .map_err(|error| Failure::host(format!("cannot wait for signals: {error}")))
    }
}
