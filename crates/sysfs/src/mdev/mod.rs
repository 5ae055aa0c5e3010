//! The mdev framework (kernel `drivers/vfio/mdev`): parents offer types, a UUID written to a type's `create` makes a
//! device, `1` written to the device's `remove` takes it away.
//!
//! ```text
//! sys/class/mdev_bus/<parent> -> ../../devices/.../<parent>
//! sys/devices/.../<parent>/mdev_supported_types/<type>/{name,description,device_api,available_instances,create}
//! sys/devices/.../<parent>/<uuid>/{mdev_type,iommu_group,remove,nvidia/{vgpu_params,vm_name,placement_id}}
//! sys/bus/mdev/devices/<uuid> -> ../../../devices/.../<parent>/<uuid>
//! ```
//!
//! Invariant: a device "is there" for a caller when its `mdev_type` link is: the kernel makes the directory first,
//! probes the driver, and links the type last (`mdev_device_create()`); on the way out the link goes first.

mod create;
mod device;
mod offers;
mod params;
mod placement;
mod remove;

pub use create::CreateError;
pub use device::{Device, Readiness};
pub use params::ParamsError;
pub use remove::{RemoveError, Removed, Remover};

use crate::link::Places;
use crate::{Root, SysfsError, link};
use mdevkit_core::{ParentName, Uuid};
use std::path::{Path, PathBuf};

const PARENTS: &str = "sys/class/mdev_bus";
const DEVICES: &str = "sys/bus/mdev/devices";

/// The mdev bus of one root. Holds nothing open, and remembers nothing that may change: each call asks the kernel.
#[derive(Clone, Debug)]
pub struct Bus<'r> {
    root: &'r Root,
    parents: Places<ParentName>,
}

impl<'r> Bus<'r> {
    /// The bus below `root`.
    pub fn new(root: &'r Root) -> Self {
        Self {
            root,
            parents: Places::new(PARENTS),
        }
    }

    /// The parents, sorted (PCI first, by address); none when the kernel's module `mdev` is not loaded. Opens 1.
    ///
    /// Names that no driver gives (see [`Bus::odd_names`]) are passed over: one such entry must not hide the others.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn parents(&self) -> Result<Vec<ParentName>, SysfsError> {
        self.listed(PARENTS.as_ref(), |name| name.parse().ok())
    }

    /// The devices, sorted; none when the kernel's module `mdev` is not loaded. Opens 1.
    ///
    /// A listed device may be on its way in or out: see [`Bus::device`].
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn devices(&self) -> Result<Vec<Uuid>, SysfsError> {
        self.listed(DEVICES.as_ref(), device_name)
    }

    /// The entries of both directories that [`Bus::parents`] and [`Bus::devices`] pass over, for a health check.
    /// Opens 2.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn odd_names(&self) -> Result<Vec<PathBuf>, SysfsError> {
        let mut odd = Vec::new();
        for (dir, is_good) in [
            (PARENTS, (|name| name.parse::<ParentName>().is_ok()) as fn(&str) -> bool),
            (DEVICES, |name| device_name(name).is_some()),
        ] {
            let dir = self.root.path(dir);
            let names = link::names(&dir)?.into_iter();
            odd.extend(
                names
                    .filter(|name| !name.to_str().is_some_and(is_good))
                    .map(|name| dir.join(name)),
            );
        }
        odd.sort();
        Ok(odd)
    }

    /// The parent's directory below the root; `None` when there is no such parent. Opens 0.
    fn parent_dir(&self, parent: &ParentName) -> Result<Option<PathBuf>, SysfsError> {
        self.parents.of(self.root, parent)
    }

    /// The device's directory below the root; `None` when there is no such device. Opens 0.
    fn device_dir(&self, uuid: Uuid) -> Result<Option<PathBuf>, SysfsError> {
        link::resolve(self.root, DEVICES.as_ref(), &uuid.hyphenated().to_string())
    }

    fn listed<T: Ord>(&self, dir: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, SysfsError> {
        let names = link::names(&self.root.path(dir))?;
        let mut values: Vec<T> = names
            .iter()
            .filter_map(|name| name.to_str())
            .filter_map(parse)
            .collect();
        values.sort();
        Ok(values)
    }
}

/// The kernel names devices in lower case with dashes (`%pUl`), whatever was written; no other form is one.
fn device_name(name: &str) -> Option<Uuid> {
    let uuid: Uuid = name.parse().ok()?;
    (uuid.hyphenated().to_string() == name).then_some(uuid)
}
