//! What a type is called: its id, its full name, its short name, and how a request may spell it.
//!
//! Invariant: a [`TypeId`] is one safe path component below `mdev_supported_types/`; no other text ever becomes one.

use crate::Series;
use crate::value::{ValueError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The id of the type that every graphics card has: itself, whole (XenServer's `passthrough`).
pub const PASSTHROUGH: &str = "passthrough";

/// A type's id: the name of its directory in `mdev_supported_types/`, `<driver>-<type>` (kernel `mdev_type_add()`):
/// `nvidia-194`, `i915-GVTg_V5_4`, `mtty-2`, `vfio_ap-passthrough`. Opaque: nothing is read out of it.
///
/// ```
/// use mdevkit_core::TypeId;
/// assert_eq!("nvidia-194".parse::<TypeId>()?.as_str(), "nvidia-194");
/// assert!("../../x".parse::<TypeId>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(String);

impl TypeId {
    /// The id as the kernel writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = |why| ValueError::new("type id", text, why);
        if text.is_empty() || text.len() > 128 {
            return Err(bad("a type id has 1 to 128 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(bad("it may have letters, digits, '-', '_' and '.' only"));
        }
        if text.starts_with(['.', '-']) {
            return Err(bad("it starts with a letter, a digit or '_'"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A type's full name, the content of its `name` attribute: `GRID V100DX-1Q`, `Dual port serial`.
///
/// ```
/// use mdevkit_core::TypeName;
/// let name: TypeName = "GRID V100DX-1Q".parse()?;
/// assert_eq!(name.short(), Some("V100DX-1Q"));
/// assert_eq!("Dual port serial".parse::<TypeName>()?.short(), None, "only NVIDIA's names have a short form");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(String);

impl TypeName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last word, for NVIDIA's names alone (`GRID ...`, `NVIDIA ...`): the prefix changes with the driver's
    /// release, the last word does not. The samples' names end in a plain word (`serial`), which names nothing.
    pub fn short(&self) -> Option<&str> {
        if !(self.0.starts_with("GRID ") || self.0.starts_with("NVIDIA ")) {
            return None;
        }
        self.0.split_whitespace().next_back()
    }

    /// The series of an NVIDIA type: the letter behind its size (`V100DX-4Q`, `T4-2B4`, `A100-1-5CME`, `K240Q`). None
    /// for other types, and for the few of NVIDIA's that have no letter (`K200`).
    ///
    /// ```
    /// use mdevkit_core::{Series, TypeName};
    /// assert_eq!("GRID V100DX-4Q".parse::<TypeName>()?.series(), Some(Series::Q));
    /// assert_eq!("GRID T4-2B4".parse::<TypeName>()?.series(), Some(Series::B));
    /// assert_eq!("NVIDIA A100-1-5CME".parse::<TypeName>()?.series(), Some(Series::C));
    /// assert_eq!("GRID K200".parse::<TypeName>()?.series(), None);
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn series(&self) -> Option<Series> {
        let size = self.short()?.rsplit('-').next()?;
        let letter = size
            .trim_end_matches("GFX")
            .trim_end_matches("MEALL")
            .trim_end_matches("NOME")
            .trim_end_matches("ME");
        // Of the 2B4 the 4 is a variant.
        let letter = match letter.strip_suffix('4') {
            Some(cut) if cut.ends_with('B') => cut,
            _ => letter,
        };
        let (at, last) = letter.char_indices().next_back()?;
        let digit = letter.get(..at)?.ends_with(|c: char| c.is_ascii_digit());
        digit.then(|| last.to_string().parse().ok()).flatten()
    }
}

impl FromStr for TypeName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) || text.trim() != text {
            return Err(ValueError::new(
                "type name",
                text,
                "a name is one line of 1 to 255 bytes",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a person names a type: by id (`nvidia-196`), full name (`GRID V100DX-4Q`) or short name (`V100DX-4Q`).
/// Which of them it is, the host's own list decides: an id that exists wins, then full and short names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeSpec(String);

impl TypeSpec {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text as an id, when it can be one.
    pub fn as_id(&self) -> Option<TypeId> {
        self.0.parse().ok()
    }

    /// The spelling that outlives a driver's update, for what is stored: NVIDIA's full names become short ones, because
    /// their prefix changes from release to release. Everything else stays as it is.
    ///
    /// ```
    /// # use mdevkit_core::TypeSpec;
    /// assert_eq!("GRID V100DX-4Q".parse::<TypeSpec>()?.lasting().as_str(), "V100DX-4Q");
    /// assert_eq!("Dual port serial".parse::<TypeSpec>()?.lasting().as_str(), "Dual port serial");
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    #[must_use]
    pub fn lasting(&self) -> Self {
        match self.0.parse::<TypeName>() {
            Ok(name) => Self(name.short().unwrap_or(&self.0).to_owned()),
            Err(_) => self.clone(),
        }
    }

    /// Whether this spec means the type of this name, in full or in short.
    ///
    /// ```
    /// # use mdevkit_core::{TypeName, TypeSpec};
    /// let spec: TypeSpec = "V100DX-4Q".parse()?;
    /// assert!(spec.names(&"GRID V100DX-4Q".parse::<TypeName>()?));
    /// assert!(!"serial".parse::<TypeSpec>()?.names(&"Dual port serial".parse::<TypeName>()?));
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn names(&self, name: &TypeName) -> bool {
        self.0 == name.as_str() || Some(self.0.as_str()) == name.short()
    }
}

impl From<TypeId> for TypeSpec {
    fn from(id: TypeId) -> Self {
        Self(id.0)
    }
}

impl FromStr for TypeSpec {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = |why| ValueError::new("type", text, why);
        if text.is_empty() || text.len() > 128 {
            return Err(bad("a type is named by 1 to 128 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_. ".contains(&b)) {
            return Err(bad(
                "an id or a name has letters, digits, '-', '_', '.' and single spaces only",
            ));
        }
        if text.starts_with(['.', '-', ' ']) || text.ends_with(' ') || text.contains("  ") {
            return Err(bad(
                "it starts with a letter, a digit or '_' and has single spaces between words",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TypeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The interface a device offers to QEMU, the content of `device_api` and the `model` of a `<hostdev>`; libvirt
/// refuses the start when the two differ (`virMediatedDeviceCheckModel`).
///
/// ```
/// use mdevkit_core::DeviceApi;
/// assert_eq!("vfio-pci".parse::<DeviceApi>()?, DeviceApi::VfioPci);
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeviceApi {
    /// `vfio-pci`: a GPU, and every sample driver.
    VfioPci,
    /// `vfio-ccw`: an s390 I/O subchannel.
    VfioCcw,
    /// `vfio-ap`: s390 cryptographic adapters.
    VfioAp,
}

impl DeviceApi {
    /// The kernel's and libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VfioPci => "vfio-pci",
            Self::VfioCcw => "vfio-ccw",
            Self::VfioAp => "vfio-ap",
        }
    }
}

impl FromStr for DeviceApi {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "vfio-pci" => Ok(Self::VfioPci),
            "vfio-ccw" => Ok(Self::VfioCcw),
            "vfio-ap" => Ok(Self::VfioAp),
            _ => Err(ValueError::new(
                "device api",
                text,
                "libvirt knows vfio-pci, vfio-ccw and vfio-ap",
            )),
        }
    }
}

impl fmt::Display for DeviceApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(TypeId);
serde_as_text!(TypeName);
serde_as_text!(TypeSpec);
serde_as_text!(DeviceApi);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_driver_are_accepted_and_paths_are_not() {
        for good in [
            "nvidia-194",
            "i915-GVTg_V5_4",
            "mtty-2",
            "vfio_ap-passthrough",
            "vfio_ccw-io",
            "mdpy-hd",
        ] {
            assert_eq!(good.parse::<TypeId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-x",
            ".hidden",
            "a b",
            "a\n",
            "a\0b",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<TypeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn short_names_are_nvidias_alone() {
        for (name, short) in [
            ("GRID V100DX-4Q", Some("V100DX-4Q")),
            ("GRID K240Q", Some("K240Q")),
            ("NVIDIA A40-4Q", Some("A40-4Q")),
            ("NVIDIA RTX6000-Ada-4Q", Some("RTX6000-Ada-4Q")),
            ("NVIDIA RTX Pro 6000 Blackwell DC-1-24Q", Some("DC-1-24Q")),
            ("Dual port serial", None),
            ("GVTg_V5_4", None),
            ("VFIO AP Passthrough Device", None),
        ] {
            assert_eq!(name.parse::<TypeName>().unwrap().short(), short, "{name}");
        }
    }
}
