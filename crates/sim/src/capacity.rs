//! How many more: the drivers' own algorithms, as pure functions over what lives on a parent.
//!
//! No state is kept: what a driver counts follows from the types of the devices it holds, in the order of creation.

use nix::errno::Errno;
use serde::Deserialize;

/// How the driver of a parent counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The mdev core's own counter over all types (Linux `mdev_core.c`; mdpy). Full is EUSERS, before the probe.
    Counter { total: u32 },
    /// One pool that each type takes a different share of (mtty's ports, mbochs' memory). Full is ENOSPC, from the probe.
    Pool { total: u32 },
    /// NVIDIA, older drivers: a GPU runs one type at a time. Refusal is EIO, whatever the reason.
    SameType,
    /// NVIDIA, later drivers: one framebuffer size at a time. Refusal is EIO.
    SameFramebuffer,
}

/// What one device of a type takes; which field counts depends on the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    pub(crate) cost: u32,
    pub(crate) framebuffer: u32,
    pub(crate) max: u32,
}

/// A type of the parent and its share; compared by id.
pub(crate) type Live = (usize, Share);

impl Rule {
    /// What `available_instances` of type `of` says while `live` exist on its parent.
    pub(crate) fn available(self, live: &[Live], of: Live) -> u32 {
        let created = u32::try_from(live.len()).unwrap_or(u32::MAX);
        let (id, share) = of;
        match self {
            Rule::Counter { total } => total.saturating_sub(created),
            Rule::Pool { total } => {
                let taken: u32 = live.iter().map(|(_, share)| share.cost).sum();
                total.saturating_sub(taken).checked_div(share.cost).unwrap_or(0)
            }
            Rule::SameType if live.iter().any(|(other, _)| *other != id) => 0,
            Rule::SameFramebuffer if live.iter().any(|(_, other)| other.framebuffer != share.framebuffer) => 0,
            Rule::SameType | Rule::SameFramebuffer => share.max.saturating_sub(created),
        }
    }

    /// The answer to one more device of type `of`.
    pub(crate) fn admit(self, live: &[Live], of: Live) -> Result<(), Errno> {
        if self.available(live, of) > 0 {
            Ok(())
        } else {
            Err(self.full())
        }
    }

    /// Whether the core refuses (before there is a device) rather than the driver's probe.
    pub(crate) fn refuses_before_probe(self) -> bool {
        matches!(self, Rule::Counter { .. })
    }

    fn full(self) -> Errno {
        match self {
            Rule::Counter { .. } => Errno::EUSERS,
            Rule::Pool { .. } => Errno::ENOSPC,
            Rule::SameType | Rule::SameFramebuffer => Errno::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Live = (
        1,
        Share {
            cost: 1,
            framebuffer: 1024,
            max: 32,
        },
    );
    const TWO: Live = (
        2,
        Share {
            cost: 2,
            framebuffer: 2048,
            max: 16,
        },
    );
    const ONE_A: Live = (
        3,
        Share {
            cost: 1,
            framebuffer: 1024,
            max: 32,
        },
    );

    #[test]
    fn every_rule_couples_the_types_of_a_parent_in_its_own_way() {
        for (rule, live, left, full) in [
            (Rule::Counter { total: 4 }, vec![ONE, TWO], [2, 2, 2], Errno::EUSERS),
            (Rule::Pool { total: 24 }, vec![], [24, 12, 24], Errno::ENOSPC),
            (Rule::Pool { total: 24 }, vec![TWO], [22, 11, 22], Errno::ENOSPC),
            (Rule::Pool { total: 24 }, vec![TWO, ONE], [21, 10, 21], Errno::ENOSPC),
            (Rule::SameType, vec![], [32, 16, 32], Errno::EIO),
            (Rule::SameType, vec![ONE], [31, 0, 0], Errno::EIO),
            (Rule::SameFramebuffer, vec![ONE], [31, 0, 31], Errno::EIO),
            (Rule::SameFramebuffer, vec![ONE, ONE_A], [30, 0, 30], Errno::EIO),
            (Rule::SameFramebuffer, vec![TWO], [0, 15, 0], Errno::EIO),
        ] {
            for (of, left) in [ONE, TWO, ONE_A].into_iter().zip(left) {
                assert_eq!(rule.available(&live, of), left, "{rule:?} with {live:?}: type {}", of.0);
                let answer = if left > 0 { Ok(()) } else { Err(full) };
                assert_eq!(rule.admit(&live, of), answer, "{rule:?} with {live:?}: type {}", of.0);
            }
        }
    }
}
