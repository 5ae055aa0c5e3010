//! This machine: who has which mediated device, and how one comes and goes.
//!
//! ```text
//!   acquire:  flock(domain) ─► look ─► core::plan ─► flock(pGPU) ─► look again ─► ledger: intent ─► create
//!                                        ▲                │ changed                      │ lost race
//!                                        └────────────────┴──────────────────────────────┘
//!             ─► unlock(pGPU) ─► params ─► ready ─► ledger: created ─► the next device
//!
//!   release:  flock(domain) ─► ledger: releasing ─► held open? ─► remove, in a child ─► ledger: gone
//! ```
//!
//! Invariants:
//! * A device is created only after its record says `intent`, and removed only after its record says `releasing`.
//! * One lock per physical GPU is held from the last look at its room until `create` returned, and never two of them.
//! * What another tool or a person created is never removed, in any code path, the undo included.
//! * Nothing waits without a bound ([`Limits`]).
//!
//! Everything hangs from a [`Root`], so the whole of it runs on a simulated host.
//!
//! ```
//! use mdevkit_host::{Host, Root};
//! let nowhere = tempfile::tempdir()?;
//! let host = Host::new(Root::at(nowhere.path()));
//! assert!(host.devices()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod acquire;
mod admission;
mod by_hand;
mod cards;
mod check;
mod clock;
mod config;
mod decisions;
mod durable;
mod error;
mod ledger_file;
mod libvirt;
mod lock;
mod look;
mod meet;
mod process;
mod rebuild;
mod reconcile;
mod release;
mod removal;
mod settings;
mod state;
mod survey;
mod tables;
mod wants;

pub use acquire::{Acquired, How, Start};
pub use by_hand::{Made, ManualAsk};
pub use check::Finding;
pub use clock::Deadline;
pub use config::{CONFIG, Config, Limits, LogConfig};
pub use decisions::{DecisionOutcome, GpuReason, LastDecision, PlacedDevice, RefusedStart};
pub use durable::DURABLE_DIR;
pub use error::HostError;
pub use look::Decision;
pub use mdevkit_sysfs::Root;
pub use mdevkit_sysfs::in_use::InUse;
pub use process::{boot_id, daemon, identity};
pub use reconcile::{Outcome, ReconcileOptions};
pub use release::Released;
pub use removal::{Reaper, Removal, reap};
pub use settings::{Settings, Switches};
pub use state::STATE_DIR;
pub use survey::{GroupRow, PgpuRow, PgpuType, ResidentRow, RuleRow, Survey};
pub use tables::{DeviceRow, TypeRow};

use mdevkit_sysfs::mdev::Bus;

/// A host, below a [`Root`]. Making one touches nothing.
#[derive(Clone, Debug)]
pub struct Host {
    root: Root,
    reaper: Option<Reaper>,
}

impl Host {
    /// The host below `root`. Removals happen in this process, and may block it while a guest holds the device (see
    /// [`Host::with_reaper`]).
    pub fn new(root: Root) -> Self {
        Self { root, reaper: None }
    }

    /// Removes devices in a child process made by `reaper`, because the kernel's write can block unkillably.
    pub fn with_reaper(self, reaper: Reaper) -> Self {
        Self {
            reaper: Some(reaper),
            ..self
        }
    }

    /// Where everything hangs from.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The configuration, [`CONFIG`] below the root; the defaults when there is none.
    ///
    /// # Errors
    /// It cannot be read or is wrong; the message names the line.
    pub fn config(&self) -> Result<Config, HostError> {
        Config::read(&self.root)
    }

    fn bus(&self) -> Bus<'_> {
        Bus::new(&self.root)
    }

    fn state(&self) -> state::StateDir<'_> {
        state::StateDir::new(&self.root)
    }
}
