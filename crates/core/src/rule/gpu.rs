//! One physical GPU: what was read, made ready for many questions.
//!
//! What [`Gpu::left`] answers comes from three numbers:
//!
//! ```text
//!   the rule's      what the room's state says, e.g. max_instance - created
//!   the slots'      SR-IOV: a device takes one free virtual function, whatever its type
//!   the kernel's    where it said less than the rule when it was read, the difference stays missing;
//!                   where it said 0, it stays 0;
//!                   where it said more, it is believed for as long as nothing but that type is taken
//! ```
//!
//! With SR-IOV every free virtual function says 0 or 1 for itself, and their sum counts the same room many times. A
//! sum above what the rule says is no contradiction then, and where the rule says nothing it proves one device. So
//! what is left in the state as read is the kernel's number where there are no virtual functions, and at most that
//! where there are.

use super::kind::{Kind, kinds, region, sizes};
use super::large::Large;
use super::room::{Class, Moves, NO_SLOTS, Region, Room, State};
use super::{Cost, GpuFacts, Rule};

/// A physical GPU and its rule; see [the module](super) for how it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpu {
    pub(super) facts: GpuFacts,
    pub(super) kinds: Vec<Kind>,
    /// Mixed sizes: the framebuffer (GiB).
    pub(super) region: Option<u16>,
    /// The sizes that there are, largest first.
    sizes: Vec<u32>,
    /// The state that was read.
    pub(super) base: Room,
    /// Whether the kernel says more of a type than the rule.
    pub(super) doubted: bool,
}

impl Gpu {
    /// Prepares the answers. Positions beyond 65534 types, and types that the facts contradict, have no room.
    pub fn new(facts: GpuFacts) -> Self {
        let region = region(&facts);
        let mut gpu = Self {
            kinds: kinds(&facts, region),
            region,
            sizes: sizes(&facts),
            base: Room {
                devices: facts.devices(),
                slots: match facts.slots {
                    None => NO_SLOTS,
                    Some(all) => facts.free_slots.unwrap_or(all.saturating_sub(facts.devices())).min(all),
                },
                state: State::Card,
            },
            doubted: false,
            facts,
        };
        gpu.base.state = gpu.state_as_read();
        gpu.believe_the_kernel();
        gpu
    }

    /// What it was made of.
    pub fn facts(&self) -> &GpuFacts {
        &self.facts
    }

    /// Its rule.
    pub fn rule(&self) -> Rule {
        self.facts.rule
    }

    /// The state that was read.
    pub fn room(&self) -> Room {
        self.base
    }

    /// The state when all its devices are gone. What the kernel denied for reasons of its own stays denied.
    pub fn empty(&self) -> Room {
        let devices = self.base.devices;
        let state = match self.base.state {
            State::Whole => self.state_of_rule(),
            State::Counter(left) => State::Counter(left.saturating_add(devices)),
            State::Pool(mut left) => {
                for (facts, kind) in self.facts.types.iter().zip(&self.kinds) {
                    let Cost(cost) = kind.cost.unwrap_or_default();
                    for (left, cost) in left.iter_mut().zip(cost) {
                        *left = left.saturating_add(cost.saturating_mul(facts.resident));
                    }
                }
                State::Pool(left)
            }
            State::Runs(_) => State::Runs(Class::Any),
            State::Region(_) => State::Region(Region::default()),
            State::Blind if self.region.is_some() => State::Region(Region::default()),
            State::Moves(moves) => {
                let types = self.facts.types.iter().enumerate();
                let mut gone = types.flat_map(|(ty, facts)| (0..facts.resident).map(move |_| u16::try_from(ty).ok()));
                State::Moves(gone.try_fold(moves, |moves, ty| moves.go(ty?)).unwrap_or(moves))
            }
            state @ (State::Card | State::Blind | State::KernelOnly { .. }) => state,
        };
        Room {
            devices: 0,
            slots: self.slots_after(devices),
            state,
        }
    }

    /// Whether the room has a device.
    pub fn is_open(&self, room: &Room) -> bool {
        room.devices > 0
    }

    /// The devices in the room (count).
    pub fn devices(&self, room: &Room) -> u32 {
        room.devices
    }

    /// How many more devices of this type the room takes, when nothing else is taken (count). A type that is not
    /// there has no room.
    pub fn left(&self, room: &Room, ty: usize) -> u32 {
        let Some(kind) = self.kinds.get(ty) else { return 0 };
        if kind.whole {
            return u32::from(room.devices == 0 && !kind.denied);
        }
        match room.state {
            State::Whole | State::Card => return 0,
            State::KernelOnly { ty: only, taken } => {
                let this = usize::from(only) == ty;
                return if this { kind.proven.saturating_sub(taken) } else { 0 };
            }
            _ => {}
        }
        if kind.denied {
            return 0;
        }
        let left = self
            .by_rule(room, ty, kind)
            .saturating_sub(kind.missing)
            .min(room.slots.saturating_sub(kind.missing_slots));
        if self.doubted && kind.proven > left && *room == self.base {
            kind.proven
        } else {
            left
        }
    }

    /// The room with one device more of this type; none when there is no room for it.
    pub fn take(&self, room: &Room, ty: usize) -> Option<Room> {
        self.place(room, ty).map(|(room, _)| room)
    }

    /// The same, and with mixed sizes the placement id (GiB) that the driver will give to the device: the first that is
    /// free, in its own order.
    pub fn place(&self, room: &Room, ty: usize) -> Option<(Room, Option<u16>)> {
        if self.left(room, ty) == 0 {
            return None;
        }
        let kind = self.kinds.get(ty)?;
        let number = u16::try_from(ty).ok()?;
        let mut at = None;
        let mut next = Room {
            devices: room.devices.checked_add(1)?,
            slots: take_slot(room.slots),
            state: room.state,
        };
        if kind.whole {
            next.state = State::Whole;
            return Some((next, None));
        }
        if let State::KernelOnly { taken, .. } = &mut next.state {
            *taken = taken.checked_add(1)?;
            return Some((next, None));
        }
        let explained = self
            .by_rule(room, ty, kind)
            .saturating_sub(kind.missing)
            .min(room.slots.saturating_sub(kind.missing_slots));
        if explained == 0 {
            next.state = State::KernelOnly { ty: number, taken: 1 };
            return Some((next, None));
        }
        match &mut next.state {
            State::Counter(left) => *left = left.checked_sub(1)?,
            State::Pool(left) => {
                for (left, cost) in left.iter_mut().zip(kind.cost?.0) {
                    *left = left.checked_sub(cost)?;
                }
            }
            State::Runs(class) => *class = Class::Only(kind.class),
            State::Region(region) => {
                at = kind.ids.iter().copied().find(|id| region.is_free(*id, kind.slots));
                region.put(at?, kind.slots).then_some(())?;
            }
            State::Moves(moves) => *moves = moves.come(number)?,
            State::Whole | State::Card | State::Blind | State::KernelOnly { .. } => return None,
        }
        Some((next, at))
    }

    /// The room when one device of this type is gone; none when there surely is no such device, or when the rule
    /// cannot tell what that would free. With mixed sizes it is the last that is found in the driver's order:
    /// [`Gpu::vacate`] names the one. With MIG it is one that was taken, as long as there is one, then a resident.
    pub fn give(&self, room: &Room, ty: usize) -> Option<Room> {
        let kind = self.kinds.get(ty)?;
        if let State::Region(region) = &room.state
            && !kind.whole
        {
            let id = kind.ids.iter().rev().find(|id| region.has(**id, kind.slots))?;
            return self.vacate(room, ty, Some(*id));
        }
        self.vacate(room, ty, None)
    }

    /// The same for the device at that placement id (GiB); rules without placement pass it over.
    pub fn vacate(&self, room: &Room, ty: usize, id: Option<u16>) -> Option<Room> {
        let kind = self.kinds.get(ty)?;
        let number = u16::try_from(ty).ok()?;
        let mut next = Room {
            devices: room.devices.checked_sub(1)?,
            slots: self.give_slot(room.slots),
            state: room.state,
        };
        if kind.whole {
            return (room.state == State::Whole && next.devices == 0).then(|| self.empty());
        }
        match &mut next.state {
            State::KernelOnly { ty: only, taken } => {
                if *only != number {
                    return None;
                }
                *taken = taken.checked_sub(1)?;
                if *taken == 0 {
                    return Some(self.base);
                }
            }
            State::Counter(left) => *left = left.checked_add(1)?,
            State::Pool(left) => {
                for (left, cost) in left.iter_mut().zip(kind.cost?.0) {
                    *left = left.checked_add(cost)?;
                }
            }
            State::Runs(class) => {
                if matches!(*class, Class::Only(runs) if runs != kind.class) {
                    return None;
                }
                if next.devices == 0 {
                    *class = Class::Any;
                }
            }
            State::Region(region) => region.remove(id?, kind.slots).then_some(())?,
            State::Blind if next.devices == 0 => next.state = self.empty().state,
            State::Blind => {}
            State::Moves(moves) => *moves = moves.go(number)?,
            State::Whole | State::Card => return None,
        }
        Some(next)
    }

    /// How many of each size still fit, each alone: greater when more large ones survive.
    pub fn large_left(&self, room: &Room) -> Large {
        Large::from_counts(
            self.sizes
                .iter()
                .enumerate()
                .map(|(position, size)| (*size, self.left_of_size(room, position))),
        )
    }

    /// How many fewer of each size fit in `after` than in `before`: the choice with the smallest key breaks the fewest
    /// large slots.
    pub fn large_lost(&self, before: &Room, after: &Room) -> Large {
        Large::from_counts(self.sizes.iter().enumerate().map(|(position, size)| {
            let left = |room| self.left_of_size(room, position);
            (*size, left(before).saturating_sub(left(after)))
        }))
    }

    fn left_of_size(&self, room: &Room, position: usize) -> u32 {
        let of_size = |(_, kind): &(usize, &Kind)| kind.size == Some(position);
        let kinds = self.kinds.iter().enumerate().filter(of_size);
        kinds.map(|(ty, _)| self.left(room, ty)).max().unwrap_or(0)
    }

    /// What the rule and the free virtual functions say of the state as read, without the kernel's number (count).
    pub(super) fn expected(&self, ty: usize) -> u32 {
        let rule = |kind| self.by_rule(&self.base, ty, kind);
        self.kinds.get(ty).map_or(0, rule).min(self.base.slots)
    }

    /// Whether the rule cannot tell what the state as read is.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self.base.state, State::Blind | State::Runs(Class::Unclear))
    }

    /// What the rule alone says, without the kernel and without slots.
    pub(super) fn by_rule(&self, room: &Room, ty: usize, kind: &Kind) -> u32 {
        match &room.state {
            State::Counter(left) => *left,
            State::Pool(left) => kind.cost.map_or(0, |cost| fits(left, cost)),
            State::Runs(class) => match class {
                Class::Unclear => 0,
                Class::Only(runs) if *runs != kind.class => 0,
                _ if kind.mig.is_some() => 0,
                _ => kind.max.saturating_sub(room.devices),
            },
            State::Region(region) => {
                // The first free id is taken each time, so those behind it that it overlaps are lost.
                let mut end = 0;
                let placed = kind.ids.iter().filter(|id| {
                    let free = **id >= end && region.is_free(**id, kind.slots);
                    if free {
                        end = id.saturating_add(kind.slots);
                    }
                    free
                });
                u32::try_from(placed.count()).unwrap_or(u32::MAX)
            }
            State::Moves(moves) => self.mig_left(moves, ty, kind),
            State::Whole | State::Card | State::Blind | State::KernelOnly { .. } => 0,
        }
    }

    /// MIG. Devices of one type are as good as each other: one that came took a place of its own type, one that went
    /// left one. Each that came of another type with as many slices may have taken a whole instance; those with other
    /// slices live in other instances.
    fn mig_left(&self, moves: &Moves, ty: usize, kind: &Kind) -> u32 {
        let Some(mig) = kind.mig else { return 0 };
        let mut left = i64::from(kind.more);
        for moved in moves.iter() {
            if usize::from(moved.ty) == ty {
                left += i64::from(moved.went) - i64::from(moved.came);
            } else if moved.came > 0 && self.slices(moved.ty) == Some(mig.slices) {
                match mig.per_instance {
                    Some(per_instance) => left -= i64::from(moved.came) * i64::from(per_instance),
                    None => return 0,
                }
            }
        }
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }

    fn slices(&self, ty: u16) -> Option<u32> {
        let kind = self.kinds.get(usize::from(ty))?;
        kind.mig.map(|mig| mig.slices)
    }

    /// Free virtual functions when so many devices are gone from the state as read.
    fn slots_after(&self, gone: u32) -> u32 {
        match self.facts.slots {
            None => NO_SLOTS,
            Some(all) => self.base.slots.saturating_add(gone).min(all),
        }
    }

    fn give_slot(&self, slots: u32) -> u32 {
        match self.facts.slots {
            None => NO_SLOTS,
            Some(all) => slots.saturating_add(1).min(all),
        }
    }
}

fn take_slot(slots: u32) -> u32 {
    if slots == NO_SLOTS {
        NO_SLOTS
    } else {
        slots.saturating_sub(1)
    }
}

/// How often a cost fits into what is left; what costs nothing is not known to fit at all.
fn fits(left: &[u32; 3], Cost(cost): Cost) -> u32 {
    let parts = left.iter().zip(cost).filter_map(|(left, cost)| left.checked_div(cost));
    parts.min().unwrap_or(0)
}
