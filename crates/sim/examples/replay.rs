//! Asks the questions of scripts below a root and prints the transcript: `replay ROOT SCRIPT...`, where ROOT is `/` of a
//! machine with the sample drivers, or a simulated host (`serve DIR mtty`), and SCRIPT is a name (`mtty`, `mdpy`,
//! `mbochs`, `across`, `recorded`) or a file. Ends with `N of M answers agree`; exit status 1 where some do not, after
//! which the differences stand on stderr.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use mdevkit_sim::replay;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("usage: replay ROOT SCRIPT...")?;
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let (mut good, mut all) = (0, 0);
    for name in args {
        let known = replay::SCRIPTS.iter().find(|(known, _)| *known == name);
        let script = match known {
            Some((_, script)) => (*script).to_owned(),
            None => std::fs::read_to_string(&name)?,
        };
        for step in replay::run(Path::new(&root), &script)? {
            writeln!(out, "{step}")?;
            all += 1;
            if step.agrees() {
                good += 1;
            } else {
                let expected = step.expected.join("\n  ");
                writeln!(
                    err,
                    "{name}:{}: {}\n  expected: {expected}\n  heard: {}",
                    step.line,
                    step.ask,
                    step.got.join("\n  ")
                )?;
            }
        }
    }
    writeln!(out, "{good} of {all} answers agree")?;
    Ok(if good == all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
