//! The first table of `prepare`: what the metadata asks for, and which hostdev is there.

use crate::common::{Fixture, by_hand, device, domain, domain_uuid, hostdev, plain, requests};
use mdevkit_host::DecisionOutcome;

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

#[test]
fn what_was_decided_is_kept() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let host = mdevkit_host::Host::new(mdevkit_host::Root::at(fixture.path("")));
    let last = |number| host.decision(domain_uuid(number)).unwrap().unwrap();
    fixture.prepare("d1", &domain(1, &["V100DX-32Q", "V100DX-32Q"])).done();
    assert!(matches!(&last(1).outcome, DecisionOutcome::Placed(devices) if devices.len() == 2));
    fixture.prepare("d2", &domain(2, &["V100DX-32Q"])).failed(1, "E-FULL");
    let DecisionOutcome::Refused(refused) = last(2).outcome else {
        panic!("it was refused")
    };
    assert_eq!((refused.code.as_str(), refused.reasons.len()), ("E-FULL", 2));
    let never = by_hand(3, &requests("", r#"<m:request type="V100DX-4Q"/>"#), "");
    fixture.prepare("d3", &never).failed(1, "E-NOHOSTDEV");
    assert!(matches!(last(3).outcome, DecisionOutcome::Refused(refused) if refused.code == "E-NOHOSTDEV"));
    fixture.prepare("d4", &plain(4)).done();
    assert_eq!(host.decision(domain_uuid(4)).unwrap(), None, "it asked for nothing");
    fixture.put("etc/mdevkit/config.toml", "[group.a]\ngpus = []\n");
    let answer = fixture.prepare("d1", &domain(1, &["V100DX-32Q"]));
    assert!(
        answer.failed(4, "E-CONFIG").contains("line 2: group a is empty"),
        "{answer:?}"
    );
    assert!(matches!(last(1).outcome, DecisionOutcome::Refused(refused) if refused.code == "E-CONFIG"));
}

#[test]
fn a_profile_the_least_and_pinned_cpus() {
    let fixture = Fixture::new(&["v100dx:8"]);
    fixture.put(
        "etc/mdevkit/config.toml",
        "[profile.cad]\nclass = 'Q'\nframebuffer = 4096\n",
    );
    let device_of = |number| hostdev(device(number, 0), "<alias name='ua-mdevkit-0'/>");
    let asks = |number, attributes: &str| {
        let line = format!(r#"<m:request slot="0" {attributes}/>"#);
        by_hand(number, &requests("", &line), &device_of(number))
    };
    fixture.prepare("d1", &asks(1, r#"profile="cad""#)).done();
    let pinned =
        asks(2, r#"framebuffer="8192" class="Q""#).replace("<devices>", "<vcpu cpuset='25-30'>2</vcpu><devices>");
    fixture.prepare("d2", &pinned).done();
    let made: Vec<_> = fixture
        .sim
        .devices()
        .into_iter()
        .map(|made| (made.parent, made.type_id))
        .collect();
    assert_eq!(
        made,
        [
            ("0000:06:00.0".to_owned(), "nvidia-196".to_owned()),
            ("0000:85:00.0".to_owned(), "nvidia-197".to_owned())
        ]
    );
    let unknown = fixture.prepare("d3", &asks(3, r#"profile="cat""#));
    assert!(unknown.failed(3, "E-REQUEST").contains("it has: cad"), "{unknown:?}");
    fixture
        .prepare("d4", &asks(4, r#"type="passthrough""#))
        .failed(1, "E-BLOCKED");
}

#[test]
fn settings_that_cannot_be_believed() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("var/lib/mdevkit/gpus.json", "{");
    let answer = fixture.prepare("d1", &domain(1, &["mtty-1"]));
    assert!(answer.failed(4, "E-CONFIG").contains("gpus.json"), "{answer:?}");
    assert!(fixture.devices().is_empty());
    fixture.release("d1", &domain(1, &["mtty-1"])).done();
}
