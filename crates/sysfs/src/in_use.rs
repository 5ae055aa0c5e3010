//! Does somebody hold a device?
//!
//! Two questions that must not be mixed up:
//!
//! * [`look`] only looks and may be asked at any time. It finds a user or it finds none, and "found none" is
//!   [`InUse::Unknown`], never [`InUse::No`]: a QEMU that is just starting has not opened anything yet.
//! * [`test_by_opening`] opens the VFIO group, which has exactly one opener: for that moment a guest that is just
//!   starting gets EBUSY and dies. It belongs right before a removal, on a device already claimed for removal.

use crate::error::excerpt;
use crate::mdev::Bus;
use crate::{Root, SysfsError, attr};
use mdevkit_core::Uuid;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whether somebody holds a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Somebody does.
    Yes {
        /// Who, for a message: a guest's name, or a process.
        by: String,
    },
    /// Nobody does.
    No,
    /// None was found, which proves nothing.
    Unknown,
}

/// How long [`look`] goes through processes; a host of 500 guests takes some tens of milliseconds.
const LOOK: Duration = Duration::from_millis(250);
/// The most descriptors of one process that are looked at; QEMU opens its groups among the first hundred.
const DESCRIPTORS: usize = 8192;

/// Looks for a holder, and touches nothing: `vm_name` (NVIDIA), then the descriptors of every process. Opens 1 for
/// `vm_name`, 2 to list nodes and processes, 1 for each process; takes at most 250 ms.
///
/// Never answers [`InUse::No`]; what cannot be read (another user's process without the right to trace it, a file that
/// is gone) is passed over.
pub fn look(root: &Root, uuid: Uuid) -> InUse {
    let bus = Bus::new(root);
    if let Ok(Some(guest)) = bus.vm_name(uuid) {
        // The driver takes all of QEMU's `-name` after `guest=`, and libvirt always adds this.
        let guest = guest.strip_suffix(",debug-threads=on").unwrap_or(&guest);
        return InUse::Yes {
            by: format!("guest {}", excerpt(guest)),
        };
    }
    let mut nodes = Vec::new();
    if let Ok(Some(group)) = bus.iommu_group(uuid) {
        nodes.push(bus.vfio_node(group));
    }
    for name in bus.vfio_devices(uuid).unwrap_or_default() {
        nodes.push(root.path("dev/vfio/devices").join(name));
    }
    // The processes are this machine's, whatever the root: no simulation has any of its own.
    Search::new(uuid, &nodes).run(Path::new("/proc"))
}

/// Opens the VFIO group and closes it at once: EBUSY means that somebody has it. Opens 1.
///
/// **Only right before a removal, on a device already claimed for removal** (see the module's head): while it is open,
/// a guest that starts cannot have it.
///
/// # Errors
/// An answer that proves neither, such as EACCES.
pub fn test_by_opening(root: &Root, group: u32) -> Result<InUse, SysfsError> {
    let path = Bus::new(root).vfio_node(group);
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    match OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits())
        .open(&path)
    {
        Ok(_closed_at_once) => Ok(InUse::No),
        Err(source) => match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => Ok(InUse::Yes {
                by: format!("a process that has {} open", path.display()),
            }),
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => Ok(InUse::No),
            _ => Err(SysfsError::Group { path, source }),
        },
    }
}

/// What a descriptor of a holder looks like.
struct Search {
    uuid: String,
    /// The nodes as this process names them, and as a link in `/proc` does (no links in it).
    paths: Vec<PathBuf>,
    /// The nodes' device numbers: a guest's own `/dev` has other paths, and the same numbers.
    numbers: Vec<u64>,
    until: Instant,
}

impl Search {
    fn new(uuid: Uuid, nodes: &[PathBuf]) -> Self {
        let mut paths: Vec<PathBuf> = nodes.to_vec();
        paths.extend(nodes.iter().filter_map(|node| node.canonicalize().ok()));
        // `stat` never reaches the driver. Plain files (a simulation's) have number 0, as has every other plain file.
        let numbers = nodes
            .iter()
            .filter_map(|node| node.metadata().ok())
            .map(|node| node.rdev());
        Self {
            uuid: uuid.hyphenated().to_string(),
            paths,
            numbers: numbers.filter(|number| *number != 0).collect(),
            until: Instant::now() + LOOK,
        }
    }

    fn run(&self, proc: &Path) -> InUse {
        let Ok(processes) = std::fs::read_dir(proc) else {
            return InUse::Unknown;
        };
        for process in processes.flatten() {
            if Instant::now() > self.until {
                break;
            }
            let name = process.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else {
                continue;
            };
            let dir = process.path();
            // A kernel thread has no program: one readlink instead of a directory to list.
            if std::fs::read_link(dir.join("exe")).is_ok() && self.holds(&dir) {
                let program = attr::read_text(&dir.join("comm")).ok().flatten().unwrap_or_default();
                return InUse::Yes {
                    by: format!("process {pid} ({})", excerpt(&program)),
                };
            }
        }
        InUse::Unknown
    }

    fn holds(&self, process: &Path) -> bool {
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
            return false;
        };
        descriptors.take(DESCRIPTORS).flatten().any(|descriptor| {
            let path = descriptor.path();
            let Ok(target) = std::fs::read_link(&path) else {
                return false;
            };
            if target.as_os_str() == "anon_inode:[vfio-device]" {
                return self.is_our_device(&process.join("fdinfo").join(descriptor.file_name()));
            }
            self.paths.contains(&target) || self.is_our_number(&path, &target)
        })
    }

    /// Only what calls itself a VFIO node is `stat`ed: a `stat` of anything else may wait for a dead file server.
    fn is_our_number(&self, descriptor: &Path, target: &Path) -> bool {
        let is_vfio = target.components().any(|component| component.as_os_str() == "vfio");
        is_vfio
            && descriptor
                .metadata()
                .is_ok_and(|node| self.numbers.contains(&node.rdev()))
    }

    /// Newer kernels name the device behind the descriptor in `fdinfo` (`vfio-device-syspath:`); older ones do not, and
    /// then the group that must be open beside it has told.
    fn is_our_device(&self, fdinfo: &Path) -> bool {
        let text = attr::read_text(fdinfo).ok().flatten().unwrap_or_default();
        text.lines()
            .filter_map(|line| line.strip_prefix("vfio-device-syspath:"))
            .any(|path| {
                Path::new(path.trim())
                    .file_name()
                    .is_some_and(|name| name.to_str() == Some(self.uuid.as_str()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, remove_file};
    use std::io::Write;
    use std::os::unix::fs::symlink;

    const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

    /// A made-up /proc with one process of one descriptor.
    fn search(program: bool, target: &str, fdinfo: &str) -> InUse {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("4711");
        create_dir_all(process.join("fd")).unwrap();
        create_dir_all(process.join("fdinfo")).unwrap();
        create_dir_all(proc.path().join("sys")).unwrap();
        symlink(target, process.join("fd/7")).unwrap();
        if program {
            symlink("/usr/bin/qemu-system-x86_64", process.join("exe")).unwrap();
        }
        for (file, text) in [("comm", "qemu-system-x86\n"), ("fdinfo/7", fdinfo)] {
            std::fs::File::create(process.join(file))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        let nodes = ["/nowhere/dev/vfio/12".into(), "/nowhere/dev/vfio/devices/vfio3".into()];
        Search::new(UUID.parse().unwrap(), &nodes).run(proc.path())
    }

    #[test]
    fn a_holder_is_known_by_its_descriptors() {
        let yes = InUse::Yes {
            by: "process 4711 (qemu-system-x86)".into(),
        };
        let syspath = format!("pos:\t0\nvfio-device-syspath: /sys/devices/virtual/mtty/mtty/{UUID}\n");
        for (what, program, target, fdinfo, expected) in [
            ("the group", true, "/nowhere/dev/vfio/12", "", &yes),
            ("the device's node", true, "/nowhere/dev/vfio/devices/vfio3", "", &yes),
            (
                "the device, named in fdinfo",
                true,
                "anon_inode:[vfio-device]",
                &syspath,
                &yes,
            ),
            (
                "a device that is not named",
                true,
                "anon_inode:[vfio-device]",
                "pos:\t0\n",
                &InUse::Unknown,
            ),
            ("another group", true, "/nowhere/dev/vfio/123", "", &InUse::Unknown),
            ("the container", true, "/nowhere/dev/vfio/vfio", "", &InUse::Unknown),
            ("a kernel thread", false, "/nowhere/dev/vfio/12", "", &InUse::Unknown),
        ] {
            assert_eq!(search(program, target, fdinfo), *expected, "{what}");
        }
    }

    #[test]
    fn a_node_in_another_dev_is_known_by_its_number() {
        // /dev/null stands for a group's node: both are character devices, and stat does not open either.
        let dev = tempfile::tempdir().unwrap();
        create_dir_all(dev.path().join("dev/vfio")).unwrap();
        let node = dev.path().join("dev/vfio/12");
        symlink("/dev/null", &node).unwrap();
        let search = Search::new(UUID.parse().unwrap(), std::slice::from_ref(&node));
        remove_file(&node).unwrap();
        assert!(search.is_our_number(Path::new("/dev/null"), Path::new("/their/dev/vfio/12")));
        assert!(
            !search.is_our_number(Path::new("/dev/null"), Path::new("/dev/null")),
            "it is no VFIO node"
        );
        assert!(!search.is_our_number(Path::new("/dev/zero"), Path::new("/their/dev/vfio/12")));
    }
}
