//! A device's identity, made so that it can be made again.
//!
//! Invariant: the same domain and slot always give the same UUID. A retried start finds its own device, and a lost
//! ledger can be rebuilt by asking which UUIDs a domain would have.

use crate::{Slot, Uuid};

/// The namespace of our version 5 UUIDs: version 5 of `urn:mdevkit:domain:1` in the URL namespace of RFC 9562.
///
/// ```
/// use mdevkit_core::{DEVICE_NAMESPACE, Uuid};
/// assert_eq!(DEVICE_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:mdevkit:domain:1"));
/// ```
pub const DEVICE_NAMESPACE: Uuid = Uuid::from_u128(0x1497_60fc_c16d_5992_bd60_2dc7_b05c_4188);

/// The UUID of the device in `slot` of the domain: version 5 of the domain's 16 bytes and the slot's one byte.
///
/// ```
/// use mdevkit_core::{device_uuid, Slot};
/// let domain = "11111111-0000-0000-0000-000000000001".parse()?;
/// let first = device_uuid(domain, Slot::new(0)?);
/// assert_eq!(first, device_uuid(domain, Slot::new(0)?));
/// assert_ne!(first, device_uuid(domain, Slot::new(1)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn device_uuid(domain: Uuid, slot: Slot) -> Uuid {
    let mut name = [0; 17];
    let (head, tail) = name.split_at_mut(16);
    head.copy_from_slice(domain.as_bytes());
    tail.fill(slot.number());
    Uuid::new_v5(&DEVICE_NAMESPACE, &name)
}
