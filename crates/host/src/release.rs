//! An end: what the ledger says that a domain owns is removed.
//!
//! Invariant: only that. Twice is the same as once, and one device that stays does not keep the others.

use crate::removal::{self, Removal};
use crate::{Deadline, Host, HostError, Limits};
use mdevkit_core::Uuid;
use mdevkit_core::ledger::Actor;

/// What became of one device.
#[derive(Debug)]
pub struct Released {
    /// The device.
    pub uuid: Uuid,
    /// What became of it.
    pub removal: Result<Removal, HostError>,
}

impl Host {
    /// Whether the ledger gives the domain any device. Takes no lock.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn owns(&self, domain: Uuid) -> Result<bool, HostError> {
        let ledger = self.state().ledger(Deadline::after(Limits::default().lock))?;
        Ok(ledger.of_domain(domain).next().is_some())
    }

    /// Removes the devices of a domain. What could not be removed yet is recorded as `releasing`.
    ///
    /// # Errors
    /// The lock was not had or the ledger cannot be read: nothing was removed then.
    pub fn release(&self, domain: Uuid, limits: &Limits) -> Result<Vec<Released>, HostError> {
        let run = Deadline::after(limits.run);
        let state = self.state();
        if state
            .ledger(run.sooner(limits.lock))?
            .of_domain(domain)
            .next()
            .is_none()
        {
            return Ok(Vec::new());
        }
        let lock = state.domain_lock(domain, run.sooner(limits.lock))?;
        let ledger = state.ledger(run.sooner(limits.lock))?;
        let removal = run.sooner(limits.removal);
        let released: Vec<Released> = ledger
            .of_domain(domain)
            .map(|record| Released {
                uuid: record.uuid,
                removal: removal::remove(self, &state, record.uuid, Actor::Domain(domain), removal),
            })
            .collect();
        lock.dissolve();
        Ok(released)
    }
}
