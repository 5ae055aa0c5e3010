//! Taking a device away.
//!
//! Invariant: a removal is asked for once, by writing `1` once. Nothing here decides whether it may be: who owns the
//! device and whether a guest has it are the caller's to know **before** it calls.

use super::Bus;
use super::create::errno_text;
use crate::{SysfsError, attr};
use mdevkit_core::Uuid;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// What became of a device that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The write took it away.
    Now,
    /// It was not there (any more).
    AlreadyGone,
}

/// Why a device was not removed.
///
/// Errnos are of `mdev_device_remove()` in kernel `drivers/vfio/mdev/mdev_core.c`, or of the driver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// EAGAIN, or a device whose files are gone while it is still listed: somebody else is creating or removing it.
    /// With a guest that holds it, the other's removal waits for that guest's end.
    #[error("device {uuid} is just being created or removed by somebody else; look again later")]
    Busy {
        /// The device.
        uuid: Uuid,
    },
    /// EPERM (NVIDIA) or EBUSY (kernels before 5.3, and NVIDIA's plugin still running): a guest has it.
    #[error("device {uuid} is in use: {path} answered {}; stop its guest first", errno_text(*errno))]
    InUse {
        /// The device.
        uuid: Uuid,
        /// What was written to.
        path: PathBuf,
        /// The number of the error.
        errno: i32,
    },
    /// EACCES: only root may remove, and a container's /sys refuses even root.
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
    /// Any other answer (EIO: NVIDIA's resource manager could not delete it).
    #[error("cannot remove device {uuid}: {path}: {source}; the kernel's log (dmesg) may say why")]
    Write {
        /// The device.
        uuid: Uuid,
        /// What was written to.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The device's directory was not found for a reason other than being gone.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
}

impl Bus<'_> {
    /// Removes a device. Opens 1.
    ///
    /// **May block without end, and unkillably.** While somebody has the device open, kernels since 5.19 wait in
    /// `vfio_unregister_group_dev()` until it is closed; after the first signal the wait is uninterruptible, SIGKILL
    /// included, and the device's files are gone meanwhile. Test with [`crate::in_use::test_by_opening`] first, and
    /// call this in a process that can be left behind.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(&self, uuid: Uuid) -> Result<Removed, RemoveError> {
        match self.open_remove(uuid)? {
            Some(remover) => remover.remove(),
            None => Ok(Removed::AlreadyGone),
        }
    }

    /// Opens a device's `remove` without writing to it; `None` when there is no such device. Opens 1.
    ///
    /// What is open is this very device: when it goes, and another one of the same UUID comes, the write answers ENODEV
    /// and touches nothing. So what allows the removal can be looked at after the opening.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn open_remove(&self, uuid: Uuid) -> Result<Option<Remover<'_>>, RemoveError> {
        let Some(dir) = self.device_dir(uuid)? else {
            return Ok(None);
        };
        let path = self.root.path(dir.join("remove"));
        match attr::open_for_write(&path) {
            Ok(file) => Ok(Some(Remover {
                bus: self,
                uuid,
                path,
                file,
            })),
            Err(source) => self.removal_refused(uuid, path, source).map(|_| None),
        }
    }

    /// What an errno of `open(2)` or `write(2)` means.
    fn removal_refused(&self, uuid: Uuid, path: PathBuf, source: io::Error) -> Result<Removed, RemoveError> {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENODEV) => match self.device_dir(uuid)? {
                None => Ok(Removed::AlreadyGone),
                Some(_) => Err(RemoveError::Busy { uuid }),
            },
            Some(Errno::EAGAIN) => Err(RemoveError::Busy { uuid }),
            Some(errno @ (Errno::EPERM | Errno::EBUSY)) => Err(RemoveError::InUse {
                uuid,
                path,
                errno: errno as i32,
            }),
            Some(Errno::EACCES) => Err(RemoveError::Denied { path }),
            Some(Errno::EROFS) => Err(RemoveError::ReadOnly { path }),
            _ => Err(RemoveError::Write { uuid, path, source }),
        }
    }
}

/// One device's open `remove`.
#[derive(Debug)]
pub struct Remover<'b> {
    bus: &'b Bus<'b>,
    uuid: Uuid,
    path: PathBuf,
    file: File,
}

impl Remover<'_> {
    /// Writes to it. **May block without end, and unkillably**: see [`Bus::remove`].
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(self) -> Result<Removed, RemoveError> {
        match attr::write_to(self.file, b"1") {
            Ok(()) => Ok(Removed::Now),
            Err(source) => self.bus.removal_refused(self.uuid, self.path, source),
        }
    }
}
