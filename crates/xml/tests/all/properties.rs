//! What must hold for every document, generated or damaged.

use crate::common::{fixtures, others};
use mdevkit_core::{Ask, AtLeast, DeviceApi, Numa, TypeSpec, Uuid, What};
use mdevkit_xml::{
    Eject, Injection, NewDevice, Pick, Replacement, Screen, XmlErrorKind, complete, eject, may_concern_us, read,
    refresh,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

const PIECES: &[&str] = &[
    "<name>vm</name>",
    "<name>v&#109; <![CDATA[<b>]]>&amp;</name>",
    "<uuid>11111111-0000-0000-0000-000000000001</uuid>",
    "<uuid> 11111111000000000000000000000001 </uuid>",
    "<title a = \"x\" ></title >",
    "<description>two\nlines &lt;devices></description>",
    "<memory unit='KiB'>1</memory>",
    "<seclabel/>",
    "<qemu:commandline xmlns:qemu='urn:q'><qemu:arg value='>'/></qemu:commandline>",
    "<!-- <devices/> -->",
    "<?pi <metadata/> ?>",
    "text",
    "&lt;",
    "<metadata/>",
    "<metadata />",
    "<metadata></metadata>",
    "<metadata> </metadata>",
    "<metadata><!-- c --></metadata>",
    "<metadata>\n<a:b xmlns:a='urn:a'><devices/></a:b>\n</metadata>",
    "<metadata><r:requests xmlns:r='urn:mdevkit:domain:1'/></metadata>",
    "<metadata><r:requests xmlns:r='urn:mdevkit:domain:1'></r:requests></metadata>",
    "<metadata>\n\t<requests xmlns=\"urn:mdevkit:domain:1\" >\n <!-- c --> </requests></metadata>",
    "<metadata><r:requests xmlns:r='urn:mdevkit:domain:1' for=''>\n<r:request type='a' slot='3'/>\n</r:requests></metadata>",
    "<metadata><r:requests xmlns:r='urn:mdevkit:domain:1'><r:request type='a' slot='3'/><r:request type='b'/></r:requests></metadata>",
    "<metadata><r:requests opened='devices=pair' xmlns:r='urn:mdevkit:domain:1' for=''><r:request type='a' slot='3'/></r:requests></metadata>",
    "<metadata><r:requests opened='for=3 devices=created' xmlns:r='urn:mdevkit:domain:1' for=''><r:request type='a' slot='3'/></r:requests></metadata>",
    "<devices/>",
    "<devices a='b' />",
    "<devices></devices>",
    "<devices>\r\n\t</devices>",
    "<devices><!-- c --></devices>",
    "<devices> <!-- c -->\n  <disk/> <!-- d --> <?e?>\n  <!-- f -->\n  <hub/></devices>",
    "<devices>text<rng/></devices>",
    "<devices>\n    <hostdev type='mdev'><alias name='ua-mdevkit-3'/><source><address uuid='aaaaaaaa-0000-4000-8000-000000000003'/></source></hostdev>\n  </devices>",
    "<devices>\n\t\t<hostdev type='pci'/>\n\t\t<future/><watchdog/>\n\t</devices>",
];

const GAPS: &[&str] = &["", " ", "\n", "\r\n", "\t", "\n  ", "\n\t", "\r\n   ", "\n\n    "];

fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(GAPS)
}

/// A document of pieces; not every one is accepted (two elements of ours, say).
fn document() -> impl Strategy<Value = String> {
    let prolog = prop::sample::select(vec![
        "",
        "\u{feff}",
        "<?xml version='1.0'?>",
        "\u{feff}<?xml version=\"1.0\" encoding='utf-8'?>\r\n",
        "<!-- x -->\n",
    ]);
    let root = prop::sample::select(vec![
        "<domain>",
        "<domain type=\"kvm\"\n  id='1' >",
        "<domain xmlns:mdevkit='urn:mdevkit:domain:1'>",
    ]);
    let pieces = prop::collection::vec((gap(), prop::sample::select(PIECES)), 0..7);
    let tail = prop::sample::select(vec!["", "\n", "\r\n<!-- end -->", "<?end?> "]);
    (prolog, root, pieces, gap(), tail).prop_map(|(prolog, root, pieces, gap, tail)| {
        let inner: String = pieces.into_iter().map(|(gap, piece)| format!("{gap}{piece}")).collect();
        match inner.is_empty() && gap.is_empty() {
            true => format!("{prolog}{}/>{tail}", root.trim_end_matches('>')),
            false => format!("{prolog}{root}{inner}{gap}</domain>{tail}"),
        }
    })
}

/// A fixture or a generated document with a few bytes changed, cut or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let fixtures: Vec<Vec<u8>> = fixtures().into_iter().map(|(_, xml)| xml).collect();
    let source = prop_oneof![prop::sample::select(fixtures), document().prop_map(String::into_bytes)];
    let words = prop::sample::select(vec![
        "<",
        ">",
        "&",
        ";",
        "\"",
        "'",
        "/",
        "=",
        " ",
        "\n",
        "-",
        "--",
        "]]>",
        "<!--",
        "-->",
        "<![CDATA[",
        "<?",
        "?>",
        ":",
        "x:",
        "xmlns=''",
        "\0",
        "\u{feff}",
        "&#",
        "&#x41;",
        "é",
        "<a>",
        "</a>",
        "<a/>",
        "1",
        "domain",
        "<requests xmlns='urn:mdevkit:domain:1'/>",
    ]);
    let change = (any::<prop::sample::Index>(), 0_usize..12, prop::option::of(words));
    (source, prop::collection::vec(change, 1..4)).prop_map(|(mut xml, changes)| {
        for (at, cut, word) in changes {
            let start = at.index(xml.len() + 1);
            let end = (start + cut).min(xml.len());
            xml.splice(start..end, word.unwrap_or_default().bytes());
        }
        xml
    })
}

fn injection(count: usize) -> Injection {
    (0..count).fold(Injection::new(), |injection, n| {
        injection.device(NewDevice::new(format!("type-{n}").parse().unwrap()))
    })
}

fn random() -> impl FnMut() -> Uuid {
    let mut next = 0x5eed_0000_0000_4000_8000_0000_0000_0000_u128;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

/// All that is promised of an accepted document.
fn check(xml: &[u8], count: usize) -> Result<(), TestCaseError> {
    let Ok(domain) = read(xml) else { return Ok(()) };
    let shown = String::from_utf8_lossy(xml);
    prop_assert!(
        roxmltree::Document::parse(std::str::from_utf8(xml).unwrap()).is_ok(),
        "roxmltree refuses {shown}"
    );
    prop_assert!(!domain.concerns_us() || may_concern_us(xml), "missed: {shown}");
    let Ok(edited) = injection(count).apply(xml, random()) else {
        return Ok(());
    };
    let slots = edited.devices().iter().map(|it| it.0).collect();
    let back = eject(edited.bytes(), &Eject::Slots(slots)).unwrap();
    prop_assert_eq!(
        String::from_utf8_lossy(back.bytes()),
        shown.clone(),
        "with: {}",
        String::from_utf8_lossy(edited.bytes())
    );
    prop_assert_eq!(others(edited.bytes()), others(xml));
    if !domain.concerns_us() {
        let all = eject(edited.bytes(), &Eject::All).unwrap();
        prop_assert_eq!(all.bytes(), xml);
    }
    // One by one, and out in the same order.
    let mut fresh = random();
    let (mut whole, mut added) = (xml.to_vec(), Vec::new());
    for device in injection(count).requests {
        let edited = Injection::new().device(device).apply(&whole, &mut fresh).unwrap();
        added.push(edited.devices()[0].1);
        whole = edited.into_bytes();
    }
    for uuid in added {
        whole = eject(&whole, &Eject::Uuids(vec![uuid])).unwrap().into_bytes();
    }
    prop_assert_eq!(String::from_utf8_lossy(&whole), shown);
    Ok(())
}

/// Edits of what was injected, one after the other.
fn some_edits() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..9_u8, 0..8)
}

/// Whatever was done to the devices in between, the ejection gives back the document, and each step's diff says what the
/// step did.
fn check_edits(xml: &[u8], edits: &[u8]) -> Result<(), TestCaseError> {
    if !read(xml).is_ok_and(|domain| !domain.concerns_us()) {
        return Ok(());
    }
    let Ok(first) = injection(2).apply(xml, random()) else {
        return Ok(());
    };
    let picks: Vec<Pick> = first.devices().iter().map(|(slot, _)| Pick::Slot(*slot)).collect();
    let mut now = first.into_bytes();
    for (step, edit) in edits.iter().enumerate() {
        let pick = picks[step % 2];
        let ramfb = |on| Screen {
            display: Some(false),
            ramfb: Some(on),
        };
        let change = Replacement::new();
        let apply = |bytes: &[u8]| match edit {
            0 => change
                .clone()
                .ask("b c".parse::<TypeSpec>().unwrap())
                .apply(bytes, pick),
            1 => change
                .clone()
                .ask(Ask::Profile("p".parse().unwrap()))
                .apply(bytes, pick),
            2 => {
                let need = AtLeast {
                    framebuffer_mib: Some(1024),
                    heads: Some(4),
                    ..AtLeast::default()
                };
                change.clone().ask(Ask::For(What::AtLeast(need))).apply(bytes, pick)
            }
            3 => change
                .clone()
                .group(Some("g".parse().unwrap()))
                .numa(Some(Numa::Strict))
                .apply(bytes, pick),
            4 => change.clone().group(None).numa(None).apply(bytes, pick),
            5 => ramfb(true).apply(bytes, pick),
            6 => ramfb(false).apply(bytes, pick),
            7 => complete(bytes, DeviceApi::VfioPci, random()),
            _ => refresh(bytes, random()),
        };
        let edited = match apply(&now) {
            Ok(edited) => edited,
            Err(error) => {
                prop_assert!(matches!(error.kind(), XmlErrorKind::Libvirt(_)), "{error}");
                continue;
            }
        };
        prop_assert_eq!(
            edited.diff(&now, "a", "b").map(|diff| !diff.is_empty()),
            Some(edited.changed())
        );
        // A domain without a UUID gets new random ones with each refresh.
        if *edit != 8 {
            prop_assert!(!apply(edited.bytes()).unwrap().changed(), "twice differs from once");
        }
        prop_assert_eq!(others(edited.bytes()), others(xml));
        now = edited.into_bytes();
    }
    let back = eject(&now, &Eject::All).unwrap();
    prop_assert_eq!(String::from_utf8_lossy(back.bytes()), String::from_utf8_lossy(xml));
    Ok(())
}

proptest! {
    // PROPTEST_CASES=50000 looks longer.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents(xml in document(), count in 1_usize..4) {
        check(xml.as_bytes(), count)?;
    }

    #[test]
    fn edited_documents(xml in document(), edits in some_edits()) {
        check_edits(xml.as_bytes(), &edits)?;
    }

    #[test]
    fn damaged_documents(xml in damaged(), count in 1_usize..3) {
        check(&xml, count)?;
    }

    #[test]
    fn any_bytes(xml in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&xml, 1)?;
    }
}

#[test]
fn most_generated_documents_are_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..500).filter(|_| {
        let tree = document().new_tree(&mut runner).unwrap();
        injection(1).apply(tree.current().as_bytes(), random()).is_ok()
    });
    assert!(accepted.count() > 200, "the properties above would say little");
}
