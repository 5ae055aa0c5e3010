//! Adding devices that a program asks for: which come, in which slot, under which UUID.
//!
//! Invariant: a device is decided on against all that the domain has and all that was asked for before it; nothing is
//! written until every one was ([`crate::addition`] writes).

use crate::addition::{self, Addition, Want, check_set, check_uuid, next_slot, used_slots};
use crate::edit::Edited;
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::map::Map;
use mdevkit_core::{DeviceApi, Request, TypeSpec, Uuid, device_uuid};

/// A device to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// What is asked for. Its slot is the lowest unused one, unless it has one. [`NewDevice::new`] stores NVIDIA's full
    /// names as short ones ([`TypeSpec::lasting`]).
    pub request: Request,
    /// The device's UUID; none: made from the domain's UUID and the slot ([`device_uuid`]).
    pub uuid: Option<Uuid>,
    /// The hostdev's `model`: what the type's `device_api` says.
    pub model: DeviceApi,
}

impl NewDevice {
    /// A device of this type, with everything else left to mdevkit: `vfio-pci`, the lowest unused slot.
    pub fn new(spec: TypeSpec) -> Self {
        Request::new(spec).into()
    }

    /// With this UUID.
    #[must_use]
    pub fn uuid(self, uuid: Uuid) -> Self {
        Self {
            uuid: Some(uuid),
            ..self
        }
    }

    /// With this model.
    #[must_use]
    pub fn model(self, model: DeviceApi) -> Self {
        Self { model, ..self }
    }
}

impl From<Request> for NewDevice {
    fn from(request: Request) -> Self {
        Self {
            uuid: request.uuid,
            model: DeviceApi::VfioPci,
            request: Request {
                spec: request.spec.lasting(),
                ..request
            },
        }
    }
}

/// Devices to be added, with what is needed where a domain has no UUID yet.
///
/// ```
/// use mdevkit_xml::{Injection, NewDevice};
/// let random = || "b5f0d4f4-4b4c-4d1c-9d3f-3f6f0c9f7a11".parse().unwrap(); // the caller's
/// let edited = Injection::new()
///     .device(NewDevice::new("V100DX-4Q".parse()?))
///     .device(NewDevice::new("V100DX-8Q".parse()?).uuid("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?))
///     .apply(b"<domain><name>never defined</name></domain>", random)?;
/// assert_eq!(edited.devices().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// The devices, in order.
    pub requests: Vec<NewDevice>,
    /// The bounds on the document.
    pub limits: Limits,
}

impl Injection {
    /// No devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more device.
    #[must_use]
    pub fn device(mut self, device: NewDevice) -> Self {
        self.requests.push(device);
        self
    }

    /// Adds the devices. `fresh` gives a random UUID (this crate has no randomness of its own); it is called for each
    /// device without one in a domain without one.
    ///
    /// # Errors
    /// As [`inject`].
    pub fn apply(&self, xml: &[u8], mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
        add_new(xml, &self.limits, &self.requests, &mut || Some(fresh()))
    }
}

/// Adds devices to a domain. One whose UUID is already a device of ours with the same type is left as it is.
///
/// ```
/// use mdevkit_xml::{NewDevice, inject};
/// let xml = b"<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices/>\n</domain>\n";
/// let edited = inject(xml, &[NewDevice::new("V100DX-4Q".parse()?)])?;
/// assert!(String::from_utf8_lossy(edited.bytes()).contains("<alias name='ua-mdevkit-0'/>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the document cannot be read, is a clone ([`Kind::Clone`]), has no UUID and a device has none either
/// ([`Kind::NoUuid`]), or when a slot or UUID is taken.
pub fn inject(xml: &[u8], devices: &[NewDevice]) -> Result<Edited, XmlError> {
    add_new(xml, &Limits::default(), devices, &mut || None)
}

fn add_new(
    xml: &[u8],
    limits: &Limits,
    devices: &[NewDevice],
    fresh: &mut dyn FnMut() -> Option<Uuid>,
) -> Result<Edited, XmlError> {
    let map = crate::map(xml, limits)?;
    check_set(&map)?;
    let mut used = used_slots(&map);
    let mut additions: Vec<Addition<'_>> = Vec::new();
    let mut wanted: Vec<&NewDevice> = Vec::new();
    for device in devices {
        if let Some(uuid) = device.uuid
            && is_there(&map, uuid, device)?
        {
            continue;
        }
        if let Some(slot) = device.request.slot {
            if used.contains(&slot) {
                return Err(Kind::SlotTaken { slot }.into());
            }
            used.push(slot);
        }
        wanted.push(device);
    }
    for device in wanted {
        let slot = match device.request.slot {
            Some(slot) => slot,
            None => next_slot(&mut used, limits)?,
        };
        let uuid = match (device.uuid, map.uuid) {
            (Some(uuid), _) => uuid,
            (None, Some(domain)) => device_uuid(domain, slot),
            (None, None) => fresh().ok_or(Kind::NoUuid)?,
        };
        check_uuid(&map, &additions, uuid)?;
        additions.push(Addition {
            slot,
            uuid,
            model: device.model,
            want: Want::New(&device.request),
        });
    }
    let count = map.set.as_ref().map_or(0, |set| set.requests.len()) + additions.len();
    if count > limits.devices {
        return Err(Kind::TooManyDevices {
            count,
            limit: limits.devices,
        }
        .into());
    }
    addition::add(&map, limits, &additions)
}

/// Whether the very device was injected before.
fn is_there(map: &Map<'_>, uuid: Uuid, device: &NewDevice) -> Result<bool, XmlError> {
    let Some(hostdev) = map.hostdevs.iter().find(|hostdev| hostdev.uuid() == Some(uuid)) else {
        return Ok(false);
    };
    let request = map
        .set
        .iter()
        .flat_map(|set| &set.requests)
        .find(|at| match at.request.slot {
            Some(slot) => hostdev.slot == Some(slot),
            None => at.request.uuid == Some(uuid),
        });
    let taken = |by: String| Err(Kind::UuidTaken { uuid, by }.into());
    match request {
        Some(at) if at.request.spec == device.request.spec => Ok(true),
        Some(at) => taken(format!("this domain's device of type {}", at.request.spec)),
        None => taken("a hostdev of this domain that no request asks for".to_owned()),
    }
}
