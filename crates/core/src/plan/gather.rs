//! Gathering: which physical GPUs there are, where each kind of want may be at all, and which types its words mean.
//!
//! Invariant: each step asks for everything that it depends on, for all wants at once, before the next one begins.

use super::told::Told;
use super::{Need, Needs, PolicyFrom, Stop};
use crate::{
    AtLeast, Description, DeviceApi, Group, GroupName, Inventory, Known, Near, PASSTHROUGH, Parent, ParentName,
    PgpuName, Policy, Resident, TypeId, TypeSpec, Want, What, Why,
};
use std::collections::{BTreeMap, BTreeSet};

/// Facts on their way: what is known before any type is looked at.
pub(super) struct Gathering<'a> {
    pub(super) wants: &'a [Want],
    pub(super) inventory: &'a Inventory,
    /// The physical GPUs with their parents; cards without parents only when one may be wanted whole.
    pub(super) gpus: Vec<(&'a PgpuName, Vec<&'a Parent>)>,
    /// What the drivers call each type, and say of it.
    pub(super) told: Told<'a>,
    /// The devices of each parent.
    pub(super) residents: BTreeMap<&'a ParentName, Vec<&'a Resident>>,
    /// A want of each kind, and the kind of each want.
    pub(super) kinds: Vec<&'a Want>,
    pub(super) kind_of: Vec<usize>,
}

/// For each kind and site: why the request, the operator or the state of the site forbid it, whatever the type.
pub(super) type Allowed = Vec<Vec<Result<bool, Why>>>;

impl<'a> Gathering<'a> {
    pub(super) fn new(wants: &'a [Want], inventory: &'a Inventory) -> Result<Self, Stop> {
        Self::begin(wants, inventory, wants.iter().any(wants_whole))
    }

    /// The same with the graphics cards that have no parent.
    pub(super) fn with_cards(wants: &'a [Want], inventory: &'a Inventory) -> Result<Self, Stop> {
        Self::begin(wants, inventory, true)
    }

    fn begin(wants: &'a [Want], inventory: &'a Inventory, cards: bool) -> Result<Self, Stop> {
        if !inventory.listed {
            return Err(Stop::Needs(Needs::from([Need::Parents])));
        }
        let mut needs = Needs::new();
        for parent in inventory.parents() {
            if parent.offers.is_not_yet() {
                needs.insert(Need::Types(parent.name.clone()));
            }
            if parent.pgpu.is_not_yet() {
                needs.insert(Need::Pgpu(parent.name.clone()));
            }
        }
        if cards && inventory.cards.is_not_yet() {
            needs.insert(Need::Cards);
        }
        ready(needs)?;
        let mut gpus: Vec<(&PgpuName, Vec<&Parent>)> = inventory.pgpus().into_iter().collect();
        if cards {
            for card in inventory.cards.get().into_iter().flatten() {
                if !gpus.iter().any(|(name, _)| *name == &card.name) {
                    gpus.push((&card.name, Vec::new()));
                }
            }
            gpus.sort_by_key(|(name, _)| *name);
        }
        let mut numbers: BTreeMap<KindKey<'a>, usize> = BTreeMap::new();
        let mut kinds = Vec::new();
        let kind_of = wants
            .iter()
            .map(|want| {
                *numbers.entry(kind_key(want)).or_insert_with(|| {
                    kinds.push(want);
                    kinds.len() - 1
                })
            })
            .collect();
        Ok(Self {
            wants,
            inventory,
            gpus,
            told: Told::new(inventory),
            residents: by_parent(inventory),
            kinds,
            kind_of,
        })
    }

    /// Where each kind may be at all; `Ok(true)` where that is far from the nodes that it prefers.
    pub(super) fn allowed(&self) -> Result<Allowed, Stop> {
        let book = &self.inventory.rulebook;
        let ids = book.needs_ids()
            || self
                .kinds
                .iter()
                .any(|want| want.group.as_ref().is_some_and(|name| name.ids().is_some()));
        let nodes = self.kinds.iter().any(|want| want.near.is_some());
        let mut needs = Needs::new();
        for (name, _) in &self.gpus {
            let gpu = self.inventory.pgpu(name);
            if ids && gpu.ids.is_not_yet() {
                needs.insert(Need::Ids((*name).clone()));
            }
            if nodes && gpu.numa_node.is_not_yet() {
                needs.insert(Need::NumaNode((*name).clone()));
            }
        }
        ready(needs)?;
        Ok(self
            .kinds
            .iter()
            .map(|want| {
                self.gpus
                    .iter()
                    .map(|(name, parents)| self.may(want, name, parents))
                    .collect()
            })
            .collect())
    }

    pub(super) fn may(&self, want: &Want, name: &PgpuName, parents: &[&Parent]) -> Result<bool, Why> {
        let pinned = |pin: &ParentName| *pin != *name.as_parent() && !parents.iter().any(|parent| parent.name == *pin);
        if want.parent.as_ref().is_some_and(pinned) {
            return Err(Why::Excluded);
        }
        let gpu = self.inventory.pgpu(name);
        let group = self.group(name)?;
        if let Some(wanted) = &want.group {
            let automatic = gpu.ids.get().copied().flatten().map(GroupName::from);
            if group.is_none_or(|group| group.name != *wanted) && automatic.as_ref() != Some(wanted) {
                return Err(Why::Excluded);
            }
        }
        let node = gpu.numa_node.get().copied().flatten();
        let far = want
            .near
            .as_ref()
            .is_some_and(|near| node.is_none_or(|node| !near.nodes.contains(node)));
        if self.inventory.rulebook.cordoned(name) {
            return Err(Why::Cordoned);
        }
        if far && want.near.as_ref().is_some_and(|near| near.strict) {
            return Err(match &gpu.numa_node {
                Known::Unreadable(why) => Why::Unreadable(why.clone()),
                _ => Why::WrongNode { node },
            });
        }
        if let Some(why) = &gpu.busy {
            return Err(Why::Busy(why.clone()));
        }
        Ok(far)
    }

    /// The one configured group of a GPU.
    pub(super) fn group(&self, name: &PgpuName) -> Result<Option<&'a Group>, Why> {
        let ids = self.inventory.pgpu(name).ids.get().copied().flatten();
        let mut claims = self.inventory.rulebook.claims(name, ids);
        let first = claims.next();
        match (first, claims.next()) {
            (Some(first), Some(second)) => Err(Why::TwoGroups(format!("{} and {}", first.name, second.name))),
            (first, _) => Ok(first),
        }
    }

    /// The types that each kind may be, what it would rather be first.
    pub(super) fn types(&self, allowed: &Allowed) -> Result<Vec<Meaning>, Stop> {
        let mut needs = Needs::new();
        let mut found = Vec::with_capacity(self.kinds.len());
        for (want, allowed) in self.kinds.iter().zip(allowed) {
            // What the request excludes has no say in what its words mean.
            let parents: Vec<&Parent> = self
                .gpus
                .iter()
                .zip(allowed)
                .filter(|(_, allowed)| !matches!(allowed, Err(Why::Excluded)))
                .flat_map(|((_, parents), _)| parents.iter().copied())
                .collect();
            found.push(match &want.what {
                _ if wants_whole(want) => Meaning::Types(PASSTHROUGH.parse().into_iter().collect()),
                What::Type(spec) => match spec
                    .as_id()
                    .filter(|id| self.inventory.parents().any(|parent| parent.get(id).is_some()))
                {
                    Some(id) => Meaning::Types(vec![id]),
                    None => self.named(&parents, spec, &mut needs),
                },
                What::AtLeast(least) => self.enough(&parents, least, &want.what, &mut needs),
            });
        }
        ready(needs)?;
        Ok(found)
    }

    /// The one type of that name, on any of the parents.
    fn named(&self, parents: &[&Parent], spec: &TypeSpec, needs: &mut Needs) -> Meaning {
        let ids = all_ids(parents);
        needs.extend(ids.iter().flat_map(|id| self.told.unread_name(id)));
        let is = |id: &&TypeId| self.told.name(id).flatten().is_some_and(|name| spec.names(name));
        let meant: Vec<TypeId> = ids.into_iter().filter(is).cloned().collect();
        if meant.len() > 1 {
            Meaning::Several(meant)
        } else {
            Meaning::Types(meant)
        }
    }

    /// The types that have enough, the smallest first: by framebuffer, displays, pixels, id.
    fn enough(&self, parents: &[&Parent], least: &AtLeast, what: &What, needs: &mut Needs) -> Meaning {
        let mut found = Vec::new();
        for id in all_ids(parents) {
            if least.series.is_some() {
                needs.extend(self.told.unread_name(id));
            }
            needs.extend(self.told.unread_description(id));
            let description = self.told.description(id).map(Description::read).unwrap_or_default();
            if what.means(id, self.told.name(id).flatten(), &description) {
                let pixels = description
                    .resolution
                    .map(|size| u64::from(size.width) * u64::from(size.height));
                found.push((description.framebuffer_mib, description.heads, pixels, id));
            }
        }
        found.sort();
        Meaning::Types(found.into_iter().map(|(_, _, _, id)| id.clone()).collect())
    }

    /// The policy for a kind that may be of these types: the request's, the group's, or the host's own.
    pub(super) fn policy(&self, want: &Want, types: &[TypeId]) -> (Policy, PolicyFrom) {
        if let Some(policy) = want.policy {
            return (policy, PolicyFrom::Request);
        }
        // Without a group in the request, a group's policy holds if all GPUs that could make it are in that one.
        let could = |(name, parents): &&(&PgpuName, Vec<&Parent>)| {
            let offers = parents
                .iter()
                .any(|parent| types.iter().any(|id| parent.get(id).is_some()));
            offers && !matches!(self.may(want, name, parents), Err(Why::Excluded))
        };
        let mut groups = self
            .gpus
            .iter()
            .filter(could)
            .map(|(name, _)| self.group(name).ok().flatten());
        let first = groups.next().flatten();
        match first {
            Some(group) if groups.all(|other| other == Some(group)) => match group.policy {
                Some(policy) => (policy, PolicyFrom::Group(group.name.clone())),
                None => (self.inventory.rulebook.policy, PolicyFrom::Host),
            },
            _ => (self.inventory.rulebook.policy, PolicyFrom::Host),
        }
    }
}

type KindKey<'a> = (
    &'a What,
    Option<&'a GroupName>,
    Option<Policy>,
    Option<&'a ParentName>,
    Option<&'a Near>,
    Option<DeviceApi>,
);

fn kind_key(want: &Want) -> KindKey<'_> {
    (
        &want.what,
        want.group.as_ref(),
        want.policy,
        want.parent.as_ref(),
        want.near.as_ref(),
        want.device_api,
    )
}

pub(super) fn wants_whole(want: &Want) -> bool {
    matches!(&want.what, What::Type(spec) if spec.as_str() == PASSTHROUGH)
}

pub(super) fn ready(needs: Needs) -> Result<(), Stop> {
    if needs.is_empty() {
        Ok(())
    } else {
        Err(Stop::Needs(needs))
    }
}

/// What a want's words mean.
pub(super) enum Meaning {
    /// One of these, what it would rather be first.
    Types(Vec<TypeId>),
    /// A name that means several.
    Several(Vec<TypeId>),
}

impl Meaning {
    pub(super) fn types(&self) -> &[TypeId] {
        match self {
            Self::Types(ids) => ids,
            Self::Several(_) => &[],
        }
    }
}

pub(super) fn all_ids<'a>(parents: &[&'a Parent]) -> BTreeSet<&'a TypeId> {
    let mut ids = BTreeSet::new();
    let mut last: Option<(&PgpuName, usize)> = None;
    for parent in parents {
        let (Some(pgpu), Some(offers)) = (parent.pgpu.get(), parent.offers.get()) else {
            continue;
        };
        // The functions of a card offer the same: the driver lists the types by card.
        if last != Some((pgpu, offers.len())) {
            ids.extend(offers.keys());
        }
        last = Some((pgpu, offers.len()));
    }
    ids
}

fn by_parent(inventory: &Inventory) -> BTreeMap<&ParentName, Vec<&Resident>> {
    let mut residents: BTreeMap<&ParentName, Vec<&Resident>> = BTreeMap::new();
    for resident in inventory.residents.get().into_iter().flatten() {
        residents.entry(&resident.parent).or_default().push(resident);
    }
    residents
}
