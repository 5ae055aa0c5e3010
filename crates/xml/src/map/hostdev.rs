//! One `<hostdev>`: whose it is, and which device.
//!
//! Invariant: the device is the one that libvirt would take from the same element; a hostdev with an alias of ours
//! must name one, those of others are libvirt's to judge.

use super::Element;
use super::builder::Builder;
use super::requests::bad_uuid;
use crate::error::{XmlError, XmlErrorKind as Kind};
use crate::{lexical, uuid};
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
    /// What of a hostdev counts only if it is ours, or is seen once.
    model_raw: Option<(Cow<'a, str>, usize)>,
    pub(super) address: Option<(Cow<'a, str>, Range<usize>)>,
    pub(super) had_source: bool,
    pub(super) had_alias: bool,
}

impl HostdevAt<'_> {
    /// The mediated device.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.device.as_ref().map(|(uuid, _)| *uuid)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn hostdev(&mut self) {
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
}
