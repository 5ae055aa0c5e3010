//! A start: every wanted device is there and ready, or none that was not there before.
//!
//! Invariants: the domain's lock is held for all of it, one parent's lock from the last look at its room until
//! `create` returned; what a failed start made it removes again, and nothing else.

use crate::clock::{self, Backoff};
use crate::look::{self, Decision};
use crate::removal::{self, Removal};
use crate::state::StateDir;
use crate::{Deadline, Host, HostError, InUse, Limits, process};
use mdevkit_core::ledger::{Actor, Daemon, Event, Framework, Owner, Record, State};
use mdevkit_core::{Encounter, Existing, Inventory, Known, Need, ParentName, Placement, TypeId, Uuid, Want, encounter};
use mdevkit_sysfs::in_use;
use mdevkit_sysfs::mdev::{Bus, CreateError, Readiness};
use std::time::{Duration, Instant};

/// For whom devices are acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The domain.
    pub domain: Uuid,
    /// Its name, for messages.
    pub name: String,
    /// The daemon that will call `release`.
    pub daemon: Option<Daemon>,
}

/// A device that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The device.
    pub uuid: Uuid,
    /// Where it is.
    pub parent: ParentName,
    /// What it is.
    pub type_id: TypeId,
    /// How the domain came to it.
    pub how: How,
}

/// How a domain came to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was made just now.
    Created,
    /// It was the domain's own already: an earlier start of it was cut off.
    Adopted,
    /// Somebody else made it, and will remove it.
    Foreign,
}

/// The most that is kept of a domain's name, in characters.
const NAME: usize = 255;

/// How often another parent is tried for one device, before it is given up.
const TRIES: usize = 64;

impl Host {
    /// Makes every wanted device ready.
    ///
    /// # Errors
    /// When one of them cannot be had. Then none that this call made is left, unless its removal takes longer than
    /// the limit: it is recorded as `releasing`, and reconcile finishes it.
    pub fn acquire(&self, start: &Start, wants: &[Want], limits: &Limits) -> Result<Vec<Acquired>, HostError> {
        acquire(self, &By::Domain(start.clone()), wants, limits)
    }
}

/// On whose behalf.
pub(crate) enum By {
    /// A domain that starts.
    Domain(Start),
    /// A person at a terminal.
    Person,
}

pub(crate) fn acquire(host: &Host, by: &By, wants: &[Want], limits: &Limits) -> Result<Vec<Acquired>, HostError> {
    let run = Deadline::after(limits.run);
    let uid = nix::unistd::geteuid();
    if host.root.is_system() && !uid.is_root() {
        return Err(HostError::NotRoot { uid: uid.as_raw() });
    }
    let state = host.state();
    let lock = match by {
        By::Domain(start) => Some(state.domain_lock(start.domain, run.sooner(limits.lock))?),
        By::Person => None,
    };
    let acquire = Acquire {
        host,
        bus: host.bus(),
        state: &state,
        by,
        limits,
        run,
    };
    let mut made = Vec::new();
    let outcome = acquire
        .all(wants, &mut made)
        .and_then(|acquired| match acquire.daemon_lives() {
            true => Ok(acquired),
            false => Err(HostError::DaemonGone),
        });
    if outcome.is_err() {
        acquire.undo(&made);
    }
    // A `release` that finds nothing of this start would not tidy up.
    let owns_nothing = match &outcome {
        Err(_) => true,
        Ok(acquired) => acquired.iter().all(|device| device.how == How::Foreign),
    };
    if let Some(lock) = lock
        && owns_nothing
    {
        lock.dissolve();
    }
    outcome
}

/// One start in progress.
struct Acquire<'a> {
    host: &'a Host,
    bus: Bus<'a>,
    state: &'a StateDir<'a>,
    by: &'a By,
    limits: &'a Limits,
    run: Deadline,
}

impl Acquire<'_> {
    fn all(&self, wants: &[Want], made: &mut Vec<Uuid>) -> Result<Vec<Acquired>, HostError> {
        let mut acquired = Vec::with_capacity(wants.len());
        let mut missing = wants.to_vec();
        if let By::Domain(start) = self.by {
            self.drop_leftovers(start, wants)?;
            missing.clear();
            for want in wants {
                match self.meet(start, want)? {
                    Some(found) => acquired.push(found),
                    None => missing.push(want.clone()),
                }
            }
        }
        let mut inventory = self.host.inventory();
        // All of them are planned before the first is made, so that a refusal costs nothing.
        while let Some((want, _)) = missing.split_first() {
            self.in_time()?;
            let placement = self.place(&missing, &mut inventory)?;
            made.push(want.uuid);
            self.finish(want, &placement)?;
            inventory.forget_room(&placement.parent);
            acquired.push(Acquired {
                uuid: want.uuid,
                parent: placement.parent,
                type_id: placement.type_id,
                how: How::Created,
            });
            missing.remove(0);
        }
        acquired.sort_by_key(|device| wants.iter().position(|want| want.uuid == device.uuid));
        Ok(acquired)
    }

    /// What the device of a want is now: ready already, or (`None`) to be created.
    fn meet(&self, start: &Start, want: &Want) -> Result<Option<Acquired>, HostError> {
        let began = Instant::now();
        let deadline = self.run.sooner(self.limits.ready);
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        loop {
            let found = self.existing(want)?;
            let exists = found.is_some();
            let ledger = self.state.ledger(self.lock_deadline())?;
            let record = ledger.record(want.uuid);
            let releasing = record.is_some_and(|record| record.state == State::Releasing);
            let acquired = |found: Existing, how| match found.type_id {
                Some(type_id) => Some(Acquired {
                    uuid: want.uuid,
                    parent: found.parent,
                    type_id,
                    how,
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
                        spec: want.spec.clone(),
                    });
                }
                Encounter::Adopt => {
                    self.idle(want.uuid)?;
                    // The start that made it may not have come to the parameters, or had others.
                    if let Some(params) = &want.params {
                        self.bus.write_params(want.uuid, params)?;
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
                    removal::forget(&self.bus, self.state, want.uuid, self.lock_deadline())?;
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
        let Some(device) = self.bus.device(want.uuid)? else {
            return Ok(None);
        };
        let by_id = device
            .type_id
            .as_ref()
            .is_some_and(|id| id.as_str() == want.spec.as_str());
        let type_name = match &device.type_id {
            Some(id) if !by_id => self.bus.type_name(&device.parent, id)?,
            _ => None,
        };
        Ok(Some(Existing {
            parent: device.parent,
            type_id: device.type_id,
            type_name,
        }))
    }

    /// Refuses a device that somebody is seen to hold. None seen proves nothing, and libvirt looks for itself.
    fn idle(&self, uuid: Uuid) -> Result<(), HostError> {
        match in_use::look(self.host.root(), uuid) {
            InUse::Yes { by } => Err(HostError::InUse { uuid, by }),
            InUse::No | InUse::Unknown => Ok(()),
        }
    }

    /// Creates the first of the wants: the plan's choice, or the next one while others win the races.
    fn place(&self, wants: &[Want], inventory: &mut Inventory) -> Result<Placement, HostError> {
        let mut stuck = None;
        for _ in 0..TRIES {
            self.in_time()?;
            let choice = match first(look::decide(&self.bus, wants, inventory)?) {
                Ok(choice) => choice,
                // That a lock was not to be had says more than what is left without its parent.
                Err(error) => return Err(stuck.unwrap_or(error)),
            };
            // Half of it, so that a GPU that is stuck leaves time for another one.
            let lock = self
                .state
                .parent_lock(&choice.parent, self.run.sooner(self.limits.lock / 2));
            let _lock = match lock {
                Ok(lock) => lock,
                Err(error @ HostError::Lock { .. }) => {
                    log::warn!("{error}; trying the next");
                    refused(inventory, &choice, error.to_string());
                    stuck = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.bus.device(choice.uuid)?.is_some() {
                // Somebody made it since we looked: it must not get a record that says it is ours.
                return Err(HostError::Exists { uuid: choice.uuid });
            }
            let need = Need::Available(choice.parent.clone(), choice.type_id.clone());
            look::read(&self.bus, &need, inventory)?;
            if first(look::decide(&self.bus, wants, inventory)?)?.parent != choice.parent {
                // Its room changed while the lock was waited for.
                continue;
            }
            self.intend(&choice)?;
            match self.bus.create(&choice.parent, &choice.type_id, choice.uuid) {
                Ok(()) => return Ok(choice),
                Err(error) => {
                    self.state.change(self.lock_deadline(), |ledger| {
                        Ok(ledger.apply(choice.uuid, Event::Failed)?)
                    })?;
                    if !error.is_lost_race() {
                        return Err(error.into());
                    }
                    log::info!("{} on {}: {error}; trying the next", choice.type_id, choice.parent);
                    let why = match error {
                        CreateError::Full { .. } => "it is full".to_owned(),
                        other => other.to_string(),
                    };
                    refused(inventory, &choice, why);
                }
            }
        }
        Err(self.out_of_time())
    }

    fn intend(&self, choice: &Placement) -> Result<(), HostError> {
        let record = Record {
            uuid: choice.uuid,
            framework: Framework::Mdev,
            parent: choice.parent.clone(),
            type_id: choice.type_id.clone(),
            state: State::Intent,
            owner: match self.by {
                By::Person => Owner::Manual,
                By::Domain(Start { domain, name, daemon }) => Owner::Domain {
                    uuid: *domain,
                    // For messages only, and argv may be 128 KiB long.
                    name: name.chars().take(NAME).collect(),
                    slot: choice.slot,
                    daemon: *daemon,
                },
            },
            boot_id: self.state.boot()?,
            since: clock::now(),
            extra: serde_json::Map::new(),
        };
        self.state.change(self.lock_deadline(), |ledger| {
            Ok(ledger.apply(choice.uuid, Event::Intend(Box::new(record)))?)
        })
    }

    /// From created to usable.
    fn finish(&self, want: &Want, placement: &Placement) -> Result<(), HostError> {
        if let Some(params) = &want.params {
            self.bus.write_params(want.uuid, params)?;
        }
        self.ready(want.uuid)?;
        self.state.change(self.lock_deadline(), |ledger| {
            Ok(ledger.apply(want.uuid, Event::Created { since: clock::now() })?)
        })?;
        log::info!("created {} ({}) on {}", want.uuid, placement.type_id, placement.parent);
        Ok(())
    }

    /// Waits until QEMU could take the device.
    fn ready(&self, uuid: Uuid) -> Result<(), HostError> {
        let began = Instant::now();
        let deadline = self.run.sooner(self.limits.ready);
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(20));
        loop {
            let missing = match self.bus.readiness(uuid)? {
                Readiness::Ready { .. } => return Ok(()),
                Readiness::NoDevice => "the device".to_owned(),
                Readiness::NoType => "its mdev_type link".to_owned(),
                Readiness::NoGroup => "its iommu_group link".to_owned(),
                Readiness::NoNode(path) => path.display().to_string(),
            };
            if !backoff.sleep(deadline) {
                return Err(HostError::NotReady {
                    uuid,
                    missing,
                    waited_ms: began.elapsed().as_millis(),
                });
            }
        }
    }

    /// Devices that an earlier start of this domain left behind, and that nothing wants now.
    fn drop_leftovers(&self, start: &Start, wants: &[Want]) -> Result<(), HostError> {
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

    fn undo(&self, made: &[Uuid]) {
        // Time of its own, so that a run that is out of time still cleans up; once for all of them.
        let deadline = Deadline::after(self.limits.removal);
        for uuid in made.iter().rev() {
            match self.remove_by(*uuid, deadline) {
                Ok(Removal::Removed | Removal::AlreadyGone) => log::info!("undone: device {uuid}"),
                Ok(Removal::Pending { why }) => log::warn!("not undone yet: device {uuid}: {why}"),
                Err(error) => log::error!("not undone: device {uuid}: {error}"),
            }
        }
    }

    fn remove(&self, uuid: Uuid) -> Result<Removal, HostError> {
        self.remove_by(uuid, self.run.sooner(self.limits.removal))
    }

    fn remove_by(&self, uuid: Uuid, deadline: Deadline) -> Result<Removal, HostError> {
        let actor = match self.by {
            By::Domain(start) => Actor::Domain(start.domain),
            By::Person => Actor::Person,
        };
        removal::remove(self.host, self.state, uuid, actor, deadline)
    }

    /// Whether the daemon is still there that will call `release`; a daemon that was never found proves nothing.
    fn daemon_lives(&self) -> bool {
        match self.by {
            By::Domain(Start {
                daemon: Some(daemon), ..
            }) => process::daemon_lives(daemon),
            By::Domain(_) | By::Person => true,
        }
    }

    fn in_time(&self) -> Result<(), HostError> {
        if self.run.is_over() {
            Err(self.out_of_time())
        } else {
            Ok(())
        }
    }

    fn out_of_time(&self) -> HostError {
        HostError::OutOfTime {
            limit_ms: self.limits.run.as_millis(),
        }
    }

    fn lock_deadline(&self) -> Deadline {
        self.run.sooner(self.limits.lock)
    }
}

/// The first placement of a plan; a plan has one for each want, and nobody plans for none.
fn first(decision: Decision) -> Result<Placement, HostError> {
    match decision {
        Decision::Plan(plan) => plan
            .placements
            .into_iter()
            .next()
            .ok_or(HostError::Restless { times: 0 }),
        Decision::Refusal(refusal) => Err(HostError::Refused(refusal)),
    }
}

/// Remembers that a parent would not, so that the next plan leaves it out.
fn refused(inventory: &mut Inventory, choice: &Placement, why: String) {
    inventory.residents = Known::NotYet;
    if let Some(offer) = inventory
        .parent_mut(&choice.parent)
        .and_then(|parent| parent.get_mut(&choice.type_id))
    {
        offer.refused = Some(why);
    }
}
