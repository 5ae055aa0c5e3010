//! Settling what crashes left: `core::ledger::reconcile` decides, and this carries it out.
//!
//! Invariant: a record is acted upon only under its domain's lock, and only if a second look under that lock says the
//! same. A lock that is not free means that a hook is at work, so there is nothing to settle.

use crate::removal::{self, Removal};
use crate::state::StateDir;
use crate::{Config, Deadline, Host, HostError, Limits, clock, libvirt, process};
use mdevkit_core::ledger::{Action, Event, Ledger, Owner, Record, Sighting, reconcile};
use std::time::{Duration, SystemTime};

/// How to reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileOptions {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// How long a record without proof is left alone (seconds); the configuration's when none.
    pub grace_s: Option<u64>,
    /// How long to wait for locks and held devices in all (ms).
    pub wait_ms: u64,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            grace_s: None,
            wait_ms: 1000,
        }
    }
}

/// What was decided about one record, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The record.
    pub record: Record,
    /// The decision.
    pub action: Action,
    /// Whether it was carried out (or needed nothing); else why not.
    pub done: Result<(), String>,
}

impl Host {
    /// Finds the records that have no future, and settles them.
    ///
    /// # Errors
    /// The ledger, sysfs or libvirt's status files cannot be read: nothing is done then.
    pub fn reconcile(&self, options: &ReconcileOptions) -> Result<Vec<Outcome>, HostError> {
        let state = self.state();
        let deadline = Deadline::after(Duration::from_millis(options.wait_ms));
        let ledger = match options.dry_run {
            true => state.ledger(deadline)?,
            // Under the lock, so that a damaged ledger is rebuilt and other boots' records are dropped for good.
            false => state.change(deadline, |ledger| Ok(ledger.clone()))?,
        };
        if !options.dry_run {
            self.tidy();
        }
        if ledger.records().next().is_none() {
            return Ok(Vec::new());
        }
        let actions = reconcile(&ledger, &self.sighting(&state, &ledger, options)?);
        Ok(actions
            .into_iter()
            .filter_map(|action| {
                let record = ledger.record(action.uuid())?.clone();
                let done = match (&action, options.dry_run) {
                    (Action::Keep { .. }, _) | (_, true) => Ok(()),
                    (_, false) => self.settle(&state, &record, options, deadline),
                };
                Some(Outcome { record, action, done })
            })
            .collect())
    }

    /// Forgets old decisions; a host where that fails is settled all the same.
    fn tidy(&self) {
        match self.forget_decisions(SystemTime::now()) {
            Ok(0) => {}
            Ok(count) => log::info!("forgot {count} old decisions"),
            Err(error) => log::warn!("{error}"),
        }
    }

    /// Carries out one decision under the record's lock.
    fn settle(
        &self,
        state: &StateDir<'_>,
        record: &Record,
        options: &ReconcileOptions,
        deadline: Deadline,
    ) -> Result<(), String> {
        let text = |error: HostError| error.to_string();
        // What a person makes has no domain: it is made under its GPU's lock.
        let lock = match &record.owner {
            Owner::Domain { uuid, .. } => state.domain_lock(*uuid, deadline),
            _ => {
                // A parent that is gone makes nothing, under no lock.
                let gpu = self.bus().pgpu_of(&record.parent).ok().flatten();
                state.gpu_lock(&gpu.unwrap_or_else(|| record.parent.clone().into()), deadline)
            }
        }
        .map_err(text)?;
        let settled = self.settle_locked(state, record, options, deadline);
        if record.owner.domain().is_some() {
            lock.dissolve();
        }
        settled
    }

    /// Takes the decision again, now that no hook can be at work on the record, and acts on it.
    fn settle_locked(
        &self,
        state: &StateDir<'_>,
        record: &Record,
        options: &ReconcileOptions,
        deadline: Deadline,
    ) -> Result<(), String> {
        let text = |error: HostError| error.to_string();
        let ledger = state.ledger(deadline).map_err(text)?;
        if ledger.record(record.uuid).is_none() {
            return Ok(());
        }
        let seen = self.sighting(state, &ledger, options).map_err(text)?;
        let action = reconcile(&ledger, &seen)
            .into_iter()
            .find(|action| action.uuid() == record.uuid);
        match action {
            None | Some(Action::Keep { .. }) => Ok(()),
            Some(Action::Forget { uuid, why }) => {
                log::info!("forgot {uuid}: {why}");
                state
                    .change(deadline, |ledger| Ok(ledger.apply(uuid, Event::Gone)?))
                    .map_err(text)
            }
            Some(Action::Remove { uuid, by, why }) => {
                let deadline = deadline.sooner(Limits::default().removal);
                match removal::remove(self, state, uuid, by, deadline).map_err(text)? {
                    Removal::Removed | Removal::AlreadyGone => {
                        log::info!("collected {uuid}: {why}");
                        Ok(())
                    }
                    Removal::Pending { why } => Err(why),
                }
            }
        }
    }

    fn sighting(
        &self,
        state: &StateDir<'_>,
        ledger: &Ledger,
        options: &ReconcileOptions,
    ) -> Result<Sighting, HostError> {
        // A wrong configuration must not keep what a crash left.
        let configured = || {
            self.config().unwrap_or_else(|error| {
                log::error!("{error}; going on with the defaults");
                Config::default()
            })
        };
        let grace = options.grace_s.unwrap_or_else(|| configured().limits.grace.as_secs());
        let daemons = ledger.records().filter_map(|record| record.owner.daemon());
        // Daemons first, status files after: a guest that comes up in between is then seen by one of the two.
        let daemons = daemons.map(|daemon| (daemon, process::life(&daemon))).collect();
        Ok(Sighting {
            boot_id: state.boot()?,
            now: clock::now(),
            grace,
            daemons,
            domains: libvirt::running(self.root())?,
            devices: self.bus().devices()?.into_iter().collect(),
        })
    }
}
