//! The requests in a domain's metadata: what they say, and what a domain wants by them.

use crate::edits::{read_twice, sound};
use crate::oracle;
use mdevkit_core::{Ask, DEVICES_PER_DOMAIN, Domain, Profiles, Request, What, wants};
use mdevkit_xml::{Injection, NewDevice, read};
use std::collections::BTreeSet;

const HEAD: &str = "<domain><name>vm</name><uuid>11111111-0000-0000-0000-000000000001</uuid><metadata>";
/// Two hostdevs of ours, one that a person wrote, and one that is not for us.
const TAIL: &str = "</metadata><devices>\
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>\
    <source><address uuid='aaaaaaaa-0000-4000-8000-000000000000'/></source><alias name='ua-mdevkit-0'/></hostdev>\
    <hostdev mode='subsystem' type='mdev' model='vfio-ap'>\
    <source><address uuid='aaaaaaaa-0000-4000-8000-000000000001'/></source><alias name='ua-mdevkit-1'/></hostdev>\
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>\
    <source><address uuid='aaaaaaaa-0000-4000-8000-000000000002'/></source></hostdev>\
    <hostdev mode='subsystem' type='pci'><source><address bus='0x3b' slot='0'/></source></hostdev></devices></domain>";

/// What stands in `<metadata>`.
pub fn request(data: &[u8]) {
    let xml = [HEAD.as_bytes(), data, TAIL.as_bytes()].concat();
    let Some(domain) = read_twice(&xml) else { return };
    let Some(set) = &domain.requests else { return };

    let Some(document) = oracle::parse(&xml) else { return };
    let seen = oracle::requests(&document);
    assert_eq!(seen.len(), set.requests.len());
    for (attributes, request) in seen.iter().zip(&set.requests) {
        for (name, value) in attributes {
            assert!(says(request, name, value), "{name}={value:?} was read as {request:?}");
        }
    }
    for request in &set.requests {
        written_and_read_again(request);
    }
    wanted(&domain);
}

/// Whether a request says what this attribute says.
fn says(request: &Request, name: &str, value: &str) -> bool {
    let need = match &request.ask {
        Ask::For(What::AtLeast(need)) => Some(*need),
        _ => None,
    };
    let is = |said: Option<String>| said.as_deref() == Some(value);
    match name {
        "slot" => is(request.slot.map(|it| it.to_string())),
        "type" => matches!(&request.ask, Ask::For(What::Type(spec)) if spec.as_str() == value),
        "profile" => matches!(&request.ask, Ask::Profile(name) if name.as_str() == value),
        "class" => is(need.and_then(|it| it.series).map(|it| it.to_string())),
        "framebuffer" => is(need.and_then(|it| it.framebuffer_mib).map(|it| it.to_string())),
        "heads" => is(need.and_then(|it| it.heads).map(|it| it.to_string())),
        "resolution" => is(need.and_then(|it| it.resolution).map(|it| it.to_string())),
        // These have more than one spelling.
        "uuid" => request.uuid.is_some(),
        "group" => request.group.is_some(),
        "policy" => request.policy.is_some(),
        "parent" => request.parent.is_some(),
        "params" => request.params.is_some(),
        "numa" => is(request.numa.map(|it| it.to_string())),
        "apart" => is(request.apart.map(|yes| if yes { "yes" } else { "no" }.to_owned())),
        _ => false,
    }
}

/// What was read can be written, and says the same.
fn written_and_read_again(request: &Request) {
    let device = NewDevice::from(request.clone());
    let expected = Request {
        uuid: None,
        ..device.request.clone()
    };
    let fresh = || mdevkit_core::Uuid::from_u128(0x5eed);
    let edited = Injection::new()
        .device(device)
        .apply(b"<domain><devices/></domain>", fresh)
        .expect("a request that was read can be injected");
    let again = read(edited.bytes()).expect("and read");
    let set = again.requests.expect("it has one");
    let [read] = set.requests.as_slice() else {
        panic!("one request became {}", set.requests.len())
    };
    let slot = expected.slot.or(read.slot);
    assert_eq!(
        Request {
            uuid: None,
            ..read.clone()
        },
        Request { slot, ..expected }
    );
}

/// No two wants share an identity, and each is of a device that stands in the domain.
fn wanted(domain: &Domain) {
    let profile = mdevkit_core::Profile {
        what: What::Type("V100DX-4Q".parse().expect("a good one")),
        group: None,
        policy: None,
        numa: None,
        apart: Some(true),
        params: None,
    };
    let profiles = Profiles::from([("p".parse().expect("a good one"), profile)]);
    let found = match wants(domain, &profiles) {
        Ok(found) => found,
        Err(error) => {
            assert!(crate::is_one_line(&error.to_string()), "{error:?}");
            return;
        }
    };
    let uuids: BTreeSet<_> = found.wants.iter().map(|want| want.uuid).collect();
    let slots: BTreeSet<_> = found.wants.iter().map(|want| want.slot).collect();
    assert!(
        uuids.len() == found.wants.len() && slots.len() == found.wants.len(),
        "{found:?}"
    );
    assert!(found.wants.len() <= DEVICES_PER_DOMAIN);
    for want in &found.wants {
        assert!(
            domain.hostdevs.iter().any(|it| it.mdev() == Some(want.uuid)),
            "{want:?}"
        );
    }
    for warning in &found.warnings {
        assert!(crate::is_one_line(&warning.to_string()), "{warning:?}");
    }
    // What is asked here is refused or read alike by the rest of the program.
    sound(mdevkit_xml::refresh(b"<domain/>", mdevkit_core::Uuid::nil)).expect("nothing to do");
}
