//! Placement: what is wanted, what the host offers, and from both a physical GPU and a parent for each device.
//!
//! [`plan`] is a pure function. It answers with a [`Plan`], with a [`Refusal`](crate::Refusal) that has a reason for
//! every physical GPU, or with what it still has to know: the caller reads that and asks again. A few rounds suffice:
//!
//! ```text
//!   parents? ──► types, pGPUs? ──► ids, NUMA nodes? ──► names? ──► room? ──► device api of the chosen? ──► Plan
//!                                  (when asked for)    (when no    │ └──── none ──► residents, cards? ──► Refusal
//!                                                     id matches)  └ for several devices: descriptions, residents
//! ```
//!
//! Each round asks for all that matters by then, for all wants at once: the number of rounds grows neither with the
//! parents nor with the wants.
//!
//! How it decides, in `facts` (`gather` → `sites` → `verdict`) → `floor` → `search`:
//! 1. `facts`: which types each want may be, and on which GPUs it may be at all; a reason where not.
//! 2. `floor`: each GPU's room ([`crate::rule`]), and for each kind of want the GPUs with room in its policy's order.
//!    The devices of a domain are placed one after the other, each on the best GPU.
//! 3. `search`: only if one finds no place so: every arrangement of the domain's devices, GPUs that are alike counted
//!    once, until one fits or none is left.
//!
//! Invariants: equal input, equal answer, ties go to the lowest address; never more than the kernel's own number
//! promises; a domain for which there is a plan by the GPUs' rules gets one (or
//! [`Refusal::unproven`](crate::Refusal::unproven) is said). A rule that sees too little promises one device of a GPU at a
//! time: MIG, and mixed sizes where a device's place is not told yet.

mod assign;
mod batch;
pub(crate) mod explain;
pub(crate) mod facts;
mod floor;
mod gather;
mod search;
mod sites;
mod told;
mod verdict;

use crate::{Inventory, ParentName, PgpuName, Policy, Refusal, Slot, TypeId, Uuid, Want};
use std::collections::BTreeSet;
use std::fmt;

pub use batch::{Batch, plan_all};

/// Where each device goes, in the order of the wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each want.
    pub placements: Vec<Placement>,
}

/// One device's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The want's slot.
    pub slot: Slot,
    /// The device's identity.
    pub uuid: Uuid,
    /// The physical GPU.
    pub pgpu: PgpuName,
    /// The parent that makes it: the GPU itself, or one of its VFs.
    pub parent: ParentName,
    /// The type it will be.
    pub type_id: TypeId,
    /// When it is to be made, among the devices of its domain: 0 is the first. With mixed sizes it matters, because the
    /// driver gives each device the first place that is free.
    pub turn: usize,
    /// Why there.
    pub because: Because,
}

/// Why a device goes where it goes.
///
/// ```
/// use mdevkit_core::{Because, Policy, PolicyFrom};
/// let because =
///     Because { policy: Policy::DepthFirst, from: PolicyFrom::Host, had_room: 3, open: Some(true), left: 5, rearranged: false };
/// assert_eq!(because.to_string(), "depth-first (the host's policy): 3 GPUs had room; this one runs already, with room for 5");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The policy that chose.
    pub policy: Policy,
    /// Whose policy it is.
    pub from: PolicyFrom,
    /// How many physical GPUs had room for it, this one included (count).
    pub had_room: usize,
    /// Whether something ran on the GPU already, or was placed there before it; not looked at where there was no choice.
    pub open: Option<bool>,
    /// How many more of the type the GPU had room for (count), this one included.
    pub left: u32,
    /// Whether the policy's first choice was given up, because the domain's other devices would not have fit.
    pub rearranged: bool,
}

/// Whose policy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFrom {
    /// The request's, or its profile's.
    Request,
    /// The group's, by its name.
    Group(crate::GroupName),
    /// The configuration's, or the built-in one.
    Host,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.policy)?;
        match &self.from {
            PolicyFrom::Request => f.write_str("the request's policy")?,
            PolicyFrom::Group(name) => write!(f, "the policy of group {name}")?,
            PolicyFrom::Host => f.write_str("the host's policy")?,
        }
        f.write_str("): ")?;
        match self.had_room {
            1 => f.write_str("only this GPU had room")?,
            count => write!(f, "{count} GPUs had room")?,
        }
        match self.open {
            Some(true) => f.write_str("; this one runs already")?,
            Some(false) => f.write_str("; this one was empty")?,
            None => {}
        }
        write!(f, ", with room for {}", self.left)?;
        if self.rearranged {
            f.write_str("; chosen so that the domain's other devices fit, too")?;
        }
        Ok(())
    }
}

/// What [`plan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every want has a place.
    Plan(Plan),
    /// At least one has none.
    Refusal(Box<Refusal>),
    /// It depends on these; read them all, then ask again.
    Needs(Vec<Need>),
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The list of parents.
    Parents,
    /// The physical GPU of a parent.
    Pgpu(ParentName),
    /// The type ids of a parent.
    Types(ParentName),
    /// A physical GPU's vendor and device.
    Ids(PgpuName),
    /// A physical GPU's NUMA node.
    NumaNode(PgpuName),
    /// A type's name.
    Name(ParentName, TypeId),
    /// A type's description.
    Description(ParentName, TypeId),
    /// A type's room.
    Available(ParentName, TypeId),
    /// A type's interface.
    DeviceApi(ParentName, TypeId),
    /// Every device that exists.
    Residents,
    /// The places in the framebuffer of the devices of a physical GPU.
    Placements(PgpuName),
    /// The graphics cards that have no parent.
    Cards,
}

/// What has to be read before there is an answer; none is known to be needed twice.
pub(crate) type Needs = BTreeSet<Need>;

/// Finds a place for each want of one domain.
///
/// ```
/// use mdevkit_core::{plan, Answer, Inventory, Need};
/// assert_eq!(plan(&[], &Inventory::new("host")), Answer::Needs(vec![Need::Parents]));
/// ```
pub fn plan(wants: &[Want], inventory: &Inventory) -> Answer {
    plan_beside(wants, &[], inventory)
}

/// A device that the domain has already, while the rest of its devices is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where it is.
    pub pgpu: PgpuName,
    /// Whether it is to be the domain's only one there.
    pub apart: bool,
}

/// The same for the rest of a domain's wants, when it has some of its devices already: who asks to be apart is.
///
/// ```
/// use mdevkit_core::{plan_beside, Answer, Inventory, Need};
/// assert_eq!(plan_beside(&[], &[], &Inventory::new("host")), Answer::Needs(vec![Need::Parents]));
/// ```
pub fn plan_beside(wants: &[Want], beside: &[Beside], inventory: &Inventory) -> Answer {
    match decide(wants, beside, inventory) {
        Ok(plan) => Answer::Plan(plan),
        Err(Stop::Needs(needs)) => Answer::Needs(needs.into_iter().collect()),
        Err(Stop::Refusal(refusal)) => Answer::Refusal(refusal),
    }
}

/// Why there is no plan, or not yet.
pub(crate) enum Stop {
    Needs(Needs),
    Refusal(Box<Refusal>),
}

impl Stop {
    /// What is to be read, for those who plan nothing that could be refused.
    pub(crate) fn needs(self) -> Vec<Need> {
        match self {
            Self::Needs(needs) => needs.into_iter().collect(),
            Self::Refusal(_) => Vec::new(),
        }
    }
}

fn decide(wants: &[Want], beside: &[Beside], inventory: &Inventory) -> Result<Plan, Stop> {
    let facts = facts::Facts::gather(wants, inventory)?;
    let mut floor = floor::Floor::beside(&facts, beside);
    let everyone: Vec<usize> = (0..wants.len()).collect();
    let choices = place(&mut floor, &everyone).map_err(|stuck| explain::refusal(&facts, &stuck, inventory))?;
    let placements = assign::placements(wants, &facts, &everyone, &choices);
    let needs = facts.unread_apis(&everyone, &placements);
    if needs.is_empty() {
        Ok(Plan { placements })
    } else {
        Err(Stop::Needs(needs))
    }
}

/// Places the wants of one domain (by index): one after the other, else by search. The floor keeps them.
fn place(floor: &mut floor::Floor<'_, '_>, domain: &[usize]) -> Result<Vec<floor::Choice>, floor::Stuck> {
    let stuck = match floor.place(domain) {
        Ok(choices) => return Ok(choices),
        // One after the other is every arrangement of one.
        Err(stuck) if domain.len() == 1 => return Err(stuck),
        Err(stuck) => stuck,
    };
    match search::search(floor, domain) {
        search::Found::Plan(choices) => Ok(floor.adopt(domain, choices)),
        search::Found::Nothing => Err(stuck),
        search::Found::CutShort => Err(floor::Stuck {
            unproven: true,
            ..stuck
        }),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod tests;
