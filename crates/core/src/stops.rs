//! What would have to stop for a device to find room: "which stops would free a 24Q?"
//!
//! Invariant: every answer is checked against the GPU's rule: with these devices gone, the want fits. Of each GPU the
//! one that stops the fewest owners is told, found by trying all sets of up to [`EXACT`] owners; beyond, a set of which
//! nobody stops in vain.

use crate::plan::facts::Facts;
use crate::plan::{Need, Stop};
use crate::rule::{PlacementFile, Room};
use crate::{Inventory, PgpuName, Resident, Uuid, Want};
use std::collections::BTreeMap;

/// The most owners of which every set is tried (count): 32 of them make 5,488 sets.
const EXACT: usize = 3;

/// From how many owners on only pairs are tried (count).
const MANY: usize = 32;

/// What would make room on one physical GPU.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stops {
    /// Who would have to stop: the owners as they were given, and the device's UUID where it has none.
    pub owners: Vec<String>,
    /// Their devices on that GPU.
    pub devices: Vec<Uuid>,
    /// The GPU.
    pub pgpu: PgpuName,
}

/// For each physical GPU where the want could be and has no room: who would have to stop, the fewest first.
///
/// `owners` says whose each device is; devices of one owner go together. Empty when there is room already, and where
/// no stop would help.
///
/// ```
/// use mdevkit_core::{stops, Inventory, Need, Slot, TypeSpec, Want};
/// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
/// let want = Want::new(Slot::new(0)?, uuid, "V100DX-8Q".parse::<TypeSpec>()?);
/// assert_eq!(stops(&want, &Inventory::new("host"), &Default::default()), Err(vec![Need::Parents]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What it depends on and nobody has read: all of the inventory.
pub fn stops(want: &Want, inventory: &Inventory, owners: &BTreeMap<Uuid, String>) -> Result<Vec<Stops>, Vec<Need>> {
    let wants = std::slice::from_ref(want);
    let facts = Facts::gather_everything(wants, inventory).map_err(Stop::needs)?;
    let Some(kind) = facts.kinds.first() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (site, verdict) in facts.sites.iter().zip(&kind.verdicts) {
        let Ok(fits) = verdict else { continue };
        let fits = |room: &Room| fits.iter().any(|fit| site.gpu.left(room, usize::from(fit.of)) > 0);
        if fits(&site.start) {
            return Ok(Vec::new());
        }
        let mut by_owner: BTreeMap<String, Vec<&Resident>> = BTreeMap::new();
        let residents = inventory.residents.get().into_iter().flatten();
        for resident in residents.filter(|resident| site.parents.iter().any(|parent| parent.name == resident.parent)) {
            let owner = owners.get(&resident.uuid).cloned();
            by_owner
                .entry(owner.unwrap_or_else(|| resident.uuid.to_string()))
                .or_default()
                .push(resident);
        }
        let without = |set: &[usize]| -> Option<Room> {
            let mut room = site.start;
            for resident in set.iter().filter_map(|index| by_owner.values().nth(*index)).flatten() {
                let types = &site.gpu.facts().types;
                let ty = types
                    .iter()
                    .position(|facts| Some(&facts.id) == resident.type_id.as_ref())?;
                let place = match resident.placement.get() {
                    Some(PlacementFile::Id(id)) => Some(*id),
                    _ => None,
                };
                room = site.gpu.vacate(&room, ty, place)?;
            }
            Some(room)
        };
        let helps = |set: &[usize]| without(set).is_some_and(|room| fits(&room));
        let all: Vec<usize> = (0..by_owner.len()).collect();
        if !helps(&all) {
            continue;
        }
        let exact = EXACT.min(all.len());
        let most = if all.len() > MANY { exact.min(2) } else { exact };
        let fewest = (1..=most).find_map(|size| first_set(&all, size, &helps));
        let set = fewest.unwrap_or_else(|| none_in_vain(all, &helps));
        let chosen = || set.iter().filter_map(|index| by_owner.iter().nth(*index));
        found.push(Stops {
            owners: chosen().map(|(owner, _)| owner.clone()).collect(),
            devices: chosen()
                .flat_map(|(_, devices)| devices.iter().map(|device| device.uuid))
                .collect(),
            pgpu: site.pgpu.clone(),
        });
    }
    found.sort_by(|a, b| (a.owners.len(), a.devices.len(), &a.pgpu).cmp(&(b.owners.len(), b.devices.len(), &b.pgpu)));
    Ok(found)
}

/// What is left of a set that helps when everyone who stops in vain is taken out, the last ones first.
fn none_in_vain(mut set: Vec<usize>, helps: &dyn Fn(&[usize]) -> bool) -> Vec<usize> {
    for at in (0..set.len()).rev() {
        let one = set.remove(at);
        if !helps(&set) {
            set.insert(at, one);
        }
    }
    set
}

/// The first set of that size, in order, that helps.
fn first_set(of: &[usize], size: usize, helps: &dyn Fn(&[usize]) -> bool) -> Option<Vec<usize>> {
    fn grow(of: &[usize], size: usize, set: &mut Vec<usize>, helps: &dyn Fn(&[usize]) -> bool) -> bool {
        if size == 0 {
            return helps(set);
        }
        let mut rest = of;
        while let Some((first, after)) = rest.split_first() {
            set.push(*first);
            if grow(after, size - 1, set, helps) {
                return true;
            }
            set.pop();
            rest = after;
        }
        false
    }
    let mut set = Vec::with_capacity(size);
    grow(of, size, &mut set, helps).then_some(set)
}
