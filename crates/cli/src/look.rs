//! What the commands that look at a host share: the survey, what is odd in the configuration, and how much of a
//! physical GPU a device takes.
//!
//! Invariant: what is odd is said on stderr and changes no answer.

use crate::cli::Context;
use crate::failure::Failure;
use crate::out::{note, plain};
use mdevkit_core::ledger::Owner;
use mdevkit_core::rule::TypeFacts;
use mdevkit_core::{
    Capacity, Code, GroupName, Known, PASSTHROUGH, ParentName, PgpuName, TypeId, TypeName, TypeSpec, Uuid, capacity,
};
use mdevkit_host::{CONFIG, Config, Finding, Host, HostError, PgpuRow, ResidentRow, Survey};
use std::collections::BTreeMap;

/// All of the host, and a warning for everything in the configuration that does not fit it.
pub(crate) fn survey(context: &Context) -> Result<Survey, Failure> {
    let host = context.host();
    let config = host.config()?;
    let survey = all(&host)?;
    warn(&host, &config)?;
    Ok(survey)
}

/// All of the host, with no word about its configuration.
pub(crate) fn all(host: &Host) -> Result<Survey, HostError> {
    let mut survey = host.survey()?;
    let cards: Vec<_> = survey.inventory.cards.get().into_iter().flatten().cloned().collect();
    // What is known of a card that has no parents stands in its own row.
    for card in cards {
        let gpu = survey.inventory.pgpu_mut(&card.name);
        if gpu.ids.is_not_yet() {
            gpu.ids = Known::Is(Some(card.ids));
        }
        if gpu.numa_node.is_not_yet() {
            gpu.numa_node = Known::Is(card.numa_node);
        }
    }
    Ok(survey)
}

/// Says what in the configuration does not fit this host.
pub(crate) fn warn(host: &Host, config: &Config) -> Result<(), Failure> {
    for finding in findings(host, config)? {
        note(format!("warning: {}: {}", path(host), plain(&finding.to_string())));
    }
    Ok(())
}

/// What in the configuration does not fit this host; without groups and GPUs in it nothing can.
pub(crate) fn findings(host: &Host, config: &Config) -> Result<Vec<Finding>, Failure> {
    if config.groups.is_empty() && config.gpus.is_empty() {
        return Ok(Vec::new());
    }
    Ok(host.check(config)?)
}

/// Where the configuration is.
pub(crate) fn path(host: &Host) -> String {
    host.root().path(CONFIG).display().to_string()
}

/// The GPU of that name, or the one that a parent of that name belongs to.
pub(crate) fn gpu<'s>(survey: &'s Survey, name: &ParentName) -> Result<&'s PgpuRow, Failure> {
    let mut gpus = survey.gpus.iter();
    gpus.find(|gpu| gpu.name.as_parent() == name || gpu.parents.contains(name))
        .ok_or_else(|| {
            let gpu = PgpuName::from(name.clone());
            Failure::from(HostError::NoGpu { gpu })
        })
}

/// The one type of a GPU that a person means.
pub(crate) fn type_of<'s>(gpu: &'s PgpuRow, spec: &TypeSpec) -> Result<&'s TypeId, Failure> {
    let meant: Vec<&TypeId> = gpu
        .types
        .iter()
        .filter(|ty| means(spec, &ty.id, ty.name.as_ref()))
        .map(|ty| &ty.id)
        .collect();
    match meant.as_slice() {
        [only] => Ok(only),
        [] => {
            let message = format!("{} does not offer a type {spec} (see: mdevkit gpus --json)", gpu.name);
            Err(Failure::new(Code::Type, message))
        }
        [first, second, ..] => {
            let message = format!("{spec} means more than one type: {first} and {second}; ask by id");
            Err(Failure::new(Code::Ambiguous, message))
        }
    }
}

/// Whether a person's word is this type.
pub(crate) fn means(spec: &TypeSpec, id: &TypeId, name: Option<&TypeName>) -> bool {
    spec.as_str() == id.as_str() || name.is_some_and(|name| spec.names(name))
}

/// What a person calls a GPU's group: its title.
pub(crate) fn group_title<'s>(survey: &'s Survey, gpu: &PgpuName) -> Option<&'s str> {
    let mut groups = survey.groups.iter();
    groups
        .find(|group| group.gpus.contains(gpu))
        .map(|group| group.title.as_str())
}

/// Whether a person's word is a GPU's group: by its name, or by its title.
pub(crate) fn is_in_group(survey: &Survey, gpu: &PgpuName, name: Option<&GroupName>, word: &str) -> bool {
    name.is_some_and(|name| name.as_str() == word) || group_title(survey, gpu) == Some(word)
}

/// Every type of every GPU, as [`capacity`] counts them.
pub(crate) fn capacities(survey: &Survey) -> Result<Vec<Capacity>, Failure> {
    capacity(&survey.inventory).map_err(|needs| {
        let first = needs.first().map(|need| format!("{need:?}")).unwrap_or_default();
        Failure::host(format!(
            "the host was not read completely ({first}); please report this as a bug"
        ))
    })
}

/// Whose a device is, in a person's words.
pub(crate) fn owner(owner: Option<&Owner>) -> String {
    match owner {
        Some(Owner::Domain { uuid, name, .. }) if name.is_empty() => format!("domain {uuid}"),
        Some(Owner::Domain { name, .. }) => format!("domain {}", plain(name)),
        Some(Owner::Manual) => "mdevkit create".to_owned(),
        Some(_) => "a newer mdevkit".to_owned(),
        None => "foreign".to_owned(),
    }
}

/// The domain that a device was made for: its UUID, and its name where that is known.
pub(crate) fn domain(owner: Option<&Owner>) -> Option<(Uuid, &str)> {
    match owner {
        Some(Owner::Domain { uuid, name, .. }) => Some((*uuid, name.as_str())),
        _ => None,
    }
}

/// What a GPU is called; its ids where nobody knows a name.
pub(crate) fn title(gpu: &PgpuRow) -> String {
    match (&gpu.names, gpu.ids) {
        (Some(names), _) => names.to_string(),
        (None, Some(ids)) => ids.to_string(),
        (None, None) => String::new(),
    }
}

/// How a GPU's devices are measured.
#[derive(Debug)]
pub(crate) struct Measure {
    /// `MiB` of framebuffer, `ports`, or `instances`.
    pub(crate) unit: &'static str,
    /// How much there is in all, where that is known.
    pub(crate) total: Option<u64>,
    sizes: BTreeMap<TypeId, u64>,
    names: BTreeMap<TypeId, TypeName>,
}

impl Measure {
    /// Framebuffer where the types say theirs, else what the drivers that share a pool count, else devices.
    pub(crate) fn of(gpu: &PgpuRow, survey: &Survey, capacities: &[Capacity]) -> Self {
        let facts = facts(gpu, survey);
        let size = |facts: &TypeFacts| facts.size_mib.map(u64::from);
        let cost = |facts: &TypeFacts| facts.cost.map(|cost| u64::from(cost.0.first().copied().unwrap_or(0)));
        let (unit, sizes): (_, BTreeMap<TypeId, u64>) = if facts.iter().any(|facts| size(facts).is_some()) {
            ("MiB", known(&facts, size))
        } else if facts.iter().any(|facts| cost(facts).is_some()) {
            ("ports", known(&facts, cost))
        } else {
            ("instances", known(&facts, |_| Some(1)))
        };
        let here = |id: &TypeId| capacities.iter().find(|row| row.pgpu == gpu.name && row.type_id == *id);
        let whole = |facts: &TypeFacts| {
            let count = facts.max.or_else(|| here(&facts.id).map(|row| row.total))?;
            Some(u64::from(count) * sizes.get(&facts.id)?)
        };
        let total = facts.iter().filter_map(whole).max().filter(|total| *total > 0);
        Self {
            unit,
            total,
            sizes,
            names: gpu
                .types
                .iter()
                .filter_map(|ty| Some((ty.id.clone(), ty.name.clone()?)))
                .collect(),
        }
    }

    /// How much a device takes; none where nobody says it.
    pub(crate) fn size(&self, device: &ResidentRow) -> Option<u64> {
        self.sizes.get(device.type_id.as_ref()?).copied()
    }

    /// Whether it is framebuffer that is measured.
    pub(crate) fn is_framebuffer(&self) -> bool {
        self.unit == "MiB"
    }

    /// How much the devices take in all; what nobody says is not in it.
    pub(crate) fn used(&self, gpu: &PgpuRow) -> u64 {
        gpu.residents.iter().filter_map(|device| self.size(device)).sum()
    }

    /// What a device's type is called in few words: the short name, else the id.
    pub(crate) fn label(&self, device: &ResidentRow) -> String {
        let Some(id) = &device.type_id else {
            return "(coming or going)".to_owned();
        };
        let name = self.names.get(id);
        name.and_then(TypeName::short).unwrap_or(id.as_str()).to_owned()
    }

    /// A device's full type name.
    pub(crate) fn name(&self, device: &ResidentRow) -> Option<&str> {
        let name = self.names.get(device.type_id.as_ref()?)?;
        Some(name.as_str())
    }
}

fn known(facts: &[TypeFacts], size: impl Fn(&TypeFacts) -> Option<u64>) -> BTreeMap<TypeId, u64> {
    facts
        .iter()
        .filter_map(|facts| Some((facts.id.clone(), size(facts)?)))
        .collect()
}

/// What the drivers say of a GPU's types; the card as a whole is not one of them.
fn facts(gpu: &PgpuRow, survey: &Survey) -> Vec<TypeFacts> {
    let offers = |id: &TypeId| {
        let parents = gpu.parents.iter().filter_map(|name| survey.inventory.parent(name));
        let offers: Vec<_> = parents.filter_map(|parent| parent.get(id)).collect();
        offers
    };
    let types = gpu.types.iter().filter(|ty| ty.id.as_str() != PASSTHROUGH);
    types
        .map(|ty| {
            let offers = offers(&ty.id);
            let description = offers.iter().find_map(|offer| offer.description.get());
            TypeFacts::read(ty.id.clone(), ty.name.as_ref(), description.map(String::as_str))
        })
        .collect()
}
