//! From a domain's words to what is to be made for it: each request joined to its hostdev.
//!
//! Invariant: a want has an identity that stands in the XML, and no two wants share one. The table:
//!
//! | request | hostdev | so |
//! |---|---|---|
//! | slot N | alias `ua-mdevkit-N` | the hostdev's device is wanted |
//! | by hand, no slot, with `uuid` | that UUID | the same |
//! | never injected | none | [`WantsError::NeverInjected`] |
//! | slot N, injected | removed since | nothing is wanted, [`Warning::HostdevGone`] |
//! | none | `ua-mdevkit-N` | [`WantsError::NoRequest`] |
//! | none | any other | not ours |
//! | `for` another domain | any | [`WantsError::Clone`] |

use crate::{
    Alias, Ask, Code, DEVICES_PER_DOMAIN, DeviceApi, Domain, GroupName, Hostdev, HostdevKind, IdSet, Numa, Params,
    ParentName, Policy, ProfileName, Profiles, Request, Slot, Uuid, What,
};
use std::borrow::Cow;

/// One device to be made: a request with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The request's slot; a request without one gets that of its hostdev's alias, or the lowest that is unused.
    pub slot: Slot,
    /// The device's identity, from the hostdev.
    pub uuid: Uuid,
    /// What is asked for.
    pub what: What,
    /// The group to take it from.
    pub group: Option<GroupName>,
    /// How to choose among physical GPUs; the group's or the host's own otherwise.
    pub policy: Option<Policy>,
    /// The one parent, or the one physical GPU, to use.
    pub parent: Option<ParentName>,
    /// The NUMA nodes to be near to.
    pub near: Option<Near>,
    /// On a physical GPU that no other device of this domain uses.
    pub apart: bool,
    /// The hostdev's `model`, which the type's `device_api` must equal; unchecked when none.
    pub device_api: Option<DeviceApi>,
    /// The vGPU's parameters.
    pub params: Option<Params>,
}

impl Want {
    /// A device of a type (or whatever else can be asked for) anywhere, and no more.
    ///
    /// ```
    /// use mdevkit_core::{Slot, TypeSpec, Want};
    /// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
    /// let want = Want::new(Slot::new(0)?, uuid, "mtty-2".parse::<TypeSpec>()?);
    /// assert!(want.policy.is_none() && want.parent.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(slot: Slot, uuid: Uuid, what: impl Into<What>) -> Self {
        Self {
            slot,
            uuid,
            what: what.into(),
            group: None,
            policy: None,
            parent: None,
            near: None,
            apart: false,
            device_api: None,
            params: None,
        }
    }
}

/// The NUMA nodes to be near to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Near {
    /// The nodes, as the kernel numbers them.
    pub nodes: IdSet,
    /// Nowhere else, even if there is no room.
    pub strict: bool,
}

/// A domain's wants, and what is worth a line in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// By slot.
    pub wants: Vec<Want>,
    /// What a person should hear of.
    pub warnings: Vec<Warning>,
}

/// Something odd that does not stop a start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The hostdev was removed after the injection, by virt-manager say.
    #[error(
        "slot {slot} asks for {ask}, but its hostdev ({}) is gone from the domain: it starts without that device; \
         eject the request or inject again", Alias(*slot)
    )]
    HostdevGone {
        /// The request's slot.
        slot: Slot,
        /// What it asks for.
        ask: Ask,
    },
    /// A request is strict about NUMA nodes, and the domain is not pinned to any.
    #[error(
        "slot {slot} says numa=\"strict\", but the domain has no <numatune> and no pinned CPUs: its device may be on \
         any node"
    )]
    NotPinned {
        /// The request's slot.
        slot: Slot,
    },
}

/// Why a domain cannot be started as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WantsError {
    /// A request was written by hand and has no hostdev yet.
    #[error("the request for {ask} has no <hostdev> yet; run: EDITOR='mdevkit inject' virsh edit DOMAIN")]
    NeverInjected {
        /// What it asks for.
        ask: Ask,
    },
    /// A request names a profile that the configuration does not have.
    #[error("this host's configuration has no profile {name}; it has: {known}")]
    NoProfile {
        /// The profile.
        name: ProfileName,
        /// The names that it has.
        known: String,
    },
    /// A hostdev has our alias, and nothing asks for it.
    #[error(
        "<hostdev> {} has no request in <metadata>; give it one, or run: EDITOR='mdevkit eject --uuid {uuid}' virsh edit DOMAIN",
        Alias(*slot)
    )]
    NoRequest {
        /// The alias's slot.
        slot: Slot,
        /// The hostdev's device.
        uuid: Uuid,
    },
    /// The requests were injected for another domain.
    #[error(
        "the requests were injected for domain {injected_for}: this one is a clone of it; \
         run: EDITOR='mdevkit refresh' virsh edit DOMAIN"
    )]
    Clone {
        /// The domain that they were injected for.
        injected_for: Uuid,
    },
    /// A hostdev with our alias is not a mediated device.
    #[error("<hostdev> {} is not of type mdev; inject it again", Alias(*slot))]
    NotMdev {
        /// The alias's slot.
        slot: Slot,
    },
    /// Two requests, or two hostdevs, claim the same slot.
    #[error("slot {slot} stands twice; each request and each alias has a slot of its own")]
    DuplicateSlot {
        /// The slot.
        slot: Slot,
    },
    /// Two requests mean the same device.
    #[error("device {uuid} is asked for twice; each request has a device of its own")]
    DuplicateDevice {
        /// The device.
        uuid: Uuid,
    },
    /// More than [`DEVICES_PER_DOMAIN`].
    #[error("{count} devices are asked for; a domain may have {DEVICES_PER_DOMAIN}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl WantsError {
    /// The error's stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NeverInjected { .. } => Code::NoHostdev,
            Self::NoRequest { .. } => Code::NoRequest,
            Self::Clone { .. } => Code::Clone,
            Self::NoProfile { .. }
            | Self::NotMdev { .. }
            | Self::DuplicateSlot { .. }
            | Self::DuplicateDevice { .. }
            | Self::TooMany { .. } => Code::Request,
        }
    }
}

/// Joins requests to hostdevs, and completes them by the profiles that they name. The domain's
/// [`Pinning::nodes`](crate::Pinning) are the nodes to be near to; who has only its CPUs finds out their nodes first.
///
/// ```
/// use mdevkit_core::{wants, Domain, Profiles, Request, RequestSet, TypeSpec, WantsError};
/// let request = Request::new("mtty-2".parse::<TypeSpec>()?);
/// let domain = Domain {
///     requests: Some(RequestSet { injected_for: None, requests: vec![request] }),
///     ..Domain::default()
/// };
/// assert!(matches!(wants(&domain, &Profiles::new()), Err(WantsError::NeverInjected { .. })));
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
///
/// # Errors
/// When the domain contradicts itself, was never injected, is a clone or names an unknown profile: see [`WantsError`].
pub fn wants(domain: &Domain, profiles: &Profiles) -> Result<Wants, WantsError> {
    let empty = crate::RequestSet::default();
    let set = domain.requests.as_ref().unwrap_or(&empty);
    if let Some(Some(injected_for)) = set.injected_for
        && domain.uuid.is_some_and(|uuid| uuid != injected_for)
    {
        return Err(WantsError::Clone { injected_for });
    }
    if set.requests.len() > DEVICES_PER_DOMAIN {
        return Err(WantsError::TooMany {
            count: set.requests.len(),
        });
    }
    let mut slots: Vec<Slot> = set.requests.iter().filter_map(|request| request.slot).collect();
    no_duplicate(&slots)?;
    no_duplicate(&aliases(domain).map(|(slot, _)| slot).collect::<Vec<_>>())?;
    for (slot, hostdev) in aliases(domain) {
        if slots.contains(&slot) {
            continue;
        }
        match hostdev.mdev() {
            Some(uuid) if by_hand(set, uuid) => {}
            Some(uuid) => return Err(WantsError::NoRequest { slot, uuid }),
            None => return Err(WantsError::NotMdev { slot }),
        }
    }
    slots.extend(aliases(domain).map(|(slot, _)| slot));

    let mut found = Wants::default();
    for request in &set.requests {
        let Some((hostdev, uuid, device_api)) = hostdev_of(request, domain)? else {
            match request.slot {
                Some(slot) if set.injected_for.is_some() => {
                    found.warnings.push(Warning::HostdevGone {
                        slot,
                        ask: request.ask.clone(),
                    });
                    continue;
                }
                _ => {
                    return Err(WantsError::NeverInjected {
                        ask: request.ask.clone(),
                    });
                }
            }
        };
        let slot = match request.slot.or_else(|| hostdev.ours().map(|alias| alias.0)) {
            Some(slot) => slot,
            None => {
                let slot = Slot::lowest_unused(&slots).ok_or(WantsError::TooMany { count: slots.len() })?;
                slots.push(slot);
                slot
            }
        };
        if found.wants.iter().any(|want| want.uuid == uuid) {
            return Err(WantsError::DuplicateDevice { uuid });
        }
        let (request, what) = complete(request, profiles)?;
        let numa = request.numa.unwrap_or_default();
        let near = match &domain.pinning.nodes {
            Some(nodes) if numa != Numa::Ignore => Some(Near {
                nodes: nodes.clone(),
                strict: numa == Numa::Strict,
            }),
            _ => None,
        };
        if near.is_none() && numa == Numa::Strict {
            found.warnings.push(Warning::NotPinned { slot });
        }
        found.wants.push(Want {
            slot,
            uuid,
            what,
            group: request.group.clone(),
            policy: request.policy,
            parent: request.parent.clone(),
            near,
            apart: request.apart.unwrap_or(false),
            device_api,
            params: request.params.clone(),
        });
    }
    found.wants.sort_by_key(|want| want.slot);
    Ok(found)
}

/// The request with what its profile says, and what it then asks for.
fn complete<'a>(request: &'a Request, profiles: &Profiles) -> Result<(Cow<'a, Request>, What), WantsError> {
    match &request.ask {
        Ask::For(what) => Ok((Cow::Borrowed(request), what.clone())),
        Ask::Profile(name) => match profiles.get(name) {
            Some(profile) => Ok((Cow::Owned(profile.complete(request)), profile.what.clone())),
            None => {
                let known: Vec<&str> = profiles.keys().map(ProfileName::as_str).collect();
                Err(WantsError::NoProfile {
                    name: name.clone(),
                    known: if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    },
                })
            }
        },
    }
}

/// Whether a request without a slot names the device.
fn by_hand(set: &crate::RequestSet, uuid: Uuid) -> bool {
    set.requests
        .iter()
        .any(|request| request.slot.is_none() && request.uuid == Some(uuid))
}

/// The hostdevs that carry our alias.
fn aliases(domain: &Domain) -> impl Iterator<Item = (Slot, &Hostdev)> {
    domain
        .hostdevs
        .iter()
        .filter_map(|hostdev| hostdev.ours().map(|alias| (alias.0, hostdev)))
}

type Joined<'a> = (&'a Hostdev, Uuid, Option<DeviceApi>);

/// The hostdev that a request means: by alias when it has a slot, by UUID when a person wrote one.
fn hostdev_of<'a>(request: &Request, domain: &'a Domain) -> Result<Option<Joined<'a>>, WantsError> {
    let found = match (request.slot, request.uuid) {
        (Some(slot), _) => aliases(domain)
            .find(|(used, _)| *used == slot)
            .map(|(_, hostdev)| hostdev),
        (None, Some(uuid)) => domain.hostdevs.iter().find(|hostdev| hostdev.mdev() == Some(uuid)),
        (None, None) => None,
    };
    match found.map(|hostdev| (hostdev, &hostdev.kind)) {
        None => Ok(None),
        Some((hostdev, HostdevKind::Mdev { uuid, model })) => Ok(Some((hostdev, *uuid, *model))),
        Some((_, HostdevKind::Pci { .. } | HostdevKind::Other)) => match request.slot {
            Some(slot) => Err(WantsError::NotMdev { slot }),
            None => Ok(None),
        },
    }
}

fn no_duplicate(slots: &[Slot]) -> Result<(), WantsError> {
    for (index, slot) in slots.iter().enumerate() {
        if slots.iter().take(index).any(|earlier| earlier == slot) {
            return Err(WantsError::DuplicateSlot { slot: *slot });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "wants_tests.rs"]
mod tests;
