//! One state of a physical GPU: what of it is taken.
//!
//! Invariant: plain bits without a pointer, so a copy costs nothing that counts. Two rooms of one GPU are equal when
//! nothing that a rule asks tells them apart; which device came first is no part of them.

/// One state of one [`super::Gpu`]; only that one understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Room {
    /// Devices that exist (count).
    pub(super) devices: u32,
    /// Free virtual functions (count); [`NO_SLOTS`] where devices need none.
    pub(super) slots: u32,
    pub(super) state: State,
}

/// Stands for "as many as you like".
pub(super) const NO_SLOTS: u32 = u32::MAX;

/// What a rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum State {
    /// The card as a whole is given away.
    Whole,
    /// The rule explains none of this, the kernel's number for one type does: so many more of it were taken.
    KernelOnly { ty: u16, taken: u32 },
    /// Nothing but the whole card can be had.
    Card,
    /// Counter: what is left.
    Counter(u32),
    /// Shared pool: what is left, surely.
    Pool([u32; 3]),
    /// Same type, same framebuffer: what runs.
    Runs(Class),
    /// Mixed sizes: where the devices are.
    Region(Region),
    /// Mixed sizes, and nobody knows where they are.
    Blind,
    /// MIG: what came and went since the kernel's numbers were read.
    Moves(Moves),
}

/// What the devices of a GPU have to have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// Nothing yet: there is none.
    Any,
    /// This.
    Only(u16),
    /// Something that the rule does not explain.
    Unclear,
}

const WORDS: usize = (super::placement::MAX_REGION as usize) / 64;

/// A set of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bits([u64; WORDS]);

impl Bits {
    /// The words that `first .. first + count` touches, each with its bits of them.
    fn words(&self, first: u32, count: u32) -> impl Iterator<Item = (u64, u64)> {
        let bases = (first / 64 * 64..first.saturating_add(count)).step_by(64);
        self.0
            .iter()
            .skip((first / 64) as usize)
            .zip(bases)
            .map(move |(word, base)| (*word, mask(base, first, count)))
    }

    fn none(&self, first: u32, count: u32) -> bool {
        self.words(first, count).all(|(word, mask)| word & mask == 0)
    }

    fn all(&self, first: u32, count: u32) -> bool {
        self.words(first, count).all(|(word, mask)| word & mask == mask)
    }

    fn set(&mut self, first: u32, count: u32, value: bool) {
        for (word, base) in self.0.iter_mut().zip((0_u32..).step_by(64)) {
            let mask = mask(base, first, count);
            *word = if value { *word | mask } else { *word & !mask };
        }
    }
}

/// The bits of `first .. first + count` in the word that begins at `base`.
fn mask(base: u32, first: u32, count: u32) -> u64 {
    let from = first.max(base);
    let to = first.saturating_add(count).min(base.saturating_add(64));
    match to.checked_sub(from) {
        None | Some(0) => 0,
        Some(bits) => (u64::MAX >> (64 - bits)) << (from - base),
    }
}

/// A framebuffer and the devices in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Region {
    used: Bits,
    /// The first slot of each device: tells two neighbours from one of twice the size.
    starts: Bits,
}

impl Region {
    /// Whether the slots are all free.
    pub(super) fn is_free(&self, id: u16, size: u16) -> bool {
        self.used.none(id.into(), size.into())
    }

    /// Puts a device there; false when it does not fit.
    pub(super) fn put(&mut self, id: u16, size: u16) -> bool {
        let end = u32::from(id) + u32::from(size);
        let fits = size > 0 && end <= u32::from(super::placement::MAX_REGION) && self.is_free(id, size);
        if fits {
            self.used.set(id.into(), size.into(), true);
            self.starts.set(id.into(), 1, true);
        }
        fits
    }

    /// Whether a device of exactly that size begins there.
    pub(super) fn has(&self, id: u16, size: u16) -> bool {
        let (id, size) = (u32::from(id), u32::from(size));
        let end = id + size;
        size > 0
            && self.starts.all(id, 1)
            && self.starts.none(id + 1, size - 1)
            && self.used.all(id, size)
            && (end >= u32::from(super::placement::MAX_REGION) || self.used.none(end, 1) || self.starts.all(end, 1))
    }

    /// Takes the device of that size away from there; false when there is none.
    pub(super) fn remove(&mut self, id: u16, size: u16) -> bool {
        let there = self.has(id, size);
        if there {
            self.used.set(id.into(), size.into(), false);
            self.starts.set(id.into(), 1, false);
        }
        there
    }
}

/// How many types can have moved; more than a GPU has instances, so no plan meets it.
const MOVES: usize = 16;

/// How many devices of a type came, and how many residents went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Move {
    pub(super) ty: u16,
    pub(super) came: u16,
    pub(super) went: u16,
}

/// What moved since the reading, by type; sorted, filled up with [`Moves::NONE`].
///
/// A device that came does not make up for a resident that went before: it may be elsewhere. One that goes after one
/// came is the one that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Moves([Move; MOVES]);

impl Moves {
    const NONE: Move = Move {
        ty: u16::MAX,
        came: 0,
        went: 0,
    };

    pub(super) fn new() -> Self {
        Self([Self::NONE; MOVES])
    }

    /// The types that moved.
    pub(super) fn iter(&self) -> impl Iterator<Item = Move> + '_ {
        self.0.iter().copied().take_while(|moved| *moved != Self::NONE)
    }

    /// The same with one more; none when it cannot be noted.
    pub(super) fn come(self, ty: u16) -> Option<Self> {
        self.change(ty, |moved| {
            moved.came = moved.came.checked_add(1)?;
            Some(())
        })
    }

    /// The same with one less; none when it cannot be noted.
    pub(super) fn go(self, ty: u16) -> Option<Self> {
        self.change(ty, |moved| {
            match moved.came.checked_sub(1) {
                Some(came) => moved.came = came,
                None => moved.went = moved.went.checked_add(1)?,
            }
            Some(())
        })
    }

    fn change(mut self, ty: u16, change: impl Fn(&mut Move) -> Option<()>) -> Option<Self> {
        let position = self.0.iter().position(|moved| moved.ty == ty || *moved == Self::NONE)?;
        let moved = self.0.get_mut(position).filter(|_| ty != Self::NONE.ty)?;
        moved.ty = ty;
        change(moved)?;
        if (moved.came, moved.went) == (0, 0) {
            *moved = Self::NONE;
        }
        self.0.sort_unstable();
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_knows_neighbours_from_one_that_is_twice_as_large() {
        let mut region = Region::default();
        assert!(region.put(60, 8), "across two words");
        assert!(region.put(68, 8));
        assert!(!region.put(67, 1) && !region.put(59, 2), "what is taken is taken");
        assert!(!region.has(60, 16) && !region.has(60, 7) && !region.has(61, 7));
        assert!(region.has(60, 8) && region.has(68, 8));
        assert!(!region.remove(60, 16));
        assert!(region.remove(60, 8) && !region.remove(60, 8));
        assert!(region.remove(68, 8));
        assert_eq!(region, Region::default());
        assert!(region.put(0, 384) && region.has(0, 384), "all of it");
        assert!(!region.put(383, 2) && !region.put(384, 1), "and nothing beyond");
    }

    #[test]
    fn moves_that_are_undone_leave_no_trace_and_order_does_not_matter() {
        let moved = Moves::new().come(3).unwrap().go(1).unwrap();
        assert_eq!(moved, Moves::new().go(1).unwrap().come(3).unwrap());
        let seen: Vec<_> = moved.iter().map(|moved| (moved.ty, moved.came, moved.went)).collect();
        assert_eq!(seen, [(1, 0, 1), (3, 1, 0)]);
        assert_eq!(Moves::new().come(3).unwrap().go(3).unwrap(), Moves::new());
        assert_ne!(Moves::new().go(3).unwrap().come(3).unwrap(), Moves::new());
        let full = (0..16).fold(Moves::new(), |moves, ty| moves.come(ty).unwrap());
        assert_eq!(full.come(16), None);
        assert!(full.come(15).is_some() && full.go(0).is_some());
        assert_eq!(Moves::new().come(u16::MAX), None);
    }
}
