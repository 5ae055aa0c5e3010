//! Our element in `<metadata>` and the requests in it.
//!
//! Invariant: a request that passed is complete and typed. What is not known is refused, not skipped: a word that a
//! later version understands must not be half obeyed.

use super::builder::{Builder, Role};
use super::{AttrSpan, Element};
use crate::error::{XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical::{self, Attr};
use crate::notes::Notes;
use crate::scan::Tag;
use crate::uuid;
use mdevkit_core::{Request, Uuid, ValueError};
use std::ops::Range;
use std::str::FromStr;

/// What the attributes of `<mdevkit:request>` are, for the message that a newcomer reads.
const KNOWN: &str = "slot, type, policy, parent, params, uuid";

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

impl<'a> Builder<'a> {
    /// Our element, or another of our namespace that should not be there.
    pub(super) fn requests(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
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
        // Before its attributes are taken apart; the whole element is measured when it is closed.
        self.check_size(&tag.span)?;
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

    /// Fails when so much of our element is more than is read.
    pub(super) fn check_size(&self, span: &Range<usize>) -> Result<(), XmlError> {
        let (size, limit) = (span.len(), self.limits.metadata);
        if size > limit {
            return Err(XmlError::at(
                self.map.text,
                span.start,
                Kind::MetadataTooBig { size, limit },
            ));
        }
        Ok(())
    }

    pub(super) fn request(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
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
}

fn is_declaration(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
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

pub(super) fn bad_uuid(attribute: &'static str, value: &str) -> Kind {
    Kind::Value {
        attribute,
        source: ValueError::new("uuid", value, "it has 32 hexadecimal digits"),
    }
}
