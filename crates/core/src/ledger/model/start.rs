//! `prepare`, step by step: `host::acquire` and `host::meet`.
//!
//! ```text
//! lock ─► leftovers ─► for each want: look ─► ledger ─► encounter ─► adopt | use | replace | wait | to be made
//!      ─► for each that is to be made: lock GPU ─► look again ─► intend ─► create ─► unlock ─► ready ─► created
//!      ─► does the daemon live? ─► exit 0                 on any failure: remove what this start made, exit 1
//! ```

use super::books::{Act, bits};
use super::steps::{Flaw, Step};
use super::world::{At, Device, Maker, Process, Removal, World};
use crate::Encounter;
use crate::ledger::State;

impl Step<'_> {
    pub(super) fn prepare(mut self) {
        let mut process = self.process();
        let wants = self.rules.wants(process.domain, process.nth);
        let device = process.device;
        let mut world = self.world;
        let there = world.device(device);
        match process.at {
            At::Lock => {
                let lock = (!self.rules.has(Flaw::StartTakesNoLock)).then_some(process.domain);
                if lock.is_none() || !world.locked(process.domain) {
                    process.lock = lock;
                    process.at = match self.rules.has(Flaw::StartOfTheDead) {
                        true => At::Leftovers,
                        false => At::Called,
                    };
                    self.goes_on("locks its domain", process);
                } else {
                    self.exits("cannot have its domain's lock", world, false);
                }
            }
            At::Called => {
                if self.is_orphan(&process) {
                    self.exits("finds its daemon gone", world, false);
                } else {
                    process.at = At::Leftovers;
                    self.goes_on("finds its daemon alive", process);
                }
            }
            At::Leftovers => {
                let page = world.read(self.books);
                process.todo = self.books.records(page, Some(process.domain)) & !wants.devices;
                self.drop_next("reads what an earlier start left", process);
            }
            At::Look => {
                process.seen = there.map(|device| (!device.removing).then_some(device.kind));
                process.at = At::Meet;
                self.goes_on("looks for the device", process);
            }
            At::Meet => self.meet(process),
            At::Idle { own } => {
                if there.is_some_and(|device| device.open) {
                    self.fails("sees who holds the device", world, process);
                } else {
                    process.at = At::Ready { own };
                    self.goes_on("sees nobody hold the device", process);
                }
            }
            At::Ready { own } => {
                if there.is_none_or(|device| device.removing) {
                    self.fails("waits for the device in vain", world, process);
                } else if own {
                    process.at = At::Adopt;
                    self.goes_on("finds its device ready", process);
                } else {
                    process.foreign |= 1 << device;
                    self.next_want("uses somebody else's device", world, process);
                }
            }
            At::Adopt => {
                let act = Act::Adopt {
                    domain: process.domain,
                    daemon: self.rules.known(process.daemon),
                };
                if world.apply(self.books, device, act) {
                    process.own |= 1 << device;
                    self.next_want("ledger: adopt", world, process);
                } else {
                    self.fails("ledger: adopt, refused", world, process);
                }
            }
            At::Place => {
                let gpu = self.rules.gpus[usize::from(process.domain)];
                if !world.gpu_locked(gpu) {
                    let mut placed = process;
                    placed.gpu = Some(gpu);
                    placed.at = At::Recheck;
                    self.goes_on("locks the GPU", placed);
                }
                self.fails("is refused a place", world, process);
            }
            At::Recheck => {
                if there.is_some() && !self.rules.has(Flaw::NoSecondLook) {
                    self.fails("looks again: the device is there", world, process);
                } else {
                    process.at = match self.rules.has(Flaw::CreateBeforeIntent) {
                        true => At::Create,
                        false => At::Intend,
                    };
                    self.goes_on("looks again: no device", process);
                }
            }
            At::Intend => {
                let act = Act::Intend {
                    domain: process.domain,
                    daemon: self.rules.known(process.daemon),
                    kind: wants.kind,
                    boot: world.boot,
                };
                if world.apply(self.books, device, act) {
                    process.at = At::Create;
                    if self.rules.has(Flaw::CreateBeforeIntent) {
                        self.made(&mut process);
                    }
                    self.becomes("ledger: intent", world, process);
                } else {
                    self.fails("ledger: intent, refused", world, process);
                }
            }
            At::Create => self.create(process),
            At::Failed { again } => {
                if !world.apply(self.books, device, Act::Failed) || !again {
                    self.fails("ledger: failed", world, process);
                } else {
                    process.gpu = None;
                    process.at = At::Place;
                    self.becomes("ledger: failed; tries again", world, process);
                }
            }
            At::Finish => {
                if there.is_some_and(|device| !device.removing) {
                    process.at = At::Record;
                    self.goes_on("finds what it made ready", process);
                } else {
                    self.fails("waits for what it made in vain", world, process);
                }
            }
            At::Record => {
                if world.apply(self.books, device, Act::Created) {
                    process.own |= 1 << device;
                    process.missing &= !(1 << device);
                    self.next_missing("ledger: created", world, process);
                } else {
                    self.fails("ledger: created, refused", world, process);
                }
            }
            At::Daemon => {
                if self.is_orphan(&process) {
                    self.fails("finds its daemon gone", world, process);
                } else {
                    self.exits("exit 0", world, true);
                }
            }
            // The others end with a removal's answer.
            other => panic!("{other:?} is no step of prepare"),
        }
    }

    fn meet(&mut self, mut process: Process) {
        let (device, mut world) = (process.device, self.world);
        let page = world.read(self.books);
        let kind = self.rules.wants(process.domain, process.nth).kind;
        let found = process.seen.take();
        process.at = At::Look;
        match self.books.meet(page, device, process.domain, kind, found) {
            Encounter::Create => {
                process.missing |= 1 << device;
                self.next_want("reads the ledger: to be made", world, process);
            }
            Encounter::Adopt => {
                process.at = At::Idle { own: true };
                self.goes_on("reads the ledger: its own", process);
            }
            Encounter::UseForeign => {
                process.at = At::Idle { own: false };
                self.goes_on("reads the ledger: somebody else's", process);
            }
            Encounter::Replace => self.removes("reads the ledger: its own, of another type", process),
            Encounter::Wait if found.is_none() => {
                let act = Act::Gone;
                if self.may_forget(device) {
                    world.apply(self.books, device, act);
                }
                self.becomes("reads the ledger: removed, not yet forgotten", world, process);
            }
            Encounter::Wait if self.books.entry(page, device).map(|entry| entry.state) == Some(State::Releasing) => {
                self.removes("reads the ledger: a removal was not finished", process);
            }
            Encounter::Wait => {
                self.goes_on("reads the ledger: somebody is at work", process);
                self.fails("waits for somebody at work in vain", world, process);
            }
            _ => self.fails("reads the ledger: another one's", world, process),
        }
    }

    fn create(&mut self, mut process: Process) {
        let (device, mut world) = (process.device, self.world);
        if world.device(device).is_some() {
            process.at = At::Failed { again: false };
            return self.goes_on("create: EEXIST", process);
        }
        *world.device_mut(device) = Some(Device {
            maker: Maker::Domain(process.domain),
            kind: self.rules.wants(process.domain, process.nth).kind,
            open: false,
            removing: false,
        });
        let mut done = process;
        if self.rules.has(Flaw::CreateBeforeIntent) {
            done.at = At::Intend;
        } else {
            self.made(&mut done);
        }
        self.becomes("create", world, done);
        if self.world.left.full > 0 {
            let mut full = self.world;
            full.left.full -= 1;
            process.at = At::Failed { again: true };
            self.becomes("create: ENOSPC", full, process);
        }
    }

    fn made(&self, process: &mut Process) {
        process.gpu = None;
        process.made |= 1 << process.device;
        process.at = At::Finish;
    }

    /// After a removal: what this start waited for goes on.
    pub(super) fn start_resumes(&mut self, what: &'static str, world: World, mut process: Process, done: bool) {
        self.world = world;
        match process.at {
            At::DropNext => self.drop_next(what, process),
            At::Undo => self.undo_next(what, process),
            _ => {
                process.at = At::Look;
                self.goes_on(what, process);
                if !done {
                    self.fails("gives up on an unfinished removal", world, process);
                }
            }
        }
    }

    fn drop_next(&mut self, what: &'static str, mut process: Process) {
        if process.take_next() {
            process.at = At::DropNext;
            return self.removes(what, process);
        }
        process.todo = self.rules.wants(process.domain, process.nth).devices;
        process.take_next();
        process.at = At::Look;
        self.goes_on(what, process);
    }

    fn next_want(&mut self, what: &'static str, world: World, mut process: Process) {
        if process.take_next() {
            process.at = At::Look;
            return self.becomes(what, world, process);
        }
        self.next_missing(what, world, process);
    }

    fn next_missing(&mut self, what: &'static str, world: World, mut process: Process) {
        match bits(process.missing).next() {
            Some(next) => (process.device, process.at) = (next, At::Place),
            None => (process.device, process.at) = (0, At::Daemon),
        }
        self.becomes(what, world, process);
    }

    /// Undoes what this start made, and nothing else.
    fn fails(&mut self, what: &'static str, world: World, mut process: Process) {
        let before = std::mem::replace(&mut self.world, world);
        process.gpu = None;
        (process.missing, process.own, process.foreign, process.seen) = (0, 0, 0, None);
        process.todo = process.made;
        process.made = 0;
        self.undo_next(what, process);
        self.world = before;
    }

    fn undo_next(&mut self, what: &'static str, mut process: Process) {
        if !process.take_next() {
            return self.exits(what, self.world, false);
        }
        process.at = At::Undo;
        if self.rules.has(Flaw::UndoOnlyForgets) {
            process.removal = Some(Removal::Forget);
            return self.goes_on(what, process);
        }
        self.removes(what, process);
    }
}
