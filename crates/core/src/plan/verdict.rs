//! What each kind of want may be on each physical GPU, or the one reason why not.
//!
//! Invariant: of several reasons the most useful one is told; that a GPU does not offer a type says more than that the
//! operator would forbid it.

use super::facts::{Facts, Fit, Kind, Site};
use super::gather::{Allowed, Gathering, Meaning};
use crate::{CardState, Known, PASSTHROUGH, Parent, TypeId, Want, Why};

impl<'a> Gathering<'a> {
    /// What each kind may be on each site, or why not.
    pub(super) fn judge(self, sites: Vec<Site<'a>>, types: Vec<Meaning>, allowed: &Allowed) -> Facts<'a> {
        let mut kinds = Vec::with_capacity(self.kinds.len());
        for ((want, meaning), allowed) in self.kinds.iter().zip(types).zip(allowed) {
            let (policy, from) = self.policy(want, meaning.types());
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
                function: want
                    .parent
                    .as_ref()
                    .filter(|pin| self.gpus.iter().all(|(name, _)| name.as_parent() != *pin)),
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

    /// Whether the card can be had whole, as far as its state goes.
    fn whole(&self, site: &Site<'a>) -> Result<(), Why> {
        let mut cards = self.inventory.cards.get().into_iter().flatten();
        match cards.find(|card| card.name == *site.pgpu).map(|card| &card.state) {
            Some(CardState::PassedThrough { driver }) => Err(Why::PassedThrough { driver: driver.clone() }),
            _ if site.is_split() => Err(Why::Split),
            _ => Ok(()),
        }
    }

    /// Whether at least one parent would make it, as far as anybody knows.
    fn offered(&self, want: &Want, id: &TypeId, site: &Site<'a>) -> Result<(), Why> {
        if id.as_str() == PASSTHROUGH {
            return self.whole(site);
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
