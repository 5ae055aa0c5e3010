//! The whole truth table: every combination of what a record says and what a look at the host showed.

use super::*;
use crate::Slot;
use crate::ledger::{Event, Framework, step};
use serde_json::Map;

const DEVICE: Uuid = Uuid::from_u128(0xd0);
const DOMAIN: Uuid = Uuid::from_u128(0x1111);
const DAEMON: Daemon = Daemon {
    pid: 800,
    start_ticks: 1234,
    pid_namespace: 4_026_531_836,
};
const GRACE: u64 = 600;
const SINCE: u64 = 1_000_000;

fn boot(number: u8) -> BootId {
    Uuid::from_u128(u128::from(number)).to_string().parse().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Domain,
    /// A domain whose daemon was never found.
    DomainAlone,
    Hand,
    Newer,
}

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Case {
    same_boot: bool,
    there: bool,
    state: State,
    who: Who,
    runs: bool,
    /// None: nobody looked.
    life: Option<Life>,
    /// How old the record is (seconds); negative when the clock was set back since.
    age: i64,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for same_boot in [true, false] {
            for there in [true, false] {
                for state in [State::Intent, State::Created, State::Releasing] {
                    for who in [Who::Domain, Who::DomainAlone, Who::Hand, Who::Newer] {
                        for runs in [true, false] {
                            for life in [None, Some(Life::Alive), Some(Life::Gone), Some(Life::Unseen)] {
                                for age in [-1000, 0, 599, 600, 1_000_000] {
                                    all.push(Self {
                                        same_boot,
                                        there,
                                        state,
                                        who,
                                        runs,
                                        life,
                                        age,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn record(self) -> Record {
        let domain = |daemon| Owner::Domain {
            uuid: DOMAIN,
            name: "vm".to_owned(),
            slot: Slot::new(0).unwrap(),
            daemon,
        };
        Record {
            uuid: DEVICE,
            framework: Framework::Mdev,
            parent: "mtty".parse().unwrap(),
            type_id: "mtty-2".parse().unwrap(),
            state: self.state,
            owner: match self.who {
                Who::Domain => domain(Some(DAEMON)),
                Who::DomainAlone => domain(None),
                Who::Hand => Owner::Manual,
                Who::Newer => Owner::Other(Map::from_iter([("kind".to_owned(), "lease".into())])),
            },
            boot_id: boot(1),
            since: SINCE,
            extra: Map::new(),
        }
    }

    fn seen(self) -> Sighting {
        Sighting {
            boot_id: boot(if self.same_boot { 1 } else { 2 }),
            now: SINCE.saturating_add_signed(self.age),
            grace: GRACE,
            devices: if self.there {
                BTreeSet::from([DEVICE])
            } else {
                BTreeSet::new()
            },
            domains: if self.runs {
                BTreeSet::from([DOMAIN])
            } else {
                BTreeSet::new()
            },
            daemons: self.life.map(|life| (DAEMON, life)).into_iter().collect(),
        }
    }

    fn judged(self) -> Action {
        judge(&self.record(), &self.seen())
    }
}

/// A row: what it is about, which cases it takes, what follows.
type Row = (&'static str, fn(&Case) -> bool, &'static str);

/// The first row that takes a case decides it.
const ROWS: [Row; 11] = [
    ("a newer mdevkit owns it", |case| case.who == Who::Newer, "keep"),
    ("another boot", |case| !case.same_boot, "forget"),
    ("no device", |case| !case.there, "forget"),
    (
        "a removal that was cut off",
        |case| case.state == State::Releasing,
        "remove",
    ),
    ("made by hand", |case| case.who == Who::Hand, "keep"),
    ("its domain runs", |case| case.runs, "keep"),
    (
        "its daemon lives, and never came",
        |case| case.who == Who::Domain && case.life == Some(Life::Alive) && case.age >= 600,
        "remove",
    ),
    (
        "its daemon lives",
        |case| case.who == Who::Domain && case.life == Some(Life::Alive),
        "keep",
    ),
    (
        "its daemon is gone",
        |case| case.who == Who::Domain && case.life == Some(Life::Gone),
        "remove",
    ),
    ("no proof, time is over", |case| case.age >= 600, "remove"),
    ("no proof, time runs", |_| true, "keep"),
];

#[test]
fn every_combination_follows_the_table() {
    let mut taken = [0; ROWS.len()];
    for case in Case::all() {
        let row = ROWS.iter().position(|(_, takes, _)| takes(&case)).unwrap();
        taken[row] += 1;
        let (why, _, verb) = ROWS[row];
        let action = case.judged();
        assert_eq!(action.verb(), verb, "{why}: {case:?} gave {action:?}");
        assert_eq!(action.uuid(), DEVICE);
        assert!(!action.why().is_empty());
    }
    assert!(
        taken.iter().all(|count| *count > 0),
        "every row decides something: {taken:?}"
    );
}

#[test]
fn nothing_is_removed_that_somebody_will_come_for() {
    for case in Case::all() {
        let action = case.judged();
        if action.verb() == "remove" {
            assert!(case.same_boot && case.there, "{case:?}");
            assert!(case.who != Who::Newer, "{case:?}");
            if case.state != State::Releasing {
                assert!(case.who != Who::Hand && !case.runs, "{case:?}");
                assert!(
                    case.who == Who::DomainAlone || case.life != Some(Life::Alive) || case.age >= 600,
                    "{case:?}"
                );
            }
        }
    }
}

#[test]
fn what_is_decided_the_ledger_allows() {
    for case in Case::all() {
        let record = case.record();
        let event = match case.judged() {
            Action::Keep { .. } => continue,
            Action::Forget { .. } => Event::Gone,
            Action::Remove { by, .. } => Event::Release { by, since: SINCE },
        };
        assert!(
            step(Some(&record), DEVICE, event.clone()).is_ok(),
            "{case:?}: {event:?}"
        );
    }
}

#[test]
fn a_grace_of_nothing_waits_for_nothing() {
    let case = Case {
        same_boot: true,
        there: true,
        state: State::Created,
        who: Who::DomainAlone,
        runs: false,
        life: None,
        age: -1000,
    };
    let seen = Sighting {
        grace: 0,
        ..case.seen()
    };
    assert_eq!(judge(&case.record(), &seen).verb(), "remove");
}

#[test]
fn each_record_has_one_action_in_the_order_of_the_devices_and_no_other_device_has_any() {
    let mut ledger = Ledger::default();
    let devices = [3, 1, 2].map(Uuid::from_u128);
    let case = Case {
        same_boot: true,
        there: true,
        state: State::Created,
        who: Who::Domain,
        runs: false,
        life: Some(Life::Gone),
        age: 0,
    };
    for uuid in devices {
        ledger.apply(uuid, Event::Intend(Box::new(case.record()))).unwrap();
    }
    let foreign = Uuid::from_u128(99);
    let seen = Sighting {
        devices: BTreeSet::from([devices[0], devices[1], foreign]),
        ..case.seen()
    };
    let actions: Vec<(Uuid, &str)> = reconcile(&ledger, &seen)
        .iter()
        .map(|action| (action.uuid(), action.verb()))
        .collect();
    let expected = [(1, "remove"), (2, "forget"), (3, "remove")].map(|(uuid, verb)| (Uuid::from_u128(uuid), verb));
    assert_eq!(actions, expected);
    assert!(reconcile(&Ledger::default(), &seen).is_empty());
}
