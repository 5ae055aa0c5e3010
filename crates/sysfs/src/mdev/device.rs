//! One device: where it is, of which type, and whether QEMU could have it now. By links alone: nothing is opened.
//!
//! ```text
//!  create ─► directory ─► driver probed (iommu_group, /dev/vfio/N) ─► mdev_type linked: ready
//!  remove ─► mdev_type unlinked ─► driver waits for the last user ─► bus link gone
//! ```

use super::Bus;
use crate::{SysfsError, attr, link};
use mdevkit_core::{ParentName, TypeId, Uuid};
use std::ffi::OsStr;
use std::path::PathBuf;

/// A device on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub uuid: Uuid,
    /// Who made it.
    pub parent: ParentName,
    /// What it is; `None` while it is being created or removed (the `mdev_type` link is missing).
    pub type_id: Option<TypeId>,
}

/// Whether QEMU could take a device now, or what is still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// All of it is there; `group` is the VFIO group, the N of `/dev/vfio/N`.
    Ready {
        /// The group's number.
        group: u32,
    },
    /// There is no device of that UUID.
    NoDevice,
    /// The `mdev_type` link is missing: it is being created or removed.
    NoType,
    /// It is in no IOMMU group (yet).
    NoGroup,
    /// The group's node is missing: udev or devtmpfs has not made it (yet).
    NoNode(PathBuf),
}

impl Bus<'_> {
    /// The device of that UUID; `None` when there is none. Opens 0.
    ///
    /// # Errors
    /// A link cannot be read, or does not lead where the kernel's lead.
    pub fn device(&self, uuid: Uuid) -> Result<Option<Device>, SysfsError> {
        let Some(dir) = self.device_dir(uuid)? else {
            return Ok(None);
        };
        let parent = dir
            .parent()
            .and_then(|parent| parent.file_name())
            .and_then(OsStr::to_str)
            .unwrap_or_default();
        let parent = parent.parse().map_err(|source| SysfsError::Value {
            path: self.root.path(&dir),
            source,
        })?;
        let path = self.root.path(dir.join("mdev_type"));
        let type_id = match link::target_name(&path)? {
            None => None,
            Some(name) => Some(name.parse().map_err(|source| SysfsError::Value { path, source })?),
        };
        Ok(Some(Device { uuid, parent, type_id }))
    }

    /// The number of the device's IOMMU group; `None` when it has none or there is no such device. Opens 0.
    ///
    /// Numbers are used again after a removal: ask each time.
    ///
    /// # Errors
    /// A link cannot be read, or does not end in a number.
    pub fn iommu_group(&self, uuid: Uuid) -> Result<Option<u32>, SysfsError> {
        match self.device_dir(uuid)? {
            Some(dir) => link::group(self.root.path(dir.join("iommu_group"))),
            None => Ok(None),
        }
    }

    /// The group's node, `/dev/vfio/N` below the root, whether it exists or not. Opens 0.
    pub fn vfio_node(&self, group: u32) -> PathBuf {
        self.root.path(format!("dev/vfio/{group}"))
    }

    /// Whether QEMU could take the device now. Opens 0 (the node is only `stat`ed: opening it would be using it).
    ///
    /// # Errors
    /// A link cannot be read, or does not lead where the kernel's lead.
    pub fn readiness(&self, uuid: Uuid) -> Result<Readiness, SysfsError> {
        let Some(device) = self.device(uuid)? else {
            return Ok(Readiness::NoDevice);
        };
        if device.type_id.is_none() {
            return Ok(Readiness::NoType);
        }
        let Some(group) = self.iommu_group(uuid)? else {
            return Ok(Readiness::NoGroup);
        };
        let node = self.vfio_node(group);
        if node.symlink_metadata().is_err() {
            return Ok(Readiness::NoNode(node));
        }
        Ok(Readiness::Ready { group })
    }

    /// The value of QEMU's `-name` while a guest uses an NVIDIA vGPU (`nvidia/vm_name`); `None` when nobody does, and
    /// for every other driver. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read.
    pub fn vm_name(&self, uuid: Uuid) -> Result<Option<String>, SysfsError> {
        let Some(dir) = self.device_dir(uuid)? else {
            return Ok(None);
        };
        let text = attr::read_text(&self.root.path(dir.join("nvidia/vm_name")))?;
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    /// The names of the device's nodes in `/dev/vfio/devices`, where the kernel makes them (6.6 and later, with
    /// CONFIG_VFIO_DEVICE_CDEV). Opens 1.
    pub(crate) fn vfio_devices(&self, uuid: Uuid) -> Result<Vec<String>, SysfsError> {
        let Some(dir) = self.device_dir(uuid)? else {
            return Ok(Vec::new());
        };
        self.listed(&dir.join("vfio-dev"), |name| Some(name.to_owned()))
    }
}
