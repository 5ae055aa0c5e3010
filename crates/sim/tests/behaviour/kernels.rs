//! What differs by kernel; GVT-g and s390, whose files differ most.

use mdevkit_sim::{KernelProfile, Sim, SimOptions};
use nix::errno::Errno;

use crate::common::{Host, host, host_with, names, read, soon, store, uuid};

fn old(boards: &[&str], kernel: KernelProfile) -> Host {
    host_with(boards, SimOptions::default().with_kernel(kernel))
}

const GVT: &str = "0000:00:02.0";

#[test]
fn gvt_g_shares_three_pools() {
    let host = host(&["gvtg-512"]);
    let free = || [8, 4, 2].map(|n| host.available(GVT, &format!("i915-GVTg_V5_{n}")));
    assert_eq!(free(), [6, 3, 1]);
    let about = |file| read(&host.type_file(GVT, "i915-GVTg_V5_4", file)).unwrap();
    assert_eq!(about("name"), "GVTg_V5_4\n");
    assert_eq!(
        about("description"),
        "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n"
    );
    host.create(GVT, "i915-GVTg_V5_4", &uuid(1)).unwrap();
    assert_eq!(free(), [4, 2, 1]);
    host.create(GVT, "i915-GVTg_V5_8", &uuid(2)).unwrap();
    assert_eq!(free(), [3, 1, 0]);
    assert_eq!(host.create(GVT, "i915-GVTg_V5_2", &uuid(3)), Err(Errno::ENOSPC));
    let number = |n| read(&host.device(&uuid(n), "intel_vgpu/vgpu_id")).unwrap();
    assert_eq!((number(1), number(2)), ("1\n".to_owned(), "2\n".to_owned()));
    assert_eq!(
        read(&host.path(&format!("sys/bus/pci/devices/{GVT}/boot_vga"))).unwrap(),
        "1\n"
    );
    assert_eq!(
        read(&host.path(&format!("sys/bus/pci/devices/{GVT}/numa_node"))).unwrap(),
        "-1\n"
    );
    let small = crate::common::host(&["gvtg-256"]);
    let types = names(&small.path(&format!("sys/class/mdev_bus/{GVT}/mdev_supported_types")));
    assert_eq!(types, ["i915-GVTg_V5_4", "i915-GVTg_V5_8"]);
    assert_eq!(
        [8, 4].map(|n| small.available(GVT, &format!("i915-GVTg_V5_{n}"))),
        [2, 1]
    );
}

#[test]
fn crypto_and_channels_are_no_pci_functions() {
    let host = host(&["vfio-ap", "vfio-ccw:2"]);
    assert_eq!(
        names(&host.path("sys/class/mdev_bus")),
        ["0.0.0313", "0.0.fffe", "matrix"]
    );
    assert_eq!(host.available("matrix", "vfio_ap-passthrough"), 65536);
    assert!(!host.type_file("matrix", "vfio_ap-passthrough", "description").exists());
    let api = |parent, id| read(&host.type_file(parent, id, "device_api")).unwrap();
    assert_eq!(api("matrix", "vfio_ap-passthrough"), "vfio-ap\n");
    assert_eq!(api("0.0.fffe", "vfio_ccw-io"), "vfio-ccw\n");
    assert!(host.path("sys/devices/vfio_ap/matrix/mdev_supported_types").is_dir());
    host.create("0.0.fffe", "vfio_ccw-io", &uuid(1)).unwrap();
    assert_eq!(host.available("0.0.fffe", "vfio_ccw-io"), 0);
    assert_eq!(host.create("0.0.fffe", "vfio_ccw-io", &uuid(2)), Err(Errno::EUSERS));
    host.create("0.0.0313", "vfio_ccw-io", &uuid(2)).unwrap();

    host.create("matrix", "vfio_ap-passthrough", &uuid(3)).unwrap();
    assert_eq!(host.available("matrix", "vfio_ap-passthrough"), 65535);
    let put = |file, text: &str| store(&host.device(&uuid(3), file), text.as_bytes());
    let matrix = || read(&host.device(&uuid(3), "matrix")).unwrap();
    assert_eq!(matrix(), "");
    put("assign_adapter", "5").unwrap();
    assert_eq!(matrix(), "05.\n");
    put("assign_domain", "0x4\n").unwrap();
    put("assign_domain", "0xab").unwrap();
    assert_eq!(matrix(), "05.0004\n05.00ab\n");
    put("unassign_adapter", "5").unwrap();
    assert_eq!(matrix(), ".0004\n.00ab\n");
    put("assign_control_domain", "171").unwrap();
    assert_eq!(read(&host.device(&uuid(3), "control_domains")).unwrap(), "00ab\n");
    assert_eq!(put("assign_adapter", "x"), Err(Errno::EINVAL));
    assert_eq!(put("assign_adapter", "256"), Err(Errno::ENODEV));
}

#[test]
fn old_kernels_leave_names_and_room_to_the_driver() {
    for kernel in [KernelProfile::UpTo5_2, KernelProfile::From5_3] {
        let host = old(&["gvtg-256", "mdpy", "mbochs", "vfio-ccw"], kernel);
        assert!(!host.type_file(GVT, "i915-GVTg_V5_8", "name").exists());
        assert!(host.type_file(GVT, "i915-GVTg_V5_8", "description").exists());
        assert_eq!(read(&host.type_file("mdpy", "mdpy-hd", "name")).unwrap(), "mdpy-hd\n");
        host.create(GVT, "i915-GVTg_V5_8", &uuid(1)).unwrap();
        assert!(!host.device(&uuid(1), "vfio-dev").exists() && !host.path("sys/class/vfio-dev").exists());
        let driver = std::fs::read_link(host.device(&uuid(1), "driver")).unwrap();
        assert_eq!(driver.file_name().unwrap(), "vfio_mdev");
        assert_eq!(names(&host.path("sys/bus/mdev/drivers")), ["vfio_mdev"]);
        for (parent, id, first, last) in [
            ("mdpy", "mdpy-hd", 10, Errno::ENOMEM),
            ("mbochs", "mbochs-large", 20, Errno::ENOMEM),
            ("0.0.fffe", "vfio_ccw-io", 30, Errno::EPERM),
        ] {
            let full = (first..).find_map(|n| host.create(parent, id, &uuid(n)).err());
            assert_eq!(full, Some(last), "{parent}");
        }
    }
}

#[test]
fn up_to_5_2_a_driver_refuses_to_remove_what_is_in_use() {
    let host = old(&["p40", "gvtg-256"], KernelProfile::UpTo5_2);
    let card = "0000:3b:00.0";
    host.create(card, "nvidia-46", &uuid(1)).unwrap();
    host.create(GVT, "i915-GVTg_V5_8", &uuid(2)).unwrap();
    let control = host.sim.handle();
    for n in [1, 2] {
        control.control(&format!("hold {} vm", uuid(n))).unwrap();
    }
    assert_eq!(host.remove(&uuid(1)), Err(Errno::EPERM));
    assert_eq!(host.remove(&uuid(2)), Err(Errno::EBUSY));
    assert!(host.device(&uuid(1), "mdev_type").exists() && host.device(&uuid(1), "remove").exists());
    for n in [1, 2] {
        control.control(&format!("release {}", uuid(n))).unwrap();
        assert_eq!(host.remove(&uuid(n)), Ok(1));
    }
    assert!(control.devices().is_empty());
}

#[test]
fn later_a_remove_takes_the_files_and_waits() {
    for kernel in [KernelProfile::From5_3, KernelProfile::From6_1] {
        let host = old(&["p40"], kernel);
        host.create("0000:3b:00.0", "nvidia-46", &uuid(1)).unwrap();
        let control = host.sim.handle();
        control.control(&format!("hold {} vm", uuid(1))).unwrap();
        let mut writer = std::process::Command::new("sh")
            .args(["-c", "echo 1 > \"$0\""])
            .arg(host.device(&uuid(1), "remove"))
            .spawn()
            .unwrap();
        soon("the files are gone", || names(&host.device(&uuid(1), "")).is_empty());
        assert!(writer.try_wait().unwrap().is_none());
        control.control(&format!("release {}", uuid(1))).unwrap();
        assert!(writer.wait().unwrap().success());
    }
}

#[test]
fn the_default_is_a_kernel_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::mount_with(&dir.path().join("h"), &["mtty".parse().unwrap()], SimOptions::default()).unwrap();
    assert!(sim.root().join("sys/class/vfio-dev").is_dir());
}
