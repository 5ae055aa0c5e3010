//! Which parent of a physical GPU makes a device: the GPU itself, or the lowest virtual function that has room.
//!
//! Invariant: the room of a GPU is a matter of numbers ([`super::floor`]); which of its parents is taken changes none
//! of them, so it is decided last.

use super::facts::{Facts, Site};
use super::floor::Choice;
use super::{Because, Placement};
use crate::{Known, Offer, TypeId, Want};
use std::collections::HashMap;

/// The places of a domain's wants (by index), in their order.
pub(super) fn placements(wants: &[Want], facts: &Facts<'_>, domain: &[usize], choices: &[Choice]) -> Vec<Placement> {
    let mut taken = Taken::default();
    placements_beside(wants, facts, domain, choices, &mut taken)
}

/// How many devices are promised (count), by site, by parent of the site, and by type: a virtual function makes one
/// device, of whatever type, so all types are one there.
pub(super) type Taken = HashMap<(usize, usize, u16), u32>;

/// The same beside what other domains take.
pub(super) fn placements_beside(
    wants: &[Want],
    facts: &Facts<'_>,
    domain: &[usize],
    choices: &[Choice],
    taken: &mut Taken,
) -> Vec<Placement> {
    // Who names its parent goes first: the others can take any.
    let mut turns: Vec<(bool, usize)> = (0..choices.len())
        .map(|turn| (!pins(facts, domain, turn), turn))
        .collect();
    turns.sort_unstable();
    let mut placements = Vec::with_capacity(choices.len());
    for (_, turn) in turns {
        let found = domain
            .get(turn)
            .and_then(|index| wants.get(*index))
            .zip(choices.get(turn));
        let Some((want, choice)) = found else { continue };
        let (Some(site), Some(index)) = (facts.sites.get(choice.site), domain.get(turn)) else {
            continue;
        };
        let kind = facts.kind_of.get(*index).and_then(|kind| facts.kinds.get(*kind));
        let (Some(kind), Some(of)) = (kind, site.gpu.facts().types.get(usize::from(choice.fit.of))) else {
            continue;
        };
        let split = site.parents.len() > 1;
        let key = |parent: usize| (choice.site, parent, if split { u16::MAX } else { choice.fit.of });
        let promised = |parent: usize| taken.get(&key(parent)).copied().unwrap_or(0);
        let at = parent(site, want, &of.id, promised);
        if let Some(at) = at {
            *taken.entry(key(at)).or_default() += 1;
        }
        let parent = at
            .and_then(|at| site.parents.get(at))
            .map_or(site.pgpu.as_parent(), |parent| &parent.name);
        placements.push((
            turn,
            Placement {
                slot: want.slot,
                uuid: want.uuid,
                pgpu: site.pgpu.clone(),
                parent: parent.clone(),
                type_id: of.id.clone(),
                turn: choice.turn,
                because: Because {
                    policy: kind.policy,
                    from: kind.from.clone(),
                    had_room: choice.had_room,
                    open: choice.open,
                    left: choice.left,
                    rearranged: choice.rearranged,
                },
            },
        ));
    }
    placements.sort_by_key(|(turn, _)| *turn);
    placements.into_iter().map(|(_, place)| place).collect()
}

/// Keeps the virtual functions that these wants name from everybody else.
pub(super) fn reserve(facts: &Facts<'_>, domain: &[usize], choices: &[Choice], taken: &mut Taken) {
    for (index, choice) in domain.iter().zip(choices) {
        let kind = facts.kind_of.get(*index).and_then(|kind| facts.kinds.get(*kind));
        let Some(function) = kind.and_then(|kind| kind.function) else {
            continue;
        };
        let parents = facts.sites.get(choice.site).map(|site| site.parents.as_slice());
        let at = parents.and_then(|parents| parents.iter().position(|parent| parent.name == *function));
        if let Some(at) = at {
            taken.insert((choice.site, at, u16::MAX), 1);
        }
    }
}

fn pins(facts: &Facts<'_>, domain: &[usize], turn: usize) -> bool {
    let kind = domain.get(turn).and_then(|index| facts.kind_of.get(*index));
    let kind = kind.and_then(|kind| facts.kinds.get(*kind));
    kind.is_some_and(|kind| kind.function.is_some())
}

/// The first parent with room for one more than is promised; none for a card without parents, which stands for itself.
fn parent(site: &Site<'_>, want: &Want, id: &TypeId, promised: impl Fn(usize) -> u32) -> Option<usize> {
    let offering = || {
        site.parents
            .iter()
            .enumerate()
            .filter_map(|(at, parent)| Some((at, parent, parent.get(id)?)))
    };
    let has_room = |at: usize, offer: &Offer| {
        usable(offer, want) && offer.available.get().is_some_and(|available| *available > promised(at))
    };
    let pinned = offering().find(|(_, parent, _)| want.parent.as_ref() == Some(&parent.name));
    pinned
        .or_else(|| offering().find(|(at, _, offer)| has_room(*at, offer)))
        .or_else(|| offering().next())
        .map(|(at, ..)| at)
}

/// Whether nothing speaks against that parent.
fn usable(offer: &Offer, want: &Want) -> bool {
    let model = match (&offer.device_api, want.device_api) {
        (Known::Is(api), Some(model)) => *api == model,
        (Known::Unreadable(_), Some(_)) => false,
        _ => true,
    };
    model && offer.refused.is_none()
}
