//! What the drivers call each type and say of it. An id means the same type on every parent, so one parent's word is
//! enough; where one could not say it, all others are asked at once, so that failing drivers do not cost a round each.

use super::Need;
use crate::{Inventory, Known, Offer, ParentName, TypeId, TypeName};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The names and descriptions of types; each is looked for when it is asked for, and once.
pub(super) struct Told<'a> {
    inventory: &'a Inventory,
    names: RefCell<BTreeMap<TypeId, Heard<'a, Option<TypeName>>>>,
    descriptions: RefCell<BTreeMap<TypeId, Heard<'a, String>>>,
}

/// What was heard from the parents about one type.
enum Heard<'a, T> {
    Said(&'a T),
    /// Nobody said it; these are to be asked.
    Ask(Vec<&'a ParentName>),
}

impl<'a> Told<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            names: RefCell::default(),
            descriptions: RefCell::default(),
        }
    }

    /// A type's name: `Some(None)` when it has none.
    pub(super) fn name(&self, id: &TypeId) -> Option<Option<&'a TypeName>> {
        match self.heard(&self.names, id, |offer| &offer.name) {
            Heard::Said(name) => Some(name.as_ref()),
            Heard::Ask(_) => None,
        }
    }

    /// A type's description.
    pub(super) fn description(&self, id: &TypeId) -> Option<&'a str> {
        match self.heard(&self.descriptions, id, |offer| &offer.description) {
            Heard::Said(text) => Some(text),
            Heard::Ask(_) => None,
        }
    }

    pub(super) fn unread_name(&self, id: &TypeId) -> Vec<Need> {
        self.heard(&self.names, id, |offer| &offer.name).needs(id, Need::Name)
    }

    pub(super) fn unread_description(&self, id: &TypeId) -> Vec<Need> {
        self.heard(&self.descriptions, id, |offer| &offer.description)
            .needs(id, Need::Description)
    }

    fn heard<T>(
        &self,
        known: &RefCell<BTreeMap<TypeId, Heard<'a, T>>>,
        id: &TypeId,
        field: fn(&'a Offer) -> &'a Known<T>,
    ) -> Heard<'a, T> {
        if let Some(heard) = known.borrow().get(id) {
            return heard.clone();
        }
        let heard = self.listen(id, field);
        known.borrow_mut().insert(id.clone(), heard.clone());
        heard
    }

    fn listen<T>(&self, id: &TypeId, field: fn(&'a Offer) -> &'a Known<T>) -> Heard<'a, T> {
        let mut unread = Vec::new();
        let mut failed = false;
        for parent in self.inventory.parents() {
            match parent.get(id).map(field) {
                None => {}
                Some(Known::Is(said)) => return Heard::Said(said),
                Some(Known::Unreadable(_)) => failed = true,
                Some(Known::NotYet) => unread.push(&parent.name),
            }
        }
        unread.truncate(if failed { usize::MAX } else { 1 });
        Heard::Ask(unread)
    }
}

impl<T> Clone for Heard<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Said(said) => Self::Said(said),
            Self::Ask(parents) => Self::Ask(parents.clone()),
        }
    }
}

impl<T> Heard<'_, T> {
    fn needs(&self, id: &TypeId, need: fn(ParentName, TypeId) -> Need) -> Vec<Need> {
        match self {
            Self::Said(_) => Vec::new(),
            Self::Ask(parents) => parents
                .iter()
                .map(|parent| need((*parent).clone(), id.clone()))
                .collect(),
        }
    }
}
