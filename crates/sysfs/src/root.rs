//! Where everything hangs from.
//!
//! Invariant: every path that this crate opens is [`Root::path`] of a fixed text and validated names.

use std::path::{Path, PathBuf};

/// The directory that `sys/`, `dev/` and `proc/` are in: `/`, or the DIR of `--root` and `MDEVKIT_ROOT`.
///
/// ```
/// use mdevkit_sysfs::Root;
/// assert_eq!(Root::system().path("sys/class/mdev_bus").to_str(), Some("/sys/class/mdev_bus"));
/// assert_eq!(Root::at("/srv/sim").path("/dev/vfio").to_str(), Some("/srv/sim/dev/vfio"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The running host's own files.
    pub fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A simulated or captured host below `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The path below the root; a leading `/` of `below` is passed over.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        let below = below.as_ref();
        self.0.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// Whether this is the running host itself.
    pub fn is_system(&self) -> bool {
        self.0 == Path::new("/")
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::system()
    }
}
