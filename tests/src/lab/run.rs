//! Which boots a run is made of, what each of them is given, and the count at the end.
//!
//! A scenario that gave no result (its boot died, or was killed) counts as failed: only an `ok` is a pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::boot::{self, Boot, Images};
use crate::{Libvirt, Part, RunArgs, say};

/// The installer and what it installs beside the programs.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hooks");
const INIT: &str = include_str!("../../lab/init.sh");
/// What a boot may take beside its scenarios (10 s on an idle machine).
const LIMIT_BASE: Duration = Duration::from_secs(120);

/// One line of `lab-guest list`.
#[derive(Debug, Clone, Deserialize)]
struct Scenario {
    name: String,
    proves: String,
    quick: bool,
    memory_mib: u32,
    limit_s: u32,
}

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
}

/// Runs what `args` asks for; true when every scenario passed.
pub(crate) fn run(args: &RunArgs) -> Result<bool> {
    let begin = Instant::now();
    let bin_dir = match &args.bin_dir {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?
            .parent()
            .context("this program lies in no folder")?
            .to_owned(),
    };
    let scenarios = choose(list(&bin_dir)?, args)?;
    if args.list {
        for scenario in &scenarios {
            let part = if scenario.quick { "quick" } else { "all" };
            say(format_args!("{:32} {part:6} {}", scenario.name, scenario.proves));
        }
        return Ok(true);
    }
    let versions: &[(&str, &str)] = match args.libvirt {
        Libvirt::V11_3 => &[("11.3", "trixie")],
        Libvirt::V9_0 => &[("9.0", "bookworm")],
        Libvirt::Both => &[("11.3", "trixie"), ("9.0", "bookworm")],
    };
    let lab = Lab {
        images: boot::build()?,
        bin_dir,
        logs: args.logs.clone(),
    };
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for &(version, suite) in versions {
            let (lab, scenarios, tally) = (&lab, &scenarios, &tally);
            scope.spawn(move || lab.boots(version, suite, scenarios, tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    for failure in &tally.failed {
        say(format_args!("FAILED {failure}"));
    }
    say(format_args!(
        "{} passed, {} failed in {} s",
        tally.passed,
        tally.failed.len(),
        begin.elapsed().as_secs()
    ));
    Ok(tally.failed.is_empty())
}

/// Asks the guest program, which runs on this machine just as well, what it has.
fn list(bin_dir: &Path) -> Result<Vec<Scenario>> {
    let program = bin_dir.join("lab-guest");
    let output = Command::new(&program)
        .arg("list")
        .output()
        .with_context(|| format!("{} cannot be run: build mdevkit-tests first", program.display()))?;
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", program.display())))
        .collect()
}

fn choose(all: Vec<Scenario>, args: &RunArgs) -> Result<Vec<Scenario>> {
    if let Some(unknown) = args.only.iter().find(|name| !all.iter().any(|s| s.name == **name)) {
        bail!("no scenario is called {unknown}: lab run --part all --list names them");
    }
    Ok(all
        .into_iter()
        .filter(|s| {
            if args.only.is_empty() {
                s.quick || args.part == Part::All
            } else {
                args.only.contains(&s.name)
            }
        })
        .collect())
}

/// (scenario, why it failed if it did), as the guest wrote them down; also those before a crash.
type Results = Vec<(String, Option<String>)>;

/// What all boots have in common.
#[derive(Debug)]
struct Lab {
    images: Images,
    bin_dir: PathBuf,
    logs: Option<PathBuf>,
}

impl Lab {
    /// All boots of one libvirt: scenarios that want the same machine share one.
    fn boots(&self, version: &str, suite: &str, scenarios: &[Scenario], tally: &Mutex<Tally>) {
        let sizes: BTreeSet<u32> = scenarios.iter().map(|s| s.memory_mib).collect();
        for size in sizes {
            let group: Vec<&Scenario> = scenarios.iter().filter(|s| s.memory_mib == size).collect();
            let results = self.boot(version, suite, &group).unwrap_or_else(|error| {
                say(format_args!("[{version:4}] {error:#}"));
                Vec::new()
            });
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            for scenario in group {
                tally.count(version, &scenario.name, &results);
            }
        }
    }

    fn boot(&self, version: &str, suite: &str, group: &[&Scenario]) -> Result<Results> {
        let share = tempfile::Builder::new().prefix("mdevkit-lab-").tempdir()?;
        let share = share.path();
        for program in ["lab-guest", "mdevkit", "mdevkit-hook"] {
            let from = self.bin_dir.join(program);
            fs::copy(&from, share.join(program)).with_context(|| format!("{} is missing: build it", from.display()))?;
        }
        copy_folder(Path::new(HOOKS), &share.join("hooks"))?;
        put(&share.join("init"), INIT)?;
        let names: Vec<&str> = group.iter().map(|s| s.name.as_str()).collect();
        put(&share.join("scenarios"), &names.join("\n"))?;

        let memory_mib = group.iter().map(|s| s.memory_mib).max().unwrap_or_default();
        let limit = LIMIT_BASE + Duration::from_secs(group.iter().map(|s| u64::from(s.limit_s)).sum());
        let prefix = format!("[{version:4}]");
        let ended = boot::boot(
            &self.images,
            &Boot {
                prefix: &prefix,
                suite,
                share,
                memory_mib,
                limit,
            },
        );
        if let Err(error) = ended {
            say(format_args!("{prefix} {error:#}")); // what it gave until then counts all the same
        }
        if let Some(folder) = &self.logs {
            copy_folder(
                &share.join("logs"),
                &folder.join(format!("libvirt-{version}-{memory_mib}")),
            )?;
        }
        Ok(read_results(
            &fs::read_to_string(share.join("results")).unwrap_or_default(),
        ))
    }
}

impl Tally {
    fn count(&mut self, version: &str, name: &str, results: &Results) {
        let of_it: Vec<_> = results.iter().filter(|(of, _)| of == name).collect();
        match of_it.iter().find_map(|(_, why)| why.as_ref()) {
            Some(why) => self.failed.push(format!("libvirt {version} {name}: {why}")),
            None if of_it.is_empty() => self.failed.push(format!("libvirt {version} {name}: gave no result")),
            None => self.passed += 1,
        }
    }
}

/// `ok NAME 1.2s` or `FAILED NAME: WHY`, line by line.
fn read_results(text: &str) -> Results {
    text.lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            match (words.next()?, words.next()?, words.next().unwrap_or_default()) {
                ("ok", name, _) => Some((name.to_owned(), None)),
                ("FAILED", name, why) => Some((name.trim_end_matches(':').to_owned(), Some(why.to_owned()))),
                _ => None,
            }
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("{}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("{}", target.display()))?;
        }
    }
    Ok(())
}

fn put(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    fs::File::create(file)?
        .write_all(text.as_bytes())
        .with_context(|| format!("{}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(results: &str, names: &[&str]) -> Tally {
        let results = read_results(results);
        let mut tally = Tally::default();
        names.iter().for_each(|name| tally.count("9.0", name, &results));
        tally
    }

    #[test]
    fn only_an_ok_is_a_pass() {
        let tally = tally(
            "ok one 1.0s\nFAILED two: no such luck\nok thr",
            &["one", "two", "three"],
        );
        assert_eq!(tally.passed, 1);
        assert_eq!(
            tally.failed,
            ["libvirt 9.0 two: no such luck", "libvirt 9.0 three: gave no result"]
        );
    }

    #[test]
    fn a_scenario_that_passes_and_cannot_be_cleaned_up_failed() {
        let tally = tally("ok one 1.0s\nFAILED one: cannot clean up: x\n", &["one"]);
        assert_eq!((tally.passed, tally.failed.len()), (0, 1));
    }
}
