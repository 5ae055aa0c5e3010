//! How many more: of each type, on each physical GPU, now and on the empty host.
//!
//! Invariant: "now" is never more than the kernel says; each number is for one type alone, because types share what
//! they are cut from.

use crate::plan::explain::no_room_for;
use crate::plan::facts::{Facts, Site};
use crate::plan::{Need, Stop};
use crate::rule::GpuFacts;
use crate::{CardState, GroupName, Inventory, PASSTHROUGH, PgpuName, TypeId, TypeName, Why};
use std::collections::BTreeMap;

/// One type on one physical GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The physical GPU.
    pub pgpu: PgpuName,
    /// Its group: the configured one, else the automatic one of its vendor and device; none where it is not PCI.
    pub group: Option<GroupName>,
    /// The type's id; `passthrough` for the card as a whole.
    pub type_id: TypeId,
    /// Its full name, where the driver gives one.
    pub name: Option<TypeName>,
    /// How many more can be made now (count).
    pub available: u32,
    /// How many could be, were the GPU empty (count): 0 for a type that is not enabled.
    pub total: u32,
    /// Why none can be made now; none when there is room.
    pub why: Option<Why>,
}

/// Every type of every physical GPU, by address and id.
///
/// ```
/// use mdevkit_core::{capacity, Inventory, Known, Offer, Parent};
/// let mut inventory = Inventory::new("lab");
/// (inventory.listed, inventory.residents, inventory.cards) = (true, Known::Is(vec![]), Known::Is(vec![]));
/// let mut parent = Parent::whole("mtty".parse()?);
/// let offer = Offer {
///     name: Known::Is(Some("Dual port serial".parse()?)),
///     description: Known::Is(String::new()),
///     available: Known::Is(12),
///     ..Offer::default()
/// };
/// parent.offer("mtty-2".parse()?, offer);
/// inventory.add(parent);
/// inventory.pgpu_mut(&"mtty".parse()?).ids = Known::Is(None);
/// let rows = capacity(&inventory).map_err(|needs| format!("{needs:?}"))?;
/// assert_eq!((rows[0].available, rows[0].total, &rows[0].why), (12, 12, &None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What it depends on and nobody has read: all of the inventory.
pub fn capacity(inventory: &Inventory) -> Result<Vec<Capacity>, Vec<Need>> {
    let facts = Facts::gather_everything(&[], inventory).map_err(Stop::needs)?;
    let mut rows = Vec::new();
    for site in &facts.sites {
        for (index, of) in site.gpu.facts().types.iter().enumerate() {
            let (name, enabled) = told(site, &of.id, inventory);
            let left = site.gpu.left(&site.start, index);
            let why = forbidden(site, &of.id, enabled, inventory)
                .or_else(|| (left == 0).then(|| no_room_for(site, |id| *id == of.id, inventory)));
            rows.push(Capacity {
                pgpu: site.pgpu.clone(),
                group: group(site, inventory),
                type_id: of.id.clone(),
                name,
                available: if why.is_some() { 0 } else { left },
                total: if enabled {
                    site.gpu.left(&site.gpu.empty(), index)
                } else {
                    0
                },
                why,
            });
        }
    }
    Ok(rows)
}

/// What every physical GPU is to the capacity rules ([`crate::rule`]), its own rule included: the configured one, else
/// the one that was found out.
///
/// ```
/// use mdevkit_core::{rule_facts, Inventory, Need};
/// assert_eq!(rule_facts(&Inventory::new("host")), Err(vec![Need::Parents]));
/// ```
///
/// # Errors
/// What it depends on and nobody has read: all of the inventory.
pub fn rule_facts(inventory: &Inventory) -> Result<BTreeMap<PgpuName, GpuFacts>, Vec<Need>> {
    let facts = Facts::gather_everything(&[], inventory).map_err(Stop::needs)?;
    let of = |site: &Site<'_>| (site.pgpu.clone(), site.gpu.facts().clone());
    Ok(facts.sites.iter().map(of).collect())
}

fn group(site: &Site<'_>, inventory: &Inventory) -> Option<GroupName> {
    let ids = || inventory.pgpu(site.pgpu).ids.get().copied().flatten();
    site.group
        .map(|group| group.name.clone())
        .or_else(|| ids().map(GroupName::from))
}

/// What a type is called, and whether it may be made there.
fn told(site: &Site<'_>, id: &TypeId, inventory: &Inventory) -> (Option<TypeName>, bool) {
    if id.as_str() == PASSTHROUGH {
        let enabled = inventory.rulebook.enabled(site.pgpu, site.group, id, None);
        return (None, enabled.unwrap_or(false));
    }
    let mut parents = site.parents.iter().copied().chain(inventory.parents());
    let name = parents.find_map(|parent| parent.get(id)?.name.get()).cloned().flatten();
    let enabled = inventory.rulebook.enabled(site.pgpu, site.group, id, name.as_ref());
    (name, enabled.unwrap_or(false))
}

/// Why nothing of that type can be made, whatever the room.
fn forbidden(site: &Site<'_>, id: &TypeId, enabled: bool, inventory: &Inventory) -> Option<Why> {
    if !enabled {
        return Some(Why::NotEnabled);
    }
    if inventory.rulebook.cordoned(site.pgpu) {
        return Some(Why::Cordoned);
    }
    if id.as_str() == PASSTHROUGH && site.is_split() {
        return Some(Why::Split);
    }
    let unreadable = |parent: &&crate::Parent| match &parent.get(id)?.available {
        crate::Known::Unreadable(why) => Some(why.clone()),
        _ => None,
    };
    if !site.parents.is_empty() && site.parents.iter().all(|parent| unreadable(parent).is_some()) {
        return site.parents.iter().find_map(unreadable).map(Why::Unreadable);
    }
    let card = inventory
        .cards
        .get()
        .into_iter()
        .flatten()
        .find(|card| card.name == *site.pgpu);
    match card.map(|card| &card.state) {
        Some(CardState::PassedThrough { driver }) if id.as_str() == PASSTHROUGH => {
            Some(Why::PassedThrough { driver: driver.clone() })
        }
        _ => None,
    }
}
