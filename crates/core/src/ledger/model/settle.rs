//! Reconcile, step by step: `host::reconcile`. Its first look only leaves records out, so here it leaves out none: the
//! search covers every choice that it could make.
//!
//! ```text
//! read all ─► for each record: lock its domain ─► read again ─► daemons ─► status files ─► devices
//!                                                                └► core: reconcile ─► keep | forget | removal
//! ```

use super::books::{Act, Sight, Verdict};
use super::steps::{Flaw, Step};
use super::world::{At, Process, World};

impl Step<'_> {
    pub(super) fn reconcile(mut self) {
        let mut process = self.process();
        let (device, mut world) = (process.device, self.world);
        let clock_last = self.rules.has(Flaw::ClockLast);
        let files_first = self.rules.has(Flaw::StatusFilesFirst);
        match process.at {
            At::Snapshot => {
                // Under the ledger's lock: other boots' records go for good.
                world.page = world.read(self.books);
                process.page = world.page;
                process.todo = self.books.records(process.page, None);
                self.next_record("reads all records", world, process);
            }
            At::LockRecord => {
                let owner = self.books.entry(process.page, device).unwrap().domain;
                process.at = At::ReadAgain;
                if self.rules.has(Flaw::ReconcileTakesNoLock) {
                    self.goes_on("takes no lock", process);
                } else if world.locked(owner) {
                    self.next_record("finds the domain locked", world, process);
                } else {
                    process.lock = Some(owner);
                    self.goes_on("locks the domain", process);
                }
            }
            At::ReadAgain => {
                let page = world.read(self.books);
                let before = self.books.entry(process.page, device).unwrap().domain;
                match self.books.entry(page, device) {
                    Some(now) if now.domain == before || self.rules.has(Flaw::SettlesAnyOwner) => {
                        process.again = page;
                        if files_first {
                            process.saw_clock = world.clock;
                        }
                        process.at = if files_first { At::SeeDomains } else { At::SeeDaemons };
                        self.goes_on("reads the ledger again", process);
                    }
                    _ => self.next_record("reads that the record is gone, or another one's", world, process),
                }
            }
            At::SeeDaemons => {
                process.saw_daemon = world.living();
                process.at = match self.rules.flaw {
                    Some(Flaw::StatusFilesFirst) => At::SeeDevices,
                    Some(Flaw::ClockLast) => At::SeeDomains,
                    _ => At::SeeClock,
                };
                self.goes_on("looks which daemon lives", process);
            }
            At::SeeClock => {
                process.saw_clock = world.clock;
                process.at = if clock_last { At::SeeDevices } else { At::SeeDomains };
                self.goes_on("looks at the clock", process);
            }
            At::SeeDomains => {
                process.saw_domains = world.status_files();
                process.at = match self.rules.flaw {
                    Some(Flaw::StatusFilesFirst) => At::SeeDaemons,
                    Some(Flaw::ClockLast) => At::SeeClock,
                    _ => At::SeeDevices,
                };
                self.goes_on("reads the status files", process);
            }
            At::SeeDevices => self.decide(process),
            At::Drop => {
                // Whoever holds no lock of this domain may have written meanwhile: only the record that was judged goes.
                let page = world.read(self.books);
                let same = self.books.is_same(page, process.again, device);
                if same || self.rules.has(Flaw::DropsAnyRecord) {
                    world.apply(self.books, device, Act::Gone);
                }
                self.next_record("ledger: gone", world, process);
            }
            other => panic!("{other:?} is no step of reconcile"),
        }
    }

    fn decide(&mut self, mut process: Process) {
        let world = self.world;
        let sight = Sight {
            boot: world.boot,
            clock: process.saw_clock,
            daemon: process.saw_daemon,
            domains: process.saw_domains,
            devices: world.existing(),
        };
        let verdict = self.books.judge(process.again, process.device, sight);
        (process.saw_daemon, process.saw_clock, process.saw_domains) = (None, 0, 0);
        match verdict {
            Verdict::NoRecord | Verdict::Keep => self.next_record("looks at the devices: keep", world, process),
            Verdict::Forget => {
                process.at = At::Drop;
                self.goes_on("looks at the devices: forget", process);
            }
            Verdict::Remove => {
                process.domain = self.books.entry(process.again, process.device).unwrap().domain;
                process.again = 0;
                process.at = At::Collect;
                self.removes("looks at the devices: remove", process);
            }
        }
    }

    pub(super) fn next_record(&mut self, what: &'static str, world: World, mut process: Process) {
        process.lock = None;
        (process.domain, process.again) = (0, 0);
        if !process.take_next() {
            return self.exits(what, world, true);
        }
        process.at = At::LockRecord;
        self.becomes(what, world, process);
    }
}
