//! A process of ours between two of its steps.
//!
//! Invariant: what it knows no longer is wiped, so that it does not tell states apart.

use super::books::{By, Page, bits};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Prepare,
    Release,
    Reconcile,
    Reaper,
}

/// A process of ours, with what it holds and knows. What it knows no longer is wiped, so that it does not tell states
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) who: Who,
    pub(super) at: At,
    /// Where in a removal it is, on behalf of `at`.
    pub(super) removal: Option<Removal>,
    /// The domain that it is about; of reconcile, the one whose record it judged.
    pub(super) domain: u8,
    /// Which of its starts this is.
    pub(super) nth: u8,
    /// The daemon that called it.
    pub(super) daemon: u8,
    /// The domain whose lock it holds.
    pub(super) lock: Option<u8>,
    /// The parent whose lock it holds.
    pub(super) gpu: Option<u8>,
    /// The device that it is at.
    pub(super) device: u8,
    /// Devices still to be looked at; those to be made; made; ready (sets of bits).
    pub(super) todo: u8,
    pub(super) missing: u8,
    pub(super) made: u8,
    pub(super) own: u8,
    pub(super) foreign: u8,
    /// What it saw at the device's place.
    pub(super) seen: Option<Option<u8>>,
    /// The ledger that it read.
    pub(super) page: Page,
    /// The ledger that it read under the lock.
    pub(super) again: Page,
    /// What it saw of daemons, of the clock and of status files.
    pub(super) saw_daemon: Option<u8>,
    pub(super) saw_clock: u8,
    pub(super) saw_domains: u8,
    /// The file `remove` that it has open.
    pub(super) handle: Handle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Handle {
    None,
    Open,
    /// Of a device that is gone: a write answers ENODEV, whatever stands there now.
    Stale,
}

/// The next step of a process; each touches what others see at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum At {
    // prepare
    Lock,
    Called,
    Leftovers,
    DropNext,
    Look,
    Meet,
    Idle { own: bool },
    Ready { own: bool },
    Adopt,
    Place,
    Recheck,
    Intend,
    Create,
    Failed { again: bool },
    Finish,
    Record,
    Daemon,
    Undo,
    // release
    Owns,
    LockOwned,
    TimedOut,
    Condemn,
    ReadOwned,
    Orphaned,
    ReleaseNext,
    // reconcile
    Snapshot,
    LockRecord,
    ReadAgain,
    SeeDaemons,
    SeeClock,
    SeeDomains,
    SeeDevices,
    Drop,
    Collect,
    // reaper
    Open,
    Allowed,
    Unheld,
    Write,
    Written,
    Forget,
}

/// The next step of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Removal {
    Claim,
    There,
    Forget,
    Held,
    Spawn,
    Wait,
}

impl Process {
    pub(super) fn new(who: Who, at: At, domain: u8) -> Self {
        Self {
            who,
            at,
            removal: None,
            domain,
            nth: 0,
            daemon: 0,
            lock: None,
            gpu: None,
            device: 0,
            todo: 0,
            missing: 0,
            made: 0,
            own: 0,
            foreign: 0,
            seen: None,
            page: 0,
            again: 0,
            saw_daemon: None,
            saw_clock: 0,
            saw_domains: 0,
            handle: Handle::None,
        }
    }

    /// On whose behalf it removes.
    pub(super) fn by(&self) -> By {
        match self.who {
            Who::Reconcile => By::Reconcile(self.domain),
            _ => By::Domain(self.domain),
        }
    }

    /// Takes the next device of what is to do.
    pub(super) fn take_next(&mut self) -> bool {
        let Some(next) = bits(self.todo).next() else {
            self.device = 0;
            return false;
        };
        self.device = next;
        self.todo &= !(1 << next);
        true
    }
}
