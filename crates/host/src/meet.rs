//! What a start finds: devices of the wanted UUIDs that are there already, and what an earlier start left behind.
//!
//! Invariant: `core::encounter` decides, and a device that the ledger does not give to this domain is left alone.

use crate::acquire::{Acquire, Acquired, How, Start};
use crate::clock::{self, Backoff};
use crate::removal::{self, Removal};
use crate::{HostError, InUse};
use mdevkit_core::ledger::{Event, State};
use mdevkit_core::{Description, Encounter, Existing, Uuid, Want, What, encounter};
use mdevkit_sysfs::in_use;
use std::time::{Duration, Instant};

impl Acquire<'_> {
    /// What the device of a want is now: ready already, or (`None`) to be created.
    pub(crate) fn meet(&self, start: &Start, want: &Want) -> Result<Option<Acquired>, HostError> {
        let began = Instant::now();
        let deadline = self.run.sooner(self.limits.ready);
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        loop {
            let found = self.existing(want)?;
            let exists = found.is_some();
            let ledger = self.state.ledger(self.lock_deadline())?;
            let record = ledger.record(want.uuid);
            let releasing = record.is_some_and(|record| record.state == State::Releasing);
            let pgpu = match &found {
                Some(found) => self.eyes.bus.pgpu_of(&found.parent)?,
                None => None,
            };
            let acquired = |found: Existing, how| match found.type_id {
                Some(type_id) => Some(Acquired {
                    uuid: want.uuid,
                    // A parent that left meanwhile is its own GPU: nothing depends on it any more.
                    pgpu: pgpu.unwrap_or_else(|| found.parent.clone().into()),
                    parent: found.parent,
                    type_id,
                    how,
                    because: None,
                }),
                None => None,
            };
            match encounter(want, start.domain, found.as_ref(), record) {
                Encounter::Create => return Ok(None),
                Encounter::Owned { by } => return Err(HostError::Owned { uuid: want.uuid, by }),
                Encounter::ForeignType { found } => {
                    return Err(HostError::ForeignType {
                        uuid: want.uuid,
                        found,
                        what: want.what.clone(),
                    });
                }
                Encounter::Adopt => {
                    self.idle(want.uuid)?;
                    // The start that made it may not have come to the parameters, or had others.
                    if let Some(params) = &want.params {
                        self.eyes.bus.write_params(want.uuid, params)?;
                    }
                    self.ready(want.uuid)?;
                    self.state.change(self.lock_deadline(), |ledger| {
                        let (domain, daemon) = (start.domain, start.daemon);
                        Ok(ledger.apply(
                            want.uuid,
                            Event::Adopt {
                                domain,
                                daemon,
                                since: clock::now(),
                            },
                        )?)
                    })?;
                    return Ok(found.and_then(|found| acquired(found, How::Adopted)));
                }
                Encounter::UseForeign => {
                    self.idle(want.uuid)?;
                    self.ready(want.uuid)?;
                    return Ok(found.and_then(|found| acquired(found, How::Foreign)));
                }
                Encounter::Replace => {
                    log::info!(
                        "device {} is of another type than is wanted now; it is made anew",
                        want.uuid
                    );
                    self.remove(want.uuid)?;
                }
                // A removal was cut off after its write: the device is gone, and only the record is left.
                Encounter::Wait if !exists => {
                    removal::forget(&self.eyes.bus, self.state, want.uuid, self.lock_deadline())?;
                }
                // An earlier removal was not finished. Under the domain's lock nobody else goes on with it.
                Encounter::Wait if releasing => match self.remove(want.uuid)? {
                    Removal::Removed | Removal::AlreadyGone => {}
                    Removal::Pending { why } if deadline.is_over() => {
                        let waited_ms = began.elapsed().as_millis();
                        return Err(HostError::Unfinished {
                            uuid: want.uuid,
                            waited_ms,
                            why,
                        });
                    }
                    Removal::Pending { .. } => {
                        backoff.sleep(deadline);
                    }
                },
                // Somebody is making or removing it just now.
                _ => {
                    if !backoff.sleep(deadline) {
                        let waited_ms = began.elapsed().as_millis();
                        return Err(HostError::Unsettled {
                            uuid: want.uuid,
                            waited_ms,
                        });
                    }
                }
            }
        }
    }

    fn existing(&self, want: &Want) -> Result<Option<Existing>, HostError> {
        let Some(device) = self.eyes.bus.device(want.uuid)? else {
            return Ok(None);
        };
        let (mut type_name, mut description) = (None, Description::default());
        match (&device.type_id, &want.what) {
            (None, _) => {}
            (Some(id), What::Type(spec)) => {
                if id.as_str() != spec.as_str() {
                    type_name = self.eyes.bus.type_name(&device.parent, id)?;
                }
            }
            (Some(id), What::AtLeast(least)) => {
                if least.series.is_some() {
                    type_name = self.eyes.bus.type_name(&device.parent, id)?;
                }
                description = self.eyes.bus.description(&device.parent, id)?.unwrap_or_default();
            }
        }
        Ok(Some(Existing {
            parent: device.parent,
            type_id: device.type_id,
            type_name,
            description,
        }))
    }

    /// Refuses a device that somebody is seen to hold. None seen proves nothing, and libvirt looks for itself.
    fn idle(&self, uuid: Uuid) -> Result<(), HostError> {
        match in_use::look(self.host.root(), uuid) {
            InUse::Yes { by } => Err(HostError::InUse { uuid, by }),
            InUse::No | InUse::Unknown => Ok(()),
        }
    }

    /// Devices that an earlier start of this domain left behind, and that nothing wants now.
    pub(crate) fn drop_leftovers(&self, start: &Start, wants: &[Want]) -> Result<(), HostError> {
        let ledger = self.state.ledger(self.lock_deadline())?;
        // Once for all of them: what is held stays for reconcile.
        let deadline = self.run.sooner(self.limits.removal);
        for record in ledger.of_domain(start.domain) {
            if !wants.iter().any(|want| want.uuid == record.uuid) {
                log::info!("device {} was left by an earlier start", record.uuid);
                if let Err(error) = self.remove_by(record.uuid, deadline) {
                    log::warn!("device {} stays for now: {error}", record.uuid);
                }
            }
        }
        Ok(())
    }
}
