//! What matters for these wants: the physical GPUs, what each want may be on each of them, and why not.
//!
//! Invariant: nothing is read that no want depends on, and nothing is guessed: what is missing is a need.

use super::told::Told;
use super::{Need, Needs, Placement, PolicyFrom, Stop};
use crate::rule::{self, Architecture, Gpu, GpuFacts, Placed, PlacementFile, Placements, Room, Rule, TypeFacts};
use crate::{
    AtLeast, Available, Description, DeviceApi, Group, GroupName, Inventory, Known, Near, Parent, ParentName, PgpuName,
    Policy, Resident, TypeId, TypeSpec, Want, What, Why,
};
use std::collections::{BTreeMap, BTreeSet};

/// The id of the type that every graphics card has: itself, whole.
pub(crate) const PASSTHROUGH: &str = "passthrough";

/// All that matters for some wants.
pub(crate) struct Facts<'a> {
    /// The physical GPUs, by address.
    pub(crate) sites: Vec<Site<'a>>,
    /// The different kinds of want.
    pub(crate) kinds: Vec<Kind<'a>>,
    /// The wants, and the kind of each.
    pub(crate) wants: &'a [Want],
    pub(crate) kind_of: Vec<usize>,
}

/// One physical GPU.
pub(crate) struct Site<'a> {
    pub(crate) pgpu: &'a PgpuName,
    pub(crate) parents: Vec<&'a Parent>,
    /// Its types, as far as any want may be one, and its rule.
    pub(crate) gpu: Gpu,
    /// Its room as it was read.
    pub(crate) start: Room,
}

/// Wants that differ in nothing that matters here.
pub(crate) struct Kind<'a> {
    pub(crate) want: &'a Want,
    pub(crate) policy: Policy,
    pub(crate) from: PolicyFrom,
    /// The types that its name means, when that are several.
    pub(crate) means: Vec<TypeId>,
    /// For each site: what it may be there, or why it may not.
    pub(crate) verdicts: Vec<Result<Vec<Fit>, Why>>,
}

/// One type that a want may be on a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fit {
    /// 0 for the type that it would rather be, then up.
    pub(crate) rank: u16,
    /// Its index in the site's [`Gpu`].
    pub(crate) of: u16,
    /// It would be on another NUMA node than the domain prefers.
    pub(crate) far: bool,
}

impl<'a> Facts<'a> {
    pub(crate) fn gather(wants: &'a [Want], inventory: &'a Inventory) -> Result<Self, Stop> {
        let gathering = Gathering::new(wants, inventory)?;
        let allowed = gathering.allowed()?;
        let types = gathering.types(&allowed)?;
        let sites = gathering.sites(&types, &allowed)?;
        Ok(gathering.finish(sites, types, &allowed))
    }

    /// The interfaces of the chosen types that nobody has read, where a hostdev depends on them.
    pub(crate) fn unread_apis(&self, domain: &[usize], placements: &[Placement]) -> Needs {
        let unread = |(index, place): (&usize, &Placement)| {
            self.wants.get(*index)?.device_api?;
            let sites = || self.sites.iter();
            // Sites are sorted by address.
            let site = self
                .sites
                .binary_search_by(|site| site.pgpu.cmp(&place.pgpu))
                .ok()
                .and_then(|at| sites().nth(at))?;
            let parent = site.parents.iter().find(|parent| parent.name == place.parent)?;
            let offer = parent.get(&place.type_id)?;
            offer
                .device_api
                .is_not_yet()
                .then(|| Need::DeviceApi(place.parent.clone(), place.type_id.clone()))
        };
        domain.iter().zip(placements).filter_map(unread).collect()
    }

    /// The interfaces that nobody has read of all that the wants of a domain could be: what was taken to be good while
    /// it was placed may be what is in the way.
    pub(crate) fn unread_models(&self, domain: &[usize]) -> Needs {
        let kinds: BTreeSet<usize> = domain
            .iter()
            .filter_map(|want| self.kind_of.get(*want).copied())
            .collect();
        let mut needs = Needs::new();
        for kind in kinds.iter().filter_map(|kind| self.kinds.get(*kind)) {
            if kind.want.device_api.is_none() {
                continue;
            }
            for (site, verdict) in self.sites.iter().zip(&kind.verdicts) {
                let fits = verdict.iter().flatten();
                for id in fits.filter_map(|fit| Some(&site.gpu.facts().types.get(usize::from(fit.of))?.id)) {
                    let unread = |parent: &&&Parent| {
                        let offer = parent.get(id);
                        offer.is_some_and(|offer| offer.device_api.is_not_yet() && offer.available.get() > Some(&0))
                    };
                    let parents = site.parents.iter().filter(unread);
                    needs.extend(parents.map(|parent| Need::DeviceApi(parent.name.clone(), id.clone())));
                }
            }
        }
        needs
    }
}

/// Facts on their way: what is known before any type is looked at.
struct Gathering<'a> {
    wants: &'a [Want],
    inventory: &'a Inventory,
    /// The physical GPUs with their parents; cards without parents only when one may be wanted whole.
    gpus: Vec<(&'a PgpuName, Vec<&'a Parent>)>,
    /// What the drivers call each type, and say of it.
    told: Told<'a>,
    /// A want of each kind, and the kind of each want.
    kinds: Vec<&'a Want>,
    kind_of: Vec<usize>,
}

/// For each kind and site: why the request, the operator or the state of the site forbid it, whatever the type.
type Allowed = Vec<Vec<Result<bool, Why>>>;

impl<'a> Gathering<'a> {
    fn new(wants: &'a [Want], inventory: &'a Inventory) -> Result<Self, Stop> {
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
        let whole = wants.iter().any(wants_whole);
        if whole && inventory.cards.is_not_yet() {
            needs.insert(Need::Cards);
        }
        ready(needs)?;
        let mut gpus: Vec<(&PgpuName, Vec<&Parent>)> = inventory.pgpus().into_iter().collect();
        if whole {
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
            kinds,
            kind_of,
        })
    }

    /// Where each kind may be at all; `Ok(true)` where that is far from the nodes that it prefers.
    fn allowed(&self) -> Result<Allowed, Stop> {
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

    fn may(&self, want: &Want, name: &PgpuName, parents: &[&Parent]) -> Result<bool, Why> {
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
    fn group(&self, name: &PgpuName) -> Result<Option<&'a Group>, Why> {
        let ids = self.inventory.pgpu(name).ids.get().copied().flatten();
        let mut claims = self.inventory.rulebook.claims(name, ids);
        let first = claims.next();
        match (first, claims.next()) {
            (Some(first), Some(second)) => Err(Why::TwoGroups(format!("{} and {}", first.name, second.name))),
            (first, _) => Ok(first),
        }
    }

    /// The types that each kind may be, what it would rather be first.
    fn types(&self, allowed: &Allowed) -> Result<Vec<Meaning>, Stop> {
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

    /// Every GPU with its room.
    fn sites(&self, types: &[Meaning], allowed: &Allowed) -> Result<Vec<Site<'a>>, Stop> {
        let wanted: BTreeSet<&TypeId> = types.iter().flat_map(Meaning::types).collect();
        let deep = wanted.len() > 1;
        let keep_large = self.kinds.iter().any(|want| self.policy(want).0 == Policy::KeepLarge);
        let mut needs = Needs::new();
        let mut candidates = 0_usize;
        for (index, (name, parents)) in self.gpus.iter().enumerate() {
            let open_to_someone = allowed.iter().any(|allowed| matches!(allowed.get(index), Some(Ok(_))));
            if !open_to_someone {
                continue;
            }
            let split = parents.len() > 1;
            let mut offers_any = false;
            for id in self.ids(parents, &wanted, keep_large) {
                let offering = || parents.iter().filter_map(|parent| Some((parent, parent.get(&id)?)));
                if self.enabled_if_known(name, &id).is_none() {
                    needs.extend(self.told.unread_name(&id));
                }
                for (parent, offer) in offering() {
                    if offer.available.is_not_yet() && offer.refused.is_none() {
                        needs.insert(Need::Available(parent.name.clone(), id.clone()));
                    }
                    offers_any = true;
                }
                if deep || keep_large || split {
                    needs.extend(self.told.unread_description(&id));
                }
                if deep || keep_large {
                    needs.extend(self.told.unread_name(&id));
                }
                // Where one of them has the wrong interface, all are looked at: not one more round for each.
                if self.wrong_api(&id) {
                    needs.extend(
                        offering()
                            .filter(|(_, offer)| offer.device_api.is_not_yet())
                            .map(|(parent, _)| Need::DeviceApi(parent.name.clone(), id.clone())),
                    );
                }
            }
            candidates += usize::from(offers_any || (parents.is_empty() && name.bdf().is_some()));
        }
        let whole = self.wants.iter().any(wants_whole);
        if self.inventory.residents.is_not_yet() && candidates > 0 && (deep || keep_large || whole || candidates > 1) {
            needs.insert(Need::Residents);
        }
        if deep || keep_large {
            needs.extend(self.unread_places());
            let split = self.gpus.iter().filter(|(_, parents)| parents.len() > 1);
            needs.extend(
                split
                    .filter(|(name, _)| self.inventory.pgpu(name).ids.is_not_yet())
                    .map(|(name, _)| Need::Ids((*name).clone())),
            );
        }
        ready(needs)?;
        Ok(self
            .gpus
            .iter()
            .map(|(name, parents)| self.site(name, parents, &wanted, keep_large))
            .collect())
    }

    /// The types of a GPU that matter.
    fn ids(&self, parents: &[&Parent], wanted: &BTreeSet<&TypeId>, all: bool) -> BTreeSet<TypeId> {
        parents
            .iter()
            .flat_map(|parent| parent.offers.get().into_iter().flat_map(BTreeMap::keys))
            .filter(|id| all || wanted.contains(id))
            .cloned()
            .collect()
    }

    /// GPUs whose devices have places in the framebuffer that nobody has read: NVIDIA's with virtual functions.
    fn unread_places(&self) -> impl Iterator<Item = Need> {
        let residents = self.inventory.residents.get().into_iter().flatten();
        residents
            .filter(|resident| resident.placement.is_not_yet())
            .filter_map(|resident| {
                let (pgpu, _) = self
                    .gpus
                    .iter()
                    .find(|(_, parents)| parents.iter().any(|parent| parent.name == resident.parent))?;
                (pgpu.as_parent() != &resident.parent).then(|| Need::Placements((*pgpu).clone()))
            })
    }

    /// Whether a hostdev's model is known to be wrong somewhere.
    fn wrong_api(&self, id: &TypeId) -> bool {
        let models: BTreeSet<DeviceApi> = self.kinds.iter().filter_map(|want| want.device_api).collect();
        self.inventory.parents().any(|parent| {
            parent
                .get(id)
                .and_then(|offer| offer.device_api.get())
                .is_some_and(|api| models.iter().any(|model| model != api))
        })
    }

    fn enabled_if_known(&self, gpu: &PgpuName, id: &TypeId) -> Option<bool> {
        let name = self.told.name(id);
        let group = self.group(gpu).ok().flatten();
        let enabled = self.inventory.rulebook.enabled(gpu, group, id, name.flatten());
        match (enabled, name) {
            // It has no name, so no name enables it.
            (None, Some(_)) => Some(false),
            (enabled, _) => enabled,
        }
    }

    fn site(&self, pgpu: &'a PgpuName, parents: &[&'a Parent], wanted: &BTreeSet<&TypeId>, all: bool) -> Site<'a> {
        let residents: Vec<&Resident> = self
            .inventory
            .residents
            .get()
            .into_iter()
            .flatten()
            .filter(|resident| parents.iter().any(|parent| parent.name == resident.parent))
            .collect();
        let mut facts = GpuFacts::new(Rule::SameFramebuffer);
        facts.types = self
            .ids(parents, wanted, all)
            .into_iter()
            .map(|id| self.type_facts(id, parents, &residents))
            .collect();
        if wanted.iter().any(|id| id.as_str() == PASSTHROUGH) && pgpu.bdf().is_some() {
            facts.types.extend(whole_card());
        }
        let listed = facts
            .types
            .iter()
            .fold(0, |sum: u32, facts| sum.saturating_add(facts.resident));
        facts.strangers = count(residents.len()).saturating_sub(listed);
        if parents.len() > 1 || parents.iter().any(|parent| parent.name != *pgpu.as_parent()) {
            let free = |parent: &&&Parent| !residents.iter().any(|resident| resident.parent == parent.name);
            facts.slots = Some(count(parents.len()));
            facts.free_slots = Some(count(parents.iter().filter(free).count()));
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
        let configured = self.group(pgpu).ok().flatten().and_then(|group| group.rule);
        facts.rule = configured.unwrap_or_else(|| rule::detect(&facts).rule);
        let gpu = Gpu::new(facts);
        Site {
            pgpu,
            parents: parents.to_vec(),
            start: gpu.room(),
            gpu,
        }
    }

    fn type_facts(&self, id: TypeId, parents: &[&Parent], residents: &[&Resident]) -> TypeFacts {
        let available = parents
            .iter()
            .filter_map(|parent| parent.get(&id))
            .filter(|offer| offer.refused.is_none())
            .filter_map(|offer| offer.available.get())
            .fold(0, |sum: Available, available| sum.saturating_add(*available));
        let resident = residents
            .iter()
            .filter(|resident| resident.type_id.as_ref() == Some(&id))
            .count();
        TypeFacts {
            available,
            resident: count(resident),
            ..TypeFacts::read(id.clone(), self.told.name(&id).flatten(), self.told.description(&id))
        }
    }

    /// The policy for a kind: the request's, the group's, or the host's own.
    fn policy(&self, want: &Want) -> (Policy, PolicyFrom) {
        if let Some(policy) = want.policy {
            return (policy, PolicyFrom::Request);
        }
        // Without a group in the request, a group's policy holds if all of its GPUs are in that one.
        let mut groups = self
            .gpus
            .iter()
            .filter(|(name, parents)| !matches!(self.may(want, name, parents), Err(Why::Excluded)))
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

    fn finish(self, sites: Vec<Site<'a>>, types: Vec<Meaning>, allowed: &Allowed) -> Facts<'a> {
        let mut kinds = Vec::with_capacity(self.kinds.len());
        for ((want, meaning), allowed) in self.kinds.iter().zip(types).zip(allowed) {
            let (policy, from) = self.policy(want);
            let verdicts = sites
                .iter()
                .zip(allowed)
                .map(|(site, allowed)| self.verdict(want, meaning.types(), site, allowed.clone()))
                .collect();
            kinds.push(Kind {
                want,
                policy,
                from,
                means: match meaning {
                    Meaning::Types(_) => Vec::new(),
                    Meaning::Several(ids) => ids,
                },
                verdicts,
            });
        }
        Facts {
            sites,
            kinds,
            wants: self.wants,
            kind_of: self.kind_of,
        }
    }

    /// What a kind may be on one site. That it is not offered says more than that the operator forbids it.
    fn verdict(
        &self,
        want: &Want,
        types: &[TypeId],
        site: &Site<'a>,
        allowed: Result<bool, Why>,
    ) -> Result<Vec<Fit>, Why> {
        if let Err(Why::Excluded) = allowed {
            return Err(Why::Excluded);
        }
        let mut fits = Vec::new();
        let mut why: Option<Why> = None;
        let mut not = |reason: Why| {
            if why.as_ref().is_none_or(|why| reason.told().0 < why.told().0) {
                why = Some(reason);
            }
        };
        for (rank, id) in types.iter().enumerate() {
            let Some(of) = site.gpu.facts().types.iter().position(|facts| facts.id == *id) else {
                continue;
            };
            if self.enabled_if_known(site.pgpu, id) == Some(false) {
                not(Why::NotEnabled);
                continue;
            }
            match self.offered(want, id, site) {
                Ok(()) => match &allowed {
                    Ok(far) => fits.push(Fit {
                        rank: u16::try_from(rank).unwrap_or(u16::MAX),
                        of: u16::try_from(of).unwrap_or(u16::MAX),
                        far: *far,
                    }),
                    Err(reason) => not(reason.clone()),
                },
                Err(reason) => not(reason),
            }
        }
        if !fits.is_empty() {
            return Ok(fits);
        }
        Err(
            why.unwrap_or_else(|| match self.unreadable(&site.parents, types.is_empty()) {
                Some(why) => Why::Unreadable(why),
                None => Why::NotSupported,
            }),
        )
    }

    /// What could not be read of a GPU's parents, and may be what was asked for: its types; and, while nobody has the
    /// `name` that was asked for, a name that was heard nowhere else.
    fn unreadable(&self, parents: &[&Parent], name: bool) -> Option<String> {
        parents.iter().find_map(|parent| match &parent.offers {
            Known::Unreadable(why) => Some(why.clone()),
            Known::Is(offers) => offers.iter().find_map(|(id, offer)| match &offer.name {
                Known::Unreadable(why) if name && self.told.name(id).is_none() => Some(why.clone()),
                _ => None,
            }),
            Known::NotYet => None,
        })
    }

    /// Whether at least one parent would make it, as far as anybody knows.
    fn offered(&self, want: &Want, id: &TypeId, site: &Site<'a>) -> Result<(), Why> {
        if id.as_str() == PASSTHROUGH {
            return Ok(());
        }
        let mut why = Why::NotSupported;
        for parent in &site.parents {
            let Some(offer) = parent.get(id) else { continue };
            if want
                .parent
                .as_ref()
                .is_some_and(|pin| *pin != parent.name && *pin != *site.pgpu.as_parent())
            {
                continue;
            }
            let pinned_vf = want.parent.as_ref() == Some(&parent.name) && site.parents.len() > 1;
            why = match (&offer.refused, &offer.available, &offer.device_api, want.device_api) {
                (Some(why), ..) => Why::Refused(why.clone()),
                (_, Known::Unreadable(why), ..) => Why::Unreadable(why.clone()),
                // It has its own room, whatever its siblings have.
                (_, Known::Is(0), ..) if pinned_vf => Why::Full,
                // Full says more than a wrong interface, and spares reading it.
                (_, Known::Is(0), ..) => return Ok(()),
                (_, _, Known::Unreadable(why), Some(_)) => Why::Unreadable(why.clone()),
                (_, _, Known::Is(offered), Some(model)) if *offered != model => Why::Model {
                    offered: *offered,
                    model,
                },
                _ => return Ok(()),
            };
        }
        Err(why)
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

fn wants_whole(want: &Want) -> bool {
    matches!(&want.what, What::Type(spec) if spec.as_str() == PASSTHROUGH)
}

fn ready(needs: Needs) -> Result<(), Stop> {
    if needs.is_empty() {
        Ok(())
    } else {
        Err(Stop::Needs(needs))
    }
}

/// What a want's words mean.
enum Meaning {
    /// One of these, what it would rather be first.
    Types(Vec<TypeId>),
    /// A name that means several.
    Several(Vec<TypeId>),
}

impl Meaning {
    fn types(&self) -> &[TypeId] {
        match self {
            Self::Types(ids) => ids,
            Self::Several(_) => &[],
        }
    }
}

fn all_ids<'a>(parents: &[&'a Parent]) -> BTreeSet<&'a TypeId> {
    let of = |parent: &&'a Parent| parent.offers.get().into_iter().flat_map(BTreeMap::keys);
    parents.iter().flat_map(of).collect()
}

/// The type that every card has: one, when it is empty.
fn whole_card() -> Option<TypeFacts> {
    Some(TypeFacts {
        available: 1,
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
