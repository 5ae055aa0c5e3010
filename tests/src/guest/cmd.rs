//! Running programs with a time-out each: a hook that hangs makes every `virsh list` of the host hang with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::PATIENCE;
use crate::{Outcome, ensure};

/// A program to run: arguments, what it reads, how long it may take.
#[derive(Debug)]
pub(crate) struct Cmd {
    command: Command,
    words: String,
    input: String,
    limit: Duration,
}

/// A program that runs. Its output goes to files: no pipe that could fill up or be held open by a child of it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    words: String,
    files: [String; 2],
    begin: Instant,
    limit: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    words: String,
    status: Option<ExitStatus>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Cmd {
    pub(crate) fn new(program: &str) -> Self {
        Cmd {
            command: Command::new(program),
            words: program.to_owned(),
            input: String::new(),
            limit: PATIENCE * 2,
        }
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.words.push(' ');
            self.words.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it and returns at once.
    pub(crate) fn spawn(mut self) -> Outcome<Running> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let files = ["in", "out", "err"].map(|end| format!("/tmp/cmd-{number}.{end}"));
        let failed = |error: std::io::Error| format!("{}: {error}", self.words);
        let [stdin, out, err] = &files;
        File::create(stdin)
            .and_then(|mut file| file.write_all(self.input.as_bytes()))
            .map_err(failed)?;
        let child = self
            .command
            .stdin(File::open(stdin).map_err(failed)?)
            .stdout(File::create(out).map_err(failed)?)
            .stderr(File::create(err).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let _ = fs::remove_file(stdin);
        let files = [out.clone(), err.clone()];
        Ok(Running {
            child,
            words: self.words,
            files,
            begin: Instant::now(),
            limit: self.limit,
        })
    }

    /// Runs it to its end, or kills it when its time is up.
    pub(crate) fn run(self) -> Outcome<Ran> {
        self.spawn()?.wait()
    }
}

impl Running {
    pub(crate) fn wait(mut self) -> Outcome<Ran> {
        let deadline = self.begin + self.limit;
        let status = loop {
            match self.child.try_wait().map_err(|e| format!("{}: {e}", self.words))? {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => {
                    let _ = self.child.kill();
                    break None; // not waited for: it may be stuck in the kernel
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let took = self.begin.elapsed();
        let [out, err] = self.files.map(|file| {
            let text = fs::read(&file).unwrap_or_default();
            let _ = fs::remove_file(&file);
            String::from_utf8_lossy(&text).into_owned()
        });
        // virsh says this of a host without polkit, whatever it is asked.
        let err = err
            .lines()
            .filter(|line| !line.starts_with("Authorization not available"))
            .collect::<Vec<_>>()
            .join("\n");
        Ok(Ran {
            words: self.words,
            status,
            out,
            err,
            took,
        })
    }

    pub(crate) fn is_done(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Ran {
    /// The exit status; none after a time-out or a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Its standard output, provided that it succeeded.
    pub(crate) fn ok(self) -> Outcome<String> {
        ensure!(self.code() == Some(0), "{self}");
        Ok(self.out)
    }

    /// What it said, provided that it failed in time and said all of `needles`.
    pub(crate) fn refused(self, needles: &[&str]) -> Outcome<String> {
        ensure!(self.code().is_some(), "{self}");
        ensure!(
            self.code() != Some(0),
            "{} succeeded, but should say {needles:?}",
            self.words
        );
        for needle in needles {
            ensure!(self.err.contains(needle), "no {needle:?} in what was said: {self}");
        }
        Ok(self.err)
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status}): {}", self.words, self.err.trim()),
            None => write!(
                f,
                "{}: no end after {} s: {}",
                self.words,
                self.took.as_secs(),
                self.err.trim()
            ),
        }
    }
}

/// Runs a program that has to succeed.
pub(crate) fn run(program: &str, args: &[&str]) -> Outcome<String> {
    Cmd::new(program).args(args).run()?.ok()
}

/// virsh, on the system connection.
pub(crate) fn virsh(args: &[&str]) -> Outcome<Ran> {
    Cmd::new("virsh").args(["-q"]).args(args).run()
}
