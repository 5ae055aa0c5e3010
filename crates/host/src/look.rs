//! Looking: reads from sysfs exactly what a plan needs.
//!
//! Invariant: looking never touches (no group is opened), and one parent whose files are odd does not hide the others:
//! what cannot be read is [`Known::Unreadable`] with the reason.

use crate::{Config, Host, HostError, cards};
use mdevkit_core::rule::PlacementFile;
use mdevkit_core::{
    Answer, Batch, Bdf, Beside, Inventory, Known, Need, Offer, Parent, ParentName, PgpuName, Plan, Refusal, Resident,
    TypeId, Want, plan_all, plan_beside,
};
use mdevkit_sysfs::SysfsError;
use mdevkit_sysfs::mdev::Bus;
use mdevkit_sysfs::pci::Pci;

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
    /// Where these devices of one domain would go now. Looks, and makes nothing.
    ///
    /// # Errors
    /// sysfs, the configuration or the run-time settings cannot be read.
    pub fn plan(&self, wants: &[Want]) -> Result<Decision, HostError> {
        decide(&self.eyes(), wants, &[], &mut self.inventory(&self.config()?)?)
    }

    /// Where the devices of several domains would go together. Looks, and makes nothing.
    ///
    /// # Errors
    /// sysfs, the configuration or the run-time settings cannot be read.
    pub fn plan_all(&self, domains: &[Vec<Want>]) -> Result<Batch, HostError> {
        let (eyes, mut inventory) = (self.eyes(), self.inventory(&self.config()?)?);
        for _ in 0..ROUNDS {
            match plan_all(domains, &inventory) {
                Ok(batch) => return Ok(batch),
                Err(needs) => {
                    for need in needs {
                        eyes.read(&need, &mut inventory)?;
                    }
                }
            }
        }
        Err(HostError::Restless { times: ROUNDS })
    }

    /// An inventory of which nothing is known yet but what the operator says: the configuration, and what was switched
    /// at run time.
    pub(crate) fn inventory(&self, config: &Config) -> Result<Inventory, HostError> {
        let mut inventory = Inventory::new(
            nix::unistd::gethostname()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        );
        inventory.rulebook = self.rulebook(config)?;
        Ok(inventory)
    }

    pub(crate) fn eyes(&self) -> Eyes<'_> {
        Eyes {
            bus: self.bus(),
            pci: Pci::new(&self.root),
        }
    }
}

/// Plans beside the devices that the domain has already, reading what is needed as it is asked for.
pub(crate) fn decide(
    eyes: &Eyes<'_>,
    wants: &[Want],
    beside: &[Beside],
    inventory: &mut Inventory,
) -> Result<Decision, HostError> {
    for _ in 0..ROUNDS {
        match plan_beside(wants, beside, inventory) {
            Answer::Plan(plan) => return Ok(Decision::Plan(plan)),
            Answer::Refusal(refusal) => return Ok(Decision::Refusal(refusal)),
            Answer::Needs(needs) => {
                for need in needs {
                    eyes.read(&need, inventory)?;
                }
            }
        }
    }
    Err(HostError::Restless { times: ROUNDS })
}

/// What looks at the kernel's files.
pub(crate) struct Eyes<'r> {
    pub(crate) bus: Bus<'r>,
    pub(crate) pci: Pci<'r>,
}

impl Eyes<'_> {
    /// Reads one thing into the inventory.
    pub(crate) fn read(&self, need: &Need, inventory: &mut Inventory) -> Result<(), HostError> {
        let bus = &self.bus;
        match need {
            Need::Parents => {
                for name in bus.parents()? {
                    inventory.add(Parent::new(name));
                }
                inventory.listed = true;
            }
            Need::Pgpu(name) => {
                let pgpu = known(bus.pgpu_of(name), "the parent is gone");
                if let Some(parent) = inventory.parent_mut(name) {
                    parent.pgpu = pgpu;
                }
            }
            Need::Types(name) => {
                // The driver lists the types by card: what one function offers, its siblings do, too.
                let offers = match sibling_types(inventory, name) {
                    Some(ids) => Known::Is(offers(ids)),
                    None => known(
                        bus.type_ids(name).map(|ids| Some(offers(ids))),
                        "mdev_supported_types is missing",
                    ),
                };
                if let Some(parent) = inventory.parent_mut(name) {
                    parent.offers = offers;
                }
            }
            Need::Ids(name) => inventory.pgpu_mut(name).ids = known(of_function(name, |bdf| self.pci.ids(bdf)), ""),
            Need::NumaNode(name) => {
                inventory.pgpu_mut(name).numa_node = known(of_function(name, |bdf| self.pci.numa_node(bdf)), "");
            }
            Need::Name(name, id) => with(inventory, name, id, |offer| {
                offer.name = known(bus.type_name(name, id).map(Some), "name is missing");
            }),
            Need::Description(name, id) => with(inventory, name, id, |offer| {
                let text = bus.description_text(name, id);
                offer.description = known(text.map(|text| Some(text.unwrap_or_default())), "");
            }),
            Need::Available(name, id) => with(inventory, name, id, |offer| {
                offer.available = known(bus.available(name, id), "available_instances is missing");
            }),
            Need::DeviceApi(name, id) => with(inventory, name, id, |offer| {
                offer.device_api = known(bus.device_api(name, id), "device_api is missing");
            }),
            Need::Residents => inventory.residents = known(residents(bus).map(Some), ""),
            Need::Placements(name) => self.placements(name, inventory),
            Need::Cards => {
                let cards = known(cards::read(self, inventory).map(Some), "");
                // What is asked of every GPU was read with the card.
                for card in cards.get().into_iter().flatten() {
                    let pgpu = inventory.pgpu_mut(&card.name);
                    (pgpu.ids, pgpu.numa_node) = (Known::Is(Some(card.ids)), Known::Is(card.numa_node));
                }
                inventory.cards = cards;
            }
        }
        Ok(())
    }

    /// Where the devices of a physical GPU are in its framebuffer. `Not Applicable` is also what a vGPU says that no
    /// guest has started yet, so it does not prove that mixed sizes are off.
    fn placements(&self, name: &PgpuName, inventory: &mut Inventory) {
        let parents: Vec<ParentName> = inventory
            .pgpus()
            .get(name)
            .into_iter()
            .flatten()
            .map(|parent| parent.name.clone())
            .collect();
        let Known::Is(residents) = &mut inventory.residents else {
            return;
        };
        for resident in residents
            .iter_mut()
            .filter(|resident| parents.contains(&resident.parent))
        {
            resident.placement = known(self.bus.placement_id(resident.uuid).map(|id| Some(place(id))), "");
        }
    }
}

/// What a physical GPU's function says; nothing where it is not PCI, or is gone.
fn of_function<T>(
    name: &PgpuName,
    read: impl FnOnce(Bdf) -> Result<Option<T>, SysfsError>,
) -> Result<Option<Option<T>>, SysfsError> {
    match name.bdf() {
        Some(bdf) => read(bdf).map(Some),
        None => Ok(Some(None)),
    }
}

fn place(id: Option<u32>) -> PlacementFile {
    id.and_then(|id| u16::try_from(id).ok())
        .map_or(PlacementFile::Unknown, PlacementFile::Id)
}

/// The types of another function of the same card.
fn sibling_types(inventory: &Inventory, name: &ParentName) -> Option<Vec<TypeId>> {
    let gpu = inventory.parent(name)?.pgpu.get()?;
    let mut siblings = inventory.parents().filter(|parent| parent.pgpu.get() == Some(gpu));
    let offers = siblings.find_map(|sibling| sibling.offers.get())?;
    Some(offers.keys().cloned().collect())
}

fn offers(ids: Vec<TypeId>) -> std::collections::BTreeMap<TypeId, Offer> {
    ids.into_iter().map(|id| (id, Offer::default())).collect()
}

fn with(inventory: &mut Inventory, name: &ParentName, id: &TypeId, change: impl FnOnce(&mut Offer)) {
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
                placement: Known::NotYet,
            });
        }
    }
    Ok(found)
}
