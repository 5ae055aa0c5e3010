//! Which files a program touches, by strace.

use super::spawn::Program;
use crate::sh;
use anyhow::{Result, bail};
use std::path::Path;

/// One system call on a path.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) path: String,
    /// Everything behind the path: flags, and what was answered.
    pub(crate) rest: String,
}

impl Call {
    pub(crate) fn succeeded(&self) -> bool {
        self.rest
            .rsplit_once(" = ")
            .is_some_and(|(_, answer)| !answer.starts_with('-'))
    }

    fn opens(&self) -> bool {
        self.name.starts_with("open") && self.succeeded()
    }
}

/// Runs a program below strace and returns its calls on paths.
pub(crate) fn trace(program: &Program, log: &Path) -> Result<Vec<Call>> {
    if !sh::has("strace") {
        bail!("strace is missing: apt-get install strace");
    }
    let mut strace = std::process::Command::new("strace");
    strace
        .args([
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            "signal=none",
            "-e",
            "trace=%file",
            "-o",
        ])
        .arg(log)
        .arg("--");
    let status = program.behind(&mut strace).status()?;
    if !status.success() {
        bail!("the traced program ended with {status}");
    }
    Ok(std::fs::read_to_string(log)?.lines().filter_map(call).collect())
}

/// How many files were opened.
pub(crate) fn count(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.opens()).count()
}

/// `12345 openat(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3`
fn call(line: &str) -> Option<Call> {
    let (head, rest) = line.split_once('"')?;
    let (path, rest) = rest.split_once('"')?;
    let name = head
        .split(' ')
        .find_map(|word| word.split_once('('))
        .map(|(name, _)| name)?;
    Some(Call {
        name: name.to_owned(),
        path: path.to_owned(),
        rest: rest.to_owned(),
    })
}
