//! Placement: what is wanted, what the host offers, and from both a parent for each device.
//!
//! [`plan`] is a pure function. It answers with a [`Plan`], with a [`Refusal`] that has a reason for every parent, or
//! with what it still has to know: the caller reads that and asks again. A few rounds suffice:
//!
//! ```text
//!   parents? ──► type lists? ──► names? (only when no id matches) ──► room? ──► device api of the chosen? ──► Plan
//!                                                                       └─ none ──► residents? ──► Refusal
//! ```
//!
//! Each round asks for all that matters by then, for all wants at once: the number of rounds grows neither with the
//! parents nor with the wants.
//!
//! Invariant: equal input, equal answer. Ties go to the lowest address.
//!
//! Several devices of one domain are placed in the order of their slots, each seeing the room that the ones before
//! it take of their own type. What they take of other types on the same parent only the driver knows, so whoever
//! carries a plan out reads again after each create and plans the rest anew.

use crate::refusal::{Reason, Refusal};
use crate::{Available, Code, DeviceApi, Inventory, Known, Parent, ParentName, Slot, TypeId, Uuid, Want, What};
use std::collections::{BTreeMap, BTreeSet};

/// Where each device goes, in the order of the wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each want.
    pub placements: Vec<Placement>,
}

/// One device's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The want's slot.
    pub slot: Slot,
    /// The device's identity.
    pub uuid: Uuid,
    /// The parent that makes it.
    pub parent: ParentName,
    /// The type it will be.
    pub type_id: TypeId,
}

/// What [`plan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every want has a place.
    Plan(Plan),
    /// At least one has none.
    Refusal(Box<Refusal>),
    /// It depends on these; read them all, then ask again.
    Needs(Vec<Need>),
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The list of parents.
    Parents,
    /// The type ids of a parent.
    Types(ParentName),
    /// A type's name.
    Name(ParentName, TypeId),
    /// A type's room.
    Available(ParentName, TypeId),
    /// A type's interface.
    DeviceApi(ParentName, TypeId),
    /// Every device that exists.
    Residents,
}

/// Finds a parent for each want.
///
/// ```
/// use mdevkit_core::{plan, Answer, Inventory, Need};
/// assert_eq!(plan(&[], &Inventory::new("host")), Answer::Needs(vec![Need::Parents]));
/// ```
pub fn plan(wants: &[Want], inventory: &Inventory) -> Answer {
    if !inventory.listed {
        return Answer::Needs(vec![Need::Parents]);
    }
    let unlisted: Vec<Need> = inventory
        .parents()
        .filter(|parent| parent.offers.is_not_yet())
        .map(|parent| Need::Types(parent.name.clone()))
        .collect();
    if !unlisted.is_empty() {
        return Answer::Needs(unlisted);
    }
    let mut round = Round::default();
    let mut placements = Vec::with_capacity(wants.len());
    for want in wants {
        let placed = resolve(want, inventory)
            .and_then(|type_id| place(want, &type_id, inventory, &mut round).map(|parent| (parent, type_id)));
        match placed {
            Ok((parent, type_id)) => {
                *round.taken.entry((parent.clone(), type_id.clone())).or_default() += 1;
                placements.push(Placement {
                    slot: want.slot,
                    uuid: want.uuid,
                    parent,
                    type_id,
                });
            }
            Err(Stop::Needs(needs)) => round.needs.extend(needs),
            Err(Stop::Refusal(refusal)) if round.needs.is_empty() => return Answer::Refusal(refusal),
            // What the wants before it still have to know may yet make room for it.
            Err(Stop::Refusal(_)) => {}
        }
    }
    if round.needs.is_empty() {
        Answer::Plan(Plan { placements })
    } else {
        Answer::Needs(round.needs.into_iter().collect())
    }
}

/// What the wants so far come to.
#[derive(Default)]
struct Round {
    /// What is still to be read for them.
    needs: BTreeSet<Need>,
    /// What they take.
    taken: Taken,
    /// The types of which a parent that was chosen first turned out to have the wrong interface.
    wrong: BTreeSet<TypeId>,
}

/// Why one want has no place yet, or at all.
enum Stop {
    Needs(Vec<Need>),
    Refusal(Box<Refusal>),
}

/// What the wants before this one take, by parent and type (count).
type Taken = BTreeMap<(ParentName, TypeId), Available>;

/// The one type that a spec means on this host: an id that exists, else a name.
fn resolve(want: &Want, inventory: &Inventory) -> Result<TypeId, Stop> {
    let What::Type(spec) = &want.what else {
        return Err(refuse(want, Code::Type, Vec::new()));
    };
    if let Some(id) = spec.as_id()
        && inventory.parents().any(|parent| parent.get(&id).is_some())
    {
        return Ok(id);
    }
    // An id means the same type on every parent, so each name is read once.
    let mut names: BTreeMap<&TypeId, Option<&crate::TypeName>> = BTreeMap::new();
    let mut unread: BTreeMap<&TypeId, Vec<&ParentName>> = BTreeMap::new();
    let mut failed: Vec<(&ParentName, &TypeId, &String)> = Vec::new();
    for parent in inventory.parents() {
        for (id, offer) in parent.offers.get().into_iter().flatten() {
            match &offer.name {
                Known::Is(name) => {
                    names.insert(id, name.as_ref());
                }
                Known::NotYet => {
                    unread.entry(id).or_default().push(&parent.name);
                }
                Known::Unreadable(why) => failed.push((&parent.name, id, why)),
            }
        }
    }
    unread.retain(|id, _| !names.contains_key(id));
    failed.retain(|(_, id, _)| !names.contains_key(id));
    if !unread.is_empty() {
        let mut needs = Vec::new();
        for (id, parents) in unread {
            // Where one could not say it, all others are asked at once: not one more round for each of them.
            let at_once = if failed.iter().any(|(_, of, _)| *of == id) {
                parents.len()
            } else {
                1
            };
            needs.extend(
                parents
                    .into_iter()
                    .take(at_once)
                    .map(|parent| Need::Name(parent.clone(), id.clone())),
            );
        }
        return Err(Stop::Needs(needs));
    }
    let mut meant = names
        .iter()
        .filter(|(_, name)| name.is_some_and(|name| spec.names(name)));
    match (meant.next(), meant.next()) {
        (Some((id, _)), None) => Ok((*id).clone()),
        (Some((first, _)), Some((second, _))) => Err(refuse(
            want,
            Code::Ambiguous,
            vec![Reason::Means((*first).clone()), Reason::Means((*second).clone())],
        )),
        (None, _) => {
            // What could not be read may be what was asked for.
            let reasons: Vec<Reason> = inventory
                .parents()
                .map(|parent| {
                    let unreadable = match &parent.offers {
                        Known::Unreadable(why) => Some(why),
                        _ => failed
                            .iter()
                            .find(|(at, ..)| **at == parent.name)
                            .map(|(_, _, why)| *why),
                    };
                    match unreadable {
                        Some(why) => Reason::Unreadable(parent.name.clone(), why.clone()),
                        None => Reason::NotSupported(parent.name.clone()),
                    }
                })
                .collect();
            Err(refuse(want, code(&reasons), reasons))
        }
    }
}

/// The parent for one want, by its policy. A choice whose interface is not known yet is taken to be good, and what is
/// to be read goes to the round's needs: so the wants after it can be looked at in the same round.
fn place(want: &Want, id: &TypeId, inventory: &Inventory, round: &mut Round) -> Result<ParentName, Stop> {
    let mut needs = Vec::new();
    let mut candidates: Vec<(Available, &ParentName)> = Vec::new();
    let mut reasons = Vec::new();
    for parent in inventory.parents() {
        match room(want, id, parent, &round.taken) {
            Room::Some(left) => candidates.push((left, &parent.name)),
            Room::None(reason) => reasons.push(reason),
            Room::Unknown => needs.push(Need::Available(parent.name.clone(), id.clone())),
        }
    }
    if !needs.is_empty() {
        return Err(Stop::Needs(needs));
    }
    candidates.sort_by(|a, b| want.policy.unwrap_or_default().prefer(*a, *b));
    for (_, name) in candidates {
        match check_api(want, id, inventory, name) {
            Ok(()) => return Ok(name.clone()),
            Err(ApiProblem::Unknown) => {
                if round.wrong.contains(id) {
                    // Not one more round for each of the others.
                    round.needs.extend(unknown_apis(id, inventory));
                } else {
                    round.needs.insert(Need::DeviceApi(name.clone(), id.clone()));
                }
                return Ok(name.clone());
            }
            Err(ApiProblem::Other(reason)) => {
                round.wrong.insert(id.clone());
                reasons.push(reason);
            }
        }
    }
    explain(want, id, inventory, reasons)
}

/// What one parent has left for a want.
enum Room {
    Some(Available),
    None(Reason),
    Unknown,
}

fn room(want: &Want, id: &TypeId, parent: &Parent, taken: &Taken) -> Room {
    let name = || parent.name.clone();
    if want.parent.as_ref().is_some_and(|pinned| *pinned != parent.name) {
        return Room::None(Reason::Excluded(name()));
    }
    let offers = match &parent.offers {
        Known::Is(offers) => offers,
        Known::Unreadable(why) => return Room::None(Reason::Unreadable(name(), why.clone())),
        Known::NotYet => return Room::Unknown,
    };
    let Some(offer) = offers.get(id) else {
        return Room::None(Reason::NotSupported(name()));
    };
    if let Some(why) = &offer.refused {
        return Room::None(Reason::Refused(name(), why.clone()));
    }
    match &offer.available {
        Known::NotYet => Room::Unknown,
        Known::Unreadable(why) => Room::None(Reason::Unreadable(name(), why.clone())),
        Known::Is(available) => {
            let promised = taken.get(&(name(), id.clone())).copied().unwrap_or(0);
            match available.checked_sub(promised) {
                Some(left) if left > 0 => Room::Some(left),
                _ => Room::None(Reason::Full(name())),
            }
        }
    }
}

enum ApiProblem {
    Unknown,
    Other(Reason),
}

/// libvirt refuses a device whose interface is not the hostdev's model; better to say so before it is made.
fn check_api(want: &Want, id: &TypeId, inventory: &Inventory, name: &ParentName) -> Result<(), ApiProblem> {
    let Some(model) = want.device_api else { return Ok(()) };
    match inventory
        .parent(name)
        .and_then(|parent| parent.get(id))
        .map(|offer| &offer.device_api)
    {
        Some(Known::Is(api)) if *api == model => Ok(()),
        Some(Known::Is(api)) => Err(ApiProblem::Other(wrong_model(name, *api, model))),
        Some(Known::Unreadable(why)) => Err(ApiProblem::Other(Reason::Unreadable(name.clone(), why.clone()))),
        Some(Known::NotYet) | None => Err(ApiProblem::Unknown),
    }
}

/// The parents that offer a type of which nobody has read the interface.
fn unknown_apis(id: &TypeId, inventory: &Inventory) -> impl Iterator<Item = Need> {
    inventory
        .parents()
        .filter(|parent| parent.get(id).is_some_and(|offer| offer.device_api.is_not_yet()))
        .map(|parent| Need::DeviceApi(parent.name.clone(), id.clone()))
}

fn wrong_model(name: &ParentName, offered: DeviceApi, model: DeviceApi) -> Reason {
    Reason::Model {
        parent: name.clone(),
        offered,
        model,
    }
}

/// No parent is left: turns "full" into what it is full of, and ranks the reasons.
fn explain(want: &Want, id: &TypeId, inventory: &Inventory, mut reasons: Vec<Reason>) -> Result<ParentName, Stop> {
    if reasons.iter().any(|reason| matches!(reason, Reason::Full(_))) {
        match &inventory.residents {
            Known::NotYet => return Err(Stop::Needs(vec![Need::Residents])),
            Known::Unreadable(_) => {}
            Known::Is(residents) => {
                for reason in &mut reasons {
                    let Reason::Full(parent) = reason else { continue };
                    // It has room, and the wants before this one take it all.
                    let promised = inventory
                        .parent(parent)
                        .and_then(|parent| parent.get(id)?.available.get())
                        .is_some_and(|available| *available > 0);
                    let types: BTreeSet<&TypeId> = residents
                        .iter()
                        .filter(|resident| resident.parent == *parent)
                        .filter_map(|resident| resident.type_id.as_ref())
                        .collect();
                    if !promised && !types.is_empty() && !types.contains(id) {
                        *reason = Reason::OtherTypes(parent.clone(), types.into_iter().cloned().collect());
                    }
                }
            }
        }
    }
    let code = code(&reasons);
    Err(refuse(want, code, reasons))
}

/// The refusal's code: room that ran out says more than a wrong model, and that more than "not here".
fn code(reasons: &[Reason]) -> Code {
    let has = |found: fn(&Reason) -> bool| reasons.iter().any(found);
    if has(|r| matches!(r, Reason::Full(_) | Reason::OtherTypes(..) | Reason::Refused(..))) {
        Code::Full
    } else if has(|r| matches!(r, Reason::Model { .. })) {
        Code::Model
    } else if has(|r| matches!(r, Reason::Unreadable(..))) {
        Code::Host
    } else {
        Code::Type
    }
}

fn refuse(want: &Want, code: Code, reasons: Vec<Reason>) -> Stop {
    Stop::Refusal(Box::new(Refusal {
        code,
        slot: want.slot,
        what: want.what.clone(),
        reasons,
    }))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
