//! Where in its GPU a vGPU is, as NVIDIA's driver says it: its place in the framebuffer, and its MIG GPU instance.
//!
//! Invariant: "it has none" is no error. A driver that is too old has no such file; one that has says `Not Applicable`
//! (mdev) or answers ENXIO (vendor VFIO) until there is something to say, and NVML has numbers that mean none.

use super::Bus;
use crate::error::excerpt;
use crate::number::decimal;
use crate::{SysfsError, attr};
use mdevkit_core::Uuid;
use nix::errno::Errno;

/// NVML's `NVML_INVALID_VGPU_PLACEMENT_ID` (nvml.h): a vGPU that has none.
const NO_PLACEMENT: u32 = 0xffff;
/// NVML's `INVALID_GPU_INSTANCE_ID` (nvml.h): a vGPU that is in none.
const NO_INSTANCE: u32 = 0xffff_ffff;

impl Bus<'_> {
    /// The device's place in the framebuffer (`nvidia/placement_id`), a count of slots from its start; `None` where the
    /// driver gives none, which is every vGPU that is not in use or not of mixed sizes. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or is neither a number nor `Not Applicable`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    /// # let nvidia = dir.path().join(format!("sys/devices/pci0000:00/0000:08:00.4/{UUID}/nvidia"));
    /// # std::fs::create_dir_all(&nvidia)?;
    /// # std::fs::create_dir_all(dir.path().join("sys/bus/mdev/devices"))?;
    /// # std::os::unix::fs::symlink(format!("../../../devices/pci0000:00/0000:08:00.4/{UUID}"),
    /// #     dir.path().join(format!("sys/bus/mdev/devices/{UUID}")))?;
    /// # let say = |text: &str| std::fs::OpenOptions::new().write(true).create(true).truncate(true)
    /// #     .open(nvidia.join("placement_id")).and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    /// # let root = mdevkit_sysfs::Root::at(dir.path());
    /// # let bus = mdevkit_sysfs::mdev::Bus::new(&root);
    /// # let uuid = UUID.parse()?;
    /// # say("24\n")?;
    /// assert_eq!(bus.placement_id(uuid)?, Some(24));
    /// # say("Not Applicable\n")?;
    /// assert_eq!(bus.placement_id(uuid)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn placement_id(&self, uuid: Uuid) -> Result<Option<u32>, SysfsError> {
        let id = self.nvidia_number(uuid, "nvidia/placement_id", "a placement id or Not Applicable")?;
        Ok(id.filter(|id| *id != NO_PLACEMENT))
    }

    /// The MIG GPU instance that the device is in (`nvidia/gpu_instance_id`); `None` where it is in none. Opens 1.
    ///
    /// # Errors
    /// The attribute cannot be read, or is neither a number nor `Not Applicable`.
    pub fn gpu_instance_id(&self, uuid: Uuid) -> Result<Option<u32>, SysfsError> {
        let id = self.nvidia_number(
            uuid,
            "nvidia/gpu_instance_id",
            "the id of a GPU instance or Not Applicable",
        )?;
        Ok(id.filter(|id| *id != NO_INSTANCE))
    }

    fn nvidia_number(&self, uuid: Uuid, file: &str, expected: &'static str) -> Result<Option<u32>, SysfsError> {
        let Some(dir) = self.device_dir(uuid)? else {
            return Ok(None);
        };
        let path = self.root.path(dir.join(file));
        let text = match attr::read_text(&path) {
            Err(SysfsError::Read { source, .. }) if source.raw_os_error() == Some(Errno::ENXIO as i32) => None,
            other => other?,
        };
        match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text)
                if ["Not Applicable", "N/A"]
                    .iter()
                    .any(|none| text.eq_ignore_ascii_case(none)) =>
            {
                Ok(None)
            }
            Some(text) => match decimal(text) {
                Some(number) => Ok(Some(number)),
                None => Err(SysfsError::NotANumber {
                    path,
                    says: excerpt(text),
                    expected,
                }),
            },
        }
    }
}
