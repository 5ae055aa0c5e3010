//! Why there is no place for a device: a reason for every physical GPU, and one line that sums them up.
//!
//! Invariant: the line ([`Display`](std::fmt::Display)) is one line of at most [`Refusal::HEADLINE`] bytes; the
//! reasons have it all.

use crate::value::one_line;
use crate::{Code, DeviceApi, PgpuName, Slot, TypeId, What};
use std::collections::BTreeMap;
use std::fmt;

/// A want without a place.
///
/// ```
/// use mdevkit_core::{Code, Reason, Refusal, Slot, TypeSpec, Why};
/// let full = |address: &str| Reason { pgpu: address.parse().unwrap(), why: Why::Full };
/// let what = "V100DX-4Q".parse::<TypeSpec>()?.into();
/// let reasons = vec![full("0000:06:00.0"), full("0000:07:00.0")];
/// let refusal = Refusal::new(Slot::new(0)?, what, reasons);
/// assert_eq!(refusal.code, Code::Full);
/// assert_eq!(refusal.to_string(), "no V100DX-4Q left: 2 GPUs are full");
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
    /// One reason for each physical GPU, by address.
    pub reasons: Vec<Reason>,
    /// When the name is ambiguous: the types that it means.
    pub means: Vec<TypeId>,
    /// Whether the search for another arrangement of the domain's devices was cut short: there may be one.
    pub unproven: bool,
}

/// Why one physical GPU is not the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Which.
    pub pgpu: PgpuName,
    /// Why.
    pub why: Why,
}

/// Why a physical GPU is not the place; in the order in which they are told, the most useful first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It offers the type, and what it runs now, of these types, leaves no room for it.
    OtherSize(Vec<TypeId>),
    /// It offers the type, and has no room left.
    Full,
    /// The room that it has is taken by the other devices that are planned with this one.
    Promised,
    /// It said that it had room, and refused to create one; the text is the kernel's answer.
    Refused(String),
    /// Somebody else is at it just now; the text says who.
    Busy(String),
    /// It is in MIG mode, and no GPU instance has room for the type.
    MigNotSetUp,
    /// Its virtual functions are not enabled.
    VfsOff {
        /// How many it could have (count).
        total: u32,
    },
    /// The card as a whole cannot be had, because its virtual functions are on.
    Split,
    /// It is passed through whole.
    PassedThrough {
        /// The driver that it is bound to.
        driver: String,
    },
    /// The operator cordoned it.
    Cordoned,
    /// The operator did not enable the type on it.
    NotEnabled,
    /// It is on another NUMA node than the domain.
    WrongNode {
        /// Its node, where the kernel knows one.
        node: Option<u32>,
    },
    /// Its devices of that type have another interface than the hostdev asks for.
    Model {
        /// What it offers.
        offered: DeviceApi,
        /// What the hostdev's `model` says.
        model: DeviceApi,
    },
    /// Its files cannot be read; the text says which and why.
    Unreadable(String),
    /// Two configured groups claim it.
    TwoGroups(String),
    /// It does not offer the type.
    NotSupported,
    /// The request names another one, or another group.
    Excluded,
}

impl Why {
    /// The reason as a word for programs: `full`, `other-size`, `cordoned`...
    ///
    /// ```
    /// assert_eq!(mdevkit_core::Why::NotEnabled.kind(), "not-enabled");
    /// ```
    pub fn kind(&self) -> &'static str {
        self.told().1
    }

    /// Its rank in the headline, lowest first, and its word.
    pub(crate) fn told(&self) -> (u8, &'static str) {
        match self {
            Self::OtherSize(_) => (0, "other-size"),
            Self::Full => (1, "full"),
            Self::Promised => (2, "promised"),
            Self::Refused(_) => (3, "refused"),
            Self::Busy(_) => (4, "busy"),
            Self::MigNotSetUp => (5, "mig-not-set-up"),
            Self::VfsOff { .. } => (6, "vfs-off"),
            Self::PassedThrough { .. } => (7, "passed-through"),
            Self::Split => (16, "split"),
            Self::Cordoned => (8, "cordoned"),
            Self::NotEnabled => (9, "not-enabled"),
            Self::WrongNode { .. } => (10, "wrong-node"),
            Self::Model { .. } => (11, "model"),
            Self::Unreadable(_) => (12, "unreadable"),
            Self::TwoGroups(_) => (13, "two-groups"),
            Self::NotSupported => (14, "not-supported"),
            Self::Excluded => (15, "excluded"),
        }
    }

    /// The refusal's code, were it the only reason; and how much that says, the most first.
    fn code(&self) -> (u8, Code) {
        match self {
            Self::OtherSize(_) | Self::Full | Self::Promised | Self::Refused(_) | Self::Busy(_) => (0, Code::Full),
            Self::MigNotSetUp | Self::PassedThrough { .. } | Self::Split | Self::Cordoned | Self::NotEnabled => {
                (1, Code::Blocked)
            }
            Self::WrongNode { .. } => (2, Code::Numa),
            Self::Model { .. } => (3, Code::Model),
            Self::TwoGroups(_) => (4, Code::Config),
            Self::Unreadable(_) => (5, Code::Host),
            // What it would offer with them nobody knows.
            Self::VfsOff { .. } => (6, Code::Blocked),
            Self::NotSupported | Self::Excluded => (7, Code::Type),
        }
    }

    /// What `subject` (`1 GPU`, `3 GPUs`) have in common, as the end of a sentence. `differ`: not in every detail.
    fn phrase(&self, subject: &str, one: bool, differ: bool) -> String {
        let more = if differ { ", ..." } else { "" };
        let verb = |single: &'static str, plural: &'static str| if one { single } else { plural };
        let be = verb("is", "are");
        match self {
            Self::OtherSize(types) => {
                let run = verb("runs another size", "run another size");
                match types.as_slice() {
                    [] => format!("{subject} {run}"),
                    [only] => format!("{subject} {run} ({only}{more})"),
                    [first, ..] => format!("{subject} {run} ({first}, ...)"),
                }
            }
            Self::Full => format!("{subject} {be} full"),
            Self::Promised => format!("{subject} {be} taken by the devices planned with it"),
            Self::Refused(why) => format!("{subject} refused ({why}{more})"),
            Self::Busy(why) => format!("{subject} {be} busy ({why}{more})"),
            Self::MigNotSetUp => format!("{subject} {} no MIG instance for it", verb("has", "have")),
            Self::VfsOff { .. } => format!("{subject} {} virtual functions off", verb("has its", "have their")),
            Self::Split => format!("{subject} {be} split into virtual functions"),
            Self::PassedThrough { driver } => format!("{subject} {be} passed through whole ({driver}{more})"),
            Self::Cordoned => format!("{subject} {be} cordoned"),
            Self::NotEnabled => format!("{subject} {} not have it enabled", verb("does", "do")),
            Self::WrongNode { node: Some(node) } => format!("{subject} {be} on another NUMA node ({node}{more})"),
            Self::WrongNode { node: None } => format!("{subject} {be} on no NUMA node"),
            Self::Model { offered, model } => {
                format!(
                    "{subject} {} {offered}, the hostdev's model is {model}",
                    verb("offers", "offer")
                )
            }
            Self::Unreadable(why) => format!("{subject} cannot be read ({why}{more})"),
            Self::TwoGroups(names) => format!("{subject} {be} claimed by two groups ({names}{more})"),
            Self::NotSupported => format!("{subject} {} not offer it", verb("does", "do")),
            Self::Excluded => format!("{subject} {be} excluded by the request"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pgpu, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSize(types) if !types.is_empty() => {
                let types: Vec<&str> = types.iter().map(TypeId::as_str).collect();
                write!(f, "runs another size ({})", types.join(", "))
            }
            Self::OtherSize(_) => f.write_str("runs another size"),
            Self::Full => f.write_str("full"),
            Self::Promised => f.write_str("its room is taken by the devices planned with it"),
            Self::Refused(why) => write!(f, "refused: {}", one_line(why)),
            Self::Busy(why) => write!(f, "busy: {}", one_line(why)),
            Self::MigNotSetUp => f.write_str("in MIG mode, and no GPU instance has room for it"),
            Self::VfsOff { total } => write!(f, "its virtual functions are off (0 of {total})"),
            Self::Split => f.write_str("split into virtual functions"),
            Self::PassedThrough { driver } => write!(f, "passed through whole, by {}", one_line(driver)),
            Self::Cordoned => f.write_str("cordoned"),
            Self::NotEnabled => f.write_str("the type is not enabled on it"),
            Self::WrongNode { node: Some(node) } => write!(f, "on NUMA node {node}, the domain is not"),
            Self::WrongNode { node: None } => f.write_str("on no NUMA node"),
            Self::Model { offered, model } => write!(f, "offers {offered}, the hostdev's model is {model}"),
            Self::Unreadable(why) => write!(f, "cannot be read: {}", one_line(why)),
            Self::TwoGroups(names) => write!(f, "two groups claim it: {names}"),
            Self::NotSupported => f.write_str("does not offer it"),
            Self::Excluded => f.write_str("excluded by the request"),
        }
    }
}

impl Refusal {
    /// The longest headline, in bytes: with its code and prefix it must fit in libvirt's one error line of 300.
    pub const HEADLINE: usize = 270;

    /// The refusal that these reasons make; they also say its code.
    pub fn new(slot: Slot, what: What, reasons: Vec<Reason>) -> Self {
        let code = reasons
            .iter()
            .map(|reason| reason.why.code())
            .min()
            .map_or(Code::Type, |(_, code)| code);
        Self {
            code,
            slot,
            what,
            reasons,
            means: Vec::new(),
            unproven: false,
        }
    }

    /// The refusal of a name that means several types.
    pub fn ambiguous(slot: Slot, what: What, means: Vec<TypeId>) -> Self {
        Self {
            code: Code::Ambiguous,
            means,
            ..Self::new(slot, what, Vec::new())
        }
    }

    /// The reasons of equal kind together, most useful kind first: a phrase for each kind.
    fn groups(&self) -> Vec<String> {
        let mut groups: BTreeMap<u8, (&Why, usize, bool)> = BTreeMap::new();
        for reason in &self.reasons {
            let (rank, _) = reason.why.told();
            let (first, count, differ) = groups.entry(rank).or_insert((&reason.why, 0, false));
            *count += 1;
            *differ |= *first != &reason.why;
        }
        // Sample drivers, crypto cards and subchannels are no GPUs.
        let gpus = self.reasons.iter().all(|reason| reason.pgpu.bdf().is_some());
        groups
            .into_values()
            .map(|(first, count, differ)| {
                let noun = if gpus { "GPU" } else { "parent" };
                let s = if count == 1 { "" } else { "s" };
                first.phrase(&format!("{count} {noun}{s}"), count == 1, differ)
            })
            .collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        let mut line = match (self.code, self.means.as_slice(), self.reasons.is_empty()) {
            (Code::Ambiguous, [first, second, ..], _) => {
                format!("{what} means more than one type: {first} and {second}; ask by id")
            }
            (_, _, true) => {
                format!("no {what}: this host has no parents of mediated devices; is the driver loaded?")
            }
            (code, ..) => {
                let pinned = self.reasons.iter().any(|reason| reason.why == Why::Excluded);
                let head = match code {
                    Code::Full => format!("no {what} left"),
                    Code::Type if !pinned => format!("no type {what} here (see: mdevkit types)"),
                    _ => format!("no {what}"),
                };
                let unproven = if self.unproven {
                    " (the search was cut short)"
                } else {
                    ""
                };
                format!("{head}{unproven}: {}", self.groups().join(", "))
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

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
