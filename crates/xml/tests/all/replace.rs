//! Requests that are changed in their place.

use crate::common::{SHOWN as XML, device, injected, slot, spec, text};
use mdevkit_core::{Ask, AtLeast, Code, Numa, Policy, Uuid, What};
use mdevkit_xml::{Eject, Pick, Replacement, eject, read};

/// The `<...:request .../>` lines.
fn requests(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.contains(":request "))
        .collect()
}

#[test]
fn a_request_is_changed_in_its_place() {
    let xml = injected(&[device("a"), device("b").policy(Policy::DepthFirst).numa(Numa::Strict)]);
    let four = AtLeast {
        framebuffer_mib: Some(4096),
        heads: Some(2),
        ..AtLeast::default()
    };
    for (change, line) in [
        (
            Replacement::new(),
            r#"<mdevkit:request slot="1" type="b" policy="depth-first" numa="strict"/>"#,
        ),
        (
            Replacement::new().ask(spec("GRID V100DX-4Q")),
            r#"<mdevkit:request slot="1" type="V100DX-4Q" policy="depth-first" numa="strict"/>"#,
        ),
        (
            Replacement::new().ask(Ask::For(What::AtLeast(four))),
            r#"<mdevkit:request slot="1" framebuffer="4096" heads="2" policy="depth-first" numa="strict"/>"#,
        ),
        (
            Replacement::new()
                .ask(Ask::Profile("cad".parse().unwrap()))
                .numa(None)
                .policy(None),
            r#"<mdevkit:request slot="1" profile="cad"/>"#,
        ),
        (
            Replacement::new()
                .group(Some("cad".parse().unwrap()))
                .parent(Some("0000:3b:00.0".parse().unwrap()))
                .policy(Some(Policy::BreadthFirst))
                .apart(Some(false))
                .params(Some("disable_vnc=1".parse().unwrap())),
            r#"<mdevkit:request slot="1" type="b" group="cad" policy="breadth-first" parent="0000:3b:00.0" numa="strict" apart="no" params="disable_vnc=1"/>"#,
        ),
    ] {
        let edited = change.apply(xml.as_bytes(), Pick::Slot(slot(1))).unwrap();
        let changed = text(&edited);
        assert_eq!(requests(&changed), [r#"<mdevkit:request slot="0" type="a"/>"#, line]);
        let uuid = read(xml.as_bytes()).unwrap().hostdevs[1].mdev().unwrap();
        assert_eq!(edited.devices(), [(slot(1), uuid)]);
        assert_eq!(change.apply(xml.as_bytes(), Pick::Uuid(uuid)).unwrap(), edited);
        let again = change.apply(edited.bytes(), Pick::Slot(slot(1))).unwrap();
        assert!(!again.changed(), "{again:?}");
        assert_eq!(eject(edited.bytes(), &Eject::All).unwrap().bytes(), XML.as_bytes());
    }
}

#[test]
fn what_a_person_wrote_keeps_its_shape() {
    let request = |attributes: &str| {
        format!(
            "<domain><metadata><requests xmlns='urn:mdevkit:domain:1'><request {attributes}></request></requests></metadata></domain>"
        )
    };
    for (before, change, after) in [
        (
            "params='disable_vnc=1'\n\ttype = 'a' ",
            Replacement::new().ask(spec("b")),
            "params='disable_vnc=1'\n\ttype = 'b' ",
        ),
        (
            "policy=\"pack\" type='a'",
            Replacement::new().policy(Some(Policy::DepthFirst)),
            "policy=\"pack\" type='a'",
        ),
        ("policy=\"pack\" type='a'", Replacement::new().policy(None), "type='a'"),
        (
            "type='a'",
            Replacement::new().numa(Some(Numa::Ignore)),
            "type='a' numa=\"ignore\"",
        ),
        (
            "params='disable_vnc=1' class='Q'\r\n  heads='2'",
            Replacement::new().ask(spec("b")),
            " type=\"b\" params='disable_vnc=1'",
        ),
    ] {
        let edited = change.apply(request(before).as_bytes(), Pick::Only).unwrap();
        let expected = request(after).replace("<request  type", "<request type");
        assert_eq!(text(&edited), expected, "{before}");
    }
}

#[test]
fn a_replacement_needs_a_request_and_something_to_ask_for() {
    let two = injected(&[device("a"), device("b")]);
    let change = Replacement::new().ask(spec("c"));
    for (xml, pick, part) in [
        (two.as_str(), Pick::Only, "say which, by its slot (0, 1) or its UUID"),
        (two.as_str(), Pick::Slot(slot(7)), "has slot 7"),
        (two.as_str(), Pick::Uuid(Uuid::nil()), "has UUID 0000"),
        (XML, Pick::Only, "has no device of mdevkit's"),
    ] {
        let error = change.apply(xml.as_bytes(), pick).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.code(), Code::Request);
    }
    let nothing = Replacement::new().ask(Ask::For(What::AtLeast(AtLeast::default())));
    assert!(nothing.apply(two.as_bytes(), Pick::Slot(slot(0))).is_err());
}
