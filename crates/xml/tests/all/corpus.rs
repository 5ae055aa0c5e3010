//! Every fixture through every operation: what must hold for all domains, however they are written.

use crate::common::{fixture, fixtures, others};
use mdevkit_core::{
    DeviceApi, Domain, Hostdev, HostdevKind, Pinning, Profiles, Request, RequestSet, TypeSpec, Uuid, device_uuid, wants,
};
use mdevkit_xml::{Eject, Injection, NewDevice, complete, eject, inject, may_concern_us, read, refresh};

fn random() -> impl FnMut() -> Uuid {
    let mut next = 0x5eed_0000_0000_4000_8000_0000_0000_0000_u128;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

fn two_devices() -> Injection {
    // One fixture has such devices already.
    Injection::new()
        .more()
        .device(NewDevice::new("V100DX-4Q".parse().unwrap()))
        .device(NewDevice::new("mtty-2".parse().unwrap()))
}

#[test]
fn the_corpus_is_there() {
    let count = |folder: &str| {
        fixtures()
            .iter()
            .filter(|(name, _)| !name.is_empty() && fixture_in(folder, name))
            .count()
    };
    assert_eq!((count("recorded"), count("lexical"), count("rewritten")), (7, 36, 2));
}

fn fixture_in(folder: &str, name: &str) -> bool {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder)
        .join(name)
        .is_file()
}

#[test]
fn what_is_injected_is_ejected_to_the_byte() {
    for (name, xml) in fixtures() {
        let edited = two_devices()
            .apply(&xml, random())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(edited.devices().len(), 2, "{name}");
        let (slots, uuids) = edited.devices().iter().copied().unzip();
        for what in [Eject::Slots(slots), Eject::Uuids(uuids)] {
            let back = eject(edited.bytes(), &what).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(
                String::from_utf8_lossy(back.bytes()),
                String::from_utf8_lossy(&xml),
                "{name} {what:?}"
            );
            assert_eq!(back.devices(), edited.devices(), "{name}");
        }
        if !read(&xml).unwrap().concerns_us() {
            assert_eq!(eject(edited.bytes(), &Eject::All).unwrap().bytes(), xml, "{name}");
        }
    }
}

#[test]
fn devices_injected_one_by_one_come_out_in_any_order() {
    for (name, xml) in fixtures() {
        let mut fresh = random();
        let [one, two] = &two_devices().requests[..] else {
            panic!("two")
        };
        let first = Injection::new()
            .more()
            .device(one.clone())
            .apply(&xml, &mut fresh)
            .unwrap();
        let second = Injection::new()
            .more()
            .device(two.clone())
            .apply(first.bytes(), &mut fresh)
            .unwrap();
        let out =
            |xml: &[u8], edited: &mdevkit_xml::Edited| eject(xml, &Eject::Uuids(vec![edited.devices()[0].1])).unwrap();
        let last_first = out(second.bytes(), &second);
        assert_eq!(last_first.bytes(), first.bytes(), "{name}");
        assert_eq!(out(last_first.bytes(), &first).bytes(), xml, "{name}");
        let first_first = out(second.bytes(), &first);
        assert_eq!(out(first_first.bytes(), &second).bytes(), xml, "{name}");
    }
}

/// An injection says what a domain is to have.
#[test]
fn the_same_injection_twice_changes_nothing() {
    for (name, xml) in fixtures() {
        let injection = Injection {
            more: false,
            ..two_devices()
        };
        let once = injection.apply(&xml, random()).unwrap();
        let twice = injection.apply(once.bytes(), random()).unwrap();
        assert!(!twice.changed() && twice.devices().is_empty(), "{name}: {twice:?}");
        assert_eq!(twice.bytes(), once.bytes(), "{name}");
    }
}

#[test]
fn a_second_opinion_sees_nothing_else_change() {
    for (name, xml) in fixtures() {
        let edited = two_devices().apply(&xml, random()).unwrap();
        assert_eq!(others(edited.bytes()), others(&xml), "{name}");
        assert_eq!(
            others(eject(&xml, &Eject::All).unwrap().bytes()),
            others(&xml),
            "{name}"
        );
    }
}

#[test]
fn what_is_injected_can_be_started() {
    for (name, xml) in fixtures() {
        let done = complete(&xml, DeviceApi::VfioPci, random()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let before = wants(&read(done.bytes()).unwrap(), &Profiles::new()).unwrap().wants;
        let edited = two_devices().apply(done.bytes(), random()).unwrap();
        let domain = read(edited.bytes()).unwrap();
        assert!(may_concern_us(edited.bytes()), "{name}");
        let found = wants(&domain, &Profiles::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found.warnings.is_empty(), "{name}");
        assert_eq!(found.wants.len(), before.len() + 2, "{name}");
        for (slot, uuid) in edited.devices() {
            assert!(
                found.wants.iter().any(|want| want.slot == *slot && want.uuid == *uuid),
                "{name}: slot {slot}"
            );
        }
    }
}

#[test]
fn nothing_to_do_changes_nothing() {
    for (name, xml) in fixtures() {
        assert!(!inject(&xml, &[]).unwrap().changed(), "{name}");
        assert!(!eject(&xml, &Eject::Slots(vec![])).unwrap().changed(), "{name}");
        assert!(
            !refresh(&xml, || panic!("nothing is a clone here")).unwrap().changed(),
            "{name}"
        );
        let done = complete(&xml, DeviceApi::VfioPci, random()).unwrap();
        assert!(
            !complete(done.bytes(), DeviceApi::VfioPci, random()).unwrap().changed(),
            "{name}"
        );
    }
}

#[test]
fn the_splices_make_the_output() {
    for (name, xml) in fixtures() {
        let edited = two_devices().apply(&xml, random()).unwrap();
        let (mut output, mut at) = (Vec::new(), 0);
        for splice in edited.splices() {
            output.extend_from_slice(&xml[at..splice.range.start]);
            output.extend_from_slice(splice.text.as_bytes());
            at = splice.range.end;
        }
        output.extend_from_slice(&xml[at..]);
        assert_eq!(output, edited.bytes(), "{name}");
    }
}

#[test]
fn what_libvirt_rewrote_is_still_ejected() {
    let ejected = eject(&fixture("rewritten/define.xml"), &Eject::All).unwrap();
    let expected = fixture("rewritten/define.ejected.xml");
    assert_eq!(
        String::from_utf8_lossy(ejected.bytes()),
        String::from_utf8_lossy(&expected)
    );
    assert_eq!(ejected.devices().len(), 2);
}

#[test]
fn look_alikes_are_not_ours() {
    let domain = read(&fixture("lexical/look-alikes.xml")).unwrap();
    assert!(!domain.concerns_us());
    assert_eq!(domain.hostdevs.len(), 1);
    let domain = read(&fixture("lexical/comments-everywhere.xml")).unwrap();
    assert_eq!(
        (domain.name.as_str(), domain.uuid.map(|uuid| uuid.to_string())),
        ("vm", Some("11111111-0000-0000-0000-000000000001".into()))
    );
    assert!(domain.hostdevs.is_empty());
    let domain = read(&fixture("lexical/cdata.xml")).unwrap();
    assert_eq!((domain.name.as_str(), domain.hostdevs.len()), ("a <b> & c", 0));
}

#[test]
fn values_are_read_as_values() {
    let xml = fixture("lexical/character-references.xml");
    assert!(may_concern_us(&xml));
    let domain = read(&xml).unwrap();
    assert_eq!(domain.name, "vm é<😀");
    let set = domain.requests.as_ref().unwrap();
    assert_eq!(set.injected_for, Some(domain.uuid));
    assert_eq!(set.requests[0].ask.to_string(), "V100DX-4Q");
    let want = &wants(&domain, &Profiles::new()).unwrap().wants[0];
    assert_eq!(want.uuid.to_string(), "53764d0e-85a0-42b4-af5c-2046b460b1dc");
    assert_eq!(want.device_api, Some(DeviceApi::VfioPci));
}

#[test]
fn a_recorded_start_is_read_to_the_last_value() {
    let one = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    let three = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003";
    for (file, number, device, alias) in [
        ("libvirt-9.0.0-prepare.xml", 1, one, None),
        ("libvirt-9.0.0-started.xml", 1, one, Some("hostdev0")),
        ("libvirt-9.0.0-release.xml", 1, one, Some("hostdev0")),
        ("libvirt-11.3.0-prepare.xml", 1, one, None),
        ("libvirt-11.3.0-prepare-d2.xml", 2, three, None),
        ("libvirt-11.3.0-started.xml", 1, one, Some("hostdev0")),
        ("libvirt-11.3.0-release.xml", 1, one, Some("hostdev0")),
    ] {
        let xml = fixture(&format!("recorded/{file}"));
        let recorded = Domain {
            name: format!("d{number}"),
            uuid: Some(Uuid::from_u128(0x1111_1111_0000_0000_0000_0000_0000_0000 + number)),
            // Another tool's element is none of ours.
            requests: None,
            hostdevs: vec![Hostdev {
                kind: HostdevKind::Mdev {
                    uuid: device.parse().unwrap(),
                    model: Some(DeviceApi::VfioPci),
                },
                alias: alias.map(str::to_owned),
            }],
            pinning: Pinning::default(),
            os: None,
        };
        assert_eq!(read(&xml).unwrap(), recorded, "{file}");

        // The same start, with a device of ours beside theirs.
        let edited = inject(&xml, &[NewDevice::new("V100DX-4Q".parse().unwrap())]).unwrap();
        let (slot, uuid) = edited.devices()[0];
        let mut with = recorded.clone();
        with.requests = Some(RequestSet {
            injected_for: Some(recorded.uuid),
            requests: vec![Request {
                slot: Some(slot),
                ..Request::new("V100DX-4Q".parse::<TypeSpec>().unwrap())
            }],
        });
        with.hostdevs.push(Hostdev {
            kind: HostdevKind::Mdev {
                uuid,
                model: Some(DeviceApi::VfioPci),
            },
            alias: Some("ua-mdevkit-0".to_owned()),
        });
        assert_eq!(read(edited.bytes()).unwrap(), with, "{file}");
        assert_eq!(uuid, device_uuid(recorded.uuid.unwrap(), slot), "{file}");
    }
}

#[test]
fn a_recorded_start_is_none_of_our_business() {
    for (name, xml) in fixtures().into_iter().filter(|(name, _)| name.starts_with("libvirt-")) {
        assert!(!may_concern_us(&xml), "{name}");
        let domain = read(&xml).unwrap();
        assert!(
            domain.uuid.is_some() && domain.hostdevs.len() == 1 && !domain.concerns_us(),
            "{name}: {domain:?}"
        );
    }
}

#[test]
fn five_megabytes_come_and_go() {
    let disk = "    <disk type='file' device='disk'>\n      <!-- </devices> -->\n      <source file='/a&amp;b'/>\n    </disk>\n";
    let xml = format!(
        "<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices>\n{}  </devices>\n</domain>\n",
        disk.repeat((5 << 20) / disk.len())
    );
    assert!(xml.len() > 5_000_000);
    let edited = inject(xml.as_bytes(), &[NewDevice::new("V100DX-4Q".parse().unwrap())]).unwrap();
    assert!(edited.bytes().len() < xml.len() + 1000);
    let diff = edited.diff(xml.as_bytes(), "a", "b").unwrap();
    assert!(diff.len() < 5000, "{}", diff.len());
    assert!(eject(edited.bytes(), &Eject::All).unwrap().bytes() == xml.as_bytes());
}

#[test]
fn what_surrounds_the_devices_is_read() {
    let domain = read(&fixture("lexical/pinned-with-osinfo-and-pci.xml")).unwrap();
    assert_eq!(domain.name, "cad & more");
    assert_eq!(domain.os.as_deref(), Some("http://ubuntu.com/ubuntu/24.04"));
    assert_eq!(domain.pinning.nodes, Some("1,3".parse().unwrap()));
    assert_eq!(domain.pinning.cpus, Some("8,72-73".parse().unwrap()));
    let function = HostdevKind::Pci {
        address: "0000:3b:00.0".parse().unwrap(),
        managed: true,
    };
    let kinds: Vec<HostdevKind> = domain.hostdevs.into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [function, HostdevKind::Other]);
}
