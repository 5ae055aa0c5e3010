//! The scan that makes a map: a role for each element by its parent's role and its name.
//!
//! ```text
//!   start tag ─► role (reads attributes) ─► frame pushed     characters ─► into the role that wants them
//!   end tag ───► frame popped ─► closed: where it stands is remembered, the parent is told
//! ```
//! Invariant: as many frames as open elements; an element whose role is [`Role::Skip`] gives no role to what is in it.

use super::order::{Order, among_devices, before_devices, before_metadata};
use super::{Element, HostdevAt, Map};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical;
use crate::namespace::Space;
use crate::scan::{Scanner, Tag, Token};
use crate::{text, uuid};
use std::borrow::Cow;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Domain,
    Name,
    Uuid,
    Metadata,
    Devices { first: bool },
    Requests,
    Request,
    Libosinfo,
    Numatune,
    Cputune,
    Hostdev,
    Source,
    Graphics,
    Video,
    Vcpu,
    Skip,
}

impl Role {
    /// Whether an edit does not look at what is inside.
    fn is_settled(self) -> bool {
        use Role::{Cputune, Graphics, Libosinfo, Numatune, Skip, Vcpu, Video};
        matches!(self, Skip | Libosinfo | Numatune | Cputune | Graphics | Video | Vcpu)
    }
}

/// How characters are written: XML takes line ends in all but references, and white space in none but plain text is
/// mere layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Plain,
    Cdata,
    Reference(char),
}

struct Frame<'a> {
    role: Role,
    element: Element<'a>,
}

/// A smaller element is read again in less time than it is remembered in, and many of them take more memory than the
/// document. In bytes.
const WORTHWHILE: usize = 64;

/// Scans the document.
pub(crate) fn map<'a>(text: &'a str, limits: &Limits) -> Result<Map<'a>, XmlError> {
    let mut builder = Builder {
        scanner: Scanner::new(text, limits),
        map: Map {
            text,
            settled: Vec::with_capacity(64),
            ..Map::default()
        },
        frames: Vec::with_capacity(16),
        hostdev: HostdevAt::default(),
        had_name: false,
        uuid_text: None,
        limits: *limits,
    };
    builder.run()?;
    builder.finish()
}

/// The scan's state.
pub(super) struct Builder<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) map: Map<'a>,
    frames: Vec<Frame<'a>>,
    pub(super) hostdev: HostdevAt<'a>,
    had_name: bool,
    /// The domain's `<uuid>`, and where it begins.
    uuid_text: Option<(Cow<'a, str>, usize)>,
    pub(super) limits: Limits,
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
                Token::Text(span) => self.characters(span, Written::Plain)?,
                Token::Cdata(span) => self.characters(span, Written::Cdata)?,
                Token::Ref(c, at) => self.characters(at..at, Written::Reference(c))?,
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
            (None, "domain") => {
                self.domain();
                Role::Domain
            }
            (None, _) => return Err(self.not_a_domain(tag)),
            (Some(Role::Domain), "name") if !self.had_name => {
                self.had_name = true;
                Role::Name
            }
            (Some(Role::Domain), "uuid") if self.uuid_text.is_none() => {
                self.uuid_text = Some((Cow::Borrowed(""), tag.span.end));
                Role::Uuid
            }
            (Some(Role::Domain), "metadata") if self.map.metadata.is_none() => {
                self.map.metadata = Some(Element::default());
                Role::Metadata
            }
            // libvirt reads XPath's string(./name[1]): the text of elements inside counts.
            (Some(role @ (Role::Name | Role::Uuid)), _) => role,
            (Some(Role::Domain), "devices") => {
                let first = self.map.devices.is_none();
                self.map.devices.get_or_insert_default();
                Role::Devices { first }
            }
            (Some(Role::Domain), "numatune") => Role::Numatune,
            (Some(Role::Domain), "cputune") => Role::Cputune,
            (Some(Role::Domain), "vcpu") => {
                if self.vcpu() {
                    Role::Vcpu
                } else {
                    Role::Skip
                }
            }
            (Some(Role::Numatune), "memory") => {
                self.numatune_memory();
                Role::Skip
            }
            (Some(Role::Numatune), "memnode") => {
                self.numatune_memnode();
                Role::Skip
            }
            (Some(Role::Cputune), "vcpupin") => {
                self.vcpupin();
                Role::Skip
            }
            (Some(Role::Metadata), _) if ours => self.requests(tag)?,
            (Some(Role::Metadata), _) if self.is_osinfo(tag, "libosinfo") => Role::Libosinfo,
            (Some(Role::Libosinfo), _) if self.is_osinfo(tag, "os") => {
                self.os();
                Role::Skip
            }
            (Some(Role::Requests), _) if ours && lexical::split(tag.name).1 == "request" => self.request(tag)?,
            (Some(Role::Requests), _) => {
                let message = format!(
                    "<{}> is not known here; known is <request> in our namespace",
                    excerpt(tag.name)
                );
                return Err(self
                    .bad(tag.span.start, message)
                    .expecting("<...:request .../> in our namespace"));
            }
            (Some(Role::Request), _) => {
                return Err(self.bad(tag.span.start, "a request has no elements inside, only attributes"));
            }
            (Some(Role::Devices { .. }), "hostdev") => {
                self.hostdev(tag)?;
                Role::Hostdev
            }
            (Some(Role::Devices { .. }), "graphics") => {
                self.graphics(tag)?;
                Role::Graphics
            }
            (Some(Role::Devices { .. }), "video") => {
                self.video(tag)?;
                Role::Video
            }
            (Some(Role::Video), "model") => {
                self.video_model();
                Role::Skip
            }
            (Some(Role::Hostdev), "source") => Role::Source,
            (Some(Role::Hostdev), "alias") => {
                self.alias();
                Role::Skip
            }
            (Some(Role::Source), "address") => {
                self.address();
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

    fn characters(&mut self, span: Range<usize>, written: Written) -> Result<(), XmlError> {
        let Some(role) = self.frames.last().map(|frame| frame.role) else {
            return Ok(());
        };
        let at = span.start;
        let characters = self.map.text.get(span).unwrap_or_default();
        match role {
            Role::Name => push(&mut self.map.name, characters, written),
            Role::Vcpu => push(&mut self.map.vcpus, characters, written),
            Role::Uuid => {
                if let Some((uuid, _)) = &mut self.uuid_text {
                    push(uuid, characters, written);
                }
            }
            Role::Requests | Role::Request if written != Written::Plain || !text::is_blank(characters) => {
                let lead = match written {
                    Written::Plain => characters.bytes().position(|b| !text::is_space(b)).unwrap_or(0),
                    Written::Cdata | Written::Reference(_) => 0,
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
            let inside = matches!(
                parent.role,
                Role::Domain | Role::Metadata | Role::Devices { first: true }
            );
            if inside && role.is_settled() && span.len() >= WORTHWHILE {
                self.map.settled.push(span.clone());
            }
            match parent.role {
                Role::Domain => {
                    self.map.for_metadata.child(before_metadata(element.name), &span);
                    self.map.for_devices.child(before_devices(element.name), &span);
                }
                Role::Metadata => self.map.in_metadata.child(Order::Left, &span),
                Role::Devices { first: true } => {
                    let (to_video, to_hostdev) = among_devices(element.name);
                    self.map.for_video.child(to_video, &span);
                    self.map.in_devices.child(to_hostdev, &span);
                }
                _ => {}
            }
        }
        match role {
            Role::Domain => self.map.root = element,
            Role::Metadata => self.map.metadata = Some(element),
            Role::Devices { first: true } => self.map.devices = Some(element),
            Role::Hostdev => self.hostdev_closed(element)?,
            Role::Graphics => {
                if let Some(graphics) = self.map.graphics.last_mut() {
                    graphics.element = element;
                }
            }
            Role::Video => {
                if let Some(video) = self.map.videos.last_mut() {
                    video.element = element;
                }
            }
            Role::Request => {
                if let Some(request) = self.map.set.as_mut().and_then(|set| set.requests.last_mut()) {
                    request.element = element;
                }
            }
            Role::Requests => {
                self.check_size(&span)?;
                if let Some(set) = &mut self.map.set {
                    set.element = element;
                }
            }
            _ => {}
        }
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
        self.check_twins()?;
        Ok(self.map)
    }

    /// Each device of ours has a slot and a UUID that no other hostdev has.
    fn check_twins(&self) -> Result<(), XmlError> {
        let hostdevs = &self.map.hostdevs;
        let requests = || self.map.set.iter().flat_map(|set| &set.requests).map(|at| &at.request);
        for (index, hostdev) in hostdevs.iter().enumerate() {
            let at = hostdev.element.span.start;
            if let Some(slot) = hostdev.slot
                && hostdevs.iter().take(index).any(|other| other.slot == Some(slot))
            {
                return Err(XmlError::at(self.map.text, at, Kind::DuplicateSlot { slot }));
            }
            if let (Some(_), Some(address)) = (hostdev.slot, hostdev.function) {
                let mut others = hostdevs.iter().enumerate().filter(|(other, _)| *other != index);
                if others.any(|(_, other)| other.function == Some(address)) {
                    return Err(XmlError::at(self.map.text, at, Kind::DuplicateAddress { address }));
                }
            }
            let Some(uuid) = hostdev.uuid() else { continue };
            let ours = hostdev.slot.is_some() || requests().any(|it| it.slot.is_none() && it.uuid == Some(uuid));
            let mut others = hostdevs.iter().enumerate().filter(|(other, _)| *other != index);
            if ours && others.any(|(_, other)| other.uuid() == Some(uuid)) {
                return Err(XmlError::at(self.map.text, at, Kind::DuplicateUuid { uuid }));
            }
        }
        Ok(())
    }

    pub(super) fn bad(&self, at: usize, message: impl Into<Cow<'static, str>>) -> XmlError {
        XmlError::at(self.map.text, at, Kind::Request(message.into()))
    }
}

/// Adds characters as XML reports them: a line end is `\n`, unless a reference gave it.
fn push<'a>(to: &mut Cow<'a, str>, characters: &'a str, written: Written) {
    match written {
        Written::Reference(c) => to.to_mut().push(c),
        Written::Plain | Written::Cdata if characters.contains('\r') => {
            to.to_mut()
                .push_str(&characters.replace("\r\n", "\n").replace('\r', "\n"));
        }
        Written::Plain | Written::Cdata if to.is_empty() => *to = Cow::Borrowed(characters),
        Written::Plain | Written::Cdata => to.to_mut().push_str(characters),
    }
}
