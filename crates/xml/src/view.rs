//! A domain as a borrowed view of its document: what it is called, what it has, and where each part stands.
//!
//! Invariant: a value that stands in the document as it is read is not copied, only one that holds references or line
//! ends to be read otherwise. Spans are byte ranges of the document, from `<` to behind `>`.

use crate::error::{Limits, XmlError};
use crate::map::{self, HostdevAt, Map, RequestAt};
use crate::text;
use mdevkit_core::{Alias, Domain, Hostdev, HostdevKind, Pinning, Request, RequestSet, Slot, Uuid};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A domain, borrowed from its document.
///
/// ```
/// use mdevkit_xml::View;
/// let xml = br#"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
///   <name>vm</name>
///   <vcpu>4</vcpu>
///   <devices>
///     <graphics type='vnc' port='-1'/>
///     <hostdev mode='subsystem' type='pci'><source><address bus='0x3b' slot='0'/></source></hostdev>
///   </devices>
/// </domain>"#;
/// let view = View::of(xml)?;
/// assert_eq!((view.name(), view.kind(), view.vcpus()), ("vm", Some("kvm"), Some(4)));
/// assert_eq!(view.graphics().next().unwrap().kind(), Some("vnc"));
/// assert_eq!(view.namespaces().next().unwrap().0, "qemu");
/// let hostdev = view.hostdevs().next().unwrap();
/// assert!(hostdev.text().starts_with("<hostdev mode=") && hostdev.slot().is_none());
/// // Nothing was copied.
/// assert!(xml.as_ptr_range().contains(&view.name().as_ptr()));
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
#[derive(Debug)]
pub struct View<'a> {
    map: Map<'a>,
}

impl<'a> View<'a> {
    /// Looks at a document.
    ///
    /// # Errors
    /// As [`crate::read`].
    pub fn of(xml: &'a [u8]) -> Result<Self, XmlError> {
        Self::within(xml, &Limits::default())
    }

    /// As [`View::of`], with other bounds.
    ///
    /// # Errors
    /// As [`crate::read`].
    pub fn within(xml: &'a [u8], limits: &Limits) -> Result<Self, XmlError> {
        map::map(text::text(xml, limits)?, limits).map(|map| Self { map })
    }

    /// `<name>`; empty when absent.
    pub fn name(&self) -> &str {
        &self.map.name
    }

    /// `<uuid>`.
    pub fn uuid(&self) -> Option<Uuid> {
        self.map.uuid
    }

    /// The root's `type`: `kvm`, `qemu`.
    pub fn kind(&self) -> Option<&str> {
        self.map.kind.as_deref()
    }

    /// `<vcpu>`: how many there are at most; none when absent (libvirt takes 1) or no number.
    pub fn vcpus(&self) -> Option<u32> {
        self.map
            .vcpus
            .trim_matches(|c: char| c.is_ascii_whitespace())
            .parse()
            .ok()
    }

    /// Where its memory and its CPUs are.
    pub fn pinning(&self) -> Pinning {
        self.map.pins.pinning()
    }

    /// The guest's operating system, as libosinfo calls it.
    pub fn os(&self) -> Option<&str> {
        self.map.os.as_deref()
    }

    /// The namespaces that the root declares: prefix (empty: the default one) and URI.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        self.map.namespaces.iter().map(|(prefix, uri)| (*prefix, uri.as_ref()))
    }

    /// Whether the domain is any of mdevkit's business.
    pub fn concerns_us(&self) -> bool {
        self.map.set.is_some() || self.map.hostdevs.iter().any(|hostdev| hostdev.slot.is_some())
    }

    /// What the requests were injected for, as in [`RequestSet::injected_for`]; none also when there are no requests.
    pub fn injected_for(&self) -> Option<Option<Uuid>> {
        self.map.set.as_ref()?.injected_for
    }

    /// Our requests, in order.
    pub fn requests(&self) -> impl Iterator<Item = RequestView<'_, 'a>> {
        let text = self.map.text;
        let all = self.map.set.iter().flat_map(|set| &set.requests);
        all.map(move |at| RequestView { text, at })
    }

    /// The hostdevs of any kind, in order.
    pub fn hostdevs(&self) -> impl Iterator<Item = HostdevView<'_, 'a>> {
        let text = self.map.text;
        self.map.hostdevs.iter().map(move |at| HostdevView { text, at })
    }

    /// The `<graphics>`, in order.
    pub fn graphics(&self) -> impl Iterator<Item = GraphicsView<'_, 'a>> {
        let text = self.map.text;
        self.map.graphics.iter().map(move |at| GraphicsView { text, at })
    }

    /// The domain as the other crates know it, copied.
    pub fn into_domain(self) -> Domain {
        let hostdev = |hostdev: HostdevAt<'_>| Hostdev {
            kind: hostdev.kind(),
            alias: hostdev.alias.map(Cow::into_owned),
        };
        let map = self.map;
        Domain {
            pinning: map.pins.pinning(),
            os: map.os.map(Cow::into_owned),
            name: map.name.into_owned(),
            uuid: map.uuid,
            requests: map.set.map(|set| RequestSet {
                injected_for: set.injected_for,
                requests: set.requests.into_iter().map(|at| at.request).collect(),
            }),
            hostdevs: map.hostdevs.into_iter().map(hostdev).collect(),
        }
    }
}

/// One request of ours.
#[derive(Clone, Copy)]
pub struct RequestView<'v, 'a> {
    text: &'a str,
    at: &'v RequestAt<'a>,
}

impl<'v, 'a> RequestView<'v, 'a> {
    /// What it says.
    pub fn request(&self) -> &'v Request {
        &self.at.request
    }

    /// Where it stands.
    pub fn span(&self) -> Range<usize> {
        self.at.element.span.clone()
    }

    /// Its text.
    pub fn text(&self) -> &'a str {
        self.text.get(self.span()).unwrap_or_default()
    }
}

/// One `<hostdev>`.
#[derive(Clone, Copy)]
pub struct HostdevView<'v, 'a> {
    text: &'a str,
    at: &'v HostdevAt<'a>,
}

impl<'v, 'a> HostdevView<'v, 'a> {
    /// What it passes through.
    pub fn kind(&self) -> HostdevKind {
        self.at.kind()
    }

    /// Its alias, whoever's it is.
    pub fn alias(&self) -> Option<&'v str> {
        self.at.alias.as_deref()
    }

    /// The slot, when the alias is ours.
    pub fn slot(&self) -> Option<Slot> {
        self.at.slot
    }

    /// Our alias.
    pub fn ours(&self) -> Option<Alias> {
        self.at.slot.map(Alias)
    }

    /// `display='on'`, or `off`; none when it does not say.
    pub fn display(&self) -> Option<bool> {
        self.at.display.as_ref().map(|display| display.on)
    }

    /// `ramfb='on'`, or `off`; none when it does not say.
    pub fn ramfb(&self) -> Option<bool> {
        self.at.ramfb.as_ref().map(|ramfb| ramfb.on)
    }

    /// Where it stands.
    pub fn span(&self) -> Range<usize> {
        self.at.element.span.clone()
    }

    /// Its text.
    pub fn text(&self) -> &'a str {
        self.text.get(self.span()).unwrap_or_default()
    }
}

/// One `<graphics>`.
#[derive(Clone, Copy)]
pub struct GraphicsView<'v, 'a> {
    text: &'a str,
    at: &'v map::GraphicsAt<'a>,
}

impl<'v, 'a> GraphicsView<'v, 'a> {
    /// Its `type`: `vnc`, `spice`.
    pub fn kind(&self) -> Option<&'v str> {
        self.at.kind.as_deref()
    }

    /// Where it stands.
    pub fn span(&self) -> Range<usize> {
        self.at.element.span.clone()
    }

    /// Its text, which may hold a password.
    pub fn text(&self) -> &'a str {
        self.text.get(self.span()).unwrap_or_default()
    }
}

// Without the text: what is printed for developers ends up in logs, and the document may hold passwords.

impl fmt::Debug for RequestView<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestView").field(self.request()).finish()
    }
}

impl fmt::Debug for HostdevView<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostdevView")
            .field("kind", &self.kind())
            .field("alias", &self.alias())
            .finish()
    }
}

impl fmt::Debug for GraphicsView<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GraphicsView").field(&self.kind()).finish()
    }
}
