//! Where a device lives: PCI addresses, and the names of parents, which are not always PCI.
//!
//! Invariant: a [`ParentName`] is one safe path component, and parents sort PCI first, by address as numbers.

use crate::value::{ValueError, serde_as_text};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A PCI function's address, `domain:bus:slot.function` in hexadecimal, as the kernel prints it (`pci_name()`).
///
/// ```
/// use mdevkit_core::Bdf;
/// let bdf: Bdf = "0000:3b:00.4".parse()?;
/// assert_eq!((bdf.bus(), bdf.slot(), bdf.function()), (0x3b, 0, 4));
/// assert_eq!(bdf.to_string(), "0000:3b:00.4");
/// assert!("3b:00.4".parse::<Bdf>().is_err(), "the domain is part of the address");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bdf {
    domain: u32,
    bus: u8,
    slot: u8,
    function: u8,
}

impl Bdf {
    /// The PCI domain (segment), 0 to 0xffffffff (Hyper-V and VMD use more than 16 bits).
    pub fn domain(self) -> u32 {
        self.domain
    }
    /// The bus, 0 to 0xff.
    pub fn bus(self) -> u8 {
        self.bus
    }
    /// The slot (device), 0 to 0x1f.
    pub fn slot(self) -> u8 {
        self.slot
    }
    /// The function, 0 to 7.
    pub fn function(self) -> u8 {
        self.function
    }
}

impl FromStr for Bdf {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || ValueError::new("pci address", text, "it is written like 0000:3b:00.0");
        let (head, function) = text.split_once('.').ok_or_else(bad)?;
        let mut parts = head.split(':');
        let (Some(domain), Some(bus), Some(slot), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
            (digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u32::from_str_radix(part, 16).ok())
                .flatten()
                .ok_or_else(bad)
        };
        let byte = |value: u32, below: u32| {
            (value < below)
                .then_some(value)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(bad)
        };
        Ok(Self {
            domain: hex(domain, 4..=8)?,
            bus: byte(hex(bus, 2..=2)?, 0x100)?,
            slot: byte(hex(slot, 2..=2)?, 0x20)?,
            function: byte(hex(function, 1..=1)?, 8)?,
        })
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.domain, self.bus, self.slot, self.function
        )
    }
}

/// The name of a parent, as it stands in `/sys/class/mdev_bus`: a PCI address, or a word such as `mtty`, `matrix`
/// (vfio-ap) or `0.0.0312` (a css subchannel).
///
/// ```
/// use mdevkit_core::ParentName;
/// let mut names: Vec<ParentName> =
///     ["mtty", "0000:85:00.0", "0000:06:00.0"].iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
/// names.sort();
/// assert_eq!(names.iter().map(ParentName::as_str).collect::<Vec<_>>(), ["0000:06:00.0", "0000:85:00.0", "mtty"]);
/// assert!("..".parse::<ParentName>().is_err() && "a/b".parse::<ParentName>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParentName {
    text: String,
    bdf: Option<Bdf>,
}

impl ParentName {
    /// The name as the kernel writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The PCI address, when the parent is a PCI function.
    pub fn bdf(&self) -> Option<Bdf> {
        self.bdf
    }
}

impl FromStr for ParentName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = |why| ValueError::new("parent", text, why);
        if text.is_empty() || text.len() > 255 {
            return Err(bad("a parent's name has 1 to 255 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
            return Err(bad("it may have letters, digits, '-', '_', '.' and ':' only"));
        }
        if text.bytes().all(|b| b == b'.') {
            return Err(bad("it is not a name but a place"));
        }
        // A person may write 0000:3B:00.0; the kernel's name of it has small letters.
        let bdf: Option<Bdf> = text.parse().ok();
        Ok(Self {
            text: bdf.map_or_else(|| text.to_owned(), |bdf| bdf.to_string()),
            bdf,
        })
    }
}

impl Ord for ParentName {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.bdf, other.bdf) {
            (Some(mine), Some(theirs)) => mine.cmp(&theirs).then_with(|| self.text.cmp(&other.text)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.text.cmp(&other.text),
        }
    }
}

impl PartialOrd for ParentName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ParentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(Bdf);
serde_as_text!(ParentName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_exactly_or_not_at_all() {
        for (text, good) in [
            ("0000:00:02.0", true),
            ("10000:e1:1f.7", true),
            ("0000:AB:0c.1", true),
            ("0000:00:20.0", false),
            ("0000:00:1f.8", false),
            ("0000:00:02", false),
            ("0000:00:02.0 ", false),
            ("0000:00:02.00", false),
            ("+000:00:02.0", false),
            ("00000:00:02.0:0", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Bdf>().is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn parents_need_not_be_pci() {
        for (name, pci) in [
            ("0000:3b:00.0", true),
            ("mtty", false),
            ("matrix", false),
            ("0.0.0312", false),
        ] {
            assert_eq!(name.parse::<ParentName>().unwrap().bdf().is_some(), pci, "{name}");
        }
        for name in ["", ".", "..", "...", "a/b", "../mtty", "a b", "a\0", "a\n", "é"] {
            assert!(name.parse::<ParentName>().is_err(), "{name:?}");
        }
    }
}
