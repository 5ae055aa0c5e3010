//! What went wrong once, named after it.

use super::*;
use crate::rule::{PlacementFile, Rule};
use crate::{Card, CardState, Group, Known, Member, Offer, PASSTHROUGH, Parent, Resident, TypeSpec, Why};

/// A card with so many virtual functions, of types (id, MiB, most); the first `used` of them have a device of the first.
fn card(host: &mut Inventory, functions: usize, used: usize, types: &[(&str, u32, u32)]) -> PgpuName {
    let gpu: PgpuName = "0000:06:00.0".parse().unwrap();
    host.pgpu_mut(&gpu).ids = Known::Is(Some("10de:25b6".parse().unwrap()));
    let mut residents = Vec::new();
    for number in 0..functions {
        let mut parent = Parent::new(function(number));
        parent.pgpu = Known::Is(gpu.clone());
        let room = number >= used && u32::try_from(used).unwrap() < types[0].2;
        for (id, mib, max) in types {
            let offer = Offer {
                name: Known::Is(None),
                description: Known::Is(format!("framebuffer={mib}M, max_instance={max}")),
                available: Known::Is(u32::from(room)),
                ..Offer::default()
            };
            parent.offer(id.parse().unwrap(), offer);
        }
        if number < used {
            residents.push(Resident {
                parent: parent.name.clone(),
                type_id: Some(types[0].0.parse().unwrap()),
                uuid: Uuid::from_u128(100 + number as u128),
                placement: Known::Is(PlacementFile::Unknown),
            });
        }
        host.add(parent);
    }
    host.residents = Known::Is(residents);
    gpu
}

fn function(number: usize) -> ParentName {
    format!("0000:06:{:02x}.{}", 1 + number / 8, number % 8)
        .parse()
        .unwrap()
}

fn empty() -> Inventory {
    let mut host = Inventory::new("host");
    host.listed = true;
    (host.residents, host.cards) = (Known::Is(Vec::new()), Known::Is(Vec::new()));
    host
}

fn want(slot: u16, spec: &str) -> Want {
    let uuid = Uuid::from_u128(u128::from(slot) + 1);
    Want::new(Slot::new(slot).unwrap(), uuid, spec.parse::<TypeSpec>().unwrap())
}

fn on(pin: &ParentName, want: Want) -> Want {
    Want {
        parent: Some(pin.clone()),
        ..want
    }
}

const A2: [(&str, u32, u32); 2] = [("nvidia-746", 4096, 4), ("nvidia-754", 4096, 4)];

fn parents(answer: Answer) -> Vec<ParentName> {
    match answer {
        Answer::Plan(plan) => plan.placements.into_iter().map(|place| place.parent).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_virtual_function_was_given_to_two() {
    let mut host = empty();
    let gpu = card(&mut host, 4, 0, &A2);
    let first = function(0);
    for spec in ["nvidia-746", "nvidia-754"] {
        let two = [on(&first, want(0, "nvidia-746")), on(&first, want(1, spec))];
        assert!(matches!(plan(&two, &host), Answer::Refusal(_)), "{spec}");
    }
    // Who names the GPU takes any function but the one that another names.
    let two = [
        on(gpu.as_parent(), want(0, "nvidia-746")),
        on(&first, want(1, "nvidia-746")),
    ];
    assert_eq!(parents(plan(&two, &host)), [function(1), first.clone()]);
    let domains = [
        vec![on(&first, want(0, "nvidia-746"))],
        vec![on(&first, want(0, "nvidia-754"))],
    ];
    let batch = plan_all(&domains, &host).unwrap();
    assert!(batch.answers[0].is_ok() && batch.answers[1].is_err());
    // Whoever comes first must not sit on the function that a later domain names.
    let domains = [vec![want(0, "nvidia-746")], vec![on(&first, want(0, "nvidia-746"))]];
    let batch = plan_all(&domains, &host).unwrap();
    let placed: Vec<ParentName> = batch
        .answers
        .iter()
        .flat_map(|answer| {
            answer
                .as_ref()
                .unwrap()
                .placements
                .iter()
                .map(|place| place.parent.clone())
        })
        .collect();
    assert_eq!(placed, [function(1), first]);
}

#[test]
fn a_gpu_that_offers_something_else_silenced_the_policy_of_a_group() {
    let mut host = empty();
    let mut cad = Group::new("cad".parse().unwrap());
    cad.policy = Some(Policy::BreadthFirst);
    for name in ["0000:06:00.0", "0000:07:00.0", "mtty"] {
        let mut parent = Parent::whole(name.parse().unwrap());
        let id = if name == "mtty" { "mtty-1" } else { "nvidia-194" };
        let offer = Offer {
            available: Known::Is(8),
            ..Offer::default()
        };
        parent.offer(id.parse().unwrap(), offer);
        host.add(parent);
        if id != "mtty-1" {
            cad.members.push(Member::Gpu(name.parse().unwrap()));
        }
    }
    host.rulebook.groups.push(cad);
    let placed = parents(plan(&[want(0, "nvidia-194"), want(1, "nvidia-194")], &host));
    assert_eq!(
        placed.iter().map(ParentName::as_str).collect::<Vec<_>>(),
        ["0000:06:00.0", "0000:07:00.0"]
    );
}

#[test]
fn a_card_that_is_passed_through_was_given_away_again() {
    let mut host = empty();
    host.cards = Known::Is(vec![Card {
        name: "0000:05:00.0".parse().unwrap(),
        ids: "10de:1db5".parse().unwrap(),
        numa_node: None,
        state: CardState::PassedThrough {
            driver: "vfio-pci".to_owned(),
        },
    }]);
    let Answer::Refusal(refusal) = plan(&[want(0, PASSTHROUGH)], &host) else {
        panic!("planned")
    };
    assert!(matches!(refusal.reasons[0].why, Why::PassedThrough { .. }), "{refusal}");
}

#[test]
fn functions_that_have_devices_were_counted_as_free_where_the_rule_was_told() {
    let mut host = empty();
    let gpu = card(&mut host, 16, 3, &A2);
    let mut group = Group::new("a2".parse().unwrap());
    (group.rule, group.members) = (Some(Rule::SameFramebuffer), vec![Member::Gpu(gpu)]);
    host.rulebook.groups.push(group);
    let two = [want(0, "nvidia-746"), want(1, "nvidia-746")];
    assert!(matches!(plan(&two, &host), Answer::Refusal(_)), "there is room for one");
    host.residents = Known::NotYet;
    assert_eq!(plan(&two, &host), Answer::Needs(vec![Need::Residents]));
}
