//! Where the few elements stand that we read or edit, found in one scan.
//!
//! ```text
//!  /domain ─┬─ name, uuid                       the first of each
//!           ├─ metadata ─┬─ {ours}requests ── {ours}request      requests.rs, request.rs
//!           │            └─ {libosinfo}libosinfo ── os          around.rs
//!           ├─ numatune, cputune, vcpu                           pinning.rs
//!           └─ devices ─┬─ hostdev ─┬─ source ── address         hostdev.rs
//!                       │           └─ alias
//!                       └─ graphics, video ── model            around.rs
//! ```
//! Invariant: elements are met by path, with names in no namespace, never by name alone: what looks alike inside
//! foreign metadata, comments or CDATA is not seen. libvirt looks the same way (XPath `./devices/hostdev`).
//!
//! This file says what a map holds, `builder.rs` makes one, `order.rs` says where something new goes.

mod around;
mod builder;
mod hostdev;
mod order;
mod pinning;
mod request;
mod requests;

pub(crate) use builder::map;
pub(crate) use hostdev::{HostdevAt, Switch};
pub(crate) use order::Anchor;
pub(crate) use pinning::Pins;
pub(crate) use request::{ATTRIBUTES, RequestAt};
pub(crate) use requests::Set;

use crate::error::{XmlError, XmlErrorKind};
use crate::lexical::Attr;
use mdevkit_core::{Slot, Uuid};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Everything that a scan found.
#[derive(Default)]
pub(crate) struct Map<'a> {
    pub(crate) text: &'a str,
    pub(crate) root: Element<'a>,
    /// The root's `type`.
    pub(crate) kind: Option<Cow<'a, str>>,
    /// What the root declares: prefix and URI.
    pub(crate) namespaces: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) metadata: Option<Element<'a>>,
    pub(crate) devices: Option<Element<'a>>,
    pub(crate) set: Option<Set<'a>>,
    pub(crate) hostdevs: Vec<HostdevAt<'a>>,
    pub(crate) videos: Vec<VideoAt<'a>>,
    pub(crate) graphics: Vec<GraphicsAt<'a>>,
    /// What `<vcpu>` says.
    pub(crate) vcpus: Cow<'a, str>,
    /// Children of the root, of metadata and of devices that an edit does not look at, in the order of the document.
    pub(crate) settled: Vec<Range<usize>>,
    pub(crate) pins: Pins,
    /// The `id` of `<libosinfo:os>`.
    pub(crate) os: Option<Cow<'a, str>>,
    /// Where `<metadata>`, `<devices>`, a child of metadata, a hostdev and a video would go.
    pub(crate) for_metadata: Anchor,
    pub(crate) for_devices: Anchor,
    pub(crate) in_metadata: Anchor,
    pub(crate) in_devices: Anchor,
    pub(crate) for_video: Anchor,
}

impl Map<'_> {
    /// An error at a place, if there is one to point at.
    pub(crate) fn error(&self, place: Option<usize>, kind: XmlErrorKind) -> XmlError {
        match place {
            Some(place) => XmlError::at(self.text, place, kind),
            None => kind.into(),
        }
    }

    /// Where a slot is used: in a hostdev, else in a request.
    pub(crate) fn place_of(&self, slot: Slot) -> Option<usize> {
        let hostdev = self.hostdevs.iter().find(|hostdev| hostdev.slot == Some(slot));
        let mut requests = self.set.iter().flat_map(|set| &set.requests);
        let element = match hostdev {
            Some(hostdev) => &hostdev.element,
            None => &requests.find(|at| at.request.slot == Some(slot))?.element,
        };
        Some(element.span.start)
    }
}

/// Without the document: it may hold passwords.
impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .field("set", &self.set)
            .field("hostdevs", &self.hostdevs)
            .finish_non_exhaustive()
    }
}

/// A `<graphics>`.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphicsAt<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) kind: Option<Cow<'a, str>>,
}

/// A `<video>`.
#[derive(Clone, Debug, Default)]
pub(crate) struct VideoAt<'a> {
    pub(crate) element: Element<'a>,
    /// Whether its model is `none`.
    pub(crate) none: bool,
}

/// An element and its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element<'a> {
    pub(crate) name: &'a str,
    /// From `<` of the start tag to behind `>` of the end tag.
    pub(crate) span: Range<usize>,
    /// Where the start tag ends.
    pub(crate) open_end: usize,
    /// Where the end tag begins; none for `<a/>`.
    pub(crate) close: Option<usize>,
    /// The first child element.
    pub(crate) first_child: Option<Range<usize>>,
}

impl Element<'_> {
    /// What stands between the tags; none for `<a/>`.
    pub(crate) fn content(&self) -> Option<Range<usize>> {
        self.close.map(|close| self.open_end..close)
    }
}

/// An attribute's place and its value's.
#[derive(Clone, Debug)]
pub(crate) struct AttrSpan {
    pub(crate) span: Range<usize>,
    pub(crate) value: Range<usize>,
}

impl AttrSpan {
    fn of(attr: &Attr<'_>) -> Self {
        Self {
            span: attr.span.clone(),
            value: attr.value.clone(),
        }
    }
}
