//! One `<hostdev>`: whose it is, which device, and what stands where in it.
//!
//! Invariant: the device is the one that libvirt would take from the same element; a hostdev with an alias of ours
//! must name one, those of others are libvirt's to judge.

use super::builder::Builder;
use super::request::bad_uuid;
use super::{AttrSpan, Element};
use crate::edit::Identity;
use crate::error::{XmlError, XmlErrorKind as Kind};
use crate::lexical::{self, Attr};
use crate::scan::Tag;
use crate::uuid;
use mdevkit_core::{Alias, Bdf, DeviceApi, HostdevKind, Slot, Uuid};
use std::borrow::Cow;
use std::ops::Range;

/// One `<hostdev>`.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostdevAt<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) alias: Option<Cow<'a, str>>,
    /// Our alias's slot.
    pub(crate) slot: Option<Slot>,
    passes: Passes,
    pub(crate) model: Option<DeviceApi>,
    /// The device, when it is a mediated one, and where its UUID stands.
    pub(crate) device: Option<(Uuid, Range<usize>)>,
    /// The function, when it is a PCI one.
    pub(crate) function: Option<Bdf>,
    managed: bool,
    pub(crate) display: Option<Switch>,
    pub(crate) ramfb: Option<Switch>,
    /// Where `display` goes: behind `model`, else behind the last attribute.
    pub(crate) display_at: usize,
    /// What counts only if the hostdev is a mediated device's.
    model_raw: Option<(Cow<'a, str>, usize)>,
    address: Option<Address<'a>>,
}

/// What is passed through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Passes {
    Mdev,
    Pci,
    #[default]
    Other,
}

/// An attribute that is on or off, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) on: bool,
    pub(crate) at: AttrSpan,
}

/// The first `<source><address>`, as far as it means something for this kind of hostdev.
#[derive(Clone, Debug)]
enum Address<'a> {
    /// Its `uuid`, if it has one, and where that stands.
    Uuid(Option<(Cow<'a, str>, Range<usize>)>),
    Function(Option<Bdf>),
}

/// The most hostdevs of a domain, anybody's: it bounds the comparing of each with each.
const HOSTDEVS: usize = 4096;

impl HostdevAt<'_> {
    /// The mediated device.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.device.as_ref().map(|(uuid, _)| *uuid)
    }

    /// The device, whatever it is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let mdev = self.uuid().map(Identity::Mdev);
        mdev.or(self.function.map(Identity::Pci))
    }

    /// What it is to core.
    pub(crate) fn kind(&self) -> HostdevKind {
        match (&self.device, self.function) {
            (Some((uuid, _)), _) => HostdevKind::Mdev {
                uuid: *uuid,
                model: self.model,
            },
            (None, Some(address)) => HostdevKind::Pci {
                address,
                managed: self.managed,
            },
            (None, None) => HostdevKind::Other,
        }
    }

    /// Whether libvirt takes `display` and `ramfb` here.
    pub(crate) fn can_show(&self) -> bool {
        self.function.is_some() || self.model == Some(DeviceApi::VfioPci)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn hostdev(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        if self.map.hostdevs.len() == HOSTDEVS {
            let message = "more than 4096 hostdevs";
            return Err(XmlError::malformed(self.map.text, tag.span.start, message));
        }
        let attrs = self.scanner.attrs();
        let mut hostdev = HostdevAt::default();
        let (mut subsystem, mut model_end) = (true, None);
        let mut last = tag.span.start + 1 + tag.name.len();
        let mut seen = 0_u8;
        for attr in attrs {
            last = attr.span.end;
            let (bit, value) = match local(attr) {
                Some("mode") => (1, lexical::value(attr.raw)),
                Some("type") => (2, lexical::value(attr.raw)),
                Some("model") => (4, lexical::value(attr.raw)),
                Some("managed") => (8, lexical::value(attr.raw)),
                Some("display") => (16, lexical::value(attr.raw)),
                Some("ramfb") => (32, lexical::value(attr.raw)),
                _ => continue,
            };
            // The first of a name counts, under whatever prefix (`xmlGetProp()`).
            if seen & bit != 0 {
                continue;
            }
            seen |= bit;
            let switch = || Switch {
                on: value == "on",
                at: AttrSpan::of(attr),
            };
            match bit {
                1 => subsystem = value == "subsystem",
                2 => {
                    hostdev.passes = match value.as_ref() {
                        "mdev" => Passes::Mdev,
                        "pci" => Passes::Pci,
                        _ => Passes::Other,
                    }
                }
                4 => {
                    model_end = Some(attr.span.end);
                    hostdev.model_raw = Some((value, attr.value.start));
                }
                8 => hostdev.managed = value == "yes",
                16 => hostdev.display = Some(switch()),
                _ => hostdev.ramfb = Some(switch()),
            }
        }
        hostdev.display_at = model_end.unwrap_or(last);
        if !subsystem {
            hostdev.passes = Passes::Other;
        }
        self.hostdev = hostdev;
        Ok(())
    }

    /// libvirt reads XPath's `string(./alias/@name)`: the first that has a name, in no namespace.
    pub(super) fn alias(&mut self) {
        let name = self.scanner.attrs().iter().find(|attr| attr.name == "name");
        if let (Some(name), None) = (name, &self.hostdev.alias) {
            self.hostdev.alias = Some(lexical::value(name.raw));
        }
    }

    /// libvirt reads XPath's `./source/address`: the first in any source, whether it has a UUID or not.
    pub(super) fn address(&mut self) {
        let attrs = self.scanner.attrs();
        let found = || match self.hostdev.passes {
            Passes::Pci => Address::Function(function(attrs)),
            Passes::Mdev | Passes::Other => {
                Address::Uuid(property(attrs, "uuid").map(|attr| (lexical::value(attr.raw), attr.value.clone())))
            }
        };
        if self.hostdev.address.is_none() {
            self.hostdev.address = Some(found());
        }
    }

    pub(super) fn hostdev_closed(&mut self, element: Element<'a>) -> Result<(), XmlError> {
        let text = self.map.text;
        let start = element.span.start;
        let mut hostdev = std::mem::take(&mut self.hostdev);
        hostdev.element = element;
        hostdev.slot = hostdev
            .alias
            .as_deref()
            .and_then(|alias| alias.parse().ok())
            .map(|Alias(slot)| slot);
        let ours = hostdev.slot.is_some();
        match hostdev.passes {
            Passes::Mdev => {
                self.model(&mut hostdev, ours)?;
                match hostdev.address.take() {
                    Some(Address::Uuid(Some((value, place)))) => match uuid::parse(&value) {
                        Some(uuid) => hostdev.device = Some((uuid, place)),
                        None if ours => return Err(XmlError::at(text, place.start, bad_uuid("uuid", &value))),
                        None => {}
                    },
                    _ if ours => {
                        return Err(self.bad(start, "a hostdev of ours has no <source><address uuid='...'/></source>"));
                    }
                    _ => {}
                }
            }
            Passes::Pci => match hostdev.address.take() {
                Some(Address::Function(Some(address))) => hostdev.function = Some(address),
                _ if ours => {
                    return Err(self.bad(
                        start,
                        "a hostdev of ours has no <source><address domain='0x....' bus='0x..' slot='0x..' function='0x.'/></source>",
                    ));
                }
                _ => {}
            },
            Passes::Other => {}
        }
        self.map.hostdevs.push(hostdev);
        Ok(())
    }

    fn model(&self, hostdev: &mut HostdevAt<'a>, ours: bool) -> Result<(), XmlError> {
        let Some((model, at)) = hostdev.model_raw.take() else {
            return Ok(());
        };
        match model.parse() {
            Ok(model) => hostdev.model = Some(model),
            Err(source) if ours => {
                let attribute = "model";
                return Err(XmlError::at(self.map.text, at, Kind::Value { attribute, source }));
            }
            // libvirt refuses it in its own words.
            Err(_) => {}
        }
        Ok(())
    }
}

/// The name that libvirt reads an attribute by; none for a declaration.
fn local<'a>(attr: &Attr<'a>) -> Option<&'a str> {
    let (prefix, local) = lexical::split(attr.name);
    (prefix != "xmlns").then_some(local)
}

/// The attribute that libvirt reads by this name: `virXMLPropString()` is libxml2's `xmlGetProp()`, which takes the first
/// of the name under whatever prefix.
pub(super) fn property<'s, 'a>(attrs: &'s [Attr<'a>], name: &str) -> Option<&'s Attr<'a>> {
    attrs.iter().find(|attr| local(attr) == Some(name))
}

/// A PCI address as `virPCIDeviceAddressParseXML()` reads it: numbers in C's notations, what is absent is 0.
fn function(attrs: &[Attr<'_>]) -> Option<Bdf> {
    let part = |name| match property(attrs, name) {
        Some(attr) => number(&lexical::value(attr.raw)),
        None => Some(0),
    };
    let (domain, bus, slot, function) = (part("domain")?, part("bus")?, part("slot")?, part("function")?);
    format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}").parse().ok()
}

/// A number as C's `strtoul()` with base 0 reads it, but for signs and white space.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (text.trim_start_matches('0'), 8),
        None => (text, 10),
    };
    match digits {
        "" => (radix == 8).then_some(0),
        _ if digits.starts_with('+') => None,
        _ => u32::from_str_radix(digits, radix).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cs() {
        for (text, value) in [
            ("0", Some(0)),
            ("0x3d", Some(0x3d)),
            ("0X1F", Some(31)),
            ("017", Some(15)),
            ("00", Some(0)),
            ("31", Some(31)),
            ("", None),
            ("0x", None),
            ("+1", None),
            ("0x+1", None),
            ("-1", None),
            ("08", None),
            ("3d", None),
            ("0x100000000", None),
        ] {
            assert_eq!(number(text), value, "{text:?}");
        }
    }
}
