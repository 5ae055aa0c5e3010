//! The first table of `prepare`: what the metadata asks for, and which hostdev is there.

use crate::common::{Fixture, by_hand, device, domain, domain_uuid, hostdev, plain, requests};

#[test]
fn slot_and_alias() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.prepare("d1", &domain(1, &["mtty-1"])).done();
    assert_eq!(fixture.devices(), [device(1, 0)]);
}

#[test]
fn a_line_by_hand_with_the_uuid_of_a_hostdev() {
    let fixture = Fixture::new(&["mtty"]);
    let uuid = device(7, 7);
    let line = format!(
        r#"<m:request type="mtty-2" uuid="{}"/>"#,
        uuid.simple().to_string().to_uppercase()
    );
    let xml = by_hand(1, &requests("", &line), &hostdev(uuid, "<alias name='hostdev0'/>"));
    fixture.prepare("d1", &xml).done();
    assert_eq!(fixture.devices(), [uuid]);
    fixture.release("d1", &xml).done();
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_line_by_hand_that_was_never_injected() {
    let fixture = Fixture::new(&["mtty"]);
    for line in [
        r#"<m:request type="mtty-2"/>"#,
        r#"<m:request slot="0" type="mtty-2"/>"#,
    ] {
        let answer = fixture.prepare("d1", &by_hand(1, &requests("", line), ""));
        assert!(answer.failed(1, "E-NOHOSTDEV").contains("mdevkit inject"), "{answer:?}");
    }
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_hostdev_that_was_removed_since() {
    let fixture = Fixture::new(&["mtty"]);
    let injected = domain(1, &["mtty-1", "mtty-2"]);
    let (start, end) = (
        injected.find("    <hostdev").unwrap(),
        injected.find("</hostdev>").unwrap() + "</hostdev>\n".len(),
    );
    let without_first = format!("{}{}", &injected[..start], &injected[end..]);
    fixture.prepare("d1", &without_first).done();
    assert_eq!(fixture.devices(), [device(1, 1)]);
    assert!(
        fixture.log().contains("WARN") && fixture.log().contains("ua-mdevkit-0"),
        "{}",
        fixture.log()
    );
}

#[test]
fn an_alias_without_a_request() {
    let fixture = Fixture::new(&["mtty"]);
    let orphan = hostdev(device(1, 0), "<alias name='ua-mdevkit-0'/>");
    let answer = fixture.prepare("d1", &plain(1).replace("</devices>", &format!("{orphan}</devices>")));
    assert!(answer.failed(1, "E-NOREQUEST").contains("ua-mdevkit-0"));
    // The same beside a good one.
    let injected = domain(1, &["mtty-1"]);
    let second = hostdev(device(1, 5), "<alias name='ua-mdevkit-5'/>");
    fixture
        .prepare("d1", &injected.replace("</devices>", &format!("{second}</devices>")))
        .failed(1, "E-NOREQUEST");
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_clone() {
    let fixture = Fixture::new(&["mtty"]);
    let original = domain(1, &["mtty-1"]);
    let uuid = |number| format!("<uuid>{}</uuid>", domain_uuid(number));
    let clone = original.replace(&uuid(1), &uuid(2));
    fixture.prepare("d1", &original).done();
    let answer = fixture.prepare("d2", &clone);
    assert!(answer.failed(1, "E-CLONE").contains("refresh"));
    fixture.release("d2", &clone).done();
    assert_eq!(fixture.devices(), [device(1, 0)], "the first keeps its device");

    let refreshed = mdevkit_xml::refresh(clone.as_bytes(), mdevkit_core::Uuid::nil).unwrap();
    fixture
        .prepare("d2", std::str::from_utf8(refreshed.bytes()).unwrap())
        .done();
    assert_eq!(fixture.devices().len(), 2);
}

#[test]
fn another_domains_device_by_hand() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.prepare("d1", &domain(1, &["mtty-1"])).done();
    let line = format!(r#"<m:request type="mtty-1" uuid="{}"/>"#, device(1, 0));
    let thief = by_hand(2, &requests("", &line), &hostdev(device(1, 0), ""));
    let answer = fixture.prepare("d2", &thief);
    assert!(answer.failed(1, "E-OWNED").contains("domain d1"));
    fixture.release("d2", &thief).done();
    assert_eq!(fixture.devices(), [device(1, 0)]);
}
