//! The installed hook: run by hand, watched, and stopped half-way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cmd::{Cmd, Ran, Running};
use crate::domain::Domain;
use crate::kernel;
use crate::lab::{Lab, signal_to};
use crate::wait;
use crate::{Outcome, ensure};

pub(crate) const PROGRAM: &str = "/usr/sbin/mdevkit-hook";

/// Runs it as libvirt would, but as this program's child.
pub(crate) fn run(domain: &Domain, operation: &str, sub_operation: &str) -> Outcome<Ran> {
    Cmd::new(PROGRAM)
        .args([domain.name.as_str(), operation, sub_operation, "-"])
        .input(&domain.xml())
        .run()
}

/// The same in the background.
pub(crate) fn begin(domain: &Domain, operation: &str, sub_operation: &str) -> Outcome<Running> {
    command(domain, operation, sub_operation).spawn()
}

fn command(domain: &Domain, operation: &str, sub_operation: &str) -> Cmd {
    Cmd::new(PROGRAM)
        .args([domain.name.as_str(), operation, sub_operation, "-"])
        .input(&domain.xml())
}

/// The hook processes that live.
pub(crate) fn processes() -> Vec<u32> {
    kernel::processes(PROGRAM)
}

/// A start whose `prepare` stands still half-way.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) hook: u32,
    pub(crate) start: Running,
}

/// Starts a domain and stops its hook between its first lock and its first look at the device's room.
///
/// ```text
///   hook:  stdin -> domain's lock ->(waits for a lock that we hold)   SIGSTOP   (locks given back)   ... SIGCONT -> create
/// ```
///
/// So it is certain to stand in the middle, whatever the machine's speed.
pub(crate) fn freeze_in_prepare(lab: &Lab, domain: &Domain) -> Outcome<Frozen> {
    // A complete run, so that the lock files are there.
    run(domain, "prepare", "begin")?.ok()?;
    run(domain, "release", "end")?.ok()?;
    lab.expect_devices(&[])?;
    let mut held = Vec::new();
    for file in lock_files(Path::new("/run/mdevkit")) {
        let lock = File::open(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        lock.lock().map_err(|e| format!("{}: {e}", file.display()))?;
        held.push(lock);
    }
    ensure!(!held.is_empty(), "no lock file in /run/mdevkit to stop the hook with");
    let start = lab.begin_start(&domain.name)?;
    let mut found = None;
    wait::until("a hook process appears", || {
        found = processes().first().copied();
        found.is_some()
    })?;
    let Some(hook) = found else {
        return Err("no hook process".to_owned());
    };
    thread::sleep(Duration::from_millis(500)); // to its lock: 10 ms of work
    ensure!(
        processes().contains(&hook),
        "the hook ended before it needed a lock that is held: {held:?}"
    );
    signal_to(hook, Signal::SIGSTOP)?;
    drop(held);
    lab.expect_devices(&[])?;
    Ok(Frozen { hook, start })
}

impl Frozen {
    /// Lets the hook go on and waits until it has ended.
    pub(crate) fn thaw(&self) -> Outcome {
        signal_to(self.hook, Signal::SIGCONT)?;
        wait::until("the hook that stood still ends", || !processes().contains(&self.hook))
    }
}

/// The files below /run/mdevkit that are locked and not written: all but the ledger and the domains' own locks, which
/// the hook holds for its whole run.
fn lock_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            files.extend(lock_files(&path));
        } else if !name.contains(".json") && !name.contains("11111111-2222") {
            files.push(path);
        }
    }
    files
}
