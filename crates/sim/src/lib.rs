//! A simulated libvirt host made of FUSE: mediated devices with the kernel's own behaviour, and no GPU.
//!
//! [`Sim::mount`] puts a host's `/sys`, `/dev`, `/run`, `/etc`, `/var`, `/proc` and `/tmp` below a directory. What its
//! files say, take and refuse is what a Linux 6.12 kernel with the boards' drivers says (or an older one: [`SimOptions`]):
//! which errno, in which order of checks, what appears before a write returns, what blocks. Nothing of the rest of this
//! project is used, so that it can contradict the rest. [`replay`] asks the same questions of it and of a real machine.
//!
//! ```no_run
//! use mdevkit_sim::{BoardSpec, Sim};
//!
//! let boards = ["v100dx:8".parse::<BoardSpec>()?, "mtty".parse()?];
//! let sim = Sim::mount("host".as_ref(), &boards)?;
//! let types = sim.root().join("sys/class/mdev_bus/0000:06:00.0/mdev_supported_types");
//! assert_eq!(std::fs::read_to_string(types.join("nvidia-194/name")).unwrap(), "GRID V100DX-1Q\n");
//! sim.unmount()?; // and dropping it does the same
//! # Ok::<(), mdevkit_sim::SimError>(())
//! ```
//!
//! # What a host has
//! The boards ([`Sim::known_boards`]): the kernel's sample drivers, NVIDIA's boards from the K1 to Blackwell, Intel GVT-g, s390
//! crypto and channels. A card of NVIDIA's SR-IOV generations offers nothing itself; its VFs are enabled, each is a parent and
//! holds one device. Orders to the control file switch VFs, mixed sizes and MIG, and give a card to vfio-pci. Cards stand below
//! `/sys/bus/pci/devices` with ids, class, IOMMU group and NUMA node; the nodes' CPUs are below `/sys/devices/system/node`.
//! A host has one mainboard: its nodes are those of the first board that names some.
//!
//! # What is different from a real host
//! `/dev/vfio/N` is a regular file: who opens it *is* the VM that holds the device (on a real host the group's opener
//! holds nothing until it asks for the device). While it is open, a second open gives EBUSY and a write to `remove`
//! blocks, unkillably, as on a real host. `/proc` is the machine's own.
//!
//! A process that writes `remove` of a device that it holds itself waits for itself, as on a real host; a process that
//! serves the host and is killed in such a write can never end. Let another process write it.
//!
//! # `sim/control` and `sim/log`
//! Faults for other processes: one order per line, and reading the file lists them. EINVAL: a line was wrong (none was
//! carried out) or could not be done.
#![doc = "```text"]
#![doc = include_str!("control_help.txt")]
#![doc = "```"]
//! The log has one line per event, for a checker that trusts nobody: `t` is CLOCK_MONOTONIC in microseconds, `op` is
//! `create`, `remove`, `open`, `close`, `vanish` or `unplug`, `result` is `ok`, `blocked` or an errno's name.
//! ```text
//! t=81234567 op=create result=ok uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 parent=mtty type=mtty-2 group=0
//! ```

mod attr;
mod board;
mod capacity;
mod control;
mod device;
mod error;
mod fault;
mod fs;
mod gpu;
mod host;
mod input;
mod journal;
mod kernel;
mod layout;
mod look;
mod mig;
mod mount;
mod pci;
mod placement;
pub mod replay;
mod shared;
mod tree;

use std::path::Path;

pub use board::{BoardSpec, KnownBoard};
pub use error::SimError;
pub use fault::{AttrFault, Fault, Target};
pub use kernel::{KernelProfile, SimOptions};
pub use look::DeviceView;
pub use shared::SimHandle;

/// A mounted host. Goes when it is dropped.
#[derive(Debug)]
pub struct Sim {
    place: mount::Place,
    handle: SimHandle,
}

impl Sim {
    /// Mounts a host with these boards at a directory, which is made if need be. It is served on threads of its own.
    ///
    /// The directory may hold what a killed host left: dead mounts are taken away, its directories are used again.
    ///
    /// # Errors
    /// A host is mounted there already, the directory holds another `sys`, `dev` or `sim`, a board is given twice, or
    /// the system refuses (no `/dev/fuse`; without root, no `fusermount3`).
    pub fn mount(dir: &Path, boards: &[BoardSpec]) -> Result<Sim, SimError> {
        Self::mount_with(dir, boards, SimOptions::default())
    }

    /// The same, with another kernel.
    ///
    /// ```no_run
    /// use mdevkit_sim::{KernelProfile, Sim, SimOptions};
    ///
    /// let old = SimOptions::default().with_kernel(KernelProfile::From5_3);
    /// let sim = Sim::mount_with("host".as_ref(), &["gvtg-256".parse()?], old)?;
    /// let types = sim.root().join("sys/class/mdev_bus/0000:00:02.0/mdev_supported_types");
    /// assert!(!types.join("i915-GVTg_V5_8/name").exists());
    /// # Ok::<(), mdevkit_sim::SimError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sim::mount`].
    pub fn mount_with(dir: &Path, boards: &[BoardSpec], options: SimOptions) -> Result<Sim, SimError> {
        let mut host = host::Host::new(options.kernel);
        for board in boards {
            host.install(board)?;
        }
        // A host without a card has a mainboard, too.
        host.lay_nodes(&["0-3".to_owned()]);
        let parts = ["sys", "dev", "sim"].map(|name| (name, host.tree.lasting_dir(name)));
        let shared = shared::Shared::new(host);
        let mut sim = Sim {
            place: mount::Place::make(dir)?,
            handle: SimHandle { shared },
        };
        for (name, part) in parts {
            sim.place.mount(name, &sim.handle.shared, part)?;
        }
        Ok(sim)
    }

    /// The boards that can be mounted.
    pub fn known_boards() -> Vec<KnownBoard> {
        board::known()
    }

    /// The directory below which everything stands, absolute and without links.
    pub fn root(&self) -> &Path {
        self.place.root()
    }

    /// For faults, and for looking behind the files.
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }

    /// Takes the host away and leaves nothing behind: what was made is removed, with all that was put into `run`,
    /// `etc`, `var` and `tmp`; the directory itself if it was made (not the directories
    /// above it).
    ///
    /// Writers of `remove` that wait get ENODEV. Takes seconds at most, whatever still uses it.
    ///
    /// # Errors
    /// Something could not be removed, or another process still holds a file of it (the host then is gone from the
    /// directory all the same).
    pub fn unmount(mut self) -> Result<(), SimError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), SimError> {
        self.handle.shared.abandon();
        self.place.clear()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // After unmount() nothing is left to do; failures are logged where they happen.
        let _ = self.end();
    }
}
