//! Adding devices: a request in `<metadata>` and a hostdev in `<devices>` for each.
//!
//! Invariant: both pieces or none. What had to be opened for them is noted in `opened` ([`crate::notes`]).

use crate::edit::{self, Edited, Splice, Then};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::layout::{self, Layout, Line};
use crate::map::{Anchor, Element, Map, Set};
use crate::notes::{How, Note, Notes, Which};
use crate::{lexical, text, write};
use mdevkit_core::{DeviceApi, Request, Slot, TypeSpec, Uuid, device_uuid};

/// A device to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// What is asked for. Its slot is the lowest unused one, unless it has one.
    pub request: Request,
    /// The device's UUID; none: made from the domain's UUID and the slot ([`device_uuid`]).
    pub uuid: Option<Uuid>,
    /// The hostdev's `model`: what the type's `device_api` says.
    pub model: DeviceApi,
}

impl NewDevice {
    /// A device of this type, with everything else left to mdevkit: `vfio-pci`, the lowest unused slot.
    pub fn new(spec: TypeSpec) -> Self {
        Request::new(spec).into()
    }

    /// With this UUID.
    #[must_use]
    pub fn uuid(self, uuid: Uuid) -> Self {
        Self {
            uuid: Some(uuid),
            ..self
        }
    }

    /// With this model.
    #[must_use]
    pub fn model(self, model: DeviceApi) -> Self {
        Self { model, ..self }
    }
}

impl From<Request> for NewDevice {
    fn from(request: Request) -> Self {
        Self {
            uuid: request.uuid,
            request,
            model: DeviceApi::VfioPci,
        }
    }
}

/// Devices to be added, with what is needed where a domain has no UUID yet.
///
/// ```
/// use mdevkit_xml::{Injection, NewDevice};
/// let random = || "b5f0d4f4-4b4c-4d1c-9d3f-3f6f0c9f7a11".parse().unwrap(); // the caller's
/// let edited = Injection::new()
///     .device(NewDevice::new("V100DX-4Q".parse()?))
///     .device(NewDevice::new("V100DX-8Q".parse()?).uuid("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?))
///     .apply(b"<domain><name>never defined</name></domain>", random)?;
/// assert_eq!(edited.devices().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// The devices, in order.
    pub requests: Vec<NewDevice>,
    /// The bounds on the document.
    pub limits: Limits,
}

impl Injection {
    /// No devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more device.
    #[must_use]
    pub fn device(mut self, device: NewDevice) -> Self {
        self.requests.push(device);
        self
    }

    /// Adds the devices. `fresh` gives a random UUID (this crate has no randomness of its own); it is called for each
    /// device without one in a domain without one.
    ///
    /// # Errors
    /// As [`inject`].
    pub fn apply(&self, xml: &[u8], mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
        add_new(xml, &self.limits, &self.requests, &mut || Some(fresh()))
    }
}

/// Adds devices to a domain. One whose UUID is already a device of ours with the same type is left as it is.
///
/// ```
/// use mdevkit_xml::{NewDevice, inject};
/// let xml = b"<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices/>\n</domain>\n";
/// let edited = inject(xml, &[NewDevice::new("V100DX-4Q".parse()?)])?;
/// assert!(String::from_utf8_lossy(edited.bytes()).contains("<alias name='ua-mdevkit-0'/>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the document cannot be read, is a clone ([`Kind::Clone`]), has no UUID and a device has none either
/// ([`Kind::NoUuid`]), or when a slot or UUID is taken.
pub fn inject(xml: &[u8], devices: &[NewDevice]) -> Result<Edited, XmlError> {
    add_new(xml, &Limits::default(), devices, &mut || None)
}

/// Gives each request that a person wrote a slot and a hostdev of `model`. A request with `uuid` whose hostdev is
/// there stays as it is.
///
/// ```
/// let xml = br#"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><metadata>
///   <v:requests xmlns:v="urn:mdevkit:domain:1"><v:request type="V100DX-4Q"/></v:requests>
/// </metadata><devices/></domain>"#;
/// let edited = mdevkit_xml::complete(xml, mdevkit_core::DeviceApi::VfioPci, || unreachable!("the domain has a UUID"))?;
/// let text = String::from_utf8_lossy(edited.bytes());
/// assert!(text.contains(r#"<v:request slot="0" type="V100DX-4Q"/>"#));
/// assert!(text.contains("<alias name='ua-mdevkit-0'/>"));
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
///
/// # Errors
/// As [`inject`].
pub fn complete(xml: &[u8], model: DeviceApi, mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
    let limits = Limits::default();
    let map = crate::map(xml, &limits)?;
    check_set(&map)?;
    let Some(set) = &map.set else {
        return edit::apply(&map, &limits, Vec::new(), Vec::new(), Then::There);
    };
    let mut used = used_slots(&map);
    let mut additions: Vec<Addition<'_>> = Vec::new();
    for (index, at) in set.requests.iter().enumerate() {
        let there = match (at.request.slot, at.request.uuid) {
            // An injected one whose hostdev was taken out since stays out; a person's wants one.
            (Some(slot), _) => set.injected_for.is_some() || map.hostdevs.iter().any(|it| it.slot == Some(slot)),
            (None, Some(uuid)) => map.hostdevs.iter().any(|it| it.uuid() == Some(uuid)),
            (None, None) => false,
        };
        if there {
            continue;
        }
        let slot = match at.request.slot {
            Some(slot) => slot,
            None => next_slot(&mut used, &limits)?,
        };
        let uuid = at
            .request
            .uuid
            .unwrap_or_else(|| map.uuid.map_or_else(&mut fresh, |domain| device_uuid(domain, slot)));
        check_uuid(&map, &additions, uuid)?;
        additions.push(Addition {
            slot,
            uuid,
            model,
            want: Want::Written { index },
        });
    }
    add(&map, &limits, &additions)
}

/// What is to be added, decided.
struct Addition<'r> {
    slot: Slot,
    uuid: Uuid,
    model: DeviceApi,
    want: Want<'r>,
}

enum Want<'r> {
    New(&'r Request),
    /// A person wrote it; it is completed where it stands.
    Written {
        index: usize,
    },
}

fn add_new(
    xml: &[u8],
    limits: &Limits,
    devices: &[NewDevice],
    fresh: &mut dyn FnMut() -> Option<Uuid>,
) -> Result<Edited, XmlError> {
    let map = crate::map(xml, limits)?;
    check_set(&map)?;
    let mut used = used_slots(&map);
    let mut additions: Vec<Addition<'_>> = Vec::new();
    let mut wanted: Vec<&NewDevice> = Vec::new();
    for device in devices {
        if let Some(uuid) = device.uuid
            && is_there(&map, uuid, device)?
        {
            continue;
        }
        if let Some(slot) = device.request.slot {
            if used.contains(&slot) {
                return Err(Kind::SlotTaken { slot }.into());
            }
            used.push(slot);
        }
        wanted.push(device);
    }
    for device in wanted {
        let slot = match device.request.slot {
            Some(slot) => slot,
            None => next_slot(&mut used, limits)?,
        };
        let uuid = match (device.uuid, map.uuid) {
            (Some(uuid), _) => uuid,
            (None, Some(domain)) => device_uuid(domain, slot),
            (None, None) => fresh().ok_or(Kind::NoUuid)?,
        };
        check_uuid(&map, &additions, uuid)?;
        additions.push(Addition {
            slot,
            uuid,
            model: device.model,
            want: Want::New(&device.request),
        });
    }
    let count = map.set.as_ref().map_or(0, |set| set.requests.len()) + additions.len();
    if count > limits.devices {
        return Err(Kind::TooManyDevices {
            count,
            limit: limits.devices,
        }
        .into());
    }
    add(&map, limits, &additions)
}

/// Whether the very device was injected before.
fn is_there(map: &Map<'_>, uuid: Uuid, device: &NewDevice) -> Result<bool, XmlError> {
    let Some(hostdev) = map.hostdevs.iter().find(|hostdev| hostdev.uuid() == Some(uuid)) else {
        return Ok(false);
    };
    let request = map
        .set
        .iter()
        .flat_map(|set| &set.requests)
        .find(|at| match at.request.slot {
            Some(slot) => hostdev.slot == Some(slot),
            None => at.request.uuid == Some(uuid),
        });
    let taken = |by: String| Err(Kind::UuidTaken { uuid, by }.into());
    match request {
        Some(at) if at.request.spec == device.request.spec => Ok(true),
        Some(at) => taken(format!("this domain's device of type {}", at.request.spec)),
        None => taken("a hostdev of this domain that no request asks for".to_owned()),
    }
}

fn check_uuid(map: &Map<'_>, additions: &[Addition<'_>], uuid: Uuid) -> Result<(), XmlError> {
    let there = map.hostdevs.iter().any(|hostdev| hostdev.uuid() == Some(uuid));
    if there || additions.iter().any(|addition| addition.uuid == uuid) {
        return Err(Kind::UuidTaken {
            uuid,
            by: "another hostdev of this domain".to_owned(),
        }
        .into());
    }
    Ok(())
}

/// Refuses to add to requests that are another domain's, or whose notes were made untrue by hand.
fn check_set(map: &Map<'_>) -> Result<(), XmlError> {
    let Some(set) = &map.set else { return Ok(()) };
    match (set.injected_for, &set.opened) {
        (Some(Some(injected_for)), _) if map.uuid != Some(injected_for) => Err(Kind::Clone { injected_for }.into()),
        (None, Some(opened)) if set.notes.has_for() => {
            let message = "opened says that mdevkit added the attribute for, and it is gone; remove opened";
            Err(XmlError::at(map.text, opened.span.start, Kind::Request(message.into())))
        }
        _ => Ok(()),
    }
}

fn used_slots(map: &Map<'_>) -> Vec<Slot> {
    let requests = map
        .set
        .iter()
        .flat_map(|set| &set.requests)
        .filter_map(|at| at.request.slot);
    requests
        .chain(map.hostdevs.iter().filter_map(|hostdev| hostdev.slot))
        .collect()
}

fn next_slot(used: &mut Vec<Slot>, limits: &Limits) -> Result<Slot, XmlError> {
    let slot = Slot::lowest_unused(used).ok_or(Kind::TooManyDevices {
        count: used.len() + 1,
        limit: limits.devices,
    })?;
    used.push(slot);
    Ok(slot)
}

/// Writes what was decided.
fn add(map: &Map<'_>, limits: &Limits, additions: &[Addition<'_>]) -> Result<Edited, XmlError> {
    let devices = additions
        .iter()
        .map(|addition| (addition.slot, addition.uuid))
        .collect();
    if additions.is_empty() {
        return edit::apply(map, limits, Vec::new(), devices, Then::There);
    }
    let mut notes = map.set.as_ref().map(|set| set.notes.clone()).unwrap_or_default();
    let mut splices = Vec::new();

    let hostdevs: Vec<Line> = additions
        .iter()
        .flat_map(|it| write::hostdev(it.slot, it.uuid, it.model))
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
    edit::apply(map, limits, splices, devices, Then::There)
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

fn splice_into(
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
