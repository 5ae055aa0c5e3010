//! What a device shows: display, ramfb, and being the only display.

use crate::common::{SHOWN as XML, device, injected, slot, text};
use mdevkit_core::DeviceApi;
use mdevkit_xml::{Eject, Pick, Screen, XmlErrorKind as Kind, eject, inject, primary};

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
