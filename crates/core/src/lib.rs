//! The model of mediated devices that every other room shares: what can be created, what a domain asks for, where it
//! goes, and who owns it.
//!
//! This crate decides and never touches: no file, no clock, no environment variable, no `unsafe`. Data flows through it
//! once, from words to a decision:
//!
//! ```text
//!  domain XML ──► Domain ──► wants() ──► Want ─┐
//!                                              ├─► plan() ──► Plan | Refusal | Needs
//!  sysfs ───────► Inventory ───────────────────┘
//!
//!  Record ── ledger::step(Event) ──► Record        who owns which device, across crashes
//! ```
//!
//! # Example
//! One device of type `mtty-2`, on a host with one parent that has room for it:
//! ```
//! use mdevkit_core::{plan, Answer, Inventory, Known, Offer, Parent, Slot, TypeSpec, Want};
//!
//! let mut inventory = Inventory::new("lab");
//! let mut parent = Parent::whole("mtty".parse()?);
//! parent.offer("mtty-2".parse()?, Offer { available: Known::Is(12), ..Offer::default() });
//! inventory.add(parent);
//! inventory.listed = true;
//!
//! let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
//! let want = Want::new(Slot::new(0)?, uuid, "mtty-2".parse::<TypeSpec>()?);
//! let Answer::Plan(plan) = plan(std::slice::from_ref(&want), &inventory) else { panic!("there is room") };
//! assert_eq!(plan.placements[0].parent.as_str(), "mtty");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod address;
mod admission;
mod ask;
mod capacity;
mod code;
mod description;
mod domain;
mod encounter;
mod id_set;
mod identity;
mod inventory;
pub mod ledger;
mod names;
mod params;
mod pgpu;
mod plan;
mod policy;
mod refusal;
mod request;
pub mod rule;
mod rulebook;
mod stops;
mod value;
mod wants;

pub use address::{Bdf, ParentName};
pub use admission::{Admittee, Finding, admit};
pub use ask::{Ask, AtLeast, Numa, Profile, Profiles, Series, What};
pub use capacity::{Capacity, capacity, rule_facts};
pub use code::Code;
pub use description::{Description, Resolution};
pub use domain::{Domain, Hostdev, HostdevKind, Pinning, RequestSet};
pub use encounter::{Encounter, Existing, encounter};
pub use id_set::IdSet;
pub use identity::{DEVICE_NAMESPACE, device_uuid};
pub use inventory::{Available, Card, CardState, Inventory, Known, Offer, Parent, Pgpu, Resident};
pub use names::{DeviceApi, PASSTHROUGH, TypeId, TypeName, TypeSpec};
pub use params::Params;
pub use pgpu::{GroupName, PciIds, PgpuName, ProfileName};
pub use plan::{Answer, Batch, Because, Beside, Need, Placement, Plan, PolicyFrom, plan, plan_all, plan_beside};
pub use policy::Policy;
pub use refusal::{Reason, Refusal, Why};
pub use request::{Alias, DEVICES_PER_DOMAIN, Request, Slot};
pub use rulebook::{GpuSettings, Group, Member, Rulebook};
pub use stops::{Stops, stops};
pub use uuid::Uuid;
pub use value::ValueError;
pub use wants::{Near, Want, Wants, WantsError, Warning, wants};
