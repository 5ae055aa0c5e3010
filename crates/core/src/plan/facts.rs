//! What matters for these wants: the physical GPUs, what each want may be on each of them, and why not.
//!
//! Invariant: nothing is read that no want depends on, and nothing is guessed: what is missing is a need.

use super::gather::Gathering;
use super::{Need, Needs, Placement, PolicyFrom, Stop};
use crate::rule::{Gpu, Room};
use crate::{Group, Inventory, Parent, ParentName, PgpuName, Policy, TypeId, Want, Why};
use std::collections::BTreeSet;

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
    /// The configured group that it is in; none when two claim it.
    pub(crate) group: Option<&'a Group>,
    /// Its types, as far as any want may be one, and its rule.
    pub(crate) gpu: Gpu,
    /// Its room as it was read.
    pub(crate) start: Room,
}

impl Site<'_> {
    /// Whether its parents are virtual functions.
    pub(crate) fn is_split(&self) -> bool {
        self.parents.iter().any(|parent| parent.name != *self.pgpu.as_parent())
    }
}

/// Wants that differ in nothing that matters here.
pub(crate) struct Kind<'a> {
    pub(crate) want: &'a Want,
    pub(crate) policy: Policy,
    pub(crate) from: PolicyFrom,
    /// The types that its name means, when that are several.
    pub(crate) means: Vec<TypeId>,
    /// The virtual function that it names: that makes one device, whoever asks.
    pub(crate) function: Option<&'a ParentName>,
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
        Ok(gathering.judge(sites, types, &allowed))
    }

    /// The same with every type of every GPU, and with the cards that have no parent.
    pub(crate) fn gather_everything(wants: &'a [Want], inventory: &'a Inventory) -> Result<Self, Stop> {
        let gathering = Gathering::with_cards(wants, inventory)?;
        let allowed = gathering.allowed()?;
        let types = gathering.types(&allowed)?;
        let sites = gathering.everything()?;
        Ok(gathering.judge(sites, types, &allowed))
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
