//! Which kernel the host runs: three behaviours of the mdev core.
//!
//! | | <= 5.2 | 5.3-5.18 | 6.1+ |
//! |---|---|---|---|
//! | `name`, `description` | the driver's own files, or none (GVT-g has no `name`) | as before | `name` always |
//! | `driver` of a device | `vfio_mdev` | `vfio_mdev` | the vendor's |
//! | `vfio-dev/` of a device | no | no | yes |
//! | remove of a device in use | the driver may refuse, and the device stays | the files go, the write waits | as before |
//! | full | the driver's create call says how | as before | the core (EUSERS) or the probe |
//!
//! Sources: Linux 4.18, 5.10, 6.1 and 6.12 `drivers/vfio/mdev/mdev_core.c`, `mdev_sysfs.c`, `vfio_mdev.c`, `drivers/vfio/vfio.c`.
//! Up to 5.2 `mdev_device_remove` asks the driver first (`mdev_device_remove_ops`) and ends there if it refuses. From
//! 5.3 on it takes the files away first; then `device_del` unbinds the driver, and that waits for the last user
//! (`vfio_del_group_dev`, now `vfio_unregister_group_dev`).

use std::fmt;
use std::str::FromStr;

use crate::error::SimError;

/// A kernel's behaviour, by the versions that have it.
///
/// ```
/// use mdevkit_sim::KernelProfile;
///
/// assert_eq!("5.10".parse::<KernelProfile>()?, KernelProfile::From5_3);
/// assert_eq!("<=5.2".parse::<KernelProfile>()?, KernelProfile::UpTo5_2);
/// assert_eq!(KernelProfile::default().to_string(), "6.1+");
/// # Ok::<(), mdevkit_sim::SimError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KernelProfile {
    /// Up to 5.2: a driver may refuse to remove a device in use.
    UpTo5_2,
    /// 5.3 to 5.18: nobody may refuse; `name` still is each driver's own affair.
    From5_3,
    /// 6.1 and later, as of 6.12.
    #[default]
    From6_1,
}

impl KernelProfile {
    /// Every profile, oldest first.
    pub const ALL: [KernelProfile; 3] = [KernelProfile::UpTo5_2, KernelProfile::From5_3, KernelProfile::From6_1];

    /// One generic driver, `vfio_mdev`, binds every device, and the types' files are the vendors'.
    pub(crate) fn is_old(self) -> bool {
        self != KernelProfile::From6_1
    }
}

impl fmt::Display for KernelProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KernelProfile::UpTo5_2 => "<=5.2",
            KernelProfile::From5_3 => "5.3-5.18",
            KernelProfile::From6_1 => "6.1+",
        })
    }
}

/// A profile as it is displayed, or a version that has it (`4.18`, `5.10`, `6.12.107`). 5.19 and 6.0, between two
/// models, are none.
impl FromStr for KernelProfile {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        if let Some(known) = Self::ALL.into_iter().find(|known| known.to_string() == text) {
            return Ok(known);
        }
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(4), Some(10..)) | (Some(5), Some(..=2)) => Ok(KernelProfile::UpTo5_2),
            (Some(5), Some(3..=18)) => Ok(KernelProfile::From5_3),
            (Some(6), Some(1..)) | (Some(7..), Some(_)) => Ok(KernelProfile::From6_1),
            _ => Err(SimError::UnknownKernel { text: text.to_owned() }),
        }
    }
}

/// How a host is to be mounted; the default is a kernel of today.
///
/// ```
/// use mdevkit_sim::{KernelProfile, SimOptions};
///
/// let options = SimOptions::default().with_kernel("5.10".parse()?);
/// assert_eq!(options.kernel, KernelProfile::From5_3);
/// # Ok::<(), mdevkit_sim::SimError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SimOptions {
    /// Which kernel.
    pub kernel: KernelProfile,
}

impl SimOptions {
    /// With this kernel.
    #[must_use]
    pub fn with_kernel(mut self, kernel: KernelProfile) -> Self {
        self.kernel = kernel;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_belong_to_profiles() {
        for (text, profile) in [
            ("4.10", Some(KernelProfile::UpTo5_2)),
            ("5.2.21", Some(KernelProfile::UpTo5_2)),
            ("5.3", Some(KernelProfile::From5_3)),
            ("5.18.19", Some(KernelProfile::From5_3)),
            ("5.19", None),
            ("6.0", None),
            ("6.1.176", Some(KernelProfile::From6_1)),
            ("7.0", Some(KernelProfile::From6_1)),
            ("4.9", None),
            ("6", None),
            ("", None),
            ("6.1+", Some(KernelProfile::From6_1)),
            ("5.3-5.18", Some(KernelProfile::From5_3)),
        ] {
            assert_eq!(text.parse::<KernelProfile>().ok(), profile, "{text}");
        }
    }
}
