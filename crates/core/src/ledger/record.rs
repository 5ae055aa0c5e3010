//! One record: a device of ours and its owner.
//!
//! Invariant: what a newer version wrote into a record and we do not know is written back as it was. A newer version
//! that has more to say of a domain or a person as owner says it in a field of the record, not of the owner.

use crate::value::{ValueError, serde_as_text};
use crate::{ParentName, Slot, TypeId, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// A device that mdevkit made, is about to make, or is removing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The device's identity.
    pub uuid: Uuid,
    /// How devices of its kind come to be.
    pub framework: Framework,
    /// The parent that made it, or will.
    pub parent: ParentName,
    /// Its type.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// Where it is in its life.
    pub state: State,
    /// Who may have it removed.
    pub owner: Owner,
    /// The boot that it was made on; it does not outlive it.
    pub boot_id: BootId,
    /// When the record came to its present state (seconds since 1970).
    pub since: u64,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a device comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Framework {
    /// The kernel's mediated devices: a UUID written to `create`.
    Mdev,
}

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is about to be created; whether it was, only sysfs knows.
    Intent,
    /// It is there.
    Created,
    /// It is about to be removed; whether it was, only sysfs knows.
    Releasing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intent => "intent",
            Self::Created => "created",
            Self::Releasing => "releasing",
        })
    }
}

/// Whom a device was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
#[non_exhaustive]
pub enum Owner {
    /// A libvirt domain; its `release` removes the device.
    Domain {
        /// The domain.
        uuid: Uuid,
        /// Its name when it was started.
        name: String,
        /// The request's slot.
        slot: Slot,
        /// The daemon that called `prepare`: as long as it lives, it will call `release`.
        daemon: Option<Daemon>,
    },
    /// A person (`mdevkit create`); `mdevkit remove` removes the device.
    Manual,
    /// Of a kind that a newer version wrote: kept as it is, never touched.
    Other(Map<String, Value>),
}

impl Owner {
    /// The domain that owns it.
    pub fn domain(&self) -> Option<Uuid> {
        match self {
            Self::Domain { uuid, .. } => Some(*uuid),
            Self::Manual | Self::Other(_) => None,
        }
    }
}

impl Owner {
    /// The daemon that will call `release`, when it is known.
    pub fn daemon(&self) -> Option<Daemon> {
        match self {
            Self::Domain { daemon, .. } => *daemon,
            Self::Manual | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A ledger that was rebuilt knows no names.
            Self::Domain { uuid, name, .. } if name.is_empty() => write!(f, "domain {uuid}"),
            Self::Domain { uuid, name, .. } => write!(f, "domain {} ({uuid})", crate::value::excerpt(name, 64)),
            Self::Manual => f.write_str("mdevkit create (made by hand)"),
            Self::Other(_) => f.write_str("an owner that a newer mdevkit wrote"),
        }
    }
}

/// The fields of [`Owner::Domain`] in the file.
#[derive(Serialize, Deserialize)]
struct DomainFields {
    uuid: Uuid,
    name: String,
    slot: Slot,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    daemon: Option<Daemon>,
}

impl TryFrom<Value> for Owner {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(fields) = value else {
            return Err("owner is not an object".to_owned());
        };
        match fields.get("kind").and_then(Value::as_str) {
            Some("domain") => {
                let DomainFields {
                    uuid,
                    name,
                    slot,
                    daemon,
                } = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
                Ok(Self::Domain {
                    uuid,
                    name,
                    slot,
                    daemon,
                })
            }
            Some("manual") => Ok(Self::Manual),
            Some(_) => Ok(Self::Other(fields)),
            None => Err("owner has no kind".to_owned()),
        }
    }
}

impl From<Owner> for Value {
    fn from(owner: Owner) -> Self {
        let kind = |kind: &str| ("kind".to_owned(), Value::String(kind.to_owned()));
        match owner {
            Owner::Domain {
                uuid,
                name,
                slot,
                daemon,
            } => {
                let mut fields = Map::from_iter([kind("domain")]);
                if let Ok(Value::Object(more)) = serde_json::to_value(DomainFields {
                    uuid,
                    name,
                    slot,
                    daemon,
                }) {
                    fields.extend(more);
                }
                Value::Object(fields)
            }
            Owner::Manual => Value::Object(Map::from_iter([kind("manual")])),
            Owner::Other(fields) => Value::Object(fields),
        }
    }
}

/// A process that can be told from every other one of this boot: the pid alone is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Daemon {
    /// Its pid in its own namespace.
    pub pid: u32,
    /// When it started: field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_ticks: u64,
    /// The inode of `/proc/PID/ns/pid`.
    pub pid_namespace: u64,
}

/// `/proc/sys/kernel/random/boot_id`: another one means another boot, and no device of the one before is left.
///
/// ```
/// use mdevkit_core::ledger::BootId;
/// let boot: BootId = "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e".parse()?;
/// assert_eq!(boot.to_string(), "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(Uuid);

impl FromStr for BootId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError::new("boot id", text, "the kernel prints a uuid"))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

serde_as_text!(BootId);
