//! Whether a document can be any of our business, told from its bytes alone: the hook leaves at once when not.
//!
//! Invariant: never false where [`crate::read`] would find something of ours.

use crate::{NAMESPACE, lexical};
use mdevkit_core::Alias;

/// Whether the document may hold a request or an alias of ours. No document that does is missed; one that does not may
/// be reported, and is then read.
///
/// Our words stand in attribute values. There a character may also be written as a number (`urn&#58;mdevkit`): a
/// reference to a printable ASCII character therefore counts, and so does a document type, which could define any
/// name. libvirt writes neither.
///
/// ```
/// use mdevkit_xml::may_concern_us;
/// assert!(!may_concern_us(b"<domain><name>vm &#xE9;</name></domain>"));
/// assert!(may_concern_us(b"<domain><metadata><m:requests xmlns:m='urn:mdevkit:domain:1'/></metadata></domain>"));
/// assert!(may_concern_us(b"<domain><metadata><m:requests xmlns:m='urn&#58;mdevkit:domain:1'/></metadata></domain>"));
/// ```
pub fn may_concern_us(xml: &[u8]) -> bool {
    contains(xml, b"mdevkit", |rest, head| {
        let prefix = |word: &str| {
            word.split_once("mdevkit")
                .is_some_and(|(before, _)| head.ends_with(before.as_bytes()))
        };
        let suffix = |word: &str| {
            word.split_once("mdevkit")
                .is_some_and(|(_, after)| rest.starts_with(after.as_bytes()))
        };
        [NAMESPACE, Alias::PREFIX]
            .into_iter()
            .any(|word| prefix(word) && suffix(word))
    }) || contains(xml, b"&#", |rest, _| hides_a_letter(rest))
        || contains(xml, b"<!", |rest, _| {
            rest.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"doctype"))
        })
}

/// Whether a numeric reference, told from behind its `&#`, is to a character that our words could have.
fn hides_a_letter(rest: &[u8]) -> bool {
    // No further than its digits: a search for the ';' costs minutes where a megabyte of "&#" has none.
    let end = rest.iter().position(|b| !b.is_ascii_alphanumeric());
    let Some((digits, b';')) = end.and_then(|end| Some((rest.get(..end)?, *rest.get(end)?))) else {
        return false;
    };
    let number = std::str::from_utf8(digits).unwrap_or_default();
    lexical::number(number).is_some_and(|c| c.is_ascii_graphic())
}

/// Whether some occurrence of the needle passes, given what follows and what precedes it.
fn contains(haystack: &[u8], needle: &[u8], passes: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let first = needle.first().copied().unwrap_or_default();
    let mut from = 0;
    while let Some(tail) = haystack.get(from..) {
        let Some(at) = tail.iter().position(|b| *b == first).map(|at| from + at) else {
            return false;
        };
        let rest = haystack.get(at..).unwrap_or_default();
        if let Some(rest) = rest.strip_prefix(needle)
            && passes(rest, haystack.get(..at).unwrap_or_default())
        {
            return true;
        }
        from = at + 1;
    }
    false
}
