//! One removal, step by step, and the child that writes: `host::removal`.
//!
//! ```text
//! ledger: releasing ─► there? ─► held open? ─► child ─► the caller waits, at most for a while
//! child:  open `remove` ─► ledger: releasing? ─► held open? ─► write ─► (blocked while it is open) ─► gone ─► ledger: gone
//! ```

use super::books::Act;
use super::steps::{Flaw, Step};
use super::world::{At, Handle, Harm, Maker, Process, Removal, Who, World};

/// Children of one device at a time: a bound of the model, for a start that waits begins one after the other.
const CHILDREN: usize = 2;

impl Step<'_> {
    /// Begins a removal of the process's device.
    pub(super) fn removes(&mut self, what: &'static str, mut process: Process) {
        process.removal = Some(match self.rules.has(Flaw::RemovalWithoutClaim) {
            true => Removal::There,
            false => Removal::Claim,
        });
        self.goes_on(what, process);
    }

    pub(super) fn removal(mut self) {
        let mut process = self.process();
        let (device, mut world) = (process.device, self.world);
        let there = world.device(device);
        match process.removal.unwrap() {
            Removal::Claim => {
                if world.entry(self.books, device).is_none() {
                    self.removed("has no record to remove", world, process, true);
                } else if world.apply(self.books, device, Act::Release { by: process.by() }) {
                    process.removal = Some(Removal::There);
                    self.becomes("ledger: releasing", world, process);
                } else {
                    self.removed("ledger: releasing, refused", world, process, false);
                }
            }
            Removal::There => {
                process.removal = Some(match there {
                    None => Removal::Forget,
                    Some(_) if self.rules.has(Flaw::NoHeldTest) => Removal::Spawn,
                    Some(_) => Removal::Held,
                });
                self.goes_on("looks whether there is a device to remove", process);
            }
            Removal::Forget => {
                if self.may_forget(device) || self.rules.has(Flaw::UndoOnlyForgets) {
                    world.apply(self.books, device, Act::Gone);
                }
                self.removed("ledger: gone, nothing was there", world, process, true);
            }
            Removal::Held => {
                if there.is_some_and(|device| device.open) {
                    self.removed("finds the device held", world, process, false);
                } else {
                    process.removal = Some(Removal::Spawn);
                    self.goes_on("finds nobody hold the device", process);
                }
            }
            Removal::Spawn => {
                process.removal = Some(Removal::Wait);
                let begin = match self.rules.flaw {
                    Some(Flaw::ReaperAsksFirst) => At::Allowed,
                    Some(Flaw::ForgetsBeforeRemoval) => At::Forget,
                    _ => At::Open,
                };
                if world.children(device) >= CHILDREN {
                    return self.goes_on("cannot start a child", process);
                }
                world.spawn(Process {
                    device,
                    ..Process::new(Who::Reaper, begin, 0)
                });
                self.becomes("starts the child", world, process);
            }
            // The child is done, or the time is over: the state of the world tells which, and nothing else.
            Removal::Wait => self.removed("waits for the child no longer", world, process, false),
        }
    }

    /// The removal is over: its caller goes on.
    fn removed(&mut self, what: &'static str, world: World, mut process: Process, done: bool) {
        process.removal = None;
        match process.who {
            Who::Prepare => self.start_resumes(what, world, process, done),
            Who::Release => self.release_next(what, world, process),
            _ => self.next_record(what, world, process),
        }
    }

    pub(super) fn reaper(mut self) {
        let mut process = self.process();
        let (device, mut world) = (process.device, self.world);
        let there = world.device(device);
        let asks_first = self.rules.has(Flaw::ReaperAsksFirst);
        match process.at {
            At::Open => {
                process.handle = match there {
                    // Its directory is empty already.
                    Some(device) if device.removing => return self.exits("finds a removal begun", world, false),
                    Some(_) => Handle::Open,
                    None => Handle::None,
                };
                process.at = match asks_first || self.rules.has(Flaw::ReaperDoesNotAsk) {
                    true => At::Write,
                    false => At::Allowed,
                };
                self.goes_on("opens `remove`", process);
            }
            At::Allowed => {
                if world.is_releasing(self.books, device) {
                    process.at = if asks_first { At::Open } else { At::Unheld };
                    self.goes_on("reads the ledger: releasing", process);
                } else {
                    self.exits("reads the ledger: not to be removed", world, false);
                }
            }
            At::Unheld => {
                let tests = !matches!(self.rules.flaw, Some(Flaw::NoHeldTest | Flaw::ReaperDoesNotTest));
                if tests && process.handle == Handle::Open && there.is_some_and(|device| device.open) {
                    return self.exits("finds the device held", world, false);
                }
                process.at = At::Write;
                self.goes_on("finds nobody hold the device", process);
            }
            At::Write => self.write(process),
            At::Written => {
                // Until then the kernel waits for who has it open.
                if there.is_some_and(|device| !device.open) {
                    world.vanish(device);
                    process.handle = Handle::None;
                    process.at = At::Forget;
                    self.becomes("remove: done", world, process);
                }
            }
            At::Forget => {
                if self.rules.has(Flaw::ForgetsBeforeRemoval) && process.handle == Handle::None && there.is_some() {
                    world.apply(self.books, device, Act::Gone);
                    process.handle = Handle::Open;
                    process.at = At::Write;
                    return self.becomes("ledger: gone, before its time", world, process);
                }
                if self.may_forget(device) {
                    world.apply(self.books, device, Act::Gone);
                }
                self.exits("ledger: gone", world, true);
            }
            other => panic!("{other:?} is no step of the child"),
        }
    }

    fn write(&mut self, mut process: Process) {
        let (number, mut world) = (process.device, self.world);
        let there = world.device(number);
        process.at = At::Forget;
        match (process.handle, there) {
            (Handle::None, _) | (Handle::Stale, None) => {
                process.handle = Handle::None;
                self.goes_on("finds the device gone", process);
            }
            (Handle::Stale, Some(_)) => self.exits("remove: ENODEV", world, false),
            (Handle::Open, Some(device)) if device.removing => self.exits("remove: EAGAIN", world, false),
            (Handle::Open, device) => {
                let mut device = device.expect("an open file is of a device that is there, or stale");
                device.removing = true;
                *world.device_mut(number) = Some(device);
                match device.maker {
                    Maker::Foreign => world.harm = Some(Harm::ForeignRemoved),
                    Maker::ForeignUnderRecord => world.mistaken = true,
                    Maker::Domain(_) => {}
                }
                if device.open {
                    world.harm = Some(Harm::RemovedWhileHeld);
                }
                process.at = At::Written;
                self.becomes("remove: begun", world, process);
            }
        }
    }

    /// `removal::forget`, under the ledger's lock.
    pub(super) fn may_forget(&mut self, device: u8) -> bool {
        let world: World = self.world;
        world.is_releasing(self.books, device)
            && (world.device(device).is_none() || self.rules.has(Flaw::ForgetsBlindly))
    }
}
