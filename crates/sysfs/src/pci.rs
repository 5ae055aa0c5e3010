//! PCI functions (kernel `drivers/pci/pci-sysfs.c` and `iov.c`): which graphics cards there are, what they are, and
//! which virtual functions belong to which physical one.
//!
//! ```text
//! sys/bus/pci/devices/<bdf> -> ../../../devices/pci0000:00/.../<bdf>
//! <bdf>/{vendor,device,subsystem_vendor,subsystem_device,class,numa_node,boot_vga}
//! <bdf>/driver -> .../bus/pci/drivers/nvidia          <bdf>/iommu_group -> .../kernel/iommu_groups/38
//! <PF>/{sriov_totalvfs,sriov_numvfs}                  <PF>/virtfn0 -> ../<VF>        <VF>/physfn -> ../<PF>
//! ```
//!
//! Invariant: a function is found by its address alone, and each of its files is read on demand; one that is missing is
//! `None`, for functions come and go (`sriov_numvfs`, hot-plug) while we read.

use crate::link::Places;
use crate::{Root, SysfsError, link, number};
use mdevkit_core::{Bdf, PciIds};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

const FUNCTIONS: &str = "sys/bus/pci/devices";

/// The PCI bus of one root. Holds nothing open, and remembers where functions are, never what they say.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let card = dir.path().join("sys/devices/pci0000:00/0000:00:02.0/0000:06:00.0");
/// # std::fs::create_dir_all(&card)?;
/// # std::fs::create_dir_all(dir.path().join("sys/bus/pci/devices"))?;
/// # std::os::unix::fs::symlink("../../../devices/pci0000:00/0000:00:02.0/0000:06:00.0",
/// #     dir.path().join("sys/bus/pci/devices/0000:06:00.0"))?;
/// # for (file, text) in [("class", "0x030200\n"), ("vendor", "0x10de\n"), ("device", "0x1db5\n"), ("numa_node", "-1\n")] {
/// #     std::io::Write::write_all(&mut std::fs::File::create(card.join(file))?, text.as_bytes())?;
/// # }
/// # std::os::unix::fs::symlink("../../../../bus/pci/drivers/nvidia", card.join("driver"))?;
/// use mdevkit_sysfs::{Root, pci::Pci};
/// let root = Root::at(dir.path()); // Root::system() on a real host
/// let pci = Pci::new(&root);
/// for card in pci.functions()?.display {
///     assert_eq!(pci.ids(card)?.map(|ids| ids.to_string()).as_deref(), Some("10de:1db5"));
///     assert_eq!(pci.driver(card)?.as_deref(), Some("nvidia"));
///     assert_eq!(pci.numa_node(card)?, None);
/// }
/// # assert_eq!(pci.functions()?.display.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pci<'r> {
    root: &'r Root,
    functions: Places<Bdf>,
}

/// What one look over the bus finds. All lists are sorted by address.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Functions {
    /// The display controllers (class 0x03) that are no virtual functions: the cards, and the GPUs on them.
    pub display: Vec<Bdf>,
    /// The physical functions, of any class, that have virtual ones now.
    pub with_virtual: Vec<Bdf>,
    /// Functions that could not be told apart, for a health check: they hide no other.
    pub unreadable: Vec<SysfsError>,
}

/// A function's class code: base class, subclass and programming interface (PCI Code and ID Assignment Specification).
///
/// ```
/// # use mdevkit_sysfs::pci::Class;
/// assert!(Class::new(0x03_02_00).is_display());
/// assert!(!Class::new(0x04_03_00).is_display(), "a card's sound");
/// assert_eq!(Class::new(0x03_02_00).to_string(), "0x030200");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u32);

/// A physical function's room for virtual ones, counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sriov {
    /// How many it can have (`sriov_totalvfs`); 0 where its driver forbids any.
    pub total: u32,
    /// How many it has (`sriov_numvfs`).
    pub enabled: u32,
}

impl<'r> Pci<'r> {
    /// The bus below `root`.
    pub fn new(root: &'r Root) -> Self {
        Self {
            root,
            functions: Places::new(FUNCTIONS),
        }
    }

    /// The display controllers, and the physical functions that have virtual ones; none where there is no PCI. Opens 1
    /// and 1 for each function that is not virtual (its class).
    ///
    /// # Errors
    /// The directory cannot be listed. A file of one function that cannot be read is in [`Functions::unreadable`].
    pub fn functions(&self) -> Result<Functions, SysfsError> {
        let names = link::names(&self.root.path(FUNCTIONS))?;
        let mut addresses: Vec<Bdf> = names
            .iter()
            .filter_map(|name| name.to_str())
            .filter_map(address)
            .collect();
        addresses.sort();
        let mut found = Functions::default();
        let mut with_virtual = BTreeSet::new();
        for bdf in addresses {
            match self.look(bdf) {
                Ok(Look::Virtual(physical)) => _ = with_virtual.insert(physical),
                Ok(Look::Display) => found.display.push(bdf),
                Ok(Look::Other) => {}
                Err(error) => found.unreadable.push(error),
            }
        }
        found.with_virtual = with_virtual.into_iter().collect();
        Ok(found)
    }

    /// Whether there is such a function. Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or leads out of sysfs.
    pub fn exists(&self, bdf: Bdf) -> Result<bool, SysfsError> {
        // Asked anew: what was looked up before may have gone.
        Ok(link::resolve(self.root, FUNCTIONS.as_ref(), &bdf.to_string())?.is_some())
    }

    /// The vendor and device; `None` when the function is gone. Opens 2.
    ///
    /// # Errors
    /// A file cannot be read, or is not a number like 0x10de.
    pub fn ids(&self, bdf: Bdf) -> Result<Option<PciIds>, SysfsError> {
        self.two_ids(bdf, "vendor", "device")
    }

    /// The subsystem's vendor and device: who made the board (an A16's and an A2's differ in nothing else). A virtual
    /// function's device may be 0. `None` when the function is gone. Opens 2.
    ///
    /// # Errors
    /// A file cannot be read, or is not a number like 0x10de.
    pub fn subsystem_ids(&self, bdf: Bdf) -> Result<Option<PciIds>, SysfsError> {
        self.two_ids(bdf, "subsystem_vendor", "subsystem_device")
    }

    /// The class; `None` when the function is gone. Opens 1.
    ///
    /// # Errors
    /// The file cannot be read, or is not a number like 0x030200.
    pub fn class(&self, bdf: Bdf) -> Result<Option<Class>, SysfsError> {
        match self.file(bdf, "class")? {
            Some(path) => Ok(number::read_hex(path, 6, "a class like 0x030200")?.map(Class)),
            None => Ok(None),
        }
    }

    /// The NUMA node, 0 or higher; `None` where the kernel knows none (it says -1). Opens 1.
    ///
    /// # Errors
    /// The file cannot be read, or is not a number.
    pub fn numa_node(&self, bdf: Bdf) -> Result<Option<u32>, SysfsError> {
        match self.file(bdf, "numa_node")? {
            Some(path) => number::read_node(path),
            None => Ok(None),
        }
    }

    /// The driver that it is bound to; `None` where it has none. Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in a printable name.
    pub fn driver(&self, bdf: Bdf) -> Result<Option<String>, SysfsError> {
        let Some(path) = self.file(bdf, "driver")? else {
            return Ok(None);
        };
        match link::target_name(&path)? {
            Some(name) if !name.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => Err(link::bad_target(
                path,
                OsStr::new(&name),
                "expected the name of a driver at its end",
            )),
            name => Ok(name),
        }
    }

    /// The number of its IOMMU group; `None` where it is in none (the IOMMU is off). Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in a number.
    pub fn iommu_group(&self, bdf: Bdf) -> Result<Option<u32>, SysfsError> {
        match self.file(bdf, "iommu_group")? {
            Some(path) => link::group(path),
            None => Ok(None),
        }
    }

    /// How many virtual functions it can have and has; `None` where it cannot have any, as a virtual one. Opens 2, or
    /// 1 where there are none.
    ///
    /// # Errors
    /// A file cannot be read, or is not a number.
    pub fn sriov(&self, bdf: Bdf) -> Result<Option<Sriov>, SysfsError> {
        let Some(total) = self.count(bdf, "sriov_totalvfs")? else {
            return Ok(None);
        };
        let enabled = self.count(bdf, "sriov_numvfs")?;
        Ok(enabled.map(|enabled| Sriov { total, enabled }))
    }

    /// The physical function behind a virtual one; `None` for any other. Opens 0.
    ///
    /// # Errors
    /// The link cannot be read, or does not end in an address.
    pub fn physical_function(&self, bdf: Bdf) -> Result<Option<Bdf>, SysfsError> {
        match self.file(bdf, "physfn")? {
            Some(path) => Ok(link::function_name(&path)?.and_then(|name| name.bdf())),
            None => Ok(None),
        }
    }

    /// The virtual functions of a physical one, by their number: `virtfn2` before `virtfn10`, which a sorted listing
    /// has the other way round. None when it has none. Opens 1.
    ///
    /// # Errors
    /// The directory cannot be listed, or a link does not end in an address.
    pub fn virtual_functions(&self, physical: Bdf) -> Result<BTreeMap<u32, Bdf>, SysfsError> {
        let mut found = BTreeMap::new();
        let Some(dir) = self.functions.of(self.root, &physical)? else {
            return Ok(found);
        };
        let dir = self.root.path(dir);
        for name in link::names(&dir)? {
            let Some(digits) = name.to_str().and_then(|name| name.strip_prefix("virtfn")) else {
                continue;
            };
            if let Some(index) = number::decimal(digits)
                // One that went away since the listing is none.
                && let Some(bdf) = link::function_name(&dir.join(&name))?.and_then(|name| name.bdf())
            {
                found.insert(index, bdf);
            }
        }
        Ok(found)
    }

    /// Whether the firmware showed its screen here: passing this card on takes the host's console away. Opens 1.
    ///
    /// # Errors
    /// The file cannot be read, or is neither 0 nor 1.
    pub fn boot_vga(&self, bdf: Bdf) -> Result<bool, SysfsError> {
        // Only VGA controllers have the file.
        match self.file(bdf, "boot_vga")? {
            Some(path) => Ok(number::read_bit(path)?.unwrap_or(false)),
            None => Ok(false),
        }
    }

    /// The path of a file of a function; `None` when there is no such function. Opens 0.
    pub(crate) fn file(&self, bdf: Bdf, name: &str) -> Result<Option<PathBuf>, SysfsError> {
        let dir = self.functions.of(self.root, &bdf)?;
        Ok(dir.map(|dir| self.root.path(dir.join(name))))
    }

    fn look(&self, bdf: Bdf) -> Result<Look, SysfsError> {
        if let Some(physical) = self.physical_function(bdf)? {
            return Ok(Look::Virtual(physical));
        }
        Ok(match self.class(bdf)? {
            Some(class) if class.is_display() => Look::Display,
            _ => Look::Other,
        })
    }

    fn two_ids(&self, bdf: Bdf, vendor: &str, device: &str) -> Result<Option<PciIds>, SysfsError> {
        let id = |name| match self.file(bdf, name)? {
            Some(path) => number::read_hex(path, 4, "an id like 0x10de"),
            None => Ok(None),
        };
        let Some(vendor) = id(vendor)? else { return Ok(None) };
        let Some(device) = id(device)? else { return Ok(None) };
        // Four digits always fit.
        Ok(u16::try_from(vendor)
            .ok()
            .zip(u16::try_from(device).ok())
            .map(|(vendor, device)| PciIds { vendor, device }))
    }

    fn count(&self, bdf: Bdf, name: &str) -> Result<Option<u32>, SysfsError> {
        match self.file(bdf, name)? {
            Some(path) => number::read_decimal(path, "a count"),
            None => Ok(None),
        }
    }
}

impl Class {
    /// The class of that code, of which the lowest 24 bits count.
    pub fn new(code: u32) -> Self {
        Self(code & 0x00ff_ffff)
    }

    /// The code: base class, subclass and interface, a byte each.
    pub fn code(self) -> u32 {
        self.0
    }

    /// Whether it is a display controller (base class 3): VGA, 3D or other.
    pub fn is_display(self) -> bool {
        self.0 >> 16 == 0x03
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:06x}", self.0)
    }
}

/// What a look over the bus wants to know of one function.
enum Look {
    Display,
    Virtual(Bdf),
    Other,
}

/// An address as the kernel writes it; no other form is one.
fn address(name: &str) -> Option<Bdf> {
    let bdf: Bdf = name.parse().ok()?;
    (bdf.to_string() == name).then_some(bdf)
}
