//! The room of every physical GPU: what its drivers say of its types and devices, as [`crate::rule`] takes it.
//!
//! Invariant: for one type the kernel's number is enough; descriptions, names and devices are read only where several
//! types, or several GPUs, have to be weighed against each other.

use super::facts::Site;
use super::gather::{Allowed, Gathering, Meaning, all_ids, ready, wants_whole};
use super::{Need, Needs, Stop};
use crate::rule::{self, Architecture, Gpu, GpuFacts, Placed, PlacementFile, Placements, Rule, TypeFacts};
use crate::{Available, DeviceApi, PASSTHROUGH, Parent, PgpuName, Policy, Resident, TypeId};
use std::collections::BTreeSet;

impl<'a> Gathering<'a> {
    /// Every GPU with its room, as far as the wants may be there.
    pub(super) fn sites(&self, types: &[Meaning], allowed: &Allowed) -> Result<Vec<Site<'a>>, Stop> {
        let wanted: BTreeSet<&TypeId> = types.iter().flat_map(Meaning::types).collect();
        let mut kinds = self.kinds.iter().zip(types);
        let keep_large = kinds.any(|(want, meaning)| self.policy(want, meaning.types()).0 == Policy::KeepLarge);
        let wrong = self.wrong_apis(&wanted);
        let mut needs = Needs::new();
        let mut candidates = 0_usize;
        let mut looked: Vec<BTreeSet<&TypeId>> = Vec::with_capacity(self.gpus.len());
        for (index, (name, parents)) in self.gpus.iter().enumerate() {
            let mixed = self.may_mix(name, parents);
            let told = self.configured(name) == Some(Rule::MixedSizes);
            // What one device takes from others of its own type the kernel's number says, where sizes do not mix.
            let several = self.wants.len() > 1;
            let beside = keep_large || (several && (wanted.len() > 1 || mixed)) || (told && self.gpus.len() > 1);
            let ids = self.ids(parents, &wanted, keep_large || (beside && mixed));
            looked.push(ids.clone());
            if !allowed.iter().any(|allowed| matches!(allowed.get(index), Some(Ok(_)))) {
                continue;
            }
            candidates += usize::from(!ids.is_empty() || (parents.is_empty() && name.bdf().is_some()));
            for id in ids {
                if keep_large || wanted.contains(id) {
                    needs.extend(unread_room(parents, id));
                }
                if self.enabled_if_known(name, id).is_none() || beside {
                    needs.extend(self.told.unread_name(id));
                }
                if beside || parents.len() > 1 {
                    needs.extend(self.told.unread_description(id));
                }
                // Where one of them has the wrong interface, all are looked at: not one more round for each.
                if wrong.contains(id) {
                    let unread = |parent: &&&Parent| parent.get(id).is_some_and(|offer| offer.device_api.is_not_yet());
                    let parents = parents.iter().filter(unread);
                    needs.extend(parents.map(|parent| Need::DeviceApi(parent.name.clone(), id.clone())));
                }
            }
            if beside || (several && parents.len() > 1) {
                needs.extend(self.unread_residents());
                if beside && mixed {
                    needs.extend(self.unread_places(name, parents));
                    needs.extend(self.unread_sizes(parents));
                }
            }
        }
        let whole = self.wants.iter().any(wants_whole);
        if candidates > 1 || (candidates > 0 && whole) {
            needs.extend(self.unread_residents());
        }
        ready(needs)?;
        let sites = self.gpus.iter().zip(&looked);
        Ok(sites
            .map(|((name, parents), ids)| self.site(name, parents, ids, whole))
            .collect())
    }

    /// Whether a GPU may have devices of several sizes at places in its framebuffer: NVIDIA's with virtual functions,
    /// and whichever the operator says so of.
    fn may_mix(&self, name: &PgpuName, parents: &[&Parent]) -> bool {
        self.configured(name)
            .map_or(parents.len() > 1, |rule| rule == Rule::MixedSizes)
    }

    /// The rule that the operator says a GPU follows.
    fn configured(&self, name: &PgpuName) -> Option<Rule> {
        self.group(name).ok().flatten().and_then(|group| group.rule)
    }

    /// Every GPU with all of its types.
    pub(super) fn everything(&self) -> Result<Vec<Site<'a>>, Stop> {
        let mut needs = Needs::new();
        for (name, parents) in &self.gpus {
            for id in self.ids(parents, &BTreeSet::new(), true) {
                needs.extend(unread_room(parents, id));
                needs.extend(self.told.unread_name(id));
                needs.extend(self.told.unread_description(id));
            }
            if self.inventory.pgpu(name).ids.is_not_yet() {
                needs.insert(Need::Ids((*name).clone()));
            }
        }
        needs.extend(self.unread_residents());
        for (name, parents) in self.gpus.iter().filter(|(name, parents)| self.may_mix(name, parents)) {
            needs.extend(self.unread_places(name, parents));
        }
        if self.inventory.cards.is_not_yet() {
            needs.insert(Need::Cards);
        }
        ready(needs)?;
        let site = |(name, parents): &(&'a PgpuName, Vec<&'a Parent>)| {
            self.site(name, parents, &self.ids(parents, &BTreeSet::new(), true), true)
        };
        Ok(self.gpus.iter().map(site).collect())
    }

    /// The types of a GPU that matter: the wanted ones, or all.
    fn ids<'w>(&self, parents: &[&'a Parent], wanted: &BTreeSet<&'w TypeId>, all: bool) -> BTreeSet<&'w TypeId>
    where
        'a: 'w,
    {
        if all {
            return all_ids(parents);
        }
        let offered = |id: &&&TypeId| parents.iter().any(|parent| parent.get(id).is_some());
        wanted.iter().filter(offered).copied().collect()
    }

    fn unread_residents(&self) -> Option<Need> {
        self.inventory.residents.is_not_yet().then_some(Need::Residents)
    }

    /// What tells where in a GPU's framebuffer its devices are, and where others could be.
    fn unread_places(&self, name: &PgpuName, parents: &[&Parent]) -> Needs {
        let mut needs = Needs::new();
        let mut residents = parents.iter().flat_map(|parent| self.of(parent));
        if residents.any(|resident| resident.placement.is_not_yet()) {
            needs.insert(Need::Placements(name.clone()));
        }
        if self.inventory.pgpu(name).ids.is_not_yet() {
            needs.insert(Need::Ids(name.clone()));
        }
        needs
    }

    /// What shows whether sizes mix on a GPU that has devices: which types a function that is free could have.
    fn unread_sizes(&self, parents: &[&Parent]) -> Needs {
        let (used, free): (Vec<&Parent>, Vec<&Parent>) =
            parents.iter().copied().partition(|parent| !self.of(parent).is_empty());
        let Some(free) = free.first().filter(|_| !used.is_empty()) else {
            return Needs::new();
        };
        let offers = free.offers.get().into_iter().flatten();
        offers
            .filter(|(_, offer)| offer.available.is_not_yet() && offer.refused.is_none())
            .map(|(id, _)| Need::Available(free.name.clone(), id.clone()))
            .collect()
    }

    /// The devices of a parent.
    fn of(&self, parent: &Parent) -> &[&'a Resident] {
        self.residents.get(&parent.name).map_or(&[], Vec::as_slice)
    }

    /// The types of which a parent is known to have another interface than some hostdev.
    fn wrong_apis<'w>(&self, wanted: &BTreeSet<&'w TypeId>) -> BTreeSet<&'w TypeId> {
        let models: BTreeSet<DeviceApi> = self.kinds.iter().filter_map(|want| want.device_api).collect();
        let wrong = |id: &&&TypeId| {
            let mut apis = self
                .inventory
                .parents()
                .filter_map(|parent| parent.get(id)?.device_api.get());
            apis.any(|api| models.iter().any(|model| model != api))
        };
        match models.is_empty() {
            true => BTreeSet::new(),
            false => wanted.iter().filter(wrong).copied().collect(),
        }
    }

    pub(super) fn enabled_if_known(&self, gpu: &PgpuName, id: &TypeId) -> Option<bool> {
        let name = self.told.name(id);
        let group = self.group(gpu).ok().flatten();
        let enabled = self.inventory.rulebook.enabled(gpu, group, id, name.flatten());
        match (enabled, name) {
            // It has no name, so no name enables it.
            (None, Some(_)) => Some(false),
            (enabled, _) => enabled,
        }
    }

    fn site(&self, pgpu: &'a PgpuName, parents: &[&'a Parent], ids: &BTreeSet<&TypeId>, whole: bool) -> Site<'a> {
        let residents: Vec<&Resident> = parents.iter().flat_map(|parent| self.of(parent)).copied().collect();
        let group = self.group(pgpu).ok().flatten();
        let mut facts = GpuFacts::new(Rule::SameFramebuffer);
        facts.types = ids.iter().map(|id| self.type_facts(id, parents, &residents)).collect();
        if whole && pgpu.bdf().is_some() {
            // A card that is split into virtual functions cannot be given away whole.
            let split = parents.iter().any(|parent| parent.name != *pgpu.as_parent());
            facts.types.extend(whole_card(!split));
        }
        let listed = facts
            .types
            .iter()
            .fold(0, |sum: u32, facts| sum.saturating_add(facts.resident));
        facts.strangers = count(residents.len()).saturating_sub(listed);
        if parents.iter().any(|parent| parent.name != *pgpu.as_parent()) {
            let free = parents.iter().filter(|parent| self.of(parent).is_empty()).count();
            facts.slots = Some(count(parents.len()));
            facts.free_slots = Some(count(free));
        }
        facts.placements = placements(&facts.types, &residents);
        facts.architecture = self
            .inventory
            .pgpu(pgpu)
            .ids
            .get()
            .copied()
            .flatten()
            .and_then(Architecture::of);
        let configured = group.and_then(|group| group.rule);
        facts.rule = configured.unwrap_or_else(|| rule::detect(&facts).rule);
        let gpu = Gpu::new(facts);
        Site {
            pgpu,
            parents: parents.to_vec(),
            group,
            start: gpu.room(),
            gpu,
        }
    }

    fn type_facts(&self, id: &TypeId, parents: &[&Parent], residents: &[&Resident]) -> TypeFacts {
        let available = parents
            .iter()
            .filter_map(|parent| parent.get(id))
            .filter(|offer| offer.refused.is_none())
            .filter_map(|offer| offer.available.get())
            .fold(0, |sum: Available, available| sum.saturating_add(*available));
        let resident = residents
            .iter()
            .filter(|resident| resident.type_id.as_ref() == Some(id))
            .count();
        TypeFacts {
            available,
            resident: count(resident),
            ..TypeFacts::read(id.clone(), self.told.name(id).flatten(), self.told.description(id))
        }
    }
}

/// The numbers of a type that nobody has read; a parent that just refused it is not asked again.
fn unread_room(parents: &[&Parent], id: &TypeId) -> impl Iterator<Item = Need> {
    let unread = |parent: &&&Parent| {
        let offer = parent.get(id);
        offer.is_some_and(|offer| offer.available.is_not_yet() && offer.refused.is_none())
    };
    parents
        .iter()
        .filter(unread)
        .map(|parent| Need::Available(parent.name.clone(), id.clone()))
}

/// The type that every card has: one, when it is empty.
fn whole_card(possible: bool) -> Option<TypeFacts> {
    Some(TypeFacts {
        available: u32::from(possible),
        max: Some(1),
        ..TypeFacts::read(PASSTHROUGH.parse().ok()?, None, None)
    })
}

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
