//! One `<mdevkit:request>`: its attributes become values here, or the place of what is wrong with them is told.
//!
//! Invariant: a request that passed says one thing: exactly one of a type, a need and a profile, and no word that this
//! version does not know: what a later version understands must not be half obeyed.

use super::builder::{Builder, Role};
use super::{AttrSpan, Element};
use crate::error::{XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical::{self, Attr};
use crate::scan::Tag;
use crate::uuid;
use mdevkit_core::{Ask, AtLeast, ProfileName, Request, Resolution, TypeSpec, Uuid, ValueError, What};
use std::str::FromStr;

/// The attributes of a request, in the order in which they are written.
pub(crate) const ATTRIBUTES: [&str; 14] = [
    "slot",
    "type",
    "class",
    "framebuffer",
    "heads",
    "resolution",
    "profile",
    "uuid",
    "group",
    "policy",
    "parent",
    "numa",
    "apart",
    "params",
];

/// One request, and where its parts stand.
#[derive(Clone, Debug)]
pub(crate) struct RequestAt<'a> {
    pub(crate) element: Element<'a>,
    /// Where a first attribute goes.
    pub(crate) name_end: usize,
    /// Each attribute that is there.
    pub(crate) attrs: Vec<(&'static str, AttrSpan)>,
    pub(crate) request: Request,
}

impl RequestAt<'_> {
    /// Where an attribute stands, if it does.
    pub(crate) fn attr(&self, name: &str) -> Option<&AttrSpan> {
        self.attrs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, span)| span)
    }
}

/// What the attributes say, before it is known whether they go together.
#[derive(Default)]
struct Words {
    spec: Option<TypeSpec>,
    need: AtLeast,
    profile: Option<ProfileName>,
}

impl Words {
    fn set(&mut self, request: &mut Request, text: &str, name: &'static str, attr: &Attr<'_>) -> Result<(), XmlError> {
        let value = lexical::value(attr.raw);
        let value = value.as_ref();
        match name {
            "slot" => request.slot = Some(parsed(text, attr, name, value)?),
            "type" => self.spec = Some(parsed(text, attr, name, value)?),
            "class" => self.need.series = Some(parsed(text, attr, name, value)?),
            "framebuffer" => {
                let why = "it is a number of MiB, 1 or more, in plain digits";
                self.need.framebuffer_mib = Some(checked(text, attr, name, value, count(value), why)?);
            }
            "heads" => {
                let why = "it is a number of displays, 1 or more, in plain digits";
                self.need.heads = Some(checked(text, attr, name, value, count(value), why)?);
            }
            "resolution" => {
                let why = "it is written like 1920x1080, in pixels";
                self.need.resolution = Some(checked(text, attr, name, value, resolution(value), why)?);
            }
            "profile" => self.profile = Some(parsed(text, attr, name, value)?),
            "uuid" => request.uuid = Some(uuid_of(text, attr, name, value)?),
            "group" => request.group = Some(parsed(text, attr, name, value)?),
            "policy" => request.policy = Some(parsed(text, attr, name, value)?),
            "parent" => request.parent = Some(parsed(text, attr, name, value)?),
            "numa" => request.numa = Some(parsed(text, attr, name, value)?),
            "apart" => {
                request.apart = Some(checked(text, attr, name, value, yes_no(value), "it is yes or no")?);
            }
            "params" => request.params = Some(parsed(text, attr, name, value)?),
            _ => return Err(Kind::Internal("an attribute is known and not read").into()),
        }
        Ok(())
    }

    /// What is asked for; else which attribute (none: the element) is wrong, and why.
    fn ask(self) -> Result<Ask, (Option<&'static str>, &'static str)> {
        let need = !self.need.is_empty();
        match (self.spec, self.profile) {
            (Some(_), _) if need => Err((
                Some("need"),
                "a type says its class, framebuffer, heads and resolution itself: ask for a type or for the least that \
                 is needed, not for both",
            )),
            (Some(_), Some(_)) => Err((
                Some("profile"),
                "a profile says the type itself: ask for a profile or for a type, not for both",
            )),
            (None, Some(_)) if need => Err((
                Some("profile"),
                "a profile says what is needed itself: ask for a profile or for class, framebuffer, heads and \
                 resolution, not for both",
            )),
            (Some(spec), None) => Ok(Ask::For(What::Type(spec))),
            (None, Some(profile)) => Ok(Ask::Profile(profile)),
            (None, None) if need => Ok(Ask::For(What::AtLeast(self.need))),
            (None, None) => Err((
                None,
                "the request does not say what it wants: it needs a type=\"...\", or the least that will do (class, \
                 framebuffer, heads, resolution), or a profile=\"...\"",
            )),
        }
    }
}

impl<'a> Builder<'a> {
    pub(super) fn request(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
        let text = self.map.text;
        let mut words = Words::default();
        // What it asks for is known when all was read.
        let mut request = Request::new(Ask::For(What::AtLeast(AtLeast::default())));
        let mut attrs = Vec::new();
        for attr in self.scanner.attrs() {
            if is_declaration(attr.name) {
                continue;
            }
            let Some(name) = ATTRIBUTES.into_iter().find(|name| *name == attr.name) else {
                let message = format!(
                    "attribute {} is not known in a request; known are: {}",
                    excerpt(attr.name),
                    ATTRIBUTES.join(", ")
                );
                let error = self.bad(attr.span.start, message);
                return Err(match nearest(attr.name) {
                    Some(name) => error.expecting(name),
                    None => error,
                });
            };
            words.set(&mut request, text, name, attr)?;
            attrs.push((name, AttrSpan::of(attr)));
        }
        request.ask = words.ask().map_err(|(which, why)| {
            let is = |name: &str| match which {
                Some("need") => matches!(name, "class" | "framebuffer" | "heads" | "resolution"),
                which => which == Some(name),
            };
            let at = attrs.iter().find(|(name, _)| is(name));
            let error = self.bad(at.map_or(tag.span.start, |(_, attr)| attr.span.start), why);
            if at.is_none() {
                error.expecting("type=\"...\", or one of class, framebuffer, heads, resolution, or profile=\"...\"")
            } else {
                error
            }
        })?;
        self.unlike_others(tag, &request)?;
        let name_end = tag.span.start + 1 + tag.name.len();
        if let Some(set) = &mut self.map.set {
            set.requests.push(RequestAt {
                element: Element::default(),
                name_end,
                attrs,
                request,
            });
        }
        Ok(Role::Request)
    }

    /// Fails when there are too many, or an earlier one has its slot or its UUID.
    fn unlike_others(&self, tag: &Tag<'a>, request: &Request) -> Result<(), XmlError> {
        let limit = self.limits.devices;
        let others = || self.map.set.iter().flat_map(|set| &set.requests).map(|at| &at.request);
        let count = others().count() + 1;
        let kind = if count > limit {
            Some(Kind::TooManyDevices { count, limit })
        } else {
            others().find_map(|other| match (request.slot, request.uuid) {
                (Some(slot), _) if other.slot == Some(slot) => Some(Kind::DuplicateSlot { slot }),
                (_, Some(uuid)) if other.uuid == Some(uuid) => Some(Kind::DuplicateUuid { uuid }),
                _ => None,
            })
        };
        kind.map_or(Ok(()), |kind| Err(XmlError::at(self.map.text, tag.span.start, kind)))
    }
}

/// The attribute that a person may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = lexical::split(name).1.to_ascii_lowercase();
    let meant = match plain.as_str() {
        "fb" | "memory" | "framebuffer_mib" | "vram" => "framebuffer",
        "series" => "class",
        "id" | "spec" | "mdev_type" | "mdev-type" => "type",
        "gpu" | "pgpu" | "address" => "parent",
        "anti-affinity" => "apart",
        "param" => "params",
        other => other,
    };
    ATTRIBUTES.into_iter().find(|known| *known == meant)
}

/// Whether an attribute declares a namespace.
pub(super) fn is_declaration(name: &str) -> bool {
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

fn checked<T>(
    text: &str,
    attr: &Attr<'_>,
    attribute: &'static str,
    value: &str,
    read: Option<T>,
    why: &'static str,
) -> Result<T, XmlError> {
    let source = || ValueError::new(attribute, value, why);
    read.ok_or_else(|| {
        let kind = Kind::Value {
            attribute,
            source: source(),
        };
        XmlError::at(text, attr.value.start, kind)
    })
}

/// A number from 1 in plain digits, without leading zeros.
fn count(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

fn resolution(text: &str) -> Option<Resolution> {
    let (width, height) = text.split_once('x')?;
    Some(Resolution {
        width: count(width)?,
        height: count(height)?,
    })
}

fn yes_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

pub(super) fn uuid_of(text: &str, attr: &Attr<'_>, attribute: &'static str, value: &str) -> Result<Uuid, XmlError> {
    uuid::parse(value).ok_or_else(|| XmlError::at(text, attr.value.start, bad_uuid(attribute, value)))
}

pub(super) fn bad_uuid(attribute: &'static str, value: &str) -> Kind {
    Kind::Value {
        attribute,
        source: ValueError::new("uuid", value, "it has 32 hexadecimal digits"),
    }
}
