//! A start: every wanted device is there and ready, or none that was not there before.
//!
//! Invariants: the domain's lock is held for all of it, one GPU's lock from the last look at its room until
//! `create` returned; what a failed start made it removes again, and nothing else.

use crate::clock::{self, Backoff};
use crate::look::{self, Decision, Eyes};
use crate::removal::{self, Removal};
use crate::state::StateDir;
use crate::{Config, Deadline, Host, HostError, Limits, admission, process};
use mdevkit_core::ledger::{Actor, Daemon, Event, Framework, Owner, Record, State};
use mdevkit_core::{
    Because, Beside, Inventory, PASSTHROUGH, ParentName, PgpuName, Placement, TypeId, Uuid, Want, What,
};
use mdevkit_sysfs::mdev::{CreateError, Readiness};
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
    /// The guest's operating system, its libosinfo id, where the domain says it.
    pub os: Option<String>,
}

/// A device that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The device.
    pub uuid: Uuid,
    /// The physical GPU that it is on.
    pub pgpu: PgpuName,
    /// The parent that made it: the GPU itself, or one of its VFs.
    pub parent: ParentName,
    /// What it is.
    pub type_id: TypeId,
    /// How the domain came to it.
    pub how: How,
    /// Why it is there; none when it was there before.
    pub because: Option<Because>,
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
    pub fn acquire(&self, start: &Start, wants: &[Want], config: &Config) -> Result<Vec<Acquired>, HostError> {
        acquire(self, &By::Domain(start.clone()), wants, config)
    }
}

/// On whose behalf.
pub(crate) enum By {
    /// A domain that starts.
    Domain(Start),
    /// A person at a terminal.
    Person,
}

pub(crate) fn acquire(host: &Host, by: &By, wants: &[Want], config: &Config) -> Result<Vec<Acquired>, HostError> {
    let limits = &config.limits;
    let run = Deadline::after(limits.run);
    let uid = nix::unistd::geteuid();
    if host.root.is_system() && !uid.is_root() {
        return Err(HostError::NotRoot { uid: uid.as_raw() });
    }
    // A PCI device is bound when the XML is written: at a start its hostdev is there or it never will be.
    let whole = |want: &&Want| matches!(&want.what, What::Type(spec) if spec.as_str() == PASSTHROUGH);
    if let Some(want) = wants.iter().find(whole) {
        return Err(HostError::Passthrough { slot: want.slot });
    }
    let state = host.state();
    let lock = match by {
        By::Domain(start) => Some(state.domain_lock(start.domain, run.sooner(limits.lock))?),
        By::Person => None,
    };
    let acquire = Acquire {
        host,
        eyes: host.eyes(),
        state: &state,
        by,
        config,
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
pub(crate) struct Acquire<'a> {
    pub(crate) host: &'a Host,
    pub(crate) eyes: Eyes<'a>,
    pub(crate) state: &'a StateDir<'a>,
    by: &'a By,
    config: &'a Config,
    pub(crate) limits: &'a Limits,
    pub(crate) run: Deadline,
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
        if missing.is_empty() {
            return Ok(acquired);
        }
        let mut inventory = self.host.inventory(self.config)?;
        // All of them are planned before the first is made, so that a refusal costs nothing.
        match look::decide(&self.eyes, &missing, &beside(wants, &acquired), &mut inventory)? {
            Decision::Refusal(refusal) => return Err(HostError::Refused(refusal)),
            Decision::Plan(plan) => {
                let os = match self.by {
                    By::Domain(start) => start.os.as_deref(),
                    By::Person => None,
                };
                admission::check(self.host.bus(), wants, &plan, &acquired, &inventory, os)?;
            }
        }
        while !missing.is_empty() {
            self.in_time()?;
            let placement = self.place(&missing, &beside(wants, &acquired), &mut inventory)?;
            made.push(placement.uuid);
            if let Some(want) = missing.iter().find(|want| want.uuid == placement.uuid) {
                self.finish(want, &placement)?;
            }
            inventory.forget_room(&placement.pgpu);
            missing.retain(|want| want.uuid != placement.uuid);
            acquired.push(Acquired {
                uuid: placement.uuid,
                pgpu: placement.pgpu,
                parent: placement.parent,
                type_id: placement.type_id,
                how: How::Created,
                because: Some(placement.because),
            });
        }
        acquired.sort_by_key(|device| wants.iter().position(|want| want.uuid == device.uuid));
        Ok(acquired)
    }

    /// Creates one of the wants, the plan's first: the plan's choice, or the next one while others win the races.
    fn place(&self, wants: &[Want], beside: &[Beside], inventory: &mut Inventory) -> Result<Placement, HostError> {
        let mut stuck = None;
        for _ in 0..TRIES {
            self.in_time()?;
            let gpu = match first(look::decide(&self.eyes, wants, beside, inventory)?) {
                Ok(choice) => choice.pgpu,
                // That a lock was not to be had says more than what is left without its GPU.
                Err(error) => return Err(stuck.unwrap_or(error)),
            };
            // Half of it, so that a GPU that is stuck leaves time for another one.
            let _lock = match self.state.gpu_lock(&gpu, self.run.sooner(self.limits.lock / 2)) {
                Ok(lock) => lock,
                Err(error) => {
                    let HostError::Lock { holder, .. } = &error else {
                        return Err(error);
                    };
                    log::warn!("{error}; trying the next");
                    inventory.pgpu_mut(&gpu).busy = Some(format!("{holder} has its lock"));
                    stuck = Some(error);
                    continue;
                }
            };
            // What all of its parents have room for may have changed while the lock was waited for.
            inventory.forget_room(&gpu);
            let choice = match first(look::decide(&self.eyes, wants, beside, inventory)?) {
                Ok(choice) => choice,
                Err(error) => return Err(stuck.unwrap_or(error)),
            };
            if choice.pgpu != gpu {
                continue;
            }
            if self.eyes.bus.device(choice.uuid)?.is_some() {
                // Somebody made it since we looked: it must not get a record that says it is ours.
                return Err(HostError::Exists { uuid: choice.uuid });
            }
            self.intend(&choice)?;
            match self.eyes.bus.create(&choice.parent, &choice.type_id, choice.uuid) {
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
                By::Domain(Start {
                    domain, name, daemon, ..
                }) => Owner::Domain {
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
            self.eyes.bus.write_params(want.uuid, params)?;
        }
        self.ready(want.uuid)?;
        self.state.change(self.lock_deadline(), |ledger| {
            Ok(ledger.apply(want.uuid, Event::Created { since: clock::now() })?)
        })?;
        log::info!("created {} ({}) on {}", want.uuid, placement.type_id, placement.parent);
        Ok(())
    }

    /// Waits until QEMU could take the device.
    pub(crate) fn ready(&self, uuid: Uuid) -> Result<(), HostError> {
        let began = Instant::now();
        let deadline = self.run.sooner(self.limits.ready);
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(20));
        loop {
            let missing = match self.eyes.bus.readiness(uuid)? {
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

    pub(crate) fn remove(&self, uuid: Uuid) -> Result<Removal, HostError> {
        self.remove_by(uuid, self.run.sooner(self.limits.removal))
    }

    pub(crate) fn remove_by(&self, uuid: Uuid, deadline: Deadline) -> Result<Removal, HostError> {
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

    pub(crate) fn lock_deadline(&self) -> Deadline {
        self.run.sooner(self.limits.lock)
    }
}

/// What the domain has already, for those of its devices that are yet to be made.
fn beside(wants: &[Want], acquired: &[Acquired]) -> Vec<Beside> {
    acquired
        .iter()
        .map(|device| Beside {
            pgpu: device.pgpu.clone(),
            apart: wants.iter().any(|want| want.uuid == device.uuid && want.apart),
        })
        .collect()
}

/// The placement of a plan whose turn it is; a plan has one for each want, and nobody plans for none.
fn first(decision: Decision) -> Result<Placement, HostError> {
    match decision {
        Decision::Plan(plan) => plan
            .placements
            .into_iter()
            .min_by_key(|place| place.turn)
            .ok_or(HostError::Restless { times: 0 }),
        Decision::Refusal(refusal) => Err(HostError::Refused(refusal)),
    }
}

/// Remembers that a parent would not, so that the next plan leaves it out, and that its GPU has other room than it said.
fn refused(inventory: &mut Inventory, choice: &Placement, why: String) {
    inventory.forget_room(&choice.pgpu);
    if let Some(offer) = inventory
        .parent_mut(&choice.parent)
        .and_then(|parent| parent.get_mut(&choice.type_id))
    {
        offer.refused = Some(why);
    }
}
