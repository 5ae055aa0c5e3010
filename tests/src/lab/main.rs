//! `lab`: boots a real kernel with real mediated devices and a real libvirtd, and runs the scenarios there.
//!
//! ```text
//!   lab run ── build.sh: kernel, initrd, two root images (kept until the recipe changes)
//!      │
//!      ├─ libvirt 11.3 ── QEMU ── /share/lab-guest: scenario, scenario, ... ── ok | FAILED, line by line
//!      └─ libvirt 9.0  ── QEMU ── ...                                         (both at once)
//! ```
//!
//! Nothing of this machine is touched but the cache folder: the guest's disk is read-only below an overlay in its
//! memory, and all that it shares with this machine is one folder made for the run.

mod boot;
mod run;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// The end-to-end lab: a real kernel with the sample mdev drivers and a real libvirtd, under emulation.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build kernel, initrd and root images into the cache (MDEVKIT_LAB_DIR, else ~/.cache/mdevkit-lab); needs root
    Build,
    /// Boot the lab and run scenarios; the last line says how many passed
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Which libvirt; both run at the same time
    #[arg(long, value_enum, default_value_t = Libvirt::Both)]
    libvirt: Libvirt,
    /// Which scenarios
    #[arg(long, value_enum, default_value_t = Part::Quick)]
    part: Part,
    /// Only this scenario, from either part (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the scenarios and what each one proves, and run none
    #[arg(long)]
    list: bool,
    /// Where mdevkit, mdevkit-hook and lab-guest lie [default: the folder of this program]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Keep the guests' logs here, in one folder for each boot [default: only failures are shown]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Libvirt {
    #[value(name = "11.3")]
    V11_3,
    #[value(name = "9.0")]
    V9_0,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Quick,
    All,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Build => boot::build().map(|_| true),
        Command::Run(args) => run::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("lab: {error:#}"));
            ExitCode::from(4)
        }
    }
}

/// One line for the person who watches; that nobody does is no failure.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
