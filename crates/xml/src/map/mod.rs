//! Where the few elements stand that we read or edit, found in one scan.
//!
//! ```text
//!  /domain ─┬─ name, uuid                       the first of each
//!           ├─ metadata ─┬─ {ours}requests ── {ours}request      requests.rs, request.rs
//!           │            └─ {libosinfo}libosinfo ── os
//!           ├─ numatune, cputune, vcpu                           pinning.rs
//!           └─ devices ─┬─ hostdev ─┬─ source ── address         hostdev.rs
//!                       │           └─ alias
//!                       └─ graphics, video ── model
//! ```
//! Invariant: elements are met by path, with names in no namespace, never by name alone: what looks alike inside
//! foreign metadata, comments or CDATA is not seen. libvirt looks the same way (XPath `./devices/hostdev`).
//!
//! This file says what a map holds, `builder.rs` makes one, `order.rs` says where something new goes.

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

use crate::lexical::Attr;
use mdevkit_core::Uuid;
use std::ops::Range;

/// Everything that a scan found.
#[derive(Debug, Default)]
pub(crate) struct Map<'a> {
    pub(crate) text: &'a str,
    pub(crate) root: Element<'a>,
    pub(crate) name: String,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) metadata: Option<Element<'a>>,
    pub(crate) devices: Option<Element<'a>>,
    pub(crate) set: Option<Set<'a>>,
    pub(crate) hostdevs: Vec<HostdevAt<'a>>,
    pub(crate) videos: Vec<VideoAt<'a>>,
    /// How many `<graphics>` there are.
    pub(crate) graphics: usize,
    pub(crate) pins: Pins,
    /// The `id` of `<libosinfo:os>`.
    pub(crate) os: Option<String>,
    /// Where `<metadata>`, `<devices>`, a child of metadata, a hostdev and a video would go.
    pub(crate) for_metadata: Anchor,
    pub(crate) for_devices: Anchor,
    pub(crate) in_metadata: Anchor,
    pub(crate) in_devices: Anchor,
    pub(crate) for_video: Anchor,
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
