//! Domain XML: what is read is what another parser reads, and an edit changes what it says it changes and nothing else.

use crate::oracle::{self, Without, others};
use crate::parts;
use mdevkit_core::{Ask, AtLeast, DeviceApi, Domain, Numa, Request, Slot, TypeSpec, Uuid, What};
use mdevkit_xml::{
    Edited, Eject, Injection, NewDevice, Pick, Replacement, Screen, View, XmlError, XmlErrorKind, complete,
    domain_uuid, eject, may_concern_us, primary, read, refresh,
};

/// A domain: injected into, all at once and one by one, and ejected from.
///
/// Input: the document; then one byte, how many devices.
pub fn domain(data: &[u8]) {
    let mut parts = parts(data);
    let xml = parts.next().unwrap_or_default();
    let count = parts
        .next()
        .and_then(|ops| ops.first())
        .map_or(2, |byte| usize::from(byte % 4));
    let Some(domain) = read_twice(xml) else { return };

    let Ok(edited) = sound(injection(count).apply(xml, random())) else {
        return;
    };
    only_the_splices_differ(xml, &edited, Without::Ours);
    let slots = edited.devices().iter().map(|it| it.0).collect();
    let back = eject(edited.bytes(), &Eject::Slots(slots)).expect("what was injected can be ejected");
    same(
        back.bytes(),
        xml,
        "an ejection of what was injected gives back the document",
    );
    if !domain.concerns_us() {
        let all = eject(edited.bytes(), &Eject::All).expect("and all of it");
        same(all.bytes(), xml, "an ejection of all gives back the document");
    }

    // One by one, and out in the same order.
    let mut fresh = random();
    let (mut whole, mut added) = (xml.to_vec(), Vec::new());
    for device in injection(count).requests {
        let edited = Injection::new()
            .device(device)
            .apply(&whole, &mut fresh)
            .expect("what goes in together goes in one by one");
        let Some((_, uuid)) = edited.devices().first() else {
            return;
        };
        added.push(*uuid);
        whole = edited.into_bytes();
    }
    for uuid in added {
        whole = eject(&whole, &Eject::Uuids(vec![uuid])).expect("and out").into_bytes();
    }
    same(&whole, xml, "one by one gives back the document");
}

/// A domain whose devices are changed, again and again; at the end all that is ours is taken out.
///
/// Input: the document; then a byte for each edit.
pub fn edits(data: &[u8]) {
    let mut parts = parts(data);
    let xml = parts.next().unwrap_or_default();
    let steps = parts.next().unwrap_or(b"0156937284a");
    let Some(domain) = read_twice(xml) else { return };
    let untouched = !domain.concerns_us();
    let mut now = xml.to_vec();
    if untouched {
        let Ok(first) = sound(injection(2).apply(xml, random())) else {
            return;
        };
        now = first.into_bytes();
    }
    let (mut has_uuid, mut without) = (domain.uuid.is_some(), Without::Ours);
    for step in steps.iter().take(12) {
        let pick = match step / 32 % 3 {
            0 => Pick::Slot(Slot::new(u16::from(step / 128)).expect("0 or 1")),
            1 => Pick::Slot(Slot::new(0).expect("small")),
            _ => Pick::Only,
        };
        let edit = Edit::of(*step);
        let Ok(edited) = sound(edit.apply(&now, pick)) else {
            continue;
        };
        if matches!(edit, Edit::Primary) {
            without = Without::OursAndVideos;
        }
        took_effect(&edit, &edited);
        only_the_splices_differ(&now, &edited, without);
        // A domain without a UUID gets new random ones with each refresh.
        if !matches!(edit, Edit::Refresh) || has_uuid {
            let again = edit
                .apply(edited.bytes(), pick)
                .expect("what was done can be done again");
            assert!(!again.changed(), "{edit:?}: twice differs from once");
        }
        has_uuid = read(edited.bytes()).expect("an edit can be read").uuid.is_some();
        now = edited.into_bytes();
    }
    let out = eject(&now, &Eject::All).expect("all of it can be ejected");
    assert_eq!(others(out.bytes(), without), others(xml, without));
    assert!(
        !read(out.bytes()).expect("an ejection can be read").concerns_us(),
        "nothing of ours is left"
    );
    if untouched && without == Without::Ours {
        same(
            out.bytes(),
            xml,
            "an ejection gives back the document, whatever was done in between",
        );
    }
}

/// What a byte does to a device.
#[derive(Debug)]
enum Edit {
    Ask(Ask),
    Place,
    NoPlace,
    Screen(Screen),
    Complete,
    Refresh,
    Primary,
}

impl Edit {
    fn of(byte: u8) -> Self {
        let need = AtLeast {
            framebuffer_mib: Some(1024),
            heads: Some(4),
            ..AtLeast::default()
        };
        let screen = |display, ramfb| Self::Screen(Screen { display, ramfb });
        match byte % 16 {
            0 => Self::Ask("b c".parse::<TypeSpec>().expect("a good one").into()),
            1 => Self::Ask(Ask::Profile("p".parse().expect("a good one"))),
            2 => Self::Ask(Ask::For(What::AtLeast(need))),
            3 => Self::Place,
            4 => Self::NoPlace,
            5 => screen(Some(false), Some(true)),
            6 => screen(Some(false), Some(false)),
            7 => screen(Some(true), None),
            8 => screen(None, Some(true)),
            9 => Self::Complete,
            10 => Self::Primary,
            _ => Self::Refresh,
        }
    }

    fn apply(&self, xml: &[u8], pick: Pick) -> Result<Edited, XmlError> {
        let change = Replacement::new();
        match self {
            Self::Ask(ask) => change.ask(ask.clone()).apply(xml, pick),
            Self::Place => {
                let change = change
                    .group(Some("g".parse().expect("a good one")))
                    .numa(Some(Numa::Strict));
                change.apart(Some(true)).apply(xml, pick)
            }
            Self::NoPlace => change.group(None).numa(None).apart(None).params(None).apply(xml, pick),
            Self::Screen(screen) => screen.apply(xml, pick),
            Self::Complete => complete(xml, DeviceApi::VfioPci, random()),
            Self::Refresh => refresh(xml, random()),
            Self::Primary => primary(xml, pick),
        }
    }
}

/// What was asked for is what a reader finds afterwards.
fn took_effect(edit: &Edit, edited: &Edited) {
    let view = View::of(edited.bytes()).expect("an edit can be read");
    let domain = read(edited.bytes()).expect("an edit can be read");
    let slot = edited.devices().first().map(|it| it.0);
    let request = view
        .requests()
        .map(|it| it.request())
        .find(|it| slot.is_some() && it.slot == slot);
    let shows = || {
        let hostdev = view.hostdevs().find(|it| slot.is_some() && it.slot() == slot);
        hostdev.map(|it| Screen {
            display: it.display(),
            ramfb: it.ramfb(),
        })
    };
    let on = Screen {
        display: Some(true),
        ramfb: Some(true),
    };
    match edit {
        Edit::Ask(ask) => assert!(request.is_none_or(|it| it.ask == *ask), "{edit:?}: {request:?}"),
        Edit::Place => {
            let placed = |it: &Request| it.group.is_some() && it.numa == Some(Numa::Strict) && it.apart == Some(true);
            assert!(request.is_none_or(placed), "{edit:?}: {request:?}");
        }
        Edit::NoPlace => {
            let free = |it: &Request| (&it.group, it.numa, it.apart, &it.params) == (&None, None, None, &None);
            assert!(request.is_none_or(free), "{edit:?}: {request:?}");
        }
        Edit::Screen(screen) => assert!(
            shows().is_none_or(|it| {
                screen.display.is_none_or(|on| it.display == Some(on))
                    && screen.ramfb.is_none_or(|on| it.ramfb == Some(on))
            }),
            "{edit:?}: {:?}",
            shows()
        ),
        Edit::Primary => assert!(shows().is_none_or(|it| it == on), "{:?}", shows()),
        Edit::Complete => {
            let all = domain.requests.iter().flat_map(|set| &set.requests);
            let has_hostdev = |it: &Request| it.slot.is_some() || it.uuid.is_some();
            assert!(all.into_iter().all(has_hostdev), "a request was not completed");
        }
        Edit::Refresh => {
            let is_clone = |it: Option<Uuid>| it.is_some() && it != domain.uuid;
            let injected_for = domain.requests.as_ref().and_then(|set| set.injected_for);
            assert!(!injected_for.is_some_and(is_clone), "it is still a clone");
        }
    }
}

/// The domain, if it is accepted (and another parser can read it, too): then all readers agree on it. What is refused is
/// refused with a message that can be shown.
pub(crate) fn read_twice(xml: &[u8]) -> Option<Domain> {
    let domain = match sound(read(xml)) {
        Ok(domain) => domain,
        Err(_) => return None,
    };
    let document = oracle::parse(xml)?;
    assert!(
        !domain.concerns_us() || may_concern_us(xml),
        "a domain of ours was missed"
    );
    assert_eq!(
        domain_uuid(xml).expect("the whole was read"),
        domain.uuid,
        "whose it is"
    );
    let view = View::of(xml).expect("the whole was read");
    for (span, first) in view
        .hostdevs()
        .map(|it| (it.span(), "hostdev"))
        .chain(view.graphics().map(|it| (it.span(), "graphics")))
    {
        let found = document
            .descendants()
            .any(|it| it.is_element() && it.range() == span && it.tag_name().name() == first);
        assert!(found, "no {first} stands at {span:?}");
    }
    assert_eq!(view.into_domain(), domain);
    Some(domain)
}

/// An error is one line of at most 300 bytes, and none is a defect of ours.
pub(crate) fn sound<T>(result: Result<T, XmlError>) -> Result<T, XmlError> {
    if let Err(error) = &result {
        let message = error.to_string();
        assert!(!matches!(error.kind(), XmlErrorKind::Internal(_)), "{message}");
        assert!(crate::is_one_line(&message) && message.len() <= 300, "{message:?}");
    }
    result
}

/// The splices say all that changed; another parser finds everything else as it was.
fn only_the_splices_differ(before: &[u8], edited: &Edited, without: Without) {
    let (mut rebuilt, mut at) = (Vec::new(), 0);
    for splice in edited.splices() {
        rebuilt.extend_from_slice(&before[at..splice.range.start]);
        rebuilt.extend_from_slice(splice.text.as_bytes());
        at = splice.range.end;
    }
    rebuilt.extend_from_slice(&before[at..]);
    same(edited.bytes(), &rebuilt, "the splices make the result");
    assert_eq!(edited.changed(), edited.bytes() != before);
    assert_eq!(
        others(edited.bytes(), without),
        others(before, without),
        "something else changed"
    );
    let diff = edited
        .diff(before, "a", "b")
        .expect("it is the document that was edited");
    assert_eq!(diff.is_empty(), !edited.changed());
    read_twice(edited.bytes()).expect("an edit can be read");
}

fn same(one: &[u8], other: &[u8], what: &str) {
    assert!(
        one == other,
        "{what}:\n{}\n--- and not\n{}",
        String::from_utf8_lossy(one),
        String::from_utf8_lossy(other)
    );
}

fn injection(count: usize) -> Injection {
    // On top of what the document has: it may have the same devices already.
    (0..count).fold(Injection::new().more(), |injection, n| {
        injection.device(NewDevice::new(format!("type-{n}").parse().expect("a good one")))
    })
}

fn random() -> impl FnMut() -> Uuid {
    let mut next = 0x5eed_0000_0000_4000_8000_0000_0000_0000_u128;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}
