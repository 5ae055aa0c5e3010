//! What a domain says is read as it was said: requests, pinning, the guest's operating system.

use mdevkit_core::{
    Ask, AtLeast, DeviceApi, Domain, Numa, Params, Policy, Request, Resolution, Series, Slot, TypeSpec, What,
};
use mdevkit_xml::{NewDevice, inject, may_concern_us, read};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const XML: &[u8] = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid></domain>";

fn a_type() -> impl Strategy<Value = TypeSpec> {
    "[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}( [A-Za-z0-9_.-]{1,8}){0,2}".prop_map(|text| text.parse().unwrap())
}

fn a_need() -> impl Strategy<Value = AtLeast> {
    let series = prop::sample::select(vec![Series::A, Series::B, Series::C, Series::Q]);
    let resolution = (1..=u32::MAX, 1..=u32::MAX).prop_map(|(width, height)| Resolution { width, height });
    let parts = (
        prop::option::of(series),
        prop::option::of(1..=u32::MAX),
        prop::option::of(1..=u32::MAX),
        prop::option::of(resolution),
    );
    parts
        .prop_map(|(series, framebuffer_mib, heads, resolution)| AtLeast {
            series,
            framebuffer_mib,
            heads,
            resolution,
        })
        .prop_filter("it asks for something", |need| !need.is_empty())
}

fn an_ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        // As it is stored: an injection shortens NVIDIA's full names.
        a_type().prop_map(|spec| Ask::For(What::Type(spec.lasting()))),
        a_need().prop_map(|need| Ask::For(What::AtLeast(need))),
        "[A-Za-z0-9_.:-]{1,64}".prop_map(|name| Ask::Profile(name.parse().unwrap())),
    ]
}

fn some_params() -> impl Strategy<Value = Params> {
    prop::sample::subsequence(Params::KEYS.to_vec(), 1..=Params::KEYS.len()).prop_flat_map(|keys| {
        prop::collection::vec(0..2_u8, keys.len()).prop_map(move |values| {
            let pairs: Vec<String> = keys
                .iter()
                .zip(values)
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.join(",").parse().unwrap()
        })
    })
}

fn a_request() -> impl Strategy<Value = Request> {
    let parent = prop_oneof!["0000:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]", "[a-z][a-z0-9_-]{0,20}"];
    let rest = (
        prop::option::of("[A-Za-z0-9_.:-]{1,64}".prop_map(|name| name.parse().unwrap())),
        prop::option::of(prop::sample::select(vec![Policy::DepthFirst, Policy::BreadthFirst])),
        prop::option::of(parent.prop_map(|name| name.parse().unwrap())),
        prop::option::of(prop::sample::select(vec![Numa::Strict, Numa::Prefer, Numa::Ignore])),
        prop::option::of(any::<bool>()),
        prop::option::of(some_params()),
    );
    (0..256_u16, an_ask(), rest).prop_map(|(slot, ask, (group, policy, parent, numa, apart, params))| Request {
        slot: Some(Slot::new(slot).unwrap()),
        ask,
        uuid: None,
        group,
        policy,
        parent,
        numa,
        apart,
        params,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(requests in prop::collection::vec(a_request(), 1..16)) {
        let mut wanted: Vec<Request> = Vec::new();
        for request in requests {
            if !wanted.iter().any(|other| other.slot == request.slot) {
                wanted.push(request);
            }
        }
        let devices: Vec<NewDevice> = wanted.iter().cloned().map(Into::into).collect();
        let edited = inject(XML, &devices).unwrap();
        prop_assert_eq!(read(edited.bytes()).unwrap().requests.unwrap().requests, wanted);
        prop_assert!(!inject(edited.bytes(), &devices).unwrap().changed());
    }
}

#[track_caller]
fn domain(inside: &str) -> Domain {
    let xml = format!("<domain xmlns:x='urn:x'>{inside}</domain>");
    read(xml.as_bytes()).unwrap_or_else(|error| panic!("{xml}: {error}"))
}

#[test]
fn pinning_is_what_libvirt_makes_of_it() {
    for (inside, nodes, cpus) in [
        ("", None, None),
        ("<numatune/><cputune/><vcpu/>", None, None),
        (
            "<numatune><memory mode='strict' nodeset='1-4,^3'/></numatune>",
            Some("1-2,4"),
            None,
        ),
        (
            "<numatune><memory placement='static' nodeset='1'/></numatune>",
            Some("1"),
            None,
        ),
        // libvirt asks numad at the start: the set that stands beside it is passed over.
        (
            "<numatune><memory placement='auto' nodeset='1'/></numatune>",
            None,
            None,
        ),
        (
            "<numatune><memory placement='auto'/><memnode nodeset='1'/></numatune>",
            None,
            None,
        ),
        (
            "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='1'/>\
             <memnode cellid='2' mode='strict' nodeset='3-4'/></numatune>",
            Some("0-1,3-4"),
            None,
        ),
        (
            "<numatune><memnode cellid='0' nodeset='2'/></numatune>",
            Some("2"),
            None,
        ),
        (
            "<numatune><memory nodeset='0'/><memory nodeset='1'/></numatune>",
            Some("0"),
            None,
        ),
        ("<vcpu placement='static' cpuset='0-3,^1'>4</vcpu>", None, Some("0,2-3")),
        ("<vcpu placement='auto' cpuset='0-3'>4</vcpu>", None, None),
        ("<vcpu cpuset='0'>4</vcpu><vcpu cpuset='1'>4</vcpu>", None, Some("0")),
        (
            "<vcpu cpuset='0-63'>2</vcpu><cputune><vcpupin vcpu='0' cpuset='8'/><vcpupin vcpu='1' cpuset='72'/></cputune>",
            None,
            Some("8,72"),
        ),
        (
            "<cputune><emulatorpin cpuset='1'/><iothreadpin iothread='1' cpuset='2'/></cputune>",
            None,
            None,
        ),
        // What libvirt refuses is no failure of ours.
        (
            "<numatune><memory nodeset='x'/></numatune><vcpu cpuset='9-1'/>",
            None,
            None,
        ),
        (
            "<numatune><memory nodeset=''/></numatune><vcpu cpuset='99999'/>",
            None,
            None,
        ),
        (
            "<numatune><memory nodeset='0'/><memnode nodeset='?'/></numatune>",
            None,
            None,
        ),
        (
            "<cputune><vcpupin cpuset='1'/><vcpupin cpuset='-'/></cputune><vcpu cpuset='5'/>",
            None,
            None,
        ),
        (
            "<cputune><vcpupin vcpu='1'/></cputune><vcpu cpuset='5'/>",
            None,
            Some("5"),
        ),
        // Look-alikes.
        (
            "<memory nodeset='1'/><memnode nodeset='1'/><vcpupin cpuset='1'/>",
            None,
            None,
        ),
        ("<x:numatune><memory nodeset='1'/></x:numatune>", None, None),
        ("<numatune><x:memory nodeset='1'/></numatune>", None, None),
        (
            "<os><vcpu cpuset='1'/></os><metadata><vcpu cpuset='1'/></metadata>",
            None,
            None,
        ),
        (
            "<!-- <vcpu cpuset='1'/> --><devices><vcpu cpuset='1'/></devices>",
            None,
            None,
        ),
        // Attributes as libxml2 hands them to libvirt.
        ("<vcpu x:cpuset='1&#44;2'/>", None, Some("1-2")),
    ] {
        let pinning = domain(inside).pinning;
        let shown = |set: &Option<mdevkit_core::IdSet>| set.as_ref().map(ToString::to_string);
        assert_eq!(shown(&pinning.nodes).as_deref(), nodes, "{inside}");
        assert_eq!(shown(&pinning.cpus).as_deref(), cpus, "{inside}");
    }
}

#[test]
fn many_wide_pins_take_no_long() {
    let pins = "<vcpupin vcpu='0' cpuset='0-16383,^1'/>".repeat(50_000);
    let start = Instant::now();
    let cpus = domain(&format!("<cputune>{pins}</cputune>")).pinning.cpus.unwrap();
    assert_eq!(cpus.iter().count(), 16383);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn the_guest_is_what_libosinfo_calls_it() {
    const URI: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";
    let ubuntu = "http://ubuntu.com/ubuntu/24.04";
    let long = "x".repeat(257);
    for (metadata, os) in [
        (
            format!(
                "<libosinfo:libosinfo xmlns:libosinfo='{URI}'>\n<libosinfo:os id=\"{ubuntu}\"/></libosinfo:libosinfo>"
            ),
            Some(ubuntu),
        ),
        (
            format!("<libosinfo xmlns='{URI}'><os id='{ubuntu}'></os></libosinfo>"),
            Some(ubuntu),
        ),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:os/><o:os id='a&amp;b'/><o:os id='c'/></o:libosinfo>"),
            Some("a&b"),
        ),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:os id=''/></o:libosinfo>"),
            None,
        ),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:os id='{long}'/></o:libosinfo>"),
            None,
        ),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:os id='{}'/></o:libosinfo>", &long[1..]),
            Some(&long[1..]),
        ),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:os id='a&#10;b'/></o:libosinfo>"),
            None,
        ),
        (format!("<o:libosinfo xmlns:o='{URI}'><os id='a'/></o:libosinfo>"), None),
        (
            format!("<o:libosinfo xmlns:o='{URI}'><o:x><o:os id='a'/></o:x></o:libosinfo>"),
            None,
        ),
        (format!("<o:os xmlns:o='{URI}' id='a'/>"), None),
        (
            "<o:libosinfo xmlns:o='urn:o'><o:os id='a'/></o:libosinfo>".to_owned(),
            None,
        ),
        (String::new(), None),
    ] {
        let inside = format!("<metadata>{metadata}</metadata>");
        assert_eq!(domain(&inside).os.as_deref(), os, "{metadata}");
        // None of it makes a domain our business.
        assert!(
            !domain(&inside).concerns_us() && !may_concern_us(inside.as_bytes()),
            "{metadata}"
        );
    }
}

#[test]
fn a_libosinfo_element_stays_as_it_is() {
    let xml = "<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <metadata>\n    \
               <libosinfo:libosinfo xmlns:libosinfo=\"http://libosinfo.org/xmlns/libvirt/domain/1.0\">\n      \
               <libosinfo:os id=\"http://ubuntu.com/ubuntu/24.04\"/>\n    </libosinfo:libosinfo>\n  </metadata>\n  \
               <vcpu placement='static' cpuset='0-3'>4</vcpu>\n</domain>\n";
    let device = NewDevice::new("a".parse().unwrap()).model(DeviceApi::VfioPci);
    let edited = inject(xml.as_bytes(), &[device]).unwrap();
    let (before, after) = (read(xml.as_bytes()).unwrap(), read(edited.bytes()).unwrap());
    assert_eq!((after.os, after.pinning), (before.os, before.pinning));
    let back = mdevkit_xml::eject(edited.bytes(), &mdevkit_xml::Eject::All).unwrap();
    assert_eq!(back.bytes(), xml.as_bytes());
}
