//! Graphics cards that have no parent of mediated devices, and why.
//!
//! Invariant: a card that is a parent, or that a parent is a virtual function of, is none of them; one whose files are
//! odd is left out, and hides no other.

use crate::look::Eyes;
use mdevkit_core::{Bdf, Card, CardState, Inventory, ParentName, PgpuName};
use mdevkit_sysfs::SysfsError;
use std::collections::BTreeSet;

/// Drivers that a whole card is passed through by.
const WHOLE: [&str; 2] = ["vfio-pci", "pci-stub"];

/// Reads the cards that have no parent.
pub(crate) fn read(eyes: &Eyes<'_>, inventory: &Inventory) -> Result<Vec<Card>, SysfsError> {
    let mut parents: BTreeSet<PgpuName> = BTreeSet::new();
    for parent in inventory.parents() {
        parents.insert(parent.name.clone().into());
        if let Ok(Some(pgpu)) = eyes.bus.pgpu_of(&parent.name) {
            parents.insert(pgpu);
        }
    }
    let functions = eyes.pci.functions()?;
    for odd in &functions.unreadable {
        log::debug!("{odd}");
    }
    let mut cards = Vec::new();
    for bdf in functions.display {
        let Some(name) = named(bdf).filter(|name| !parents.contains(name)) else {
            continue;
        };
        match card(eyes, bdf, name) {
            Ok(card) => cards.extend(card),
            Err(error) => log::debug!("{error}"),
        }
    }
    Ok(cards)
}

fn named(bdf: Bdf) -> Option<PgpuName> {
    bdf.to_string().parse::<ParentName>().ok().map(PgpuName::from)
}

fn card(eyes: &Eyes<'_>, bdf: Bdf, name: PgpuName) -> Result<Option<Card>, SysfsError> {
    let Some(ids) = eyes.pci.ids(bdf)? else { return Ok(None) };
    let driver = eyes.pci.driver(bdf)?;
    let state = match driver {
        Some(driver) if WHOLE.contains(&driver.as_str()) => CardState::PassedThrough { driver },
        driver => match eyes.pci.sriov(bdf)? {
            Some(sriov) if sriov.total > 0 && sriov.enabled == 0 => CardState::VfsOff { total: sriov.total },
            _ => CardState::NotSplit { driver },
        },
    };
    let numa_node = eyes.pci.numa_node(bdf)?;
    Ok(Some(Card {
        name,
        ids,
        numa_node,
        state,
    }))
}
