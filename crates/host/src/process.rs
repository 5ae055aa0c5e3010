//! Processes: which boot this is, which daemon called the hook, and whether it still lives.
//!
//! Invariant: a process is told by pid, start time and pid namespace together, because pids are used again.

use crate::{HostError, Root};
use mdevkit_core::ledger::{BootId, Daemon, Life};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// This boot's id.
///
/// # Errors
/// `/proc` below the root does not have it.
pub fn boot_id(root: &Root) -> Result<BootId, HostError> {
    let path = root.path("proc/sys/kernel/random/boot_id");
    let wrong = |why: String| HostError::Proc {
        path: path.clone(),
        why,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    text.trim()
        .parse()
        .map_err(|error: mdevkit_core::ValueError| wrong(error.to_string()))
}

/// The daemons that call hooks.
const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];
/// How far above the parent the search for one goes: a wrapper script, and a shell in between.
const GENERATIONS: usize = 2;

/// The libvirt daemon that called this process: the nearest ancestor that is one. None when there is none (a test, a
/// shell): a process that only happens to be the parent says nothing about who will call `release`.
pub fn daemon() -> Option<Daemon> {
    let mut ancestor = Stat::of(std::os::unix::process::parent_id())?;
    for _ in 0..GENERATIONS {
        if ancestor.is_daemon() || ancestor.parent <= 1 {
            break;
        }
        ancestor = Stat::of(ancestor.parent)?;
    }
    ancestor.is_daemon().then(|| ancestor.identity())
}

/// What tells a living process from every other one of this boot; none when there is no such process.
///
/// ```
/// let this = mdevkit_host::identity(std::process::id()).unwrap();
/// assert_eq!(this.pid, std::process::id());
/// ```
pub fn identity(pid: u32) -> Option<Daemon> {
    Stat::of(pid).map(|stat| stat.identity())
}

/// Whether the daemon that called this process lives still.
pub(crate) fn daemon_lives(daemon: &Daemon) -> bool {
    // A parent that is still the parent needs no look: an orphan gets another one.
    std::os::unix::process::parent_id() == daemon.pid || life(daemon) != Life::Gone
}

/// Whether a daemon lives, as far as it can be seen from this pid namespace.
pub(crate) fn life(daemon: &Daemon) -> Life {
    if daemon.pid_namespace != pid_namespace() {
        return Life::Unseen;
    }
    match Stat::of(daemon.pid) {
        // A zombie has called its last hook.
        Some(stat) if stat.start_ticks == daemon.start_ticks && !stat.is_dead() => Life::Alive,
        Some(_) => Life::Gone,
        None if PathBuf::from(format!("/proc/{}", daemon.pid)).exists() => Life::Unseen,
        None => Life::Gone,
    }
}

/// The inode of our pid namespace; 0 when `/proc` does not say.
fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

/// What `/proc/PID/stat` says. Processes are this machine's, whatever the root is.
#[derive(Clone, Debug)]
struct Stat {
    pid: u32,
    name: String,
    state: char,
    parent: u32,
    start_ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &text)
    }

    /// `1234 (name) S 1 ...`: the name may hold spaces and brackets, so it ends at the last `)`.
    fn parse(pid: u32, text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = tail.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the whole line; state was field 3 and parent field 4.
        let start_ticks = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self {
            pid,
            name: name.to_owned(),
            state,
            parent,
            start_ticks,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    fn is_daemon(&self) -> bool {
        DAEMONS.contains(&self.name.as_str())
    }

    fn identity(&self) -> Daemon {
        Daemon {
            pid: self.pid,
            start_ticks: self.start_ticks,
            pid_namespace: pid_namespace(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_spaces_do_not_shift_the_fields() {
        let line = "7 (a) b (c) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.parent, stat.start_ticks),
            ("a) b (c", 42, 98765)
        );
    }

    #[test]
    fn a_process_is_told_from_its_successor() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let daemon = identity(child.id()).unwrap();
        assert_eq!(life(&daemon), Life::Alive);
        assert_eq!(
            life(&Daemon {
                start_ticks: daemon.start_ticks + 1,
                ..daemon
            }),
            Life::Gone
        );
        assert_eq!(
            life(&Daemon {
                pid_namespace: 1,
                ..daemon
            }),
            Life::Unseen
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(life(&daemon), Life::Gone);
    }

    #[test]
    fn a_parent_that_is_no_daemon_is_not_taken_for_one() {
        assert_eq!(daemon(), None);
    }
}
