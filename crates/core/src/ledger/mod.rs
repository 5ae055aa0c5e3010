//! The ledger: what mdevkit created, where, on which boot, for whom.
//!
//! A record's life ([`step`]):
//!
//! ```text
//!              intend                created
//!   (nothing) ───────►  intent  ─────────────►  created ◄─┐
//!       ▲                │  │ adopt                │  └───┘ adopt
//!       │ failed, gone   │  └──────────────────────┤
//!       ├────────────────┘                         │ release
//!       │                 gone                     ▼
//!       └───────────────────────────────────── releasing
//! ```
//!
//! Invariants: a record exists before its device does (`intent` is written first), so a device of ours is never
//! without an owner; a record changes hands only by [`Event::Adopt`] of the same domain; and a record of a kind that
//! this version does not know is kept as it is.

mod format;
#[cfg(test)]
mod model;
mod reconcile;
mod record;
mod step;

pub use format::{FormatError, VERSION};
pub use reconcile::{Action, Life, Sighting, reconcile};
pub use record::{BootId, Daemon, Framework, Owner, Record, State};
pub use step::{Actor, Event, StepError, step};

use crate::Uuid;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// All records, by device.
///
/// ```
/// use mdevkit_core::ledger::Ledger;
/// let ledger = Ledger::read(br#"{"version":1,"records":[],"note":"from a newer minor version"}"#)?;
/// assert!(ledger.records().next().is_none());
/// assert!(ledger.write().contains("newer minor"), "unknown fields are kept");
/// # Ok::<(), mdevkit_core::ledger::FormatError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    records: BTreeMap<Uuid, Record>,
    /// Fields of the file that this version does not know.
    extra: Map<String, Value>,
}

impl Ledger {
    /// The records, by device.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The record of a device.
    pub fn record(&self, uuid: Uuid) -> Option<&Record> {
        self.records.get(&uuid)
    }

    /// The records that a domain owns.
    pub fn of_domain(&self, domain: Uuid) -> impl Iterator<Item = &Record> {
        self.records()
            .filter(move |record| record.owner.domain() == Some(domain))
    }

    /// Applies an event to one device's record.
    ///
    /// # Errors
    /// When the record is not in a state, or not in hands, that allow it: nothing is changed then.
    pub fn apply(&mut self, uuid: Uuid, event: Event) -> Result<(), StepError> {
        match step(self.records.get(&uuid), uuid, event)? {
            Some(record) => self.records.insert(uuid, record),
            None => self.records.remove(&uuid),
        };
        Ok(())
    }

    /// Drops the records of other boots, whose devices died with them; those of an unknown kind stay. Tells how many
    /// were dropped.
    pub fn forget_other_boots(&mut self, boot: &BootId) -> usize {
        let before = self.records.len();
        self.records
            .retain(|_, record| record.boot_id == *boot || matches!(record.owner, Owner::Other(_)));
        before - self.records.len()
    }
}
