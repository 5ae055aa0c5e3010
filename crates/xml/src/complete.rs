//! Completing requests that a person wrote: a slot in the line, and a hostdev beside it.
//!
//! Invariant: what is complete stays as it is, so that a second completion changes nothing.

use crate::addition::{self, Addition, New, Want, check_device, check_set, next_slot, used_slots};
use crate::check::Then;
use crate::edit::{self, Edited};
use crate::error::{Limits, XmlError};
use mdevkit_core::{DeviceApi, Uuid, device_uuid};

/// Gives each request that a person wrote a slot and a hostdev of `model`. A request with `uuid` whose hostdev is
/// there stays as it is.
///
/// ```
/// let xml = br#"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><metadata>
///   <v:requests xmlns:v="urn:mdevkit:domain:1"><v:request type="V100DX-4Q"/></v:requests>
/// </metadata><devices/></domain>"#;
/// let edited = mdevkit_xml::complete(xml, mdevkit_core::DeviceApi::VfioPci, || unreachable!("the domain has a UUID"))?;
/// let text = String::from_utf8_lossy(edited.bytes());
/// assert!(text.contains(r#"<v:request slot="0" type="V100DX-4Q"/>"#));
/// assert!(text.contains("<alias name='ua-mdevkit-0'/>"));
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
///
/// # Errors
/// As [`crate::inject()`].
pub fn complete(xml: &[u8], model: DeviceApi, mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
    let limits = Limits::default();
    let map = crate::map(xml, &limits)?;
    check_set(&map)?;
    let Some(set) = &map.set else {
        return edit::apply(&map, &limits, Vec::new(), &[], Then::There);
    };
    let mut used = used_slots(&map);
    let mut additions: Vec<Addition<'_>> = Vec::new();
    for (index, at) in set.requests.iter().enumerate() {
        let there = match (at.request.slot, at.request.uuid) {
            // An injected one whose hostdev was taken out since stays out; a person's wants one.
            (Some(slot), _) => set.injected_for.is_some() || map.hostdevs.iter().any(|it| it.slot == Some(slot)),
            (None, Some(uuid)) => map.hostdevs.iter().any(|it| it.uuid() == Some(uuid)),
            (None, None) => false,
        };
        if there {
            continue;
        }
        let slot = match at.request.slot {
            Some(slot) => slot,
            None => next_slot(&mut used, &limits)?,
        };
        let uuid = at
            .request
            .uuid
            .unwrap_or_else(|| map.uuid.map_or_else(&mut fresh, |domain| device_uuid(domain, slot)));
        let device = New::Mdev { uuid, model };
        check_device(&map, &additions, device)?;
        additions.push(Addition {
            slot,
            device,
            want: Want::Written { index },
        });
    }
    addition::add(&map, &limits, &additions)
}
