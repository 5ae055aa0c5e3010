//! Why something could not be done on this host.
//!
//! Invariant: every error has a stable [`Code`], and is one line that names the file or the device and the way out.

use mdevkit_core::ledger::{FormatError, StepError};
use mdevkit_core::{Code, Finding, PgpuName, Refusal, Slot, TypeId, Uuid, WantsError, What};
use mdevkit_sysfs::SysfsError;
use mdevkit_sysfs::mdev::{CreateError, ParamsError, RemoveError};
use std::io;
use std::path::PathBuf;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// No parent is the place for a device.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The domain cannot be started as it is written.
    #[error(transparent)]
    Wants(#[from] WantsError),
    /// A whole card is wanted at a start.
    #[error(
        "slot {slot} asks for a whole card (type passthrough), which cannot be made at a start: a PCI device is chosen \
         when the domain's XML is written, and this version does not do that; eject the request and add the card as a \
         <hostdev type='pci'>"
    )]
    Passthrough {
        /// The request's slot.
        slot: Slot,
    },
    /// A vendor's rule on what one guest may have.
    #[error("{0}")]
    Rule(Finding),
    /// There is no such GPU.
    #[error("there is no GPU {gpu} (see: mdevkit gpus)")]
    NoGpu {
        /// What was named.
        gpu: PgpuName,
    },
    /// A GPU does not offer a type.
    #[error("{gpu} does not offer type {type_id} (see: mdevkit types)")]
    NoTypeThere {
        /// The GPU.
        gpu: PgpuName,
        /// The type.
        type_id: TypeId,
    },
    /// The run-time settings of the GPUs cannot be believed.
    #[error(
        "{path} cannot be trusted: {why}; it may hold a cordon, so nothing is created: repair it, or remove it and \
         cordon again", path = path.display()
    )]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The device belongs to somebody else.
    #[error("device {uuid} belongs to {by}")]
    Owned {
        /// The device.
        uuid: Uuid,
        /// Whose it is.
        by: String,
    },
    /// The device was made by somebody else, and is of another type.
    #[error(
        "device {uuid} exists as {found} and was not made by mdevkit: {what} is wanted; \
         remove it by hand or give the hostdev another uuid"
    )]
    ForeignType {
        /// The device.
        uuid: Uuid,
        /// What it is.
        found: TypeId,
        /// What is wanted.
        what: What,
    },
    /// The device was made by somebody else, and only they may remove it.
    #[error("device {uuid} was not made by mdevkit; who made it removes it")]
    Foreign {
        /// The device.
        uuid: Uuid,
    },
    /// The device came to be while it was planned.
    #[error("device {uuid} exists already, and was not made by mdevkit (see: mdevkit devices)")]
    Exists {
        /// The device.
        uuid: Uuid,
    },
    /// There is no such device.
    #[error("there is no device {uuid} (see: mdevkit devices)")]
    NoDevice {
        /// The device.
        uuid: Uuid,
    },
    /// Somebody has the device open.
    #[error("device {uuid} is in use by {by}")]
    InUse {
        /// The device.
        uuid: Uuid,
        /// Who has it.
        by: String,
    },
    /// The device is being created or removed, and was not done in time.
    #[error(
        "device {uuid} is still being created or removed after {waited_ms} ms; try again, or see: mdevkit reconcile"
    )]
    Unsettled {
        /// The device.
        uuid: Uuid,
        /// How long was waited (ms).
        waited_ms: u128,
    },
    /// The domain's own device is to be removed first, and that was not done in time.
    #[error("device {uuid} is still being released after {waited_ms} ms: {why}")]
    Unfinished {
        /// The device.
        uuid: Uuid,
        /// How long was waited (ms).
        waited_ms: u128,
        /// What is in the way.
        why: String,
    },
    /// A created device did not become usable.
    #[error("device {uuid} was created, but {missing} is missing after {waited_ms} ms; is udev running?")]
    NotReady {
        /// The device.
        uuid: Uuid,
        /// What is missing.
        missing: String,
        /// How long was waited (ms).
        waited_ms: u128,
    },
    /// The kernel refused to create.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The kernel refused to remove.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// The parameters were not taken.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// A file of the kernel says something unexpected.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// A lock was not had in time.
    #[error("the lock {path} was not free within {waited_ms} ms: {holder} has it", path = path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// How long was waited (ms).
        waited_ms: u128,
        /// Who has it.
        holder: String,
    },
    /// The state directory or a file in it cannot be used.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    State {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The state directory is not to be trusted.
    #[error("{path} is not to be trusted: {why}", path = path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file of ours is not what we wrote.
    #[error("{path} cannot be used: {why}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The ledger cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// The ledger does not allow it.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The configuration cannot be used.
    #[error("{path}: {why}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong; names the line.
        why: String,
    },
    /// The parents changed each time they were looked at.
    #[error("the host's parents changed {times} times while they were looked at; try again")]
    Restless {
        /// How often.
        times: usize,
    },
    /// What `/proc` says cannot be used.
    #[error("{path}: {why}", path = path.display())]
    Proc {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Only root may make devices.
    #[error("uid {uid} may not create devices: start the domain with qemu:///system, or run as root")]
    NotRoot {
        /// The user.
        uid: u32,
    },
    /// The daemon that called `prepare` is gone: nobody would ever call `release`.
    #[error("the libvirt daemon that asked for the devices is gone; they are given back")]
    DaemonGone,
    /// The time for all of it is over.
    #[error("not done within {limit_ms} ms")]
    OutOfTime {
        /// The limit (ms).
        limit_ms: u128,
    },
}

impl HostError {
    /// The error's stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Wants(error) => error.code(),
            Self::Passthrough { .. } => Code::Blocked,
            Self::Rule(_) => Code::Rule,
            Self::NoGpu { .. } | Self::NoTypeThere { .. } => Code::Type,
            Self::Owned { .. } | Self::Step(_) => Code::Owned,
            Self::ForeignType { .. } | Self::Foreign { .. } | Self::Exists { .. } => Code::Foreign,
            Self::InUse { .. } | Self::Unsettled { .. } | Self::Unfinished { .. } => Code::Busy,
            Self::Lock { .. } => Code::Lock,
            Self::State { .. } | Self::Untrusted { .. } | Self::Damaged { .. } | Self::Ledger { .. } => Code::Ledger,
            Self::Config { .. } | Self::Settings { .. } => Code::Config,
            Self::NoDevice { .. }
            | Self::NotReady { .. }
            | Self::Create(_)
            | Self::Remove(_)
            | Self::Params(_)
            | Self::Sysfs(_)
            | Self::Proc { .. }
            | Self::Restless { .. }
            | Self::NotRoot { .. }
            | Self::DaemonGone
            | Self::OutOfTime { .. } => Code::Host,
        }
    }

    /// Whether the host works, and the answer is no: a decision, not a failure.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.code != Code::Host,
            Self::Wants(error) => error.code().exit_status() == 1,
            Self::Passthrough { .. }
            | Self::Rule(_)
            | Self::NoGpu { .. }
            | Self::NoTypeThere { .. }
            | Self::Owned { .. }
            | Self::Step(_)
            | Self::ForeignType { .. }
            | Self::Foreign { .. }
            | Self::Exists { .. }
            | Self::NoDevice { .. }
            | Self::InUse { .. }
            | Self::Unsettled { .. }
            | Self::Unfinished { .. } => true,
            _ => false,
        }
    }
}
