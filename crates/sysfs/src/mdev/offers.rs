//! What a parent offers: its types and their attributes, each read on demand and never together, because NVIDIA's
//! driver asks the GPU's resource manager for every one of them.

use super::Bus;
use crate::error::excerpt;
use crate::{SysfsError, attr, link};
use mdevkit_core::{Description, DeviceApi, ParentName, TypeId, TypeName, ValueError};
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
        let Some(path) = self.type_file(parent, type_id, "available_instances")? else {
            return Ok(None);
        };
        let Some(text) = attr::read_text(&path)? else {
            return Ok(None);
        };
        match decimal(&text) {
            Some(count) => Ok(Some(count)),
            None => Err(SysfsError::NotANumber {
                path,
                says: excerpt(&text),
                expected: "a count",
            }),
        }
    }

    /// The NUMA node of the parent, 0 or higher; `None` where it has none (the kernel says -1) or is no PCI function.
    /// Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or is not a number.
    pub fn numa_node(&self, parent: &ParentName) -> Result<Option<u32>, SysfsError> {
        let Some(dir) = self.parent_dir(parent)? else {
            return Ok(None);
        };
        let path = self.root.path(dir.join("numa_node"));
        match attr::read_text(&path)? {
            None => Ok(None),
            Some(text) if text == "-1" => Ok(None),
            Some(text) => match decimal(&text) {
                Some(node) => Ok(Some(node)),
                None => Err(SysfsError::NotANumber {
                    path,
                    says: excerpt(&text),
                    expected: "a NUMA node or -1",
                }),
            },
        }
    }

    /// The physical function behind a parent that is a virtual function (link `physfn`); `None` for any other.
    /// Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in a device's name.
    pub fn physical_function(&self, parent: &ParentName) -> Result<Option<ParentName>, SysfsError> {
        let Some(dir) = self.parent_dir(parent)? else {
            return Ok(None);
        };
        let path = self.root.path(dir.join("physfn"));
        let Some(name) = link::target_name(&path)? else {
            return Ok(None);
        };
        name.parse()
            .map(Some)
            .map_err(|source| SysfsError::Value { path, source })
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

/// Decimal digits and nothing else (`u32::from_str` would take a sign).
fn decimal(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
