//! Physical GPUs, and how they are grouped: XenServer's pGPU and GPU group.
//!
//! ```text
//!   group ──► pGPU ──► parents ──► types ──► devices
//!   "cad"     the PF    one for a plain GPU, one a VF for SR-IOV
//! ```
//!
//! Invariant: a parent belongs to exactly one physical GPU, and room is counted for that, never for a VF.

use crate::value::{ValueError, serde_as_text};
use crate::{Bdf, ParentName};
use std::fmt;
use std::str::FromStr;

/// A physical GPU's name on its host: the PF's address, the card's own, or the parent's name where it is not PCI.
///
/// ```
/// use mdevkit_core::PgpuName;
/// assert_eq!("0000:3b:00.0".parse::<PgpuName>()?.to_string(), "0000:3b:00.0");
/// assert_eq!("mtty".parse::<PgpuName>()?.bdf(), None);
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgpuName(ParentName);

impl PgpuName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address, when it is a PCI function.
    pub fn bdf(&self) -> Option<Bdf> {
        self.0.bdf()
    }

    /// The parent of that name: the physical GPU itself, where it is its only parent.
    pub fn as_parent(&self) -> &ParentName {
        &self.0
    }
}

impl From<ParentName> for PgpuName {
    /// The physical GPU that is its own parent.
    fn from(parent: ParentName) -> Self {
        Self(parent)
    }
}

impl FromStr for PgpuName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for PgpuName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A PCI function's vendor and device, as pci.ids writes them: `10de:1db5`.
///
/// ```
/// use mdevkit_core::PciIds;
/// let ids: PciIds = "10de:1db5".parse()?;
/// assert_eq!((ids.vendor, ids.device), (0x10de, 0x1db5));
/// assert_eq!(ids.to_string(), "10de:1db5");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciIds {
    /// `vendor`, 0x10de for NVIDIA.
    pub vendor: u16,
    /// `device`.
    pub device: u16,
}

impl FromStr for PciIds {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let four = |part: &str| {
            (part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u16::from_str_radix(part, 16).ok())
                .flatten()
        };
        text.split_once(':')
            .and_then(|(vendor, device)| {
                Some(Self {
                    vendor: four(vendor)?,
                    device: four(device)?,
                })
            })
            .ok_or_else(|| ValueError::new("pci ids", text, "they are written like 10de:1db5"))
    }
}

impl fmt::Display for PciIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// A word that an operator chose: letters, digits, `-`, `_`, `.`, `:`, 1 to 64 of them.
fn plain(what: &'static str, text: &str) -> Result<String, ValueError> {
    let bad = |why| ValueError::new(what, text, why);
    if text.is_empty() || text.len() > 64 {
        return Err(bad("it has 1 to 64 characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
        return Err(bad("it may have letters, digits, '-', '_', '.' and ':' only"));
    }
    Ok(text.to_owned())
}

/// A group's name: one from the configuration, or the ids (`10de:1db5`) of an automatic one.
///
/// ```
/// use mdevkit_core::GroupName;
/// assert_eq!("10de:1db5".parse::<GroupName>()?.ids().map(|ids| ids.vendor), Some(0x10de));
/// assert_eq!("cad".parse::<GroupName>()?.ids(), None);
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ids, when the name is that of an automatic group.
    pub fn ids(&self) -> Option<PciIds> {
        self.0.parse().ok()
    }
}

impl From<PciIds> for GroupName {
    /// The automatic group of these ids.
    fn from(ids: PciIds) -> Self {
        Self(ids.to_string())
    }
}

impl FromStr for GroupName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        plain("group", text).map(Self)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a profile of the configuration.
///
/// ```
/// assert!("cad-large".parse::<mdevkit_core::ProfileName>().is_ok());
/// assert!("cad large".parse::<mdevkit_core::ProfileName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(String);

impl ProfileName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        plain("profile", text).map(Self)
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(PgpuName);
serde_as_text!(PciIds);
serde_as_text!(GroupName);
serde_as_text!(ProfileName);
