//! Locks between processes: `flock`, so that a dead holder frees its lock by dying.
//!
//! Invariant: a wait is bounded, and when it is over the message names the holder. Lock files may be unlinked by their
//! holder; who finds that its lock stands on an unlinked file opens the new one.

use crate::clock::Backoff;
use crate::{Deadline, HostError};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, waiting until the deadline at most.
    pub(crate) fn take(path: PathBuf, deadline: Deadline) -> Result<Self, HostError> {
        Self::take_again(None, path, deadline)
    }

    /// The same with the file of an earlier [`Lock::free`], which spares opening it.
    pub(crate) fn take_again(freed: Option<File>, path: PathBuf, deadline: Deadline) -> Result<Self, HostError> {
        let began = Instant::now();
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(5));
        let mut freed = freed;
        loop {
            let file = match freed.take() {
                Some(file) => file,
                None => open(&path)?,
            };
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) => {
                        if !backoff.sleep(deadline) {
                            let holder = holder(&file, &path);
                            return Err(HostError::Lock {
                                path,
                                waited_ms: began.elapsed().as_millis(),
                                holder,
                            });
                        }
                    }
                    Err(TryLockError::Error(source)) => {
                        return Err(HostError::State {
                            doing: "lock",
                            path,
                            source,
                        });
                    }
                }
            }
            match file.metadata() {
                Ok(metadata) if metadata.nlink() == 0 => {}
                Ok(_) => return Ok(Self { file, path }),
                Err(source) => {
                    return Err(HostError::State {
                        doing: "look at",
                        path,
                        source,
                    });
                }
            }
        }
    }

    /// Frees the lock, and gives its file back for the next time.
    pub(crate) fn free(self) -> Option<File> {
        self.file.unlock().ok().map(|()| self.file)
    }

    /// Unlinks the lock's file, and frees the lock: for locks whose subject comes and goes.
    pub(crate) fn dissolve(self) {
        // A file that stays behind is empty and does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> Result<File, HostError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|source| HostError::State {
            doing: "open the lock",
            path: path.to_owned(),
            source,
        })
}

/// Who holds a lock: `process 1234 (mdevkit-hook)`.
///
/// `/proc/locks` says which processes hold any; which of them holds this one is in their open files. (The inode
/// there is of no use alone: on an overlay it is another file system's, and two file systems use the same numbers.)
fn holder(file: &File, path: &Path) -> String {
    let found = std::fs::read_to_string("/proc/locks").ok().and_then(|locks| {
        let mut pids: Vec<&str> = locks.lines().filter_map(flock_of).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.into_iter().find(|pid| holds(pid, file, path)).map(str::to_owned)
    });
    let Some(pid) = found else {
        return "another process".to_owned();
    };
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim().escape_debug()),
        Err(_) => format!("process {pid}"),
    }
}

/// The process of a line like `1: FLOCK  ADVISORY  WRITE 1234 00:19:567 0 EOF`.
fn flock_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip(1);
    let (kind, pid) = (words.next()?, words.nth(2)?);
    (kind == "FLOCK").then_some(pid)
}

/// Whether one of a process's open files is this one, and locked through that descriptor. Only files of its name are
/// looked at: a look at any other one might wait for a server that is gone.
fn holds(pid: &str, file: &File, path: &Path) -> bool {
    let (Ok(wanted), Ok(descriptors)) = (file.metadata(), std::fs::read_dir(format!("/proc/{pid}/fd"))) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let link = descriptor.path();
        std::fs::read_link(&link).is_ok_and(|target| target.file_name() == path.file_name())
            && std::fs::metadata(&link).is_ok_and(|open| (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()))
            && std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().display()))
                .is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(path.clone(), Deadline::after(Duration::from_secs(1))).unwrap();
        let error = Lock::take(path.clone(), Deadline::after(Duration::from_millis(20))).unwrap_err();
        assert!(
            error.to_string().contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(held);
        // Not at once: a child that another test is just starting has a copy of the descriptor until it executes.
        Lock::take(path, Deadline::after(Duration::from_secs(5))).unwrap();
    }

    #[test]
    fn a_dissolved_lock_is_not_held_by_two() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(path.clone(), Deadline::after(Duration::from_secs(1))).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || Lock::take(path, Deadline::after(Duration::from_secs(5))).unwrap()
        });
        std::thread::sleep(Duration::from_millis(20));
        first.dissolve();
        let second = waiter.join().unwrap();
        assert!(path.exists(), "the waiter holds a file that others find");
        assert!(matches!(
            Lock::take(path, Deadline::after(Duration::ZERO)),
            Err(HostError::Lock { .. })
        ));
        drop(second);
    }
}
