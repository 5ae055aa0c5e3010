//! What all processes have in common: a step leads to states, and an end is told to libvirt.
//!
//! Invariant: the first state that a step leads to is the one where nothing is in the way, so that a process that runs
//! alone always takes the first.

use super::books::Books;
use super::world::{At, Domain, Phase, Process, Who, World};

/// What a scenario is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// What each domain wants at its first, second... start; the last holds for all later ones.
    pub(super) wants: [&'static [Wants]; 2],
    /// The GPU that each domain's devices are on.
    pub(super) gpus: [u8; 2],
    /// How many starts each domain has in all.
    pub(super) starts: [u8; 2],
    /// Whether hooks find the daemon that called them.
    pub(super) daemon_known: bool,
    /// What is done wrong on purpose.
    pub(super) flaw: Option<Flaw>,
}

/// Devices (a set of bits), and of which type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    pub(super) devices: u8,
    pub(super) kind: u8,
}

/// Mistakes in the order of steps. The search must find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The device is created, and then its intent is written.
    CreateBeforeIntent,
    /// A start takes no lock of its domain.
    StartTakesNoLock,
    /// A start does not look again before it writes its intent.
    NoSecondLook,
    /// The child opens `remove` after it saw that it may.
    ReaperAsksFirst,
    /// The child does not ask the ledger.
    ReaperDoesNotAsk,
    /// The child does not look whether the device is held: it may be a late one, at a device whose removal another
    /// caller has only claimed.
    ReaperDoesNotTest,
    /// A removal begins without the record saying so.
    RemovalWithoutClaim,
    /// Nobody looks whether the device is held.
    NoHeldTest,
    /// The record is dropped before the device is removed.
    ForgetsBeforeRemoval,
    /// The record is dropped without a look whether the device is gone.
    ForgetsBlindly,
    /// Reconcile takes no lock.
    ReconcileTakesNoLock,
    /// Reconcile looks at status files first and at daemons after.
    StatusFilesFirst,
    /// A failed start leaves what it made, and forgets it.
    UndoOnlyForgets,
    /// `release` takes what the next daemon's start took over.
    ReleaseOfTheDead,
    /// `release` takes no lock of its domain.
    ReleaseTakesNoLock,
    /// Reconcile looks at the clock after it looked at the status files.
    ClockLast,
    /// Reconcile drops a record that it judged, whatever it has become since.
    DropsAnyRecord,
    /// Reconcile holds the lock of the domain that owned the record when it first looked, whoever owns it now.
    SettlesAnyOwner,
    /// A start whose daemon died while it waited for the lock goes on all the same, until it is done.
    StartOfTheDead,
    /// A `release` that gets no lock condemns all that its domain owns, the next daemon's start included.
    CondemnsTheNext,
}

/// One state that a step leads to.
pub(super) struct Next {
    pub(super) what: &'static str,
    pub(super) world: World,
}

/// One process at its next step.
pub(super) struct Step<'a> {
    pub(super) rules: &'a Rules,
    pub(super) books: &'a mut Books,
    pub(super) world: World,
    pub(super) index: usize,
    pub(super) out: &'a mut Vec<Next>,
}

impl Rules {
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(super) fn starts(&self, domain: u8) -> u8 {
        self.starts[usize::from(domain)]
    }

    pub(super) fn wants(&self, domain: u8, nth: u8) -> Wants {
        let all = self.wants[usize::from(domain)];
        all[usize::from(nth).min(all.len() - 1)]
    }

    /// The daemon, as a hook knows it.
    pub(super) fn known(&self, daemon: u8) -> Option<u8> {
        self.daemon_known.then_some(daemon)
    }
}

impl Step<'_> {
    pub(super) fn process(&self) -> Process {
        self.world.process(self.index)
    }

    /// The process goes on as it is now; nothing else changed.
    pub(super) fn goes_on(&mut self, what: &'static str, process: Process) {
        self.becomes(what, self.world, process);
    }

    /// The process goes on, in a changed world.
    pub(super) fn becomes(&mut self, what: &'static str, mut world: World, process: Process) {
        world.processes[self.index] = Some(process);
        self.out.push(Next { what, world });
    }

    /// The process ends, and with it its locks; libvirt hears of it.
    pub(super) fn exits(&mut self, what: &'static str, mut world: World, well: bool) {
        let process = self.process();
        world.processes[self.index] = None;
        told(&mut world, &process, well);
        self.out.push(Next { what, world });
    }

    pub(super) fn take(self) {
        let process = self.process();
        if process.removal.is_some() {
            return self.removal();
        }
        match process.who {
            Who::Prepare => self.prepare(),
            Who::Release => self.release(),
            Who::Reconcile => self.reconcile(),
            Who::Reaper => self.reaper(),
        }
    }
}

/// A hook ended: the daemon that called it goes on.
pub(super) fn told(world: &mut World, process: &Process, well: bool) {
    if world.living() != Some(process.daemon) || !matches!(process.who, Who::Prepare | Who::Release) {
        return;
    }
    let domain = world.domain_mut(process.domain);
    match (process.who, well) {
        (Who::Prepare, true) => {
            domain.phase = Phase::Ready;
            (domain.own, domain.foreign) = (process.own, process.foreign);
        }
        (Who::Prepare, false) => domain.phase = Phase::Ending,
        _ => {
            *domain = Domain {
                nth: domain.nth,
                ..Domain::default()
            }
        }
    }
}

/// A hook of a domain.
pub(super) fn hook(world: &World, who: Who, domain: u8) -> Process {
    let at = if who == Who::Prepare { At::Lock } else { At::Owns };
    Process {
        daemon: world.daemon,
        nth: world.domains[usize::from(domain)].nth,
        ..Process::new(who, at, domain)
    }
}
