//! An end: what the ledger says that a domain owns is removed.
//!
//! Invariant: only that. Twice is the same as once, and one device that stays does not keep the others.

use crate::removal::{self, Removal};
use crate::state::StateDir;
use crate::{Deadline, Host, HostError, Limits, clock, process};
use mdevkit_core::Uuid;
use mdevkit_core::ledger::{Actor, Daemon, Event};

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
    /// `daemon` is the one that called `release`. When it has died since, another one may have started the domain
    /// again, and what that start took over is left to it.
    ///
    /// # Errors
    /// The lock was not had or the ledger cannot be read: nothing was removed then, and reconcile does it.
    pub fn release(&self, domain: Uuid, daemon: Option<Daemon>, limits: &Limits) -> Result<Vec<Released>, HostError> {
        let run = Deadline::after(limits.run);
        let state = self.state();
        let orphaned = || daemon.filter(|daemon| !process::daemon_lives(daemon));
        if !self.owns(domain)? {
            return Ok(Vec::new());
        }
        let lock = match state.domain_lock(domain, run.sooner(limits.lock)) {
            Ok(lock) => lock,
            Err(error) => {
                if orphaned().is_none() {
                    // libvirt will not call again: what it said must not be lost.
                    condemn(&state, domain, run.sooner(limits.lock))?;
                }
                return Err(error);
            }
        };
        let ledger = state.ledger(run.sooner(limits.lock))?;
        let orphaned = orphaned();
        let removal = run.sooner(limits.removal);
        let released: Vec<Released> = ledger
            .of_domain(domain)
            .filter(|record| orphaned.is_none() || record.owner.daemon() == orphaned)
            .map(|record| Released {
                uuid: record.uuid,
                removal: removal::remove(self, &state, record.uuid, Actor::Domain(domain), removal),
            })
            .collect();
        lock.dissolve();
        Ok(released)
    }
}

/// Records a domain's devices as `releasing`, without touching them.
fn condemn(state: &StateDir<'_>, domain: Uuid, deadline: Deadline) -> Result<(), HostError> {
    state.change(deadline, |ledger| {
        let uuids: Vec<Uuid> = ledger.of_domain(domain).map(|record| record.uuid).collect();
        for uuid in uuids {
            let (by, since) = (Actor::Domain(domain), clock::now());
            ledger.apply(uuid, Event::Release { by, since })?;
        }
        Ok(())
    })
}
