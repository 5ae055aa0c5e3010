//! What is to be added, once it was decided, and how it is written: a request in `<metadata>` and a hostdev in
//! `<devices>` for each.
//!
//! Invariant: both pieces or none. What had to be opened for them is noted in `opened` ([`crate::notes`]).

use crate::check::Then;
use crate::edit::{self, Edited, Identity, Splice};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::layout::{self, Layout, Line};
use crate::map::{Anchor, Element, HostdevAt, Map, Set};
use crate::notes::{How, Note, Notes, Which};
use crate::{lexical, text, write};
use mdevkit_core::{Bdf, DeviceApi, Request, Slot, Uuid};

/// What is to be added, decided.
pub(crate) struct Addition<'r> {
    pub(crate) slot: Slot,
    pub(crate) device: New,
    pub(crate) want: Want<'r>,
}

/// The device of a new hostdev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum New {
    Mdev { uuid: Uuid, model: DeviceApi },
    Pci { address: Bdf, managed: bool },
}

impl New {
    fn identity(self) -> Identity {
        match self {
            Self::Mdev { uuid, .. } => Identity::Mdev(uuid),
            Self::Pci { address, .. } => Identity::Pci(address),
        }
    }
}

/// Where an addition comes from.
pub(crate) enum Want<'r> {
    /// A program asked for it; its request is written.
    New(&'r Request),
    /// A person wrote it; it is completed where it stands.
    Written { index: usize },
}

/// Refuses a device that another hostdev of the domain has, or one that is to be added before it.
pub(crate) fn check_device(map: &Map<'_>, additions: &[Addition<'_>], device: New) -> Result<(), XmlError> {
    let identity = device.identity();
    let there = map.hostdevs.iter().find(|hostdev| hostdev.identity() == Some(identity));
    if there.is_none() && !additions.iter().any(|it| it.device.identity() == identity) {
        return Ok(());
    }
    let kind = match identity {
        Identity::Mdev(uuid) => Kind::UuidTaken {
            uuid,
            by: there.map_or_else(|| "another device of this injection".to_owned(), |it| holder(map, it)),
        },
        Identity::Pci(address) => Kind::AddressTaken { address },
    };
    Err(map.error(there.map(|hostdev| hostdev.element.span.start), kind))
}

/// What a hostdev is, in words.
fn holder(map: &Map<'_>, hostdev: &HostdevAt<'_>) -> String {
    let mut requests = map.set.iter().flat_map(|set| &set.requests);
    let request = requests.find(|at| match at.request.slot {
        Some(slot) => hostdev.slot == Some(slot),
        None => at.request.uuid.is_some() && at.request.uuid == hostdev.uuid(),
    });
    match request {
        Some(at) => format!(
            "this domain's device for {}; replace changes what it asks for",
            at.request.ask
        ),
        None => "a hostdev of this domain that no request asks for".to_owned(),
    }
}

/// libvirt takes one `vfio-ap` device a domain.
fn check_models(map: &Map<'_>, additions: &[Addition<'_>]) -> Result<(), XmlError> {
    let is_ap = |addition: &&Addition<'_>| {
        matches!(
            addition.device,
            New::Mdev {
                model: DeviceApi::VfioAp,
                ..
            }
        )
    };
    let new = additions.iter().filter(is_ap).count();
    let is_old = |hostdev: &&HostdevAt<'_>| hostdev.model == Some(DeviceApi::VfioAp);
    let old = map.hostdevs.iter().filter(is_old).count();
    if new > 0 && new + old > 1 {
        let rule = "only one hostdev of model vfio-ap is supported; one matrix device can hold all the adapters";
        let place = map
            .hostdevs
            .iter()
            .find(is_old)
            .map(|hostdev| hostdev.element.span.start);
        return Err(map.error(place, Kind::Libvirt(rule)));
    }
    Ok(())
}

/// Refuses to add to requests that are another domain's, or whose notes were made untrue by hand.
pub(crate) fn check_set(map: &Map<'_>) -> Result<(), XmlError> {
    let Some(set) = &map.set else { return Ok(()) };
    match (set.injected_for, &set.opened) {
        (Some(Some(injected_for)), _) if map.uuid != Some(injected_for) => {
            let place = set.for_attr.as_ref().map(|attr| attr.value.start);
            Err(map.error(place, Kind::Clone { injected_for }))
        }
        (None, Some(opened)) if set.notes.has_for() => {
            let message = "opened says that mdevkit added the attribute for, and it is gone; remove opened";
            Err(XmlError::at(map.text, opened.span.start, Kind::Request(message.into())))
        }
        _ => Ok(()),
    }
}

pub(crate) fn used_slots(map: &Map<'_>) -> Vec<Slot> {
    let requests = map
        .set
        .iter()
        .flat_map(|set| &set.requests)
        .filter_map(|at| at.request.slot);
    requests
        .chain(map.hostdevs.iter().filter_map(|hostdev| hostdev.slot))
        .collect()
}

pub(crate) fn next_slot(used: &mut Vec<Slot>, limits: &Limits) -> Result<Slot, XmlError> {
    let slot = Slot::lowest_unused(used).ok_or(Kind::TooManyDevices {
        count: used.len() + 1,
        limit: limits.devices,
    })?;
    used.push(slot);
    Ok(slot)
}

/// Writes what was decided.
pub(crate) fn add(map: &Map<'_>, limits: &Limits, additions: &[Addition<'_>]) -> Result<Edited, XmlError> {
    let devices = additions
        .iter()
        .map(|addition| (addition.slot, addition.device.identity()))
        .collect::<Vec<_>>();
    if additions.is_empty() {
        return edit::apply(map, limits, Vec::new(), &devices, Then::There);
    }
    check_models(map, additions)?;
    let mut notes = map.set.as_ref().map(|set| set.notes.clone()).unwrap_or_default();
    let mut splices = Vec::new();

    let hostdevs: Vec<Line> = additions
        .iter()
        .flat_map(|it| write::hostdev(it.slot, it.device))
        .collect();
    let mut new_devices = None;
    match &map.devices {
        Some(element) => splices.push(insert(
            map,
            element,
            Which::Devices,
            &map.in_devices,
            &hostdevs,
            &mut notes,
        )),
        None => {
            notes.add(Note::Opened(Which::Devices, How::Created));
            new_devices = Some(write::wrap("<devices>".to_owned(), hostdevs, "</devices>"));
        }
    }

    let mut new_metadata = None;
    match (&map.set, &map.metadata) {
        (Some(set), _) => {
            if let Some(lines) = new_devices.take() {
                splices.push(insert(
                    map,
                    &map.root,
                    Which::Domain,
                    &map.for_devices,
                    &lines,
                    &mut notes,
                ));
            }
            splices.extend(extend(map, set, additions, notes));
        }
        (None, Some(element)) => {
            if let Some(lines) = new_devices.take() {
                splices.push(insert(
                    map,
                    &map.root,
                    Which::Domain,
                    &map.for_devices,
                    &lines,
                    &mut notes,
                ));
            }
            // The element's text holds the notes, and inserting it may add one: ask first.
            note_opening(map, element, Which::Metadata, &mut notes);
            let lines = write::requests(map.uuid, &notes, new_requests("mdevkit", additions));
            splices.push(insert(
                map,
                element,
                Which::Metadata,
                &map.in_metadata,
                &lines,
                &mut Notes::default(),
            ));
        }
        (None, None) => {
            notes.add(Note::Opened(Which::Metadata, How::Created));
            note_opening(map, &map.root, Which::Domain, &mut notes);
            let set = write::requests(map.uuid, &notes, new_requests("mdevkit", additions));
            new_metadata = Some(write::wrap("<metadata>".to_owned(), set, "</metadata>"));
        }
    }
    if let Some(metadata) = new_metadata {
        splices.extend(into_root(map, metadata, new_devices));
    }
    edit::apply(map, limits, splices, &devices, Then::There)
}

/// Puts new children into the root: together when they go to the same place, which an empty root has but one of.
fn into_root(map: &Map<'_>, mut metadata: Vec<Line>, devices: Option<Vec<Line>>) -> Vec<Splice> {
    let put =
        |anchor: &Anchor, lines: &[Line]| insert(map, &map.root, Which::Domain, anchor, lines, &mut Notes::default());
    match devices {
        Some(devices) if map.for_metadata.previous() == map.for_devices.previous() => {
            metadata.extend(devices);
            vec![put(&map.for_metadata, &metadata)]
        }
        Some(devices) => vec![put(&map.for_metadata, &metadata), put(&map.for_devices, &devices)],
        None => vec![put(&map.for_metadata, &metadata)],
    }
}

/// Adds to our element what is missing: `for`, notes, slots of completed requests, new requests.
fn extend(map: &Map<'_>, set: &Set<'_>, additions: &[Addition<'_>], mut notes: Notes) -> Vec<Splice> {
    let mut splices = Vec::new();
    let prefix = lexical::split(set.element.name).0;
    let lines = new_requests(prefix, additions);
    let mut inside = None;
    if !lines.is_empty() {
        let last = set.requests.last().map(|at| at.element.span.clone());
        if set.requests.is_empty() {
            let how = how(map, &set.element).unwrap_or(How::Kept);
            notes.add(Note::Opened(Which::Requests, how));
        }
        inside = Some(splice_into(map, &set.element, last.as_ref(), &lines));
    }
    for addition in additions {
        match addition.want {
            Want::New(_) if set.injected_for.is_none() || notes.has_for() => notes.add(Note::For(addition.slot)),
            Want::New(_) => {}
            Want::Written { index } => {
                if let Some(at) = set.requests.get(index).filter(|at| at.request.slot.is_none()) {
                    splices.push(Splice::insert(at.name_end, format!(" slot=\"{}\"", addition.slot)));
                }
            }
        }
    }
    let mut attributes = String::new();
    if set.injected_for.is_none() {
        let domain = map.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        attributes.push_str(&format!(" for=\"{domain}\""));
    }
    match &set.opened {
        Some(opened) => splices.push(Splice::replace(opened.value.clone(), notes.to_string())),
        None => attributes.push_str(&write::opened(&notes)),
    }
    if !attributes.is_empty() {
        splices.push(Splice::insert(set.attrs_end, attributes));
    }
    splices.extend(inside);
    splices
}

fn new_requests(prefix: &str, additions: &[Addition<'_>]) -> Vec<Line> {
    additions
        .iter()
        .filter_map(|addition| match addition.want {
            Want::New(request) => Some(write::request(prefix, addition.slot, request)),
            Want::Written { .. } => None,
        })
        .collect()
}

/// Puts lines into an element, behind the anchor's element, and notes what had to be opened.
fn insert(
    map: &Map<'_>,
    element: &Element<'_>,
    which: Which,
    anchor: &Anchor,
    lines: &[Line],
    notes: &mut Notes,
) -> Splice {
    note_opening(map, element, which, notes);
    splice_into(map, element, anchor.previous(), lines)
}

fn note_opening(map: &Map<'_>, element: &Element<'_>, which: Which, notes: &mut Notes) {
    match (how(map, element), which) {
        // Without a set there are no older notes that could be taken for this one's.
        (None, _) | (Some(How::Kept), Which::Domain | Which::Metadata) => {}
        (Some(how), _) => notes.add(Note::Opened(which, how)),
    }
}

/// How an element without any content is opened; none when it has some.
fn how(map: &Map<'_>, element: &Element<'_>) -> Option<How> {
    match element.content() {
        None => Some(How::Tag),
        Some(content) if content.is_empty() => Some(How::Pair),
        Some(content) if map.text.get(content.clone()).is_some_and(text::is_blank) => Some(How::Kept),
        Some(_) => None,
    }
}

/// Lines as children of an element, behind `previous`.
pub(crate) fn splice_into(
    map: &Map<'_>,
    element: &Element<'_>,
    previous: Option<&std::ops::Range<usize>>,
    lines: &[Line],
) -> Splice {
    let sibling = previous.or(element.first_child.as_ref());
    let layout = Layout::of_child(map, element, sibling);
    let block = layout.block(lines);
    match how(map, element) {
        Some(How::Tag) => {
            let text = format!(">{block}{}</{}>", layout.lead_outside(), element.name);
            Splice::replace(element.open_end.saturating_sub(2)..element.open_end, text)
        }
        Some(How::Pair) => Splice::insert(element.open_end, format!("{block}{}", layout.lead_outside())),
        _ => {
            let behind = previous.map_or(element.open_end, |previous| previous.end);
            Splice::insert(layout::behind(map.text, behind), block)
        }
    }
}
