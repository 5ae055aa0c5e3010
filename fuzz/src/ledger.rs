//! The ledger: what is read is written back whole, and a record changes by the rules alone, whatever happens.

use mdevkit_core::Uuid;
use mdevkit_core::ledger::{
    Action, Actor, Daemon, Event, FormatError, Ledger, Life, Owner, Record, Sighting, State, reconcile,
};
use serde_json::Value;
use std::collections::BTreeMap;

const BOOT: &str = "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e";

/// Open (regressions/open/ledger): serde_json reads a float again as its neighbour, so an unknown field that holds one, or
/// a number beyond 64 bits, is not kept to the last digit. With its feature `float_roundtrip` this becomes true.
const FLOATS_ARE_KEPT: bool = false;

/// Input: the file; then two bytes for each event: what happens, and to which record by whom.
pub fn ledger(data: &[u8]) {
    let mut parts = crate::parts(data);
    let file = parts.next().unwrap_or_default();
    let mut ledger = match Ledger::read(file) {
        Ok(ledger) => ledger,
        Err(error) => {
            assert_eq!(matches!(error, FormatError::Newer { .. }), is_newer(file), "{error}");
            return;
        }
    };
    if !FLOATS_ARE_KEPT && serde_json::from_slice(file).is_ok_and(|value| has_float(&value)) {
        return;
    }
    nothing_is_lost(file, &ledger);
    settled(&ledger);
    let events = parts.next().unwrap_or(b"\x02\x00\x03\x11\x06\x22\x01\x33");
    for pair in events.chunks_exact(2).take(16) {
        happen(&mut ledger, pair[0], usize::from(pair[1]));
        settled(&ledger);
    }
    let written = ledger.write();
    assert_eq!(Ledger::read(written.as_bytes()).as_ref(), Ok(&ledger), "{written}");

    let boot = BOOT.parse().expect("a good one");
    let others: Vec<Record> = ledger.records().filter(|it| it.boot_id != boot).cloned().collect();
    let before = ledger.records().count();
    let dropped = ledger.forget_other_boots(&boot);
    assert_eq!(before - dropped, ledger.records().count());
    for record in others {
        let kept = ledger.record(record.uuid).is_some();
        assert_eq!(kept, matches!(record.owner, Owner::Other(_)), "{record:?}");
    }
}

/// Whether a newer version wrote it: then nobody may take it for damage.
pub(crate) fn is_newer(file: &[u8]) -> bool {
    let value = serde_json::from_slice::<Value>(file);
    value.is_ok_and(|it| it["version"].as_u64().is_some_and(|version| version > 1))
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_float),
        Value::Object(fields) => fields.values().any(has_float),
        _ => false,
    }
}

/// Written and read again it is the same; and as values it is the file, fields that nobody knows included.
fn nothing_is_lost(file: &[u8], ledger: &Ledger) {
    let written = ledger.write();
    assert_eq!(Ledger::read(written.as_bytes()).as_ref(), Ok(ledger), "{written}");
    let by_device = |bytes: &[u8]| {
        let mut value: Value = serde_json::from_slice(bytes).expect("it was read");
        let list = value["records"].as_array().cloned().unwrap_or_default();
        let records: BTreeMap<Option<Uuid>, Value> = list
            .into_iter()
            .map(|it| (it["uuid"].as_str().and_then(|text| text.parse().ok()), it))
            .collect();
        value["records"] = Value::Null;
        (value, records)
    };
    let ((before, old), (after, new)) = (by_device(file), by_device(written.as_bytes()));
    assert_eq!(before, after, "the file's own fields");
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    for (uuid, record) in &old {
        let (Value::Object(old), Some(Value::Object(new))) = (record, new.get(uuid)) else {
            // A list in the order of the fields is a record for serde, too; there is nothing unknown in it.
            continue;
        };
        for (key, value) in old {
            let known = [
                "uuid",
                "framework",
                "parent",
                "type",
                "state",
                "owner",
                "boot_id",
                "since",
            ]
            .contains(&key.as_str());
            assert!(known || new.get(key) == Some(value), "{key} of {uuid:?} was not kept");
        }
    }
}

/// One event, and the few lines that say what may become of it.
fn happen(ledger: &mut Ledger, what: u8, who: usize) {
    let uuids: Vec<Uuid> = ledger.records().map(|it| it.uuid).collect();
    let Some(uuid) = uuids
        .get(who % 16 % (uuids.len() + 1))
        .copied()
        .or(Some(Uuid::from_u128(who as u128)))
    else {
        return;
    };
    let domains: Vec<Uuid> = ledger.records().filter_map(|it| it.owner.domain()).collect();
    let domain = domains
        .get(who / 16 % (domains.len() + 1))
        .copied()
        .unwrap_or(Uuid::from_u128(7));
    let daemon = Some(Daemon {
        pid: 1,
        start_ticks: 2,
        pid_namespace: 3,
    });
    let since = 1_700_000_000;
    let template = ledger.records().next().cloned();
    let (event, by) = match what % 8 {
        0 => match template {
            Some(record) => {
                let (name, slot) = ("vm".to_owned(), "0".parse().expect("a good one"));
                let owner = Owner::Domain {
                    uuid: domain,
                    name,
                    slot,
                    daemon,
                };
                (Event::Intend(Box::new(Record { uuid, owner, ..record })), None)
            }
            None => return,
        },
        1 => (Event::Created { since }, None),
        2 => (Event::Failed, None),
        3 => (Event::Adopt { domain, daemon, since }, None),
        4 => (
            Event::Release {
                by: Actor::Domain(domain),
                since,
            },
            Some(Actor::Domain(domain)),
        ),
        5 => (
            Event::Release {
                by: Actor::Person,
                since,
            },
            Some(Actor::Person),
        ),
        6 => {
            // In whose name reconcile removes is its own affair.
            let actions = reconcile(ledger, &sighting(ledger)).into_iter();
            let by = actions.filter(|it| it.uuid() == uuid).find_map(|it| match it {
                Action::Remove { by, .. } => Some(by),
                _ => None,
            });
            let Some(by) = by else { return };
            (Event::Release { by, since }, Some(by))
        }
        _ => (Event::Gone, None),
    };
    let before = ledger.clone();
    let done = ledger.apply(uuid, event.clone());
    if done.is_err() {
        assert_eq!(
            *ledger, before,
            "an event that does not fit leaves everything as it was"
        );
        return;
    }
    for record in before.records().filter(|it| it.uuid != uuid) {
        assert_eq!(
            ledger.record(record.uuid),
            Some(record),
            "{event:?} of {uuid} reached {}",
            record.uuid
        );
    }
    let (old, new) = (before.record(uuid), ledger.record(uuid));
    let state = |record: Option<&Record>| record.map(|it| it.state);
    if let Some(old) = old {
        assert!(
            !matches!(old.owner, Owner::Other(_)),
            "{event:?} touched what a newer version owns"
        );
        if let Some(new) = new {
            assert_eq!(new.owner.domain(), old.owner.domain(), "{event:?} changed the owner");
            assert!(matches!(event, Event::Intend(_)) || new.extra == old.extra);
        }
    }
    let fits = match (&event, state(old), state(new)) {
        (Event::Intend(_), None | Some(State::Intent | State::Created), Some(State::Intent)) => true,
        (Event::Created { .. }, Some(State::Intent), Some(State::Created)) => true,
        (Event::Failed, None | Some(State::Intent), None) => true,
        (Event::Adopt { .. }, Some(State::Intent | State::Created), Some(State::Created)) => {
            old.and_then(|it| it.owner.domain()) == Some(domain)
        }
        (Event::Release { .. }, Some(_), Some(State::Releasing)) => match (old.map(|it| &it.owner), by) {
            (Some(Owner::Domain { uuid, .. }), Some(Actor::Domain(domain))) => *uuid == domain,
            (Some(Owner::Manual), Some(Actor::Person)) => true,
            (Some(_), Some(Actor::Domain(_) | Actor::Person)) => false,
            // Reconcile: whatever a domain owns, and what a person began to remove.
            (Some(Owner::Domain { .. }), _) => true,
            (Some(Owner::Manual), _) => state(old) == Some(State::Releasing),
            _ => false,
        },
        (Event::Gone, _, None) => true,
        _ => false,
    };
    assert!(fits, "{event:?}: {:?} became {:?}", state(old), state(new));
}

/// A host on which every second device is there, every third domain runs, and daemons are in each state.
fn sighting(ledger: &Ledger) -> Sighting {
    let records = || ledger.records().enumerate();
    Sighting {
        boot_id: BOOT.parse().expect("a good one"),
        now: 1_700_001_000,
        grace: 600,
        devices: records().filter(|it| it.0 % 2 == 0).map(|it| it.1.uuid).collect(),
        domains: records()
            .filter(|it| it.0 % 3 == 0)
            .filter_map(|it| it.1.owner.domain())
            .collect(),
        daemons: records()
            .filter_map(|(index, it)| Some((it.owner.daemon()?, [Life::Alive, Life::Gone, Life::Unseen][index % 3])))
            .collect(),
    }
}

/// What reconcile does there.
fn settled(ledger: &Ledger) {
    let seen = sighting(ledger);
    let actions = reconcile(ledger, &seen);
    assert_eq!(actions.len(), ledger.records().count());
    for (action, record) in actions.iter().zip(ledger.records()) {
        assert_eq!(action.uuid(), record.uuid);
        let there = seen.devices.contains(&record.uuid) && record.boot_id == seen.boot_id;
        let mut after = ledger.clone();
        match action {
            Action::Keep { .. } => {}
            Action::Forget { .. } => assert!(!there && !matches!(record.owner, Owner::Other(_)), "{record:?}"),
            Action::Remove { by, .. } => {
                let runs = record
                    .owner
                    .domain()
                    .is_some_and(|domain| seen.domains.contains(&domain));
                assert!(there && (!runs || record.state == State::Releasing), "{record:?}");
                let released = after.apply(
                    record.uuid,
                    Event::Release {
                        by: *by,
                        since: seen.now,
                    },
                );
                assert_eq!(released, Ok(()), "what is to be removed can be: {record:?}");
            }
        }
    }
}
