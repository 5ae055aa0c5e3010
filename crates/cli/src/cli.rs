//! The command line: what is common to all subcommands, and which of them is meant.

use crate::commands as c;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Out;
use clap::{Parser, Subcommand};
use mdevkit_core::Code;
use mdevkit_host::{Host, Reaper, Root};
use std::path::PathBuf;

/// Mediated devices (mdev, vGPU) for libvirt domains: see, plan, inject, create, remove.
#[derive(Debug, Parser)]
#[command(
    name = "mdevkit",
    version,
    max_term_width = 120,
    after_help = "\
Examples:
  mdevkit types                             what this host can create
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
                                            give a domain a vGPU; it is made when the domain starts
  mdevkit plan a.xml b.xml                  do these fit together, and where?
  mdevkit capacity --totals                 how many more of each type
  mdevkit explain vm                        why it is where it is, or was refused
  mdevkit sim --board v100dx:8 /tmp/host    a host with 8 simulated GPUs (--root /tmp/host)

Exit status: 0 done, 1 refused, 2 usage, 3 bad input, 4 host error."
)]
pub(crate) struct Cli {
    /// Use the host below DIR (a simulated or captured one) instead of this machine
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    root: PathBuf,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, help_heading = "Global options")]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Types(c::types::Args),
    Gpus(c::gpus::Args),
    Groups(c::groups::Args),
    Devices(c::devices::Args),
    Capacity(c::capacity::Args),
    Map(c::map::Args),
    Plan(c::plan::Args),
    Explain(c::explain::Args),
    Inject(c::inject::Args),
    Eject(c::eject::Args),
    Refresh(c::refresh::Args),
    Show(c::show::Args),
    Create(c::create::Args),
    Remove(c::remove::Args),
    Reconcile(c::reconcile::Args),
    Gpu(c::gpu::Args),
    Config(c::config::Args),
    Sim(c::sim::Args),
    Demo(c::demo::Args),
    #[command(name = c::reap::NAME, hide = true)]
    Reap(c::reap::Args),
}

/// What every subcommand gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) root: Root,
    pub(crate) out: Out,
}

impl Context {
    /// The host at hand. Removals run in a child, because the kernel's write may block unkillably.
    pub(crate) fn host(&self) -> Host {
        let reaper = Reaper {
            program: "/proc/self/exe".into(),
            args: vec![c::reap::NAME.into()],
        };
        Host::new(self.root.clone()).with_reaper(reaper)
    }
}

impl Cli {
    /// Whether to say more on stderr; a program that reads JSON gets it all.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose || self.json
    }

    /// Does what was asked.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let root = if self.root == std::path::Path::new("/") {
            Root::system()
        } else if self.root.is_dir() {
            // The child that removes has another working directory.
            Root::at(std::path::absolute(&self.root).unwrap_or(self.root))
        } else {
            let message = format!("--root {}: there is no such directory", self.root.display());
            return Err(Failure::new(Code::Usage, message));
        };
        let context = Context {
            root,
            out: Out {
                json: self.json,
                verbose: self.verbose,
            },
        };
        match self.command {
            Command::Types(args) => args.run(&context),
            Command::Gpus(args) => args.run(&context),
            Command::Groups(args) => args.run(&context),
            Command::Capacity(args) => args.run(&context),
            Command::Map(args) => args.run(&context),
            Command::Explain(args) => args.run(&context),
            Command::Gpu(args) => args.run(&context),
            Command::Config(args) => args.run(&context),
            Command::Devices(args) => args.run(&context),
            Command::Plan(args) => args.run(&context),
            Command::Inject(args) => args.run(&context),
            Command::Eject(args) => args.run(&context),
            Command::Refresh(args) => args.run(&context),
            Command::Show(args) => args.run(&context),
            Command::Create(args) => args.run(&context),
            Command::Remove(args) => args.run(&context),
            Command::Reconcile(args) => args.run(&context),
            Command::Sim(args) => args.run(&context),
            Command::Demo(args) => args.run(&context),
            Command::Reap(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
