//! Making a device, and what each refusal of the kernel means.
//!
//! Invariant: one `write(2)` of the 36 characters of a lower-case UUID. The kernel takes a 37th byte of any kind, upper
//! case and the nil UUID, so what is written is made here and from a [`Uuid`] alone.

use super::Bus;
use crate::{SysfsError, attr};
use mdevkit_core::{ParentName, TypeId, Uuid};
use nix::errno::Errno;
use std::io;
use std::path::PathBuf;

/// Why a device was not created.
///
/// Errnos are of `mdev_device_create()` in kernel `drivers/vfio/mdev/mdev_core.c`, or of the driver's own probe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// EEXIST: a device of that UUID exists, under this or another parent, or its removal is not finished. The kernel
    /// looks at this before it looks for room.
    #[error("device {uuid} exists already, or is just being removed ({path} answered EEXIST)")]
    Exists {
        /// The device.
        uuid: Uuid,
        /// What was written to.
        path: PathBuf,
    },
    /// ENOSPC (mtty, mbochs, GVT-g) or EUSERS (the mdev core: mdpy, vfio-ap, vfio-ccw): no instance is left.
    #[error("no instance of the type is left: {path} answered {}", errno_text(*errno))]
    Full {
        /// What was written to.
        path: PathBuf,
        /// The number of the error.
        errno: i32,
    },
    /// The driver said no. NVIDIA's resource manager says EIO for every reason, a lost race included.
    #[error("the driver refused: {path} answered {}; the kernel's log (dmesg) may say why", errno_text(*errno))]
    Refused {
        /// What was written to.
        path: PathBuf,
        /// The number of the error.
        errno: i32,
    },
    /// ENOENT: there is no such parent, or it does not offer the type (any more).
    #[error("parent {parent} does not offer type {type_id}: there is no {path}")]
    NoSuchType {
        /// The parent.
        parent: ParentName,
        /// The type.
        type_id: TypeId,
        /// What is missing.
        path: PathBuf,
    },
    /// ENODEV: the parent is going away (driver unloaded, SR-IOV switched off).
    #[error("the parent is going away: {path} answered ENODEV")]
    ParentLeaving {
        /// What was written to.
        path: PathBuf,
    },
    /// EINVAL: the driver cannot make this type on this parent.
    #[error("the driver calls it invalid: {path} answered EINVAL; the kernel's log (dmesg) may say why")]
    Invalid {
        /// What was written to.
        path: PathBuf,
    },
    /// EACCES: only root may create, and a container's /sys refuses even root.
    #[error("not allowed to write {path}; run as root on the host itself, not in a container")]
    Denied {
        /// What was written to.
        path: PathBuf,
    },
    /// EROFS: sysfs is mounted read-only here.
    #[error("{path} is on a read-only /sys; run on the host itself or mount sysfs writable")]
    ReadOnly {
        /// What was written to.
        path: PathBuf,
    },
    /// The write failed in a way the kernel has no number for.
    #[error("cannot write {path}: {source}")]
    Write {
        /// What was written to.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The parent's directory was not found for a reason other than being gone.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
}

impl CreateError {
    /// Whether another parent may well do what this one would not: its room went to somebody else, or it went away,
    /// between the look and the write. Not when the device exists: then every parent says the same.
    ///
    /// ```
    /// use mdevkit_sysfs::mdev::CreateError;
    /// assert!(CreateError::Full { path: "create".into(), errno: 28 }.is_lost_race());
    /// assert!(!CreateError::Denied { path: "create".into() }.is_lost_race());
    /// ```
    pub fn is_lost_race(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Refused { .. } | Self::NoSuchType { .. } | Self::ParentLeaving { .. }
        )
    }
}

impl Bus<'_> {
    /// Creates a device. Opens 1.
    ///
    /// When it returns, the device has its `mdev_type` and its group; its node follows at once with devtmpfs, later
    /// with udev alone: ask [`Bus::readiness`].
    ///
    /// # Errors
    /// See [`CreateError`]; on any of them no device was made by this call.
    ///
    /// ```no_run
    /// # use mdevkit_sysfs::{Root, mdev::Bus};
    /// let root = Root::system();
    /// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
    /// match Bus::new(&root).create(&"0000:3b:00.0".parse()?, &"nvidia-194".parse()?, uuid) {
    ///     Err(error) if error.is_lost_race() => { /* try the next parent */ }
    ///     other => other?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(&self, parent: &ParentName, type_id: &TypeId, uuid: Uuid) -> Result<(), CreateError> {
        let no_such_type = |path| CreateError::NoSuchType {
            parent: parent.clone(),
            type_id: type_id.clone(),
            path,
        };
        let Some(path) = self.type_file(parent, type_id, "create")? else {
            return Err(no_such_type(self.root.path(super::PARENTS).join(parent.as_str())));
        };
        let Err(source) = attr::write_once(&path, uuid.hyphenated().to_string().as_bytes()) else {
            return Ok(());
        };
        let Some(errno) = source.raw_os_error() else {
            return Err(CreateError::Write { path, source });
        };
        Err(match Errno::from_raw(errno) {
            Errno::EEXIST => CreateError::Exists { uuid, path },
            Errno::ENOSPC | Errno::EUSERS => CreateError::Full { path, errno },
            Errno::ENOENT | Errno::ENOTDIR => no_such_type(path),
            Errno::ENODEV => CreateError::ParentLeaving { path },
            Errno::EINVAL => CreateError::Invalid { path },
            Errno::EACCES => CreateError::Denied { path },
            Errno::EROFS => CreateError::ReadOnly { path },
            _ => CreateError::Refused { path, errno },
        })
    }
}

/// `EIO: I/O error`.
pub(super) fn errno_text(errno: i32) -> String {
    Errno::from_raw(errno).to_string()
}
