//! Splices, and the result of an edit.
//!
//! Invariant: everything between splices is copied from the input, and the result was scanned again before anybody sees
//! it: it is a domain with the same name, the same UUID and the same hostdevs of others.

use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::map::{self, Map};
use crate::text;
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

/// What must be true of the devices of an edit when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Each has its hostdev and its request.
    There,
    /// Each has its hostdev.
    Renewed,
    /// None has either.
    Gone,
}

/// Applies splices to the document that was mapped, and looks at the result.
pub(crate) fn apply(
    map: &Map<'_>,
    limits: &Limits,
    mut splices: Vec<Splice>,
    devices: &[(Slot, Identity)],
    then: Then,
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
        check_kept(input, &output, &splices)?;
        check_meaning(map, &output, limits, devices, then)?;
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

/// What is not in a splice must be in the output, byte for byte, the first and the last piece at the ends.
fn check_kept(input: &str, output: &str, splices: &[Splice]) -> Result<(), XmlError> {
    let lost = || XmlError::from(Kind::Internal("bytes outside the edit changed"));
    let (mut before, mut after) = (0, 0);
    for splice in splices {
        let length = splice.range.start.checked_sub(before).ok_or_else(lost)?;
        if input.get(before..before + length) != output.get(after..after + length) {
            return Err(lost());
        }
        before = splice.range.end;
        after += length + splice.text.len();
    }
    if input.get(before..) == output.get(after..) {
        Ok(())
    } else {
        Err(lost())
    }
}

/// The result must be a domain like the one before, our own parts aside.
fn check_meaning(
    before: &Map<'_>,
    output: &str,
    limits: &Limits,
    devices: &[(Slot, Identity)],
    then: Then,
) -> Result<(), XmlError> {
    let after = text::text(output.as_bytes(), limits).and_then(|text| map::map(text, limits))?;
    if after.name != before.name || after.uuid != before.uuid {
        return Err(Kind::Internal("the domain's name or UUID changed").into());
    }
    let others = |map: &Map<'_>| map.hostdevs.iter().filter(|hostdev| hostdev.slot.is_none()).count();
    if others(&after) != others(before) {
        return Err(Kind::Internal("a hostdev of others came or went").into());
    }
    for (slot, identity) in devices {
        let hostdev = after.hostdevs.iter().find(|hostdev| hostdev.slot == Some(*slot));
        let mut requests = after.set.iter().flat_map(|set| &set.requests);
        let request = requests.any(|at| at.request.slot == Some(*slot));
        let there = hostdev.is_some_and(|hostdev| hostdev.identity() == Some(*identity));
        let right = match then {
            Then::There => request && there,
            Then::Renewed => there,
            Then::Gone => !request && hostdev.is_none(),
        };
        if !right {
            return Err(Kind::Internal("a device did not come or go as it should").into());
        }
    }
    Ok(())
}
