//! Devices that a person makes and removes: `mdevkit create`, `mdevkit remove`.
//!
//! Invariant: only what was made here may be removed here; a domain's devices end with the domain.

use crate::acquire::{self, By};
use crate::removal::{self, Removal};
use crate::{Deadline, Host, HostError};
use mdevkit_core::ledger::{Actor, Owner};
use mdevkit_core::{Because, GroupName, Params, ParentName, PgpuName, Policy, Slot, TypeId, Uuid, Want, What};

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualAsk {
    /// A type, or the least that is needed.
    pub what: What,
    /// The group to take it from.
    pub group: Option<GroupName>,
    /// The one parent, or the one physical GPU, to use.
    pub parent: Option<ParentName>,
    /// How to choose among physical GPUs; the group's or the host's own otherwise.
    pub policy: Option<Policy>,
    /// The device's identity.
    pub uuid: Uuid,
    /// The vGPU's parameters.
    pub params: Option<Params>,
}

impl ManualAsk {
    /// A device anywhere, and no more.
    ///
    /// ```
    /// use mdevkit_core::TypeSpec;
    /// use mdevkit_host::ManualAsk;
    /// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
    /// let ask = ManualAsk::new("mtty-2".parse::<TypeSpec>()?, uuid);
    /// assert!(ask.policy.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(what: impl Into<What>, uuid: Uuid) -> Self {
        Self {
            what: what.into(),
            group: None,
            parent: None,
            policy: None,
            uuid,
            params: None,
        }
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The device.
    pub uuid: Uuid,
    /// The physical GPU that it is on.
    pub pgpu: PgpuName,
    /// The parent that made it: the GPU itself, or one of its VFs.
    pub parent: ParentName,
    /// What it is.
    pub type_id: TypeId,
    /// Why it is there.
    pub because: Option<Because>,
}

impl Host {
    /// Makes a device by hand.
    ///
    /// # Errors
    /// It exists, there is no place for it, or the kernel refused; nothing is left then.
    pub fn create(&self, ask: &ManualAsk) -> Result<Made, HostError> {
        let slot = Slot::lowest_unused(&[]).ok_or(HostError::NoDevice { uuid: ask.uuid })?;
        let want = Want {
            group: ask.group.clone(),
            policy: ask.policy,
            parent: ask.parent.clone(),
            params: ask.params.clone(),
            ..Want::new(slot, ask.uuid, ask.what.clone())
        };
        let acquired = acquire::acquire(self, &By::Person, std::slice::from_ref(&want), &self.config()?)?;
        let device = acquired
            .into_iter()
            .next()
            .ok_or(HostError::NoDevice { uuid: ask.uuid })?;
        Ok(Made {
            uuid: device.uuid,
            pgpu: device.pgpu,
            parent: device.parent,
            type_id: device.type_id,
            because: device.because,
        })
    }

    /// Removes a device that was made by hand.
    ///
    /// # Errors
    /// It does not exist, or is not one of those.
    pub fn remove(&self, uuid: Uuid) -> Result<Removal, HostError> {
        let limits = self.config()?.limits;
        let state = self.state();
        let ledger = state.ledger(Deadline::after(limits.lock))?;
        match (
            ledger.record(uuid).map(|record| &record.owner),
            self.bus().device(uuid)?,
        ) {
            (Some(Owner::Manual), _) => {}
            (Some(owner), _) => {
                return Err(HostError::Owned {
                    uuid,
                    by: owner.to_string(),
                });
            }
            (None, Some(_)) => return Err(HostError::Foreign { uuid }),
            (None, None) => return Err(HostError::NoDevice { uuid }),
        }
        removal::remove(self, &state, uuid, Actor::Person, Deadline::after(limits.removal))
    }
}
