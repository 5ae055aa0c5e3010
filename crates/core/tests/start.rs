//! The crate as another program uses it: from a domain to placements and to a ledger, through the public API alone.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic")]

use mdevkit_core::ledger::{Actor, Event, Framework, Ledger, Owner, Record, State};
use mdevkit_core::{
    Alias, Answer, Description, Domain, Encounter, Existing, Hostdev, HostdevKind, Inventory, Known, Need, Offer,
    Parent, Policy, Profiles, Request, RequestSet, Slot, TypeSpec, Uuid, Want, device_uuid, encounter, plan, wants,
};

const DOMAIN: Uuid = Uuid::from_u128(0x1111);

/// Two requests and their hostdevs, as `inject` writes them.
fn domain() -> Domain {
    let slots = [0, 1].map(|number| Slot::new(number).unwrap());
    Domain {
        name: "vm".to_owned(),
        uuid: Some(DOMAIN),
        requests: Some(RequestSet {
            injected_for: Some(Some(DOMAIN)),
            requests: slots
                .map(|slot| Request {
                    slot: Some(slot),
                    policy: Some(Policy::BreadthFirst),
                    ..Request::new("mtty-2".parse::<TypeSpec>().unwrap())
                })
                .to_vec(),
        }),
        hostdevs: slots
            .map(|slot| Hostdev {
                kind: HostdevKind::Mdev {
                    uuid: device_uuid(DOMAIN, slot),
                    model: None,
                },
                alias: Some(Alias(slot).to_string()),
            })
            .to_vec(),
        ..Domain::default()
    }
}

fn host() -> Inventory {
    let mut host = Inventory::new("lab");
    host.listed = true;
    host.residents = Known::Is(Vec::new());
    for name in ["mtty", "mtty2"] {
        let mut parent = Parent::whole(name.parse().unwrap());
        let room = Offer {
            available: Known::Is(4),
            ..Offer::default()
        };
        parent.offer("mtty-2".parse().unwrap(), room);
        host.add(parent);
    }
    host
}

#[test]
fn a_domain_starts_crashes_starts_again_and_ends() {
    let wants: Vec<Want> = wants(&domain(), &Profiles::new()).unwrap().wants;
    let mut host = host();
    let Answer::Plan(plan) = plan(&wants, &host) else {
        panic!("there is room")
    };
    let parents: Vec<&str> = plan.placements.iter().map(|place| place.parent.as_str()).collect();
    assert_eq!(parents, ["mtty", "mtty2"], "spread");

    let mut ledger = Ledger::default();
    for place in &plan.placements {
        assert_eq!(
            encounter(&wants[0], DOMAIN, None, ledger.record(place.uuid)),
            Encounter::Create
        );
        let intent = Record {
            uuid: place.uuid,
            framework: Framework::Mdev,
            parent: place.parent.clone(),
            type_id: place.type_id.clone(),
            state: State::Intent,
            owner: Owner::Domain {
                uuid: DOMAIN,
                name: "vm".to_owned(),
                slot: place.slot,
                daemon: None,
            },
            boot_id: "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e".parse().unwrap(),
            since: 1,
            extra: Default::default(),
        };
        ledger.apply(place.uuid, Event::Intend(Box::new(intent))).unwrap();
        host.forget_room(&place.pgpu);
    }
    // The hook dies here: the first device was made, the second was not.
    let mut ledger = Ledger::read(ledger.write().as_bytes()).unwrap();
    let made = Existing {
        parent: plan.placements[0].parent.clone(),
        type_id: Some(plan.placements[0].type_id.clone()),
        type_name: None,
        description: Description::default(),
    };
    let again = [Some(&made), None];
    let found: Vec<Encounter> = wants
        .iter()
        .zip(again)
        .map(|(want, there)| encounter(want, DOMAIN, there, ledger.record(want.uuid)))
        .collect();
    assert_eq!(found, [Encounter::Adopt, Encounter::Create]);
    let adopt = Event::Adopt {
        domain: DOMAIN,
        daemon: None,
        since: 2,
    };
    ledger.apply(wants[0].uuid, adopt).unwrap();
    ledger.apply(wants[1].uuid, Event::Created { since: 2 }).unwrap();
    assert!(ledger.of_domain(DOMAIN).all(|record| record.state == State::Created));

    for uuid in ledger.of_domain(DOMAIN).map(|record| record.uuid).collect::<Vec<_>>() {
        let by = Actor::Domain(DOMAIN);
        ledger.apply(uuid, Event::Release { by, since: 3 }).unwrap();
        ledger.apply(uuid, Event::Gone).unwrap();
    }
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn a_parent_whose_room_was_forgotten_is_looked_at_again() {
    let wants: Vec<Want> = wants(&domain(), &Profiles::new()).unwrap().wants;
    let mut host = host();
    host.forget_room(&"mtty".parse().unwrap());
    assert!(host.residents.is_not_yet());
    let Answer::Needs(needs) = plan(&wants, &host) else {
        panic!("it cannot know")
    };
    assert_eq!(
        needs,
        [
            Need::Available("mtty".parse().unwrap(), "mtty-2".parse().unwrap()),
            Need::Residents
        ]
    );
}
