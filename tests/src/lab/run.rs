//! Which boots a run is made of, what each of them is given, and the count at the end.
//!
//! A scenario that gave no result (its boot died, or was killed) counts as failed: only an `ok` is a pass.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::boot::{self, Boot, Images};
use crate::{Libvirt, Part, RunArgs, say};

/// The installer and what it installs beside the programs.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hooks");
const INIT: &str = include_str!("../../lab/init.sh");
/// A boot without any scenario takes 10 s; one scenario 3 to 30 s on an idle machine, more beside a second boot.
const LIMIT_BASE: Duration = Duration::from_secs(120);
const LIMIT_EACH: Duration = Duration::from_secs(60);

/// One line of `lab-guest list`.
#[derive(Debug, Clone, Deserialize)]
struct Scenario {
    name: String,
    proves: String,
    quick: bool,
    memory_mib: u32,
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
    let images = boot::build()?;
    let versions: &[(&str, &str)] = match args.libvirt {
        Libvirt::V11_3 => &[("11.3", "trixie")],
        Libvirt::V9_0 => &[("9.0", "bookworm")],
        Libvirt::Both => &[("11.3", "trixie"), ("9.0", "bookworm")],
    };
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for &(version, suite) in versions {
            let (images, scenarios, bin_dir, tally) = (&images, &scenarios, &bin_dir, &tally);
            scope.spawn(move || boots(images, version, suite, scenarios, bin_dir, args.logs.as_deref(), tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
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

/// All boots of one libvirt: scenarios that want the same machine share one.
fn boots(
    images: &Images,
    version: &str,
    suite: &str,
    scenarios: &[Scenario],
    bin_dir: &Path,
    logs: Option<&Path>,
    tally: &Mutex<Tally>,
) {
    let sizes: BTreeSet<u32> = scenarios.iter().map(|s| s.memory_mib).collect();
    for memory_mib in sizes {
        let names: Vec<&str> = scenarios
            .iter()
            .filter(|s| s.memory_mib == memory_mib)
            .map(|s| s.name.as_str())
            .collect();
        let logs = logs.map(|folder| folder.join(format!("libvirt-{version}-{memory_mib}")));
        let ended = one_boot(images, version, suite, memory_mib, &names, bin_dir, logs);
        let results = match ended {
            Ok(results) => results,
            Err(error) => {
                say(format_args!("libvirt {version}: {error:#}"));
                Vec::new()
            }
        };
        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for name in names {
            match results.iter().find(|(n, _)| n == name) {
                Some((_, None)) => tally.passed += 1,
                Some((_, Some(why))) => tally.failed.push(format!("libvirt {version} {name}: {why}")),
                None => tally.failed.push(format!("libvirt {version} {name}: gave no result")),
            }
        }
    }
}

/// (scenario, why it failed if it did), as the guest wrote them down; also those before a crash.
type Results = Vec<(String, Option<String>)>;

fn one_boot(
    images: &Images,
    version: &str,
    suite: &str,
    memory_mib: u32,
    names: &[&str],
    bin_dir: &Path,
    logs: Option<PathBuf>,
) -> Result<Results> {
    let share = tempfile::Builder::new().prefix("mdevkit-lab-").tempdir()?;
    for program in ["lab-guest", "mdevkit", "mdevkit-hook"] {
        let from = bin_dir.join(program);
        fs::copy(&from, share.path().join(program))
            .with_context(|| format!("{} is missing: build it", from.display()))?;
    }
    let hooks = share.path().join("hooks");
    copy_folder(Path::new(HOOKS), &hooks)?;
    put(&share.path().join("init"), INIT)?;
    put(&share.path().join("scenarios"), &names.join("\n"))?;
    // The guest's libvirtd writes here as root of this machine, QEMU as nobody of it.
    fs::set_permissions(share.path(), fs::Permissions::from_mode(0o755))?;

    let limit = LIMIT_BASE + LIMIT_EACH * u32::try_from(names.len())?;
    let prefix = format!("[{version:4}]");
    let ended = boot::boot(
        images,
        &Boot {
            prefix: &prefix,
            suite,
            share: share.path(),
            memory_mib,
            limit,
        },
    );
    let results = read_results(&share.path().join("results"));
    if let Some(folder) = logs {
        copy_folder(&share.path().join("logs"), &folder)?;
    }
    if let Err(error) = ended {
        say(format_args!("{prefix} {error:#}"));
    }
    Ok(results)
}

fn read_results(file: &Path) -> Results {
    let text = fs::read_to_string(file).unwrap_or_default();
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
