//! Making a clone a domain of its own: new UUIDs for our hostdevs.
//!
//! Invariant: after it, nothing of ours names the domain that was cloned, nor a mediated device of it. A PCI function is
//! the host's and not the domain's: the clone names the same one, as clones of libvirt do, and the two take turns.

use crate::check::Then;
use crate::edit::{self, Edited, Identity, Splice};
use crate::error::{Limits, XmlError};
use mdevkit_core::{Uuid, device_uuid};

/// Gives each device of ours a new UUID and sets `for` to this domain's. A domain whose requests already are for it,
/// or that a person wrote and nobody injected, is left as it is.
///
/// `fresh` gives a random UUID, for a domain without one and for a device that a person named by UUID alone.
///
/// ```
/// use mdevkit_core::device_uuid;
/// use mdevkit_xml::{NewDevice, inject, read, refresh};
/// let xml = "<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><devices/></domain>";
/// let original = inject(xml.as_bytes(), &[NewDevice::new("V100DX-4Q".parse()?)])?;
/// let clone = String::from_utf8(original.into_bytes())?.replacen("<uuid>1", "<uuid>2", 1);
/// let refreshed = refresh(clone.as_bytes(), || unreachable!("the clone has a UUID"))?;
/// let domain = read(refreshed.bytes())?;
/// let (slot, uuid) = refreshed.devices()[0];
/// assert_eq!(uuid, device_uuid(domain.uuid.unwrap(), slot));
/// assert_eq!(domain.requests.unwrap().injected_for, Some(domain.uuid));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the document cannot be read, or a new UUID is another device's.
pub fn refresh(xml: &[u8], mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
    let limits = Limits::default();
    let map = crate::map(xml, &limits)?;
    let mut splices = Vec::new();
    let mut devices = Vec::new();
    if let Some(set) = &map.set
        && let (Some(injected_for), Some(attr)) = (set.injected_for, &set.for_attr)
        && (injected_for.is_none() || injected_for != map.uuid)
    {
        let domain = map.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        splices.push(Splice::replace(attr.value.clone(), domain));
        let mut renewed = Vec::new();
        for hostdev in &map.hostdevs {
            let Some((old, place)) = &hostdev.device else { continue };
            let request = set.requests.iter().find(|at| match (at.request.slot, hostdev.slot) {
                (Some(wanted), Some(slot)) => wanted == slot,
                (None, _) => at.request.uuid == Some(*old),
                (Some(_), None) => false,
            });
            let new = match (hostdev.slot, map.uuid, request) {
                (Some(slot), Some(domain), _) => device_uuid(domain, slot),
                (Some(_), None, _) | (None, _, Some(_)) => fresh(),
                (None, _, None) => continue,
            };
            splices.push(Splice::replace(place.clone(), new.to_string()));
            if let Some(attr) = request.and_then(|at| at.attr("uuid")) {
                splices.push(Splice::replace(attr.value.clone(), new.to_string()));
                renewed.push(attr.value.start);
            }
            if let Some(slot) = hostdev.slot {
                devices.push((slot, Identity::Mdev(new)));
            }
        }
        // A request whose hostdev is not there (yet) names the other domain's device too.
        for at in &set.requests {
            let Some(attr) = at.attr("uuid").filter(|attr| !renewed.contains(&attr.value.start)) else {
                continue;
            };
            let new = match (at.request.slot, map.uuid) {
                (Some(slot), Some(domain)) => device_uuid(domain, slot),
                _ => fresh(),
            };
            splices.push(Splice::replace(attr.value.clone(), new.to_string()));
        }
    }
    edit::apply(&map, &limits, splices, &devices, Then::Renewed)
}
