//! Which framework makes a PCI function's devices: what the kernel shows, and no conclusion.
//!
//! Invariant: nothing is opened. It is the host's driver and kernel that decide for a framework, not the GPU, and they
//! may decide differently for each function: so each is asked.

use crate::pci::Pci;
use crate::{SysfsError, link};
use mdevkit_core::Bdf;

/// What speaks for a framework.
///
/// | what is seen | framework |
/// |---|---|
/// | `mdev` | mediated devices: a UUID is written to a type's `create` |
/// | `vendor_vfio` | NVIDIA's own on a virtual function: a type's number is written to `current_vgpu_type` |
/// | neither, and [`Sriov`](crate::pci::Sriov) with none enabled | not known before its virtual functions are on |
/// | neither, `driver` is `vfio-pci` | the whole function is passed through |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// It has `mdev_supported_types`.
    pub mdev: bool,
    /// It has `nvidia/current_vgpu_type`.
    pub vendor_vfio: bool,
    /// The driver that it is bound to.
    pub driver: Option<String>,
}

/// What speaks for a framework at this function; `None` when there is no such function. Opens 0.
///
/// # Errors
/// A link cannot be read, or a file cannot be looked for.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let vf = dir.path().join("sys/devices/pci0000:00/0000:26:00.4");
/// # std::fs::create_dir_all(vf.join("nvidia"))?;
/// # std::fs::create_dir_all(dir.path().join("sys/bus/pci/devices"))?;
/// # std::os::unix::fs::symlink("../../../devices/pci0000:00/0000:26:00.4",
/// #     dir.path().join("sys/bus/pci/devices/0000:26:00.4"))?;
/// # std::os::unix::fs::symlink("../../../bus/pci/drivers/nvidia", vf.join("driver"))?;
/// # std::fs::File::create(vf.join("nvidia/current_vgpu_type"))?;
/// use mdevkit_sysfs::{Root, framework, pci::Pci};
/// let root = Root::at(dir.path());
/// let seen = framework::presence(&Pci::new(&root), "0000:26:00.4".parse()?)?.expect("the function is there");
/// assert!(seen.vendor_vfio && !seen.mdev);
/// assert_eq!(seen.driver.as_deref(), Some("nvidia"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn presence(pci: &Pci<'_>, bdf: Bdf) -> Result<Option<Presence>, SysfsError> {
    if !pci.exists(bdf)? {
        return Ok(None);
    }
    let has = |name| match pci.file(bdf, name)? {
        Some(path) => link::exists(&path),
        None => Ok(false),
    };
    Ok(Some(Presence {
        mdev: has("mdev_supported_types")?,
        vendor_vfio: has("nvidia/current_vgpu_type")?,
        driver: pci.driver(bdf)?,
    }))
}
