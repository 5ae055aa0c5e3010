//! Running a program from start to end, and how long that took.

use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program with all that it is given.
#[derive(Clone)]
pub(crate) struct Program {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
}

impl Program {
    pub(crate) fn new<A: AsRef<OsStr>>(program: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self {
            program: program.as_ref().to_owned(),
            args,
            stdin: None,
            env: Vec::new(),
        }
    }

    pub(crate) fn stdin(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it as libvirt runs a hook: hardly any environment. Tells how long it took.
    pub(crate) fn run(&self) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        self.fill(&mut command);
        let begin = Instant::now();
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let time = begin.elapsed();
        let status = status.with_context(|| format!("cannot run {}", self.program.display()))?;
        if !status.success() {
            bail!("{} {:?} ended with {status}", self.program.display(), self.args);
        }
        Ok(time)
    }

    /// The same as the last arguments of another program.
    pub(crate) fn behind<'c>(&self, other: &'c mut Command) -> &'c mut Command {
        other.arg(&self.program);
        self.fill(other);
        other
    }

    fn fill(&self, command: &mut Command) {
        command
            .args(&self.args)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let stdin = self.stdin.as_ref().and_then(|file| File::open(file).ok());
        command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    }
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}
