//! How many more: the drivers' own algorithms, as pure functions over what lives on a card.
//!
//! No state is kept: what a driver counts follows from the devices it holds, in the order of creation.

use nix::errno::Errno;
use serde::Deserialize;

use crate::mig::Instance;
use crate::placement;

/// How the driver of a card counts while nothing else was switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The mdev core's own counter over all types (Linux `mdev_core.c`; mdpy, vfio-ap, vfio-ccw). Full is EUSERS,
    /// before the probe.
    Counter { total: u32 },
    /// One pool that each type takes a different share of (mtty's ports, mbochs' memory). Full is ENOSPC, from the probe.
    Pool { total: u32 },
    /// Three pools at once (GVT-g: what the host keeps is not in them). Full is ENOSPC, from the probe.
    GvtG { low: u32, high: u32, fence: u32 },
    /// NVIDIA, older drivers: a GPU runs one type at a time. Refusal is EIO, whatever the reason.
    SameType,
    /// NVIDIA, later drivers: one framebuffer size at a time. Refusal is EIO.
    #[default]
    SameFramebuffer,
}

/// What one device of a type takes; which field counts depends on the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Share {
    /// Units of a shared pool (ports, MB).
    pub(crate) cost: u32,
    /// Nominal framebuffer, MiB.
    pub(crate) framebuffer: u32,
    /// Devices on an empty card.
    pub(crate) max: u32,
    /// GVT-g: aperture and hidden memory, MB, and fence registers.
    pub(crate) low: u32,
    pub(crate) high: u32,
    pub(crate) fence: u32,
    /// The GPU instance profile that a MIG type lives in.
    #[serde(skip)]
    pub(crate) gi: Option<usize>,
    /// Devices in one such instance.
    #[serde(skip)]
    pub(crate) per_gi: u32,
}

/// A device on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Live {
    /// The place of its type in the board's list.
    pub(crate) type_at: usize,
    pub(crate) assigned: Assigned,
}

/// What the driver gave a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Assigned {
    pub(crate) placement: Option<u32>,
    pub(crate) instance: Option<u32>,
}

/// What the card was switched to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    Equal,
    /// Sizes may be mixed: only placement ids count.
    Mixed,
    /// Only in these instances.
    Mig(Vec<Instance>),
}

/// Everything the answer depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Card<'a> {
    pub(crate) rule: Rule,
    pub(crate) mode: &'a Mode,
    /// By the place of the type.
    pub(crate) shares: &'a [Share],
    pub(crate) places: &'a [Places],
    pub(crate) live: &'a [Live],
}

/// Where in a row of framebuffer slots a type may lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places {
    pub(crate) slots: u32,
    pub(crate) ids: Vec<u32>,
}

impl Rule {
    /// Whether the core refuses (before there is a device) rather than the driver's probe.
    pub(crate) fn refuses_before_probe(self) -> bool {
        matches!(self, Rule::Counter { .. })
    }

    pub(crate) fn full(self) -> Errno {
        match self {
            Rule::Counter { .. } => Errno::EUSERS,
            Rule::Pool { .. } | Rule::GvtG { .. } => Errno::ENOSPC,
            Rule::SameType | Rule::SameFramebuffer => Errno::EIO,
        }
    }
}

impl Card<'_> {
    /// How many more devices of the type the card takes now, if they all are of it.
    pub(crate) fn room(&self, type_at: usize) -> u32 {
        let Some(share) = self.shares.get(type_at).copied() else {
            return 0;
        };
        match self.mode {
            Mode::Mixed => u32::from(self.place(type_at).is_some()),
            Mode::Mig(instances) => instances.iter().map(|instance| self.room_in(*instance, share)).sum(),
            Mode::Equal if share.gi.is_some() => 0,
            Mode::Equal => self.equal_room(type_at, share),
        }
    }

    fn equal_room(&self, type_at: usize, share: Share) -> u32 {
        let created = count(self.live.len());
        let sum = |field: fn(&Share) -> u32| -> u32 { self.taken().map(|share| field(&share)).sum() };
        let left = |total: u32, taken: u32, each: u32| total.saturating_sub(taken).checked_div(each).unwrap_or(0);
        match self.rule {
            Rule::Counter { total } => total.saturating_sub(created),
            Rule::Pool { total } => left(total, sum(|s| s.cost), share.cost),
            Rule::GvtG { low, high, fence } => left(low, sum(|s| s.low), share.low)
                .min(left(high, sum(|s| s.high), share.high))
                .min(left(fence, sum(|s| s.fence), share.fence)),
            Rule::SameType if self.live.iter().any(|other| other.type_at != type_at) => 0,
            Rule::SameFramebuffer if self.taken().any(|other| other.framebuffer != share.framebuffer) => 0,
            Rule::SameType | Rule::SameFramebuffer => share.max.saturating_sub(created),
        }
    }

    /// What the driver gives one more device of the type.
    pub(crate) fn admit(&self, type_at: usize) -> Result<Assigned, Errno> {
        if self.room(type_at) == 0 {
            return Err(self.rule.full());
        }
        Ok(Assigned {
            placement: self.place(type_at).filter(|_| *self.mode == Mode::Mixed),
            instance: self.instance(type_at),
        })
    }

    /// Whether a device of the type, without regard to device `except`, may lie at this placement id.
    pub(crate) fn may_lie(&self, type_at: usize, id: u32, except: Option<u32>) -> bool {
        let Some(places) = self.places.get(type_at) else {
            return false;
        };
        let mut taken = self.ranges();
        taken.retain(|(other, _)| Some(*other) != except);
        places.ids.contains(&id) && placement::fits(id, places.slots, &taken)
    }

    fn place(&self, type_at: usize) -> Option<u32> {
        let places = self.places.get(type_at)?;
        placement::first_free(&places.ids, places.slots, &self.ranges())
    }

    fn ranges(&self) -> Vec<(u32, u32)> {
        let range = |live: &Live| Some((live.assigned.placement?, self.places.get(live.type_at)?.slots));
        self.live.iter().filter_map(range).collect()
    }

    fn instance(&self, type_at: usize) -> Option<u32> {
        let Mode::Mig(instances) = self.mode else { return None };
        let share = *self.shares.get(type_at)?;
        let free = instances.iter().find(|instance| self.room_in(**instance, share) > 0)?;
        Some(free.id)
    }

    /// An instance of the type's profile that holds nothing of another size has room for so many more.
    fn room_in(&self, instance: Instance, share: Share) -> u32 {
        if share.gi != Some(instance.profile) {
            return 0;
        }
        let inside = || {
            self.live
                .iter()
                .filter(|live| live.assigned.instance == Some(instance.id))
        };
        let size = |live: &Live| self.shares.get(live.type_at).map(|share| share.framebuffer);
        if inside().any(|live| size(live) != Some(share.framebuffer)) {
            return 0;
        }
        share.per_gi.saturating_sub(count(inside().count()))
    }

    fn taken(&self) -> impl Iterator<Item = Share> {
        self.live
            .iter()
            .filter_map(|live| self.shares.get(live.type_at).copied())
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Architecture;

    const ONE: Share = share(1, 1024, 32);
    const TWO: Share = share(2, 2048, 16);

    const fn share(cost: u32, framebuffer: u32, max: u32) -> Share {
        Share {
            cost,
            framebuffer,
            max,
            low: 64 * cost,
            high: 384,
            fence: 4,
            gi: None,
            per_gi: 0,
        }
    }

    fn live(types: &[usize]) -> Vec<Live> {
        let one = |type_at: &usize| Live {
            type_at: *type_at,
            assigned: Assigned::default(),
        };
        types.iter().map(one).collect()
    }

    #[test]
    fn every_rule_couples_the_types_of_a_card_in_its_own_way() {
        let shares = [ONE, TWO, ONE];
        let gvt = Rule::GvtG {
            low: 384,
            high: 3200,
            fence: 28,
        };
        for (rule, devices, left, full) in [
            (Rule::Counter { total: 4 }, vec![0, 1], [2, 2, 2], Errno::EUSERS),
            (Rule::Pool { total: 24 }, vec![], [24, 12, 24], Errno::ENOSPC),
            (Rule::Pool { total: 24 }, vec![1], [22, 11, 22], Errno::ENOSPC),
            (Rule::Pool { total: 24 }, vec![1, 0], [21, 10, 21], Errno::ENOSPC),
            (gvt, vec![], [6, 3, 6], Errno::ENOSPC),
            (gvt, vec![1], [4, 2, 4], Errno::ENOSPC),
            (gvt, vec![0, 0, 0, 0, 0], [1, 0, 1], Errno::ENOSPC),
            (Rule::SameType, vec![], [32, 16, 32], Errno::EIO),
            (Rule::SameType, vec![0], [31, 0, 0], Errno::EIO),
            (Rule::SameFramebuffer, vec![0], [31, 0, 31], Errno::EIO),
            (Rule::SameFramebuffer, vec![0, 2], [30, 0, 30], Errno::EIO),
            (Rule::SameFramebuffer, vec![1], [0, 15, 0], Errno::EIO),
        ] {
            let devices = live(&devices);
            let card = Card {
                rule,
                mode: &Mode::Equal,
                shares: &shares,
                places: &[],
                live: &devices,
            };
            for (type_at, left) in left.into_iter().enumerate() {
                assert_eq!(card.room(type_at), left, "{rule:?} with {devices:?}: type {type_at}");
                let answer = if left > 0 { Ok(Assigned::default()) } else { Err(full) };
                assert_eq!(card.admit(type_at), answer, "{rule:?} with {devices:?}: type {type_at}");
            }
        }
    }

    #[test]
    fn mixed_sizes_lie_side_by_side_and_the_first_free_place_is_taken() {
        // L4: 24Q, 12Q, 8Q, 4Q.
        let sizes = [24, 12, 8, 4];
        let shares = sizes.map(|size| share(0, size * 1024, 24 / size));
        let places = sizes.map(|size| Places {
            slots: size,
            ids: placement::ids(Architecture::AdaHopper, 24, size, 24 / size),
        });
        let mut devices: Vec<Live> = Vec::new();
        for (type_at, answer) in [
            (3, Some(0)),
            (2, Some(16)),
            (3, Some(8)),
            (3, Some(12)),
            (3, None),
            (1, None),
        ] {
            let card = Card {
                rule: Rule::SameFramebuffer,
                mode: &Mode::Mixed,
                shares: &shares,
                places: &places,
                live: &devices,
            };
            assert_eq!(card.room(type_at), u32::from(answer.is_some()));
            let given = card.admit(type_at);
            assert_eq!(given.map(|given| given.placement), answer.map(Some).ok_or(Errno::EIO));
            devices.extend(given.map(|assigned| Live { type_at, assigned }));
        }
        let card = Card {
            rule: Rule::SameFramebuffer,
            mode: &Mode::Mixed,
            shares: &shares,
            places: &places,
            live: &devices,
        };
        // The 4Q at 12 may move nowhere, and stay.
        assert!(card.may_lie(3, 12, Some(12)) && !card.may_lie(3, 12, None) && !card.may_lie(3, 20, None));
    }

    #[test]
    fn mig_types_live_in_instances_of_their_profile() {
        let mig = |size, profile, per_gi| Share {
            gi: Some(profile),
            per_gi,
            ..share(0, size, 7)
        };
        // A whole-GPU type, two of profile 0 (several to an instance), one of profile 1.
        let shares = [ONE, mig(5120, 0, 2), mig(10240, 0, 1), mig(20480, 1, 1)];
        let instance = |id, profile| Instance { id, profile };
        let mode = Mode::Mig(vec![instance(1, 0), instance(2, 0), instance(3, 1)]);
        let mut devices: Vec<Live> = Vec::new();
        let rooms = |mode: &Mode, live: &[Live]| {
            let card = Card {
                rule: Rule::SameFramebuffer,
                mode,
                shares: &shares,
                places: &[],
                live,
            };
            [0, 1, 2, 3].map(|type_at| card.room(type_at))
        };
        assert_eq!(rooms(&Mode::Equal, &[]), [32, 0, 0, 0]);
        assert_eq!(rooms(&Mode::Mig(Vec::new()), &[]), [0, 0, 0, 0]);
        assert_eq!(rooms(&mode, &[]), [0, 4, 2, 1]);
        devices.push(Live {
            type_at: 1,
            assigned: Assigned {
                placement: None,
                instance: Some(1),
            },
        });
        assert_eq!(rooms(&mode, &devices), [0, 3, 1, 1]);
    }
}
