//! PCI functions as hostdevs.

use crate::common::{SHOWN as XML, device, slot, spec, text};
use mdevkit_core::{Bdf, Code, HostdevKind, Uuid};
use mdevkit_xml::{Eject, NewDevice, Pick, Replacement, Screen, XmlErrorKind as Kind, eject, inject, read, refresh};

fn never() -> Uuid {
    panic!("no random UUID is needed here")
}

fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

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
