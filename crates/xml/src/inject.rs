//! Adding devices that a program asks for: which come, in which slot, under which UUID.
//!
//! Invariant: a device is decided on against all that the domain has and all that was asked for before it; nothing is
//! written until every one was ([`crate::addition`] writes). What was injected and is injected again is there already:
//! it is found again by its words, and nothing changes.

use crate::addition::{self, Addition, New, Want, check_device, check_set, next_slot, used_slots};
use crate::edit::Edited;
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::map::{HostdevAt, Map, RequestAt};
use mdevkit_core::{
    Ask, AtLeast, Bdf, DeviceApi, GroupName, HostdevKind, Numa, Params, ParentName, Policy, ProfileName, Request,
    Resolution, Slot, TypeSpec, Uuid, What, device_uuid,
};

/// A device to be added.
///
/// ```
/// use mdevkit_core::{AtLeast, Numa};
/// use mdevkit_xml::NewDevice;
/// let by_type = NewDevice::new("V100DX-4Q".parse()?).group("cad".parse()?).numa(Numa::Strict).apart(true);
/// let by_need = NewDevice::needing(AtLeast { framebuffer_mib: Some(4096), ..AtLeast::default() });
/// let by_profile = NewDevice::of_profile("cad-large".parse()?);
/// # let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid></domain>";
/// # assert_eq!(mdevkit_xml::inject(xml, &[by_type, by_need, by_profile])?.devices().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// What is asked for. Its slot is the lowest unused one, unless it has one. [`NewDevice::new`] stores NVIDIA's full
    /// names as short ones ([`TypeSpec::lasting`]).
    pub request: Request,
    /// The device's UUID; none: made from the domain's UUID and the slot ([`device_uuid`]).
    pub uuid: Option<Uuid>,
    /// The hostdev's `model`: what the type's `device_api` says.
    pub model: DeviceApi,
    /// A PCI function in place of a mediated device, and whether it is `managed`. Then the other two mean nothing.
    pub function: Option<(Bdf, bool)>,
}

impl NewDevice {
    /// A device of this type, with everything else left to mdevkit: `vfio-pci`, the lowest unused slot.
    pub fn new(spec: TypeSpec) -> Self {
        Self::asking(spec)
    }

    /// A device of the smallest type that has this.
    pub fn needing(need: AtLeast) -> Self {
        Self::asking(Ask::For(What::AtLeast(need)))
    }

    /// A device as that profile of the host's configuration describes it.
    pub fn of_profile(profile: ProfileName) -> Self {
        Self::asking(Ask::Profile(profile))
    }

    /// A device for whatever is asked for.
    pub fn asking(ask: impl Into<Ask>) -> Self {
        Request::new(ask).into()
    }

    /// Out of this group.
    #[must_use]
    pub fn group(mut self, group: GroupName) -> Self {
        self.request.group = Some(group);
        self
    }

    /// Chosen by this policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.request.policy = Some(policy);
        self
    }

    /// On this physical GPU, or on this parent.
    #[must_use]
    pub fn parent(mut self, parent: ParentName) -> Self {
        self.request.parent = Some(parent);
        self
    }

    /// With so much regard to the domain's NUMA nodes.
    #[must_use]
    pub fn numa(mut self, numa: Numa) -> Self {
        self.request.numa = Some(numa);
        self
    }

    /// On a physical GPU that no other device of the domain uses; or expressly not so, whatever a profile says.
    #[must_use]
    pub fn apart(mut self, apart: bool) -> Self {
        self.request.apart = Some(apart);
        self
    }

    /// With these parameters.
    #[must_use]
    pub fn params(mut self, params: Params) -> Self {
        self.request.params = Some(params);
        self
    }

    /// In this slot.
    #[must_use]
    pub fn slot(mut self, slot: Slot) -> Self {
        self.request.slot = Some(slot);
        self
    }

    /// With this UUID: one of a person's choice, or that of a device made beforehand, which the start then uses.
    #[must_use]
    pub fn uuid(self, uuid: Uuid) -> Self {
        Self {
            uuid: Some(uuid),
            ..self
        }
    }

    /// This PCI function (a VF, or a whole card), in place of a mediated device. `managed`: libvirt takes it from its
    /// driver before the start and gives it back after; not so for a VF whose driver offers vGPUs itself (libvirt
    /// 9.7.0).
    ///
    /// ```
    /// use mdevkit_xml::{NewDevice, inject};
    /// let card = NewDevice::new("passthrough".parse()?).function("0000:3b:00.0".parse()?, true);
    /// let edited = inject(b"<domain><devices/></domain>", &[card])?;
    /// let text = String::from_utf8_lossy(edited.bytes());
    /// assert!(text.contains("<address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn function(self, address: Bdf, managed: bool) -> Self {
        Self {
            function: Some((address, managed)),
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
            function: None,
            request: Request {
                ask: match request.ask {
                    Ask::For(What::Type(spec)) => spec.lasting().into(),
                    other => other,
                },
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
    /// Whether the devices come on top of what the domain has, even if that is the same.
    pub more: bool,
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

    /// So many more devices of the same kind.
    ///
    /// ```
    /// use mdevkit_xml::{Injection, NewDevice};
    /// let four = Injection::new().devices(NewDevice::new("V100DX-4Q".parse()?), 4);
    /// let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid></domain>";
    /// assert_eq!(four.apply(xml, || unreachable!("the domain has a UUID"))?.devices().len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn devices(mut self, device: NewDevice, count: u16) -> Self {
        self.requests.extend(std::iter::repeat_n(device, count.into()));
        self
    }

    /// On top of what the domain has: a second device where it has the same one already. Without it, an injection says
    /// what the domain is to have, and doing it twice is the same as doing it once.
    #[must_use]
    pub fn more(self) -> Self {
        Self { more: true, ..self }
    }

    /// Adds the devices. `fresh` gives a random UUID (this crate has no randomness of its own); it is called for each
    /// device without one in a domain without one.
    ///
    /// # Errors
    /// As [`inject`].
    pub fn apply(&self, xml: &[u8], mut fresh: impl FnMut() -> Uuid) -> Result<Edited, XmlError> {
        add_new(xml, self, &mut || Some(fresh()))
    }
}

/// Adds devices to a domain, but for those that it has: a device of ours with the same words, each counted once.
///
/// ```
/// use mdevkit_xml::{NewDevice, inject};
/// let xml = b"<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices/>\n</domain>\n";
/// let device = NewDevice::new("V100DX-4Q".parse()?);
/// let edited = inject(xml, &[device.clone()])?;
/// assert!(String::from_utf8_lossy(edited.bytes()).contains("<alias name='ua-mdevkit-0'/>"));
/// assert!(!inject(edited.bytes(), &[device.clone()])?.changed(), "twice is the same as once");
/// assert_eq!(inject(edited.bytes(), &[device.clone(), device])?.devices().len(), 1, "two are one more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the document cannot be read, is a clone ([`Kind::Clone`]), has no UUID and a device has none either
/// ([`Kind::NoUuid`]), when a device asks for nothing, or when a slot or UUID is taken.
pub fn inject(xml: &[u8], devices: &[NewDevice]) -> Result<Edited, XmlError> {
    let injection = Injection {
        requests: devices.to_vec(),
        ..Injection::default()
    };
    add_new(xml, &injection, &mut || None)
}

fn add_new(xml: &[u8], injection: &Injection, fresh: &mut dyn FnMut() -> Option<Uuid>) -> Result<Edited, XmlError> {
    let limits = &injection.limits;
    let map = crate::map(xml, limits)?;
    check_set(&map)?;
    for device in &injection.requests {
        check_ask(&device.request.ask)?;
    }
    let found = if injection.more {
        vec![None; injection.requests.len()]
    } else {
        find_again(&map, &injection.requests)
    };
    let mut used = used_slots(&map);
    for (device, found) in injection.requests.iter().zip(&found) {
        if let (Some(slot), None) = (device.request.slot, found) {
            if used.contains(&slot) {
                return Err(map.error(map.place_of(slot), Kind::SlotTaken { slot }));
            }
            used.push(slot);
        }
    }
    let mut additions: Vec<Addition<'_>> = Vec::new();
    for (device, found) in injection.requests.iter().zip(found) {
        let (slot, want) = match found {
            Some(Found { hostdev: true, .. }) => continue,
            // Its hostdev was taken out since: it gets one again.
            Some(Found {
                index,
                slot: Some(slot),
                ..
            }) => (slot, Want::Written { index }),
            Some(_) | None => match device.request.slot {
                Some(slot) => (slot, Want::New(&device.request)),
                None => (next_slot(&mut used, limits)?, Want::New(&device.request)),
            },
        };
        let device = match device.function {
            Some((address, managed)) => New::Pci { address, managed },
            None => New::Mdev {
                uuid: match (device.uuid, map.uuid) {
                    (Some(uuid), _) => uuid,
                    (None, Some(domain)) => device_uuid(domain, slot),
                    (None, None) => fresh().ok_or(Kind::NoUuid)?,
                },
                model: device.model,
            },
        };
        check_device(&map, &additions, device)?;
        additions.push(Addition { slot, device, want });
    }
    let new = additions.iter().filter(|it| matches!(it.want, Want::New(_))).count();
    let count = map.set.as_ref().map_or(0, |set| set.requests.len()) + new;
    if count > limits.devices {
        let place = map.set.as_ref().map(|set| set.element.span.start);
        let limit = limits.devices;
        return Err(map.error(place, Kind::TooManyDevices { count, limit }));
    }
    addition::add(&map, limits, &additions)
}

/// A program can ask for nothing, or for zero of something, which no request can say.
pub(crate) fn check_ask(ask: &Ask) -> Result<(), XmlError> {
    let Ask::For(What::AtLeast(need)) = ask else {
        return Ok(());
    };
    let zero = |resolution: Resolution| resolution.width == 0 || resolution.height == 0;
    let message = if need.is_empty() {
        "the device asks for nothing: it needs a type, a profile, or a class, framebuffer, heads or resolution"
    } else if need.framebuffer_mib == Some(0) || need.heads == Some(0) || need.resolution.is_some_and(zero) {
        "the least that a device needs of something is 1; leave out what does not matter"
    } else {
        return Ok(());
    };
    Err(Kind::Request(message.into()).into())
}

/// A request of the domain that says what a new device says.
#[derive(Clone, Copy, Debug)]
struct Found {
    index: usize,
    slot: Option<Slot>,
    /// Whether its hostdev is there.
    hostdev: bool,
}

/// For each device the request that asks for it already; none twice. Who names a slot or a UUID comes first: any other
/// request will do for the rest.
fn find_again(map: &Map<'_>, devices: &[NewDevice]) -> Vec<Option<Found>> {
    let mut found = vec![None; devices.len()];
    let Some(set) = &map.set else { return found };
    let mut taken = vec![false; set.requests.len()];
    let particular = |device: &NewDevice| device.uuid.is_some() || device.request.slot.is_some();
    for first in [true, false] {
        for (device, found) in devices.iter().zip(&mut found).filter(|(it, _)| particular(it) == first) {
            let mut requests = set.requests.iter().zip(&mut taken).enumerate();
            let again = requests.find_map(|(index, (at, taken))| {
                let hostdev = hostdev_of(map, at);
                (!*taken && is_same(device, at, hostdev)).then(|| {
                    *taken = true;
                    Found {
                        index,
                        slot: at.request.slot,
                        hostdev: hostdev.is_some(),
                    }
                })
            });
            *found = again;
        }
    }
    found
}

fn hostdev_of<'m, 'a>(map: &'m Map<'a>, at: &RequestAt<'_>) -> Option<&'m HostdevAt<'a>> {
    map.hostdevs.iter().find(|hostdev| match at.request.slot {
        Some(slot) => hostdev.slot == Some(slot),
        None => at.request.uuid.is_some() && hostdev.uuid() == at.request.uuid,
    })
}

fn is_same(device: &NewDevice, at: &RequestAt<'_>, hostdev: Option<&HostdevAt<'_>>) -> bool {
    let slot = device.request.slot.or(at.request.slot);
    let said = Request {
        slot,
        uuid: None,
        ..at.request.clone()
    };
    let wanted = Request {
        slot,
        uuid: None,
        ..device.request.clone()
    };
    let its_own = match hostdev {
        Some(hostdev) => match device.function {
            Some((address, managed)) => hostdev.kind() == HostdevKind::Pci { address, managed },
            None => {
                hostdev.model == Some(device.model)
                    && hostdev.uuid().is_some()
                    && device.uuid.is_none_or(|uuid| hostdev.uuid() == Some(uuid))
            }
        },
        // A line that a person wrote is completed, not found again.
        None => at.request.slot.is_some(),
    };
    said == wanted && slot == at.request.slot && its_own
}
