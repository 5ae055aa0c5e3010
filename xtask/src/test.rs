//! `cargo xtask test`: everything that must hold, and one plain line at the end that says how much of it does.
//!
//! Every step runs, whatever became of the one before, so that one run tells all.

use crate::{fuzz, lab, sh};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// cargo-deny's version: a build of it is kept under it.
const DENY: &str = "0.20.2";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the lab out (it takes most of the time and needs root)
    #[arg(long)]
    no_lab: bool,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Runs a step that counts as one.
    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        self.counted(name, |_| step().map(|()| (1, 0)));
    }

    /// Runs a step that has its own count: (passed, failed).
    fn counted(&mut self, name: &str, step: impl FnOnce(&mut (usize, usize)) -> Result<(usize, usize)>) {
        let begin = Instant::now();
        sh::say(format!("\n== {name}"));
        let mut so_far = (0, 0);
        let (passed, failed, why) = match step(&mut so_far) {
            Ok((passed, failed)) => (passed, failed, None),
            // A step that broke off counts as a failure of its own, unless it has told of one.
            Err(error) => (so_far.0, so_far.1.max(1), Some(format!("{error:#}"))),
        };
        self.passed += passed;
        self.failed += failed;
        if failed > 0 || why.is_some() {
            self.failures
                .push(format!("{name}: {}", why.unwrap_or_else(|| format!("{failed} failed"))));
        }
        sh::say(format!(
            "== {name}: {passed} passed, {failed} failed, {} s",
            begin.elapsed().as_secs()
        ));
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    packages(args)?;
    let mut tally = Tally::default();
    tally.step("format", || {
        sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
        sh::run(sh::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    });
    tally.step("lints", || {
        let clippy = [
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        sh::run(sh::cargo().args(clippy))
    });
    tally.step("documents", || {
        let doc = ["doc", "--quiet", "--locked", "--workspace", "--no-deps"];
        sh::run(sh::cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    tally.counted("tests", tests);
    tally.step("licences", licences);
    tally.counted("fuzzing", |_| fuzz::half_a_minute());
    if !args.no_lab {
        tally.counted("lab", |so_far| {
            let mut lab = lab::command(&[
                "run".into(),
                "--part".into(),
                "quick".into(),
                "--libvirt".into(),
                "both".into(),
            ])?;
            count(&mut lab, so_far, |line| {
                // `12 passed, 0 failed in 93 s`
                let mut words = line.split(' ');
                let (passed, word) = (words.next()?.parse().ok()?, words.next()?);
                let failed = words.next()?.parse().ok()?;
                (word == "passed,").then_some((passed, failed))
            })
        });
    }
    for failure in &tally.failures {
        sh::say(format!("FAILED {failure}"));
    }
    sh::say(format!("in {} s", begin.elapsed().as_secs()));
    sh::say(format!("{} passed, {} failed", tally.passed, tally.failed));
    if tally.failed > 0 {
        bail!("not all passed");
    }
    Ok(())
}

/// Unit tests, command tests and examples of the whole workspace.
fn tests(so_far: &mut (usize, usize)) -> Result<(usize, usize)> {
    let mut cargo = sh::cargo();
    cargo.args(["test", "--quiet", "--locked", "--workspace", "--no-fail-fast"]);
    count(&mut cargo, so_far, |line| {
        // `test result: ok. 12 passed; 0 failed; 0 ignored; ...`
        let line = line.strip_prefix("test result: ")?;
        let number = |what: &str| {
            line.split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.parse().ok())
        };
        // An ignored test is one that does not hold.
        Some((
            number(" passed")?,
            number(" failed").unwrap_or(0) + number(" ignored").unwrap_or(0),
        ))
    })
}

/// Runs a command and adds up what `read` finds in its lines.
fn count(
    command: &mut Command,
    so_far: &mut (usize, usize),
    read: impl Fn(&str) -> Option<(usize, usize)>,
) -> Result<(usize, usize)> {
    let ended = sh::run_seen(command, |line| {
        if let Some((passed, failed)) = read(line) {
            so_far.0 += passed;
            so_far.1 += failed;
        }
    });
    ended?;
    if so_far.0 == 0 {
        bail!("it ran no test");
    }
    Ok(*so_far)
}

/// cargo-deny without its advisories, whose database is not at hand everywhere; for the fuzz targets, too.
fn licences() -> Result<()> {
    let deny = installed("cargo-deny", DENY)?;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut check = sh::command(&deny);
        check.args(["--manifest-path", manifest, "check", "--allow", "unused-wrapper"]);
        sh::run(check.args(["bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// A tool of cargo's in this version; it is built once and kept in the target folder.
pub(crate) fn installed(tool: &str, version: &str) -> Result<PathBuf> {
    let folder = sh::target().join("tools").join(format!("{tool}-{version}"));
    let program = folder.join("bin").join(tool);
    if !program.is_file() {
        let mut install = sh::cargo();
        install
            .args([
                "install",
                "--quiet",
                "--locked",
                "--debug",
                "--version",
                version,
                "--root",
            ])
            .arg(&folder);
        sh::run(install.arg(tool))?;
    }
    Ok(program)
}

/// The programs that the tests need, and the packages they are in; installed when we are root.
fn packages(args: &Args) -> Result<()> {
    let mut needed = vec!["strace", "mount", "xmllint", "g++"];
    let lab = std::fs::read_to_string(sh::root().join("tests/lab/packages")).unwrap_or_default();
    if !args.no_lab {
        needed.extend(lab.split_whitespace());
    }
    // Each of these packages has a program of its own name, but for one.
    let package = |program| if program == "xmllint" { "libxml2-utils" } else { program };
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|program| !sh::has(program))
        .map(package)
        .collect();
    let is_root = sh::output(sh::command("id").arg("-u"))?.trim() == "0";
    if !missing.is_empty() {
        let list = missing.join(" ");
        if !is_root {
            bail!("missing packages: run as root: apt-get install --no-install-recommends {list}");
        }
        let quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
        sh::run(sh::command("apt-get").arg("update").args(quiet))?;
        let mut install = sh::command("apt-get");
        install
            .args(["install", "-y", "--no-install-recommends"])
            .args(quiet)
            .args(&missing);
        sh::run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    if !is_root && !args.no_lab {
        bail!("the lab and the simulated hosts need root; as a user: cargo xtask test --no-lab, in `unshare -Urm`");
    }
    Ok(())
}
