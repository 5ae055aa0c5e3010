//! A ledger from nothing: what sysfs, libvirt's status files and its domain files prove together.
//!
//! A device's UUID is made from its domain's UUID and a slot ([`device_uuid`]), so a device that has the UUID which a
//! known domain's slot would have, was made by us for that domain.
//!
//! Invariant: what is not proven this way gets no record, and so counts as foreign: it is never removed.

use crate::{HostError, Root, clock, libvirt};
use mdevkit_core::ledger::{BootId, Event, Framework, Ledger, Owner, Record, State};
use mdevkit_core::{Slot, Uuid, device_uuid};
use mdevkit_sysfs::mdev::Bus;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn rebuild(root: &Root, boot_id: BootId) -> Result<Ledger, HostError> {
    let bus = Bus::new(root);
    let devices: BTreeSet<Uuid> = bus.devices()?.into_iter().collect();
    let mut ledger = Ledger::default();
    if devices.is_empty() {
        return Ok(ledger);
    }
    let mut domains = libvirt::running(root)?;
    domains.extend(libvirt::defined(root)?);
    let since = clock::now();
    for (uuid, (domain, slot)) in candidates(&domains) {
        if !devices.contains(&uuid) || mdevctl_has(root, uuid)? {
            continue;
        }
        let Some(device) = bus.device(uuid)? else { continue };
        let Some(type_id) = device.type_id else { continue };
        let record = Record {
            uuid,
            framework: Framework::Mdev,
            parent: device.parent,
            type_id,
            state: State::Intent,
            owner: Owner::Domain {
                uuid: domain,
                name: String::new(),
                slot,
                daemon: None,
            },
            boot_id,
            since,
            extra: serde_json::Map::new(),
        };
        ledger.apply(uuid, Event::Intend(Box::new(record)))?;
        ledger.apply(uuid, Event::Created { since })?;
    }
    Ok(ledger)
}

/// Whether mdevctl keeps a definition of that device: then it made it, and a domain of ours only used it.
fn mdevctl_has(root: &Root, uuid: Uuid) -> Result<bool, HostError> {
    let dir = root.path("etc/mdevctl.d");
    let failed = |source| HostError::State {
        doing: "read",
        path: dir.clone(),
        source,
    };
    let parents = match std::fs::read_dir(&dir) {
        Ok(parents) => parents,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    for parent in parents {
        if parent.map_err(failed)?.path().join(uuid.to_string()).exists() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The devices that these domains would have.
fn candidates(domains: &BTreeSet<Uuid>) -> BTreeMap<Uuid, (Uuid, Slot)> {
    let slots = || (0..=u16::from(u8::MAX)).filter_map(|number| Slot::new(number).ok());
    domains
        .iter()
        .flat_map(|domain| slots().map(|slot| (device_uuid(*domain, slot), (*domain, slot))))
        .collect()
}
