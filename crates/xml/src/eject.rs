//! Taking devices out again: their requests, their hostdevs, and what was opened for them.
//!
//! Invariant: an injection and its ejection leave the same bytes. After libvirt has rewritten the file, the same
//! elements go, by what they are and not by how they look.

use crate::check::Then;
use crate::edit::{self, Edited, Identity, Splice};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::layout::with_lead;
use crate::map::{Element, Map, Set};
use crate::notes::{How, Note, Notes, Which};
use crate::text;
use mdevkit_core::{Slot, Uuid};
use std::ops::Range;

/// What is to be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eject {
    /// All that is ours: the whole element in metadata, what a person wrote in it included, and every hostdev with an
    /// alias of ours.
    All,
    /// The devices with these UUIDs.
    Uuids(Vec<Uuid>),
    /// The devices in these slots.
    Slots(Vec<Slot>),
}

/// Takes devices out of a domain.
///
/// ```
/// use mdevkit_xml::{Eject, NewDevice, eject, inject};
/// let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><devices/></domain>";
/// let with = inject(xml, &[NewDevice::new("V100DX-4Q".parse()?)])?;
/// let without = eject(with.bytes(), &Eject::All)?;
/// assert_eq!(without.bytes(), xml);
/// assert_eq!(without.devices(), with.devices());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the document cannot be read, or a UUID or slot is not ours.
pub fn eject(xml: &[u8], what: &Eject) -> Result<Edited, XmlError> {
    let limits = Limits::default();
    let map = crate::map(xml, &limits)?;
    let slots = match what {
        Eject::All => all(&map),
        Eject::Slots(slots) => {
            let ours = all(&map);
            if let Some(slot) = slots.iter().copied().find(|slot| !ours.contains(slot)) {
                return Err(Kind::NotOursSlot { slot }.into());
            }
            slots.clone()
        }
        Eject::Uuids(uuids) => uuids
            .iter()
            .map(|uuid| slot_of(&map, *uuid))
            .collect::<Result<_, _>>()?,
    };
    let ejection = Ejection {
        map: &map,
        slots: &slots,
        all: *what == Eject::All,
    };
    edit::apply(&map, &limits, ejection.splices(), &devices(&map, &slots), Then::Gone)
}

/// Every slot that a request or an alias has.
fn all(map: &Map<'_>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = map.hostdevs.iter().filter_map(|hostdev| hostdev.slot).collect();
    slots.extend(
        map.set
            .iter()
            .flat_map(|set| &set.requests)
            .filter_map(|at| at.request.slot),
    );
    slots.sort();
    slots.dedup();
    slots
}

pub(crate) fn slot_of(map: &Map<'_>, uuid: Uuid) -> Result<Slot, XmlError> {
    let hostdev = map
        .hostdevs
        .iter()
        .find(|hostdev| hostdev.uuid() == Some(uuid))
        .and_then(|hostdev| hostdev.slot);
    let requests = map.set.iter().flat_map(|set| &set.requests);
    let request = || {
        requests
            .map(|at| &at.request)
            .find(|request| request.uuid == Some(uuid))?
            .slot
    };
    hostdev
        .or_else(request)
        .ok_or_else(|| Kind::NotOursUuid { uuid }.into())
}

/// The devices in the slots, as far as the domain says which they are.
fn devices(map: &Map<'_>, slots: &[Slot]) -> Vec<(Slot, Identity)> {
    let identity = |slot: Slot| {
        let hostdev = map.hostdevs.iter().find(|hostdev| hostdev.slot == Some(slot));
        let mut requests = map.set.iter().flat_map(|set| &set.requests).map(|at| &at.request);
        let request = || {
            requests
                .find(|request| request.slot == Some(slot))?
                .uuid
                .map(Identity::Mdev)
        };
        hostdev.and_then(|it| it.identity()).or_else(request)
    };
    let mut seen: Vec<(Slot, Identity)> = Vec::new();
    for slot in slots {
        if let Some(identity) = identity(*slot)
            && !seen.contains(&(*slot, identity))
        {
            seen.push((*slot, identity));
        }
    }
    seen
}

struct Ejection<'m, 'a> {
    map: &'m Map<'a>,
    slots: &'m [Slot],
    all: bool,
}

impl Ejection<'_, '_> {
    fn splices(&self) -> Vec<Splice> {
        let text = self.map.text;
        let mut gone = Gone {
            text,
            splices: Vec::new(),
        };
        for hostdev in &self.map.hostdevs {
            if hostdev.slot.is_some_and(|slot| self.slots.contains(&slot)) {
                gone.element(&hostdev.element);
            }
        }
        let had_hostdevs = !gone.splices.is_empty();

        let mut notes = self.map.set.as_ref().map(|set| set.notes.clone()).unwrap_or_default();
        if let (Some(devices), true) = (&self.map.devices, had_hostdevs) {
            gone.close(devices, Which::Devices, &mut notes);
        }
        let mut set_goes = false;
        if let Some(set) = &self.map.set {
            set_goes = self.requests(set, &mut gone, &mut notes);
            if let (true, Some(metadata)) = (set_goes, &self.map.metadata) {
                gone.close(metadata, Which::Metadata, &mut notes);
            }
        }
        if set_goes || had_hostdevs {
            gone.close(&self.map.root, Which::Domain, &mut notes);
        }
        gone.outermost()
    }

    /// Takes requests out of our element; whether the element itself goes.
    fn requests(&self, set: &Set<'_>, gone: &mut Gone<'_>, notes: &mut Notes) -> bool {
        let is_going = |slot: Option<Slot>| slot.is_some_and(|slot| self.slots.contains(&slot));
        let going = set.requests.iter().filter(|at| is_going(at.request.slot)).count();
        let none_stays = going == set.requests.len();
        if self.all || (going > 0 && none_stays && notes.how(Which::Requests).is_none()) {
            gone.element(&set.element);
            return true;
        }
        if going == 0 && self.slots.is_empty() {
            return false;
        }
        for at in set.requests.iter().filter(|at| is_going(at.request.slot)) {
            gone.element(&at.element);
        }
        if going > 0 && none_stays {
            gone.close(&set.element, Which::Requests, notes);
        }
        let had_for = notes.has_for();
        for slot in self.slots {
            notes.remove(Note::For(*slot));
        }
        if let (true, false, Some(attr)) = (had_for, notes.has_for(), &set.for_attr) {
            gone.range(with_lead(self.map.text, &attr.span));
        }
        match &set.opened {
            Some(attr) if notes.is_empty() => gone.range(with_lead(self.map.text, &attr.span)),
            Some(attr) => gone
                .splices
                .push(Splice::replace(attr.value.clone(), notes.to_string())),
            None => {}
        }
        false
    }
}

/// What goes, collected from the inside out.
struct Gone<'a> {
    text: &'a str,
    splices: Vec<Splice>,
}

impl Gone<'_> {
    fn element(&mut self, element: &Element<'_>) {
        self.range(with_lead(self.text, &element.span));
    }

    fn range(&mut self, range: Range<usize>) {
        self.splices.push(Splice::remove(range));
    }

    /// Undoes what an injection did to an element, if that was noted and nothing else is in it by now.
    fn close(&mut self, element: &Element<'_>, which: Which, notes: &mut Notes) {
        let (Some(how), Some(content)) = (notes.how(which), element.content()) else {
            return;
        };
        // Requests that were kept may hold a comment; it stays, and there is nothing to undo.
        let kept = (which, how) == (Which::Requests, How::Kept);
        if !kept && !self.is_blank_without(content.clone()) {
            return;
        }
        notes.remove(Note::Opened(which, how));
        match how {
            How::Created => self.element(element),
            How::Tag => {
                let start = element.open_end.saturating_sub(1);
                self.splices.push(Splice::replace(start..element.span.end, "/>"));
            }
            How::Pair => self.range(content),
            How::Kept => {}
        }
    }

    /// Whether only white space would be left of a range.
    fn is_blank_without(&self, range: Range<usize>) -> bool {
        let mut removed: Vec<&Range<usize>> = self.splices.iter().map(|splice| &splice.range).collect();
        removed.sort_by_key(|range| range.start);
        let mut at = range.start;
        for gone in removed
            .into_iter()
            .filter(|gone| gone.start >= range.start && gone.end <= range.end)
        {
            if gone.start > at && !self.text.get(at..gone.start).is_some_and(text::is_blank) {
                return false;
            }
            at = at.max(gone.end);
        }
        self.text.get(at..range.end).is_none_or(text::is_blank)
    }

    /// The splices that do not lie within another.
    fn outermost(self) -> Vec<Splice> {
        let Self { mut splices, .. } = self;
        splices.sort_by_key(|splice| (splice.range.start, std::cmp::Reverse(splice.range.end)));
        let mut end = 0;
        splices.retain(|splice| {
            let inside = splice.range.end <= end && !splice.range.is_empty();
            end = end.max(splice.range.end);
            !inside
        });
        splices
    }
}
