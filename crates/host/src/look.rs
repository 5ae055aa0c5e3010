//! Looking: reads from sysfs exactly what a plan needs.
//!
//! Invariant: looking never touches (no group is opened), and one parent whose files are odd does not hide the others:
//! what cannot be read is [`Known::Unreadable`] with the reason.

use crate::{Host, HostError};
use mdevkit_core::{Answer, Inventory, Known, Need, Offer, Parent, Plan, Refusal, Resident, TypeId, Want, plan};
use mdevkit_sysfs::SysfsError;
use mdevkit_sysfs::mdev::Bus;

/// A plan, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Where each device would go.
    Plan(Plan),
    /// Why one of them has no place.
    Refusal(Box<Refusal>),
}

/// More rounds than any plan takes (see `core::plan`); it ends even if a host's answers make no sense.
const ROUNDS: usize = 16;

impl Host {
    /// Where these devices would go now. Looks, and makes nothing.
    ///
    /// # Errors
    /// sysfs cannot be read at all.
    pub fn plan(&self, wants: &[Want]) -> Result<Decision, HostError> {
        decide(&self.bus(), wants, &mut self.inventory())
    }

    /// An inventory of which nothing is known yet.
    pub(crate) fn inventory(&self) -> Inventory {
        Inventory::new(
            nix::unistd::gethostname()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        )
    }
}

/// Plans, reading what is needed as it is asked for.
pub(crate) fn decide(bus: &Bus<'_>, wants: &[Want], inventory: &mut Inventory) -> Result<Decision, HostError> {
    for _ in 0..ROUNDS {
        match plan(wants, inventory) {
            Answer::Plan(plan) => return Ok(Decision::Plan(plan)),
            Answer::Refusal(refusal) => return Ok(Decision::Refusal(refusal)),
            Answer::Needs(needs) => {
                for need in needs {
                    read(bus, &need, inventory)?;
                }
            }
        }
    }
    Err(HostError::Restless { times: ROUNDS })
}

/// Reads one thing into the inventory.
pub(crate) fn read(bus: &Bus<'_>, need: &Need, inventory: &mut Inventory) -> Result<(), HostError> {
    match need {
        Need::Parents => {
            for name in bus.parents()? {
                inventory.add(Parent::new(name));
            }
            inventory.listed = true;
        }
        Need::Types(name) => {
            let offers = known(
                bus.type_ids(name).map(|ids| Some(offers(ids))),
                "mdev_supported_types is missing",
            );
            if let Some(parent) = inventory.parent_mut(name) {
                parent.offers = offers;
            }
        }
        Need::Name(name, id) => with(inventory, name, id, |offer| {
            offer.name = known(bus.type_name(name, id).map(Some), "name is missing");
        }),
        Need::Available(name, id) => with(inventory, name, id, |offer| {
            offer.available = known(bus.available(name, id), "available_instances is missing");
        }),
        Need::DeviceApi(name, id) => with(inventory, name, id, |offer| {
            offer.device_api = known(bus.device_api(name, id), "device_api is missing");
        }),
        Need::Residents => inventory.residents = known(residents(bus).map(Some), ""),
    }
    Ok(())
}

fn offers(ids: Vec<TypeId>) -> std::collections::BTreeMap<TypeId, Offer> {
    ids.into_iter().map(|id| (id, Offer::default())).collect()
}

fn with(inventory: &mut Inventory, name: &mdevkit_core::ParentName, id: &TypeId, change: impl FnOnce(&mut Offer)) {
    if let Some(offer) = inventory.parent_mut(name).and_then(|parent| parent.get_mut(id)) {
        change(offer);
    }
}

fn known<T>(read: Result<Option<T>, SysfsError>, missing: &str) -> Known<T> {
    match read {
        Ok(Some(value)) => Known::Is(value),
        Ok(None) => Known::Unreadable(missing.to_owned()),
        Err(error) => Known::Unreadable(error.to_string()),
    }
}

fn residents(bus: &Bus<'_>) -> Result<Vec<Resident>, SysfsError> {
    let mut found = Vec::new();
    for uuid in bus.devices()? {
        // One that went away meanwhile is no resident.
        if let Some(device) = bus.device(uuid)? {
            found.push(Resident {
                parent: device.parent,
                type_id: device.type_id,
                uuid,
            });
        }
    }
    Ok(found)
}
