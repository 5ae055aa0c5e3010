//! How what is inserted looks: as its neighbours do, where libvirt would have put it.

use crate::common::fixture;
use mdevkit_core::{Ask, AtLeast, Numa, Policy, Request, Series, TypeSpec, What};
use mdevkit_xml::{NewDevice, inject};

fn injected(xml: &[u8]) -> String {
    let device =
        NewDevice::new("mtty-2".parse().unwrap()).uuid("aaaaaaaa-0000-4000-8000-000000000007".parse().unwrap());
    String::from_utf8(inject(xml, &[device]).unwrap().into_bytes()).unwrap()
}

#[track_caller]
fn assert_holds(text: &str, part: &str) {
    assert!(text.contains(part), "not found:\n{part}\nin:\n{text}");
}

#[test]
fn the_canonical_text_at_the_canonical_place() {
    let text = injected(&fixture("recorded/libvirt-11.3.0-prepare.xml"));
    // Behind the last hostdev, before what libvirt writes behind hostdevs.
    assert_holds(
        &text,
        "    </hostdev>
    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
      <source>
        <address uuid='aaaaaaaa-0000-4000-8000-000000000007'/>
      </source>
      <alias name='ua-mdevkit-0'/>
    </hostdev>
    <watchdog",
    );
    assert_holds(
        &text,
        "    </vg:vgpu>
    <mdevkit:requests xmlns:mdevkit=\"urn:mdevkit:domain:1\" for=\"11111111-0000-0000-0000-000000000001\">
      <mdevkit:request slot=\"0\" type=\"mtty-2\"/>
    </mdevkit:requests>
  </metadata>",
    );
}

#[test]
fn what_is_not_there_is_made() {
    let xml = "<domain>\n  <name>vm</name>\n  <title>t</title>\n  <vcpu>1</vcpu>\n  <seclabel/>\n</domain>\n";
    assert_eq!(
        injected(xml.as_bytes()),
        "<domain>
  <name>vm</name>
  <title>t</title>
  <metadata>
    <mdevkit:requests xmlns:mdevkit=\"urn:mdevkit:domain:1\" for=\"\" opened=\"devices=created metadata=created\">
      <mdevkit:request slot=\"0\" type=\"mtty-2\"/>
    </mdevkit:requests>
  </metadata>
  <vcpu>1</vcpu>
  <devices>
    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
      <source>
        <address uuid='aaaaaaaa-0000-4000-8000-000000000007'/>
      </source>
      <alias name='ua-mdevkit-0'/>
    </hostdev>
  </devices>
  <seclabel/>
</domain>
"
    );
}

#[test]
fn neighbours_are_imitated() {
    for (name, part) in [
        ("tabs", "</video>\n\t\t<hostdev mode="),
        ("tabs", "\n\t\t\t<source>\n\t\t\t\t<address uuid"),
        (
            "crlf",
            "</video>\r\n    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>\r\n      <source>\r\n",
        ),
        (
            "three-spaces",
            "\n      <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>\n         <source>",
        ),
        (
            "one-line",
            "</video><hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'><source><address",
        ),
        (
            "trailing-comments-on-the-line",
            "</video> <!-- no screen --> <?keep me?>\n    <hostdev",
        ),
        ("empty-devices-tag", "\n  <devices>\n    <hostdev"),
        ("empty-devices-tag", "\n    </hostdev>\n  </devices>\n</domain>"),
        ("empty-devices-tag-with-space", "\r\n\t<devices >\r\n\t\t<hostdev"),
        ("empty-devices-pair", "\n  <devices>\n    <hostdev"),
        ("blank-devices", "\n  <devices>\n    <hostdev"),
        ("blank-devices", "\n    </hostdev>\n\n  </devices>"),
        ("empty-metadata-tag", "\n  <metadata>\n    <mdevkit:requests"),
        (
            "prefix-declared-at-root-empty-set",
            "\n    <want:requests for=\"11111111-0000-0000-0000-000000000001\" opened=\"devices=created requests=tag for=0\" >\n      <want:request slot=\"0\"",
        ),
        (
            "default-namespace-by-hand",
            "\n      <request slot=\"0\" type=\"mtty-2\"/>\n    </requests>",
        ),
        (
            "our-prefix-is-taken",
            "<metadata><mdevkit:requests/><mdevkit:requests xmlns:mdevkit=\"urn:mdevkit:domain:1\"",
        ),
        ("empty-domain-tag", "<domain><metadata><mdevkit:requests"),
    ] {
        let text = injected(&fixture(&format!("lexical/{name}.xml")));
        assert!(text.contains(part), "{name}: not found:\n{part}\nin:\n{text}");
    }
}

#[test]
fn devices_have_a_canonical_order() {
    for (before, after) in [
        ("<disk/><hostdev/><hub/>", "<disk/><hostdev/>@<hub/>"),
        ("<disk/><hub/><video/><rng/>", "<disk/><hub/><video/>@<rng/>"),
        ("<future/><rng/><other/>", "<future/>@<rng/><other/>"),
        ("<rng/><disk/>", "<rng/><disk/>@"),
        ("<rng/>", "@<rng/>"),
        ("<future/>", "@<future/>"),
        ("<!-- c --><future/>", "<!-- c -->@<future/>"),
    ] {
        let text = injected(format!("<domain><devices>{before}</devices></domain>").as_bytes());
        let start = text.find("<hostdev mode").unwrap();
        let end = text.find("<alias name='ua-mdevkit-0'/></hostdev>").unwrap()
            + "<alias name='ua-mdevkit-0'/></hostdev>".len();
        let devices = format!("{}@{}", &text[..start], &text[end..]);
        assert!(
            devices.contains(&format!("<devices>{after}</devices>")),
            "{before}: {devices}"
        );
    }
}

#[test]
fn every_part_of_a_request_is_written_and_read() {
    let request = Request {
        slot: Some("7".parse().unwrap()),
        group: Some("cad".parse().unwrap()),
        policy: Some(Policy::BreadthFirst),
        parent: Some("0000:3b:00.0".parse().unwrap()),
        numa: Some(Numa::Strict),
        apart: Some(true),
        params: Some("frame_rate_limiter=0,disable_vnc=1".parse().unwrap()),
        ..Request::new("V100DX-4Q".parse::<TypeSpec>().unwrap())
    };
    let need = AtLeast {
        series: Some(Series::Q),
        framebuffer_mib: Some(4096),
        heads: Some(2),
        resolution: Some("3840x2160".parse().unwrap()),
    };
    let rest = "group=\"cad\" policy=\"breadth-first\" parent=\"0000:3b:00.0\" numa=\"strict\" apart=\"yes\" \
                params=\"frame_rate_limiter=0,disable_vnc=1\"/>";
    for (ask, written) in [
        (request.ask.clone(), "type=\"V100DX-4Q\""),
        (
            Ask::For(What::AtLeast(need)),
            "class=\"Q\" framebuffer=\"4096\" heads=\"2\" resolution=\"3840x2160\"",
        ),
        (Ask::Profile("cad-large".parse().unwrap()), "profile=\"cad-large\""),
    ] {
        let request = Request { ask, ..request.clone() };
        let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid></domain>";
        let edited = inject(xml, &[request.clone().into()]).unwrap();
        let text = String::from_utf8_lossy(edited.bytes());
        assert_holds(&text, &format!("<mdevkit:request slot=\"7\" {written} {rest}"));
        let requests = mdevkit_xml::read(edited.bytes()).unwrap().requests.unwrap().requests;
        assert_eq!(requests, [request]);
    }
}
