//! What a person sees: every type and every device of the host.
//!
//! Invariant: looking never touches, and one odd file costs one cell, not the table.

use crate::{Deadline, Host, HostError, InUse, Limits};
use mdevkit_core::ledger::{Owner, State};
use mdevkit_core::{Description, DeviceApi, ParentName, PgpuName, TypeId, TypeName, Uuid};
use mdevkit_sysfs::mdev::Bus;
use mdevkit_sysfs::{SysfsError, in_use};

/// One type on one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// The physical GPU.
    pub pgpu: PgpuName,
    /// The parent.
    pub parent: ParentName,
    /// The type's id.
    pub id: TypeId,
    /// Its full name, where the driver gives one.
    pub name: Option<TypeName>,
    /// Its description's text, where the driver gives one.
    pub description: Option<String>,
    /// What the description says.
    pub read: Description,
    /// What QEMU gets.
    pub device_api: Option<DeviceApi>,
    /// How many more the parent says it can make (count).
    pub available_instances: Option<u32>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its identity.
    pub uuid: Uuid,
    /// The physical GPU that it is on.
    pub pgpu: PgpuName,
    /// The parent that made it: the GPU itself, or one of its VFs.
    pub parent: ParentName,
    /// What it is; none while it is being made or removed.
    pub type_id: Option<TypeId>,
    /// What that is called.
    pub type_name: Option<TypeName>,
    /// Whose it is; none when it is foreign.
    pub owner: Option<Owner>,
    /// Where it is in its life, when it is ours.
    pub state: Option<State>,
    /// Whether somebody is seen to hold it.
    pub in_use: InUse,
}

impl Host {
    /// Every type of every parent, by address and id.
    ///
    /// # Errors
    /// The list of parents cannot be read.
    pub fn types(&self) -> Result<Vec<TypeRow>, HostError> {
        let bus = self.bus();
        let mut rows = Vec::new();
        for parent in bus.parents()? {
            let pgpu = pgpu_of(&bus, &parent);
            for id in bus.type_ids(&parent)? {
                let mut problems = Vec::new();
                let name = noted(bus.type_name(&parent, &id), &mut problems);
                let description = noted(bus.description_text(&parent, &id), &mut problems);
                let device_api = noted(bus.device_api(&parent, &id), &mut problems);
                let available_instances = noted(bus.available(&parent, &id), &mut problems);
                let read = description.as_deref().map(Description::read).unwrap_or_default();
                rows.push(TypeRow {
                    pgpu: pgpu.clone(),
                    parent: parent.clone(),
                    id,
                    name,
                    description,
                    read,
                    device_api,
                    available_instances,
                    problems,
                });
            }
        }
        Ok(rows)
    }

    /// Every device, anybody's, by UUID.
    ///
    /// # Errors
    /// The list of devices or the ledger cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, HostError> {
        let bus = self.bus();
        let uuids = bus.devices()?;
        if uuids.is_empty() {
            return Ok(Vec::new());
        }
        let ledger = self.state().ledger(Deadline::after(Limits::default().lock))?;
        let mut rows = Vec::with_capacity(uuids.len());
        for uuid in uuids {
            let Some(device) = bus.device(uuid)? else { continue };
            let record = ledger.record(uuid);
            let type_name = match &device.type_id {
                Some(id) => bus.type_name(&device.parent, id)?,
                None => None,
            };
            rows.push(DeviceRow {
                uuid,
                pgpu: pgpu_of(&bus, &device.parent),
                parent: device.parent,
                type_id: device.type_id,
                type_name,
                owner: record.map(|record| record.owner.clone()),
                state: record.map(|record| record.state),
                in_use: in_use::look(self.root(), uuid),
            });
        }
        Ok(rows)
    }
}

/// A parent that left meanwhile, or whose link is odd, is its own GPU.
fn pgpu_of(bus: &Bus<'_>, parent: &ParentName) -> PgpuName {
    let found = bus.pgpu_of(parent).ok().flatten();
    found.unwrap_or_else(|| parent.clone().into())
}

fn noted<T>(read: Result<Option<T>, SysfsError>, problems: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    })
}
