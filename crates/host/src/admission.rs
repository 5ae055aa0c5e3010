//! NVIDIA's rules on what one guest may have, asked between the plan and the first create: the driver would take the
//! devices, and the guest would fail later.
//!
//! Invariant: `core::admit` decides, and what cannot be read breaks no rule. For one device nothing is read that the plan
//! did not read: only guests with several can break a rule that refuses.

use crate::acquire::Acquired;
use crate::{Host, HostError};
use mdevkit_core::{
    Admittee, Description, Finding, Inventory, ParentName, PgpuName, Plan, Slot, TypeId, TypeName, Want, admit,
};
use mdevkit_sysfs::mdev::Bus;
use std::collections::BTreeMap;

/// What a driver says of a type.
type Said = (Option<TypeName>, Description);

impl Host {
    /// The rules of `core::admit` that a planned domain would break; `os` is its libosinfo id.
    pub fn admission(&self, plan: &Plan, os: Option<&str>) -> Vec<Finding> {
        let places = plan
            .placements
            .iter()
            .map(|place| (place.slot, &place.pgpu, &place.parent, &place.type_id));
        let mut reader = Reader::new(self.bus());
        admit(&reader.admittees(places, |_, _| true), os)
    }
}

/// Stops a start that breaks a rule; warns of what is not supported. `found` are the domain's devices that are there
/// already.
pub(crate) fn check(
    bus: Bus<'_>,
    wants: &[Want],
    plan: &Plan,
    found: &[Acquired],
    inventory: &Inventory,
    os: Option<&str>,
) -> Result<(), HostError> {
    let slot = |device: &Acquired| wants.iter().find(|want| want.uuid == device.uuid).map(|want| want.slot);
    let there = found
        .iter()
        .filter_map(|device| Some((slot(device)?, &device.pgpu, &device.parent, &device.type_id)));
    let planned = plan
        .placements
        .iter()
        .map(|place| (place.slot, &place.pgpu, &place.parent, &place.type_id));
    let several = wants.len() > 1;
    let mut reader = Reader::new(bus);
    reader.hear(inventory, several);
    let devices = reader.admittees(there.chain(planned), |_, id| {
        several && id.as_str().starts_with("nvidia-")
    });
    for finding in admit(&devices, os) {
        if finding.refuses {
            return Err(HostError::Rule(finding));
        }
        log::warn!("{finding}");
    }
    Ok(())
}

/// Reads each type's words once.
struct Reader<'r> {
    bus: Bus<'r>,
    said: BTreeMap<TypeId, Said>,
}

impl<'r> Reader<'r> {
    fn new(bus: Bus<'r>) -> Self {
        Self {
            bus,
            said: BTreeMap::new(),
        }
    }

    /// Takes over what was heard for the plan; for several devices descriptions count, too.
    fn hear(&mut self, inventory: &Inventory, several: bool) {
        for parent in inventory.parents() {
            for (id, offer) in parent.offers.get().into_iter().flatten() {
                let description = offer.description.get().map(|text| Description::read(text));
                if let Some(name) = offer.name.get()
                    && (description.is_some() || !several)
                {
                    self.said
                        .insert(id.clone(), (name.clone(), description.unwrap_or_default()));
                }
            }
        }
    }

    fn admittees<'a>(
        &mut self,
        places: impl Iterator<Item = (Slot, &'a PgpuName, &'a ParentName, &'a TypeId)>,
        may_read: impl Fn(&ParentName, &TypeId) -> bool,
    ) -> Vec<Admittee> {
        places
            .map(|(slot, pgpu, parent, id)| {
                if !self.said.contains_key(id) && may_read(parent, id) {
                    let name = self.bus.type_name(parent, id).ok().flatten();
                    let description = self.bus.description(parent, id).ok().flatten();
                    self.said.insert(id.clone(), (name, description.unwrap_or_default()));
                }
                let said = self.said.get(id);
                Admittee {
                    slot,
                    pgpu: pgpu.clone(),
                    name: said.and_then(|(name, _)| name.clone()),
                    max_instances: said.and_then(|(_, description)| description.max_instances),
                }
            })
            .collect()
    }
}
