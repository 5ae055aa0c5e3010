//! The kernel's side: what devices there are, and making and removing them by hand.
//!
//! Written against Documentation/driver-api/vfio-mediated-device.rst and on its own, so that a mistake of the product's
//! sysfs code is not made here a second time.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// One mediated device as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device {
    pub(crate) uuid: String,
    pub(crate) parent: String,
    pub(crate) kind: String,
    /// Of its folder: another number, another device, though the UUID be the same.
    pub(crate) inode: u64,
}

/// All of them, sorted by UUID.
pub(crate) fn devices() -> Vec<Device> {
    let Ok(entries) = fs::read_dir("/sys/bus/mdev/devices") else {
        return Vec::new();
    };
    let mut devices: Vec<Device> = entries
        .flatten()
        .filter_map(|entry| device(&entry.file_name().to_string_lossy()))
        .collect();
    devices.sort();
    devices
}

/// The device of that UUID, if there is one that is ready.
pub(crate) fn device(uuid: &str) -> Option<Device> {
    let folder = fs::canonicalize(Path::new("/sys/bus/mdev/devices").join(uuid)).ok()?;
    let kind = fs::read_link(folder.join("mdev_type")).ok()?;
    Some(Device {
        uuid: uuid.to_owned(),
        parent: folder.parent()?.file_name()?.to_string_lossy().into_owned(),
        kind: kind.file_name()?.to_string_lossy().into_owned(),
        inode: fs::metadata(&folder).ok()?.ino(),
    })
}

/// How many devices of a type can still be made.
pub(crate) fn available(parent: &str, kind: &str) -> Outcome<u32> {
    let file = type_folder(parent, kind).join("available_instances");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    text.trim()
        .parse()
        .map_err(|e| format!("{}: {text:?}: {e}", file.display()))
}

/// Makes a device as an administrator would by hand.
pub(crate) fn create(parent: &str, kind: &str, uuid: &str) -> Outcome<Device> {
    write(&type_folder(parent, kind).join("create"), uuid)?;
    device(uuid).ok_or_else(|| format!("{uuid} is not there after its creation"))
}

/// Removes a device; blocks in the kernel while something has it open.
pub(crate) fn remove(uuid: &str) -> Outcome {
    write(&Path::new("/sys/bus/mdev/devices").join(uuid).join("remove"), "1")
}

fn type_folder(parent: &str, kind: &str) -> PathBuf {
    Path::new("/sys/class/mdev_bus")
        .join(parent)
        .join("mdev_supported_types")
        .join(kind)
}

fn write(file: &Path, text: &str) -> Outcome {
    OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("{text} > {}: {e}", file.display()))
}

/// Whether a process has a VFIO device open: only then does a guest really use it.
pub(crate) fn has_vfio_open(pid: u32) -> bool {
    vfio_devices_open(pid) > 0
}

/// How many it has open.
pub(crate) fn vfio_devices_open(pid: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("vfio-device")))
        .count()
}

/// The processes that run this program file.
pub(crate) fn processes(program: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(program)))
        .collect()
}
