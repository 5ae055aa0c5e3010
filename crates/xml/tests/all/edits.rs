//! Edits of what is there: another request, another display, PCI functions; and how an edit is shown.

use crate::common::{fixture, fixtures, others};
use mdevkit_core::{
    Ask, AtLeast, Bdf, Code, DeviceApi, HostdevKind, Numa, Policy, Request, Slot, TypeSpec, Uuid, What,
};
use mdevkit_xml::{
    Edited, Eject, Injection, NewDevice, Pick, Replacement, Screen, XmlErrorKind as Kind, eject, inject, primary, read,
    refresh,
};

const XML: &str = "<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices>\n    <graphics type='vnc'/>\n    \
                   <video>\n      <model type='virtio'/>\n    </video>\n    <memballoon/>\n  </devices>\n</domain>\n";

fn never() -> Uuid {
    panic!("no random UUID is needed here")
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn spec(text: &str) -> TypeSpec {
    text.parse().unwrap()
}

fn device(text: &str) -> NewDevice {
    NewDevice::new(spec(text))
}

fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

fn text(edited: &Edited) -> String {
    String::from_utf8(edited.bytes().to_vec()).unwrap()
}

fn injected(devices: &[NewDevice]) -> String {
    text(&inject(XML.as_bytes(), devices).unwrap())
}

/// The `<...:request .../>` lines.
fn requests(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.contains(":request "))
        .collect()
}

// ---- replace

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

// ---- display

#[test]
fn display_and_ramfb_stand_where_libvirt_writes_them() {
    let xml = injected(&[device("a")]);
    let screen = |display, ramfb| Screen { display, ramfb };
    for (change, written) in [
        (screen(None, None), "model='vfio-pci' display='off'>"),
        (screen(Some(true), None), "model='vfio-pci' display='on'>"),
        (
            screen(Some(true), Some(true)),
            "model='vfio-pci' display='on' ramfb='on'>",
        ),
        (screen(None, Some(true)), "model='vfio-pci' display='off' ramfb='on'>"),
        (
            screen(Some(false), Some(false)),
            "model='vfio-pci' display='off' ramfb='off'>",
        ),
    ] {
        let edited = change.apply(xml.as_bytes(), Pick::Only).unwrap();
        assert!(text(&edited).contains(written), "{written}");
        assert!(!change.apply(edited.bytes(), Pick::Only).unwrap().changed());
        assert_eq!(eject(edited.bytes(), &Eject::All).unwrap().bytes(), XML.as_bytes());
    }
    // Without display, and with other quotes.
    for (before, after) in [
        (" display='off'", " display='on' ramfb='on'"),
        (" display = \"off\"", " display = \"on\" ramfb='on'"),
        (" ramfb=\"off\" display='off'", " ramfb=\"on\" display='on'"),
    ] {
        let xml = xml.replace(" display='off'", before);
        let edited = screen(Some(true), Some(true))
            .apply(xml.as_bytes(), Pick::Only)
            .unwrap();
        assert!(
            text(&edited).contains(&format!("model='vfio-pci'{after}>")),
            "{}",
            text(&edited)
        );
    }
    let bare = xml
        .replace(" display='off'", "")
        .replace("managed='no' model='vfio-pci'", "model='vfio-pci' managed='no'");
    let edited = screen(Some(true), Some(true))
        .apply(bare.as_bytes(), Pick::Only)
        .unwrap();
    assert!(text(&edited).contains("model='vfio-pci' display='on' ramfb='on' managed='no'>"));
}

#[test]
fn what_libvirt_would_refuse_is_refused_before() {
    let on = Screen {
        display: Some(true),
        ramfb: Some(true),
    };
    let two = injected(&[device("a"), device("b")]);
    let one_shown = text(&on.apply(two.as_bytes(), Pick::Slot(slot(0))).unwrap());
    let no_graphics = two.replace("<graphics type='vnc'/>", "");
    let channel = injected(&[device("a").model(DeviceApi::VfioCcw)]);
    let foreign = "<domain><devices><graphics/><hostdev type='mdev' model='vfio-pci'><source><address \
                   uuid='aaaaaaaa-0000-4000-8000-000000000001'/></source></hostdev></devices></domain>";
    let theirs = Pick::Uuid("aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap());
    for (xml, pick, part) in [
        (
            no_graphics.as_str(),
            Pick::Slot(slot(0)),
            "graphics device is needed for attribute value 'display=on' in <hostdev>",
        ),
        (
            one_shown.as_str(),
            Pick::Slot(slot(1)),
            "only one vgpu device can have 'ramfb' enabled",
        ),
        (channel.as_str(), Pick::Only, "model vfio-pci"),
        (foreign, theirs, "no device of mdevkit's"),
        (foreign, Pick::Only, "no device of mdevkit's"),
    ] {
        for refused in [on.apply(xml.as_bytes(), pick), primary(xml.as_bytes(), pick)] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(
                error.line().is_some() == matches!(error.kind(), Kind::Libvirt(_)),
                "{error}"
            );
        }
    }
    // It may be turned off, and on again for the same device.
    assert!(
        Screen {
            display: Some(false),
            ramfb: None
        }
        .apply(no_graphics.as_bytes(), Pick::Slot(slot(0)))
        .is_ok()
    );
    assert!(!on.apply(one_shown.as_bytes(), Pick::Slot(slot(0))).unwrap().changed());

    let matrix = || device("vfio_ap-passthrough").model(DeviceApi::VfioAp);
    let first = injected(&[matrix()]);
    for refused in [
        inject(XML.as_bytes(), &[matrix(), matrix()]),
        inject(first.as_bytes(), &[matrix(), matrix()]),
    ] {
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("only one hostdev of model vfio-ap is supported")
        );
    }
}

#[test]
fn the_only_display() {
    let none = "    <video>\n      <model type='none'/>\n    </video>\n    <hostdev";
    let two_cards = XML.replace(
        "    <memballoon",
        "    <video>\n      <model type='qxl'/>\n    </video>\n    <memballoon",
    );
    let none_there = XML.replace("    <video>\n      <model type='virtio'/>\n    </video>\n", "");
    let already = XML.replace("virtio", "none");
    for xml in [XML, &two_cards, &none_there, &already] {
        let with = inject(xml.as_bytes(), &[device("a")]).unwrap();
        let edited = primary(with.bytes(), Pick::Only).unwrap();
        let shown = text(&edited);
        assert!(shown.contains(none) && shown.matches("<video").count() == 1, "{shown}");
        assert!(shown.contains("display='on' ramfb='on'>"));
        assert!(!primary(edited.bytes(), Pick::Only).unwrap().changed());
        let left = eject(edited.bytes(), &Eject::All).unwrap();
        assert_eq!(text(&left), already, "what is left is the domain without its cards");
    }
}

// ---- PCI functions

#[test]
fn pci_functions_are_read_as_libvirt_reads_them() {
    let pci = |attributes: &str, address: &str| {
        let xml = format!(
            "<domain xmlns:x='urn:x'><devices><hostdev {attributes}><source><address {address}/></source></hostdev></devices></domain>"
        );
        read(xml.as_bytes()).unwrap().hostdevs.remove(0).kind
    };
    let is = |address: &str, managed| HostdevKind::Pci {
        address: bdf(address),
        managed,
    };
    let canonical = "domain='0x0000' bus='0x3d' slot='0x1f' function='0x4'";
    for (attributes, address, kind) in [
        (
            "mode='subsystem' type='pci' managed='yes'",
            canonical,
            is("0000:3d:1f.4", true),
        ),
        ("type='pci'", canonical, is("0000:3d:1f.4", false)),
        ("type='pci' managed='maybe'", canonical, is("0000:3d:1f.4", false)),
        (
            "type='pci'",
            "bus='61' slot='037' function='4'",
            is("0000:3d:1f.4", false),
        ),
        (
            "type='pci'",
            "domain='0x10000' bus='0xe1' slot='0' function='0'",
            is("10000:e1:00.0", false),
        ),
        ("x:type='pci' type='usb'", canonical, is("0000:3d:1f.4", false)),
        (
            "type='pci'",
            "domain='0' bus='0x100' slot='0' function='0'",
            HostdevKind::Other,
        ),
        ("type='pci'", "bus='0x3d' slot='0x20'", HostdevKind::Other),
        ("type='pci'", "bus='3d'", HostdevKind::Other),
        ("type='pci'", "bus='-1'", HostdevKind::Other),
        ("type='usb'", canonical, HostdevKind::Other),
        ("mode='capabilities' type='pci'", canonical, HostdevKind::Other),
    ] {
        assert_eq!(pci(attributes, address), kind, "{attributes} {address}");
    }
}

#[test]
fn a_pci_function_comes_and_goes() {
    let card = || device("passthrough").function(bdf("0000:3b:00.0"), true);
    let vf = || device("nvidia-1001").function(bdf("0000:3d:00.4"), false);
    let edited = inject(XML.as_bytes(), &[card(), vf(), device("a")]).unwrap();
    assert_eq!(
        edited.functions(),
        [(slot(0), bdf("0000:3b:00.0")), (slot(1), bdf("0000:3d:00.4"))]
    );
    assert_eq!(edited.devices().len(), 1);
    let shown = text(&edited);
    assert!(shown.contains(
        "    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source>
        <address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/>
      </source>
      <alias name='ua-mdevkit-0'/>
    </hostdev>
    <hostdev mode='subsystem' type='pci' managed='no'>
"
    ));
    let domain = read(edited.bytes()).unwrap();
    assert_eq!(
        domain.hostdevs[1].kind,
        HostdevKind::Pci {
            address: bdf("0000:3d:00.4"),
            managed: false
        }
    );
    assert!(!inject(edited.bytes(), &[vf(), card(), device("a")]).unwrap().changed());
    let taken = |device: NewDevice| inject(edited.bytes(), &[device]).unwrap_err().kind().clone();
    let address = bdf("0000:3b:00.0");
    assert_eq!(
        taken(device("other").function(address, true)),
        Kind::AddressTaken { address }
    );
    assert_eq!(taken(card().function(address, false)), Kind::AddressTaken { address });
    assert!(inject(XML.as_bytes(), &[card(), card()]).is_err());

    // A display needs no model there.
    let on = Screen {
        display: Some(true),
        ramfb: None,
    };
    let shown = on.apply(edited.bytes(), Pick::Slot(slot(1))).unwrap();
    assert_eq!(shown.functions(), [(slot(1), bdf("0000:3d:00.4"))]);
    assert!(text(&shown).contains("type='pci' managed='no' display='on'>"));

    let some = eject(edited.bytes(), &Eject::Slots(vec![slot(0), slot(2)])).unwrap();
    assert_eq!((some.functions().len(), some.devices().len()), (1, 1));
    assert_eq!(eject(some.bytes(), &Eject::All).unwrap().bytes(), XML.as_bytes());
    let change = Replacement::new().ask(spec("nvidia-1002"));
    assert_eq!(
        change
            .apply(edited.bytes(), Pick::Slot(slot(1)))
            .unwrap()
            .functions()
            .len(),
        1
    );

    // A clone keeps the function: it is the host's.
    let clone = text(&edited).replacen("<uuid>1", "<uuid>2", 1);
    let refreshed = refresh(clone.as_bytes(), never).unwrap();
    assert!(refreshed.functions().is_empty() && refreshed.devices().len() == 1);
    assert_eq!(read(refreshed.bytes()).unwrap().hostdevs[0], domain.hostdevs[0]);
}

#[test]
fn pci_hostdevs_of_ours_that_contradict() {
    let hostdev = |slot: u8, address: &str| {
        format!("<hostdev type='pci'><source>{address}</source><alias name='ua-mdevkit-{slot}'/></hostdev>")
    };
    let (one, same) = (
        "<address bus='0x3b' slot='0'/>",
        "<address domain='0' bus='59' function='0'/>",
    );
    for (hostdevs, part) in [
        (hostdev(0, ""), "has no <source><address domain"),
        (
            hostdev(0, "<address uuid='11111111-0000-0000-0000-000000000001'/>").replace("uuid", "bus"),
            "has no <source><address domain",
        ),
        (
            hostdev(0, one) + &hostdev(1, same),
            "PCI function 0000:3b:00.0 stands twice",
        ),
    ] {
        let xml = format!("<domain><devices>{hostdevs}</devices></domain>");
        let error = read(xml.as_bytes()).expect_err(&hostdevs);
        assert!(error.to_string().contains(part), "{hostdevs}: {error}");
        assert_eq!(error.code(), Code::Request);
    }
}

// ---- how an edit is shown

/// Applies a unified diff, believing nothing of it.
fn patch(before: &str, diff: &str) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let (mut output, mut at, mut lines) = (String::new(), 0, 0);
    let mut left = (0, 0);
    let mut rest = diff.split_inclusive('\n').skip(2).peekable();
    while let Some(line) = rest.next() {
        if let Some(header) = line.strip_prefix("@@ -") {
            assert_eq!(left, (0, 0), "a hunk ended early");
            let numbers: Vec<usize> = header
                .trim_end_matches(" @@\n")
                .split([',', ' ', '+'])
                .filter(|part| !part.is_empty())
                .map(|part| part.parse().unwrap())
                .collect();
            let [start, old_count, new_start, new_count] = numbers[..] else {
                panic!("{line}")
            };
            let from = if old_count == 0 { start } else { start - 1 };
            for kept in &old[at..from] {
                output.push_str(kept);
                lines += 1;
            }
            at = from;
            assert_eq!(if new_count == 0 { new_start } else { new_start - 1 }, lines, "{line}");
            left = (old_count, new_count);
            continue;
        }
        let (sign, mut text) = line.split_at(1);
        if rest.peek().is_some_and(|next| next.starts_with('\\')) {
            assert_eq!(rest.next(), Some("\\ No newline at end of file\n"));
            text = text.strip_suffix('\n').unwrap();
        }
        if sign != "+" {
            assert_eq!(old[at], text);
            at += 1;
            left.0 -= 1;
        }
        if sign != "-" {
            output.push_str(text);
            lines += 1;
            left.1 -= 1;
        }
    }
    assert_eq!(left, (0, 0), "the last hunk ended early");
    output.extend(old[at..].iter().copied());
    output
}

#[test]
fn a_diff_makes_the_output_of_the_input() {
    let mut next = 0;
    for (name, xml) in fixtures() {
        let xml = String::from_utf8(xml).unwrap();
        let mut fresh = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let injection = Injection::new().more().devices(device("a"), 2);
        let edited = injection.apply(xml.as_bytes(), &mut fresh).unwrap();
        let with = text(&edited);
        let picked = Pick::Slot(edited.devices()[1].0);
        for (before, edit) in [
            (&xml, edited),
            (&with, eject(with.as_bytes(), &Eject::All).unwrap()),
            (
                &with,
                Replacement::new()
                    .ask(spec("b"))
                    .apply(with.as_bytes(), picked)
                    .unwrap(),
            ),
            (&xml, inject(xml.as_bytes(), &[]).unwrap()),
        ] {
            let diff = edit.diff(before.as_bytes(), "a", "b").unwrap();
            assert_eq!(diff.is_empty(), !edit.changed(), "{name}");
            if edit.changed() {
                assert!(diff.starts_with("--- a\n+++ b\n@@ -"), "{diff}");
                assert_eq!(patch(before, &diff), text(&edit), "{name}:\n{diff}");
            }
        }
    }
}

#[test]
fn a_diff_shows_no_more_than_it_must() {
    let edited = inject(XML.as_bytes(), &[device("a")]).unwrap();
    assert_eq!(
        edited.diff(XML.as_bytes(), "vm.xml", "vm.xml (edited)").unwrap(),
        "--- vm.xml
+++ vm.xml (edited)
@@ -1,10 +1,21 @@
 <domain>
   <uuid>11111111-0000-0000-0000-000000000001</uuid>
+  <metadata>
+    <mdevkit:requests xmlns:mdevkit=\"urn:mdevkit:domain:1\" for=\"11111111-0000-0000-0000-000000000001\" opened=\"metadata=created\">
+      <mdevkit:request slot=\"0\" type=\"a\"/>
+    </mdevkit:requests>
+  </metadata>
   <devices>
     <graphics type='vnc'/>
     <video>
       <model type='virtio'/>
     </video>
+    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
+      <source>
+        <address uuid='8dd3f6b4-5ee8-5c9c-9b5b-5d2bb0e8a0d5'/>
+      </source>
+      <alias name='ua-mdevkit-0'/>
+    </hostdev>
     <memballoon/>
   </devices>
 </domain>
"
        .replace("8dd3f6b4-5ee8-5c9c-9b5b-5d2bb0e8a0d5", &edited.devices()[0].1.to_string())
    );
    let far = fixture("recorded/libvirt-11.3.0-prepare.xml");
    let edited = inject(&far, &[device("a")]).unwrap();
    let diff = edited.diff(&far, "a", "b").unwrap();
    assert_eq!(diff.matches("\n@@ ").count(), 2, "{diff}");
    assert_eq!(edited.diff(XML.as_bytes(), "a", "b"), None, "another document");
    assert_eq!(edited.diff(b"\xff", "a", "b"), None);
}

#[test]
fn nothing_else_changes() {
    for (name, xml) in fixtures() {
        let Ok(with) = Injection::new()
            .more()
            .device(device("a"))
            .apply(&xml, || Uuid::from_u128(7))
        else {
            panic!("{name}")
        };
        let pick = Pick::Slot(with.devices()[0].0);
        let change = Replacement::new()
            .ask(spec("b"))
            .group(Some("g".parse().unwrap()))
            .apply(with.bytes(), pick)
            .unwrap();
        assert_eq!(others(change.bytes()), others(&xml), "{name}");
        let ramfb = Screen {
            display: None,
            ramfb: Some(true),
        };
        let shown = ramfb.apply(with.bytes(), pick).unwrap();
        assert_eq!(others(shown.bytes()), others(&xml), "{name}");
        let request = |xml: &[u8]| -> Option<Request> { read(xml).unwrap().requests?.requests.pop() };
        assert!(
            request(change.bytes()).is_some() && request(shown.bytes()).is_some(),
            "{name}"
        );
    }
}

#[test]
fn what_is_printed_for_developers_holds_no_document() {
    let xml = XML.replace("type='vnc'", "type='vnc' passwd='secret'");
    let edited = inject(xml.as_bytes(), &[device("a")]).unwrap();
    assert!(!format!("{edited:?}").contains("secret"));
}
