//! A domain as a borrowed view.

use crate::common::{SHOWN, device, fixtures, injected, slot};
use mdevkit_core::HostdevKind;
use mdevkit_xml::{View, read};

#[test]
fn a_view_says_what_a_domain_says() {
    for (name, xml) in fixtures() {
        let domain = read(&xml).unwrap();
        let view = View::of(&xml).unwrap();
        assert_eq!(
            (view.name(), view.uuid(), view.os()),
            (domain.name.as_str(), domain.uuid, domain.os.as_deref())
        );
        assert_eq!(
            (view.pinning(), view.concerns_us()),
            (domain.pinning.clone(), domain.concerns_us()),
            "{name}"
        );
        assert_eq!(
            view.injected_for(),
            domain.requests.as_ref().and_then(|set| set.injected_for),
            "{name}"
        );
        let kinds: Vec<HostdevKind> = view.hostdevs().map(|it| it.kind()).collect();
        assert_eq!(
            kinds,
            domain.hostdevs.iter().map(|it| it.kind.clone()).collect::<Vec<_>>(),
            "{name}"
        );
        for hostdev in view.hostdevs() {
            assert!(hostdev.text().starts_with("<hostdev"), "{name}");
            assert_eq!(hostdev.text().as_bytes(), &xml[hostdev.span()], "{name}");
        }
        let requests: Vec<_> = view.requests().map(|it| it.request().clone()).collect();
        assert_eq!(requests, domain.requests.clone().unwrap_or_default().requests, "{name}");
        assert!(
            view.requests()
                .all(|it| it.text().starts_with('<') && it.text().contains("request")),
            "{name}"
        );
        assert_eq!(view.into_domain(), domain, "{name}");
    }
}

#[test]
fn what_is_plain_is_not_copied() {
    let xml = b"<domain type='kvm' xmlns='' xmlns:q='urn:q'><name>vm</name><vcpu> 4\n</vcpu></domain>";
    let view = View::of(xml).unwrap();
    assert!(xml.as_ptr_range().contains(&view.name().as_ptr()));
    assert!(xml.as_ptr_range().contains(&view.kind().unwrap().as_ptr()));
    assert_eq!(view.vcpus(), Some(4));
    assert_eq!(view.namespaces().collect::<Vec<_>>(), [("", ""), ("q", "urn:q")]);
    let view =
        View::of("<domain><name>v&#109;\r\n<![CDATA[&]]></name><vcpu>x</vcpu><vcpu>2</vcpu></domain>".as_bytes())
            .unwrap();
    assert_eq!((view.name(), view.kind(), view.vcpus()), ("vm\n&", None, None));
}

#[test]
fn displays_and_slots() {
    let xml = injected(&[device("a"), device("b")]).replacen("display='off'", "display='on' ramfb='off'", 1);
    let view = View::of(xml.as_bytes()).unwrap();
    let seen: Vec<_> = view
        .hostdevs()
        .map(|it| (it.slot(), it.display(), it.ramfb()))
        .collect();
    assert_eq!(
        seen,
        [
            (Some(slot(0)), Some(true), Some(false)),
            (Some(slot(1)), Some(false), None)
        ]
    );
    let graphics: Vec<_> = view.graphics().map(|it| (it.kind(), it.text())).collect();
    assert_eq!(graphics, [(Some("vnc"), "<graphics type='vnc'/>")]);
}

#[test]
fn what_is_printed_for_developers_holds_no_document() {
    let xml = SHOWN.replace("type='vnc'", "type='vnc' passwd='secret'");
    let xml = mdevkit_xml::inject(xml.as_bytes(), &[device("a")])
        .unwrap()
        .into_bytes();
    let view = View::of(&xml).unwrap();
    let parts = (
        view.requests().next().unwrap(),
        view.hostdevs().next().unwrap(),
        view.graphics().next().unwrap(),
    );
    assert!(!format!("{view:?} {parts:?}").contains("secret"));
}
