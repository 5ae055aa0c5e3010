//! The result of an edit, looked at before anybody sees it.
//!
//! Invariant: what passes holds every byte outside the splices, is well-formed, and is a domain with the same name, the
//! same UUID and the same hostdevs of others, in which the devices of the edit are as they should be.
//!
//! ```text
//!   <domain> <name>..</name> <os>..</os> <devices> <disk>..</disk> <hostdev>..</hostdev> + a splice </devices> </domain>
//!                            └ settled ┘           └── settled ──┘
//!   <domain> <name>..</name>    <_/>     <devices>     <_/>        <hostdev>..</hostdev> + a splice </devices> </domain>
//! ```
//! An element that was read before the edit, means nothing here and holds no splice is settled: whole and in the same
//! place, it is what it was, and a stand-in is read for it. That is most of a document. Debug builds, and so all tests,
//! read the whole one too.

use crate::edit::{Identity, Splice};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::map::{self, Map};
use crate::text;
use mdevkit_core::{Request, Slot};
use std::ops::Range;

/// What must be true of the devices of an edit when it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then<'r> {
    /// Each has its hostdev and its request.
    There,
    /// Each has its hostdev.
    Renewed,
    /// None has either.
    Gone,
    /// Each has its hostdev, and the request at this place in the order says this.
    Says(usize, &'r Request),
}

/// What is read for a settled element.
const STAND_IN: &str = "<_/>";

/// What is not in a splice must be in the output, byte for byte, the first and the last piece at the ends.
pub(crate) fn kept(input: &str, output: &str, splices: &[Splice]) -> Result<(), XmlError> {
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
pub(crate) fn meaning(
    before: &Map<'_>,
    output: &str,
    splices: &[Splice],
    limits: &Limits,
    devices: &[(Slot, Identity)],
    then: Then<'_>,
) -> Result<(), XmlError> {
    if output.len() > limits.bytes {
        let size = output.len();
        let limit = limits.bytes;
        return Err(Kind::TooBig { size, limit }.into());
    }
    if cfg!(debug_assertions) {
        read_again(before, output, limits, devices, then)?;
    }
    let unsettled = unsettled(before, splices).ok_or(Kind::Internal("a splice lies outside the document"))?;
    read_again(before, &unsettled, limits, devices, then)
}

/// The output with a stand-in for each settled element.
fn unsettled(before: &Map<'_>, splices: &[Splice]) -> Option<String> {
    let mut settled = before.settled.iter().peekable();
    let mut text = String::with_capacity(4096);
    let mut keep = |text: &mut String, kept: Range<usize>| {
        let mut at = kept.start;
        while let Some(element) = settled.next_if(|element| element.start < kept.end) {
            // One that holds a splice is read as it is now.
            if element.start >= at && element.end <= kept.end {
                text.push_str(before.text.get(at..element.start)?);
                text.push_str(STAND_IN);
                at = element.end;
            }
        }
        text.push_str(before.text.get(at..kept.end)?);
        Some(())
    };
    let mut at = 0;
    for splice in splices {
        keep(&mut text, at..splice.range.start)?;
        text.push_str(&splice.text);
        at = splice.range.end;
    }
    keep(&mut text, at..before.text.len())?;
    Some(text)
}

fn read_again(
    before: &Map<'_>,
    output: &str,
    limits: &Limits,
    devices: &[(Slot, Identity)],
    then: Then<'_>,
) -> Result<(), XmlError> {
    let after = text::text(output.as_bytes(), limits).and_then(|text| map::map(text, limits));
    // A place in a document that nobody has helps nobody.
    let after = after.map_err(|error| XmlError::from(error.kind().clone()))?;
    if after.name != before.name || after.uuid != before.uuid {
        return Err(Kind::Internal("the domain's name or UUID changed").into());
    }
    let others = |map: &Map<'_>| map.hostdevs.iter().filter(|hostdev| hostdev.slot.is_none()).count();
    if others(&after) != others(before) {
        return Err(Kind::Internal("a hostdev of others came or went").into());
    }
    let requests = after.set.iter().flat_map(|set| &set.requests).map(|at| &at.request);
    if let Then::Says(index, wanted) = then
        && requests.clone().nth(index) != Some(wanted)
    {
        return Err(Kind::Internal("the request does not say what it should").into());
    }
    for (slot, identity) in devices {
        let hostdev = after.hostdevs.iter().find(|hostdev| hostdev.slot == Some(*slot));
        let there = hostdev.is_some_and(|hostdev| hostdev.identity() == Some(*identity));
        let asked = || requests.clone().any(|request| request.slot == Some(*slot));
        let right = match then {
            Then::There => asked() && there,
            Then::Renewed | Then::Says(..) => there,
            Then::Gone => !asked() && hostdev.is_none(),
        };
        if !right {
            return Err(Kind::Internal("a device did not come or go as it should").into());
        }
    }
    Ok(())
}
