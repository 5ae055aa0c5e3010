//! Where a new child goes: libvirt's canonical order of elements.
//!
//! ```text
//!   left left left │ same same │ unknown │ right right
//!                              ▲ a new one
//! ```
//! Invariant: what is put where an [`Anchor`] says stays there when libvirt writes the domain anew, as far as the
//! neighbours stand in libvirt's order themselves.

use std::ops::Range;

/// Where a new child goes by libvirt's canonical order: behind `last_same`, else behind `last_left`, else before the
/// first of those that follow, which is behind what came before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anchor {
    last_same: Option<Range<usize>>,
    last_left: Option<Range<usize>>,
    before_right: Option<Option<Range<usize>>>,
    last: Option<Range<usize>>,
}

/// Where a child element stands relative to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    Left,
    Right,
    Unknown,
}

impl Anchor {
    pub(super) fn child(&mut self, order: Order, span: &Range<usize>) {
        match order {
            Order::Same => self.last_same = Some(span.clone()),
            Order::Left => self.last_left = Some(span.clone()),
            Order::Right if self.before_right.is_none() => self.before_right = Some(self.last.clone()),
            Order::Right | Order::Unknown => {}
        }
        self.last = Some(span.clone());
    }

    /// The element that a new one goes behind; none: it becomes the first.
    pub(crate) fn previous(&self) -> Option<&Range<usize>> {
        let before_right = self.before_right.as_ref().and_then(Option::as_ref);
        self.last_same.as_ref().or(self.last_left.as_ref()).or(before_right)
    }
}

/// libvirt's `virDomainDefFormatInternalSetRootName()` writes metadata behind these.
pub(super) fn before_metadata(name: &str) -> Order {
    match name {
        "name" | "uuid" | "hwuuid" | "genid" | "title" | "description" => Order::Left,
        _ => Order::Right,
    }
}

/// The same function writes these, and elements of other namespaces, behind devices.
pub(super) fn before_devices(name: &str) -> Order {
    match name {
        "seclabel" | "keywrap" | "launchSecurity" => Order::Right,
        _ if name.contains(':') => Order::Right,
        _ => Order::Left,
    }
}

/// The order in which the same function writes devices, relative to a video and to a hostdev.
pub(super) fn among_devices(name: &str) -> (Order, Order) {
    match name {
        "hostdev" => (Order::Right, Order::Same),
        "video" => (Order::Same, Order::Left),
        "emulator" | "disk" | "controller" | "lease" | "filesystem" | "interface" | "smartcard" | "serial"
        | "parallel" | "console" | "channel" | "input" | "tpm" | "graphics" | "sound" | "audio" => {
            (Order::Left, Order::Left)
        }
        "redirdev" | "redirfilter" | "hub" | "watchdog" | "memballoon" | "rng" | "nvram" | "panic" | "shmem"
        | "memory" | "crypto" | "iommu" | "vsock" | "pstore" => (Order::Right, Order::Right),
        _ => (Order::Unknown, Order::Unknown),
    }
}
