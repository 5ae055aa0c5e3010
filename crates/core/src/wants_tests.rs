//! Each row of the module's table, what a domain can get wrong, and what holds of every domain.

use super::*;
use crate::{AtLeast, Policy, Profile, RequestSet, TypeSpec};
use proptest::prelude::*;

const HERE: Uuid = Uuid::from_u128(0x1111);
const ELSEWHERE: Uuid = Uuid::from_u128(0x2222);

fn slot(number: u8) -> Slot {
    Slot::new(u16::from(number)).unwrap()
}

fn uuid(number: u8) -> Uuid {
    Uuid::from_u128(0xd0_0000 + u128::from(number))
}

/// A request as `inject` writes it.
fn injected(number: u8) -> Request {
    Request {
        slot: Some(slot(number)),
        ..by_hand("mtty-2", None)
    }
}

/// A request as a person writes it.
fn by_hand(spec: &str, uuid: Option<Uuid>) -> Request {
    Request {
        uuid,
        ..Request::new(spec.parse::<TypeSpec>().unwrap())
    }
}

fn asked(spec: &str) -> Ask {
    spec.parse::<TypeSpec>().unwrap().into()
}

fn mdev(alias: Option<&str>, uuid: Uuid) -> Hostdev {
    Hostdev {
        kind: HostdevKind::Mdev {
            uuid,
            model: Some(DeviceApi::VfioPci),
        },
        alias: alias.map(str::to_owned),
    }
}

/// The hostdev that `inject` writes for a slot.
fn ours(number: u8) -> Hostdev {
    mdev(Some(&Alias(slot(number)).to_string()), uuid(number))
}

fn other(alias: Option<&str>) -> Hostdev {
    Hostdev {
        kind: HostdevKind::Other,
        alias: alias.map(str::to_owned),
    }
}

fn domain(injected_for: Option<Option<Uuid>>, requests: Vec<Request>, hostdevs: Vec<Hostdev>) -> Domain {
    Domain {
        name: "vm".to_owned(),
        uuid: Some(HERE),
        requests: Some(RequestSet { injected_for, requests }),
        hostdevs,
        ..Domain::default()
    }
}

const FOR_HERE: Option<Option<Uuid>> = Some(Some(HERE));

type Found = Result<(Vec<(u8, Uuid)>, usize), WantsError>;

/// The wants as `slot -> device`, and how many warnings there are.
fn ask(domain: &Domain) -> Found {
    wants(domain, &Profiles::new()).map(|found| {
        let wants = found.wants.iter().map(|want| (want.slot.number(), want.uuid)).collect();
        (wants, found.warnings.len())
    })
}

#[test]
fn every_row_of_the_table() {
    let rows: Vec<(&str, Domain, Found)> = vec![
        (
            "slot N | alias N",
            domain(FOR_HERE, vec![injected(3)], vec![ours(3)]),
            Ok((vec![(3, uuid(3))], 0)),
        ),
        (
            "by hand with uuid | that uuid",
            domain(None, vec![by_hand("mtty-2", Some(uuid(9)))], vec![mdev(None, uuid(9))]),
            Ok((vec![(0, uuid(9))], 0)),
        ),
        (
            "by hand with uuid | that uuid, and somebody else's alias",
            domain(
                None,
                vec![by_hand("mtty-2", Some(uuid(9)))],
                vec![mdev(Some("ua-gpu"), uuid(9))],
            ),
            Ok((vec![(0, uuid(9))], 0)),
        ),
        (
            "by hand with uuid | that uuid, and our alias",
            domain(None, vec![by_hand("mtty-2", Some(uuid(9)))], vec![ours(9)]),
            Ok((vec![(9, uuid(9))], 0)),
        ),
        (
            "never injected | none",
            domain(None, vec![by_hand("mtty-2", None)], vec![]),
            Err(WantsError::NeverInjected { ask: asked("mtty-2") }),
        ),
        (
            "never injected | a plain mdev, which may be anybody's",
            domain(None, vec![by_hand("mtty-2", None)], vec![mdev(None, uuid(9))]),
            Err(WantsError::NeverInjected { ask: asked("mtty-2") }),
        ),
        (
            "by hand with a slot, never injected | none",
            domain(None, vec![injected(0)], vec![]),
            Err(WantsError::NeverInjected { ask: asked("mtty-2") }),
        ),
        (
            "by hand with uuid | none of that uuid",
            domain(
                None,
                vec![by_hand("mtty-2", Some(uuid(9)))],
                vec![mdev(None, uuid(8)), other(None)],
            ),
            Err(WantsError::NeverInjected { ask: asked("mtty-2") }),
        ),
        (
            "added by hand after the injection | none",
            domain(FOR_HERE, vec![injected(0), by_hand("mtty-1", None)], vec![ours(0)]),
            Err(WantsError::NeverInjected { ask: asked("mtty-1") }),
        ),
        (
            "slot N, injected | removed since",
            domain(FOR_HERE, vec![injected(0), injected(1)], vec![ours(1)]),
            Ok((vec![(1, uuid(1))], 1)),
        ),
        (
            "slot N, injected before the domain had a uuid | removed since",
            domain(Some(None), vec![injected(0)], vec![]),
            Ok((vec![], 1)),
        ),
        (
            "none | alias N",
            domain(FOR_HERE, vec![injected(0)], vec![ours(0), ours(1)]),
            Err(WantsError::NoRequest {
                slot: slot(1),
                uuid: uuid(1),
            }),
        ),
        (
            "no element at all | alias N",
            Domain {
                requests: None,
                ..domain(None, vec![], vec![ours(1)])
            },
            Err(WantsError::NoRequest {
                slot: slot(1),
                uuid: uuid(1),
            }),
        ),
        (
            "none | any other",
            domain(
                FOR_HERE,
                vec![injected(0)],
                vec![mdev(None, uuid(7)), ours(0), other(Some("hostdev1"))],
            ),
            Ok((vec![(0, uuid(0))], 0)),
        ),
        (
            "nothing at all | any other",
            Domain {
                requests: None,
                ..domain(None, vec![], vec![mdev(Some("ua-mdevkit-x"), uuid(7))])
            },
            Ok((vec![], 0)),
        ),
        (
            "for another domain | any",
            domain(Some(Some(ELSEWHERE)), vec![injected(0)], vec![ours(0)]),
            Err(WantsError::Clone {
                injected_for: ELSEWHERE,
            }),
        ),
        (
            "for another domain | removed",
            domain(Some(Some(ELSEWHERE)), vec![], vec![]),
            Err(WantsError::Clone {
                injected_for: ELSEWHERE,
            }),
        ),
        (
            "for a domain, in a file without uuid: nothing says that it is another",
            Domain {
                uuid: None,
                ..domain(Some(Some(ELSEWHERE)), vec![injected(0)], vec![ours(0)])
            },
            Ok((vec![(0, uuid(0))], 0)),
        ),
    ];
    for (row, domain, expected) in rows {
        assert_eq!(ask(&domain), expected, "{row}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let alias = |n: u8| Alias(slot(n)).to_string();
    let rows = [
        (
            "two requests of one slot",
            domain(FOR_HERE, vec![injected(2), injected(2)], vec![ours(2)]),
            WantsError::DuplicateSlot { slot: slot(2) },
        ),
        (
            "two hostdevs of one alias",
            domain(
                FOR_HERE,
                vec![injected(2)],
                vec![ours(2), mdev(Some(&alias(2)), uuid(7))],
            ),
            WantsError::DuplicateSlot { slot: slot(2) },
        ),
        (
            "two slots, one device",
            domain(
                FOR_HERE,
                vec![injected(0), injected(1)],
                vec![ours(0), mdev(Some(&alias(1)), uuid(0))],
            ),
            WantsError::DuplicateDevice { uuid: uuid(0) },
        ),
        (
            "two by hand, one device",
            domain(
                None,
                vec![by_hand("mtty-1", Some(uuid(4))), by_hand("mtty-2", Some(uuid(4)))],
                vec![mdev(None, uuid(4))],
            ),
            WantsError::DuplicateDevice { uuid: uuid(4) },
        ),
        (
            "one by slot and one by hand, one device",
            domain(
                FOR_HERE,
                vec![by_hand("mtty-1", Some(uuid(4))), injected(4)],
                vec![ours(4)],
            ),
            WantsError::DuplicateDevice { uuid: uuid(4) },
        ),
        (
            "our alias on another kind of hostdev, with a request",
            domain(FOR_HERE, vec![injected(5)], vec![other(Some(&alias(5)))]),
            WantsError::NotMdev { slot: slot(5) },
        ),
        (
            "our alias on another kind of hostdev, without",
            domain(FOR_HERE, vec![], vec![other(Some(&alias(5)))]),
            WantsError::NotMdev { slot: slot(5) },
        ),
        (
            "one more than a domain may have",
            domain(FOR_HERE, (0..17).map(injected).collect(), (0..17).map(ours).collect()),
            WantsError::TooMany { count: 17 },
        ),
    ];
    for (story, domain, expected) in rows {
        let error = ask(&domain).unwrap_err();
        assert_eq!(error, expected, "{story}");
        assert_eq!(error.code(), Code::Request, "{story}");
    }
}

#[test]
fn sixteen_devices_are_as_many_as_a_domain_may_have() {
    let found = ask(&domain(
        FOR_HERE,
        (0..16).map(injected).collect(),
        (0..16).map(ours).collect(),
    ));
    assert_eq!(found.map(|(wants, _)| wants.len()), Ok(16));
}

#[test]
fn wants_come_by_slot_and_by_hand_take_the_slots_between() {
    let mixed = domain(
        FOR_HERE,
        vec![
            injected(4),
            by_hand("mtty-1", Some(uuid(100))),
            injected(0),
            by_hand("mtty-1", Some(uuid(101))),
            by_hand("mtty-1", Some(uuid(1))),
        ],
        vec![mdev(None, uuid(101)), ours(4), ours(1), mdev(None, uuid(100)), ours(0)],
    );
    let expected = [(0, uuid(0)), (1, uuid(1)), (2, uuid(100)), (3, uuid(101)), (4, uuid(4))];
    assert_eq!(ask(&mixed), Ok((expected.to_vec(), 0)));
}

#[test]
fn a_want_carries_all_that_its_request_and_its_hostdev_say() {
    let request = Request {
        policy: Some(Policy::BreadthFirst),
        parent: Some("0000:3b:00.0".parse().unwrap()),
        params: Some("disable_vnc=1".parse().unwrap()),
        // The alias tells the device; a uuid beside it has no say.
        uuid: Some(uuid(99)),
        ..injected(0)
    };
    let model = HostdevKind::Mdev {
        uuid: uuid(0),
        model: None,
    };
    let hostdevs = vec![Hostdev { kind: model, ..ours(0) }, ours(1)];
    let found = wants(
        &domain(FOR_HERE, vec![request.clone(), injected(1)], hostdevs),
        &Profiles::new(),
    )
    .unwrap();
    let expected = Want {
        policy: Some(Policy::BreadthFirst),
        parent: request.parent,
        params: request.params,
        ..Want::new(slot(0), uuid(0), "mtty-2".parse::<TypeSpec>().unwrap())
    };
    assert_eq!(found.wants[0], expected);
    assert_eq!(found.wants[1].policy, None, "the group's, or the host's");
    assert_eq!(found.wants[1].device_api, Some(DeviceApi::VfioPci));
}

#[test]
fn every_message_names_the_way_out() {
    let ask = asked("V100DX-4Q");
    for (error, code, words) in [
        (
            WantsError::NeverInjected { ask: ask.clone() },
            Code::NoHostdev,
            "mdevkit inject",
        ),
        (
            WantsError::NoRequest {
                slot: slot(0),
                uuid: uuid(0),
            },
            Code::NoRequest,
            "mdevkit eject",
        ),
        (
            WantsError::Clone {
                injected_for: ELSEWHERE,
            },
            Code::Clone,
            "mdevkit refresh",
        ),
        (WantsError::NotMdev { slot: slot(0) }, Code::Request, "ua-mdevkit-0"),
        (WantsError::DuplicateSlot { slot: slot(7) }, Code::Request, "slot 7"),
        (
            WantsError::DuplicateDevice { uuid: uuid(0) },
            Code::Request,
            "asked for twice",
        ),
        (WantsError::TooMany { count: 17 }, Code::Request, "16"),
    ] {
        let line = error.to_string();
        assert!(line.contains(words), "{line}");
        assert!(line.len() <= crate::Refusal::HEADLINE, "{line}");
        assert_eq!(error.code(), code, "{line}");
    }
    let warning = Warning::HostdevGone { slot: slot(3), ask }.to_string();
    assert!(
        warning.contains("ua-mdevkit-3") && warning.contains("V100DX-4Q"),
        "{warning}"
    );
}

#[test]
fn a_domain_that_asks_for_nothing_is_not_ours_unless_an_alias_is() {
    let nothing = |hostdevs| Domain {
        requests: None,
        hostdevs,
        ..Domain::default()
    };
    assert!(!nothing(vec![mdev(None, uuid(0)), other(Some("ua-mdevkit-x"))]).concerns_us());
    assert!(nothing(vec![ours(0)]).concerns_us());
    assert!(domain(None, vec![], vec![]).concerns_us());
}

// ---- what always holds -----------------------------------------------------------------------------------------

fn any_request() -> impl Strategy<Value = Request> {
    (proptest::option::of(0..5u8), proptest::option::of(0..5u8)).prop_map(|(number, device)| Request {
        slot: number.map(slot),
        ..by_hand("mtty-2", device.map(uuid))
    })
}

fn any_hostdev() -> impl Strategy<Value = Hostdev> {
    let alias = prop_oneof![
        2 => Just(None),
        6 => (0..5u8).prop_map(|number| Some(Alias(slot(number)).to_string())),
        1 => "[a-z0-9-]{0,12}".prop_map(Some),
    ];
    let kind = prop_oneof![
        8 => (0..8u8).prop_map(|number| HostdevKind::Mdev { uuid: uuid(number), model: None }),
        1 => Just(HostdevKind::Other),
    ];
    (kind, alias).prop_map(|(kind, alias)| Hostdev { kind, alias })
}

fn any_domain() -> impl Strategy<Value = Domain> {
    let injected_for = proptest::sample::select(vec![None, Some(None), FOR_HERE, FOR_HERE, Some(Some(ELSEWHERE))]);
    (
        injected_for,
        proptest::collection::vec(any_request(), 0..5),
        proptest::collection::vec(any_hostdev(), 0..6),
    )
        .prop_map(|(injected_for, requests, hostdevs)| domain(injected_for, requests, hostdevs))
}

/// A domain that only `inject` and people who know what they do have written, in any order.
fn good_domain() -> impl Strategy<Value = Domain> {
    let numbers = proptest::sample::subsequence((0..40u8).collect::<Vec<_>>(), 0..=16);
    numbers.prop_flat_map(|numbers| {
        proptest::collection::vec(0..3u8, numbers.len()).prop_flat_map(move |kinds| {
            let (requests, hostdevs): (Vec<_>, Vec<_>) = numbers
                .iter()
                .zip(kinds)
                .map(|(n, kind)| match kind {
                    0 => (injected(*n), ours(*n)),
                    1 => (by_hand("mtty-1", Some(uuid(*n))), mdev(None, uuid(*n))),
                    _ => (by_hand("mtty-1", Some(uuid(*n))), ours(*n)),
                })
                .unzip();
            (Just(requests).prop_shuffle(), Just(hostdevs).prop_shuffle())
                .prop_map(|(requests, hostdevs)| domain(FOR_HERE, requests, hostdevs))
        })
    })
}

fn distinct<T: Ord>(mut values: Vec<T>) -> bool {
    let count = values.len();
    values.sort();
    values.dedup();
    values.len() == count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_wants_share_a_slot_or_a_device(domain in any_domain()) {
        let Ok(found) = wants(&domain, &Profiles::new()) else { return Ok(()) };
        let set = domain.requests.as_ref().unwrap();
        prop_assert_eq!(found.wants.len() + found.warnings.len(), set.requests.len(), "each request has its say");
        prop_assert!(distinct(found.wants.iter().map(|want| want.slot).collect()), "{:?}", found);
        prop_assert!(distinct(found.wants.iter().map(|want| want.uuid).collect()), "{:?}", found);
        for want in &found.wants {
            prop_assert!(domain.hostdevs.iter().any(|hostdev| hostdev.mdev() == Some(want.uuid)));
        }
        for hostdev in &domain.hostdevs {
            if let (Some(alias), Some(uuid)) = (hostdev.ours(), hostdev.mdev()) {
                let joined = found.wants.iter().find(|want| want.slot == alias.0);
                prop_assert!(
                    joined.map_or(found.wants.iter().any(|want| want.uuid == uuid), |want| want.uuid == uuid),
                    "the alias says slot {}: {:?}", alias.0, found
                );
            }
        }
    }

    #[test]
    fn a_good_domain_gets_all_that_it_asks_for(domain in good_domain()) {
        let found = wants(&domain, &Profiles::new()).unwrap();
        prop_assert_eq!(found.wants.len(), domain.hostdevs.len());
        prop_assert!(distinct(found.wants.iter().map(|want| want.slot).collect()));
        prop_assert!(found.wants.is_sorted_by_key(|want| want.slot));
        prop_assert!(found.warnings.is_empty());
    }
}

/// A profile fills in what the request leaves open, and the request's own word wins.
#[test]
fn a_profile_completes_a_request() {
    let profile = Profile {
        what: What::AtLeast(AtLeast {
            framebuffer_mib: Some(4096),
            ..AtLeast::default()
        }),
        group: Some("cad".parse().unwrap()),
        policy: Some(Policy::BreadthFirst),
        numa: Some(Numa::Strict),
        apart: Some(true),
        params: Some("disable_vnc=1".parse().unwrap()),
    };
    let profiles = Profiles::from([("large".parse().unwrap(), profile.clone())]);
    let request = Request {
        ask: Ask::Profile("large".parse().unwrap()),
        policy: Some(Policy::DepthFirst),
        apart: Some(false),
        ..injected(0)
    };
    let mut pinned = domain(FOR_HERE, vec![request], vec![ours(0)]);
    pinned.pinning.nodes = Some("1".parse().unwrap());
    let expected = Want {
        group: profile.group,
        policy: Some(Policy::DepthFirst),
        near: Some(Near {
            nodes: "1".parse().unwrap(),
            strict: true,
        }),
        params: profile.params,
        device_api: Some(DeviceApi::VfioPci),
        ..Want::new(slot(0), uuid(0), profile.what)
    };
    assert_eq!(wants(&pinned, &profiles).unwrap().wants, [expected]);

    pinned.pinning.nodes = None;
    let found = wants(&pinned, &profiles).unwrap();
    assert_eq!(found.wants[0].near, None);
    assert_eq!(found.warnings, [Warning::NotPinned { slot: slot(0) }]);

    let error = wants(&pinned, &Profiles::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this host's configuration has no profile large; it has: none"
    );
    assert_eq!(error.code(), Code::Request);
}
