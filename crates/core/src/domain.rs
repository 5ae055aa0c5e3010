//! A libvirt domain, as far as mediated devices are concerned: what `mdevkit-xml` reads out of the XML.
//!
//! Invariant: nothing here is checked against the host or against other parts of the domain; [`crate::wants`] does
//! that.

use crate::{Alias, Bdf, DeviceApi, IdSet, Request, Uuid};

/// A domain's name, identity, requests and hostdevs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// `<name>`; empty when absent.
    pub name: String,
    /// `<uuid>`; none in a file that was never defined.
    pub uuid: Option<Uuid>,
    /// Our element in `<metadata>`; none when the domain asks for nothing.
    pub requests: Option<RequestSet>,
    /// Every `<hostdev>` in `/domain/devices`, in order.
    pub hostdevs: Vec<Hostdev>,
    /// Where its memory and its CPUs are.
    pub pinning: Pinning,
    /// The guest's operating system, the `id` of `<libosinfo:os>` in `<metadata>`
    /// (`http://ubuntu.com/ubuntu/24.04`); none when nobody said.
    pub os: Option<String>,
}

impl Domain {
    /// Whether the domain is any of our business: it asks for something, or a hostdev carries our alias.
    ///
    /// ```
    /// assert!(!mdevkit_core::Domain::default().concerns_us());
    /// ```
    pub fn concerns_us(&self) -> bool {
        self.requests.is_some() || self.hostdevs.iter().any(|hostdev| hostdev.ours().is_some())
    }
}

/// Where a domain's memory and CPUs are pinned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinning {
    /// NUMA nodes: `<numatune><memory nodeset=..>`, and the `<memnode>`s'; none when it is not pinned, or by libvirt
    /// at the start (`placement='auto'`).
    pub nodes: Option<IdSet>,
    /// Host CPUs: every `<vcpupin cpuset=..>`, or `<vcpu cpuset=..>`; none when they are not pinned.
    pub cpus: Option<IdSet>,
}

/// The `<mdevkit:requests>` element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSet {
    /// The `for` attribute: the domain that the requests were injected for. `None`: absent (written by hand).
    /// `Some(None)`: present and empty (injected before the domain had a UUID). `Some(Some(_))`: that domain's.
    pub injected_for: Option<Option<Uuid>>,
    /// The requests, in order.
    pub requests: Vec<Request>,
}

/// One `<hostdev>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostdev {
    /// What it passes through.
    pub kind: HostdevKind,
    /// The alias's `name`, whoever's it is.
    pub alias: Option<String>,
}

impl Hostdev {
    /// Our alias, when it has one.
    pub fn ours(&self) -> Option<Alias> {
        self.alias.as_deref()?.parse().ok()
    }

    /// The mediated device's UUID, when it is one.
    pub fn mdev(&self) -> Option<Uuid> {
        match self.kind {
            HostdevKind::Mdev { uuid, .. } => Some(uuid),
            HostdevKind::Pci { .. } | HostdevKind::Other => None,
        }
    }
}

/// What a `<hostdev>` passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostdevKind {
    /// `type='mdev'`.
    Mdev {
        /// The device, `<source><address uuid='..'/></source>`.
        uuid: Uuid,
        /// The `model` attribute; none when the file has none (libvirt would refuse it).
        model: Option<DeviceApi>,
    },
    /// `type='pci'`: a whole function, a VF included.
    Pci {
        /// The function, `<source><address domain='..' bus='..' slot='..' function='..'/></source>`.
        address: Bdf,
        /// `managed='yes'`: libvirt takes the function from its driver before the start and gives it back after.
        managed: bool,
    },
    /// Anything else: USB, SCSI, and what cannot be read.
    Other,
}
