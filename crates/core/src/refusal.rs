//! Why there is no place for a device: a reason for every parent, and one line that sums them up.
//!
//! Invariant: the line ([`Display`](std::fmt::Display)) is one line of at most [`Refusal::HEADLINE`] bytes; the
//! reasons have it all.

use crate::value::one_line;
use crate::{Code, DeviceApi, ParentName, Slot, TypeId, What};
use std::collections::BTreeMap;
use std::fmt;

/// A want without a place.
///
/// ```
/// use mdevkit_core::{Code, Reason, Refusal, Slot, TypeSpec};
/// let full = |address: &str| Reason::Full(address.parse().unwrap());
/// let refusal = Refusal {
///     code: Code::Full,
///     slot: Slot::new(0)?,
///     what: "V100DX-4Q".parse::<TypeSpec>()?.into(),
///     reasons: vec![full("0000:06:00.0"), full("0000:07:00.0")],
/// };
/// assert_eq!(refusal.to_string(), "no V100DX-4Q left: 2 parents are full");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of refusal.
    pub code: Code,
    /// The want's slot.
    pub slot: Slot,
    /// What was asked for.
    pub what: What,
    /// One reason for each parent (or, when a name is ambiguous, for each type that it means).
    pub reasons: Vec<Reason>,
}

/// Why one parent is not the place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It does not offer the type.
    NotSupported(ParentName),
    /// It offers the type, and has no room left.
    Full(ParentName),
    /// It offers the type, and what it runs now, of these types, leaves no room for it.
    OtherTypes(ParentName, Vec<TypeId>),
    /// It said that it had room, and refused to create one; the text is the kernel's answer.
    Refused(ParentName, String),
    /// Its devices of that type have another interface than the hostdev asks for.
    Model {
        /// The parent.
        parent: ParentName,
        /// What it offers.
        offered: DeviceApi,
        /// What the hostdev's `model` says.
        model: DeviceApi,
    },
    /// The request names another parent.
    Excluded(ParentName),
    /// Its files cannot be read; the text says which and why.
    Unreadable(ParentName, String),
    /// The name means this type, and another one, too.
    Means(TypeId),
}

impl Reason {
    /// The parent that the reason is about.
    pub fn parent(&self) -> Option<&ParentName> {
        match self {
            Self::NotSupported(parent)
            | Self::Full(parent)
            | Self::OtherTypes(parent, _)
            | Self::Refused(parent, _)
            | Self::Model { parent, .. }
            | Self::Excluded(parent)
            | Self::Unreadable(parent, _) => Some(parent),
            Self::Means(_) => None,
        }
    }

    /// How reasons are grouped and ranked in the headline: most useful first.
    fn rank(&self) -> u8 {
        match self {
            Self::Means(_) => 0,
            Self::OtherTypes(..) => 1,
            Self::Full(_) => 2,
            Self::Refused(..) => 3,
            Self::Model { .. } => 4,
            Self::Unreadable(..) => 5,
            Self::NotSupported(_) => 6,
            Self::Excluded(_) => 7,
        }
    }

    /// What `count` parents have in common, as the end of a sentence. `differ`: not in every detail.
    fn phrase(&self, count: usize, differ: bool) -> String {
        let more = if differ { ", ..." } else { "" };
        let (s, are, run, offer) = if count == 1 {
            ("", "is", "runs", "offers")
        } else {
            ("s", "are", "run", "offer")
        };
        let parents = format!("{count} parent{s}");
        match self {
            Self::NotSupported(_) => format!("{parents} {} not offer it", if count == 1 { "does" } else { "do" }),
            Self::Full(_) => format!("{parents} {are} full"),
            Self::OtherTypes(_, types) => match types.as_slice() {
                [only] => format!("{parents} {run} other types ({only}{more})"),
                [first, ..] => format!("{parents} {run} other types ({first}, ...)"),
                [] => format!("{parents} {run} other types"),
            },
            Self::Refused(_, why) => format!("{parents} refused ({why}{more})"),
            Self::Model { offered, model, .. } => {
                format!("{parents} {offer} {offered}, the hostdev's model is {model}")
            }
            Self::Excluded(_) => format!("{parents} {are} not the one that the request names"),
            Self::Unreadable(_, why) => format!("{parents} cannot be read ({why}{more})"),
            Self::Means(id) => id.to_string(),
        }
    }

    /// Whether both say the same of their parents.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OtherTypes(_, mine), Self::OtherTypes(_, theirs)) => mine == theirs,
            (Self::Refused(_, mine), Self::Refused(_, theirs))
            | (Self::Unreadable(_, mine), Self::Unreadable(_, theirs)) => mine == theirs,
            _ => true,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported(parent) => write!(f, "{parent}: does not offer it"),
            Self::Full(parent) => write!(f, "{parent}: full"),
            Self::OtherTypes(parent, types) => {
                let types: Vec<&str> = types.iter().map(TypeId::as_str).collect();
                write!(f, "{parent}: runs other types ({})", types.join(", "))
            }
            Self::Refused(parent, why) => write!(f, "{parent}: refused: {}", one_line(why)),
            Self::Model { parent, offered, model } => {
                write!(f, "{parent}: offers {offered}, the hostdev's model is {model}")
            }
            Self::Excluded(parent) => write!(f, "{parent}: the request names another parent"),
            Self::Unreadable(parent, why) => write!(f, "{parent}: cannot be read: {}", one_line(why)),
            Self::Means(id) => write!(f, "it means {id}"),
        }
    }
}

impl Refusal {
    /// The longest headline, in bytes: with its code and prefix it must fit in libvirt's one error line of 300.
    pub const HEADLINE: usize = 270;

    /// The reasons of equal kind together, most useful kind first: a phrase for each kind.
    fn groups(&self) -> Vec<String> {
        let mut groups: BTreeMap<u8, (&Reason, usize, bool)> = BTreeMap::new();
        for reason in &self.reasons {
            let (first, count, differ) = groups.entry(reason.rank()).or_insert((reason, 0, false));
            *count += 1;
            *differ |= !first.agrees(reason);
        }
        groups
            .into_values()
            .map(|(first, count, differ)| first.phrase(count, differ))
            .collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.what;
        let mut line = match (self.code, self.reasons.as_slice()) {
            (Code::Ambiguous, [first, second, ..]) => {
                format!(
                    "{spec} means more than one type: {} and {}; ask by id",
                    first.phrase(1, false),
                    second.phrase(1, false)
                )
            }
            (_, []) => format!("no {spec}: this host has no parents of mediated devices; is the driver loaded?"),
            (code, _) => {
                let pinned = self.reasons.iter().any(|reason| matches!(reason, Reason::Excluded(_)));
                let head = match code {
                    Code::Full => format!("no {spec} left"),
                    Code::Type if !pinned => format!("no type {spec} here (see: mdevkit types)"),
                    _ => format!("no {spec}"),
                };
                format!("{head}: {}", self.groups().join(", "))
            }
        };
        line = one_line(&line);
        if line.len() > Self::HEADLINE {
            let mut end = Self::HEADLINE - 3;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push_str("...");
        }
        f.write_str(&line)
    }
}
