//! Splices, and the result of an edit.
//!
//! Invariant: everything between splices is copied from the input, and the result was looked at again ([`crate::check`])
//! before anybody sees it.

use crate::check::{self, Then};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::map::Map;
use mdevkit_core::{Bdf, Slot, Uuid};
use std::fmt;
use std::ops::Range;

/// A piece of the input and what stands there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Bytes of the input; empty where something is inserted.
    pub range: Range<usize>,
    /// What stands there in the output.
    pub text: String,
}

impl Splice {
    pub(crate) fn insert(at: usize, text: String) -> Self {
        Self { range: at..at, text }
    }

    pub(crate) fn remove(range: Range<usize>) -> Self {
        Self {
            range,
            text: String::new(),
        }
    }

    pub(crate) fn replace(range: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            range,
            text: text.into(),
        }
    }
}

/// An edited domain.
///
/// ```
/// use mdevkit_xml::{Eject, eject};
/// let xml = b"<domain><name>vm</name></domain>";
/// let edited = eject(xml, &Eject::All)?;
/// assert!(!edited.changed() && edited.splices().is_empty());
/// assert_eq!(edited.into_bytes(), xml);
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Edited {
    bytes: Vec<u8>,
    devices: Vec<(Slot, Uuid)>,
    functions: Vec<(Slot, Bdf)>,
    splices: Vec<Splice>,
}

/// Which device stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Mdev(Uuid),
    Pci(Bdf),
}

impl Edited {
    /// The whole document.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole document.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether a byte differs from the input.
    pub fn changed(&self) -> bool {
        !self.splices.is_empty()
    }

    /// The mediated devices that were added, removed, changed or given a new UUID, by the order of the request or the
    /// file.
    pub fn devices(&self) -> &[(Slot, Uuid)] {
        &self.devices
    }

    /// The PCI functions that were added, removed or changed.
    pub fn functions(&self) -> &[(Slot, Bdf)] {
        &self.functions
    }

    /// What was changed, in the order of the input.
    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }
}

/// Without the document: it may hold passwords, and what is printed for developers ends up in logs.
impl fmt::Debug for Edited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edited")
            .field("bytes", &self.bytes.len())
            .field("devices", &self.devices)
            .field("functions", &self.functions)
            .field("splices", &self.splices)
            .finish()
    }
}

/// Applies splices to the document that was mapped, and looks at the result.
pub(crate) fn apply(
    map: &Map<'_>,
    limits: &Limits,
    mut splices: Vec<Splice>,
    devices: &[(Slot, Identity)],
    then: Then<'_>,
) -> Result<Edited, XmlError> {
    let input = map.text;
    splices.retain(|splice| input.get(splice.range.clone()) != Some(splice.text.as_str()));
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let added: usize = splices.iter().map(|splice| splice.text.len()).sum();
    let mut output = String::with_capacity(input.len() + added);
    let mut at = 0;
    for splice in &splices {
        let kept = input
            .get(at..splice.range.start)
            .ok_or(Kind::Internal("two splices overlap"))?;
        output.push_str(kept);
        output.push_str(&splice.text);
        at = splice.range.end;
    }
    output.push_str(
        input
            .get(at..)
            .ok_or(Kind::Internal("a splice lies outside the document"))?,
    );

    if !splices.is_empty() {
        check::kept(input, &output, &splices)?;
        check::meaning(map, &output, &splices, limits, devices, then)?;
    }
    let mut edited = Edited {
        bytes: output.into_bytes(),
        devices: Vec::new(),
        functions: Vec::new(),
        splices,
    };
    for (slot, identity) in devices {
        match identity {
            Identity::Mdev(uuid) => edited.devices.push((*slot, *uuid)),
            Identity::Pci(address) => edited.functions.push((*slot, *address)),
        }
    }
    Ok(edited)
}
