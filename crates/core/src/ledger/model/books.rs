//! The real functions behind small keys: every ledger that the search meets has a number, and what [`Ledger::apply`],
//! [`reconcile`] and [`encounter`] answer for it is asked once and remembered.
//!
//! Invariant: nothing is decided here. A ledger's number stands for that ledger and no other, whatever led to it.

use super::hash::Quick;
use crate::ledger::{
    Action, Actor, BootId, Daemon, Event, Framework, Ledger, Life, Owner, Record, Sighting, State, reconcile,
};
use crate::{Description, Encounter, Existing, Slot, TypeId, TypeSpec, Uuid, Want, encounter};
use serde_json::Map;
use std::collections::HashMap;

/// A ledger's number.
pub(super) type Page = u16;

/// An event in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Intend {
        domain: u8,
        daemon: Option<u8>,
        kind: u8,
        boot: u8,
    },
    Created,
    Failed,
    Adopt {
        domain: u8,
        daemon: Option<u8>,
    },
    Release {
        by: By,
    },
    Gone,
}

/// Who wants a device removed: a domain, or reconcile, which judged that domain's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    Domain(u8),
    Reconcile(u8),
}

/// What a reconcile saw, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sight {
    pub(super) boot: u8,
    pub(super) clock: u8,
    /// The daemon that lives.
    pub(super) daemon: Option<u8>,
    /// The domains with a status file, as a set of bits; so are the devices.
    pub(super) domains: u8,
    pub(super) devices: u8,
}

/// What reconcile says of one record, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NoRecord,
    Keep,
    Forget,
    Remove,
}

/// What stands where a domain looks for its device, in small: its type, none while it is made or removed.
pub(super) type Found = Option<Option<u8>>;

/// A record, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) domain: u8,
    pub(super) daemon: Option<u8>,
    pub(super) state: State,
}

/// All ledgers that were met, and all answers.
pub(super) struct Books {
    ledgers: Vec<Ledger>,
    pages: HashMap<String, Page>,
    applied: HashMap<(Page, u8, Act, u8), Option<Page>, Quick>,
    rebooted: HashMap<(Page, u8), Page, Quick>,
    judged: HashMap<(Page, u8, Sight), Verdict, Quick>,
    met: HashMap<(Page, u8, u8, u8, Found), Encounter, Quick>,
    entries: HashMap<(Page, u8), Option<Entry>, Quick>,
}

/// Seconds from one tick to the next: more than any time of grace.
const TICK: u64 = 10_000;
/// The default time of grace (seconds).
const GRACE: u64 = 600;

impl Books {
    pub(super) fn new() -> Self {
        let mut books = Self {
            ledgers: Vec::new(),
            pages: HashMap::new(),
            applied: HashMap::default(),
            rebooted: HashMap::default(),
            judged: HashMap::default(),
            met: HashMap::default(),
            entries: HashMap::default(),
        };
        books.page(Ledger::default());
        books
    }

    /// How many different ledgers were met.
    pub(super) fn len(&self) -> usize {
        self.ledgers.len()
    }

    fn page(&mut self, ledger: Ledger) -> Page {
        let next = Page::try_from(self.ledgers.len()).unwrap();
        let page = *self.pages.entry(ledger.write()).or_insert(next);
        if page == next {
            self.ledgers.push(ledger);
        }
        page
    }

    fn ledger(&self, page: Page) -> &Ledger {
        &self.ledgers[usize::from(page)]
    }

    /// The ledger after an event; none when the event does not fit.
    pub(super) fn apply(&mut self, page: Page, device: u8, act: Act, clock: u8) -> Option<Page> {
        let key = (page, device, act, clock);
        if let Some(known) = self.applied.get(&key) {
            return *known;
        }
        let mut ledger = self.ledger(page).clone();
        let answer = match ledger.apply(device_uuid(device), event(device, act, since(clock))) {
            Ok(()) => Some(self.page(ledger)),
            Err(_) => {
                assert_eq!(&ledger, self.ledger(page), "an event that does not fit changes nothing");
                None
            }
        };
        self.applied.insert(key, answer);
        answer
    }

    /// The ledger as this boot sees it.
    pub(super) fn on_boot(&mut self, page: Page, boot: u8) -> Page {
        if let Some(known) = self.rebooted.get(&(page, boot)) {
            return *known;
        }
        let mut ledger = self.ledger(page).clone();
        ledger.forget_other_boots(&boot_id(boot));
        let answer = self.page(ledger);
        self.rebooted.insert((page, boot), answer);
        answer
    }

    /// A device's record.
    pub(super) fn entry(&mut self, page: Page, device: u8) -> Option<Entry> {
        if let Some(known) = self.entries.get(&(page, device)) {
            return *known;
        }
        let entry = self.ledger(page).record(device_uuid(device)).map(|record| Entry {
            domain: domain_number(record.owner.domain().unwrap()),
            daemon: record.owner.daemon().map(|daemon| u8::try_from(daemon.pid).unwrap()),
            state: record.state,
        });
        self.entries.insert((page, device), entry);
        entry
    }

    /// Whether two ledgers say the same of a device.
    pub(super) fn is_same(&self, one: Page, other: Page, device: u8) -> bool {
        let record = |page| self.ledger(page).record(device_uuid(device));
        record(one) == record(other)
    }

    /// The devices that have a record, of one domain or of all.
    pub(super) fn records(&mut self, page: Page, domain: Option<u8>) -> u8 {
        (0..super::world::DEVICES)
            .filter(|device| {
                self.entry(page, *device)
                    .is_some_and(|entry| domain.is_none_or(|domain| entry.domain == domain))
            })
            .fold(0, |set, device| set | 1 << device)
    }

    /// What reconcile says of one record.
    pub(super) fn judge(&mut self, page: Page, device: u8, sight: Sight) -> Verdict {
        if let Some(known) = self.judged.get(&(page, device, sight)) {
            return *known;
        }
        let seen = Sighting {
            boot_id: boot_id(sight.boot),
            now: since(sight.clock),
            grace: GRACE,
            devices: bits(sight.devices).map(device_uuid).collect(),
            domains: bits(sight.domains).map(domain_uuid).collect(),
            daemons: (self.ledger(page).records())
                .filter_map(|record| record.owner.daemon())
                .map(|named| {
                    let lives = sight.daemon.map(daemon) == Some(named);
                    (named, if lives { Life::Alive } else { Life::Gone })
                })
                .collect(),
        };
        let action = reconcile(self.ledger(page), &seen)
            .into_iter()
            .find(|action| action.uuid() == device_uuid(device));
        let verdict = match action {
            None => Verdict::NoRecord,
            Some(Action::Keep { .. }) => Verdict::Keep,
            Some(Action::Forget { .. }) => Verdict::Forget,
            Some(Action::Remove { by, .. }) => {
                let owner = self.ledger(page).record(device_uuid(device)).unwrap().owner.domain();
                assert_eq!(by, Actor::Reconcile { owner });
                Verdict::Remove
            }
        };
        self.judged.insert((page, device, sight), verdict);
        verdict
    }

    /// What a start does about what it found.
    pub(super) fn meet(&mut self, page: Page, device: u8, domain: u8, kind: u8, found: Found) -> Encounter {
        let key = (page, device, domain, kind, found);
        if let Some(known) = self.met.get(&key) {
            return known.clone();
        }
        let want = Want::new(slot(device), device_uuid(device), TypeSpec::from(type_id(kind)));
        let existing = found.map(|kind| Existing {
            parent: "mtty".parse().unwrap(),
            type_id: kind.map(type_id),
            type_name: None,
            description: Description::default(),
        });
        let record = self.ledger(page).record(want.uuid);
        let answer = encounter(&want, domain_uuid(domain), existing.as_ref(), record);
        self.met.insert(key, answer.clone());
        answer
    }
}

fn event(device: u8, act: Act, since: u64) -> Event {
    match act {
        Act::Intend {
            domain,
            daemon: caller,
            kind,
            boot,
        } => Event::Intend(Box::new(Record {
            uuid: device_uuid(device),
            framework: Framework::Mdev,
            parent: "mtty".parse().unwrap(),
            type_id: type_id(kind),
            state: State::Intent,
            owner: Owner::Domain {
                uuid: domain_uuid(domain),
                name: "vm".to_owned(),
                slot: slot(device),
                daemon: caller.map(daemon),
            },
            boot_id: boot_id(boot),
            since,
            extra: Map::new(),
        })),
        Act::Created => Event::Created { since },
        Act::Failed => Event::Failed,
        Act::Adopt { domain, daemon: caller } => Event::Adopt {
            domain: domain_uuid(domain),
            daemon: caller.map(daemon),
            since,
        },
        Act::Release { by } => Event::Release {
            by: match by {
                By::Domain(domain) => Actor::Domain(domain_uuid(domain)),
                By::Reconcile(judged) => Actor::Reconcile {
                    owner: Some(domain_uuid(judged)),
                },
            },
            since,
        },
        Act::Gone => Event::Gone,
    }
}

/// The members of a set of bits.
pub(super) fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| set & (1 << bit) != 0)
}

fn since(clock: u8) -> u64 {
    u64::from(clock) * TICK
}

fn device_uuid(device: u8) -> Uuid {
    Uuid::from_u128(0xd0 + u128::from(device))
}

fn domain_uuid(domain: u8) -> Uuid {
    Uuid::from_u128(0xa0 + u128::from(domain))
}

fn domain_number(domain: Uuid) -> u8 {
    u8::try_from(domain.as_u128() - 0xa0).unwrap()
}

fn boot_id(boot: u8) -> BootId {
    Uuid::from_u128(0xb0 + u128::from(boot)).to_string().parse().unwrap()
}

fn type_id(kind: u8) -> TypeId {
    format!("mtty-{}", kind + 1).parse().unwrap()
}

fn slot(device: u8) -> Slot {
    Slot::new(u16::from(device)).unwrap()
}

fn daemon(number: u8) -> Daemon {
    Daemon {
        pid: u32::from(number),
        start_ticks: 1,
        pid_namespace: 1,
    }
}
