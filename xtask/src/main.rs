//! Developer tasks: `cargo xtask demo | test | fuzz | lab | soak | bench | dist`.
//!
//! One file each. A task runs from the workspace's root, prints what it runs, and ends with exit status 0 only when
//! all of it succeeded.

mod bench;
mod dist;
mod fuzz;
mod lab;
mod sh;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Developer tasks
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job on a simulated host: needs neither a GPU nor libvirt
    Demo {
        /// Passed on to `mdevkit demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// All tests: format, lints, docs, unit and command tests, licences, fuzzing, and the quick part of the lab
    Test(test::Args),
    /// What must hold for any input: each fuzz target for half a minute, or as long as you like
    Fuzz(fuzz::Args),
    /// The lab: a real kernel with real mediated devices and a real libvirtd (`cargo xtask lab run --list`)
    Lab {
        /// Passed on to `lab`; with none: `run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The whole lab, every scenario on both libvirts
    Soak,
    /// Times, memory and opened files against an empty program, in one run
    Bench(bench::Args),
    /// Release binaries into target/dist
    Dist,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo { args } => demo(&args),
        Task::Test(args) => test::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Lab { args } => lab::run(&args),
        Task::Soak => lab::run(&[
            "run".into(),
            "--part".into(),
            "all".into(),
            "--libvirt".into(),
            "both".into(),
        ]),
        Task::Bench(args) => bench::run(&args),
        Task::Dist => dist::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::say(format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &[String]) -> anyhow::Result<()> {
    let programs = sh::build(&["mdevkit", "mdevkit-hook"], sh::Profile::Dev)?;
    sh::run(sh::command(programs.join("mdevkit")).arg("demo").args(args))
}
