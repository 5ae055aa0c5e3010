//! Fuzzing: each target of `fuzz/` runs for a while, two at a time, and says in one line what came of it.
//!
//! cargo-fuzz builds the targets, with coverage and without a sanitizer (which would need a nightly compiler, and our
//! code is safe Rust); the programs that it makes are libFuzzer's and are run here. Old finds are tried first.
//!
//! Invariant: what is committed is only read, but for `--keep`. What a run learns, and what it finds, stays in the target
//! folder.

use crate::{sh, test};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// cargo-fuzz's version: a build of it is kept under it.
const CARGO_FUZZ: &str = "0.13.2";

/// CI has two cores.
const AT_ONCE: usize = 2;

/// A target, the dictionary of its language, and fixtures of others that are inputs for it as they are.
struct Target {
    name: &'static str,
    dictionary: &'static str,
    fixtures: &'static [&'static str],
}

const fn target(name: &'static str, dictionary: &'static str) -> Target {
    Target {
        name,
        dictionary,
        fixtures: &[],
    }
}

const DOMAINS: &[&str] = &[
    "crates/xml/tests/lexical",
    "crates/xml/tests/recorded",
    "crates/xml/tests/rewritten",
];

const TARGETS: [Target; 9] = [
    Target {
        fixtures: DOMAINS,
        ..target("domain", "xml")
    },
    Target {
        fixtures: DOMAINS,
        ..target("edits", "xml")
    },
    target("request", "xml"),
    target("types", "types"),
    target("room", "types"),
    target("ledger", "json"),
    target("config", "toml"),
    target("pci_ids", "pci_ids"),
    target("hook", "hook"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The targets; all when none is named
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Bring into fuzz/corpus what was learned, as few files as cover it
    #[arg(long)]
    keep: bool,
    /// Where libFuzzer's random numbers begin; elsewhere each time when not said
    #[arg(long)]
    seed: Option<u32>,
}

/// Runs the targets; fails when one found something.
pub(crate) fn run(args: &Args) -> Result<()> {
    match fuzz(args)? {
        (_, 0) => Ok(()),
        (_, finds) => bail!("{finds} of the targets found something"),
    }
}

/// All targets for half a minute each, from the same seed each time, so that a change is judged by what it changed: how
/// many found nothing, and how many did.
pub(crate) fn half_a_minute() -> Result<(usize, usize)> {
    fuzz(&Args {
        targets: Vec::new(),
        seconds: 30,
        keep: false,
        seed: Some(1),
    })
}

fn fuzz(args: &Args) -> Result<(usize, usize)> {
    let mut chosen: Vec<&Target> = TARGETS.iter().collect();
    if !args.targets.is_empty() {
        let known = || TARGETS.map(|target| target.name);
        if let Some(unknown) = args.targets.iter().find(|name| !known().contains(&name.as_str())) {
            bail!("there is no target {unknown}; there is: {}", known().join(", "));
        }
        chosen.retain(|target| args.targets.iter().any(|name| name == target.name));
    }
    let programs = build()?;
    let (queue, tally) = (Mutex::new(chosen.into_iter()), Mutex::new((0, 0)));
    let worker = || -> Result<()> {
        loop {
            let Some(target) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                return Ok(());
            };
            let found = one(target, &programs, args)?;
            if args.keep && !found {
                keep(target, &programs)?;
            }
            if let Ok(mut tally) = tally.lock() {
                if found { tally.1 += 1 } else { tally.0 += 1 }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    Ok(tally.into_inner().unwrap_or((0, TARGETS.len())))
}

/// Builds all targets and returns the folder of their programs.
fn build() -> Result<PathBuf> {
    let cargo_fuzz = test::installed("cargo-fuzz", CARGO_FUZZ)?;
    let folder = sh::target().join("fuzz");
    let mut build = sh::command(cargo_fuzz);
    build
        .args(["build", "--sanitizer", "none", "--target", TRIPLE, "--target-dir"])
        .arg(&folder);
    // cargo-fuzz runs cargo itself, from the PATH; warnings are its only news.
    sh::run(build.env("CARGO_TERM_QUIET", "true"))?;
    Ok(folder.join(TRIPLE).join("release"))
}

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Runs one target, first on its old finds; whether it found anything.
fn one(target: &Target, programs: &Path, args: &Args) -> Result<bool> {
    let seconds = args.seconds;
    let name = target.name;
    let program = programs.join(name);
    let own = sh::target().join("fuzz").join("runs").join(name);
    let (corpus, finds) = (own.join("corpus"), own.join("finds"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&finds)?;

    let scratch = scratch()?;
    let regressions = files(&sh::root().join("fuzz/regressions").join(name))?;
    if !regressions.is_empty() {
        let again = libfuzzer(&program, &scratch).args(&regressions).output()?;
        if !again.status.success() {
            say_find(name, "an old find is back", &String::from_utf8_lossy(&again.stderr));
            return Ok(true);
        }
    }
    let mut run = libfuzzer(&program, &scratch);
    run.arg(&corpus).arg(sh::root().join("fuzz/corpus").join(name));
    run.args(target.fixtures.iter().map(|folder| sh::root().join(folder)));
    run.arg(format!("-max_total_time={seconds}"));
    run.args(args.seed.map(|seed| format!("-seed={seed}")));
    run.arg(format!(
        "-dict={}",
        sh::root().join("fuzz/dict").join(target.dictionary).display()
    ));
    run.arg(format!("-artifact_prefix={}/", finds.display()));
    // A hang of ten seconds is a find; so are two gigabytes.
    run.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    let output = run.output().with_context(|| format!("cannot run {name}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    sh::write(&own.join("log"), &log)?;
    let found = !output.status.success();
    let stats = Stats::read(&log);
    sh::say(format!(
        "{name:<8} {seconds:>4} s, {:>9} executions, {:>6}/s, {} edges covered, {}",
        stats.executions,
        stats.per_second,
        stats.edges,
        if found { "1 find" } else { "0 finds" }
    ));
    if found {
        say_find(name, "found", &log);
    } else if stats.executions == 0 {
        bail!("{name} executed nothing; its log is {}", own.join("log").display());
    }
    Ok(found)
}

/// Adds to the committed corpus the fewest files that cover what the runs learned.
fn keep(target: &Target, programs: &Path) -> Result<()> {
    let learned = sh::target().join("fuzz").join("runs").join(target.name).join("corpus");
    let scratch = scratch()?;
    let mut merge = libfuzzer(&programs.join(target.name), &scratch);
    // Covered or not: how often does not count here, or hundreds of files would be kept.
    merge.args(["-set_cover_merge=1", "-use_counters=0", "-max_len=4096"]);
    merge.arg(sh::root().join("fuzz/corpus").join(target.name)).arg(learned);
    if !merge.output()?.status.success() {
        bail!("what {} learned cannot be merged", target.name);
    }
    Ok(())
}

/// A target's program, ready for its options.
fn libfuzzer(program: &Path, scratch: &TempDir) -> Command {
    let mut command = sh::command(program);
    command.stdin(Stdio::null()).env("TMPDIR", scratch.path());
    command
}

/// Where a target makes its files: many, so in memory where that is a folder. What a killed one leaves goes with it.
fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    made.context("cannot make a temporary folder")
}

/// What libFuzzer counted.
#[derive(Default)]
struct Stats {
    executions: u64,
    per_second: u64,
    edges: u64,
}

impl Stats {
    /// `#129732 DONE cov: 4648 ft: ...`, `stat::number_of_executed_units: 129732`; after a find there are no last ones.
    fn read(log: &str) -> Self {
        let mut stats = Self::default();
        for line in log.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let behind = |word: &str| {
                let at = words.iter().position(|it| *it == word)?;
                words.get(at + 1)?.parse::<u64>().ok()
            };
            let number = line
                .strip_prefix('#')
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            if let (Some(number), Some(edges)) = (number, behind("cov:")) {
                (stats.executions, stats.edges) = (number, edges);
            }
            if let Some(count) = behind("stat::number_of_executed_units:") {
                stats.executions = count;
            }
            if let Some(count) = behind("stat::average_exec_per_sec:").or_else(|| behind("exec/s:")) {
                stats.per_second = count;
            }
        }
        stats
    }
}

/// What was found, why it is wrong, and how to make it small.
fn say_find(name: &str, what: &str, log: &str) {
    let told = [
        "panicked",
        "ERROR:",
        "Test unit written to",
        "Running:",
        "assertion",
        " left:",
        "right:",
    ];
    let lines: Vec<&str> = log.lines().collect();
    sh::say(format!("  {name}: {what}"));
    for (index, line) in lines.iter().enumerate() {
        // A panic's message stands on the line behind it.
        let behind = index > 0 && lines.get(index - 1).is_some_and(|line| line.contains("panicked at"));
        if behind || told.iter().any(|word| line.contains(word)) {
            sh::say(format!("  {}", line.chars().take(400).collect::<String>()));
        }
    }
    sh::say(format!(
        "  make it small: cargo fuzz tmin --sanitizer none {name} FILE; then keep it in fuzz/regressions/{name}/"
    ));
}

/// The files of a folder, in order; none where there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
