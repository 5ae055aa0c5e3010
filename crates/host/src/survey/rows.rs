//! The rows: what an inventory of which everything was read says, GPU by GPU and group by group.
//!
//! Invariant: nothing is read here but names for people and each card's driver.

use super::{GroupRow, PgpuRow, PgpuType, ResidentRow, RuleRow};
use crate::Host;
use mdevkit_core::ledger::Ledger;
use mdevkit_core::rule::{self, GpuFacts, PlacementFile, Rule};
use mdevkit_core::{
    Card, CardState, Group, GroupName, Inventory, Known, PASSTHROUGH, Parent, ParentName, PciIds, PgpuName, TypeId,
    rule_facts,
};
use mdevkit_sysfs::pci_ids::{self, Names};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of all GPUs and groups.
pub(super) fn rows(host: &Host, inventory: &Inventory, ledger: &Ledger) -> (Vec<PgpuRow>, Vec<GroupRow>) {
    let mut surveyor = Surveyor {
        host,
        inventory,
        ledger,
        facts: rule_facts(inventory).unwrap_or_else(|needs| {
            log::warn!("a survey left {needs:?} out; its rules are not told");
            BTreeMap::new()
        }),
        names: BTreeMap::new(),
    };
    surveyor.rows()
}

/// Who makes the rows.
struct Surveyor<'a> {
    host: &'a Host,
    inventory: &'a Inventory,
    ledger: &'a Ledger,
    facts: BTreeMap<PgpuName, GpuFacts>,
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
        let rule = self.rule(name, group);
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

    fn rule(&self, name: &PgpuName, group: Option<&Group>) -> RuleRow {
        let configured = group.and_then(|group| group.rule);
        let mut facts = self
            .facts
            .get(name)
            .cloned()
            .unwrap_or_else(|| GpuFacts::new(Rule::WholeCard));
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
