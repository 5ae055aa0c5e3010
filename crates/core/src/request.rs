//! What a domain asks for: one request a device, and the slot that ties it to its `<hostdev>`.
//!
//! Invariant: a slot is a stored number within the domain, never an index; the alias of a hostdev is made from it and
//! from nothing else.

use crate::value::{ValueError, serde_as_text};
use crate::{Ask, GroupName, Numa, Params, ParentName, Policy, Uuid};
use std::fmt;
use std::str::FromStr;

/// The most devices that one domain may ask for.
pub const DEVICES_PER_DOMAIN: usize = 16;

/// A request's stored number within its domain, 0 to 255; new ones take the lowest that is unused.
///
/// ```
/// use mdevkit_core::Slot;
/// assert_eq!("3".parse::<Slot>()?.to_string(), "3");
/// assert!("03".parse::<Slot>().is_err() && "256".parse::<Slot>().is_err() && "-1".parse::<Slot>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// Fails above 255.
    pub fn new(number: u16) -> Result<Self, ValueError> {
        u8::try_from(number)
            .map(Self)
            .map_err(|_| Self::bad(&number.to_string()))
    }

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The lowest slot that none of `used` has; `None` when all 256 are taken.
    pub fn lowest_unused(used: &[Slot]) -> Option<Slot> {
        (0..=u8::MAX).map(Slot).find(|slot| !used.contains(slot))
    }

    fn bad(text: &str) -> ValueError {
        ValueError::new("slot", text, "it is a number from 0 to 255 without leading zeros")
    }
}

impl FromStr for Slot {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        plain
            .then(|| text.parse().ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| Self::bad(text))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The user alias that joins a `<hostdev>` to its request: `ua-mdevkit-N`. libvirt keeps aliases that start with `ua-`
/// across define, and hands them to the hook at every operation.
///
/// ```
/// use mdevkit_core::{Alias, Slot};
/// let alias = Alias(Slot::new(4)?);
/// assert_eq!(alias.to_string(), "ua-mdevkit-4");
/// assert_eq!("ua-mdevkit-4".parse::<Alias>()?, alias);
/// assert!("hostdev0".parse::<Alias>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(pub Slot);

impl Alias {
    /// What every alias of ours begins with.
    pub const PREFIX: &'static str = "ua-mdevkit-";
}

impl FromStr for Alias {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.strip_prefix(Self::PREFIX)
            .and_then(|slot| slot.parse().ok())
            .map(Self)
            .ok_or_else(|| ValueError::new("alias", text, "ours are written like ua-mdevkit-0"))
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

/// One `<mdevkit:request>`: the want, as the domain's metadata says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The slot that `inject` stored; none in a line that a person wrote.
    pub slot: Option<Slot>,
    /// What is asked for.
    pub ask: Ask,
    /// The identity a person chose, for a hostdev without our alias.
    pub uuid: Option<Uuid>,
    /// The group to take it from.
    pub group: Option<GroupName>,
    /// How to choose among physical GPUs; the group's or the configuration's otherwise.
    pub policy: Option<Policy>,
    /// The one parent, or the one physical GPU, to use.
    pub parent: Option<ParentName>,
    /// How much the domain's NUMA nodes matter; [`Numa::Prefer`] otherwise.
    pub numa: Option<Numa>,
    /// On a physical GPU that no other device of this domain uses.
    pub apart: Option<bool>,
    /// The vGPU's parameters.
    pub params: Option<Params>,
}

impl Request {
    /// A request for a type (or whatever else can be asked for), and no more.
    ///
    /// ```
    /// use mdevkit_core::{Request, TypeSpec};
    /// let request = Request::new("V100DX-4Q".parse::<TypeSpec>()?);
    /// assert!(request.slot.is_none() && request.policy.is_none());
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn new(ask: impl Into<Ask>) -> Self {
        Self {
            slot: None,
            ask: ask.into(),
            uuid: None,
            group: None,
            policy: None,
            parent: None,
            numa: None,
            apart: None,
            params: None,
        }
    }
}

serde_as_text!(Slot);
serde_as_text!(Alias);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_unused_slot_fills_gaps() {
        let slots = |numbers: &[u8]| numbers.iter().map(|n| Slot(*n)).collect::<Vec<_>>();
        assert_eq!(Slot::lowest_unused(&[]), Some(Slot(0)));
        assert_eq!(Slot::lowest_unused(&slots(&[0, 1, 3])), Some(Slot(2)));
        assert_eq!(Slot::lowest_unused(&slots(&(0..=255).collect::<Vec<_>>())), None);
    }

    #[test]
    fn only_the_exact_alias_is_ours() {
        for text in [
            "ua-mdevkit-",
            "ua-mdevkit-01",
            "ua-mdevkit-256",
            "ua-mdevkit--1",
            "UA-mdevkit-1",
            "ua-mdevkit-1 ",
        ] {
            assert!(text.parse::<Alias>().is_err(), "{text:?}");
        }
    }
}
