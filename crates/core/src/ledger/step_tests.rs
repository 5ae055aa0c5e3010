//! Every cell of (record, event), written out; then that no sequence of events breaks what the ledger promises.

use super::*;
use crate::ledger::{Framework, Ledger};
use crate::{Slot, Uuid};
use proptest::prelude::*;
use serde_json::Map;

const DEVICE: Uuid = Uuid::from_u128(0xd0);
const HERE: Uuid = Uuid::from_u128(0x1111);
const THERE: Uuid = Uuid::from_u128(0x2222);

const OLD: Daemon = Daemon {
    pid: 800,
    start_ticks: 1234,
    pid_namespace: 4_026_531_836,
};
const NEW: Daemon = Daemon { pid: 900, ..OLD };

fn of_domain(uuid: Uuid) -> Owner {
    Owner::Domain {
        uuid,
        name: "vm".to_owned(),
        slot: Slot::new(3).unwrap(),
        daemon: Some(OLD),
    }
}

fn newer() -> Owner {
    Owner::Other(Map::from_iter([("kind".to_owned(), "lease".into())]))
}

fn owners() -> [Owner; 4] {
    [of_domain(HERE), of_domain(THERE), Owner::Manual, newer()]
}

const STATES: [State; 3] = [State::Intent, State::Created, State::Releasing];

fn record(uuid: Uuid, owner: Owner, state: State) -> Record {
    Record {
        uuid,
        framework: Framework::Mdev,
        parent: "mtty".parse().unwrap(),
        type_id: "mtty-2".parse().unwrap(),
        state,
        owner,
        boot_id: "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e".parse().unwrap(),
        since: 100,
        extra: Map::from_iter([("note".to_owned(), "kept".into())]),
    }
}

fn intend(owner: Owner) -> Event {
    let mut intent = record(Uuid::nil(), owner, State::Releasing);
    intent.parent = "0000:3b:00.0".parse().unwrap();
    intent.since = 200;
    Event::Intend(Box::new(intent))
}

fn events() -> [(&'static str, Event); 15] {
    let adopt = |domain| Event::Adopt {
        domain,
        daemon: Some(NEW),
        since: 200,
    };
    let release = |by| Event::Release { by, since: 200 };
    [
        ("intend here", intend(of_domain(HERE))),
        ("intend there", intend(of_domain(THERE))),
        ("intend by hand", intend(Owner::Manual)),
        ("created", Event::Created { since: 200 }),
        ("failed", Event::Failed),
        ("adopt here", adopt(HERE)),
        ("adopt there", adopt(THERE)),
        ("release here", release(Actor::Domain(HERE))),
        ("release there", release(Actor::Domain(THERE))),
        ("release person", release(Actor::Person)),
        ("reconcile here", release(Actor::Reconcile { owner: Some(HERE) })),
        ("reconcile there", release(Actor::Reconcile { owner: Some(THERE) })),
        ("reconcile hand", release(Actor::Reconcile { owner: None })),
        ("gone", Event::Gone),
        ("intend newer", intend(newer())),
    ]
}

/// What a cell says.
fn cell(answer: &Result<Option<Record>, StepError>) -> char {
    match answer {
        Ok(None) => '-',
        Ok(Some(record)) => match record.state {
            State::Intent => 'I',
            State::Created => 'C',
            State::Releasing => 'R',
        },
        Err(StepError::NoRecord { .. }) => 'n',
        Err(StepError::NotYours { .. }) => 'y',
        Err(StepError::WrongState { .. }) => 'w',
    }
}

/// `I`, `C`, `R`: the state that follows. `-`: no record. Errors: `n` no record, `y` not yours, `w` wrong state.
const TABLE: &str = "
                     intend here
                     |  intend there
                     |  |  by hand
                     |  |  |  created
                     |  |  |  |  failed
                     |  |  |  |  |  adopt here
                     |  |  |  |  |  |  adopt there
                     |  |  |  |  |  |  |  release here
                     |  |  |  |  |  |  |  |  release there
                     |  |  |  |  |  |  |  |  |  person
                     |  |  |  |  |  |  |  |  |  |  reconcile here
                     |  |  |  |  |  |  |  |  |  |  |  there
                     |  |  |  |  |  |  |  |  |  |  |  |  by hand
                     |  |  |  |  |  |  |  |  |  |  |  |  |  gone
                     |  |  |  |  |  |  |  |  |  |  |  |  |  |  intend newer
    nothing          I  I  I  n  -  n  n  n  n  n  n  n  n  -  I
    here intent      I  y  y  C  -  C  y  R  y  y  R  y  y  -  y
    here created     I  y  y  w  w  C  y  R  y  y  R  y  y  -  y
    here releasing   w  y  y  w  w  w  y  R  y  y  R  y  y  -  y
    there intent     y  I  y  C  -  y  C  y  R  y  y  R  y  -  y
    there created    y  I  y  w  w  y  C  y  R  y  y  R  y  -  y
    there releasing  y  w  y  w  w  y  w  y  R  y  y  R  y  -  y
    hand intent      y  y  y  C  -  y  y  y  y  R  y  y  y  -  y
    hand created     y  y  y  w  w  y  y  y  y  R  y  y  y  -  y
    hand releasing   y  y  y  w  w  y  y  y  y  R  y  y  R  -  y
    newer intent     y  y  y  y  y  y  y  y  y  y  y  y  y  y  y
    newer created    y  y  y  y  y  y  y  y  y  y  y  y  y  y  y
    newer releasing  y  y  y  y  y  y  y  y  y  y  y  y  y  y  y
";

/// The rows of the table in its order.
fn rows() -> Vec<Option<Record>> {
    std::iter::once(None)
        .chain(
            owners()
                .into_iter()
                .flat_map(|owner| STATES.map(|state| Some(record(DEVICE, owner.clone(), state)))),
        )
        .collect()
}

#[test]
fn every_cell_of_the_table() {
    let written: Vec<&str> = TABLE
        .lines()
        .filter(|line| !line.contains('|') && !line.contains("intend here"))
        .collect();
    let written: Vec<&str> = written.into_iter().filter(|line| !line.trim().is_empty()).collect();
    let rows = rows();
    assert_eq!(written.len(), rows.len(), "a row for each record");
    for (line, record) in written.iter().zip(&rows) {
        let (name, cells) = line.split_at(21);
        let expected: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(expected.len(), events().len(), "a cell for each event: {line}");
        for ((event_name, event), expected) in events().into_iter().zip(expected) {
            let answer = step(record.as_ref(), DEVICE, event);
            assert_eq!(
                cell(&answer).to_string(),
                expected,
                "{} x {event_name}: {answer:?}",
                name.trim()
            );
        }
    }
}

#[test]
fn what_follows_is_the_same_device_with_the_new_facts_and_no_others() {
    for before in rows() {
        for (name, event) in events() {
            let Ok(Some(after)) = step(before.as_ref(), DEVICE, event.clone()) else {
                continue;
            };
            assert_eq!(after.uuid, DEVICE, "{name}: whatever uuid the intent carried");
            if let Event::Intend(intent) = event {
                let expected = Record {
                    uuid: DEVICE,
                    state: State::Intent,
                    ..*intent
                };
                assert_eq!(after, expected, "{name}");
                continue;
            }
            let before = before.clone().unwrap();
            let owner = match (&event, &before.owner) {
                (Event::Adopt { daemon, .. }, Owner::Domain { uuid, name, slot, .. }) => Owner::Domain {
                    uuid: *uuid,
                    name: name.clone(),
                    slot: *slot,
                    daemon: *daemon,
                },
                (_, owner) => owner.clone(),
            };
            // A second release is no news: the time of the first stands.
            let since = if before.state == State::Releasing {
                before.since
            } else {
                200
            };
            let expected = Record {
                state: after.state,
                owner,
                since,
                ..before
            };
            assert_eq!(after, expected, "{name}");
        }
    }
}

#[test]
fn a_device_changes_hands_only_by_adoption_and_then_within_its_domain() {
    for before in rows().into_iter().flatten() {
        for (name, event) in events() {
            let adopts = matches!(event, Event::Adopt { .. });
            let Ok(Some(after)) = step(Some(&before), DEVICE, event) else {
                continue;
            };
            assert_eq!(after.owner.domain(), before.owner.domain(), "{name}");
            assert!(after.owner == before.owner || adopts, "{name}: {:?}", after.owner);
        }
    }
}

#[test]
fn messages_name_the_device_and_its_owner() {
    let mine = record(DEVICE, of_domain(HERE), State::Created);
    let release = Event::Release {
        by: Actor::Person,
        since: 0,
    };
    for (record, event, expected) in [
        (
            None,
            Event::Created { since: 0 },
            "device 00000000-0000-0000-0000-0000000000d0 is not in the ledger",
        ),
        (
            Some(&mine),
            release,
            "device 00000000-0000-0000-0000-0000000000d0 belongs to domain vm (00000000-0000-0000-0000-000000001111)",
        ),
        (
            Some(&mine),
            Event::Failed,
            "device 00000000-0000-0000-0000-0000000000d0 is recorded as created",
        ),
    ] {
        assert_eq!(step(record, DEVICE, event).unwrap_err().to_string(), expected);
    }
}

#[test]
fn another_boot_takes_all_records_but_those_of_an_unknown_kind() {
    let mut ledger = Ledger::default();
    for (number, owner) in owners().into_iter().enumerate() {
        let uuid = Uuid::from_u128(number as u128);
        ledger.apply(uuid, intend(owner)).unwrap();
    }
    let same = "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e".parse().unwrap();
    let before = ledger.clone();
    assert_eq!(ledger.forget_other_boots(&same), 0);
    assert_eq!(ledger, before);
    assert_eq!(
        ledger.forget_other_boots(&"00000000-0000-0000-0000-000000000001".parse().unwrap()),
        3
    );
    let left: Vec<&Owner> = ledger.records().map(|record| &record.owner).collect();
    assert_eq!(left, [&newer()]);
}

#[test]
fn a_domain_owns_its_own() {
    let mut ledger = Ledger::default();
    for (number, owner) in owners().into_iter().enumerate() {
        ledger.apply(Uuid::from_u128(number as u128), intend(owner)).unwrap();
    }
    assert_eq!(
        ledger.of_domain(HERE).map(|record| record.uuid).collect::<Vec<_>>(),
        [Uuid::from_u128(0)]
    );
    assert_eq!(ledger.record(Uuid::from_u128(1)).unwrap().owner.domain(), Some(THERE));
    assert_eq!(ledger.record(Uuid::from_u128(9)), None);
}

// ---- what always holds -----------------------------------------------------------------------------------------

fn any_event() -> impl Strategy<Value = (u8, Event)> {
    (0..3u8, 0..15usize).prop_map(|(device, event)| (device, events()[event].1.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_ledgers_promises(history in proptest::collection::vec(any_event(), 0..60)) {
        let mut ledger = Ledger::default();
        for (device, event) in history {
            let device = Uuid::from_u128(u128::from(device));
            let before = ledger.clone();
            let had = before.record(device).cloned();
            let outcome = ledger.apply(device, event.clone());
            let has = ledger.record(device).cloned();
            for other in before.records().filter(|record| record.uuid != device) {
                prop_assert_eq!(ledger.record(other.uuid), Some(other), "others are not touched");
            }
            if outcome.is_err() {
                prop_assert_eq!(&ledger, &before, "an error changes nothing");
            }
            if let Some(had) = had {
                if matches!(had.owner, Owner::Other(_)) {
                    prop_assert_eq!(has.as_ref(), Some(&had), "a kind that we do not know is kept");
                }
                if let Some(has) = has {
                    prop_assert_eq!(has.owner.domain(), had.owner.domain(), "hands change only through nothing");
                    if had.state == State::Releasing {
                        prop_assert_eq!(has.state, State::Releasing, "there is no way back from a removal");
                    }
                } else {
                    prop_assert!(matches!(event, Event::Gone | Event::Failed));
                }
            } else if has.is_some() {
                prop_assert!(matches!(event, Event::Intend(_)), "a record begins as an intent");
            }
            let twice = ledger.clone();
            if matches!(event, Event::Release { .. } | Event::Gone | Event::Adopt { .. }) && outcome.is_ok() {
                prop_assert_eq!(ledger.apply(device, event), Ok(()), "twice is the same as once");
                prop_assert_eq!(ledger, twice.clone());
            }
            ledger = twice;
        }
    }
}
