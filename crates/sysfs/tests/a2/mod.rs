//! An NVIDIA A2 with its 16 virtual functions, and what else a small host has on PCI.
//!
//! The card's numbers are those of a real one: `tests/snapshots/vgpu-node.umockdev` of harvester/pcidevices
//! (Apache-2.0): addresses, offset, ids, classes and groups.

use crate::tree::{link, put};
use std::path::Path;
use tempfile::TempDir;

pub(crate) const CARD: &str = "0000:08:00.0";
pub(crate) const BRIDGE: &str = "sys/devices/pci0000:00/0000:00:03.1";
pub(crate) const FIRST_VF: &str = "0000:08:00.4";

/// The virtual function of that number: four functions after the card, eight to a slot.
pub(crate) fn vf(index: u32) -> String {
    let function = 4 + index;
    format!("0000:08:{:02x}.{}", function / 8, function % 8)
}

/// A function with the files that every one has, and its link on the bus.
pub(crate) fn function(at: &Path, parent: &str, bdf: &str, files: &[(&str, &str)]) {
    let dir = format!("{parent}/{bdf}");
    for (file, text) in files {
        put(at, &format!("{dir}/{file}"), format!("{text}\n").as_bytes());
    }
    link(
        at,
        &format!("sys/bus/pci/devices/{bdf}"),
        &format!("../../../devices/{}", &dir["sys/devices/".len()..]),
    );
}

/// The whole host.
pub(crate) fn host() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let gpu = |bdf: &str, subsystem: &str, group: u32| {
        function(
            at,
            BRIDGE,
            bdf,
            &[
                ("vendor", "0x10de"),
                ("device", "0x25b6"),
                ("class", "0x030200"),
                ("subsystem_vendor", "0x10de"),
                ("subsystem_device", subsystem),
                ("numa_node", "0"),
            ],
        );
        link(
            at,
            &format!("{BRIDGE}/{bdf}/driver"),
            "../../../../bus/pci/drivers/nvidia",
        );
        link(
            at,
            &format!("{BRIDGE}/{bdf}/iommu_group"),
            &format!("../../../../kernel/iommu_groups/{group}"),
        );
    };
    gpu(CARD, "0x157e", 38);
    put(at, &format!("{BRIDGE}/{CARD}/sriov_totalvfs"), b"16\n");
    put(at, &format!("{BRIDGE}/{CARD}/sriov_numvfs"), b"16\n");
    for index in 0..16 {
        let vf = vf(index);
        gpu(&vf, "0x0000", 90 + index);
        link(at, &format!("{BRIDGE}/{vf}/physfn"), &format!("../{CARD}"));
        link(at, &format!("{BRIDGE}/{CARD}/virtfn{index}"), &format!("../{vf}"));
        put(
            at,
            &format!("{BRIDGE}/{vf}/mdev_supported_types/nvidia-746/name"),
            b"NVIDIA A2-4Q\n",
        );
        link(
            at,
            &format!("sys/class/mdev_bus/{vf}"),
            &format!("../../devices/{}/{vf}", &BRIDGE["sys/devices/".len()..]),
        );
    }
    // The bridge itself, the console's VGA controller, which has no driver, and a network card with a virtual function.
    function(
        at,
        "sys/devices/pci0000:00",
        "0000:00:03.1",
        &[("class", "0x060400"), ("numa_node", "-1")],
    );
    let vga = [
        ("vendor", "0x1a03"),
        ("device", "0x2000"),
        ("class", "0x030000"),
        ("boot_vga", "1"),
        ("numa_node", "-1"),
    ];
    function(at, "sys/devices/pci0000:00", "0000:03:00.0", &vga);
    let nic = [("class", "0x020000"), ("sriov_totalvfs", "63"), ("sriov_numvfs", "1")];
    function(at, "sys/devices/pci0000:00", "0000:01:00.0", &nic);
    function(at, "sys/devices/pci0000:00", "0000:01:10.0", &[("class", "0x020000")]);
    link(at, "sys/devices/pci0000:00/0000:01:10.0/physfn", "../0000:01:00.0");
    dir
}
