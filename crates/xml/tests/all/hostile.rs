//! What a second pair of eyes found, a test for each: documents that were misread, or that took minutes.
//!
//! What libvirt makes of the odd ones was asked of libvirt itself (`virsh -c test:///default define`, 9.0.0).

use mdevkit_core::{DeviceApi, Slot, Uuid};
use mdevkit_xml::{NewDevice, XmlErrorKind as Kind, complete, inject, may_concern_us, read, refresh};
use std::time::{Duration, Instant};

const A: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const B: &str = "bbbbbbbb-0000-4000-8000-00000000000b";

fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn never() -> Uuid {
    panic!("no random UUID is needed here")
}

/// Far above what a linear scan takes in a debug build on a busy machine, far below what a quadratic one takes.
#[track_caller]
fn assert_quick<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    done
}

/// The device of the one hostdev with this inside.
fn device(hostdev: &str) -> Option<Uuid> {
    let xml = format!("<domain xmlns:x='urn:x'><devices>{hostdev}</devices></domain>");
    let domain = read(xml.as_bytes()).unwrap_or_else(|error| panic!("{xml}: {error}"));
    assert_eq!(domain.hostdevs.len(), 1, "{xml}");
    domain.hostdevs[0].mdev()
}

#[test]
fn the_device_is_the_one_that_libvirt_takes() {
    for (inside, taken) in [
        // The first address of any source.
        (format!("<source/><source><address uuid='{A}'/></source>"), Some(A)),
        (
            format!("<source><address uuid='{A}'/></source><source><address uuid='{B}'/></source>"),
            Some(A),
        ),
        (
            format!("<source><address uuid='{A}'/><address uuid='{B}'/></source>"),
            Some(A),
        ),
        // libvirt refuses this one; it does not look at the next.
        (
            format!("<source><address type='pci'/><address uuid='{B}'/></source>"),
            None,
        ),
        (
            format!("<source><address/></source><source><address uuid='{B}'/></source>"),
            None,
        ),
        // The guest's address is none of the device's.
        (
            format!("<address type='pci' uuid='{B}'/><source><address uuid='{A}'/></source>"),
            Some(A),
        ),
        // Elements count in no namespace only, attributes in any.
        (
            format!(
                "<x:source><address uuid='{B}'/></x:source><source><x:address uuid='{B}'/><address uuid='{A}'/></source>"
            ),
            Some(A),
        ),
        (format!("<source><address x:uuid='{B}' uuid='{A}'/></source>"), Some(B)),
        (format!("<source><address uuid='{A}' x:uuid='{B}'/></source>"), Some(A)),
        (
            format!("<source><address xmlns:uuid='{B}' uuid='{A}'/></source>"),
            Some(A),
        ),
        // Every spelling.
        (
            format!(
                "<source><address uuid='\r\n{} '/></source>",
                A.replace('-', "").to_uppercase()
            ),
            Some(A),
        ),
        (format!("<source><address uuid='&#97;{}'/></source>", &A[1..]), Some(A)),
        // What is not there.
        (format!("<!-- <source><address uuid='{A}'/></source> -->"), None),
        (format!("<![CDATA[<source><address uuid='{A}'/></source>]]>"), None),
        (format!("<source><x><address uuid='{A}'/></x></source>"), None),
    ] {
        let hostdev = format!("<hostdev type='mdev'>{inside}</hostdev>");
        assert_eq!(device(&hostdev), taken.map(uuid), "{inside}");
    }
    let source = format!("<source><address uuid='{A}'/></source>");
    assert_eq!(
        device(&format!("<hostdev x:type='mdev' type='pci'>{source}</hostdev>")),
        Some(uuid(A))
    );
    assert_eq!(
        device(&format!("<hostdev x:type='pci' type='mdev'>{source}</hostdev>")),
        None
    );
}

#[test]
fn the_alias_is_the_first_that_has_a_name() {
    for (inside, alias) in [
        ("<alias/><alias name='ua-mdevkit-1'/>", "ua-mdevkit-1"),
        ("<alias name='ua-a'/><alias name='ua-mdevkit-1'/>", "ua-a"),
        ("<alias x:name='ua-mdevkit-1' name='ua-a'/>", "ua-a"),
        ("<x:alias name='ua-mdevkit-1'/><alias name='ua-a'/>", "ua-a"),
        ("<alias name='ua-&#109;dev&#x6b;it-1'/>", "ua-mdevkit-1"),
        ("<alias name='ua-mdevkit-1\r\n'/>", "ua-mdevkit-1 "),
    ] {
        let xml = format!("<domain xmlns:x='urn:x'><devices><hostdev>{inside}</hostdev></devices></domain>");
        let domain = read(xml.as_bytes()).unwrap();
        assert_eq!(domain.hostdevs[0].alias.as_deref(), Some(alias), "{inside}");
        assert_eq!(domain.concerns_us(), alias == "ua-mdevkit-1", "{inside}");
        assert!(!domain.concerns_us() || may_concern_us(xml.as_bytes()), "{inside}");
    }
}

#[test]
fn names_and_uuids_are_the_text_of_all_that_is_inside() {
    let xml = format!(
        "<domain xmlns:o='u'><o:name>o</o:name><name>a<b>b</b><!-- x --><![CDATA[c\r\nd]]>&#13;</name><name>z</name>\
         <uuid>{}<o:b>{}</o:b></uuid><uuid>{B}</uuid></domain>",
        &A[..20],
        &A[20..]
    );
    let domain = read(xml.as_bytes()).unwrap();
    assert_eq!((domain.name.as_str(), domain.uuid), ("abc\nd\r", Some(uuid(A))));
}

#[test]
fn only_direct_children_of_the_first_metadata_are_ours() {
    let ours =
        |kind: &str| format!("<r:requests xmlns:r='urn:mdevkit:domain:1'><r:request type='{kind}'/></r:requests>");
    let (a, b) = (ours("a"), ours("b"));
    for (inside, spec) in [
        (format!("<metadata>{a}</metadata><metadata>{b}</metadata>"), Some("a")),
        (format!("<metadata/><metadata>{b}</metadata>"), None),
        (format!("<metadata><o:x>{b}</o:x></metadata>"), None),
        (format!("<metadata><o:x>{b}</o:x>{a}</metadata>"), Some("a")),
        (format!("<o:metadata>{b}</o:metadata><metadata>{a}</metadata>"), Some("a")),
        (format!("<metadata xmlns='urn:q'>{b}</metadata>"), None),
        (format!("<metadata xmlns='urn:mdevkit:domain:1'>{b}</metadata>"), None),
        (format!("<os><metadata>{b}</metadata></os>"), None),
        // A prefix that was ours and is so no more, and the reverse.
        (
            "<metadata xmlns:r='urn:mdevkit:domain:1'><r:requests xmlns:r='urn:q'><r:request type='b'/></r:requests></metadata>".into(),
            None,
        ),
        (
            "<metadata xmlns:r='urn:q'><r:x/><r:requests xmlns:r='urn:mdevkit:domain:1'><r:request type='a'/></r:requests><r:x/></metadata>".into(),
            Some("a"),
        ),
        (
            "<metadata xmlns:q='urn:mdevkit:domain:1'><requests xmlns='urn:mdevkit:domain:1'><q:request type='a'/></requests></metadata>".into(),
            Some("a"),
        ),
    ] {
        let xml = format!("<domain xmlns:o='urn:o' xml:lang='en'>{inside}</domain>");
        let domain = read(xml.as_bytes()).unwrap_or_else(|error| panic!("{xml}: {error}"));
        let found = domain.requests.map(|set| set.requests[0].ask.to_string());
        assert_eq!(found.as_deref(), spec, "{inside}");
    }
}

#[test]
fn a_second_byte_order_mark_is_refused() {
    let error = read("\u{feff}\u{feff}<domain><name>vm</name></domain>".as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 1: a second byte order mark");
    assert!(read("\u{feff}<domain>\u{feff}<name>\u{feff}vm</name></domain>".as_bytes()).is_ok());
}

#[test]
fn a_clone_keeps_no_uuid_of_a_request_without_hostdev() {
    let xml = format!(
        "<domain><uuid>{B}</uuid><metadata><r:requests xmlns:r='urn:mdevkit:domain:1' for='{A}'>\
         <r:request type='a' uuid='{A}'/><r:request slot='1' type='b' uuid='aaaaaaaa-0000-4000-8000-00000000000b'/>\
         </r:requests></metadata></domain>"
    );
    let fresh = uuid("cccccccc-0000-4000-8000-00000000000c");
    let refreshed = refresh(xml.as_bytes(), || fresh).unwrap();
    let domain = read(refreshed.bytes()).unwrap();
    let uuids: Vec<_> = domain.requests.unwrap().requests.iter().map(|it| it.uuid).collect();
    let made = mdevkit_core::device_uuid(uuid(B), Slot::new(1).unwrap());
    assert_eq!(uuids, [Some(fresh), Some(made)]);
    assert_eq!(
        complete(refreshed.bytes(), DeviceApi::VfioPci, never)
            .unwrap()
            .devices(),
        [(Slot::new(0).unwrap(), fresh)]
    );
}

#[test]
fn a_uuid_that_a_request_names_stands_in_one_hostdev() {
    let hostdev = format!("<hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev>");
    let xml = format!(
        "<domain><uuid>{B}</uuid><metadata><r:requests xmlns:r='urn:mdevkit:domain:1' for='{A}'>\
         <r:request type='a' uuid='{A}'/></r:requests></metadata><devices>{hostdev}{hostdev}</devices></domain>"
    );
    for error in [
        read(xml.as_bytes()).unwrap_err(),
        refresh(xml.as_bytes(), never).unwrap_err(),
    ] {
        assert_eq!(error.kind(), &Kind::DuplicateUuid { uuid: uuid(A) });
    }
    // Two of somebody else's are libvirt's to refuse.
    assert!(read(format!("<domain><devices>{hostdev}{hostdev}</devices></domain>").as_bytes()).is_ok());
}

#[test]
fn references_without_end_take_no_long() {
    let open = format!("<domain a='{}'/>", "&#".repeat(1 << 20));
    assert!(!assert_quick(|| may_concern_us(open.as_bytes())));
    let long = format!("<domain a='&#{}109;devkit'/>", "0".repeat(1 << 20));
    assert!(assert_quick(|| may_concern_us(long.as_bytes())));
}

#[test]
fn attributes_of_a_long_namespace_take_no_long() {
    let attributes: String = (0..128).map(|n| format!(" p:a{n}=''")).collect();
    let one = format!(
        "<domain xmlns:p='{}'>{}</domain>",
        "u".repeat(1 << 20),
        format!("<a{attributes}/>").repeat(4000)
    );
    assert!(assert_quick(|| read(one.as_bytes())).is_ok());
    let namespaces: String = (0..100)
        .map(|n| format!(" xmlns:p{n}='{}{n:03}'", "u".repeat(50_000)))
        .collect();
    let attributes: String = (0..100).map(|n| format!(" p{n}:a=''")).collect();
    let many = format!(
        "<domain{namespaces}>{}</domain>",
        format!("<a{attributes}/>").repeat(4000)
    );
    assert!(assert_quick(|| read(many.as_bytes())).is_ok());
}

#[test]
fn too_many_hostdevs_are_refused() {
    let xml = |count: usize| format!("<domain><devices>{}</devices></domain>", "<hostdev/>".repeat(count));
    assert!(read(xml(4096).as_bytes()).is_ok());
    let error = assert_quick(|| read(xml(1_000_000).as_bytes())).unwrap_err();
    assert!(error.to_string().ends_with("more than 4096 hostdevs"), "{error}");
}

#[test]
fn too_many_displays_are_refused() {
    for kind in ["graphics", "video"] {
        let xml = |count: usize| {
            format!(
                "<domain><devices>{}</devices></domain>",
                format!("<{kind}/>").repeat(count)
            )
        };
        assert!(read(xml(4096).as_bytes()).is_ok());
        let error = assert_quick(|| read(xml(1_000_000).as_bytes())).unwrap_err();
        assert!(error.to_string().contains("more than 4096"), "{error}");
    }
}

#[test]
fn long_notes_are_refused_before_they_are_taken_apart() {
    let xml = format!(
        "<domain><metadata><r:requests xmlns:r='urn:mdevkit:domain:1' opened='{}?'/></metadata></domain>",
        "a=b ".repeat(1 << 20)
    );
    let error = read(xml.as_bytes()).unwrap_err();
    assert!(matches!(error.kind(), Kind::MetadataTooBig { .. }), "{error}");
}

#[test]
fn a_huge_indentation_is_not_copied_to_every_line() {
    let xml = format!("<domain>\n{}<devices/>\n</domain>", " ".repeat(1 << 20));
    let device = NewDevice::new("a".parse().unwrap()).uuid(uuid(A));
    let edited = inject(xml.as_bytes(), &vec![device; 1]).unwrap();
    assert!(edited.bytes().len() < xml.len() + 10_000, "{}", edited.bytes().len());
    let back = mdevkit_xml::eject(edited.bytes(), &mdevkit_xml::Eject::All).unwrap();
    assert_eq!(back.bytes(), xml.as_bytes());
}
