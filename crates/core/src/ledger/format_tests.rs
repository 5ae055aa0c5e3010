//! The ledger's file: what is read, what is refused, and what survives being read and written.

use super::*;
use crate::ledger::{Daemon, Framework, Owner, State};
use crate::{ParentName, Slot, TypeId};
use proptest::prelude::*;

/// A file as a newer minor version might have left it: fields we do not know at every place that may have them.
const FILE: &str = r#"{"version":1,
"records":[
{"uuid":"00000000-0000-0000-0000-000000000001","framework":"mdev","parent":"0000:3b:00.0","type":"nvidia-196","state":"created","owner":{"kind":"domain","uuid":"11111111-0000-0000-0000-000000000001","name":"vm \"ä\"","slot":"0","daemon":{"pid":800,"start_ticks":1234,"pid_namespace":4026531836}},"boot_id":"6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e","since":1700000000,"numa":{"node":1,"why":["near",null]}},
{"uuid":"00000000-0000-0000-0000-000000000002","framework":"mdev","parent":"mtty","type":"mtty-2","state":"intent","owner":{"kind":"manual"},"boot_id":"6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e","since":0},
{"uuid":"00000000-0000-0000-0000-000000000003","framework":"mdev","parent":"mtty","type":"mtty-2","state":"releasing","owner":{"kind":"lease","until":1800000000,"of":{"a":[1,2]}},"boot_id":"6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e","since":5}],
"cordons":["0000:3b:00.0"],"note":"kept"}
"#;

fn damage(text: &str) -> String {
    match Ledger::read(text.as_bytes()) {
        Err(FormatError::Damaged { why }) => why,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_we_do_not_know_is_written_back_as_it_was() {
    let ledger = Ledger::read(FILE.as_bytes()).unwrap();
    let records: Vec<&Record> = ledger.records().collect();
    assert_eq!(records.len(), 3);
    assert_eq!(
        records[0].owner.to_string(),
        r#"domain vm \"ä\" (11111111-0000-0000-0000-000000000001)"#
    );
    assert_eq!(records[0].extra.get("numa").unwrap()["node"], 1);
    assert!(matches!(records[2].owner, Owner::Other(_)));
    let before: Value = serde_json::from_str(FILE).unwrap();
    let after: Value = serde_json::from_str(&ledger.write()).unwrap();
    assert_eq!(after, before, "as values: the order of keys says nothing");
    assert_eq!(Ledger::read(ledger.write().as_bytes()), Ok(ledger));
}

/// A number that we do not know came back as its neighbour (found by fuzzing).
#[test]
fn a_fraction_in_an_unknown_field_is_the_same_each_time() {
    for number in [
        "402111111111111111111111111111111111111111111116531836",
        "0.1",
        "1.7976931348623157e308",
    ] {
        let file = FILE.replace("1800000000", number);
        let ledger = Ledger::read(file.as_bytes()).unwrap();
        let (once, again) = (ledger.write(), Ledger::read(ledger.write().as_bytes()));
        assert_eq!(again.as_ref(), Ok(&ledger), "{number}");
        assert_eq!(again.unwrap().write(), once);
    }
}

#[test]
fn a_file_is_one_record_a_line() {
    assert_eq!(Ledger::default().write(), "{\"version\":1,\n\"records\":[]}\n");
    let text = Ledger::read(FILE.as_bytes()).unwrap().write();
    let records: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"uuid\"")).collect();
    assert_eq!(records.len(), 3, "{text}");
    for line in records {
        let one: Value = serde_json::from_str(line.trim_end_matches([',', ']'])).unwrap();
        assert!(one.is_object());
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_damaged_and_never_half_a_ledger() {
    let whole = Ledger::read(FILE.as_bytes()).unwrap();
    for file in [FILE.to_owned(), whole.write()] {
        for end in 0..=file.len() {
            match Ledger::read(&file.as_bytes()[..end]) {
                Ok(read) => {
                    assert_eq!(read, whole);
                    assert!(end >= file.trim_end().len(), "{end}");
                }
                Err(FormatError::Damaged { .. }) => assert!(end < file.trim_end().len(), "{end}"),
                Err(error) => panic!("cut at {end}: {error}"),
            }
        }
    }
}

#[test]
fn a_newer_version_is_refused_and_not_taken_for_damage() {
    for (text, version) in [
        (r#"{"version":2,"records":[]}"#, 2),
        (r#"{"version":2}"#, 2),
        (r#"{"version":18446744073709551615,"shelves":{}}"#, u64::MAX),
        (r#"{"records":"they are elsewhere now","version":3}"#, 3),
    ] {
        let error = Ledger::read(text.as_bytes()).unwrap_err();
        assert_eq!(error, FormatError::Newer { version }, "{text}");
        assert!(
            error.to_string().contains(&format!("version {version} is newer")),
            "{error}"
        );
    }
}

#[test]
fn what_is_not_a_ledger_is_damaged() {
    let record = |change: fn(&mut Map<String, Value>)| {
        let Value::Object(mut file) = serde_json::from_str(FILE).unwrap() else {
            panic!("an object")
        };
        change(file["records"][0].as_object_mut().unwrap());
        Value::Object(file).to_string()
    };
    for text in [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "not json",
        "{\"version\":1}",
        r#"{"records":[]}"#,
        r#"{"version":0,"records":[]}"#,
        r#"{"version":-1,"records":[]}"#,
        r#"{"version":1.5,"records":[]}"#,
        r#"{"version":"1","records":[]}"#,
        r#"{"version":null,"records":[]}"#,
        r#"{"version":1,"records":{}}"#,
        r#"{"version":1,"records":[null]}"#,
        r#"{"version":1,"records":[{}]}"#,
        r#"{"version":1,"records":[]} x"#,
        r#"{"version":1,"records":[]}{"version":1,"records":[]}"#,
        &"[".repeat(100_000),
        &record(|r| drop(r.remove("uuid"))),
        &record(|r| drop(r.remove("owner"))),
        &record(|r| drop(r.insert("uuid".into(), "x".into()))),
        &record(|r| drop(r.insert("parent".into(), "../../etc".into()))),
        &record(|r| drop(r.insert("type".into(), "a/b".into()))),
        &record(|r| drop(r.insert("state".into(), "asleep".into()))),
        &record(|r| drop(r.insert("framework".into(), "astral".into()))),
        &record(|r| drop(r.insert("since".into(), (-1).into()))),
        &record(|r| drop(r.insert("owner".into(), "vm".into()))),
        &record(|r| drop(r["owner"].as_object_mut().unwrap().remove("kind"))),
        &record(|r| drop(r["owner"].as_object_mut().unwrap().insert("kind".into(), 7.into()))),
        &record(|r| drop(r["owner"].as_object_mut().unwrap().remove("slot"))),
        &record(|r| drop(r["owner"].as_object_mut().unwrap().insert("slot".into(), "256".into()))),
    ] {
        assert!(!damage(text).is_empty());
    }
    assert!(Ledger::read(&[0xff, 0xfe]).is_err());
}

#[test]
fn a_device_that_stands_twice_is_damage() {
    let Value::Object(mut file) = serde_json::from_str(FILE).unwrap() else {
        panic!("an object")
    };
    let list = file["records"].as_array_mut().unwrap();
    let mut again = list[0].clone();
    again["state"] = "intent".into();
    list.push(again);
    let why = damage(&Value::Object(file).to_string());
    assert_eq!(why, "device 00000000-0000-0000-0000-000000000001 stands twice");
}

#[test]
fn a_domain_without_a_daemon_is_written_without_one() {
    let mut ledger = Ledger::default();
    let mut record = Ledger::read(FILE.as_bytes()).unwrap().records().next().unwrap().clone();
    if let Owner::Domain { daemon, .. } = &mut record.owner {
        *daemon = None;
    }
    ledger.records.insert(record.uuid, record);
    assert!(!ledger.write().contains("daemon"));
    assert_eq!(Ledger::read(ledger.write().as_bytes()), Ok(ledger));
}

// ---- what always holds -----------------------------------------------------------------------------------------

fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Fields that no version of ours has.
fn any_extra() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::hash_map("x-\\PC{0,8}", any_value(), 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn any_owner() -> impl Strategy<Value = Owner> {
    let daemon = (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(pid, start_ticks, pid_namespace)| Daemon {
        pid,
        start_ticks,
        pid_namespace,
    });
    prop_oneof![
        (any_uuid(), any::<String>(), any::<u8>(), proptest::option::of(daemon)).prop_map(
            |(uuid, name, slot, daemon)| {
                Owner::Domain {
                    uuid,
                    name,
                    slot: Slot::new(u16::from(slot)).unwrap(),
                    daemon,
                }
            }
        ),
        Just(Owner::Manual),
        any_extra().prop_map(|mut fields| {
            fields.insert("kind".to_owned(), "process".into());
            Owner::Other(fields)
        }),
    ]
}

prop_compose! {
    fn any_record()(
        uuid in any_uuid(),
        parent in "[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]|[a-z][a-z0-9._-]{0,20}",
        type_id in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}",
        state in proptest::sample::select(vec![State::Intent, State::Created, State::Releasing]),
        owner in any_owner(),
        boot_id in any_uuid(),
        since in any::<u64>(),
        extra in any_extra(),
    ) -> Record {
        Record {
            uuid,
            framework: Framework::Mdev,
            parent: parent.parse::<ParentName>().unwrap(),
            type_id: type_id.parse::<TypeId>().unwrap(),
            state,
            owner,
            boot_id: boot_id.to_string().parse().unwrap(),
            since,
            extra,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(
        records in proptest::collection::vec(any_record(), 0..6),
        extra in any_extra(),
    ) {
        let records = records.into_iter().map(|record| (record.uuid, record)).collect();
        let ledger = Ledger { records, extra };
        let text = ledger.write();
        let read = Ledger::read(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&ledger));
        prop_assert_eq!(read.unwrap().write(), text, "and is written the same again");
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..FILE.len(), byte in any::<u8>()) {
        let _ = Ledger::read(&bytes);
        let mut torn = FILE.as_bytes().to_vec();
        torn[at] = byte;
        if let Ok(ledger) = Ledger::read(&torn) {
            prop_assert_eq!(Ledger::read(ledger.write().as_bytes()), Ok(ledger));
        }
    }
}
