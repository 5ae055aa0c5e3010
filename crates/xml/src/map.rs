//! Where the few elements stand that we read or edit, found in one scan.
//!
//! ```text
//!  /domain ─┬─ name, uuid                       the first of each
//!           ├─ metadata ── {ours}requests ── {ours}request
//!           └─ devices ─── hostdev ─┬─ source ── address
//!                                   └─ alias
//! ```
//! Invariant: elements are met by path, with names in no namespace, never by name alone: what looks alike inside
//! foreign metadata, comments or CDATA is not seen. libvirt looks the same way (XPath `./devices/hostdev`).

use crate::error::{Limits, XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical::{self, Attr};
use crate::namespace::Space;
use crate::notes::Notes;
use crate::scan::{Scanner, Tag, Token};
use crate::{text, uuid};
use mdevkit_core::{Alias, DeviceApi, Request, Slot, Uuid, ValueError};
use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

/// What the attributes of `<mdevkit:request>` are, for the message that a newcomer reads.
const KNOWN: &str = "slot, type, policy, parent, params, uuid";

/// An element and its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element<'a> {
    pub(crate) name: &'a str,
    /// From `<` of the start tag to behind `>` of the end tag.
    pub(crate) span: Range<usize>,
    /// Where the start tag ends.
    pub(crate) open_end: usize,
    /// Where the end tag begins; none for `<a/>`.
    pub(crate) close: Option<usize>,
    /// The first child element.
    pub(crate) first_child: Option<Range<usize>>,
}

impl Element<'_> {
    /// What stands between the tags; none for `<a/>`.
    pub(crate) fn content(&self) -> Option<Range<usize>> {
        self.close.map(|close| self.open_end..close)
    }
}

/// Where a new child goes by libvirt's canonical order: behind `last_same`, else behind `last_left`, else before the
/// first of those that follow, which is behind what came before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anchor {
    last_same: Option<Range<usize>>,
    last_left: Option<Range<usize>>,
    before_right: Option<Option<Range<usize>>>,
    last: Option<Range<usize>>,
}

/// Where a child element stands relative to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Same,
    Left,
    Right,
    Unknown,
}

impl Anchor {
    fn child(&mut self, order: Order, span: &Range<usize>) {
        match order {
            Order::Same => self.last_same = Some(span.clone()),
            Order::Left => self.last_left = Some(span.clone()),
            Order::Right if self.before_right.is_none() => self.before_right = Some(self.last.clone()),
            Order::Right | Order::Unknown => {}
        }
        self.last = Some(span.clone());
    }

    /// The element that a new one goes behind; none: it becomes the first.
    pub(crate) fn previous(&self) -> Option<&Range<usize>> {
        let before_right = self.before_right.as_ref().and_then(Option::as_ref);
        self.last_same.as_ref().or(self.last_left.as_ref()).or(before_right)
    }
}

/// An attribute's place and its value's.
#[derive(Clone, Debug)]
pub(crate) struct AttrSpan {
    pub(crate) span: Range<usize>,
    pub(crate) value: Range<usize>,
}

impl AttrSpan {
    fn of(attr: &Attr<'_>) -> Self {
        Self {
            span: attr.span.clone(),
            value: attr.value.clone(),
        }
    }
}

/// Our element in `<metadata>`.
#[derive(Clone, Debug)]
pub(crate) struct Set<'a> {
    pub(crate) element: Element<'a>,
    /// Where a new attribute goes.
    pub(crate) attrs_end: usize,
    pub(crate) injected_for: Option<Option<Uuid>>,
    pub(crate) for_attr: Option<AttrSpan>,
    pub(crate) notes: Notes,
    pub(crate) opened: Option<AttrSpan>,
    pub(crate) requests: Vec<RequestAt<'a>>,
}

/// One request of it.
#[derive(Clone, Debug)]
pub(crate) struct RequestAt<'a> {
    pub(crate) element: Element<'a>,
    /// Where a new attribute goes.
    pub(crate) name_end: usize,
    pub(crate) uuid_attr: Option<AttrSpan>,
    pub(crate) request: Request,
}

/// One `<hostdev>`.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostdevAt<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) alias: Option<String>,
    /// Our alias's slot.
    pub(crate) slot: Option<Slot>,
    /// `type='mdev'`.
    mdev: bool,
    pub(crate) model: Option<DeviceApi>,
    /// The device, when it is a mediated one, and where its UUID stands.
    pub(crate) device: Option<(Uuid, Range<usize>)>,
    /// What of a hostdev counts only if it is ours, or is seen once.
    model_raw: Option<(Cow<'a, str>, usize)>,
    address: Option<(Cow<'a, str>, Range<usize>)>,
    had_source: bool,
    had_alias: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Map<'a> {
    pub(crate) text: &'a str,
    pub(crate) root: Element<'a>,
    pub(crate) name: String,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) metadata: Option<Element<'a>>,
    pub(crate) devices: Option<Element<'a>>,
    pub(crate) set: Option<Set<'a>>,
    pub(crate) hostdevs: Vec<HostdevAt<'a>>,
    /// Where `<metadata>`, `<devices>`, a child of metadata and a hostdev would go.
    pub(crate) for_metadata: Anchor,
    pub(crate) for_devices: Anchor,
    pub(crate) in_metadata: Anchor,
    pub(crate) in_devices: Anchor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Domain,
    Name,
    Uuid,
    Metadata,
    Devices { first: bool },
    Requests,
    Request,
    Hostdev,
    Source,
    Skip,
}

struct Frame<'a> {
    role: Role,
    element: Element<'a>,
}

/// Scans the document.
pub(crate) fn map<'a>(text: &'a str, limits: &Limits) -> Result<Map<'a>, XmlError> {
    let mut builder = Builder {
        scanner: Scanner::new(text, limits),
        map: Map { text, ..Map::default() },
        frames: Vec::with_capacity(16),
        hostdev: HostdevAt::default(),
        address_seen: false,
        had_name: false,
        uuid_text: None,
        limits: *limits,
    };
    builder.run()?;
    builder.finish()
}

struct Builder<'a> {
    scanner: Scanner<'a>,
    map: Map<'a>,
    frames: Vec<Frame<'a>>,
    hostdev: HostdevAt<'a>,
    address_seen: bool,
    had_name: bool,
    /// The domain's `<uuid>`, and where it begins.
    uuid_text: Option<(String, usize)>,
    limits: Limits,
}

impl<'a> Builder<'a> {
    fn run(&mut self) -> Result<(), XmlError> {
        loop {
            match self.scanner.next()? {
                Token::Open(tag) => {
                    let role = self.role(&tag)?;
                    let element = Element {
                        name: tag.name,
                        span: tag.span.clone(),
                        open_end: tag.span.end,
                        close: None,
                        first_child: None,
                    };
                    let frame = Frame { role, element };
                    if tag.empty {
                        self.closed(frame)?
                    } else {
                        self.frames.push(frame)
                    }
                }
                Token::Close(span) => {
                    let Some(mut frame) = self.frames.pop() else {
                        return Err(Kind::Internal("an end tag without a frame").into());
                    };
                    frame.element.close = Some(span.start);
                    frame.element.span.end = span.end;
                    self.closed(frame)?;
                }
                Token::Text(span) => self.characters(span.start, self.map.text.get(span).unwrap_or_default(), false)?,
                Token::Cdata(span) => self.characters(span.start, self.map.text.get(span).unwrap_or_default(), true)?,
                Token::Ref(c, at) => self.characters(at, c.encode_utf8(&mut [0; 4]), true)?,
                Token::Misc => {}
                Token::End => return Ok(()),
            }
        }
    }

    /// What an element means where it stands. Reads its attributes, if they mean something.
    fn role(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
        let parent = self.frames.last().map(|frame| frame.role);
        let ours = tag.space == Space::Ours;
        // libvirt's own words are in no namespace; a prefix could only be one of somebody else.
        let word = if tag.space == Space::Unbound { tag.name } else { "" };
        Ok(match (parent, word) {
            (None, "domain") => Role::Domain,
            (None, _) => return Err(self.not_a_domain(tag)),
            (Some(Role::Domain), "name") if !self.had_name => {
                self.had_name = true;
                Role::Name
            }
            (Some(Role::Domain), "uuid") if self.uuid_text.is_none() => {
                self.uuid_text = Some((String::new(), tag.span.end));
                Role::Uuid
            }
            (Some(Role::Domain), "metadata") if self.map.metadata.is_none() => {
                self.map.metadata = Some(Element::default());
                Role::Metadata
            }
            (Some(Role::Domain), "devices") => {
                let first = self.map.devices.is_none();
                self.map.devices.get_or_insert_default();
                Role::Devices { first }
            }
            (Some(Role::Metadata), _) if ours => self.requests(tag)?,
            (Some(Role::Requests), _) if ours && lexical::split(tag.name).1 == "request" => self.request(tag)?,
            (Some(Role::Requests), _) => {
                let message = format!(
                    "<{}> is not known here; known is <request> in our namespace",
                    excerpt(tag.name)
                );
                return Err(self.bad(tag.span.start, message));
            }
            (Some(Role::Request), _) => {
                return Err(self.bad(tag.span.start, "a request has no elements inside, only attributes"));
            }
            (Some(Role::Devices { .. }), "hostdev") => {
                self.hostdev();
                Role::Hostdev
            }
            (Some(Role::Hostdev), "source") if !self.hostdev.had_source => {
                self.hostdev.had_source = true;
                self.address_seen = false;
                Role::Source
            }
            (Some(Role::Hostdev), "alias") if !self.hostdev.had_alias => {
                self.hostdev.had_alias = true;
                let name = self.scanner.attrs().iter().find(|attr| attr.name == "name");
                self.hostdev.alias = name.map(|attr| lexical::value(attr.raw).into_owned());
                Role::Skip
            }
            (Some(Role::Source), "address") if !self.address_seen => {
                self.address_seen = true;
                let uuid = self.scanner.attrs().iter().find(|attr| attr.name == "uuid");
                self.hostdev.address = uuid.map(|attr| (lexical::value(attr.raw), attr.value.clone()));
                Role::Skip
            }
            _ => Role::Skip,
        })
    }

    fn not_a_domain(&self, tag: &Tag<'a>) -> XmlError {
        let hint = match tag.name {
            "domstatus" => ": it is libvirt's own status file; use the domain's definition",
            "domainsnapshot" | "domaincheckpoint" => ": edit the domain itself",
            "domain" => ": it stands in a namespace, libvirt's has none",
            "html" => ": was a page saved instead?",
            _ => "",
        };
        let found = excerpt(tag.name);
        XmlError::at(self.map.text, tag.span.start, Kind::NotADomain { found, hint })
    }

    /// Our element, or another of our namespace that should not be there.
    fn requests(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
        if lexical::split(tag.name).1 != "requests" {
            let message = format!("<{}> is not known here; known is <requests>", excerpt(tag.name));
            return Err(self.bad(tag.span.start, message));
        }
        if self.map.set.is_some() {
            return Err(self.bad(
                tag.span.start,
                "a second <requests>; libvirt keeps one element for a namespace: join them",
            ));
        }
        let text = self.map.text;
        let mut set = Set {
            element: Element::default(),
            attrs_end: tag.span.start + 1 + tag.name.len(),
            injected_for: None,
            for_attr: None,
            notes: Notes::default(),
            opened: None,
            requests: Vec::new(),
        };
        for attr in self.scanner.attrs() {
            set.attrs_end = attr.span.end;
            let value = lexical::value(attr.raw);
            match attr.name {
                name if is_declaration(name) => {}
                "for" => {
                    set.injected_for = Some(match value.as_ref() {
                        "" => None,
                        other => Some(uuid_of(text, attr, "for", other)?),
                    });
                    set.for_attr = Some(AttrSpan::of(attr));
                }
                "opened" => {
                    set.notes = Notes::read(attr.raw).ok_or_else(|| {
                        self.bad(
                            attr.span.start,
                            "opened is mdevkit's own note and is damaged; remove it",
                        )
                    })?;
                    set.opened = Some(AttrSpan::of(attr));
                }
                other => {
                    let message = format!(
                        "attribute {} is not known in <{}>; known is: for",
                        excerpt(other),
                        excerpt(tag.name)
                    );
                    return Err(self.bad(attr.span.start, message));
                }
            }
        }
        self.map.set = Some(set);
        Ok(Role::Requests)
    }

    fn request(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
        let text = self.map.text;
        let mut spec = None;
        let (mut slot, mut uuid, mut uuid_attr, mut policy, mut parent, mut params) =
            (None, None, None, None, None, None);
        for attr in self.scanner.attrs() {
            let value = lexical::value(attr.raw);
            let value = value.as_ref();
            match attr.name {
                name if is_declaration(name) => {}
                "slot" => slot = Some(parsed(text, attr, "slot", value)?),
                "type" => spec = Some(parsed(text, attr, "type", value)?),
                "policy" => policy = Some(parsed(text, attr, "policy", value)?),
                "parent" => parent = Some(parsed(text, attr, "parent", value)?),
                "params" => params = Some(parsed(text, attr, "params", value)?),
                "uuid" => {
                    uuid = Some(uuid_of(text, attr, "uuid", value)?);
                    uuid_attr = Some(AttrSpan::of(attr));
                }
                other => {
                    let message = format!(
                        "attribute {} is not known in a request; known are: {KNOWN}",
                        excerpt(other)
                    );
                    return Err(self.bad(attr.span.start, message));
                }
            }
        }
        let Some(spec) = spec else {
            return Err(self.bad(tag.span.start, "the request names no type: type=\"...\" is missing"));
        };
        let request = Request {
            slot,
            spec,
            uuid,
            policy,
            parent,
            params,
        };
        let limit = self.limits.devices;
        let name_end = tag.span.start + 1 + tag.name.len();
        if let Some(set) = &mut self.map.set {
            if set.requests.len() >= limit {
                let kind = Kind::TooManyDevices {
                    count: set.requests.len() + 1,
                    limit,
                };
                return Err(XmlError::at(text, tag.span.start, kind));
            }
            let duplicate = set
                .requests
                .iter()
                .map(|other| &other.request)
                .find_map(|other| match (slot, uuid) {
                    (Some(slot), _) if other.slot == Some(slot) => Some(Kind::DuplicateSlot { slot }),
                    (_, Some(uuid)) if other.uuid == Some(uuid) => Some(Kind::DuplicateUuid { uuid }),
                    _ => None,
                });
            if let Some(kind) = duplicate {
                return Err(XmlError::at(text, tag.span.start, kind));
            }
            set.requests.push(RequestAt {
                element: Element::default(),
                name_end,
                uuid_attr,
                request,
            });
        }
        Ok(Role::Request)
    }

    fn hostdev(&mut self) {
        let attrs = self.scanner.attrs();
        let value = |name: &str| {
            attrs
                .iter()
                .find(|attr| attr.name == name)
                .map(|attr| (lexical::value(attr.raw), attr.value.start))
        };
        let is = |name, wanted, default| value(name).map_or(default, |(value, _)| value == wanted);
        self.hostdev = HostdevAt {
            mdev: is("type", "mdev", false) && is("mode", "subsystem", true),
            model_raw: value("model"),
            ..HostdevAt::default()
        };
    }

    fn characters(&mut self, at: usize, characters: &str, always: bool) -> Result<(), XmlError> {
        match self.frames.last().map(|frame| frame.role) {
            Some(Role::Name) => push(&mut self.map.name, characters, always),
            Some(Role::Uuid) => {
                if let Some((uuid, _)) = &mut self.uuid_text {
                    push(uuid, characters, always);
                }
            }
            Some(Role::Requests | Role::Request) if always || !text::is_blank(characters) => {
                let lead = if always {
                    0
                } else {
                    characters.bytes().position(|b| !text::is_space(b)).unwrap_or(0)
                };
                return Err(self.bad(at + lead, "text inside the requests; they are written in attributes"));
            }
            _ => {}
        }
        Ok(())
    }

    /// An element is complete: remember it where it is wanted, and tell its parent.
    fn closed(&mut self, frame: Frame<'a>) -> Result<(), XmlError> {
        let Frame { role, element } = frame;
        let span = element.span.clone();
        if let Some(parent) = self.frames.last_mut() {
            parent.element.first_child.get_or_insert_with(|| span.clone());
            match parent.role {
                Role::Domain => {
                    self.map.for_metadata.child(order_before_metadata(element.name), &span);
                    self.map.for_devices.child(order_before_devices(element.name), &span);
                }
                Role::Metadata => self.map.in_metadata.child(Order::Left, &span),
                Role::Devices { first: true } => self.map.in_devices.child(order_among_devices(element.name), &span),
                _ => {}
            }
        }
        match role {
            Role::Domain => self.map.root = element,
            Role::Metadata => self.map.metadata = Some(element),
            Role::Devices { first: true } => self.map.devices = Some(element),
            Role::Hostdev => self.hostdev_closed(element)?,
            Role::Request => {
                if let Some(request) = self.map.set.as_mut().and_then(|set| set.requests.last_mut()) {
                    request.element = element;
                }
            }
            Role::Requests => {
                if span.len() > self.limits.metadata {
                    let kind = Kind::MetadataTooBig {
                        size: span.len(),
                        limit: self.limits.metadata,
                    };
                    return Err(XmlError::at(self.map.text, span.start, kind));
                }
                if let Some(set) = &mut self.map.set {
                    set.element = element;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn hostdev_closed(&mut self, element: Element<'a>) -> Result<(), XmlError> {
        let text = self.map.text;
        let start = element.span.start;
        let mut hostdev = std::mem::take(&mut self.hostdev);
        hostdev.element = element;
        hostdev.slot = hostdev
            .alias
            .as_deref()
            .and_then(|alias| alias.parse().ok())
            .map(|Alias(slot)| slot);
        if hostdev.mdev {
            let ours = hostdev.slot.is_some();
            if let Some((model, at)) = hostdev.model_raw.take() {
                match model.parse() {
                    Ok(model) => hostdev.model = Some(model),
                    Err(source) if ours => {
                        return Err(XmlError::at(
                            text,
                            at,
                            Kind::Value {
                                attribute: "model",
                                source,
                            },
                        ));
                    }
                    // libvirt refuses it in its own words.
                    Err(_) => {}
                }
            }
            match hostdev.address.take() {
                Some((value, place)) => match uuid::parse(&value) {
                    Some(uuid) => hostdev.device = Some((uuid, place)),
                    None if ours => return Err(XmlError::at(text, place.start, bad_uuid("uuid", &value))),
                    None => {}
                },
                None if ours => {
                    return Err(self.bad(start, "a hostdev of ours has no <source><address uuid='...'/></source>"));
                }
                None => {}
            }
        }
        self.map.hostdevs.push(hostdev);
        Ok(())
    }

    /// What can be said only when all was seen.
    fn finish(mut self) -> Result<Map<'a>, XmlError> {
        let text = self.map.text;
        if let Some((uuid, at)) = self.uuid_text.take()
            // libvirt takes an empty one for none.
            && !uuid.is_empty()
        {
            let uuid = uuid::parse(&uuid).ok_or_else(|| XmlError::at(text, at, Kind::DomainUuid))?;
            self.map.uuid = Some(uuid);
        }
        for (index, hostdev) in self.map.hostdevs.iter().enumerate() {
            let Some(slot) = hostdev.slot else { continue };
            let at = hostdev.element.span.start;
            if self
                .map
                .hostdevs
                .iter()
                .take(index)
                .any(|other| other.slot == Some(slot))
            {
                return Err(XmlError::at(text, at, Kind::DuplicateSlot { slot }));
            }
            let Some(uuid) = hostdev.uuid() else { continue };
            let twice = self
                .map
                .hostdevs
                .iter()
                .enumerate()
                .any(|(other, it)| other != index && it.uuid() == Some(uuid));
            if twice {
                return Err(XmlError::at(text, at, Kind::DuplicateUuid { uuid }));
            }
        }
        Ok(self.map)
    }

    fn bad(&self, at: usize, message: impl Into<Cow<'static, str>>) -> XmlError {
        XmlError::at(self.map.text, at, Kind::Request(message.into()))
    }
}

impl HostdevAt<'_> {
    /// The mediated device.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.device.as_ref().map(|(uuid, _)| *uuid)
    }
}

fn is_declaration(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
}

/// Adds characters as XML reports them: a line end is `\n`, unless a reference or CDATA gave it.
fn push(to: &mut String, characters: &str, literal: bool) {
    if literal || !characters.contains('\r') {
        to.push_str(characters);
    } else {
        to.push_str(&characters.replace("\r\n", "\n").replace('\r', "\n"));
    }
}

fn parsed<T>(text: &str, attr: &Attr<'_>, attribute: &'static str, value: &str) -> Result<T, XmlError>
where
    T: FromStr<Err = ValueError>,
{
    value
        .parse()
        .map_err(|source| XmlError::at(text, attr.value.start, Kind::Value { attribute, source }))
}

fn uuid_of(text: &str, attr: &Attr<'_>, attribute: &'static str, value: &str) -> Result<Uuid, XmlError> {
    uuid::parse(value).ok_or_else(|| XmlError::at(text, attr.value.start, bad_uuid(attribute, value)))
}

fn bad_uuid(attribute: &'static str, value: &str) -> Kind {
    Kind::Value {
        attribute,
        source: ValueError::new("uuid", value, "it has 32 hexadecimal digits"),
    }
}

/// libvirt's `virDomainDefFormatInternalSetRootName()` writes metadata behind these.
fn order_before_metadata(name: &str) -> Order {
    match name {
        "name" | "uuid" | "hwuuid" | "genid" | "title" | "description" => Order::Left,
        _ => Order::Right,
    }
}

/// The same function writes these, and elements of other namespaces, behind devices.
fn order_before_devices(name: &str) -> Order {
    match name {
        "seclabel" | "keywrap" | "launchSecurity" => Order::Right,
        _ if name.contains(':') => Order::Right,
        _ => Order::Left,
    }
}

/// The order in which the same function writes devices.
fn order_among_devices(name: &str) -> Order {
    match name {
        "hostdev" => Order::Same,
        "emulator" | "disk" | "controller" | "lease" | "filesystem" | "interface" | "smartcard" | "serial"
        | "parallel" | "console" | "channel" | "input" | "tpm" | "graphics" | "sound" | "audio" | "video" => {
            Order::Left
        }
        "redirdev" | "redirfilter" | "hub" | "watchdog" | "memballoon" | "rng" | "nvram" | "panic" | "shmem"
        | "memory" | "crypto" | "iommu" | "vsock" | "pstore" => Order::Right,
        _ => Order::Unknown,
    }
}
