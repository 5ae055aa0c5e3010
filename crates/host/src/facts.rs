//! A physical GPU as a capacity rule sees it, from an inventory of which everything was read.

use mdevkit_core::rule::{Architecture, GpuFacts, Placed, PlacementFile, Placements, Rule, TypeFacts};
use mdevkit_core::{Inventory, Parent, PgpuName, Resident, TypeId};
use std::collections::{BTreeMap, BTreeSet};

/// Everything but the rule, which is [`Rule::SameFramebuffer`] until somebody says or finds another one.
pub(crate) fn of(inventory: &Inventory, gpu: &PgpuName, parents: &[&Parent]) -> GpuFacts {
    let here = |resident: &&Resident| parents.iter().any(|parent| parent.name == resident.parent);
    let residents: Vec<&Resident> = inventory.residents.get().into_iter().flatten().filter(here).collect();
    let ids: BTreeSet<&TypeId> = parents
        .iter()
        .flat_map(|parent| parent.offers.get().into_iter().flat_map(BTreeMap::keys))
        .collect();
    let mut facts = GpuFacts::new(Rule::SameFramebuffer);
    facts.types = ids.iter().map(|id| of_type(id, parents, &residents)).collect();
    let listed = facts.types.iter().map(|facts| facts.resident).sum();
    facts.strangers = count(residents.len()).saturating_sub(listed);
    if parents.iter().any(|parent| parent.name != *gpu.as_parent()) {
        let free = |parent: &&&Parent| !residents.iter().any(|resident| resident.parent == parent.name);
        facts.slots = Some(count(parents.len()));
        facts.free_slots = Some(count(parents.iter().filter(free).count()));
    }
    facts.placements = placements(&facts.types, &residents);
    facts.architecture = inventory
        .pgpu(gpu)
        .ids
        .get()
        .copied()
        .flatten()
        .and_then(Architecture::of);
    facts
}

fn of_type(id: &TypeId, parents: &[&Parent], residents: &[&Resident]) -> TypeFacts {
    let offers = || parents.iter().filter_map(|parent| parent.get(id));
    let name = offers().find_map(|offer| offer.name.get()).and_then(Option::as_ref);
    let description = offers().find_map(|offer| offer.description.get()).map(String::as_str);
    let resident = residents
        .iter()
        .filter(|resident| resident.type_id.as_ref() == Some(id))
        .count();
    TypeFacts {
        available: offers()
            .filter_map(|offer| offer.available.get())
            .fold(0, |sum, available| sum.saturating_add(*available)),
        resident: count(resident),
        ..TypeFacts::read(id.clone(), name, description)
    }
}

/// Where the devices are; nothing, unless all of them say it.
fn placements(types: &[TypeFacts], residents: &[&Resident]) -> Placements {
    let mut placed = Vec::new();
    for resident in residents {
        match resident.placement.get() {
            Some(PlacementFile::Off) => return Placements::Off,
            Some(PlacementFile::Id(id)) => {
                let ty = types
                    .iter()
                    .position(|facts| Some(&facts.id) == resident.type_id.as_ref());
                placed.extend(ty.map(|ty| Placed { ty, id: *id }));
            }
            Some(PlacementFile::Unknown) | None => return Placements::Unknown,
        }
    }
    if placed.is_empty() {
        Placements::Unknown
    } else {
        Placements::At(placed)
    }
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
