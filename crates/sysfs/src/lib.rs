//! The kernel's files of mediated devices and their GPUs as types: what there is, create, remove, who holds it. No
//! policy and no record of who owns what: those are the callers'.
//!
//! | module | what |
//! |---|---|
//! | [`mdev`] | parents, their types, their devices |
//! | [`pci`] | graphics cards and their virtual functions |
//! | [`framework`] | what shows how a function's devices are made |
//! | [`topology`] | NUMA nodes and their CPUs |
//! | [`pci_ids`] | names for people |
//! | [`in_use`] | who holds a device |
//!
//! Three rules hold in every module:
//!
//! * **Text becomes a type at the border.** What a file or a link says is bounded, validated and named in the error.
//! * **Looking never touches.** A VFIO group has one opener; only [`in_use::test_by_opening`] opens one, and says when.
//! * **Opens are counted.** Each function says how many files it opens (a `readdir` is one; `readlink` and `stat` are
//!   none), because some attributes ask the GPU's firmware and a hook asks often.
//!
//! # Example
//! What a host offers, read from a tree under any root:
//! ```
//! use mdevkit_sysfs::{Root, mdev::Bus};
//! # let dir = tempfile::tempdir()?;
//! # let types = dir.path().join("sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2");
//! # std::fs::create_dir_all(&types)?;
//! # std::fs::create_dir_all(dir.path().join("sys/class/mdev_bus"))?;
//! # std::os::unix::fs::symlink("../../devices/virtual/mtty/mtty", dir.path().join("sys/class/mdev_bus/mtty"))?;
//! # for (file, text) in [("available_instances", "12\n"), ("device_api", "vfio-pci\n")] {
//! #     use std::io::Write;
//! #     std::fs::File::create(types.join(file))?.write_all(text.as_bytes())?;
//! # }
//! let root = Root::at(dir.path()); // Root::system() on a real host
//! let bus = Bus::new(&root);
//! for parent in bus.parents()? {
//!     for type_id in bus.type_ids(&parent)? {
//!         assert_eq!((parent.as_str(), type_id.as_str()), ("mtty", "mtty-2"));
//!         assert_eq!(bus.available(&parent, &type_id)?, Some(12));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod attr;
mod error;
pub mod framework;
pub mod in_use;
mod link;
pub mod mdev;
mod number;
pub mod pci;
pub mod pci_ids;
mod root;
pub mod topology;

pub use error::SysfsError;
pub use root::Root;
