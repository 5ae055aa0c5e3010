//! What a parent offers: its types and their attributes, each read on demand and never together, because NVIDIA's
//! driver asks the GPU's resource manager for every one of them.

use super::Bus;
use crate::{SysfsError, attr, link, number};
use mdevkit_core::{Description, DeviceApi, ParentName, PgpuName, TypeId, TypeName, ValueError};
use std::path::PathBuf;

impl Bus<'_> {
    /// The ids of the types that a parent supports, sorted; none when it is gone or offers none. Opens 1.
    ///
    /// # Errors
    /// The directory cannot be listed, or the parent's link leads out of sysfs.
    pub fn type_ids(&self, parent: &ParentName) -> Result<Vec<TypeId>, SysfsError> {
        match self.parent_dir(parent)? {
            Some(dir) => self.listed(&dir.join("mdev_supported_types"), |name| name.parse().ok()),
            None => Ok(Vec::new()),
        }
    }

    /// The type's name; `None` where the driver gives none (GVT-g before 6.1) or it is empty. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or is no name.
    pub fn type_name(&self, parent: &ParentName, type_id: &TypeId) -> Result<Option<TypeName>, SysfsError> {
        self.word(parent, type_id, "name", |text| text.parse())
    }

    /// The type's description as the driver words it; `None` where there is none. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read.
    pub fn description_text(&self, parent: &ParentName, type_id: &TypeId) -> Result<Option<String>, SysfsError> {
        self.word(parent, type_id, "description", |text| Ok(text.to_owned()))
    }

    /// What the type's description says; `None` where there is none (mtty, vfio-ap, vfio-ccw). Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read.
    pub fn description(&self, parent: &ParentName, type_id: &TypeId) -> Result<Option<Description>, SysfsError> {
        self.word(parent, type_id, "description", |text| Ok(Description::read(text)))
    }

    /// The interface that devices of the type have; `None` where the file is missing. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or names an interface that libvirt does not know.
    pub fn device_api(&self, parent: &ParentName, type_id: &TypeId) -> Result<Option<DeviceApi>, SysfsError> {
        self.word(parent, type_id, "device_api", |text| text.parse())
    }

    /// How many more devices of the type the parent says it can make, a count; `None` when the parent or the type is
    /// gone. Opens 1.
    ///
    /// A hint: types of one parent share their room, and `create` decides.
    ///
    /// # Errors
    /// The attribute cannot be read, or is not a decimal number of 32 bits.
    pub fn available(&self, parent: &ParentName, type_id: &TypeId) -> Result<Option<u32>, SysfsError> {
        match self.type_file(parent, type_id, "available_instances")? {
            Some(path) => number::read_decimal(path, "a count"),
            None => Ok(None),
        }
    }

    /// The NUMA node of the parent, 0 or higher; `None` where it has none (the kernel says -1) or is no PCI function.
    /// Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or is not a number.
    pub fn numa_node(&self, parent: &ParentName) -> Result<Option<u32>, SysfsError> {
        match self.parent_dir(parent)? {
            Some(dir) => number::read_node(self.root.path(dir.join("numa_node"))),
            None => Ok(None),
        }
    }

    /// The physical function behind a parent that is a virtual function (link `physfn`); `None` for any other.
    /// Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in a PCI address.
    pub fn physical_function(&self, parent: &ParentName) -> Result<Option<ParentName>, SysfsError> {
        match self.parent_dir(parent)? {
            Some(dir) => link::function_name(&self.root.path(dir.join("physfn"))),
            None => Ok(None),
        }
    }

    /// The physical GPU that a parent is a part of: the physical function when the parent is a virtual one, else the
    /// parent itself; `None` when there is no such parent (any more). Opens 0: it reads one link,
    /// and the parent's own when this bus has not been asked about that parent before.
    ///
    /// While virtual functions are switched off, each loses its link a moment before it goes
    /// (`pci_iov_remove_virtfn()`), and is taken for itself: nothing can be created there any more.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in a PCI address.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use std::{fs::create_dir_all, os::unix::fs::symlink};
    /// # create_dir_all(dir.path().join("sys/class/mdev_bus"))?;
    /// # create_dir_all(dir.path().join("sys/devices/pci0000:00/0000:08:00.4"))?;
    /// # symlink("../../devices/pci0000:00/0000:08:00.4", dir.path().join("sys/class/mdev_bus/0000:08:00.4"))?;
    /// # symlink("../0000:08:00.0", dir.path().join("sys/devices/pci0000:00/0000:08:00.4/physfn"))?;
    /// use mdevkit_sysfs::{Root, mdev::Bus};
    /// let root = Root::at(dir.path());
    /// let pgpu = Bus::new(&root).pgpu_of(&"0000:08:00.4".parse()?)?;
    /// assert_eq!(pgpu.expect("the VF is there").as_str(), "0000:08:00.0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pgpu_of(&self, parent: &ParentName) -> Result<Option<PgpuName>, SysfsError> {
        let Some(dir) = self.parent_dir(parent)? else {
            return Ok(None);
        };
        if parent.bdf().is_some()
            && let Some(physical) = self.physical_function(parent)?
        {
            return Ok(Some(physical.into()));
        }
        // A virtual function that went away has no link either, and was no GPU of its own.
        Ok(link::exists(&self.root.path(dir))?.then(|| parent.clone().into()))
    }

    /// The path of a file of a type; `None` when there is no such parent. Opens 0.
    pub(super) fn type_file(
        &self,
        parent: &ParentName,
        type_id: &TypeId,
        file: &str,
    ) -> Result<Option<PathBuf>, SysfsError> {
        let dir = self.parent_dir(parent)?;
        Ok(dir.map(|dir| {
            self.root
                .path(dir.join("mdev_supported_types").join(type_id.as_str()).join(file))
        }))
    }

    /// An attribute of a type as a word; blanks around it are not part of it, and none is no word.
    fn word<T>(
        &self,
        parent: &ParentName,
        type_id: &TypeId,
        file: &str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<Option<T>, SysfsError> {
        let Some(path) = self.type_file(parent, type_id, file)? else {
            return Ok(None);
        };
        match attr::read_text(&path)?.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => parse(text)
                .map(Some)
                .map_err(|source| SysfsError::Value { path, source }),
        }
    }
}
