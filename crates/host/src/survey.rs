//! All of the host at once, for people: its GPUs, their groups, what runs where and whose it is.
//!
//! Invariant: looking never touches, and one odd file costs one cell, not the table: what could not be read stands in
//! [`PgpuRow::problems`].

use crate::{Config, Deadline, Host, HostError, Limits, facts};
use mdevkit_core::ledger::{Ledger, Owner};
use mdevkit_core::rule::{self, PlacementFile, Rule};
use mdevkit_core::{
    Card, CardState, Group, GroupName, Inventory, Known, Need, PASSTHROUGH, Parent, ParentName, PciIds, PgpuName,
    Policy, TypeId, TypeName, TypeSpec, Uuid,
};
use mdevkit_sysfs::pci_ids::{self, Names};
use std::collections::{BTreeMap, BTreeSet};

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
        let mut surveyor = Surveyor {
            host: self,
            inventory: &inventory,
            ledger: &ledger,
            names: BTreeMap::new(),
        };
        let (gpus, groups) = surveyor.rows();
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

/// Who makes the rows.
struct Surveyor<'a> {
    host: &'a Host,
    inventory: &'a Inventory,
    ledger: &'a Ledger,
    names: BTreeMap<PciIds, Names>,
}

impl<'a> Surveyor<'a> {
    fn rows(&mut self) -> (Vec<PgpuRow>, Vec<GroupRow>) {
        let mut sites: BTreeMap<&PgpuName, (Vec<&Parent>, Option<&Card>)> = BTreeMap::new();
        for (name, parents) in self.inventory.pgpus() {
            sites.insert(name, (parents, None));
        }
        for card in self.inventory.cards.get().into_iter().flatten() {
            sites.entry(&card.name).or_default().1 = Some(card);
        }
        let ids: BTreeSet<PciIds> = sites
            .iter()
            .filter_map(|(name, (_, card))| self.ids(name, *card))
            .collect();
        self.names = pci_ids::lookup_all(self.host.root(), ids).unwrap_or_else(|error| {
            log::debug!("{error}");
            BTreeMap::new()
        });
        let gpus: Vec<PgpuRow> = sites
            .into_iter()
            .map(|(name, (parents, card))| self.gpu(name, &parents, card))
            .collect();
        let groups = self.groups(&gpus);
        (gpus, groups)
    }

    fn ids(&self, name: &PgpuName, card: Option<&Card>) -> Option<PciIds> {
        card.map(|card| card.ids)
            .or_else(|| self.inventory.pgpu(name).ids.get().copied().flatten())
    }

    fn gpu(&self, name: &PgpuName, parents: &[&Parent], card: Option<&Card>) -> PgpuRow {
        let book = &self.inventory.rulebook;
        let ids = self.ids(name, card);
        let claims: Vec<&Group> = book.claims(name, ids).collect();
        let group = match claims.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let rule = self.rule(name, parents, group);
        let residents = self.residents(parents);
        let mut problems = problems(self.inventory, name, parents);
        let driver = match name.bdf().map(|bdf| self.host.eyes().pci.driver(bdf)) {
            Some(Ok(driver)) => driver,
            Some(Err(error)) => {
                problems.push(error.to_string());
                None
            }
            None => None,
        };
        let types = self.types(name, parents, group);
        let state = match claims.as_slice() {
            [first, second, ..] => format!("claimed by two groups ({} and {})", first.name, second.name),
            _ => state(book.cordoned(name), parents, card, &rule, &types, residents.len()),
        };
        PgpuRow {
            name: name.clone(),
            parents: parents.iter().map(|parent| parent.name.clone()).collect(),
            ids,
            names: ids.and_then(|ids| self.names.get(&ids)).cloned(),
            numa_node: match card {
                Some(card) => card.numa_node,
                None => self.inventory.pgpu(name).numa_node.get().copied().flatten(),
            },
            driver,
            group: match claims.len() {
                0 => ids.map(GroupName::from),
                _ => group.map(|group| group.name.clone()),
            },
            policy: group.and_then(|group| group.policy).unwrap_or(book.policy),
            rule,
            cordoned: book.cordoned(name),
            types,
            residents,
            state,
            problems,
        }
    }

    fn rule(&self, name: &PgpuName, parents: &[&Parent], group: Option<&Group>) -> RuleRow {
        let configured = group.and_then(|group| group.rule);
        let mut facts = facts::of(self.inventory, name, parents);
        let found = rule::detect(&facts);
        facts.rule = configured.unwrap_or(found.rule);
        let contradiction = rule::contradiction(&rule::Gpu::new(facts));
        match (configured, group) {
            (Some(rule), Some(group)) => RuleRow {
                rule,
                configured: true,
                proven: found.proven && found.rule == rule,
                why: format!("group {} says so", group.name),
                contradiction,
            },
            _ => RuleRow {
                rule: found.rule,
                configured: false,
                proven: found.proven,
                why: found.why,
                contradiction,
            },
        }
    }

    fn types(&self, name: &PgpuName, parents: &[&Parent], group: Option<&Group>) -> Vec<PgpuType> {
        let book = &self.inventory.rulebook;
        let ids: BTreeSet<TypeId> = parents
            .iter()
            .flat_map(|parent| parent.offers.get().into_iter().flat_map(BTreeMap::keys))
            .cloned()
            .chain(PASSTHROUGH.parse().ok().filter(|_| name.bdf().is_some()))
            .collect();
        ids.into_iter()
            .map(|id| {
                let said = parents.iter().find_map(|parent| parent.get(&id)?.name.get());
                let called = said.cloned().flatten();
                PgpuType {
                    enabled: book.enabled(name, group, &id, called.as_ref()).unwrap_or(false),
                    name: called,
                    id,
                }
            })
            .collect()
    }

    fn residents(&self, parents: &[&Parent]) -> Vec<ResidentRow> {
        let here = |name: &ParentName| parents.iter().any(|parent| parent.name == *name);
        let residents = self.inventory.residents.get().into_iter().flatten();
        let mut rows: Vec<ResidentRow> = residents
            .filter(|resident| here(&resident.parent))
            .map(|resident| ResidentRow {
                uuid: resident.uuid,
                parent: resident.parent.clone(),
                type_id: resident.type_id.clone(),
                owner: self.ledger.record(resident.uuid).map(|record| record.owner.clone()),
                placement: match resident.placement.get() {
                    Some(PlacementFile::Id(id)) => Some(*id),
                    _ => None,
                },
            })
            .collect();
        rows.sort_by_key(|row| row.uuid);
        rows
    }

    fn groups(&self, gpus: &[PgpuRow]) -> Vec<GroupRow> {
        let book = &self.inventory.rulebook;
        let mut groups: Vec<GroupRow> = book
            .groups
            .iter()
            .map(|group| GroupRow {
                name: Some(group.name.clone()),
                title: group.name.to_string(),
                configured: true,
                gpus: gpus
                    .iter()
                    .filter(|gpu| book.claims(&gpu.name, gpu.ids).any(|claim| claim == group))
                    .map(|gpu| gpu.name.clone())
                    .collect(),
                policy: group.policy.unwrap_or(book.policy),
                rule: group.rule,
                types: group.types.clone(),
            })
            .collect();
        for gpu in gpus {
            if book.claims(&gpu.name, gpu.ids).next().is_some() {
                continue;
            }
            let title = title(gpu);
            match groups
                .iter_mut()
                .find(|group| !group.configured && group.title == title)
            {
                Some(group) => group.gpus.push(gpu.name.clone()),
                None => groups.push(GroupRow {
                    name: gpu.group.clone(),
                    title,
                    configured: false,
                    gpus: vec![gpu.name.clone()],
                    policy: book.policy,
                    rule: None,
                    types: None,
                }),
            }
        }
        groups
    }
}

/// The automatic group's name, as XenServer writes it.
fn title(gpu: &PgpuRow) -> String {
    match (gpu.ids, &gpu.names) {
        (None, _) => format!("Group of {}", gpu.name),
        (Some(ids), None) => format!("Group of {ids} GPUs"),
        (Some(ids), Some(names)) if names.device.is_none() => {
            format!("Group of {} Device {:04x} GPUs", names.vendor, ids.device)
        }
        (Some(_), Some(names)) => format!("Group of {names} GPUs"),
    }
}

/// How a GPU is, in a few words.
fn state(
    cordoned: bool,
    parents: &[&Parent],
    card: Option<&Card>,
    rule: &RuleRow,
    types: &[PgpuType],
    devices: usize,
) -> String {
    let count = match devices {
        1 => "1 device".to_owned(),
        many => format!("{many} devices"),
    };
    if cordoned {
        return match devices {
            0 => "cordoned".to_owned(),
            _ => format!("cordoned ({count})"),
        };
    }
    match card.map(|card| &card.state) {
        Some(CardState::VfsOff { total }) => return format!("virtual functions off (0 of {total})"),
        Some(CardState::PassedThrough { driver }) => return format!("passed through ({driver})"),
        Some(CardState::NotSplit { driver: Some(driver) }) => return format!("not split (driver {driver})"),
        Some(_) => return "not split (no driver)".to_owned(),
        None => {}
    }
    if !parents.iter().any(|parent| parent.offers.get().is_some()) {
        return "cannot be read".to_owned();
    }
    let enabled = |id: &TypeId| types.iter().any(|ty| ty.id == *id && ty.enabled);
    let room = parents.iter().any(|parent| {
        let offers = parent.offers.get().into_iter().flatten();
        offers
            .into_iter()
            .any(|(id, offer)| enabled(id) && offer.available.get() > Some(&0))
    });
    match (devices, room) {
        (0, false) if rule.rule == Rule::Mig => "in MIG mode, without GPU instances".to_owned(),
        (0, false) if !types.iter().any(|ty| ty.enabled && ty.id.as_str() != PASSTHROUGH) => {
            "no type enabled".to_owned()
        }
        (0, false) => "no room".to_owned(),
        (0, true) => "empty".to_owned(),
        (_, false) => format!("full ({count})"),
        (_, true) => format!("in use ({count})"),
    }
}

/// Everything of a GPU that could not be read, each reason once.
fn problems(inventory: &Inventory, name: &PgpuName, parents: &[&Parent]) -> Vec<String> {
    fn why<T>(known: &Known<T>) -> Option<&String> {
        match known {
            Known::Unreadable(why) => Some(why),
            Known::Is(_) | Known::NotYet => None,
        }
    }
    let gpu = inventory.pgpu(name);
    let mut found: Vec<&String> = why(&gpu.ids).into_iter().chain(why(&gpu.numa_node)).collect();
    for parent in parents {
        found.extend(why(&parent.offers));
        for offer in parent.offers.get().into_iter().flat_map(BTreeMap::values) {
            found.extend(why(&offer.name));
            found.extend(why(&offer.description));
            found.extend(why(&offer.device_api));
            found.extend(why(&offer.available));
        }
    }
    let mut seen = BTreeSet::new();
    found.into_iter().filter(|why| seen.insert(*why)).cloned().collect()
}
