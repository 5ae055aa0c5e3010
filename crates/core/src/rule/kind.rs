//! The types of a physical GPU, each reckoned through once.
//!
//! Invariant: nothing here depends on a room; what the kernel says beside the rule is filled in by [`super::reading`].

use super::placement::{self, Extent, MAX_REGION};
use super::{Cost, GpuFacts, Mig, Rule, TypeFacts};
use std::collections::BTreeMap;

/// One type, as the answers need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    pub(super) whole: bool,
    pub(super) mig: Option<Mig>,
    pub(super) cost: Option<Cost>,
    /// What the devices of one GPU have to have in common.
    pub(super) class: u16,
    pub(super) max: u32,
    /// Its position in `Gpu::sizes`.
    pub(super) size: Option<usize>,
    /// Mixed sizes: the slots that one takes, and where it may begin, in the driver's order.
    pub(super) slots: u16,
    pub(super) ids: Vec<u16>,
    /// MIG: how many more there surely were when the numbers were read.
    pub(super) more: u32,
    /// The kernel says less than the rule: how many are missing, of the type and of the virtual functions it can use.
    pub(super) missing: u32,
    pub(super) missing_slots: u32,
    /// The kernel denies it and the rule does not know why.
    pub(super) denied: bool,
    /// The kernel says more than the rule: how many it proves.
    pub(super) proven: u32,
}

/// Mixed sizes: the framebuffer in slots (GiB), the size of the type of which one fills the GPU.
pub(super) fn region(facts: &GpuFacts) -> Option<u16> {
    facts.architecture?;
    let mut full = facts.types.iter().filter(|facts| {
        let alone = facts.max == Some(1);
        alone && !facts.whole && facts.mig.is_none()
    });
    let size = full.find_map(|facts| facts.size_mib)? / 1024;
    u16::try_from(size).ok().filter(|size| (1..=MAX_REGION).contains(size))
}

/// The sizes that there are, largest first.
pub(super) fn sizes(facts: &GpuFacts) -> Vec<u32> {
    let mut sizes: Vec<u32> = facts.types.iter().filter_map(size).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    sizes
}

/// A type's size for the comparison of sizes; the whole card has none, it fits where nothing is.
fn size(facts: &TypeFacts) -> Option<u32> {
    let Cost([first, ..]) = facts.cost.unwrap_or_default();
    (!facts.whole).then(|| facts.size_mib.unwrap_or(first))
}

pub(super) fn kinds(facts: &GpuFacts, region: Option<u16>) -> Vec<Kind> {
    let sizes = sizes(facts);
    let mut classes: BTreeMap<u32, u16> = BTreeMap::new();
    let extents: Vec<Extent> = facts
        .types
        .iter()
        .map(|facts| {
            // Types of MIG have no placement on the whole GPU.
            let mib = facts.size_mib.filter(|_| facts.mig.is_none() && !facts.whole);
            Extent {
                size: u16::try_from(mib.unwrap_or(0) / 1024).unwrap_or(0),
                max: facts.max.and_then(|max| u16::try_from(max).ok()).unwrap_or(0),
            }
        })
        .collect();
    let mixed = region
        .zip(facts.architecture)
        .filter(|_| facts.rule == Rule::MixedSizes);
    let mut ids = match mixed {
        Some((region, architecture)) => placement::supported_ids(region, &extents, architecture),
        None => vec![Vec::new(); extents.len()],
    }
    .into_iter();
    let devices = facts.devices();
    let numbers = (0..facts.types.len()).map(|position| u16::try_from(position).unwrap_or(u16::MAX));
    numbers
        .zip(&facts.types)
        .zip(extents)
        .map(|((number, ty), extent)| Kind {
            whole: ty.whole,
            mig: ty.mig,
            cost: ty.cost,
            class: match ty.size_mib {
                Some(mib) if facts.rule == Rule::SameFramebuffer => *classes.entry(mib).or_insert(number),
                _ => number,
            },
            // Without a maximum, what the kernel proves: on an empty GPU and beside its own kind it counts devices.
            max: ty.max.unwrap_or_else(|| match (ty.available, facts.slots) {
                (0, _) => 0,
                (available, None) => devices.saturating_add(available),
                (_, Some(_)) => devices.saturating_add(1),
            }),
            size: size(ty).and_then(|size| sizes.iter().position(|other| *other == size)),
            slots: mixed.map_or(0, |(region, architecture)| {
                placement::slots(region, extent, architecture)
            }),
            ids: ids.next().unwrap_or_default(),
            more: match ty.mig.and_then(|mig| mig.more) {
                Some(more) => more,
                None => ty.available.min(1),
            },
            missing: 0,
            missing_slots: 0,
            denied: false,
            proven: 0,
        })
        .collect()
}
