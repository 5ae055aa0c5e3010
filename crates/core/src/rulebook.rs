//! What the operator says about a host's physical GPUs: groups, enabled types, cordons, rules, the default policy.
//!
//! Invariant: the last word on a type is, in this order: what was switched at run time, the GPU's own list, its
//! group's list, and yes.

use crate::rule::Rule;
use crate::{GroupName, PciIds, PgpuName, Policy, TypeId, TypeName, TypeSpec};
use std::collections::BTreeMap;

/// The operator's word about a host.
///
/// ```
/// use mdevkit_core::{Group, Member, PgpuName, Rulebook};
/// let gpu: PgpuName = "0000:06:00.0".parse()?;
/// let cad = Group { members: vec![Member::Model("10de:1db5".parse()?)], ..Group::new("cad".parse()?) };
/// let book = Rulebook { groups: vec![cad], ..Rulebook::default() };
/// let claims = book.claims(&gpu, Some("10de:1db5".parse()?));
/// assert_eq!(claims.map(|group| group.name.as_str()).collect::<Vec<_>>(), ["cad"]);
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// The policy where neither the request nor a group has one.
    pub policy: Policy,
    /// The configured groups, in the order of the configuration.
    pub groups: Vec<Group>,
    /// Single GPUs.
    pub gpus: BTreeMap<PgpuName, GpuSettings>,
}

/// A configured group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Who belongs to it.
    pub members: Vec<Member>,
    /// Its allocation algorithm.
    pub policy: Option<Policy>,
    /// Its capacity rule; found out from the host otherwise.
    pub rule: Option<Rule>,
    /// The types that may be created on its GPUs; all when none are said.
    pub types: Option<Vec<TypeSpec>>,
}

impl Group {
    /// A group of nobody, with nothing set.
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            members: Vec::new(),
            policy: None,
            rule: None,
            types: None,
        }
    }

    fn has(&self, gpu: &PgpuName, ids: Option<PciIds>) -> bool {
        self.members.iter().any(|member| match member {
            Member::Gpu(name) => name == gpu,
            Member::Model(model) => ids == Some(*model),
        })
    }
}

/// Who belongs to a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// This GPU.
    Gpu(PgpuName),
    /// Every GPU of this vendor and device.
    Model(PciIds),
}

/// What is set for one GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuSettings {
    /// Nothing new is made on it.
    pub cordoned: bool,
    /// The types that may be created on it; its group's when none are said.
    pub types: Option<Vec<TypeSpec>>,
    /// What was switched on (true) or off at run time.
    pub switched: BTreeMap<TypeId, bool>,
}

impl Rulebook {
    /// The configured groups that claim a GPU; there should be one at most. `ids` are needed only when a group has a
    /// [`Member::Model`].
    pub fn claims(&self, gpu: &PgpuName, ids: Option<PciIds>) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.has(gpu, ids))
    }

    /// Whether nobody can say which group a GPU belongs to without its vendor and device.
    pub fn needs_ids(&self) -> bool {
        let model = |member: &Member| matches!(member, Member::Model(_));
        self.groups.iter().any(|group| group.members.iter().any(model))
    }

    /// The configured group of that name.
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// Whether nothing new is made on a GPU.
    pub fn cordoned(&self, gpu: &PgpuName) -> bool {
        self.gpus.get(gpu).is_some_and(|settings| settings.cordoned)
    }

    /// Whether a type may be created on a GPU; `None` when that depends on the type's name, which was not given.
    pub fn enabled(&self, gpu: &PgpuName, group: Option<&Group>, id: &TypeId, name: Option<&TypeName>) -> Option<bool> {
        let settings = self.gpus.get(gpu);
        if let Some(switched) = settings.and_then(|settings| settings.switched.get(id)) {
            return Some(*switched);
        }
        let list = settings
            .and_then(|settings| settings.types.as_ref())
            .or_else(|| group.and_then(|group| group.types.as_ref()));
        let Some(list) = list else { return Some(true) };
        if list.iter().any(|spec| spec.as_str() == id.as_str()) {
            return Some(true);
        }
        name.map(|name| list.iter().any(|spec| spec.names(name)))
    }
}
