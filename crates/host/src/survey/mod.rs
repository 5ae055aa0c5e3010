//! All of the host at once, for people: its GPUs, their groups, what runs where and whose it is.
//!
//! Invariant: looking never touches, and one odd file costs one cell, not the table: what could not be read stands in
//! [`PgpuRow::problems`].

mod rows;

use crate::{Config, Deadline, Host, HostError, Limits};
use mdevkit_core::ledger::Owner;
use mdevkit_core::rule::Rule;
use mdevkit_core::{
    GroupName, Inventory, Known, Need, ParentName, PciIds, PgpuName, Policy, TypeId, TypeName, TypeSpec, Uuid,
};
use mdevkit_sysfs::pci_ids::Names;
use std::collections::BTreeMap;

/// What was seen of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// All of it, as `core::capacity`, `core::stops` and `core::plan` take it: none of them needs to read more.
    pub inventory: Inventory,
    /// The physical GPUs, by address; graphics cards without parents of mediated devices among them.
    pub gpus: Vec<PgpuRow>,
    /// The groups: the configured ones in their order, then the automatic ones by address.
    pub groups: Vec<GroupRow>,
}

/// One physical GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PgpuRow {
    /// Its name.
    pub name: PgpuName,
    /// Its parents of mediated devices, by address: itself, or its VFs.
    pub parents: Vec<ParentName>,
    /// Vendor and device, where it is PCI.
    pub ids: Option<PciIds>,
    /// What these are called, where `pci.ids` is installed and knows them.
    pub names: Option<Names>,
    /// Its NUMA node, where the kernel knows one.
    pub numa_node: Option<u32>,
    /// The driver that it is bound to.
    pub driver: Option<String>,
    /// Its group: the configured one, or the automatic one of its vendor and device; none where it is not PCI, or two
    /// groups claim it.
    pub group: Option<GroupName>,
    /// The policy where a request names none.
    pub policy: Policy,
    /// Its capacity rule.
    pub rule: RuleRow,
    /// Whether nothing new is made on it.
    pub cordoned: bool,
    /// The types that it supports, by id; `passthrough` among them where it is a PCI card.
    pub types: Vec<PgpuType>,
    /// The devices on it, by UUID.
    pub residents: Vec<ResidentRow>,
    /// How it is, in a few words: `empty`, `in use (2 devices)`, `cordoned`...
    pub state: String,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// A GPU's capacity rule, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// The rule.
    pub rule: Rule,
    /// Whether the configuration says so.
    pub configured: bool,
    /// Whether the host's own numbers show it.
    pub proven: bool,
    /// Why it is this one, as a part of a sentence.
    pub why: String,
    /// What the host's numbers say against it.
    pub contradiction: Option<String>,
}

/// A type that a GPU supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgpuType {
    /// Its id.
    pub id: TypeId,
    /// Its full name, where the driver gives one.
    pub name: Option<TypeName>,
    /// Whether the operator allows it there.
    pub enabled: bool,
}

/// A device on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidentRow {
    /// Which.
    pub uuid: Uuid,
    /// Its parent.
    pub parent: ParentName,
    /// What it is; none while it is being made or removed.
    pub type_id: Option<TypeId>,
    /// Whose it is; none when it is foreign.
    pub owner: Option<Owner>,
    /// Its place in the framebuffer, where the driver says it (slots).
    pub placement: Option<u16>,
}

/// A group of GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupRow {
    /// How requests name it; none where it has no vendor and device.
    pub name: Option<GroupName>,
    /// What a person reads: `Group of NVIDIA Corporation GK104GL [GRID K2] GPUs`, or the configured name.
    pub title: String,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// Its GPUs, by address.
    pub gpus: Vec<PgpuName>,
    /// The policy of its GPUs where a request names none.
    pub policy: Policy,
    /// The rule that is configured for it.
    pub rule: Option<Rule>,
    /// The types that are configured for it; all when none.
    pub types: Option<Vec<TypeSpec>>,
}

impl Host {
    /// Looks at all of the host.
    ///
    /// ```
    /// use mdevkit_host::{Host, Root};
    /// let nowhere = tempfile::tempdir()?;
    /// assert!(Host::new(Root::at(nowhere.path())).survey()?.gpus.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The parents cannot be listed; the configuration, the run-time settings or the ledger cannot be read.
    pub fn survey(&self) -> Result<Survey, HostError> {
        self.survey_with(&self.config()?)
    }

    /// The same with another configuration than the host's own.
    pub(crate) fn survey_with(&self, config: &Config) -> Result<Survey, HostError> {
        let inventory = self.everything(config)?;
        let ledger = self.state().ledger(Deadline::after(Limits::default().lock))?;
        let (gpus, groups) = rows::rows(self, &inventory, &ledger);
        Ok(Survey {
            inventory,
            gpus,
            groups,
        })
    }

    /// All that there is to know, read eagerly. What a type is called and how it is described is asked of one parent of
    /// each GPU: its VFs offer the same ones.
    fn everything(&self, config: &Config) -> Result<Inventory, HostError> {
        let (eyes, mut inventory) = (self.eyes(), self.inventory(config)?);
        eyes.read(&Need::Parents, &mut inventory)?;
        let parents: Vec<ParentName> = inventory.parents().map(|parent| parent.name.clone()).collect();
        for parent in &parents {
            eyes.read(&Need::Pgpu(parent.clone()), &mut inventory)?;
            eyes.read(&Need::Types(parent.clone()), &mut inventory)?;
        }
        for parent in &parents {
            let ids: Vec<TypeId> = offered(&inventory, parent);
            for id in ids {
                let need = |need: fn(ParentName, TypeId) -> Need| need(parent.clone(), id.clone());
                eyes.read(&need(Need::Available), &mut inventory)?;
                if !inventory.copy_words(parent, &id) {
                    for words in [Need::Name, Need::Description, Need::DeviceApi] {
                        eyes.read(&need(words), &mut inventory)?;
                    }
                }
            }
        }
        eyes.read(&Need::Residents, &mut inventory)?;
        eyes.read(&Need::Cards, &mut inventory)?;
        let gpus: Vec<PgpuName> = inventory.pgpus().into_keys().cloned().collect();
        for gpu in gpus {
            for need in [Need::Ids, Need::NumaNode, Need::Placements] {
                eyes.read(&need(gpu.clone()), &mut inventory)?;
            }
        }
        Ok(inventory)
    }
}

impl Survey {
    /// Whose each device is, in words, as `core::stops` takes it; foreign ones are not in it.
    pub fn owners(&self) -> BTreeMap<Uuid, String> {
        let residents = self.gpus.iter().flat_map(|gpu| &gpu.residents);
        residents
            .filter_map(|resident| Some((resident.uuid, resident.owner.as_ref()?.to_string())))
            .collect()
    }
}

fn offered(inventory: &Inventory, parent: &ParentName) -> Vec<TypeId> {
    inventory
        .parent(parent)
        .and_then(|parent| parent.offers.get())
        .into_iter()
        .flat_map(BTreeMap::keys)
        .cloned()
        .collect()
}

/// What one VF said of a type, its siblings need not be asked.
trait Siblings {
    /// Copies name, description and interface from a sibling that could say all of them; whether there was one.
    fn copy_words(&mut self, parent: &ParentName, id: &TypeId) -> bool;
}

impl Siblings for Inventory {
    fn copy_words(&mut self, parent: &ParentName, id: &TypeId) -> bool {
        let Some(Known::Is(gpu)) = self.parent(parent).map(|parent| parent.pgpu.clone()) else {
            return false;
        };
        let siblings = self.parents().filter(|sibling| sibling.pgpu.get() == Some(&gpu));
        let said = siblings
            .filter_map(|sibling| sibling.get(id))
            .find(|offer| {
                offer.name.get().is_some() && offer.description.get().is_some() && offer.device_api.get().is_some()
            })
            .cloned();
        let (Some(said), Some(offer)) = (said, self.parent_mut(parent).and_then(|parent| parent.get_mut(id))) else {
            return false;
        };
        (offer.name, offer.description, offer.device_api) = (said.name, said.description, said.device_api);
        true
    }
}
