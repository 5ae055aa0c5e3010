//! `lab-guest`: the program that runs inside the lab's machine.
//!
//! It sets libvirtd up, installs the hook as an operator would, and runs the scenarios that /share/scenarios names. Each
//! scenario starts from a clean host and has to leave one: no domain, no device but the sentinel, no record in the
//! ledger. One that does not is a failure, and the host is cleaned by force so that the next one starts fairly.
//!
//! `lab-guest list` prints the table of scenarios, one JSON object a line, on any machine.

mod cmd;
mod domain;
mod guest_os;
mod hook;
mod kernel;
mod lab;
mod ledger;
mod report;
mod scenarios;
mod wait;

use std::io::Write as _;
use std::process::ExitCode;

/// Why a scenario failed, in one line a person can act on.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Fails the scenario with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => {
            report::list();
            Ok(true)
        }
        ["run"] => report::run(),
        _ => Err("usage: lab-guest list | lab-guest run (in the lab only)".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("lab-guest: {error}"));
            ExitCode::from(4)
        }
    }
}

/// One line on the console.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
