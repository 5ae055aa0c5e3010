//! One `<hostdev>`: whose it is, and which device.
//!
//! Invariant: the device is the one that libvirt would take from the same element; a hostdev with an alias of ours
//! must name one, those of others are libvirt's to judge.

use super::Element;
use super::builder::Builder;
use super::request::bad_uuid;
use crate::error::{XmlError, XmlErrorKind as Kind};
use crate::lexical::{self, Attr};
use crate::scan::Tag;
use crate::uuid;
use mdevkit_core::{Alias, DeviceApi, Slot, Uuid};
use std::borrow::Cow;
use std::ops::Range;

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
    /// What counts only if the hostdev is a mediated device's.
    model_raw: Option<(Cow<'a, str>, usize)>,
    address: Option<Address<'a>>,
}

/// The first `<source><address>`: its `uuid`, if it has one, and where that stands.
type Address<'a> = Option<(Cow<'a, str>, Range<usize>)>;

/// The most hostdevs of a domain, anybody's: it bounds the comparing of each with each.
const HOSTDEVS: usize = 4096;

impl HostdevAt<'_> {
    /// The mediated device.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.device.as_ref().map(|(uuid, _)| *uuid)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn hostdev(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        if self.map.hostdevs.len() == HOSTDEVS {
            let message = "more than 4096 hostdevs";
            return Err(XmlError::malformed(self.map.text, tag.span.start, message));
        }
        let value = |name| property(self.scanner.attrs(), name).map(|it| (lexical::value(it.raw), it.value.start));
        let is = |name, wanted, default| value(name).map_or(default, |(value, _)| value == wanted);
        self.hostdev = HostdevAt {
            mdev: is("type", "mdev", false) && is("mode", "subsystem", true),
            model_raw: value("model"),
            ..HostdevAt::default()
        };
        Ok(())
    }

    /// libvirt reads XPath's `string(./alias/@name)`: the first that has a name, in no namespace.
    pub(super) fn alias(&mut self) {
        let name = self.scanner.attrs().iter().find(|attr| attr.name == "name");
        if let (Some(name), None) = (name, &self.hostdev.alias) {
            self.hostdev.alias = Some(lexical::value(name.raw).into_owned());
        }
    }

    /// libvirt reads XPath's `./source/address`: the first in any source, whether it has a UUID or not.
    pub(super) fn address(&mut self) {
        let uuid = property(self.scanner.attrs(), "uuid");
        let found = || uuid.map(|attr| (lexical::value(attr.raw), attr.value.clone()));
        self.hostdev.address.get_or_insert_with(found);
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
            match hostdev.address.take().flatten() {
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
}

/// The attribute that libvirt reads by this name: `virXMLPropString()` is libxml2's `xmlGetProp()`, which takes the first
/// of the name under whatever prefix.
pub(super) fn property<'s, 'a>(attrs: &'s [Attr<'a>], name: &str) -> Option<&'s Attr<'a>> {
    attrs
        .iter()
        .find(|attr| matches!(lexical::split(attr.name), (prefix, local) if local == name && prefix != "xmlns"))
}
