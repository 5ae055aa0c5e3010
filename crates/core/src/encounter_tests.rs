//! Each row of the module's table, and that nothing of anybody else's is ever adopted.

use super::*;
use crate::ledger::{Framework, State};
use crate::{Slot, TypeSpec};
use proptest::prelude::*;
use serde_json::Map;

const HERE: Uuid = Uuid::from_u128(0x1111);
const ELSEWHERE: Uuid = Uuid::from_u128(0x2222);
const DEVICE: Uuid = Uuid::from_u128(0xd0);

fn want(spec: &str) -> Want {
    Want::new(Slot::new(0).unwrap(), DEVICE, spec.parse::<TypeSpec>().unwrap())
}

fn device(type_id: Option<&str>, type_name: Option<&str>) -> Existing {
    Existing {
        parent: "mtty".parse().unwrap(),
        type_id: type_id.map(|id| id.parse().unwrap()),
        type_name: type_name.map(|name| name.parse().unwrap()),
        description: Description::default(),
    }
}

fn of_domain(uuid: Uuid) -> Owner {
    Owner::Domain {
        uuid,
        name: "vm".to_owned(),
        slot: Slot::new(0).unwrap(),
        daemon: None,
    }
}

fn newer() -> Owner {
    Owner::Other(Map::from_iter([("kind".to_owned(), "lease".into())]))
}

fn record(owner: Owner, state: State) -> Record {
    Record {
        uuid: DEVICE,
        framework: Framework::Mdev,
        parent: "mtty".parse().unwrap(),
        type_id: "nvidia-196".parse().unwrap(),
        state,
        owner,
        boot_id: "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e".parse().unwrap(),
        since: 0,
        extra: Map::new(),
    }
}

#[test]
fn every_row_of_the_table() {
    use State::{Created, Intent, Releasing};
    let fits = || Some(device(Some("nvidia-196"), Some("GRID V100DX-4Q")));
    let differs = || Some(device(Some("nvidia-197"), Some("GRID V100DX-8Q")));
    let unfinished = || Some(device(None, None));
    let mine = |state| Some(record(of_domain(HERE), state));
    let owned = |by: &str| Encounter::Owned { by: by.to_owned() };
    let rows = [
        ("not there", None, None, Encounter::Create),
        ("not there, but meant to be", None, mine(Intent), Encounter::Create),
        ("not there any more", None, mine(Created), Encounter::Create),
        ("ours, of that type", fits(), mine(Created), Encounter::Adopt),
        (
            "ours, of that type, after a crash",
            fits(),
            mine(Intent),
            Encounter::Adopt,
        ),
        ("ours, of another type", differs(), mine(Created), Encounter::Replace),
        (
            "ours, of another type, after a crash",
            differs(),
            mine(Intent),
            Encounter::Replace,
        ),
        ("ours, being made", unfinished(), mine(Intent), Encounter::Wait),
        ("ours, being released", fits(), mine(Releasing), Encounter::Wait),
        (
            "ours, of another type, being released",
            differs(),
            mine(Releasing),
            Encounter::Wait,
        ),
        ("ours, almost released", unfinished(), mine(Releasing), Encounter::Wait),
        (
            "ours, gone but not yet said to be",
            None,
            mine(Releasing),
            Encounter::Wait,
        ),
        (
            "another domain's",
            fits(),
            Some(record(of_domain(ELSEWHERE), Created)),
            owned("domain vm (00000000-0000-0000-0000-000000002222)"),
        ),
        (
            "another domain's, not there",
            None,
            Some(record(of_domain(ELSEWHERE), Intent)),
            owned("domain vm (00000000-0000-0000-0000-000000002222)"),
        ),
        (
            "made by hand",
            fits(),
            Some(record(Owner::Manual, Created)),
            Encounter::UseForeign,
        ),
        (
            "made by hand, of another type",
            differs(),
            Some(record(Owner::Manual, Created)),
            Encounter::ForeignType {
                found: "nvidia-197".parse().unwrap(),
            },
        ),
        (
            "made by hand, not there",
            None,
            Some(record(Owner::Manual, Created)),
            owned("mdevkit create (made by hand)"),
        ),
        (
            "being made by hand",
            fits(),
            Some(record(Owner::Manual, Intent)),
            owned("mdevkit create (made by hand)"),
        ),
        (
            "of a newer kind",
            fits(),
            Some(record(newer(), Created)),
            owned("an owner that a newer mdevkit wrote"),
        ),
        ("foreign, of that type", fits(), None, Encounter::UseForeign),
        (
            "foreign, of another type",
            differs(),
            None,
            Encounter::ForeignType {
                found: "nvidia-197".parse().unwrap(),
            },
        ),
        ("foreign, being made", unfinished(), None, Encounter::Wait),
    ];
    for (row, found, record, expected) in rows {
        for spec in ["nvidia-196", "V100DX-4Q", "GRID V100DX-4Q"] {
            let got = encounter(&want(spec), HERE, found.as_ref(), record.as_ref());
            assert_eq!(got, expected, "{row}, asked for as {spec}");
        }
    }
}

#[test]
fn a_type_without_a_name_is_known_by_its_id() {
    let found = device(Some("i915-GVTg_V5_4"), None);
    assert_eq!(
        encounter(&want("i915-GVTg_V5_4"), HERE, Some(&found), None),
        Encounter::UseForeign
    );
}

#[test]
fn an_owner_whose_name_is_lost_is_named_by_its_uuid() {
    let mut owner = of_domain(ELSEWHERE);
    if let Owner::Domain { name, .. } = &mut owner {
        name.clear();
    }
    assert_eq!(owner.to_string(), "domain 00000000-0000-0000-0000-000000002222");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_this_domain_does_not_own_is_never_adopted_replaced_or_created_over(
        owner in proptest::sample::select(vec![None, Some(Owner::Manual), Some(newer()), Some(of_domain(ELSEWHERE))]),
        state in proptest::sample::select(vec![State::Intent, State::Created, State::Releasing]),
        type_id in proptest::option::of(proptest::sample::select(vec!["nvidia-196", "nvidia-197"])),
        there in any::<bool>(),
    ) {
        let found = there.then(|| device(type_id, None));
        let record = owner.map(|owner| record(owner, state));
        let got = encounter(&want("nvidia-196"), HERE, found.as_ref(), record.as_ref());
        prop_assert!(!matches!(got, Encounter::Adopt | Encounter::Replace), "{:?}", got);
        if there || record.is_some() {
            prop_assert_ne!(got, Encounter::Create);
        }
    }
}
