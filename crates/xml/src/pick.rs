//! Which of a domain's devices is meant.
//!
//! Invariant: one device of ours, or an error that says what there is; never somebody else's hostdev.

use crate::eject::slot_of;
use crate::error::{XmlError, XmlErrorKind as Kind};
use crate::map::{HostdevAt, Map, RequestAt};
use mdevkit_core::{Slot, Uuid};

/// A device of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// The one in this slot.
    Slot(Slot),
    /// The one with this UUID.
    Uuid(Uuid),
    /// The only one that there is.
    Only,
}

impl Pick {
    /// Its hostdev.
    pub(crate) fn hostdev<'m, 'a>(self, map: &'m Map<'a>) -> Result<&'m HostdevAt<'a>, XmlError> {
        let slot = match self {
            Self::Slot(slot) => slot,
            Self::Uuid(uuid) => slot_of(map, uuid)?,
            Self::Only => only(map.hostdevs.iter().filter(|it| it.slot.is_some()), |it| it.slot)?
                .slot
                .ok_or(Kind::Internal("a device of ours has no slot"))?,
        };
        let mut hostdevs = map.hostdevs.iter();
        hostdevs
            .find(|hostdev| hostdev.slot == Some(slot))
            .ok_or_else(|| Kind::NotOursSlot { slot }.into())
    }

    /// Its request.
    pub(crate) fn request<'m, 'a>(self, map: &'m Map<'a>) -> Result<&'m RequestAt<'a>, XmlError> {
        let mut requests = map.set.iter().flat_map(|set| &set.requests);
        match self {
            Self::Slot(slot) => requests
                .find(|at| at.request.slot == Some(slot))
                .ok_or_else(|| Kind::NotOursSlot { slot }.into()),
            Self::Uuid(uuid) => {
                // A line that a person wrote may have no slot.
                let by_hand = |at: &&RequestAt<'_>| at.request.slot.is_none() && at.request.uuid == Some(uuid);
                let found = requests.clone().find(by_hand);
                let slot = || slot_of(map, uuid);
                match found {
                    Some(at) => Ok(at),
                    None => Self::Slot(slot()?).request(map),
                }
            }
            Self::Only => only(requests, |at| at.request.slot),
        }
    }
}

/// The only one, or what there is instead.
fn only<T>(mut all: impl Iterator<Item = T> + Clone, slot: impl Fn(&T) -> Option<Slot>) -> Result<T, XmlError> {
    let rest = all.clone();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Kind::Request("the domain has no device of mdevkit's".into()).into()),
        (Some(_), Some(_)) => {
            let slots: Vec<String> = rest.filter_map(|it| slot(&it)).map(|slot| slot.to_string()).collect();
            let message = format!(
                "the domain has several devices: say which, by its slot ({}) or its UUID",
                slots.join(", ")
            );
            Err(Kind::Request(message.into()).into())
        }
    }
}
