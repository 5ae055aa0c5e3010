//! `release`, step by step: `host::release`.
//!
//! ```text
//! owns any? ─► lock ─► read what it owns ─► is the caller dead? then only its own ─► each: removal ─► exit 0
//!                └─ not had ─► is the caller dead? ─ no ─► ledger: releasing, all of them ─► exit 0
//! ```

use super::books::{Act, bits};
use super::steps::{Flaw, Step};
use super::world::{At, Process, World};

impl Step<'_> {
    pub(super) fn release(mut self) {
        let mut process = self.process();
        let mut world = self.world;
        let page = world.read(self.books);
        match process.at {
            At::Owns => {
                if self.books.records(page, Some(process.domain)) == 0 {
                    return self.exits("owns nothing", world, true);
                }
                process.at = At::LockOwned;
                self.goes_on("reads that it owns something", process);
            }
            At::LockOwned => {
                if self.rules.has(Flaw::ReleaseTakesNoLock) {
                    process.at = At::ReadOwned;
                    self.goes_on("takes no lock", process);
                } else if world.locked(process.domain) {
                    process.at = At::TimedOut;
                    self.goes_on("cannot have its domain's lock", process);
                } else {
                    process.lock = Some(process.domain);
                    process.at = At::ReadOwned;
                    self.goes_on("locks its domain", process);
                }
            }
            At::TimedOut => {
                if self.is_orphan(&process) {
                    return self.exits("finds its daemon gone", world, true);
                }
                process.at = At::Condemn;
                self.goes_on("finds its daemon alive", process);
            }
            At::Condemn => {
                for device in bits(self.books.records(page, Some(process.domain))) {
                    let entry = self.books.entry(page, device).unwrap();
                    let of_next = entry.daemon.is_some_and(|daemon| daemon > process.daemon);
                    if !of_next || self.rules.has(Flaw::CondemnsTheNext) {
                        let by = process.by();
                        world.apply(self.books, device, Act::Release { by });
                    }
                }
                self.exits("ledger: releasing, all that it owns", world, true);
            }
            At::ReadOwned => {
                process.page = page;
                process.at = At::Orphaned;
                self.goes_on("reads what it owns", process);
            }
            At::Orphaned => {
                let only_its_own = self.is_orphan(&process) && !self.rules.has(Flaw::ReleaseOfTheDead);
                for device in bits(self.books.records(process.page, Some(process.domain))) {
                    let entry = self.books.entry(process.page, device).unwrap();
                    if !only_its_own || entry.daemon == Some(process.daemon) {
                        process.todo |= 1 << device;
                    }
                }
                process.page = 0;
                self.release_next("looks whether its daemon lives", world, process);
            }
            other => panic!("{other:?} is no step of release"),
        }
    }

    pub(super) fn release_next(&mut self, what: &'static str, world: World, mut process: Process) {
        self.world = world;
        if !process.take_next() {
            return self.exits(what, world, true);
        }
        process.at = At::ReleaseNext;
        self.removes(what, process);
    }

    /// Whether the daemon that called it is gone.
    pub(super) fn is_orphan(&self, process: &Process) -> bool {
        self.rules.daemon_known && self.world.living() != Some(process.daemon)
    }
}
