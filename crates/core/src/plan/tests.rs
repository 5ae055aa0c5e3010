//! Placement as stories: a complete `truth`, a driver that reads from it what [`plan`] asks for, and the answer.

use super::*;
use crate::rule::PlacementFile;
use crate::{
    Available, Code, DeviceApi, Known, Offer, Parent, Policy, Reason, Resident, TypeName, TypeSpec, What, Why,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// NVIDIA's `Tesla V100-DGXS-32GB`, as far as these stories need it: 15 types, ids from 194 on.
const V100DX: [&str; 15] = [
    "V100DX-1Q",
    "V100DX-2Q",
    "V100DX-4Q",
    "V100DX-8Q",
    "V100DX-16Q",
    "V100DX-32Q",
    "V100DX-1A",
    "V100DX-2A",
    "V100DX-4A",
    "V100DX-8A",
    "V100DX-16A",
    "V100DX-32A",
    "V100DX-1B",
    "V100DX-2B",
    "V100DX-2B4",
];

// ---- building a truth ------------------------------------------------------------------------------------------

fn parent_name(text: &str) -> ParentName {
    text.parse().unwrap()
}

fn id(text: &str) -> TypeId {
    text.parse().unwrap()
}

fn gpu(index: u8) -> ParentName {
    parent_name(&format!("0000:{:02x}:00.0", index + 6))
}

fn nvidia(index: usize) -> TypeId {
    id(&format!("nvidia-{}", 194 + index))
}

fn offer(name: &str, available: Available) -> Offer {
    Offer {
        name: Known::Is(Some(name.parse::<TypeName>().unwrap())),
        description: Known::Is(String::new()),
        device_api: Known::Is(DeviceApi::VfioPci),
        available: Known::Is(available),
        refused: None,
    }
}

/// A host whose every file was read: parents with `(type, room)`; nobody lives there yet.
fn host(parents: &[(&str, &[(&str, Available)])]) -> Inventory {
    let mut truth = Inventory::new("host-1");
    truth.listed = true;
    truth.residents = Known::Is(Vec::new());
    truth.cards = Known::Is(Vec::new());
    for (name, types) in parents {
        let mut parent = Parent::whole(parent_name(name));
        parent.offers = Known::Is(BTreeMap::new());
        for (type_id, available) in *types {
            parent.offer(id(type_id), offer(&format!("name of {type_id}"), *available));
        }
        truth.add(parent);
    }
    truth
}

/// `count` GPUs with all 15 types, each with room for `available` of every type.
fn dgx(count: u8, available: Available) -> Inventory {
    let mut truth = host(&[]);
    for index in 0..count {
        let mut parent = Parent::whole(gpu(index));
        for (number, name) in V100DX.iter().enumerate() {
            parent.offer(nvidia(number), offer(&format!("GRID {name}"), available));
        }
        truth.add(parent);
    }
    truth
}

fn change(truth: &mut Inventory, parent: &str, type_id: &str, change: impl FnOnce(&mut Offer)) {
    change(
        truth
            .parent_mut(&parent_name(parent))
            .unwrap()
            .get_mut(&id(type_id))
            .unwrap(),
    );
}

fn resident(parent: &ParentName, type_id: Option<TypeId>, number: u128) -> Resident {
    Resident {
        parent: parent.clone(),
        type_id,
        uuid: Uuid::from_u128(number),
        placement: Known::Is(PlacementFile::Unknown),
    }
}

// ---- wants -----------------------------------------------------------------------------------------------------

fn want(slot: u16, spec: &str) -> Want {
    Want {
        device_api: Some(DeviceApi::VfioPci),
        ..Want::new(
            Slot::new(slot).unwrap(),
            Uuid::from_u128(u128::from(slot) + 1),
            spec.parse::<TypeSpec>().unwrap(),
        )
    }
}

fn wants(count: u16, spec: &str, policy: Policy) -> Vec<Want> {
    (0..count)
        .map(|slot| Want {
            policy: Some(policy),
            ..want(slot, spec)
        })
        .collect()
}

// ---- the driver ------------------------------------------------------------------------------------------------

/// How often each thing was asked for, and in how many rounds.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    rounds: usize,
    parents: usize,
    types: usize,
    names: usize,
    available: usize,
    apis: usize,
    residents: usize,
    cards: usize,
    descriptions: usize,
}

/// Answers every need from the truth, until there is a plan or a refusal.
fn drive(wants: &[Want], truth: &Inventory) -> (Answer, Asked) {
    let mut seen = Inventory::new(truth.host.clone());
    let mut asked = Asked::default();
    loop {
        let needs = match plan(wants, &seen) {
            Answer::Needs(needs) => needs,
            answer => return (answer, asked),
        };
        asked.rounds += 1;
        assert!(!needs.is_empty(), "it stopped without saying what it needs");
        assert!(asked.rounds < 100, "it never ends: {needs:?}");
        let mut once = needs.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), needs.len(), "asked twice in one round: {needs:?}");
        for need in needs {
            assert!(answer(&need, truth, &mut seen, &mut asked), "asked again: {need:?}");
        }
    }
}

/// Copies one thing from the truth; false when it was known already.
fn answer(need: &Need, truth: &Inventory, seen: &mut Inventory, asked: &mut Asked) -> bool {
    fn copy<T: Clone>(to: &mut Known<T>, from: &Known<T>) -> bool {
        assert!(!from.is_not_yet(), "the truth is complete");
        let new = to.is_not_yet();
        *to = from.clone();
        new
    }
    match need {
        Need::Parents => {
            asked.parents += 1;
            for parent in truth.parents() {
                seen.add(Parent::new(parent.name.clone()));
            }
            !std::mem::replace(&mut seen.listed, true)
        }
        Need::Types(parent) => {
            asked.types += 1;
            let bare = match &truth.parent(parent).unwrap().offers {
                Known::Is(offers) => Known::Is(
                    offers
                        .iter()
                        .map(|(id, offer)| {
                            let refused = offer.refused.clone();
                            (
                                id.clone(),
                                Offer {
                                    refused,
                                    ..Offer::default()
                                },
                            )
                        })
                        .collect(),
                ),
                other => other.clone(),
            };
            copy(&mut seen.parent_mut(parent).unwrap().offers, &bare)
        }
        Need::Pgpu(parent) => {
            let from = truth.parent(parent).unwrap().pgpu.clone();
            copy(&mut seen.parent_mut(parent).unwrap().pgpu, &from)
        }
        Need::Ids(gpu) => copy(&mut seen.pgpu_mut(gpu).ids, &truth.pgpu(gpu).ids),
        Need::NumaNode(gpu) => copy(&mut seen.pgpu_mut(gpu).numa_node, &truth.pgpu(gpu).numa_node),
        Need::Cards => {
            asked.cards += 1;
            copy(&mut seen.cards, &truth.cards)
        }
        Need::Placements(_) => panic!("a truth's residents have their places"),
        Need::Residents => {
            asked.residents += 1;
            copy(&mut seen.residents, &truth.residents)
        }
        Need::Name(parent, id)
        | Need::Description(parent, id)
        | Need::Available(parent, id)
        | Need::DeviceApi(parent, id) => {
            let from = truth.parent(parent).unwrap().get(id).unwrap();
            let to = seen.parent_mut(parent).unwrap().get_mut(id).unwrap();
            match need {
                Need::Name(..) => {
                    asked.names += 1;
                    copy(&mut to.name, &from.name)
                }
                Need::Description(..) => {
                    asked.descriptions += 1;
                    copy(&mut to.description, &from.description)
                }
                Need::Available(..) => {
                    asked.available += 1;
                    copy(&mut to.available, &from.available)
                }
                _ => {
                    asked.apis += 1;
                    copy(&mut to.device_api, &from.device_api)
                }
            }
        }
    }
}

fn planned(wants: &[Want], truth: &Inventory) -> Vec<String> {
    match drive(wants, truth).0 {
        Answer::Plan(plan) => {
            let slots: Vec<Slot> = plan.placements.iter().map(|placement| placement.slot).collect();
            assert_eq!(slots, wants.iter().map(|want| want.slot).collect::<Vec<_>>());
            plan.placements
                .iter()
                .map(|placement| format!("{} on {}", placement.type_id, placement.parent))
                .collect()
        }
        other => panic!("no plan: {other:?}"),
    }
}

fn refused(wants: &[Want], truth: &Inventory) -> Refusal {
    match drive(wants, truth).0 {
        Answer::Refusal(refusal) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn one_reason_each(refusal: &Refusal, truth: &Inventory) {
    let reasons: Vec<&PgpuName> = refusal.reasons.iter().map(|reason| &reason.pgpu).collect();
    let gpus: Vec<&PgpuName> = truth.pgpus().into_keys().collect();
    assert_eq!(reasons, gpus, "{refusal:?}");
}

// ---- what a type is called -------------------------------------------------------------------------------------

#[test]
fn a_type_is_found_by_id_by_full_name_and_by_short_name() {
    let truth = dgx(2, 8);
    for spec in ["nvidia-196", "GRID V100DX-4Q", "V100DX-4Q"] {
        assert_eq!(
            planned(&[want(0, spec)], &truth),
            ["nvidia-196 on 0000:06:00.0"],
            "{spec}"
        );
    }
    for spec in ["4Q", "v100dx-4q", "GRID", "NVIDIA V100DX-4Q", "nvidia-19"] {
        assert_eq!(refused(&[want(0, spec)], &truth).code, Code::Type, "{spec}");
    }
}

#[test]
fn an_id_that_exists_wins_over_a_name() {
    let mut truth = host(&[("mtty", &[("a-1", 1), ("a-2", 1)])]);
    change(&mut truth, "mtty", "a-2", |offer| {
        offer.name = Known::Is(Some("a-1".parse().unwrap()));
    });
    assert_eq!(planned(&[want(0, "a-1")], &truth), ["a-1 on mtty"]);
}

#[test]
fn a_name_that_means_two_types_is_refused_with_both_ids() {
    let mut truth = dgx(3, 8);
    let mut other = Parent::whole(parent_name("0000:85:00.0"));
    other.offer(id("nvidia-901"), offer("NVIDIA V100DX-4Q", 8));
    truth.add(other);
    let refusal = refused(&[want(0, "V100DX-4Q")], &truth);
    assert_eq!(refusal.code, Code::Ambiguous);
    assert_eq!(refusal.means, [id("nvidia-196"), id("nvidia-901")]);
    assert_eq!(
        refusal.to_string(),
        "V100DX-4Q means more than one type: nvidia-196 and nvidia-901; ask by id"
    );
    // The full name means one only.
    assert_eq!(
        planned(&[want(0, "NVIDIA V100DX-4Q")], &truth),
        ["nvidia-901 on 0000:85:00.0"]
    );
}

#[test]
fn an_unknown_type_has_a_reason_for_every_parent() {
    let truth = dgx(3, 8);
    let refusal = refused(&[want(0, "A40-4Q")], &truth);
    assert_eq!(refusal.code, Code::Type);
    one_reason_each(&refusal, &truth);
    assert!(refusal.reasons.iter().all(|reason| reason.why == Why::NotSupported));
    assert_eq!(
        refusal.to_string(),
        "no type A40-4Q here (see: mdevkit types): 3 GPUs do not offer it"
    );
}

#[test]
fn a_host_without_parents_is_told_what_may_be_missing() {
    let refusal = refused(&[want(0, "V100DX-4Q")], &host(&[]));
    assert_eq!((refusal.code, refusal.reasons.len()), (Code::Type, 0));
    assert_eq!(
        refusal.to_string(),
        "no V100DX-4Q: this host has no parents of mediated devices; is the driver loaded?"
    );
}

#[test]
fn what_could_not_be_read_may_be_what_was_asked_for() {
    let mut truth = dgx(2, 8);
    for number in 0..V100DX.len() {
        for parent in ["0000:06:00.0", "0000:07:00.0"] {
            change(&mut truth, parent, nvidia(number).as_str(), |offer| {
                offer.name = Known::Unreadable("name: EIO".to_owned());
            });
        }
    }
    let refusal = refused(&[want(0, "V100DX-4Q")], &truth);
    assert_eq!(refusal.code, Code::Host);
    one_reason_each(&refusal, &truth);
    assert_eq!(refusal.to_string(), "no V100DX-4Q: 2 GPUs cannot be read (name: EIO)");
}

#[test]
fn a_name_that_one_parent_cannot_tell_another_tells() {
    let mut truth = dgx(2, 8);
    change(&mut truth, "0000:06:00.0", "nvidia-196", |offer| {
        offer.name = Known::Unreadable("name: EIO".to_owned());
    });
    assert_eq!(planned(&[want(0, "V100DX-4Q")], &truth), ["nvidia-196 on 0000:06:00.0"]);
    // And a type without a name has no name, but an id.
    change(&mut truth, "0000:06:00.0", "nvidia-196", |offer| {
        offer.name = Known::Is(None)
    });
    change(&mut truth, "0000:07:00.0", "nvidia-196", |offer| {
        offer.name = Known::Is(None)
    });
    assert_eq!(refused(&[want(0, "V100DX-4Q")], &truth).code, Code::Type);
    assert_eq!(
        planned(&[want(0, "nvidia-196")], &truth),
        ["nvidia-196 on 0000:06:00.0"]
    );
}

// ---- which parent ----------------------------------------------------------------------------------------------

#[test]
fn policies_choose_by_room_and_ties_go_to_the_lowest_address_pci_first() {
    use Policy::{BreadthFirst, DepthFirst};
    type Story = (&'static str, &'static [(&'static str, u32)], Policy, &'static str);
    let rooms: &[Story] = &[
        (
            "least room",
            &[("0000:06:00.0", 8), ("0000:07:00.0", 3), ("0000:08:00.0", 5)],
            DepthFirst,
            "0000:07:00.0",
        ),
        (
            "most room",
            &[("0000:06:00.0", 3), ("0000:07:00.0", 8), ("0000:08:00.0", 5)],
            BreadthFirst,
            "0000:07:00.0",
        ),
        (
            "full ones are no choice",
            &[("0000:06:00.0", 0), ("0000:07:00.0", 3)],
            DepthFirst,
            "0000:07:00.0",
        ),
        (
            "tie",
            &[("0000:85:00.0", 4), ("0000:06:00.0", 4)],
            DepthFirst,
            "0000:06:00.0",
        ),
        (
            "tie",
            &[("0000:85:00.0", 4), ("0000:06:00.0", 4)],
            BreadthFirst,
            "0000:06:00.0",
        ),
        (
            "numbers, not letters",
            &[("10000:01:00.0", 4), ("2000:01:00.0", 4)],
            DepthFirst,
            "2000:01:00.0",
        ),
        (
            "functions too",
            &[("0000:3b:00.5", 4), ("0000:3b:00.4", 4)],
            BreadthFirst,
            "0000:3b:00.4",
        ),
        (
            "pci first",
            &[("aaa", 4), ("0000:ff:00.0", 4)],
            DepthFirst,
            "0000:ff:00.0",
        ),
        (
            "pci first",
            &[("aaa", 4), ("0000:ff:00.0", 4)],
            BreadthFirst,
            "0000:ff:00.0",
        ),
        ("then by name", &[("mtty", 4), ("matrix", 4)], DepthFirst, "matrix"),
        (
            "room before address",
            &[("mtty", 3), ("0000:06:00.0", 4)],
            DepthFirst,
            "mtty",
        ),
    ];
    for (story, rooms, policy, expected) in rooms {
        let mut truth = host(&[]);
        for (name, available) in *rooms {
            let mut parent = Parent::whole(parent_name(name));
            parent.offer(id("t-1"), offer("t", *available));
            truth.add(parent);
        }
        let got = planned(&wants(1, "t-1", *policy), &truth);
        assert_eq!(got, [format!("t-1 on {expected}")], "{story}, {policy}");
    }
}

#[test]
fn the_devices_of_one_domain_count_each_others_room() {
    use Policy::{BreadthFirst, DepthFirst};
    for (policy, rooms, expected) in [
        (DepthFirst, [2, 2], ["06", "06", "07"]),
        (DepthFirst, [4, 1], ["07", "06", "06"]),
        (BreadthFirst, [2, 2], ["06", "07", "06"]),
        (BreadthFirst, [4, 2], ["06", "06", "06"]),
        (BreadthFirst, [3, 2], ["06", "06", "07"]),
    ] {
        let truth = host(&[
            ("0000:06:00.0", &[("t-1", rooms[0])]),
            ("0000:07:00.0", &[("t-1", rooms[1])]),
        ]);
        let expected = expected.map(|bus| format!("t-1 on 0000:{bus}:00.0"));
        assert_eq!(
            planned(&wants(3, "t-1", policy), &truth),
            expected,
            "{policy} {rooms:?}"
        );
    }
}

#[test]
fn the_device_that_finds_no_room_is_the_one_that_is_refused() {
    let truth = host(&[("0000:06:00.0", &[("t-1", 1)]), ("0000:07:00.0", &[("t-1", 1)])]);
    let refusal = refused(&wants(3, "t-1", Policy::DepthFirst), &truth);
    assert_eq!((refusal.code, refusal.slot.number()), (Code::Full, 2));
    assert_eq!(
        refusal.to_string(),
        "no t-1 left: 2 GPUs are taken by the devices planned with it"
    );
}

#[test]
fn room_that_is_promised_to_an_earlier_device_is_not_laid_at_another_types_door() {
    let mut truth = host(&[("mtty", &[("mtty-1", 1), ("mtty-2", 1)])]);
    truth.residents = Known::Is(vec![resident(&parent_name("mtty"), Some(id("mtty-2")), 7)]);
    let refusal = refused(&wants(2, "mtty-1", Policy::DepthFirst), &truth);
    assert_eq!(refusal.reasons[0].why, Why::Promised);
}

#[test]
fn a_pinned_parent_is_used_whatever_the_policy_says() {
    let truth = dgx(8, 8);
    for policy in [Policy::DepthFirst, Policy::BreadthFirst] {
        for spelled in ["0000:0d:00.0", "0000:0D:00.0"] {
            let pinned = Want {
                parent: Some(parent_name(spelled)),
                policy: Some(policy),
                ..want(0, "nvidia-196")
            };
            let (answer, asked) = drive(std::slice::from_ref(&pinned), &truth);
            let Answer::Plan(plan) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(plan.placements[0].parent, gpu(7));
            assert_eq!(asked.available, 1, "no other parent's room matters");
        }
    }
}

#[test]
fn a_pinned_parent_without_room_is_the_reason_and_the_others_are_excluded() {
    let mut truth = dgx(3, 8);
    change(&mut truth, "0000:07:00.0", "nvidia-196", |offer| {
        offer.available = Known::Is(0)
    });
    let pin = |name: &str| Want {
        parent: Some(parent_name(name)),
        ..want(0, "nvidia-196")
    };
    let refusal = refused(&[pin("0000:07:00.0")], &truth);
    one_reason_each(&refusal, &truth);
    assert_eq!(
        refusal.to_string(),
        "no nvidia-196 left: 1 GPU is full, 2 GPUs are excluded by the request"
    );
    let refusal = refused(&[pin("0000:99:00.0")], &truth);
    one_reason_each(&refusal, &truth);
    assert_eq!(
        refusal.to_string(),
        "no nvidia-196: 3 GPUs are excluded by the request",
        "the type is here, so nothing says that it were not"
    );
}

// ---- why not ---------------------------------------------------------------------------------------------------

#[test]
fn each_reason_has_its_code_and_its_words() {
    type Spoil = fn(&mut Inventory);
    let stories: [(&str, Spoil, Code, &str); 8] = [
        (
            "full",
            |truth| {
                change(truth, "p", "t-1", |offer| offer.available = Known::Is(0));
                truth.residents = Known::Is(vec![resident(&parent_name("p"), Some(id("t-1")), 1)]);
            },
            Code::Full,
            "no t-1 left: 1 parent is full",
        ),
        (
            "other types",
            |truth| {
                change(truth, "p", "t-1", |offer| offer.available = Known::Is(0));
                truth.residents = Known::Is(vec![
                    resident(&parent_name("p"), Some(id("t-3")), 1),
                    resident(&parent_name("p"), Some(id("t-2")), 2),
                    resident(&parent_name("p"), Some(id("t-3")), 3),
                    resident(&parent_name("q"), Some(id("t-1")), 4),
                ]);
            },
            Code::Full,
            "no t-1 left: 1 parent runs another size (t-2, ...)",
        ),
        (
            "a device that is just being made proves nothing",
            |truth| {
                change(truth, "p", "t-1", |offer| offer.available = Known::Is(0));
                truth.residents = Known::Is(vec![resident(&parent_name("p"), None, 1)]);
            },
            Code::Full,
            "no t-1 left: 1 parent is full",
        ),
        (
            "residents cannot be read",
            |truth| {
                change(truth, "p", "t-1", |offer| offer.available = Known::Is(0));
                truth.residents = Known::Unreadable("EIO".to_owned());
            },
            Code::Full,
            "no t-1 left: 1 parent is full",
        ),
        (
            "a race that was lost",
            |truth| change(truth, "p", "t-1", |offer| offer.refused = Some("ENOSPC".to_owned())),
            Code::Full,
            "no t-1 left: 1 parent refused (ENOSPC)",
        ),
        (
            "room cannot be read",
            |truth| {
                change(truth, "p", "t-1", |offer| {
                    offer.available = Known::Unreadable("available_instances: EIO".to_owned());
                });
            },
            Code::Host,
            "no t-1: 1 parent cannot be read (available_instances: EIO)",
        ),
        (
            "interface cannot be read",
            |truth| {
                change(truth, "p", "t-1", |offer| {
                    offer.device_api = Known::Unreadable("device_api: EIO".to_owned());
                });
            },
            Code::Host,
            "no t-1: 1 parent cannot be read (device_api: EIO)",
        ),
        (
            "wrong model",
            |truth| {
                change(truth, "p", "t-1", |offer| {
                    offer.device_api = Known::Is(DeviceApi::VfioAp)
                })
            },
            Code::Model,
            "no t-1: 1 parent offers vfio-ap, the hostdev's model is vfio-pci",
        ),
    ];
    for (story, spoil, code, line) in stories {
        let mut truth = host(&[("p", &[("t-1", 1)])]);
        spoil(&mut truth);
        let refusal = refused(&[want(0, "t-1")], &truth);
        one_reason_each(&refusal, &truth);
        assert_eq!((refusal.code, refusal.to_string().as_str()), (code, line), "{story}");
    }
}

#[test]
fn a_parent_whose_types_cannot_be_read_is_passed_over_and_named_when_it_matters() {
    let mut truth = dgx(3, 1);
    truth.parent_mut(&gpu(0)).unwrap().offers = Known::Unreadable("mdev_supported_types: EIO".to_owned());
    assert_eq!(planned(&[want(0, "V100DX-4Q")], &truth), ["nvidia-196 on 0000:07:00.0"]);
    let refusal = refused(&wants(3, "V100DX-4Q", Policy::DepthFirst), &truth);
    assert_eq!(refusal.code, Code::Full);
    one_reason_each(&refusal, &truth);
    assert_eq!(
        refusal.to_string(),
        "no V100DX-4Q left: 2 GPUs are taken by the devices planned with it, 1 GPU cannot be read (mdev_supported_types: EIO)"
    );
    assert_eq!(
        refused(&[want(0, "A40-4Q")], &truth).code,
        Code::Host,
        "it may be there"
    );
}

#[test]
fn a_parent_of_the_wrong_model_is_passed_over_for_one_of_the_right() {
    let mut truth = host(&[("p", &[("t-1", 1)]), ("q", &[("t-1", 2)])]);
    change(&mut truth, "p", "t-1", |offer| {
        offer.device_api = Known::Is(DeviceApi::VfioCcw)
    });
    assert_eq!(planned(&[want(0, "t-1")], &truth), ["t-1 on q"]);
    // A hostdev without a model is not checked.
    let unchecked = Want {
        device_api: None,
        ..want(0, "t-1")
    };
    let (answer, asked) = drive(std::slice::from_ref(&unchecked), &truth);
    assert!(matches!(answer, Answer::Plan(_)));
    assert_eq!(asked.apis, 0);
}

#[test]
fn a_parent_that_lost_the_race_is_left_for_the_next_best() {
    let mut truth = dgx(3, 8);
    change(&mut truth, "0000:06:00.0", "nvidia-196", |offer| {
        offer.refused = Some("it is full".to_owned());
    });
    assert_eq!(
        planned(&[want(0, "nvidia-196")], &truth),
        ["nvidia-196 on 0000:07:00.0"]
    );
}

#[test]
fn a_day_on_a_dgx() {
    let mut truth = dgx(8, 0);
    let mut residents: Vec<Resident> = (0..7)
        .map(|n| resident(&gpu(n), Some(nvidia(3)), u128::from(n)))
        .collect();
    residents.extend((0..8).map(|n| resident(&gpu(7), Some(nvidia(2)), 100 + n)));
    truth.residents = Known::Is(residents);
    let refusal = refused(&[want(0, "V100DX-4Q")], &truth);
    assert_eq!(refusal.code, Code::Full);
    one_reason_each(&refusal, &truth);
    assert_eq!(
        refusal.to_string(),
        "no V100DX-4Q left: 7 GPUs run another size (nvidia-197), 1 GPU is full"
    );
    let lines: Vec<String> = refusal.reasons.iter().map(Reason::to_string).collect();
    assert_eq!(lines[0], "0000:06:00.0: runs another size (nvidia-197)");
    assert_eq!(lines[7], "0000:0d:00.0: full");
}

// ---- how little is read ----------------------------------------------------------------------------------------

#[test]
fn an_id_costs_one_list_a_look_at_each_parent_and_no_name() {
    let (answer, asked) = drive(&[want(0, "nvidia-196")], &dgx(8, 8));
    assert!(matches!(answer, Answer::Plan(_)));
    let expected = Asked {
        rounds: 4,
        parents: 1,
        types: 8,
        names: 0,
        available: 8,
        apis: 1,
        residents: 1,
        cards: 0,
        descriptions: 0,
    };
    assert_eq!(asked, expected);
}

#[test]
fn a_short_name_costs_each_name_once_and_not_once_for_each_parent() {
    let (answer, asked) = drive(&[want(0, "V100DX-4Q")], &dgx(8, 8));
    assert!(matches!(answer, Answer::Plan(_)));
    assert_eq!((asked.names, asked.available, asked.apis, asked.rounds), (15, 8, 1, 5));
}

#[test]
fn sixteen_devices_of_sixteen_minds_take_no_more_rounds_than_one() {
    let many: Vec<Want> = (0..15)
        .map(|n| want(n, V100DX[usize::from(n)]))
        .chain([want(15, "nvidia-194")])
        .collect();
    let (answer, asked) = drive(&many, &dgx(8, 8));
    assert!(matches!(answer, Answer::Plan(_)));
    assert_eq!((asked.rounds, asked.names, asked.available), (5, 15, 15 * 8));
}

#[test]
fn eight_parents_of_the_wrong_model_take_two_looks_and_not_eight() {
    let mut truth = dgx(8, 8);
    for n in 0..8 {
        change(&mut truth, gpu(n).as_str(), "nvidia-196", |offer| {
            offer.device_api = Known::Is(DeviceApi::VfioAp);
        });
    }
    let (answer, asked) = drive(&[want(0, "nvidia-196")], &truth);
    assert!(matches!(answer, Answer::Refusal(refusal) if refusal.code == Code::Model));
    assert_eq!((asked.rounds, asked.apis), (6, 8));
}

#[test]
fn residents_are_read_where_there_is_a_choice_and_to_explain_and_cards_only_to_explain() {
    let one = [want(0, "nvidia-196")];
    let read = |truth: &Inventory| {
        let asked = drive(&one, truth).1;
        (asked.residents, asked.cards, asked.descriptions)
    };
    assert_eq!(read(&dgx(1, 8)), (0, 0, 0));
    assert_eq!(read(&dgx(2, 8)), (1, 0, 0));
    assert_eq!(read(&dgx(1, 0)), (1, 1, 0));
}

#[test]
fn nothing_wanted_is_a_plan_of_nothing() {
    assert_eq!(planned(&[], &dgx(1, 1)), Vec::<String>::new());
}

// ---- what always holds -----------------------------------------------------------------------------------------

const NAMES: [&str; 4] = ["GRID A-1Q", "NVIDIA A-1Q", "GRID A-2Q", "Single port serial"];
const SPECS: [&str; 8] = [
    "t-0",
    "t-1",
    "t-2",
    "t-9",
    "A-1Q",
    "A-2Q",
    "GRID A-1Q",
    "Single port serial",
];
const PARENTS: [&str; 6] = [
    "0000:06:00.0",
    "0000:85:00.0",
    "10000:01:00.0",
    "mtty",
    "matrix",
    "0.0.0312",
];
/// A driver that fails on `name` made the planner ask one parent more in each round, until the host gave up.
#[test]
fn names_that_cannot_be_read_do_not_cost_a_round_for_each_parent() {
    let mut truth = host(&[]);
    for n in 0..64 {
        let mut parent = Parent::whole(parent_name(&format!("0000:{n:02x}:00.0")));
        parent.offer(
            id("t-0"),
            Offer {
                name: Known::Unreadable("EIO".to_owned()),
                description: Known::Is(String::new()),
                device_api: Known::Is(DeviceApi::VfioPci),
                available: Known::Is(1),
                refused: None,
            },
        );
        truth.add(parent);
    }
    let (answer, asked) = drive(&[want(0, "V100DX-1Q")], &truth);
    assert!(matches!(answer, Answer::Refusal(refusal) if refusal.code == Code::Host && refusal.reasons.len() == 64));
    assert_eq!((asked.rounds, asked.names), (5, 64));
}

const APIS: [DeviceApi; 3] = [DeviceApi::VfioPci, DeviceApi::VfioCcw, DeviceApi::VfioAp];

/// Read, or not readable: in a truth nothing is left unread.
fn known<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Known<T>> {
    prop_oneof![
        9 => value.prop_map(Known::Is),
        1 => "\\PC{0,9}|a\nb".prop_map(Known::Unreadable),
    ]
}

fn any_offer() -> impl Strategy<Value = Offer> {
    let name = proptest::option::weighted(0.8, proptest::sample::select(&NAMES[..]));
    (
        known(name.prop_map(|name| name.map(|name| name.parse().unwrap()))),
        known(proptest::sample::select(&APIS[..])),
        known(0..4u32),
        proptest::option::weighted(0.1, Just("ENOSPC".to_owned())),
    )
        .prop_map(|(name, device_api, available, refused)| Offer {
            name,
            description: Known::Is(String::new()),
            device_api,
            available,
            refused,
        })
}

fn any_parent(name: &'static str) -> impl Strategy<Value = Parent> {
    known(proptest::collection::btree_map(0..3usize, any_offer(), 0..=3)).prop_map(move |offers| {
        let mut parent = Parent::whole(parent_name(name));
        parent.offers = match offers {
            Known::Is(offers) => Known::Is(
                offers
                    .into_iter()
                    .map(|(n, offer)| (id(&format!("t-{n}")), offer))
                    .collect(),
            ),
            Known::Unreadable(why) => Known::Unreadable(why),
            Known::NotYet => Known::NotYet,
        };
        parent
    })
}

prop_compose! {
    fn any_truth()(
        names in proptest::sample::subsequence(&PARENTS[..], 0..=PARENTS.len()),
    )(
        parents in names.into_iter().map(any_parent).collect::<Vec<_>>(),
        residents in known(proptest::collection::vec(
            (0..PARENTS.len(), proptest::option::of(0..3usize), any::<u128>()), 0..6,
        )),
    ) -> Vec<Inventory> {
        // The same host, found in two orders.
        let build = |order: Vec<&Parent>, backwards: bool| {
            let mut truth = host(&[]);
            for parent in order {
                truth.add(parent.clone());
            }
            truth.residents = match &residents {
                Known::Is(list) => {
                    let mut list: Vec<Resident> = list
                        .iter()
                        .map(|(p, t, u)| resident(&parent_name(PARENTS[*p]), t.map(|t| id(&format!("t-{t}"))), *u))
                        .collect();
                    if backwards {
                        list.reverse();
                    }
                    Known::Is(list)
                }
                Known::Unreadable(why) => Known::Unreadable(why.clone()),
                Known::NotYet => Known::NotYet,
            };
            truth
        };
        vec![build(parents.iter().collect(), false), build(parents.iter().rev().collect(), true)]
    }
}

fn any_want(slot: u16) -> impl Strategy<Value = Want> {
    (
        proptest::sample::select(&SPECS[..]),
        any::<bool>(),
        proptest::option::weighted(0.2, proptest::sample::select(&PARENTS[..])),
        proptest::option::weighted(0.8, proptest::sample::select(&APIS[..])),
    )
        .prop_map(move |(spec, spread, parent, device_api)| Want {
            policy: Some(if spread {
                Policy::BreadthFirst
            } else {
                Policy::DepthFirst
            }),
            parent: parent.map(parent_name),
            device_api,
            ..want(slot, spec)
        })
}

fn any_wants() -> impl Strategy<Value = Vec<Want>> {
    (0..6u16).prop_flat_map(|count| (0..count).map(any_want).collect::<Vec<_>>())
}

/// Who reads less sees fewer GPUs fall out of the choice, and may have to search where the other one has not.
fn but_for_the_reasons(answer: Answer) -> Result<Vec<(ParentName, TypeId)>, Answer> {
    match answer {
        Answer::Plan(plan) => Ok(plan
            .placements
            .into_iter()
            .map(|place| (place.parent, place.type_id))
            .collect()),
        other => Err(other),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_host_has_an_answer_within_ten_rounds(truths in any_truth(), wants in any_wants()) {
        let truth = &truths[0];
        let (answer, asked) = drive(&wants, truth);
        prop_assert!(asked.rounds <= 10, "{:?}", asked);
        match answer {
            Answer::Plan(plan) => {
                prop_assert_eq!(plan.placements.len(), wants.len());
                let mut used: BTreeMap<(ParentName, TypeId), u32> = BTreeMap::new();
                for (want, place) in wants.iter().zip(&plan.placements) {
                    prop_assert_eq!((want.slot, want.uuid), (place.slot, place.uuid));
                    prop_assert!(want.parent.as_ref().is_none_or(|pinned| *pinned == place.parent));
                    let offer = truth.parent(&place.parent).and_then(|parent| parent.get(&place.type_id)).unwrap();
                    prop_assert!(offer.refused.is_none());
                    if let Some(model) = want.device_api {
                        prop_assert_eq!(offer.device_api.get(), Some(&model));
                    }
                    let used = used.entry((place.parent.clone(), place.type_id.clone())).or_default();
                    *used += 1;
                    prop_assert!(*used <= *offer.available.get().unwrap(), "more than there is room for");
                }
            }
            Answer::Refusal(refusal) => {
                prop_assert!(wants.iter().any(|want| want.slot == refusal.slot && want.what == refusal.what));
                if refusal.code != Code::Ambiguous {
                    one_reason_each(&refusal, truth);
                }
                let line = refusal.to_string();
                prop_assert!(line.len() <= Refusal::HEADLINE && !line.contains('\n'), "{}", line);
            }
            Answer::Needs(needs) => prop_assert!(false, "{:?}", needs),
        }
    }

    #[test]
    fn the_order_in_which_a_host_was_read_changes_nothing(truths in any_truth(), wants in any_wants()) {
        prop_assert_eq!(drive(&wants, &truths[0]), drive(&wants, &truths[1]));
    }

    #[test]
    fn a_host_that_was_read_whole_gives_the_answer_of_one_that_was_read_lazily(
        truths in any_truth(), mut wants in any_wants(),
    ) {
        // By id, because of an id whose name is told twice a lazy reader hears one.
        for want in &mut wants {
            want.what = What::Type(id(&format!("t-{}", want.what.to_string().len() % 3)).into());
        }
        prop_assert_eq!(but_for_the_reasons(drive(&wants, &truths[0]).0), but_for_the_reasons(plan(&wants, &truths[0])));
    }
}
