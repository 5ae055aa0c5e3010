//! The readers against plain trees: what a kernel shows, and what no kernel shows.
#![expect(clippy::unwrap_used, reason = "a helper that cannot make its tree is a failed test")]

mod tree;

use mdevkit_sysfs::mdev::{Bus, Device, Readiness};
use mdevkit_sysfs::{Root, SysfsError, attr, in_use};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::fs::{File, create_dir_all};
use tempfile::TempDir;
use tree::{link, put};

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT_DIR: &str = "sys/devices/virtual/mtty/mtty";
const TYPE_DIR: &str = "sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2";

/// mtty as kernel 6.12 shows it, with one device, in group 0.
fn mtty() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    link(at, "sys/class/mdev_bus/mtty", "../../devices/virtual/mtty/mtty");
    for (id, name, available) in [
        ("mtty-1", "Single port serial", "22"),
        ("mtty-2", "Dual port serial", "11"),
    ] {
        let types = format!("{PARENT_DIR}/mdev_supported_types/{id}");
        put(at, &format!("{types}/name"), format!("{name}\n").as_bytes());
        put(
            at,
            &format!("{types}/available_instances"),
            format!("{available}\n").as_bytes(),
        );
        put(at, &format!("{types}/device_api"), b"vfio-pci\n");
    }
    link(
        at,
        &format!("sys/bus/mdev/devices/{UUID}"),
        &format!("../../../devices/virtual/mtty/mtty/{UUID}"),
    );
    link(
        at,
        &format!("{PARENT_DIR}/{UUID}/mdev_type"),
        "../mdev_supported_types/mtty-2",
    );
    link(
        at,
        &format!("{PARENT_DIR}/{UUID}/iommu_group"),
        "../../../../../kernel/iommu_groups/0",
    );
    put(at, "dev/vfio/0", b"");
    dir
}

#[test]
fn a_host_is_read_as_the_kernel_shows_it() {
    let dir = mtty();
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    let parents = bus.parents().unwrap();
    assert_eq!(
        parents.iter().map(|parent| parent.as_str()).collect::<Vec<_>>(),
        ["mtty"]
    );
    let mtty = &parents[0];
    let types = bus.type_ids(mtty).unwrap();
    assert_eq!(
        types.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        ["mtty-1", "mtty-2"]
    );
    assert_eq!(
        bus.type_name(mtty, &types[1]).unwrap().unwrap().as_str(),
        "Dual port serial"
    );
    assert_eq!(bus.device_api(mtty, &types[1]).unwrap().unwrap().as_str(), "vfio-pci");
    assert_eq!(bus.description(mtty, &types[1]).unwrap(), None);
    assert_eq!(bus.available(mtty, &types[1]).unwrap(), Some(11));
    assert_eq!(bus.numa_node(mtty).unwrap(), None);
    assert_eq!(bus.physical_function(mtty).unwrap(), None);

    let uuid = UUID.parse().unwrap();
    assert_eq!(bus.devices().unwrap(), [uuid]);
    let device = Device {
        uuid,
        parent: mtty.clone(),
        type_id: Some(types[1].clone()),
    };
    assert_eq!(bus.device(uuid).unwrap(), Some(device));
    assert_eq!(bus.readiness(uuid).unwrap(), Readiness::Ready { group: 0 });
    assert_eq!(bus.vm_name(uuid).unwrap(), None);
    assert_eq!(bus.params(uuid).unwrap(), None);
    assert!(bus.odd_names().unwrap().is_empty());
}

#[test]
fn a_host_without_mdev_offers_nothing_and_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for empty in [false, true] {
        if empty {
            create_dir_all(dir.path().join("sys/class/mdev_bus")).unwrap();
            create_dir_all(dir.path().join("sys/bus/mdev/devices")).unwrap();
        }
        let root = Root::at(dir.path());
        let bus = Bus::new(&root);
        let (parent, type_id, uuid) = (
            "mtty".parse().unwrap(),
            "mtty-2".parse().unwrap(),
            UUID.parse().unwrap(),
        );
        assert!(bus.parents().unwrap().is_empty() && bus.devices().unwrap().is_empty());
        assert!(bus.type_ids(&parent).unwrap().is_empty());
        assert_eq!(bus.available(&parent, &type_id).unwrap(), None);
        assert_eq!(bus.device(uuid).unwrap(), None);
        assert_eq!(bus.readiness(uuid).unwrap(), Readiness::NoDevice);
        assert_eq!(in_use::look(&root, uuid), in_use::InUse::Unknown);
    }
}

#[test]
fn entries_that_are_no_names_hide_nothing_and_can_be_found() {
    let dir = mtty();
    link(
        dir.path(),
        "sys/class/mdev_bus/two words",
        "../../devices/virtual/two words",
    );
    for name in [
        UUID.to_uppercase(),
        format!("{{{UUID}}}"),
        UUID.replace('-', ""),
        "x".into(),
    ] {
        link(
            dir.path(),
            &format!("sys/bus/mdev/devices/{name}"),
            "../../../devices/x",
        );
    }
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    assert_eq!((bus.parents().unwrap().len(), bus.devices().unwrap().len()), (1, 1));
    assert_eq!(bus.odd_names().unwrap().len(), 5);
}

#[test]
fn a_device_is_ready_step_by_step() {
    let dir = mtty();
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    let uuid = UUID.parse().unwrap();
    let remove = |file: &str| std::fs::remove_file(dir.path().join(file)).unwrap();
    remove("dev/vfio/0");
    assert_eq!(
        bus.readiness(uuid).unwrap(),
        Readiness::NoNode(dir.path().join("dev/vfio/0"))
    );
    remove(&format!("{PARENT_DIR}/{UUID}/iommu_group"));
    assert_eq!(bus.readiness(uuid).unwrap(), Readiness::NoGroup);
    remove(&format!("{PARENT_DIR}/{UUID}/mdev_type"));
    assert_eq!(bus.readiness(uuid).unwrap(), Readiness::NoType);
    assert_eq!(
        bus.device(uuid).unwrap().unwrap().type_id,
        None,
        "half there: being created or removed"
    );
    // A removal that waits for a guest: the directory is gone, the bus still lists the device.
    std::fs::remove_dir(dir.path().join(format!("{PARENT_DIR}/{UUID}"))).unwrap();
    assert_eq!(bus.readiness(uuid).unwrap(), Readiness::NoType);
    remove(&format!("sys/bus/mdev/devices/{UUID}"));
    assert_eq!(bus.readiness(uuid).unwrap(), Readiness::NoDevice);
}

#[test]
fn a_count_is_decimal_digits_or_an_error_that_names_the_file() {
    for (bytes, expected) in [
        (b"12\n".as_slice(), Ok(12)),
        (b"0", Ok(0)),
        (b"65536\n", Ok(65_536)),
        (b"4294967295\n", Ok(u32::MAX)),
        (b"4294967296\n", Err("says \"4294967296\", expected a count")),
        (b"", Err("says \"\", expected a count")),
        (b"\n", Err("says \"\", expected a count")),
        (b"-1\n", Err("says \"-1\", expected a count")),
        (b"+1\n", Err("says \"+1\", expected a count")),
        (b" 1\n", Err("says \" 1\", expected a count")),
        (b"0x10\n", Err("says \"0x10\", expected a count")),
        (b"1\n2\n", Err(r#"says "1\n2", expected a count"#)),
        (b"many\x1b[31m\n", Err(r#"says "many\u{1b}[31m", expected a count"#)),
        (b"\xff\xfe\n", Err("is not text (UTF-8)")),
        (&[b'1'; 5000], Err("says more than 4095 bytes")),
    ] {
        let dir = mtty();
        put(dir.path(), &format!("{TYPE_DIR}/available_instances"), bytes);
        let root = Root::at(dir.path());
        let read = Bus::new(&root).available(&"mtty".parse().unwrap(), &"mtty-2".parse().unwrap());
        match (read, expected) {
            (Ok(count), Ok(expected)) => assert_eq!(count, Some(expected)),
            (Err(error), Err(expected)) => {
                let message = error.to_string();
                assert!(message.contains(expected) && message.contains(TYPE_DIR), "{message}");
                assert!(!message.contains('\n') && message.len() < 400, "{message}");
            }
            (read, expected) => panic!("{bytes:?}: {read:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn words_are_optional_but_never_wrong() {
    let dir = mtty();
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    let (parent, type_id) = ("mtty".parse().unwrap(), "mtty-2".parse().unwrap());
    put(dir.path(), &format!("{TYPE_DIR}/name"), b"  GRID V100DX-1Q \n");
    assert_eq!(
        bus.type_name(&parent, &type_id).unwrap().unwrap().as_str(),
        "GRID V100DX-1Q"
    );
    put(dir.path(), &format!("{TYPE_DIR}/name"), b"\n");
    assert_eq!(bus.type_name(&parent, &type_id).unwrap(), None);
    std::fs::remove_file(dir.path().join(TYPE_DIR).join("name")).unwrap();
    assert_eq!(
        bus.type_name(&parent, &type_id).unwrap(),
        None,
        "GVT-g before 6.1 has no name"
    );
    put(dir.path(), &format!("{TYPE_DIR}/name"), b"two\nlines\n");
    assert!(matches!(
        bus.type_name(&parent, &type_id),
        Err(SysfsError::Value { .. })
    ));
    put(dir.path(), &format!("{TYPE_DIR}/device_api"), b"vfio-toaster\n");
    assert!(
        bus.device_api(&parent, &type_id)
            .unwrap_err()
            .to_string()
            .contains("vfio-toaster")
    );
    put(
        dir.path(),
        &format!("{TYPE_DIR}/description"),
        b"num_heads=4, framebuffer=1024M, max_instance=32\n",
    );
    assert_eq!(
        bus.description(&parent, &type_id).unwrap().unwrap().max_instances,
        Some(32)
    );
    for (text, expected) in [("1\n", Some(1)), ("-1\n", None)] {
        put(dir.path(), &format!("{PARENT_DIR}/numa_node"), text.as_bytes());
        assert_eq!(bus.numa_node(&parent).unwrap(), expected, "{text}");
    }
    put(dir.path(), &format!("{PARENT_DIR}/{UUID}/nvidia/vm_name"), b"\n");
    assert_eq!(bus.vm_name(UUID.parse().unwrap()).unwrap(), None, "idle");
    put(
        dir.path(),
        &format!("{PARENT_DIR}/{UUID}/nvidia/vm_name"),
        b"win10test,debug-threads=on\n",
    );
    let by = in_use::look(&root, UUID.parse().unwrap());
    assert_eq!(
        by,
        in_use::InUse::Yes {
            by: "guest win10test".into()
        }
    );
}

#[test]
fn attributes_are_files() {
    let dir = tempfile::tempdir().unwrap();
    create_dir_all(dir.path().join("directory")).unwrap();
    link(dir.path(), "loop", "loop");
    link(dir.path(), "elsewhere", "/etc/passwd");
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (file, expected) in [
        ("directory", "Is a directory"),
        ("loop", "Too many levels"),
        ("elsewhere", "Too many levels"),
    ] {
        let message = attr::read_text(&dir.path().join(file)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(file), "{message}");
    }
    assert_eq!(
        attr::read_text(&dir.path().join("pipe")).unwrap().as_deref(),
        Some(""),
        "a pipe does not stop us"
    );
    assert_eq!(attr::read_text(&dir.path().join("missing")).unwrap(), None);
    let missing = attr::write_once(&dir.path().join("missing"), b"1").unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(!dir.path().join("missing").exists(), "a write never makes a file");
}

#[test]
fn links_lead_into_sysfs_or_are_errors() {
    let uuid = UUID.parse().unwrap();
    for target in [
        "/sys/devices/virtual/mtty/mtty",
        "../../../etc",
        "../../../../../../../etc",
        "/",
    ] {
        let dir = mtty();
        std::fs::remove_file(dir.path().join("sys/class/mdev_bus/mtty")).unwrap();
        link(dir.path(), "sys/class/mdev_bus/mtty", target);
        let root = Root::at(dir.path());
        let error = Bus::new(&root).type_ids(&"mtty".parse().unwrap()).unwrap_err();
        assert!(matches!(error, SysfsError::Target { .. }), "{target}: {error}");
    }
    for (link_name, target) in [
        ("mdev_type", "../mdev_supported_types/.."),
        ("mdev_type", "a b"),
        ("iommu_group", "x/-1"),
    ] {
        let dir = mtty();
        let name = format!("{PARENT_DIR}/{UUID}/{link_name}");
        std::fs::remove_file(dir.path().join(&name)).unwrap();
        link(dir.path(), &name, target);
        let root = Root::at(dir.path());
        let error = Bus::new(&root).readiness(uuid).unwrap_err();
        assert!(error.path().ends_with(link_name), "{target}: {error}");
    }
}

#[test]
fn a_holder_is_found_without_opening_and_none_is_never_no() {
    let dir = mtty();
    let root = Root::at(dir.path());
    let uuid = UUID.parse().unwrap();
    assert_eq!(in_use::look(&root, uuid), in_use::InUse::Unknown);
    let held = File::open(dir.path().join("dev/vfio/0")).unwrap();
    match in_use::look(&root, uuid) {
        in_use::InUse::Yes { by } => assert!(by.contains(&std::process::id().to_string()), "{by}"),
        other => panic!("this process holds the node: {other:?}"),
    }
    drop(held);
    assert_eq!(in_use::look(&root, uuid), in_use::InUse::Unknown);
}

#[test]
fn without_a_group_nobody_holds_it() {
    let dir = mtty();
    let root = Root::at(dir.path());
    assert_eq!(in_use::test_by_opening(&root, 0).unwrap(), in_use::InUse::No);
    assert_eq!(in_use::test_by_opening(&root, 99).unwrap(), in_use::InUse::No);
    create_dir_all(dir.path().join("dev/vfio/7")).unwrap();
    let error = in_use::test_by_opening(&root, 7).unwrap_err().to_string();
    assert!(error.contains("dev/vfio/7"), "{error}");
}

#[test]
fn a_parent_that_goes_away_is_gone_for_who_knew_it() {
    let dir = mtty();
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    let (parent, type_id) = ("mtty".parse().unwrap(), "mtty-2".parse().unwrap());
    assert_eq!(bus.available(&parent, &type_id).unwrap(), Some(11));
    std::fs::remove_file(dir.path().join("sys/class/mdev_bus/mtty")).unwrap();
    std::fs::remove_dir_all(dir.path().join(PARENT_DIR)).unwrap();
    assert!(bus.parents().unwrap().is_empty());
    assert!(bus.type_ids(&parent).unwrap().is_empty());
    assert_eq!(bus.available(&parent, &type_id).unwrap(), None);
    assert_eq!(bus.numa_node(&parent).unwrap(), None);
    let error = bus.create(&parent, &type_id, UUID.parse().unwrap()).unwrap_err();
    assert!(error.is_lost_race(), "{error}");
}

#[test]
fn where_a_vgpu_is_may_not_be_known() {
    let uuid = UUID.parse().unwrap();
    for (text, expected) in [
        (None, Ok(None)),
        (Some("0\n"), Ok(Some(0))),
        (Some("46\n"), Ok(Some(46))),
        (Some("Not Applicable\n"), Ok(None)),
        (Some("not applicable"), Ok(None)),
        (Some("N/A\n"), Ok(None)),
        (Some("\n"), Ok(None)),
        (Some("-1\n"), Err("says \"-1\"")),
        (Some("somewhere\n"), Err("says \"somewhere\"")),
    ] {
        let dir = mtty();
        for file in ["placement_id", "gpu_instance_id"] {
            if let Some(text) = text {
                put(
                    dir.path(),
                    &format!("{PARENT_DIR}/{UUID}/nvidia/{file}"),
                    text.as_bytes(),
                );
            }
            let root = Root::at(dir.path());
            let bus = Bus::new(&root);
            let read = match file {
                "placement_id" => bus.placement_id(uuid),
                _ => bus.gpu_instance_id(uuid),
            };
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{text:?}"),
                (Err(error), Err(says)) => {
                    assert!(error.path().ends_with(format!("{UUID}/nvidia/{file}")), "{error}");
                    assert!(error.to_string().contains(says), "{error}");
                }
                (read, _) => panic!("{text:?}: {read:?}"),
            }
        }
    }
    let dir = mtty();
    let root = Root::at(dir.path());
    let bus = Bus::new(&root);
    let nvidia = format!("{PARENT_DIR}/{UUID}/nvidia");
    put(dir.path(), &format!("{nvidia}/gpu_instance_id"), b"4294967295\n");
    assert_eq!(bus.gpu_instance_id(uuid).unwrap(), None, "NVML's word for none");
    put(dir.path(), &format!("{nvidia}/placement_id"), b"65535\n");
    assert_eq!(bus.placement_id(uuid).unwrap(), None, "NVML's word for none");
    std::fs::remove_file(dir.path().join(&nvidia).join("placement_id")).unwrap();
    // What else answers ENXIO when it is opened: a socket.
    let socket = dir.path().join(nvidia).join("placement_id");
    mknod(&socket, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).unwrap();
    let answer = File::open(&socket).unwrap_err().raw_os_error();
    assert_eq!(answer, Some(nix::errno::Errno::ENXIO as i32));
    assert_eq!(bus.placement_id(uuid).unwrap(), None, "no vGPU yet");
    let other = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002".parse().unwrap();
    assert_eq!(bus.placement_id(other).unwrap(), None, "no such device");
}
