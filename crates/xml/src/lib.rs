//! Reads and edits libvirt domain XML byte for byte: requests in `<metadata>`, and the mdev `<hostdev>`s beside them.
//!
//! Bytes in, bytes out; no I/O. A document is never written anew: one scan finds where a few elements stand, and the
//! result is the input with pieces spliced in or out. Comments, quotes, attribute order, character references, CDATA,
//! CRLF, a byte order mark, tabs and a missing last newline are kept, because they are never touched.
//!
//! ```text
//!  bytes ─► text ─► scan ─► map ─┬─► View, Domain                      read
//!        (UTF-8,  (well-  (where └─► splices ─► bytes ─► looked at again inject, complete, eject, refresh, ...
//!         size)   formed)  it is)
//! ```
//!
//! | to | there is |
//! |---|---|
//! | read | [`read`] into values, [`View`] without copying, [`domain_uuid`] alone, [`may_concern_us`] from the bytes |
//! | add and take out | [`inject()`] and [`Injection`], [`complete()`] for what a person wrote, [`eject()`] |
//! | change | [`Replacement`] of a request, [`Screen`] and [`primary`] for displays, [`refresh()`] for clones |
//! | show | [`Edited::diff`] before anything is written, [`XmlError::in_file`] for what was refused |
//!
//! Each edit done twice is the same as once. The requests are a public format: `docs/request.md` and its schema.
//!
//! # Example
//! What must not change is what this example asserts:
//! ```
//! use mdevkit_xml::{Eject, NewDevice, eject, inject, read};
//!
//! let xml = concat!(
//!     "<!-- edit with virsh -->\r\n<domain type=\"kvm\">\r\n",
//!     "\t<name>vm &amp; co</name>\r\n\t<uuid>11111111-0000-0000-0000-000000000001</uuid>\r\n",
//!     "\t<devices >\r\n\t\t<disk  type='file'/><!-- root -->\r\n\t</devices >\r\n</domain>",
//! );
//! let edited = inject(xml.as_bytes(), &[NewDevice::new("V100DX-4Q".parse()?)])?;
//!
//! // Every line of the input is in the output, in order and byte for byte.
//! let output = std::str::from_utf8(edited.bytes())?;
//! let mut lines = output.split('\n');
//! assert!(xml.split('\n').all(|line| lines.any(|new| new == line)));
//! // What was added is laid out as its neighbours are.
//! assert!(output.contains("<disk  type='file'/><!-- root -->\r\n\t\t<hostdev mode='subsystem' type='mdev'"));
//!
//! // A program reads it as values.
//! let domain = read(edited.bytes())?;
//! assert_eq!(domain.name, "vm & co");
//! assert_eq!(domain.requests.unwrap().requests[0].ask.to_string(), "V100DX-4Q");
//!
//! // And what was put in comes out, to the byte.
//! assert_eq!(eject(edited.bytes(), &Eject::All)?.bytes(), xml.as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! - UTF-8 without a document type; the sizes of [`Limits`].
//! - The root is `<domain>`: libvirt's status files and snapshots are refused, they are not for editing.
//! - libvirt rewrites what it is given. An ejection after that takes out the same elements and leaves libvirt's bytes.
#![forbid(unsafe_code)]

mod addition;
mod check;
mod complete;
mod concern;
mod diff;
mod edit;
mod eject;
mod error;
mod inject;
mod layout;
mod lexical;
mod map;
mod namespace;
mod notes;
mod pick;
mod place;
mod refresh;
mod replace;
mod scan;
mod screen;
mod text;
mod uuid;
mod view;
mod whose;
mod write;

pub use complete::complete;
pub use concern::may_concern_us;
pub use edit::{Edited, Splice};
pub use eject::{Eject, eject};
pub use error::{Limits, XmlError, XmlErrorKind};
pub use inject::{Injection, NewDevice, inject};
pub use pick::Pick;
pub use place::Report;
pub use refresh::refresh;
pub use replace::Replacement;
pub use screen::{Screen, primary};
pub use view::{GraphicsView, HostdevView, RequestView, View};
pub use whose::domain_uuid;

use map::Map;
use mdevkit_core::Domain;

/// The namespace of our element in `<metadata>`; its last part is the format's version.
pub const NAMESPACE: &str = "urn:mdevkit:domain:1";

/// Reads a domain: its name, its UUID, our requests, its hostdevs.
///
/// ```
/// let domain = mdevkit_xml::read(b"<domain><name>vm</name><devices/></domain>")?;
/// assert_eq!(domain.name, "vm");
/// assert!(!domain.concerns_us());
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
///
/// # Errors
/// When the document is not well-formed, not a domain, too large, or our own parts break their format.
pub fn read(xml: &[u8]) -> Result<Domain, XmlError> {
    read_within(xml, &Limits::default())
}

/// As [`read`], with other bounds.
///
/// # Errors
/// As [`read`].
pub fn read_within(xml: &[u8], limits: &Limits) -> Result<Domain, XmlError> {
    View::within(xml, limits).map(View::into_domain)
}

fn map<'a>(xml: &'a [u8], limits: &Limits) -> Result<Map<'a>, XmlError> {
    map::map(text::text(xml, limits)?, limits)
}
