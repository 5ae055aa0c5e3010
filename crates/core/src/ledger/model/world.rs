//! One state of the modelled host: kernel, ledger, libvirt, and the processes between their steps.
//!
//! Invariant: a state holds all that decides what may come next, and nothing else, so that equal states are met once.

use super::books::{Act, Books, Entry, Page};
pub(super) use super::process::{At, Handle, Process, Removal, Who};
use crate::ledger::State;
use std::hash::{Hash, Hasher};

/// Device UUIDs that anybody may want.
pub(super) const DEVICES: u8 = 2;
/// Domains.
pub(super) const DOMAINS: u8 = 2;
/// Processes at one time. More than a scenario may need is an error, so that no behaviour is cut off silently.
const PROCESSES: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct World {
    pub(super) boot: u8,
    pub(super) clock: u8,
    pub(super) page: Page,
    pub(super) devices: [Option<Device>; DEVICES as usize],
    /// The number of the daemon, and whether it lives.
    pub(super) daemon: u8,
    pub(super) daemon_lives: bool,
    pub(super) domains: [Domain; DOMAINS as usize],
    pub(super) processes: [Option<Process>; PROCESSES],
    pub(super) left: Budget,
    pub(super) harm: Option<Harm>,
    /// A foreign device went that had been made under a record of ours: the known limit.
    pub(super) mistaken: bool,
}

/// What may happen yet, each so many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) starts: [u8; DOMAINS as usize],
    pub(super) kills: u8,
    pub(super) daemon_deaths: u8,
    pub(super) reconciles: u8,
    pub(super) ticks: u8,
    pub(super) reboots: u8,
    /// Devices that somebody else makes.
    pub(super) foreign: u8,
    /// Creates that the kernel refuses for want of room.
    pub(super) full: u8,
}

/// A device, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Device {
    pub(super) maker: Maker,
    pub(super) kind: u8,
    /// A guest has it open.
    pub(super) open: bool,
    /// Its removal has begun: its directory is empty, and waits for who has it open.
    pub(super) removing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Maker {
    Domain(u8),
    /// Somebody else.
    Foreign,
    /// Somebody else, where the ledger had a record of that very UUID, or was just getting one.
    ForeignUnderRecord,
}

/// A domain, as libvirt has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Domain {
    pub(super) phase: Phase,
    /// How many starts it had.
    pub(super) nth: u8,
    /// The devices that its hook reported ready: its own, and others' (sets of bits).
    pub(super) own: u8,
    pub(super) foreign: u8,
}

/// ```text
/// Off ─► Preparing ─► Ready ─► Status ─► Running ─► Ended ─► Ending ─► Releasing ─► Off
///           hook              file saved  opened            file gone     hook
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    #[default]
    Off,
    Preparing,
    Ready,
    Status,
    Running,
    Ended,
    Ending,
    Releasing,
}

impl Phase {
    /// A status file names the domain.
    pub(super) fn has_status(self) -> bool {
        matches!(self, Self::Status | Self::Running | Self::Ended)
    }

    /// The domain was told that its devices are ready, and counts on them.
    pub(super) fn counts_on_devices(self) -> bool {
        matches!(self, Self::Ready | Self::Status | Self::Running)
    }
}

/// Something that must never happen, noticed in the act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Harm {
    ForeignRemoved,
    RemovedWhileHeld,
}

impl Hash for World {
    /// Empty places for processes say nothing.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let small = [
            self.boot,
            self.clock,
            self.daemon,
            self.daemon_lives.into(),
            self.mistaken.into(),
        ];
        (small, self.page, self.devices, self.domains, self.left, self.harm).hash(state);
        for process in self.processes() {
            process.hash(state);
        }
    }
}

impl World {
    pub(super) fn new(left: Budget) -> Self {
        Self {
            boot: 0,
            clock: 0,
            page: 0,
            devices: [None; DEVICES as usize],
            daemon: 1,
            daemon_lives: true,
            domains: [Domain::default(); DOMAINS as usize],
            processes: [None; PROCESSES],
            left,
            harm: None,
            mistaken: false,
        }
    }

    pub(super) fn device(&self, device: u8) -> Option<Device> {
        self.devices[usize::from(device)]
    }

    pub(super) fn device_mut(&mut self, device: u8) -> &mut Option<Device> {
        &mut self.devices[usize::from(device)]
    }

    pub(super) fn domain_mut(&mut self, domain: u8) -> &mut Domain {
        &mut self.domains[usize::from(domain)]
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().flatten()
    }

    pub(super) fn process(&self, index: usize) -> Process {
        self.processes[index].unwrap()
    }

    pub(super) fn spawn(&mut self, process: Process) {
        let free = self.processes.iter_mut().find(|place| place.is_none());
        *free.expect("the model has too few places for processes") = Some(process);
    }

    /// The daemon's number, while it lives.
    pub(super) fn living(&self) -> Option<u8> {
        self.daemon_lives.then_some(self.daemon)
    }

    /// The domains with a status file.
    pub(super) fn status_files(&self) -> u8 {
        (0..DOMAINS)
            .filter(|domain| self.domains[usize::from(*domain)].phase.has_status())
            .fold(0, |set, domain| set | 1 << domain)
    }

    /// The devices that exist; one whose removal has begun does until it is over.
    pub(super) fn existing(&self) -> u8 {
        (0..DEVICES)
            .filter(|device| self.device(*device).is_some())
            .fold(0, |set, device| set | 1 << device)
    }

    pub(super) fn locked(&self, domain: u8) -> bool {
        self.processes().any(|process| process.lock == Some(domain))
    }

    pub(super) fn children(&self, device: u8) -> usize {
        let of = |process: &&Process| process.who == Who::Reaper && process.device == device;
        self.processes().filter(of).count()
    }

    pub(super) fn gpu_locked(&self, gpu: u8) -> bool {
        self.processes().any(|process| process.gpu == Some(gpu))
    }

    /// The device of that UUID is gone; who has it open still has it open, and nothing else.
    pub(super) fn vanish(&mut self, device: u8) {
        *self.device_mut(device) = None;
        for process in self.processes.iter_mut().flatten() {
            if process.device == device && process.handle == Handle::Open {
                process.handle = Handle::Stale;
            }
        }
    }

    /// Writes an event to the ledger; whether it fitted.
    pub(super) fn apply(&mut self, books: &mut Books, device: u8, act: Act) -> bool {
        let page = books.on_boot(self.page, self.boot);
        let after = books.apply(page, device, act, self.clock);
        if let Some(after) = after {
            self.page = after;
        }
        after.is_some()
    }

    /// The ledger as it is read now.
    pub(super) fn read(&self, books: &mut Books) -> Page {
        books.on_boot(self.page, self.boot)
    }

    pub(super) fn entry(&self, books: &mut Books, device: u8) -> Option<Entry> {
        let page = self.read(books);
        books.entry(page, device)
    }

    pub(super) fn is_releasing(&self, books: &mut Books, device: u8) -> bool {
        self.entry(books, device)
            .is_some_and(|entry| entry.state == State::Releasing)
    }

    /// Equal states look equal: the order of processes says nothing.
    pub(super) fn settled(mut self) -> Self {
        self.processes.sort_unstable();
        self
    }
}
