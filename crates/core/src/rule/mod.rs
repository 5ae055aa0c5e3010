//! Capacity rules as data: how the room of one physical GPU changes when devices come and go.
//!
//! A driver says how much room there is now, for each type by itself. A plan of several devices has to know what
//! the first of them takes from the others; that is what a [`Rule`] says. [`Gpu`] holds what was read, a [`Room`] is
//! one state of it, and three functions go from state to state:
//!
//! ```text
//!   GpuFacts ──► Gpu ──room()──► Room ──take(type)──► Room ──take(type)──► Room ...
//!                                  ▲                    │
//!                                  └────give(type)──────┘        left(room, type): how many more
//! ```
//!
//! Invariants:
//! * the kernel has the last word: what it says now is the most that is ever promised, and what it denies now although
//!   the rule would allow it stays denied;
//! * a rule promises what surely fits and nothing more. Where a rule or what was read cannot tell, it promises what
//!   the kernel's own number proves, and that is one device;
//! * equal rooms of one [`Gpu`] give equal answers.
//!
//! No function here reads anything, and none but those that build a [`Gpu`] or explain one allocates.
//!
//! # Example
//! A V100 32 GB with a driver that runs one framebuffer size at a time:
//! ```
//! use mdevkit_core::TypeName;
//! use mdevkit_core::rule::{Gpu, GpuFacts, Rule, TypeFacts};
//!
//! let read = |id: &str, name: &str, text: &str, available| -> Result<TypeFacts, mdevkit_core::ValueError> {
//!     let name: TypeName = name.parse()?;
//!     Ok(TypeFacts { available, ..TypeFacts::read(id.parse()?, Some(&name), Some(text)) })
//! };
//! let four_q = read("nvidia-196", "GRID V100DX-4Q", "framebuffer=4096M, max_instance=8", 8)?;
//! let eight_q = read("nvidia-197", "GRID V100DX-8Q", "framebuffer=8192M, max_instance=4", 4)?;
//! let gpu = Gpu::new(GpuFacts { types: vec![four_q, eight_q], ..GpuFacts::new(Rule::SameFramebuffer) });
//!
//! let room = gpu.room();
//! assert_eq!((gpu.left(&room, 0), gpu.left(&room, 1)), (8, 4));
//! let room = gpu.take(&room, 0).ok_or("there is room")?;
//! assert_eq!((gpu.left(&room, 0), gpu.left(&room, 1)), (7, 0), "the other size has to wait");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contradiction;
mod detect;
mod facts;
mod gpu;
mod kind;
mod large;
pub mod nvidia;
pub mod placement;
mod reading;
mod room;

#[cfg(test)]
mod gpu_tests;
#[cfg(test)]
mod property_tests;

pub use contradiction::contradiction;
pub use detect::{Detected, detect};
pub use facts::{Cost, GpuFacts, Mig, Placed, PlacementFile, Placements, TypeFacts};
pub use gpu::Gpu;
pub use large::Large;
pub use placement::Architecture;
pub use room::Room;

use crate::value::{ValueError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// What the devices of one physical GPU take from each other.
///
/// ```
/// use mdevkit_core::rule::Rule;
/// assert_eq!("same-framebuffer".parse::<Rule>()?, Rule::SameFramebuffer);
/// assert_eq!(Rule::WholeCard.to_string(), "whole-card");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// One number for all types: each device takes one (the mdev core's own counter: vfio-ap, vfio-ccw, mdpy).
    Counter,
    /// Types take different amounts of what is shared (GVT-g's aperture, hidden memory and fences; mtty's ports;
    /// mbochs' memory).
    SharedPool,
    /// One type at a time (NVIDIA's older drivers).
    SameType,
    /// One framebuffer size at a time, of any series (NVIDIA, `kvgpumgrSetVgpuType()`).
    SameFramebuffer,
    /// Sizes side by side, each at one of its placement ids (NVIDIA since driver 17, where it is switched on).
    MixedSizes,
    /// Inside of GPU instances that an administrator made.
    Mig,
    /// The card as a whole and nothing else, whatever types it offers: a decision, where the other rules describe.
    WholeCard,
}

impl Rule {
    /// Every rule, and its word.
    const WORDS: [(Self, &'static str); 7] = [
        (Self::Counter, "counter"),
        (Self::SharedPool, "shared-pool"),
        (Self::SameType, "same-type"),
        (Self::SameFramebuffer, "same-framebuffer"),
        (Self::MixedSizes, "mixed-sizes"),
        (Self::Mig, "mig"),
        (Self::WholeCard, "whole-card"),
    ];

    /// The rule's word in a configuration and in output.
    pub fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(rule, _)| *rule == self)
            .map_or("", |(_, word)| *word)
    }
}

impl FromStr for Rule {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::WORDS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(rule, _)| *rule)
            .ok_or_else(|| {
                ValueError::new(
                    "rule",
                    text,
                    "it is counter, shared-pool, same-type, same-framebuffer, mixed-sizes, mig or whole-card",
                )
            })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(Rule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_one_word_and_no_other_word_is_a_rule() {
        for (rule, word) in Rule::WORDS {
            assert_eq!(word.parse::<Rule>().unwrap(), rule);
            assert_eq!(rule.to_string(), word);
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<Rule>(&format!("\"{word}\"")).unwrap(), rule);
        }
        for word in ["", "Counter", "same_type", "mixed", "mig ", "whole-card\n"] {
            assert!(word.parse::<Rule>().is_err(), "{word:?}");
        }
    }
}
