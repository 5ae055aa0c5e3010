//! Which of several parents with room gets a device.
//!
//! Invariant: every policy is a total order over candidates (the last key is the address), so that the same host and
//! the same request always give the same answer.

use crate::value::{ValueError, serde_as_text};
use crate::{Available, ParentName};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// XenServer's two allocation algorithms; `pack` and `spread` are read as synonyms.
///
/// ```
/// use mdevkit_core::Policy;
/// assert_eq!("pack".parse::<Policy>()?, Policy::DepthFirst);
/// assert_eq!("spread".parse::<Policy>()?.to_string(), "breadth-first");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Fill one physical GPU before the next: least room left first, then the lowest address.
    #[default]
    DepthFirst,
    /// Spread over the physical GPUs: most room left first, then the lowest address.
    BreadthFirst,
}

impl Policy {
    /// The policy's word in requests and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DepthFirst => "depth-first",
            Self::BreadthFirst => "breadth-first",
        }
    }

    /// Orders two candidates that both have room; the lesser one is taken.
    pub(crate) fn prefer(self, a: (Available, &ParentName), b: (Available, &ParentName)) -> Ordering {
        let by_room = match self {
            Self::DepthFirst => a.0.cmp(&b.0),
            Self::BreadthFirst => b.0.cmp(&a.0),
        };
        by_room.then_with(|| a.1.cmp(b.1))
    }
}

impl FromStr for Policy {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "depth-first" | "pack" => Ok(Self::DepthFirst),
            "breadth-first" | "spread" => Ok(Self::BreadthFirst),
            _ => Err(ValueError::new(
                "policy",
                text,
                "it is depth-first (pack) or breadth-first (spread)",
            )),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(Policy);
