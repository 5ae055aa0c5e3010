//! A vGPU's parameters: NVIDIA's `vgpu_params`, between create and the guest's start.
//!
//! Invariant: the text ends in a newline, because the driver drops the last byte of what is written, whatever it is
//! (`snprintf(dst, count, ...)` in `nvidia-vgpu-vfio.c`), and replaces all that was there before.

use super::Bus;
use crate::{SysfsError, attr};
use mdevkit_core::{Params, Uuid};
use nix::errno::Errno;
use std::io;
use std::path::PathBuf;

/// Why parameters were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// There is no such device.
    #[error("there is no device {uuid} to set parameters of")]
    NoDevice {
        /// The device.
        uuid: Uuid,
    },
    /// The device's driver has no parameters: it is not an NVIDIA vGPU.
    #[error("device {uuid} has no vgpu_params ({path}): only NVIDIA's vGPUs do; leave params out of the request")]
    NoParams {
        /// The device.
        uuid: Uuid,
        /// What is missing.
        path: PathBuf,
    },
    /// EPERM: a guest has the device, and parameters count at its start only.
    #[error("device {uuid} is in use, its parameters are fixed now ({path} answered EPERM); stop its guest first")]
    InUse {
        /// The device.
        uuid: Uuid,
        /// What was written to.
        path: PathBuf,
    },
    /// Any other answer.
    #[error("cannot write {path}: {source}")]
    Write {
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
    /// Replaces the device's parameters. Opens 1.
    ///
    /// The driver takes any text; that it reads back does not mean that the vGPU's plugin accepted it.
    ///
    /// # Errors
    /// See [`ParamsError`].
    pub fn write_params(&self, uuid: Uuid, params: &Params) -> Result<(), ParamsError> {
        let Some(path) = self.params_file(uuid)? else {
            return Err(ParamsError::NoDevice { uuid });
        };
        let Err(source) = attr::write_once(&path, format!("{params}\n").as_bytes()) else {
            return Ok(());
        };
        Err(match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => ParamsError::NoParams { uuid, path },
            Some(Errno::EPERM) => ParamsError::InUse { uuid, path },
            Some(Errno::ENXIO | Errno::ENODEV) => ParamsError::NoDevice { uuid },
            _ => ParamsError::Write { path, source },
        })
    }

    /// The parameters as the driver keeps them; `None` when there are none, or nothing is set. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read.
    pub fn params(&self, uuid: Uuid) -> Result<Option<String>, SysfsError> {
        let Some(path) = self.params_file(uuid)? else {
            return Ok(None);
        };
        Ok(attr::read_text(&path)?.filter(|text| !text.trim().is_empty()))
    }

    fn params_file(&self, uuid: Uuid) -> Result<Option<PathBuf>, SysfsError> {
        Ok(self
            .device_dir(uuid)?
            .map(|dir| self.root.path(dir.join("nvidia/vgpu_params"))))
    }
}
