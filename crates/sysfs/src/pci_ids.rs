//! Names of PCI vendors and devices, from the file `pci.ids` of the PCI ID project where it is installed.
//!
//! For people only: a program that has to decide takes the numbers. The hook never reads it.
//!
//! ```text
//! 10de  NVIDIA Corporation
//! <tab>11bf  GK104GL [GRID K2]
//! <tab><tab>10de 100a  GRID K2                 (subsystems: not read)
//! C 00  Unclassified device                    (classes follow: the end)
//! ```
//!
//! Invariant: a name is one line of printable characters; the file is read in lines, at most 4 MiB of it, and only
//! until all is known.

use crate::attr::is_gone;
use crate::{Root, SysfsError};
use mdevkit_core::PciIds;
use nix::fcntl::OFlag;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where distributions put it: Debian's and its likes; Fedora's, SUSE's and Arch's.
const FILES: [&str; 2] = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];
/// The most of the file that is read, in bytes; it had 1.3 MiB in 2023.
const MOST: u64 = 4 * 1024 * 1024;
/// The longest line that is one, in bytes; the file's longest has 195.
const LINE: u64 = 512;

/// A vendor's name, and its device's where the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `NVIDIA Corporation`.
    pub vendor: String,
    /// `GK104GL [GRID K2]`; `None` for a device that is newer than the file.
    pub device: Option<String>,
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.vendor)?;
        match &self.device {
            Some(device) => write!(f, " {device}"),
            None => Ok(()),
        }
    }
}

/// The names of one card; `None` where there is no file, or no such vendor in it. Opens 1.
///
/// # Errors
/// The file is there and cannot be read.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # std::fs::create_dir_all(dir.path().join("usr/share/misc"))?;
/// # std::io::Write::write_all(&mut std::fs::File::create(dir.path().join("usr/share/misc/pci.ids"))?,
/// #     b"10de  NVIDIA Corporation\n\t11bf  GK104GL [GRID K2]\n")?;
/// use mdevkit_sysfs::{Root, pci_ids};
/// let root = Root::at(dir.path()); // Root::system() on a real host
/// let names = pci_ids::lookup(&root, "10de:11bf".parse()?)?;
/// assert_eq!(names.expect("a known card").to_string(), "NVIDIA Corporation GK104GL [GRID K2]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lookup(root: &Root, ids: PciIds) -> Result<Option<Names>, SysfsError> {
    Ok(lookup_all(root, [ids])?.remove(&ids))
}

/// The names of several cards in one go; those that are unknown are missing in the answer. Opens 1 (none for none).
///
/// # Errors
/// The file is there and cannot be read.
pub fn lookup_all(root: &Root, ids: impl IntoIterator<Item = PciIds>) -> Result<BTreeMap<PciIds, Names>, SysfsError> {
    let wanted: BTreeSet<PciIds> = ids.into_iter().collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    for path in FILES.map(|file| root.path(file)) {
        match open(&path).and_then(|file| scan(BufReader::new(file.take(MOST)), &wanted)) {
            Err(error) if is_gone(&error) => {}
            Err(source) => return Err(SysfsError::Read { path, source }),
            Ok(names) => return Ok(names),
        }
    }
    Ok(BTreeMap::new())
}

/// A distribution may make it a link to another place, so links are followed here; but only to a plain file.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
    }
}

fn scan(mut text: impl BufRead, wanted: &BTreeSet<PciIds>) -> io::Result<BTreeMap<PciIds, Names>> {
    let mut found: BTreeMap<PciIds, Names> = BTreeMap::new();
    let mut missing: BTreeSet<PciIds> = wanted.clone();
    // The vendor whose devices follow, while any of them is missing.
    let mut vendor: Option<u16> = None;
    let mut line = Vec::new();
    while !missing.is_empty() && next_line(&mut text, &mut line)? {
        match entry(&line) {
            Entry::Vendor(id, name) => {
                // What its section did not have is in no other.
                missing.retain(|ids| Some(ids.vendor) != vendor);
                vendor = missing.iter().any(|ids| ids.vendor == id).then_some(id);
                for ids in missing.iter().filter(|ids| ids.vendor == id) {
                    let names = Names {
                        vendor: name.to_owned(),
                        device: None,
                    };
                    found.insert(*ids, names);
                }
            }
            Entry::Device(device, name) => {
                let ids = vendor.map(|vendor| PciIds { vendor, device });
                if let Some(ids) = ids.filter(|ids| missing.remove(ids))
                    && let Some(names) = found.get_mut(&ids)
                {
                    names.device = Some(name.to_owned());
                }
            }
            Entry::End => break,
            Entry::Other => {}
        }
    }
    Ok(found)
}

/// Reads a line; `false` at the end. A line that is too long is none, and its name is not cut but left out.
fn next_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let length = text.by_ref().take(LINE).read_until(b'\n', line)?;
    if length as u64 == LINE && line.last() != Some(&b'\n') {
        line.clear();
        text.skip_until(b'\n')?;
    }
    Ok(length > 0)
}

enum Entry<'l> {
    Vendor(u16, &'l str),
    Device(u16, &'l str),
    /// Vendors have ended: a class follows.
    End,
    /// A comment, a subsystem, a blank line, or nothing that we know.
    Other,
}

fn entry(line: &[u8]) -> Entry<'_> {
    let Ok(line) = str::from_utf8(line) else {
        return Entry::Other;
    };
    let line = line.trim_end();
    if line.starts_with("C ") {
        return Entry::End;
    }
    match line.strip_prefix('\t') {
        None => named(line).map_or(Entry::Other, |(id, name)| Entry::Vendor(id, name)),
        Some(line) => named(line).map_or(Entry::Other, |(id, name)| Entry::Device(id, name)),
    }
}

/// Four hexadecimal digits, two blanks, a printable name.
fn named(text: &str) -> Option<(u16, &str)> {
    let (id, name) = text.split_once("  ")?;
    let name = name.trim();
    let good = id.len() == 4
        && id.bytes().all(|b| b.is_ascii_hexdigit())
        && !name.is_empty()
        && !name.chars().any(char::is_control);
    good.then(|| Some((u16::from_str_radix(id, 16).ok()?, name))).flatten()
}
