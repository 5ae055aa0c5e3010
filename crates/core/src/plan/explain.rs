//! No place for a want: the reason for each physical GPU.
//!
//! Invariant: every GPU that the host has is named once, and "full" is turned into what it is full of.

use super::facts::{Facts, Kind, Site};
use super::floor::Stuck;
use super::{Need, Needs, Stop};
use crate::rule::Rule;
use crate::{CardState, Inventory, Known, Reason, Refusal, TypeId, Why};
use std::collections::BTreeSet;

/// The refusal of the want that got stuck; what to read first, when it takes more to explain it.
pub(super) fn refusal(facts: &Facts<'_>, stuck: &Stuck, inventory: &Inventory) -> Stop {
    let kind = facts.kind_of.get(stuck.want).and_then(|kind| facts.kinds.get(*kind));
    let (Some(want), Some(kind)) = (facts.wants.get(stuck.want), kind) else {
        // Every want has its kind.
        return Stop::Needs(Needs::from([Need::Parents]));
    };
    if !kind.means.is_empty() {
        return Stop::Refusal(Box::new(Refusal::ambiguous(
            want.slot,
            want.what.clone(),
            kind.means.clone(),
        )));
    }
    let mut needs = Needs::new();
    if inventory.cards.is_not_yet() {
        needs.insert(Need::Cards);
    }
    needs.extend(facts.unread_models(&stuck.domain));
    let mut reasons = Vec::new();
    for (index, site) in facts.sites.iter().enumerate() {
        let why = match kind.verdicts.get(index) {
            Some(Err(why)) => why.clone(),
            Some(Ok(_)) => {
                if inventory.residents.is_not_yet() {
                    needs.insert(Need::Residents);
                }
                no_room(index, site, kind, inventory)
            }
            None => continue,
        };
        reasons.push(Reason {
            pgpu: site.pgpu.clone(),
            why,
        });
    }
    if !needs.is_empty() {
        return Stop::Needs(needs);
    }
    reasons.extend(cards(facts, kind, inventory));
    reasons.sort_by(|a, b| a.pgpu.cmp(&b.pgpu));
    Stop::Refusal(Box::new(Refusal {
        unproven: stuck.unproven,
        ..Refusal::new(want.slot, want.what.clone(), reasons)
    }))
}

/// A site where the want may be, and has no room.
fn no_room(index: usize, site: &Site<'_>, kind: &Kind<'_>, inventory: &Inventory) -> Why {
    let Some(Ok(fits)) = kind.verdicts.get(index) else {
        return Why::NotSupported;
    };
    let room_at_first = fits
        .iter()
        .any(|fit| site.gpu.left(&site.start, usize::from(fit.of)) > 0);
    if room_at_first {
        return Why::Promised;
    }
    let wanted = |id: &TypeId| {
        let mut types = fits
            .iter()
            .filter_map(|fit| site.gpu.facts().types.get(usize::from(fit.of)));
        types.any(|facts| facts.id == *id)
    };
    no_room_for(site, wanted, inventory)
}

/// What a site is full of, for whom it has no room.
pub(crate) fn no_room_for(site: &Site<'_>, wanted: impl Fn(&TypeId) -> bool, inventory: &Inventory) -> Why {
    let residents: Vec<&TypeId> = inventory
        .residents
        .get()
        .into_iter()
        .flatten()
        .filter(|resident| site.parents.iter().any(|parent| parent.name == resident.parent))
        .filter_map(|resident| resident.type_id.as_ref())
        .collect();
    match site.gpu.rule() {
        Rule::Mig if residents.is_empty() => Why::MigNotSetUp,
        // Where types share one pool or one framebuffer, it is full of whatever is there.
        Rule::Counter | Rule::SharedPool | Rule::MixedSizes => Why::Full,
        _ if !residents.is_empty() && !residents.iter().any(|id| wanted(id)) => {
            let types: BTreeSet<&TypeId> = residents.into_iter().collect();
            Why::OtherSize(types.into_iter().cloned().collect())
        }
        _ => Why::Full,
    }
}

/// Graphics cards without parents that might have been the place, had they any.
fn cards(facts: &Facts<'_>, kind: &Kind<'_>, inventory: &Inventory) -> Vec<Reason> {
    let Known::Is(cards) = &inventory.cards else {
        return Vec::new();
    };
    let want = kind.want;
    cards
        .iter()
        .filter(|card| !facts.sites.iter().any(|site| *site.pgpu == card.name))
        .filter(|card| want.parent.as_ref().is_none_or(|pin| pin == card.name.as_parent()))
        .filter(|card| {
            want.group.as_ref().is_none_or(|name| {
                let claimed = inventory
                    .rulebook
                    .claims(&card.name, Some(card.ids))
                    .any(|group| group.name == *name);
                claimed || name.ids() == Some(card.ids)
            })
        })
        .filter_map(|card| {
            let why = match &card.state {
                CardState::VfsOff { total } => Why::VfsOff { total: *total },
                CardState::PassedThrough { driver } => Why::PassedThrough { driver: driver.clone() },
                CardState::NotSplit { .. } => return None,
            };
            Some(Reason {
                pgpu: card.name.clone(),
                why,
            })
        })
        .collect()
}
