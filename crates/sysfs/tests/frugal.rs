//! What each function opens, counted by the kernel (inotify): some attributes ask the GPU's firmware, so that a file is
//! opened once, by the one function that is about it, and by no other.
#![expect(clippy::unwrap_used, reason = "a helper that cannot make its tree is a failed test")]

mod a2;
mod tree;

use a2::{BRIDGE, CARD, FIRST_VF};
use mdevkit_core::{Bdf, ParentName, PciIds, Uuid};
use mdevkit_sysfs::mdev::Bus;
use mdevkit_sysfs::pci::Pci;
use mdevkit_sysfs::topology::Topology;
use mdevkit_sysfs::{Root, framework, pci_ids};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tree::{link, put};

/// Counts every open below a directory.
struct Meter {
    inotify: Inotify,
    watched: BTreeMap<WatchDescriptor, PathBuf>,
}

impl Meter {
    fn of(at: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        let mut watched = BTreeMap::new();
        let mut dirs = vec![at.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                }
            }
            // The kernel joins equal events that follow each other; with the closes between, no two opens do.
            let flags = AddWatchFlags::IN_OPEN | AddWatchFlags::IN_CLOSE;
            let below = dir.strip_prefix(at).unwrap().to_owned();
            watched.insert(inotify.add_watch(&dir, flags).unwrap(), below);
        }
        Self { inotify, watched }
    }

    /// What was opened since the last time, and how often.
    fn opened(&self) -> BTreeMap<PathBuf, usize> {
        let mut opened = BTreeMap::new();
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EAGAIN) => return opened,
                events => events.unwrap(),
            };
            for event in events {
                assert!(!event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW), "events were lost");
                // A directory tells of itself without a name, and its parent tells the same with one.
                let told_twice = event.mask.contains(AddWatchFlags::IN_ISDIR) && event.name.is_some();
                if event.mask.contains(AddWatchFlags::IN_OPEN) && !told_twice {
                    let dir = self.watched.get(&event.wd).unwrap();
                    let path = event.name.map_or_else(|| dir.clone(), |name| dir.join(name));
                    *opened.entry(path).or_default() += 1;
                }
            }
        }
    }

    /// Runs it, and asserts that exactly these were opened, once each.
    fn expect<T>(&self, what: &str, expected: &[&str], run: impl FnOnce() -> T) -> T {
        self.opened();
        let answer = run();
        let expected: BTreeMap<PathBuf, usize> = expected.iter().map(|path| (path.into(), 1)).collect();
        assert_eq!(self.opened(), expected, "{what}");
        answer
    }
}

#[test]
fn the_meter_sees_every_open() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a/file", b"1");
    let meter = Meter::of(dir.path());
    for _ in 0..3 {
        std::fs::read(dir.path().join("a/file")).unwrap();
        std::fs::read_dir(dir.path().join("a")).unwrap().count();
        std::fs::metadata(dir.path().join("a/file")).unwrap();
    }
    assert_eq!(meter.opened(), BTreeMap::from([("a".into(), 3), ("a/file".into(), 3)]));
}

#[test]
fn a_file_is_opened_once_by_the_function_that_is_about_it() {
    const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    let dir = a2::host();
    let at = dir.path();
    let device = format!("{BRIDGE}/{FIRST_VF}/{UUID}");
    put(at, &format!("{device}/nvidia/placement_id"), b"0\n");
    put(at, &format!("{device}/nvidia/gpu_instance_id"), b"1\n");
    link(at, &format!("{device}/mdev_type"), "../mdev_supported_types/nvidia-746");
    link(
        at,
        &format!("sys/bus/mdev/devices/{UUID}"),
        &format!("../../../devices/{}", &device["sys/devices/".len()..]),
    );
    put(at, "usr/share/misc/pci.ids", include_bytes!("fixtures/pci.ids"));
    put(at, "sys/devices/system/node/node0/cpulist", b"0-7\n");
    put(at, "sys/devices/system/node/node1/cpulist", b"8-15\n");
    let root = Root::at(at);
    let (pci, bus) = (Pci::new(&root), Bus::new(&root));
    let (card, vf): (Bdf, Bdf) = (CARD.parse().unwrap(), FIRST_VF.parse().unwrap());
    let (parent, uuid): (ParentName, Uuid) = (FIRST_VF.parse().unwrap(), UUID.parse().unwrap());
    let meter = Meter::of(at);

    let of_card = |name: &str| format!("{BRIDGE}/{CARD}/{name}");
    let mut seen = ["0000:00:03.1", "0000:01:00.0", "0000:03:00.0"]
        .map(|bdf| format!("sys/devices/pci0000:00/{bdf}/class"))
        .to_vec();
    seen.extend([of_card("class"), "sys/bus/pci/devices".to_owned()]);
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    meter.expect("functions: no file of the 17 virtual ones", &seen, || {
        pci.functions().unwrap()
    });
    meter.expect("exists", &[], || assert!(pci.exists(card).unwrap()));
    let (vendor, device) = (of_card("vendor"), of_card("device"));
    meter.expect("ids", &[&vendor, &device], || pci.ids(card).unwrap());
    let (vendor, device) = (of_card("subsystem_vendor"), of_card("subsystem_device"));
    meter.expect("subsystem_ids", &[&vendor, &device], || {
        pci.subsystem_ids(card).unwrap()
    });
    meter.expect("class", &[&of_card("class")], || pci.class(card).unwrap());
    meter.expect("numa_node", &[&of_card("numa_node")], || pci.numa_node(card).unwrap());
    meter.expect("driver", &[], || assert!(pci.driver(card).unwrap().is_some()));
    meter.expect("iommu_group", &[], || assert!(pci.iommu_group(card).unwrap().is_some()));
    let (total, enabled) = (of_card("sriov_totalvfs"), of_card("sriov_numvfs"));
    meter.expect("sriov", &[&total, &enabled], || pci.sriov(card).unwrap());
    meter.expect("sriov of a virtual one", &[], || {
        assert!(pci.sriov(vf).unwrap().is_none())
    });
    meter.expect("physical_function", &[], || {
        assert!(pci.physical_function(vf).unwrap().is_some())
    });
    meter.expect("virtual_functions", &[&format!("{BRIDGE}/{CARD}")], || {
        pci.virtual_functions(card).unwrap()
    });
    let console = "0000:03:00.0".parse().unwrap();
    meter.expect("boot_vga", &["sys/devices/pci0000:00/0000:03:00.0/boot_vga"], || {
        pci.boot_vga(console).unwrap()
    });
    meter.expect("presence", &[], || {
        assert!(framework::presence(&pci, vf).unwrap().unwrap().mdev)
    });

    meter.expect("pgpu_of", &[], || {
        assert_eq!(bus.pgpu_of(&parent).unwrap().unwrap().as_str(), CARD)
    });
    let nvidia = |name: &str| format!("{BRIDGE}/{FIRST_VF}/{UUID}/nvidia/{name}");
    meter.expect("placement_id", &[&nvidia("placement_id")], || {
        bus.placement_id(uuid).unwrap()
    });
    meter.expect("gpu_instance_id", &[&nvidia("gpu_instance_id")], || {
        bus.gpu_instance_id(uuid).unwrap()
    });

    let nodes = "sys/devices/system/node";
    let lists = [format!("{nodes}/node0/cpulist"), format!("{nodes}/node1/cpulist")];
    meter.expect("topology", &[nodes, &lists[0], &lists[1]], || {
        Topology::read(&root).unwrap()
    });
    let ids: [PciIds; 2] = ["10de:25b6".parse().unwrap(), "8086:3e92".parse().unwrap()];
    meter.expect("lookup_all", &["usr/share/misc/pci.ids"], || {
        pci_ids::lookup_all(&root, ids).unwrap()
    });
    meter.expect("lookup_all of none", &[], || pci_ids::lookup_all(&root, []).unwrap());
}

#[test]
fn all_residents_of_a_full_host_cost_one_listing() {
    let dir = a2::host();
    let at = dir.path();
    for number in 0..256_u32 {
        let (vf, uuid) = (a2::vf(number % 16), Uuid::from_u128(u128::from(number)));
        let place = format!("{BRIDGE}/{vf}/{uuid}");
        link(at, &format!("{place}/mdev_type"), "../mdev_supported_types/nvidia-746");
        link(
            at,
            &format!("sys/bus/mdev/devices/{uuid}"),
            &format!("../../../devices/{}", &place["sys/devices/".len()..]),
        );
    }
    let root = Root::at(at);
    let bus = Bus::new(&root);
    let meter = Meter::of(at);
    let devices = meter.expect("residents", &["sys/bus/mdev/devices"], || {
        let uuids = bus.devices().unwrap();
        let devices = uuids.into_iter().map(|uuid| bus.device(uuid).unwrap().unwrap());
        devices.collect::<Vec<_>>()
    });
    assert_eq!(devices.len(), 256);
    assert!(devices.iter().all(|device| device.type_id.is_some()));
    let parents: std::collections::BTreeSet<_> = devices.iter().map(|device| &device.parent).collect();
    let pgpus = meter.expect("their physical GPUs", &[], || {
        parents
            .iter()
            .map(|parent| bus.pgpu_of(parent).unwrap().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(pgpus.len(), 16);
    assert!(pgpus.iter().all(|pgpu| pgpu.as_str() == CARD));
}
