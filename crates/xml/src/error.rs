//! What is wrong with a document, where, and what to do about it.
//!
//! Invariant: the message is one line of at most 300 bytes without control characters (libvirt shows it to people), and
//! holds nothing of the document but names and the values of our own attributes: the document may hold passwords.

use crate::place::{Place, printable};
use mdevkit_core::{Bdf, Code, DEVICES_PER_DOMAIN, Slot, Uuid, ValueError};
use std::borrow::Cow;
use std::fmt;

/// The longest message, in bytes.
const MESSAGE: usize = 300;

/// Why a document was not read or not edited.
///
/// ```
/// let error = mdevkit_xml::read(b"<domain>\n  <name>vm</nam>\n</domain>").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 11: </nam> closes <name>");
/// assert_eq!((error.line(), error.column()), (Some(2), Some(11)));
/// assert_eq!(error.snippet().unwrap(), "  <name>vm</nam>\n          ^");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct XmlError(Box<Detail>);

#[derive(Clone, PartialEq, Eq)]
struct Detail {
    kind: XmlErrorKind,
    place: Option<Place>,
    /// What would have been right, where the kind does not say it.
    expected: Option<Cow<'static, str>>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlErrorKind {
    /// No bytes, or nothing but white space.
    #[error("the document is empty; a libvirt <domain> was expected")]
    Empty,
    /// More bytes than [`crate::Limits::bytes`].
    #[error("the document has {size} bytes; at most {limit} are read")]
    TooBig {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Elements nest deeper than [`crate::Limits::depth`].
    #[error("elements nest deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The bytes are not UTF-8, or the declaration says that they are something else.
    #[error("{0}")]
    Encoding(Cow<'static, str>),
    /// Not well-formed XML.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    /// A document type declaration; libvirt writes none, and entities could hide anything.
    #[error("<!DOCTYPE> is not accepted; remove it")]
    Doctype,
    /// The root element is not libvirt's `<domain>`.
    #[error("the document is <{found}>, not a libvirt <domain>{hint}")]
    NotADomain {
        /// The root element's name.
        found: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// The domain's own `<uuid>` cannot be read.
    #[error("the domain's <uuid> is not a UUID")]
    DomainUuid,
    /// Our element breaks its format.
    #[error("{0}")]
    Request(Cow<'static, str>),
    /// A value in our element, or in a hostdev of ours, is not valid.
    #[error("{attribute}: {source}")]
    Value {
        /// The attribute that holds it.
        attribute: &'static str,
        /// Why.
        source: ValueError,
    },
    /// Two requests, or two hostdevs, have the same slot.
    #[error("slot {slot} stands twice; each request and each alias ua-mdevkit-N has a slot of its own")]
    DuplicateSlot {
        /// The slot.
        slot: Slot,
    },
    /// Two of the domain's devices have the same UUID.
    #[error("device {uuid} stands twice in the domain; each has a UUID of its own")]
    DuplicateUuid {
        /// The UUID.
        uuid: Uuid,
    },
    /// Two of the domain's hostdevs are the same PCI function.
    #[error("PCI function {address} stands twice in the domain")]
    DuplicateAddress {
        /// The function.
        address: Bdf,
    },
    /// More than [`crate::Limits::devices`].
    #[error("{count} devices are asked for; a domain may have {limit}")]
    TooManyDevices {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Our element is larger than [`crate::Limits::metadata`].
    #[error("the requests take {size} bytes; at most {limit} are read")]
    MetadataTooBig {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The requests were injected for another domain.
    #[error(
        "the requests were injected for domain {injected_for}: this one is a clone of it; \
         run `mdevkit refresh` on it first"
    )]
    Clone {
        /// The domain that they were injected for.
        injected_for: Uuid,
    },
    /// The domain has no `<uuid>` to make a device's UUID from, and none was given.
    #[error("the domain has no <uuid> yet: a device's UUID must be given")]
    NoUuid,
    /// The slot that was asked for is taken.
    #[error("slot {slot} is taken; leave it out to get the lowest unused one")]
    SlotTaken {
        /// The slot.
        slot: Slot,
    },
    /// The UUID that was asked for is another device's.
    #[error("UUID {uuid} is taken: {by}")]
    UuidTaken {
        /// The UUID.
        uuid: Uuid,
        /// By what.
        by: String,
    },
    /// The PCI function that was asked for is another hostdev's.
    #[error("PCI function {address} is taken by another hostdev of this domain")]
    AddressTaken {
        /// The function.
        address: Bdf,
    },
    /// libvirt would not define or start the domain with this.
    #[error("libvirt would refuse this: {0}")]
    Libvirt(&'static str),
    /// No device of ours has this UUID.
    #[error("no device of mdevkit's in this domain has UUID {uuid}")]
    NotOursUuid {
        /// The UUID.
        uuid: Uuid,
    },
    /// No device of ours has this slot.
    #[error("no device of mdevkit's in this domain has slot {slot}")]
    NotOursSlot {
        /// The slot.
        slot: Slot,
    },
    /// The edit did not come out as it should have; nothing was changed. A defect of mdevkit.
    #[error("the edit would have damaged the document and was given up: {0}; please report this as a bug")]
    Internal(&'static str),
}

impl XmlError {
    /// An error at a byte offset of the text.
    #[cold]
    pub(crate) fn at(text: &str, offset: usize, kind: XmlErrorKind) -> Self {
        Self(Box::new(Detail {
            kind,
            place: Some(Place::of(text, offset)),
            expected: None,
        }))
    }

    /// Shorthand for the most frequent kind.
    #[cold]
    pub(crate) fn malformed(text: &str, offset: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self::at(text, offset, XmlErrorKind::Malformed(message.into()))
    }

    /// Says what would have been right: something short, in the words of the document.
    #[cold]
    pub(crate) fn expecting(mut self, expected: impl Into<Cow<'static, str>>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// What would have been right at the place: a piece of XML, or a few words. None where there is nothing better to say
    /// than what is wrong.
    ///
    /// ```
    /// let error = mdevkit_xml::read(b"<domstatus/>").unwrap_err();
    /// assert_eq!(error.expected().as_deref(), Some("<domain>"));
    /// ```
    pub fn expected(&self) -> Option<Cow<'_, str>> {
        use XmlErrorKind as K;
        let said = match &self.0.kind {
            K::Empty | K::NotADomain { .. } => "<domain>",
            K::DomainUuid => "32 hexadecimal digits, as in 53764d0e-85a0-42b4-af5c-2046b460b1dc",
            K::Encoding(_) => "UTF-8",
            // The message says it too, and ends with it.
            K::Value { source, .. } => {
                let message = source.to_string();
                let (_, why) = message.rsplit_once(" is not valid: ")?;
                let why = ["it is written like ", "it is ", "it has ", "they are "]
                    .iter()
                    .find_map(|lead| why.strip_prefix(lead))
                    .unwrap_or(why);
                return Some(why.to_owned().into());
            }
            _ => return self.0.expected.as_deref().map(Cow::Borrowed),
        };
        Some(said.into())
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What is wrong, without the place, as one bounded line.
    pub(crate) fn message(&self) -> String {
        bounded(self.0.kind.to_string())
    }

    /// What is wrong.
    pub fn kind(&self) -> &XmlErrorKind {
        &self.0.kind
    }

    /// The line, from 1; none when the error is about the document as a whole.
    pub fn line(&self) -> Option<usize> {
        self.0.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, from 1; a byte order mark counts for nothing.
    pub fn column(&self) -> Option<usize> {
        self.0.place.as_ref().map(|place| place.column)
    }

    /// The line of the document with a caret under the place, for a terminal; [`XmlError::in_file`] shows all there is to
    /// say.
    ///
    /// It is the document's own text: do not write it to a log, the line may hold a password.
    pub fn snippet(&self) -> Option<String> {
        self.0.place.as_ref().map(Place::snippet)
    }

    /// The stable code of the refusal: [`Code::Xml`], [`Code::Request`] or [`Code::Clone`].
    pub fn code(&self) -> Code {
        use XmlErrorKind as K;
        match self.0.kind {
            K::Request(_)
            | K::Value { .. }
            | K::DuplicateSlot { .. }
            | K::DuplicateUuid { .. }
            | K::DuplicateAddress { .. }
            | K::AddressTaken { .. }
            | K::Libvirt(_)
            | K::TooManyDevices { .. }
            | K::MetadataTooBig { .. }
            | K::NoUuid
            | K::SlotTaken { .. }
            | K::UuidTaken { .. }
            | K::NotOursUuid { .. }
            | K::NotOursSlot { .. } => Code::Request,
            K::Clone { .. } => Code::Clone,
            _ => Code::Xml,
        }
    }
}

impl From<XmlErrorKind> for XmlError {
    #[cold]
    fn from(kind: XmlErrorKind) -> Self {
        Self(Box::new(Detail {
            kind,
            place: None,
            expected: None,
        }))
    }
}

/// A name or a value of the document as a message shows it: escaped, at most 64 characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bounded(match &self.0.place {
            Some(place) => format!("line {}, column {}: {}", place.line, place.column, self.0.kind),
            None => self.0.kind.to_string(),
        }))
    }
}

/// One line of at most [`MESSAGE`] bytes.
fn bounded(mut message: String) -> String {
    if message.contains(char::is_control) {
        message = message.chars().map(printable).collect();
    }
    if message.len() > MESSAGE {
        message.truncate(message.floor_char_boundary_before(MESSAGE - 3));
        message.push_str("...");
    }
    message
}

/// `str::floor_char_boundary` is newer than our oldest compiler.
trait FloorBoundary {
    fn floor_char_boundary_before(&self, at: usize) -> usize;
}

impl FloorBoundary for str {
    fn floor_char_boundary_before(&self, at: usize) -> usize {
        (0..=at).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

impl fmt::Debug for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlError")
            .field("kind", &self.0.kind)
            .field("line", &self.line())
            .field("column", &self.column())
            .finish()
    }
}

impl std::error::Error for XmlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            XmlErrorKind::Value { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What bounds the work that a document can cause.
///
/// ```
/// let limits = mdevkit_xml::Limits::default();
/// assert_eq!((limits.bytes, limits.depth, limits.metadata, limits.devices), (16 << 20, 256, 64 << 10, 16));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The document, in bytes. libvirt itself reads at most 10 MB from a file and 4 MiB over RPC.
    pub bytes: usize,
    /// How deep elements nest; libxml2's own limit is 256 too.
    pub depth: usize,
    /// Our element in `<metadata>`, in bytes.
    pub metadata: usize,
    /// Requests in a domain.
    pub devices: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            depth: 256,
            metadata: 64 << 10,
            devices: DEVICES_PER_DOMAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_short_line() {
        let long = "ä\n".repeat(400);
        let error = XmlError::malformed("x", 0, long.clone());
        assert!(error.to_string().len() <= 300 && !error.to_string().contains('\n'));
        let snippet = XmlError::malformed(&"y".repeat(5000), 2500, "z").snippet().unwrap();
        assert!(snippet.len() < 300, "{snippet}");
        assert_eq!(snippet.lines().count(), 2);
    }
}
