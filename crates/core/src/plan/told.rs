//! What the drivers call each type and say of it. An id means the same type on every parent, so one parent's word is
//! enough; where one could not say it, all others are asked at once, so that failing drivers do not cost a round each.

use super::Need;
use crate::{Inventory, Known, ParentName, TypeId, TypeName};
use std::collections::BTreeMap;

/// The names and descriptions of all types.
pub(super) struct Told<'a> {
    names: BTreeMap<&'a TypeId, Heard<'a, Option<TypeName>>>,
    descriptions: BTreeMap<&'a TypeId, Heard<'a, String>>,
}

/// What was heard from the parents about one type.
struct Heard<'a, T> {
    said: Option<&'a T>,
    failed: bool,
    unasked: Vec<&'a ParentName>,
}

impl<'a> Told<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        let mut told = Self {
            names: BTreeMap::new(),
            descriptions: BTreeMap::new(),
        };
        for parent in inventory.parents() {
            for (id, offer) in parent.offers.get().into_iter().flatten() {
                told.names.entry(id).or_default().hear(&parent.name, &offer.name);
                told.descriptions
                    .entry(id)
                    .or_default()
                    .hear(&parent.name, &offer.description);
            }
        }
        told
    }

    /// A type's name: `Some(None)` when it has none.
    pub(super) fn name(&self, id: &TypeId) -> Option<Option<&'a TypeName>> {
        self.names.get(id)?.said.map(Option::as_ref)
    }

    /// A type's description.
    pub(super) fn description(&self, id: &TypeId) -> Option<&'a str> {
        self.descriptions.get(id)?.said.map(String::as_str)
    }

    pub(super) fn unread_name(&self, id: &TypeId) -> impl Iterator<Item = Need> {
        self.names
            .get(id)
            .into_iter()
            .flat_map(Heard::unread)
            .map(|parent| Need::Name(parent.clone(), id.clone()))
    }

    pub(super) fn unread_description(&self, id: &TypeId) -> impl Iterator<Item = Need> {
        let heard = self.descriptions.get(id).into_iter();
        heard
            .flat_map(Heard::unread)
            .map(|parent| Need::Description(parent.clone(), id.clone()))
    }
}

impl<T> Default for Heard<'_, T> {
    fn default() -> Self {
        Self {
            said: None,
            failed: false,
            unasked: Vec::new(),
        }
    }
}

impl<'a, T> Heard<'a, T> {
    fn hear(&mut self, parent: &'a ParentName, said: &'a Known<T>) {
        match said {
            Known::Is(said) => {
                self.said.get_or_insert(said);
            }
            Known::Unreadable(_) => self.failed = true,
            Known::NotYet => self.unasked.push(parent),
        }
    }

    fn unread(&self) -> impl Iterator<Item = &'a ParentName> {
        let most = match (self.said, self.failed) {
            (Some(_), _) => 0,
            (None, false) => 1,
            (None, true) => usize::MAX,
        };
        self.unasked.iter().copied().take(most)
    }
}
