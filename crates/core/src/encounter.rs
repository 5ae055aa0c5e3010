//! A device of the wanted UUID may be there already: whose is it, and what follows?
//!
//! Invariant: a device that the ledger does not give to this domain is never owned by it, and never removed.
//!
//! | the device is | so |
//! |---|---|
//! | not there | create |
//! | ours, this domain's, of that type | adopt |
//! | ours, this domain's, of another type | replace |
//! | ours, being released | wait, then create |
//! | not finished: it has no type yet, or no more | wait |
//! | another domain's | refuse, name it |
//! | foreign, or made by hand, of that type | use it, never own it |
//! | foreign, of another type | refuse |

use crate::ledger::{Owner, Record, State};
use crate::{Description, ParentName, TypeId, TypeName, Uuid, Want};

/// A device as it was found in sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Where it is.
    pub parent: ParentName,
    /// What it is; none while it is being made or removed.
    pub type_id: Option<TypeId>,
    /// What that type is called, when it was read.
    pub type_name: Option<TypeName>,
    /// What that type's description says, when it was read.
    pub description: Description,
}

impl Existing {
    /// Whether it is of a type that is wanted.
    fn is(&self, want: &Want) -> bool {
        self.type_id
            .as_ref()
            .is_some_and(|id| want.what.means(id, self.type_name.as_ref(), &self.description))
    }
}

/// What to do about one want.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encounter {
    /// Nothing is there: create it.
    Create,
    /// It is this domain's own, and good: keep it.
    Adopt,
    /// It is this domain's own, and of another type than is wanted now: remove it, then create.
    Replace,
    /// It is on its way out, or not finished: wait, look again.
    Wait,
    /// Somebody else made it, or a person did with `mdevkit create`, and it fits: use it.
    UseForeign,
    /// It is another domain's, or is not finished by whom it belongs to.
    Owned {
        /// Whose, as a person would say it.
        by: String,
    },
    /// Somebody else made it, of another type.
    ForeignType {
        /// The type that it is.
        found: TypeId,
    },
}

/// Decides what to do about a want whose device may exist.
///
/// ```
/// use mdevkit_core::{encounter, Description, Encounter, Existing, Slot, TypeSpec, Want};
/// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
/// let want = Want::new(Slot::new(0)?, uuid, "mtty-2".parse::<TypeSpec>()?);
/// let domain = "11111111-0000-0000-0000-000000000001".parse()?;
/// let found = Existing {
///     parent: "mtty".parse()?,
///     type_id: Some("mtty-2".parse()?),
///     type_name: None,
///     description: Description::default(),
/// };
/// assert_eq!(encounter(&want, domain, None, None), Encounter::Create);
/// assert_eq!(encounter(&want, domain, Some(&found), None), Encounter::UseForeign);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encounter(want: &Want, domain: Uuid, found: Option<&Existing>, record: Option<&Record>) -> Encounter {
    // Who makes a device by hand makes it to be used; it stays his.
    let by_hand = |record: &&Record| record.owner == Owner::Manual && record.state == State::Created;
    let record = record.filter(|record| found.is_none() || !by_hand(record));
    if let Some(record) = record
        && !matches!(&record.owner, Owner::Domain { uuid, .. } if *uuid == domain)
    {
        return Encounter::Owned {
            by: record.owner.to_string(),
        };
    }
    if record.is_some_and(|record| record.state == State::Releasing) {
        // Even when the device is gone already: whoever removes it has yet to say so in the ledger.
        return Encounter::Wait;
    }
    let Some(found) = found else { return Encounter::Create };
    match (record, &found.type_id) {
        (_, None) => Encounter::Wait,
        (Some(_), Some(_)) => {
            if found.is(want) {
                Encounter::Adopt
            } else {
                Encounter::Replace
            }
        }
        (None, Some(type_id)) => {
            if found.is(want) {
                Encounter::UseForeign
            } else {
                Encounter::ForeignType { found: type_id.clone() }
            }
        }
    }
}

#[cfg(test)]
#[path = "encounter_tests.rs"]
mod tests;
