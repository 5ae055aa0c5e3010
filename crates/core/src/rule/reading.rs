//! From what was read to the first [`Room`](super::Room): where the residents are, and what the kernel says beside the
//! rule.
//!
//! Invariant: a resident that the rule cannot explain makes the state unclear, and then only the kernel's numbers
//! count.

use super::room::{Class, Moves, Region, State};
use super::{Cost, Gpu, Placements, Rule};

impl Gpu {
    /// The rule's state with the residents.
    pub(super) fn state_as_read(&self) -> State {
        let residents = || {
            self.facts
                .types
                .iter()
                .zip(&self.kinds)
                .filter(|(facts, _)| facts.resident > 0)
        };
        if residents().any(|(facts, _)| facts.whole) {
            return State::Whole;
        }
        let state = self.state_of_rule();
        match state {
            State::Runs(_) => {
                let strangers = self.facts.strangers > 0;
                State::Runs(match common(residents().map(|(_, kind)| kind.class)) {
                    // What has room beside a stranger is of the stranger's kind.
                    Class::Any if strangers => match common(self.admitted()) {
                        Class::Any => Class::Unclear,
                        class => class,
                    },
                    class => class,
                })
            }
            State::Region(region) => self.region_as_read(region).map_or(State::Blind, State::Region),
            state => state,
        }
    }

    /// The classes of the types that the kernel has room for.
    fn admitted(&self) -> impl Iterator<Item = u16> {
        let kinds = self.facts.types.iter().zip(&self.kinds);
        let admitted = kinds.filter(|(facts, _)| facts.available > 0 && !facts.whole && facts.mig.is_none());
        admitted.map(|(_, kind)| kind.class)
    }

    /// The rule's state without devices; what it cannot know without them is the kernel's word.
    pub(super) fn state_of_rule(&self) -> State {
        match self.facts.rule {
            Rule::Counter => {
                let types = self.facts.types.iter().filter(|facts| !facts.whole);
                State::Counter(types.map(|facts| facts.available).max().unwrap_or(0))
            }
            Rule::SharedPool => {
                let mut least = [0; 3];
                for (facts, kind) in self.facts.types.iter().zip(&self.kinds) {
                    let Cost(cost) = kind.cost.unwrap_or_default();
                    for (least, cost) in least.iter_mut().zip(cost) {
                        *least = cost.saturating_mul(facts.available).max(*least);
                    }
                }
                State::Pool(least)
            }
            Rule::SameType | Rule::SameFramebuffer => State::Runs(Class::Any),
            Rule::MixedSizes if self.region.is_some() => State::Region(Region::default()),
            Rule::MixedSizes => State::Blind,
            Rule::Mig => State::Moves(Moves::new()),
            Rule::WholeCard => State::Card,
        }
    }

    /// Every resident at its place, when all places are known and possible.
    fn region_as_read(&self, mut region: Region) -> Option<Region> {
        if self.facts.devices() == 0 {
            return Some(region);
        }
        let Placements::At(placed) = &self.facts.placements else {
            return None;
        };
        let length = self.region?;
        let mut counts = vec![0_u32; self.kinds.len()];
        for device in placed {
            let kind = self.kinds.get(device.ty)?;
            *counts.get_mut(device.ty)? += 1;
            let inside = device.id.checked_add(kind.slots).is_some_and(|end| end <= length);
            (inside && region.put(device.id, kind.slots)).then_some(())?;
        }
        let all = self.facts.types.iter().map(|facts| facts.resident).eq(counts);
        (all && self.facts.strangers == 0).then_some(region)
    }

    /// Compares what the rule says of the state as read with what the kernel says.
    pub(super) fn believe_the_kernel(&mut self) {
        let base = self.base;
        let sriov = self.facts.slots.is_some();
        let rules: Vec<u32> = self
            .kinds
            .iter()
            .enumerate()
            .map(|(ty, kind)| self.by_rule(&base, ty, kind).min(base.slots))
            .collect();
        for ((kind, facts), rule) in self.kinds.iter_mut().zip(&self.facts.types).zip(rules) {
            let kernel = facts.available;
            if kind.whole {
                kind.denied = kernel == 0 && (base.devices == 0 || sriov);
            } else if kernel == 0 {
                kind.denied = rule > 0;
            } else if sriov && rule > 0 {
                kind.missing_slots = base.slots.saturating_sub(kernel);
            } else if rule >= kernel {
                kind.missing = rule - kernel;
            } else {
                // The sum over virtual functions, a placement nobody knows and an instance nobody sees prove one.
                let one = sriov || matches!(self.facts.rule, Rule::MixedSizes | Rule::Mig);
                kind.proven = if one { 1 } else { kernel };
                self.doubted |= base.state != State::Whole;
            }
        }
    }
}

/// What all have in common.
fn common(mut classes: impl Iterator<Item = u16>) -> Class {
    match classes.next() {
        None => Class::Any,
        Some(first) if classes.all(|class| class == first) => Class::Only(first),
        Some(_) => Class::Unclear,
    }
}
