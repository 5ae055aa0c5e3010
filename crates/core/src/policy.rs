//! Which of several physical GPUs with room gets a device.
//!
//! Invariant: every policy is a total order over candidates (the last key is the address), so that the same host and
//! the same request always give the same answer.
//!
//! | policy | takes first |
//! |---|---|
//! | depth-first | a GPU that runs something already; of those the one with the least room left |
//! | breadth-first | the GPU with the most room left |
//! | keep-large | the GPU that loses the least: the fewest places for the largest type, then for the next smaller one... |
//!
//! "Room" is how many more devices of the wanted type fit.

use crate::value::{ValueError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// XenServer's two allocation algorithms (`pack` and `spread` are read as synonyms), and one that keeps large places.
///
/// ```
/// use mdevkit_core::Policy;
/// assert_eq!("pack".parse::<Policy>()?, Policy::DepthFirst);
/// assert_eq!("spread".parse::<Policy>()?.to_string(), "breadth-first");
/// assert_eq!("keep-large".parse::<Policy>()?, Policy::KeepLarge);
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Fill one physical GPU before the next: never open an empty one while one that runs has room.
    #[default]
    DepthFirst,
    /// Spread over the physical GPUs: most room left first.
    BreadthFirst,
    /// Keep places for large devices: never break an empty GPU, or a large place on one that is shared by several
    /// sizes, for a small device while it fits elsewhere.
    KeepLarge,
}

impl Policy {
    /// The policy's word in requests and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DepthFirst => "depth-first",
            Self::BreadthFirst => "breadth-first",
            Self::KeepLarge => "keep-large",
        }
    }
}

impl FromStr for Policy {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "depth-first" | "pack" => Ok(Self::DepthFirst),
            "breadth-first" | "spread" => Ok(Self::BreadthFirst),
            "keep-large" => Ok(Self::KeepLarge),
            _ => Err(ValueError::new(
                "policy",
                text,
                "it is depth-first (pack), breadth-first (spread) or keep-large",
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
