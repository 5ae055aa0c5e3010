//! `cargo xtask bench`: how dear a hook is, as ratios to a program that does nothing, all in one run.
//!
//! The programs take turns, round by round, so that what else the machine does falls on all of them alike; medians of
//! many rounds are compared. What a simulated host costs beyond plain files (each access is answered by another
//! process) is measured on its own and taken off: see [`fuse`].

mod fuse;
mod opens;
mod spawn;

use crate::sh::{self, Profile};
use crate::{bench::fuse::Accesses, dist};
use anyhow::{Context, Result, bail};
use spawn::{Program, median, ms};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each program runs
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..))]
    rounds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // The hook's state is in /run, which is memory; a disk's journal would be measured otherwise.
    let memory = Some(Path::new("/dev/shm")).filter(|dir| dir.is_dir());
    let mut place = tempfile::Builder::new();
    let place = place.prefix("mdevkit-bench-");
    let place = match memory {
        Some(dir) => place.tempdir_in(dir)?,
        None => place.tempdir()?,
    };
    sh::say("\nplanning, in process");
    sh::run(sh::cargo().args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "mdevkit-core",
        "--example",
        "planning",
    ]))?;
    let host = SimulatedHost::start(&place.path().join("host"), &["v100dx:8"])?;
    let bench = Bench::prepare(place.path(), &host)?;
    bench.run(args.rounds)
}

/// What is compared, and what it is given.
struct Bench {
    floor: Program,
    peak: PathBuf,
    /// (what, program): a domain without a request.
    idle: Vec<(&'static str, Program)>,
    /// (what, program, its other half): a domain with one.
    prepare: Vec<(&'static str, Program, Program)>,
    /// (how it is linked, program): a domain of 10 KB.
    inject: [(&'static str, Program); 2],
    accesses: Accesses,
    opened: usize,
}

impl Bench {
    fn prepare(place: &Path, host: &SimulatedHost) -> Result<Self> {
        let release = sh::build(&["mdevkit", "mdevkit-hook"], Profile::Release)?;
        let shipped = dist::build_static(&["mdevkit", "mdevkit-hook"])?;
        let (dynamic, fixed) = (release.join("mdevkit-hook"), shipped.join("mdevkit-hook"));
        let floor = compile(place, "floor")?;
        let peak = compile(place, "peak")?;
        let example = std::fs::read_to_string(sh::root().join("examples/cad.xml"))?;
        let (plain, wanted, large) = (
            place.join("plain.xml"),
            place.join("wanted.xml"),
            place.join("large.xml"),
        );
        sh::write(&plain, &example)?;
        sh::write(&wanted, &example)?;
        sh::write(&large, &ten_kilobytes(&example))?;
        let mdevkit = release.join("mdevkit");
        sh::output(
            sh::command(&mdevkit)
                .args(["inject", "--type", "V100DX-4Q"])
                .arg(&wanted),
        )?;

        let hook = |program: &Path, operation: &str, xml: &Path| {
            Program::new(program, ["cad", operation, "begin", "-"])
                .stdin(xml)
                .env("MDEVKIT_ROOT", &host.dir)
        };
        let pair = |program: &Path| (hook(program, "prepare", &wanted), hook(program, "release", &wanted));
        let script = sh::root().join("xtask/bench/hook.py");
        let python = |operation: &str| {
            Program::new(
                "/usr/bin/python3",
                [script.as_os_str(), "cad".as_ref(), operation.as_ref()],
            )
            .stdin(&wanted)
            .env("MDEVKIT_ROOT", &host.dir)
        };
        let (on, off) = pair(&fixed);
        let strace = opens::trace(&on, &place.join("strace.txt"))?;
        off.run()?;
        let (dynamic_on, dynamic_off) = pair(&dynamic);
        Ok(Self {
            floor: Program::new(&floor, [""; 0]),
            peak,
            idle: vec![
                ("hook, static", hook(&fixed, "prepare", &plain)),
                ("hook, dynamic", hook(&dynamic, "prepare", &plain)),
            ],
            prepare: vec![
                ("hook, static", on, off),
                ("hook, dynamic", dynamic_on, dynamic_off),
                ("hook in Python", python("prepare"), python("release")),
            ],
            inject: [("static", shipped.join("mdevkit")), ("dynamic", mdevkit)].map(|(how, program)| {
                (
                    how,
                    Program::new(&program, ["inject", "--type", "V100DX-4Q", "-"]).stdin(&large),
                )
            }),
            opened: opens::count(&strace),
            accesses: Accesses::of(&strace, &host.dir, place, &compile(place, "replay")?)?,
        })
    }

    fn run(&self, rounds: u32) -> Result<()> {
        let mut floor = Vec::new();
        let mut idle = vec![Vec::new(); self.idle.len()];
        let mut prepare = vec![Vec::new(); self.prepare.len()];
        let mut inject = [Vec::new(), Vec::new()];
        let (mut on_fuse, mut on_plain) = (Vec::new(), Vec::new());
        // Each timed program runs right after the same other one, so that all meet the machine in the same state.
        let timed = |program: &Program| self.floor.run().and_then(|_| program.run());
        for _ in 0..rounds {
            floor.push(timed(&self.floor)?);
            for ((_, program), times) in self.idle.iter().zip(&mut idle) {
                times.push(timed(program)?);
            }
            for ((_, on, off), times) in self.prepare.iter().zip(&mut prepare) {
                times.push(timed(on)?);
                off.run()?;
                // A removal's child may still be on its way out.
                std::thread::sleep(Duration::from_millis(2));
            }
            for ((_, program), times) in self.inject.iter().zip(&mut inject) {
                times.push(timed(program)?);
            }
            let (simulated, plain) = self.accesses.replay(timed)?;
            on_fuse.push(simulated);
            on_plain.push(plain);
        }
        let floor = median(floor);
        let fuse = median(on_fuse).saturating_sub(median(on_plain));
        let line = |what: &str, time: Duration, goal: Option<f64>| {
            let ratio = time.as_secs_f64() / floor.as_secs_f64();
            let verdict = goal.map_or_else(String::new, |goal| {
                format!("  at most {goal:.1}: {}", if ratio <= goal { "kept" } else { "MISSED" })
            });
            sh::say(format!("{what:44} {:>9} {ratio:>7.2}{verdict}", ms(time)));
        };
        sh::say(format!(
            "\n{rounds} rounds, medians                             {:>9} {:>7}",
            "ms", "floor"
        ));
        line("floor (an empty Rust program)", floor, None);
        for ((what, program), times) in self.idle.iter().zip(idle) {
            line(&format!("{what}: domain without a request"), median(times), Some(1.5));
            sh::say(format!("{:44} {:>9} MiB peak (at most 6)", "", self.peak_mib(program)?));
        }
        let mut python = Duration::ZERO;
        let mut ours = Vec::new();
        for ((what, ..), times) in self.prepare.iter().zip(prepare) {
            let time = median(times);
            line(&format!("{what}: prepare one device, 8 GPUs"), time, None);
            if what.ends_with("Python") {
                python = time;
            } else {
                let own = time.saturating_sub(fuse);
                line(&format!("{what}: the same less FUSE ({} ms)", ms(fuse)), own, Some(2.5));
                ours.push((*what, time));
            }
        }
        for (what, time) in ours {
            let faster = python.as_secs_f64() / time.as_secs_f64();
            let verdict = if faster >= 5.0 { "kept" } else { "MISSED" };
            sh::say(format!(
                "{:44} {faster:>9.1} times faster than Python (at least 5): {verdict}",
                what
            ));
        }
        for ((how, _), times) in self.inject.iter().zip(inject) {
            line(
                &format!("mdevkit inject, {how}, 10 KB domain"),
                median(times),
                Some(2.0),
            );
        }
        let most = 12 + 6 * 8;
        let verdict = if self.opened <= most { "kept" } else { "MISSED" };
        sh::say(format!(
            "{:44} {:>9} (at most 12 + 6 x 8 = {most}): {verdict}",
            "files opened by prepare", self.opened
        ));
        sh::say(format!(
            "{:44} {:>9} accesses: {}",
            "on the simulated host",
            self.accesses.len(),
            self.accesses
        ));
        Ok(())
    }

    fn peak_mib(&self, program: &Program) -> Result<String> {
        let output = program.behind(&mut Command::new(&self.peak)).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let kib: f64 = text
            .lines()
            .last()
            .unwrap_or_default()
            .parse()
            .with_context(|| format!("peak said {text:?}"))?;
        Ok(format!("{:.2}", kib / 1024.0))
    }
}

/// `mdevkit sim` in a process of its own; goes when dropped.
struct SimulatedHost {
    dir: PathBuf,
    process: Child,
}

impl SimulatedHost {
    fn start(dir: &Path, boards: &[&str]) -> Result<Self> {
        let program = sh::build(&["mdevkit"], Profile::Release)?.join("mdevkit");
        let mut command = Command::new(program);
        command
            .arg("sim")
            .args(boards.iter().flat_map(|board| ["--board", board]))
            .arg(dir);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no stdout")?).read_line(&mut line)?;
        if line != "ready\n" {
            bail!("mdevkit sim is not ready: run it by hand to see why (root? /dev/fuse?)");
        }
        Ok(Self {
            dir: dir.to_owned(),
            process,
        })
    }
}

impl Drop for SimulatedHost {
    fn drop(&mut self) {
        // SIGTERM, so that it unmounts; std knows SIGKILL only.
        let _ = Command::new("sh")
            .args(["-c", &format!("kill {}", self.process.id())])
            .status();
        let _ = self.process.wait();
    }
}

/// Compiles one of the bench's own little programs.
fn compile(place: &Path, name: &str) -> Result<PathBuf> {
    let source = sh::root().join(format!("xtask/bench/{name}.rs"));
    let program = place.join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    sh::run(
        sh::command(rustc)
            .args(["-O", "--edition", "2024", "-o"])
            .arg(&program)
            .arg(source),
    )?;
    Ok(program)
}

/// The example with disks added until it has 10 KB.
fn ten_kilobytes(example: &str) -> String {
    let disk = |n: usize| {
        format!(
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2'/>\n      \
             <source file='/var/lib/libvirt/images/data{n}.qcow2'/>\n      <target dev='sd{n}' bus='scsi'/>\n    </disk>\n"
        )
    };
    let mut disks = String::new();
    for n in 0.. {
        if example.len() + disks.len() >= 10_000 {
            break;
        }
        disks.push_str(&disk(n));
    }
    example.replacen("  </devices>", &format!("{disks}  </devices>"), 1)
}
