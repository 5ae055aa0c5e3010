//! Which devices come, go and change: slots, UUIDs, clones, requests written by hand.

use crate::common::fixture;
use mdevkit_core::{AtLeast, Code, DeviceApi, Policy, Request, Slot, TypeSpec, Uuid, device_uuid};
use mdevkit_xml::{Eject, Injection, NewDevice, XmlErrorKind as Kind, complete, eject, inject, read, refresh};

const XML: &str = "<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices/>\n</domain>\n";

fn domain() -> Uuid {
    "11111111-0000-0000-0000-000000000001".parse().unwrap()
}

/// For domains whose UUIDs are all made from the domain's own.
fn never() -> Uuid {
    panic!("no random UUID is needed here")
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0xaaaa_aaaa_0000_4000_8000_0000_0000_0000 + number)
}

fn device(spec: &str) -> NewDevice {
    NewDevice::new(spec.parse().unwrap())
}

fn at_slot(spec: &str, number: u16) -> NewDevice {
    Request {
        slot: Some(slot(number)),
        ..Request::new(spec.parse::<TypeSpec>().unwrap())
    }
    .into()
}

/// The prefix of NVIDIA's names changes with the driver: a domain that stored it would not start after an update.
#[test]
fn a_full_name_is_stored_as_the_short_one() {
    for (asked, stored) in [
        ("GRID V100DX-4Q", "V100DX-4Q"),
        ("NVIDIA A40-4Q", "A40-4Q"),
        ("nvidia-196", "nvidia-196"),
        ("Dual port serial", "Dual port serial"),
    ] {
        let edited = inject(XML.as_bytes(), &[device(asked)]).unwrap();
        let requests = read(edited.bytes()).unwrap().requests.unwrap().requests;
        assert_eq!(requests[0].ask.to_string(), stored);
    }
}

#[test]
fn slots_are_the_lowest_unused_and_uuids_are_made_from_them() {
    let first = inject(XML.as_bytes(), &[device("a"), at_slot("b", 1), device("c")]).unwrap();
    let expected: Vec<_> = [0, 1, 2].map(|n| (slot(n), device_uuid(domain(), slot(n)))).into();
    assert_eq!(first.devices(), expected);
    let less = eject(first.bytes(), &Eject::Slots(vec![slot(1)])).unwrap();
    let more = inject(less.bytes(), &[device("d"), device("e")]).unwrap();
    assert_eq!(
        more.devices().iter().map(|it| it.0).collect::<Vec<_>>(),
        [slot(1), slot(3)]
    );
}

#[test]
fn a_slot_that_is_taken_is_refused() {
    let first = inject(XML.as_bytes(), &[at_slot("a", 3)]).unwrap();
    let taken = Kind::SlotTaken { slot: slot(3) };
    assert_eq!(inject(first.bytes(), &[at_slot("b", 3)]).unwrap_err().kind(), &taken);
    assert!(!inject(first.bytes(), &[at_slot("a", 3)]).unwrap().changed());
    assert!(inject(XML.as_bytes(), &[at_slot("a", 3), at_slot("b", 3)]).is_err());
    let more = Injection::new().more().device(at_slot("a", 3));
    assert_eq!(more.apply(first.bytes(), never).unwrap_err().kind(), &taken);
}

#[test]
fn the_same_uuid_and_type_again_is_no_change() {
    let first = inject(XML.as_bytes(), &[device("a").uuid(uuid(1))]).unwrap();
    let again = inject(first.bytes(), &[device("a").uuid(uuid(1))]).unwrap();
    assert!(!again.changed() && again.devices().is_empty());
    let other = inject(first.bytes(), &[device("b").uuid(uuid(1))]).unwrap_err();
    assert_eq!(
        other.to_string(),
        format!(
            "line 9, column 5: UUID {} is taken: this domain's device for a; replace changes what it asks for",
            uuid(1)
        )
    );
    assert_eq!(other.code(), Code::Request);
    assert!(inject(XML.as_bytes(), &[device("a").uuid(uuid(1)), device("a").uuid(uuid(1))]).is_err());
}

/// Who has a slot or a UUID of its own is found first, whatever the order; each request counts once.
#[test]
fn what_is_there_is_counted() {
    let has = inject(XML.as_bytes(), &[at_slot("a", 1), device("b").uuid(uuid(1))]).unwrap();
    for (wanted, new) in [
        (vec![device("a")], 0),
        (vec![device("a"), device("a")], 1),
        (vec![device("a"), at_slot("a", 1)], 1),
        (vec![device("b"), device("b").uuid(uuid(1)), device("b")], 2),
        (vec![device("b").policy(Policy::BreadthFirst)], 1),
        (vec![device("b").model(DeviceApi::VfioAp)], 1),
        (vec![device("b").uuid(uuid(2))], 1),
    ] {
        let edited = inject(has.bytes(), &wanted).unwrap();
        assert_eq!(edited.devices().len(), new, "{wanted:?}");
        assert!(!inject(edited.bytes(), &wanted).unwrap().changed(), "{wanted:?}");
    }
}

#[test]
fn a_device_whose_hostdev_was_taken_out_gets_one_again() {
    let whole = inject(XML.as_bytes(), &[device("a"), device("b")])
        .unwrap()
        .into_bytes();
    let whole = String::from_utf8(whole).unwrap();
    let (start, end) = (
        whole.find("\n    <hostdev").unwrap(),
        whole.find("</hostdev>").unwrap() + 10,
    );
    let without = format!("{}{}", &whole[..start], &whole[end..]);
    let again = inject(without.as_bytes(), &[device("b"), device("a")]).unwrap();
    assert_eq!(again.devices(), [(slot(0), device_uuid(domain(), slot(0)))]);
    assert_eq!(
        read(again.bytes()).unwrap().requests,
        read(whole.as_bytes()).unwrap().requests
    );
    assert_eq!(eject(again.bytes(), &Eject::All).unwrap().bytes(), XML.as_bytes());
}

#[test]
fn a_device_that_asks_for_nothing_is_refused() {
    let need = AtLeast::default();
    for need in [
        need,
        AtLeast {
            framebuffer_mib: Some(0),
            ..need
        },
        AtLeast { heads: Some(0), ..need },
        AtLeast {
            resolution: Some("0x1080".parse().unwrap()),
            ..need
        },
    ] {
        let error = inject(XML.as_bytes(), &[NewDevice::needing(need)]).unwrap_err();
        assert_eq!(error.code(), Code::Request, "{error}");
    }
}

#[test]
fn other_classes_of_devices_have_no_display() {
    for (model, display) in [
        (DeviceApi::VfioPci, true),
        (DeviceApi::VfioCcw, false),
        (DeviceApi::VfioAp, false),
    ] {
        let edited = inject(XML.as_bytes(), &[device("vfio_ap-passthrough").model(model)]).unwrap();
        let text = String::from_utf8_lossy(edited.bytes());
        assert!(text.contains(&format!("managed='no' model='{model}'")), "{text}");
        assert_eq!(text.contains("display="), display, "{text}");
        assert!(!text.contains("ramfb"), "{text}");
    }
}

#[test]
fn a_domain_without_uuid_needs_one_for_each_device() {
    let xml = b"<domain><name>new</name></domain>";
    assert_eq!(inject(xml, &[device("a")]).unwrap_err().kind(), &Kind::NoUuid);
    assert_eq!(
        inject(xml, &[device("a").uuid(uuid(1))]).unwrap().devices(),
        [(slot(0), uuid(1))]
    );
    let edited = Injection::new().device(device("a")).apply(xml, || uuid(2)).unwrap();
    assert_eq!(edited.devices(), [(slot(0), uuid(2))]);
    assert_eq!(read(edited.bytes()).unwrap().requests.unwrap().injected_for, Some(None));
}

#[test]
fn seventeen_devices_are_too_many() {
    let sixteen = inject(XML.as_bytes(), &vec![device("a"); 16]).unwrap();
    for seventeen in [
        inject(sixteen.bytes(), &[device("b")]),
        inject(sixteen.bytes(), &vec![device("a"); 17]),
        Injection::new()
            .more()
            .device(device("a"))
            .apply(sixteen.bytes(), never),
    ] {
        assert_eq!(
            seventeen.unwrap_err().kind(),
            &Kind::TooManyDevices { count: 17, limit: 16 }
        );
    }
    let thousands = Injection::new()
        .devices(device("a"), u16::MAX)
        .apply(XML.as_bytes(), never);
    assert!(matches!(thousands.unwrap_err().kind(), Kind::TooManyDevices { .. }));
}

#[test]
fn what_is_not_ours_is_not_ejected() {
    let xml = fixture("recorded/libvirt-11.3.0-prepare.xml");
    let theirs: Uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse().unwrap();
    let error = eject(&xml, &Eject::Uuids(vec![theirs])).unwrap_err();
    assert!(
        error.to_string().contains("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"),
        "{error}"
    );
    assert_eq!(
        eject(&xml, &Eject::Slots(vec![slot(0)])).unwrap_err().kind(),
        &Kind::NotOursSlot { slot: slot(0) }
    );
    assert!(!eject(&xml, &Eject::All).unwrap().changed());
}

#[test]
fn halves_are_ejected_too() {
    let whole = String::from_utf8(inject(XML.as_bytes(), &[device("a")]).unwrap().into_bytes()).unwrap();
    let start = whole.find("<mdevkit:request ").unwrap();
    let end = start + whole[start..].find("/>").unwrap() + 2;
    let no_request = format!("{}{}", &whole[..start], &whole[end..]);
    let start = whole.find("<hostdev").unwrap();
    let end = whole.find("</hostdev>").unwrap() + 10;
    let no_hostdev = format!("{}{}", &whole[..start], &whole[end..]);
    for half in [no_request, no_hostdev] {
        for what in [Eject::All, Eject::Slots(vec![slot(0)])] {
            let domain = read(eject(half.as_bytes(), &what).unwrap().bytes()).unwrap();
            assert!(domain.hostdevs.is_empty(), "{half}");
            assert!(domain.requests.is_none_or(|set| set.requests.is_empty()), "{half}");
        }
    }
}

#[test]
fn a_neighbour_that_came_later_stays() {
    let edited = inject(b"<domain>\n</domain>", &[device("a").uuid(uuid(1))]).unwrap();
    let text = String::from_utf8(edited.into_bytes()).unwrap();
    let text = text
        .replace("</devices>", "<disk/></devices>")
        .replace("</metadata>", "<!-- mine --></metadata>");
    let left = String::from_utf8(eject(text.as_bytes(), &Eject::All).unwrap().into_bytes()).unwrap();
    let left: String = left.split_whitespace().collect();
    assert_eq!(
        left,
        "<domain><metadata><!--mine--></metadata><devices><disk/></devices></domain>"
    );
}

#[test]
fn a_clone_is_refused_until_it_is_refreshed() {
    let original = inject(XML.as_bytes(), &[device("a"), device("b").uuid(uuid(1))]).unwrap();
    let clone = String::from_utf8(original.into_bytes())
        .unwrap()
        .replacen("<uuid>1", "<uuid>2", 1);
    for refused in [
        inject(clone.as_bytes(), &[device("c")]),
        complete(clone.as_bytes(), DeviceApi::VfioPci, || uuid(9)),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), Code::Clone);
        assert!(error.to_string().contains("mdevkit refresh"), "{error}");
    }
    let refreshed = refresh(clone.as_bytes(), never).unwrap();
    let its = read(refreshed.bytes()).unwrap();
    let expected: Vec<_> = [0, 1]
        .map(|n| (slot(n), device_uuid(its.uuid.unwrap(), slot(n))))
        .into();
    assert_eq!(refreshed.devices(), expected);
    assert_eq!(
        its.hostdevs.iter().filter_map(|it| it.mdev()).collect::<Vec<_>>(),
        [expected[0].1, expected[1].1]
    );
    assert!(!refresh(refreshed.bytes(), never).unwrap().changed());
    assert_eq!(refreshed.splices().len(), 3, "for, and one UUID each");
    assert!(inject(refreshed.bytes(), &[device("c")]).is_ok());
}

#[test]
fn a_clone_that_lost_a_request_is_refreshed_too() {
    let original = inject(XML.as_bytes(), &[at_slot("a", 1)]).unwrap();
    let clone = String::from_utf8(original.into_bytes())
        .unwrap()
        .replacen("<uuid>1", "<uuid>2", 1);
    let lost = clone.replacen("slot=\"1\"", "slot=\"2\"", 1);
    assert_eq!(refresh(lost.as_bytes(), never).unwrap().devices().len(), 1);
}

#[test]
fn a_domain_that_got_its_uuid_later_is_no_clone() {
    let xml = "<domain>\n  <name>new</name>\n</domain>";
    let edited = Injection::new()
        .device(device("a"))
        .apply(xml.as_bytes(), || uuid(1))
        .unwrap();
    let text = String::from_utf8(edited.into_bytes()).unwrap();
    let defined = text.replace("</name>", "</name><uuid>11111111-0000-0000-0000-000000000001</uuid>");
    assert!(inject(defined.as_bytes(), &[device("b")]).is_ok());
    let refreshed = refresh(defined.as_bytes(), never).unwrap();
    assert_eq!(refreshed.devices(), [(slot(0), device_uuid(domain(), slot(0)))]);
    // A clone whose UUID was taken out gets new ones, too.
    let original = inject(XML.as_bytes(), &[device("a")]).unwrap().into_bytes();
    let nameless =
        String::from_utf8(original)
            .unwrap()
            .replacen("<uuid>11111111-0000-0000-0000-000000000001</uuid>", "", 1);
    assert_eq!(
        inject(nameless.as_bytes(), &[device("b")]).unwrap_err().code(),
        Code::Clone
    );
    assert_eq!(
        refresh(nameless.as_bytes(), || uuid(7)).unwrap().devices(),
        [(slot(0), uuid(7))]
    );
}

#[test]
fn requests_written_by_hand_are_completed_where_they_stand() {
    let xml = fixture("lexical/default-namespace-by-hand.xml");
    let done = complete(&xml, DeviceApi::VfioPci, never).unwrap();
    assert_eq!(done.devices(), [(slot(0), device_uuid(domain(), slot(0)))]);
    let text = String::from_utf8_lossy(done.bytes());
    for part in [
        "<requests xmlns=\"urn:mdevkit:domain:1\" for=\"11111111-0000-0000-0000-000000000001\"><!-- two cards -->",
        "<request slot=\"0\" type=\"V100DX-4Q\" policy=\"spread\"></request>",
        // Its hostdev is there: it stays as it is.
        "<request type='nvidia-194' uuid=\"53764d0e-85a0-42b4-af5c-2046b460b1dc\" />",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_uuid_chosen_by_hand_is_the_devices() {
    let xml = format!(
        "<domain><metadata><r:requests xmlns:r='urn:mdevkit:domain:1'><r:request uuid='{}' type='a'/><r:request slot='4' type='b'/>\
         </r:requests></metadata></domain>",
        uuid(5)
    );
    let done = complete(xml.as_bytes(), DeviceApi::VfioPci, || uuid(6)).unwrap();
    assert_eq!(done.devices(), [(slot(0), uuid(5)), (slot(4), uuid(6))]);
    // In a clone both the hostdev and the request get the new one.
    let clone = String::from_utf8(done.into_bytes())
        .unwrap()
        .replacen("for=\"\"", &format!("for=\"{}\"", uuid(99)), 1);
    let mut next = 10;
    let refreshed = refresh(clone.as_bytes(), || {
        next += 1;
        uuid(next)
    })
    .unwrap();
    let its = read(refreshed.bytes()).unwrap();
    assert_eq!(its.requests.unwrap().requests[0].uuid, its.hostdevs[0].mdev());
    assert_eq!(its.hostdevs[0].mdev(), Some(uuid(11)));
}

#[test]
fn a_hostdev_taken_out_since_stays_out() {
    let whole = String::from_utf8(inject(XML.as_bytes(), &[device("a")]).unwrap().into_bytes()).unwrap();
    let (start, end) = (whole.find("<hostdev").unwrap(), whole.find("</hostdev>").unwrap() + 10);
    let without = format!("{}{}", &whole[..start], &whole[end..]);
    assert!(
        !complete(without.as_bytes(), DeviceApi::VfioPci, never)
            .unwrap()
            .changed()
    );
}

#[test]
fn injecting_beside_requests_written_by_hand_comes_out_again() {
    let xml = fixture("lexical/default-namespace-by-hand.xml");
    let edited = inject(&xml, &[device("a"), device("b")]).unwrap();
    assert!(String::from_utf8_lossy(edited.bytes()).contains("opened=\"for=0 for=1\""));
    let one = eject(edited.bytes(), &Eject::Slots(vec![slot(0)])).unwrap();
    assert!(String::from_utf8_lossy(one.bytes()).contains("opened=\"for=1\""));
    assert_eq!(eject(one.bytes(), &Eject::Slots(vec![slot(1)])).unwrap().bytes(), xml);
}

#[test]
fn notes_that_a_hand_made_untrue_are_refused() {
    let xml = fixture("lexical/default-namespace-by-hand.xml");
    let edited = String::from_utf8(inject(&xml, &[device("a")]).unwrap().into_bytes()).unwrap();
    let untrue = edited.replace(" for=\"11111111-0000-0000-0000-000000000001\"", "");
    let error = inject(untrue.as_bytes(), &[device("b")]).unwrap_err();
    assert!(error.to_string().contains("remove opened"), "{error}");
    // A start and an ejection are not held up by it.
    assert!(read(untrue.as_bytes()).is_ok());
    assert_eq!(
        eject(untrue.as_bytes(), &Eject::Slots(vec![slot(0)])).unwrap().bytes(),
        xml
    );
}
