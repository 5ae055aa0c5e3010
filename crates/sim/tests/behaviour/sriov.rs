//! SR-IOV: a card whose VFs are the parents, mixed sizes, MIG, and cards that are passed through.

use std::fs::read_link;

use mdevkit_sim::Sim;
use nix::errno::Errno;

use crate::common::{Host, host, names, read, store, uuid};

const PF: &str = "0000:08:00.0";

fn order(host: &Host, line: &str) -> Result<usize, Errno> {
    store(&host.path("sim/control"), line.as_bytes())
}

fn pci(host: &Host, address: &str, file: &str) -> String {
    read(&host.path(&format!("sys/bus/pci/devices/{address}/{file}"))).unwrap()
}

fn link(host: &Host, address: &str, file: &str) -> String {
    let path = host.path(&format!("sys/bus/pci/devices/{address}/{file}"));
    read_link(path).unwrap().to_str().unwrap().to_owned()
}

/// Availability of some types on a parent.
fn free<const N: usize>(host: &Host, parent: &str, ids: [u32; N]) -> [u32; N] {
    ids.map(|id| host.available(parent, &format!("nvidia-{id}")))
}

#[test]
fn an_a2_looks_as_it_was_captured() {
    let host = host(&["a2"]);
    let vfs: Vec<String> = (0..4)
        .map(|f| format!("0000:08:00.{}", f + 4))
        .chain((0..8).map(|f| format!("0000:08:01.{f}")))
        .chain((0..4).map(|f| format!("0000:08:02.{f}")))
        .collect();
    assert_eq!(names(&host.path("sys/class/mdev_bus")), vfs);
    for (file, text) in [
        ("vendor", "0x10de\n"),
        ("device", "0x25b6\n"),
        ("subsystem_device", "0x157e\n"),
        ("numa_node", "0\n"),
        ("sriov_totalvfs", "16\n"),
        ("sriov_numvfs", "16\n"),
        ("sriov_offset", "4\n"),
        ("sriov_stride", "1\n"),
        ("sriov_vf_device", "25b6\n"),
        ("driver_override", "(null)\n"),
    ] {
        assert_eq!(pci(&host, PF, file), text, "{file}");
    }
    assert_eq!(link(&host, PF, "iommu_group"), "../../../kernel/iommu_groups/38");
    assert!(
        !host
            .path(&format!("sys/bus/pci/devices/{PF}/mdev_supported_types"))
            .exists()
    );
    for (number, vf) in vfs.iter().enumerate() {
        assert_eq!(link(&host, PF, &format!("virtfn{number}")), format!("../{vf}"));
        assert_eq!(link(&host, vf, "physfn"), format!("../{PF}"));
        assert_eq!(
            link(&host, vf, "iommu_group"),
            format!("../../../kernel/iommu_groups/{}", 90 + number)
        );
        for (file, text) in [
            ("device", "0x25b6\n"),
            ("subsystem_device", "0x0000\n"),
            ("class", "0x030200\n"),
            ("numa_node", "0\n"),
            ("reset_method", "flr\n"),
        ] {
            assert_eq!(pci(&host, vf, file), text, "{vf}/{file}");
        }
        assert_eq!(link(&host, vf, "driver"), "../../../bus/pci/drivers/nvidia");
        let types = names(&host.path(&format!("sys/class/mdev_bus/{vf}/mdev_supported_types")));
        let ids: Vec<_> = (742..=756).map(|id| format!("nvidia-{id}")).collect();
        assert_eq!(types, ids);
    }
    let about = |file| read(&host.type_file(&vfs[3], "nvidia-754", file)).unwrap();
    assert_eq!(about("name"), "NVIDIA A2-4C\n");
    assert_eq!(
        about("description"),
        "num_heads=1, frl_config=60, framebuffer=4096M, max_resolution=4096x2160, max_instance=4\n"
    );

    // C, Q and A of 4 GiB live together; a free VF then offers one more of exactly these.
    for (n, (vf, id)) in [(0, 754), (1, 746), (2, 751)].into_iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        host.create(&vfs[vf], &format!("nvidia-{id}"), &uuid(n)).unwrap();
        let group = read_link(host.device(&uuid(n), "iommu_group")).unwrap();
        assert_eq!(group.file_name().unwrap().to_str().unwrap(), (106 + n).to_string());
    }
    for id in 742..=756 {
        let type_id = format!("nvidia-{id}");
        let expected = u32::from([746, 751, 754].contains(&id));
        assert_eq!(host.available(&vfs[9], &type_id), expected, "{id} on a free VF");
        assert_eq!(host.available(&vfs[0], &type_id), 0, "{id} on a VF that holds a device");
    }
    assert_eq!(host.create(&vfs[0], "nvidia-754", &uuid(9)), Err(Errno::EIO));
    assert_eq!(host.create(&vfs[9], "nvidia-744", &uuid(9)), Err(Errno::EIO));
    host.create(&vfs[9], "nvidia-746", &uuid(9)).unwrap();
    assert_eq!(free(&host, &vfs[10], [744, 746, 751, 754]), [0; 4], "four of four");
    for n in [0, 1, 2, 9] {
        host.remove(&uuid(n)).unwrap();
    }
    assert_eq!(free(&host, &vfs[0], [744, 746, 748, 756]), [1; 4]);
}

#[test]
fn vfs_come_and_go_with_all_that_is_on_them() {
    let host = host(&["a40", "l40s", "mtty"]);
    let [a40, l40s] = ["0000:3b:00.0", "0000:5e:00.0"];
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 32 + 16 + 1);
    host.create("0000:3b:00.4", "nvidia-558", &uuid(1)).unwrap();
    host.create("0000:5e:00.4", "nvidia-1148", &uuid(2)).unwrap();
    // The driver takes no number by itself.
    let numvfs = host.path(&format!("sys/bus/pci/devices/{a40}/sriov_numvfs"));
    for (text, answer) in [
        ("0", Err(Errno::ENOENT)),
        ("33", Err(Errno::ERANGE)),
        ("x", Err(Errno::EINVAL)),
        ("32\n", Ok(3)),
    ] {
        assert_eq!(store(&numvfs, text.as_bytes()), answer, "{text}");
    }
    order(&host, &format!("vfs {a40} off")).unwrap();
    assert_eq!(pci(&host, a40, "sriov_numvfs"), "0\n");
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 16 + 1);
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(2)]);
    let left = names(&host.path("sys/bus/pci/devices"));
    assert_eq!(left.len(), 1 + 17, "{left:?}");
    assert!(
        !names(&host.path(&format!("sys/bus/pci/devices/{a40}")))
            .iter()
            .any(|name| name.starts_with("virtfn"))
    );
    assert_eq!(order(&host, &format!("vfs {a40} 33")), Err(Errno::EINVAL));
    order(&host, &format!("vfs {a40} 4\n")).unwrap();
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 4 + 16 + 1);
    assert_eq!(free(&host, "0000:3b:00.7", [557, 558]), [1, 1]);
    order(&host, &format!("vfs {a40} on")).unwrap();
    order(&host, &format!("vfs {l40s} on")).unwrap();
    assert_eq!(
        names(&host.path("sys/bus/mdev/devices")),
        [uuid(2)],
        "on again is nothing"
    );
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 32 + 16 + 1);
    // As a whole host again, which can be filled.
    for n in 0..24 {
        let vf = format!("0000:3b:{:02x}.{}", (n + 4) / 8, (n + 4) % 8);
        host.create(&vf, "nvidia-558", &uuid(100 + n)).unwrap();
    }
    assert_eq!(free(&host, "0000:3b:04.0", [558, 556, 557]), [0; 3]);
    assert_eq!(order(&host, "vfs mtty on"), Err(Errno::EINVAL));
}

#[test]
fn mixed_sizes_have_places() {
    let host = host(&["l4"]);
    let card = "0000:3b:00.0";
    let vf = |n: u32| format!("0000:3b:{:02x}.{}", (n + 4) / 8, (n + 4) % 8);
    let place = |n| read(&host.device(&uuid(n), "nvidia/placement_id")).unwrap();
    host.create(&vf(0), "nvidia-913", &uuid(0)).unwrap();
    assert_eq!(place(0), "Not Applicable\n");
    assert_eq!(
        store(&host.device(&uuid(0), "nvidia/placement_id"), b"0\n"),
        Err(Errno::EPERM)
    );
    assert_eq!(order(&host, &format!("mixed {card} on")), Err(Errno::EINVAL), "in use");
    host.remove(&uuid(0)).unwrap();
    order(&host, &format!("mixed {card} on")).unwrap();
    // 911 2Q, 913 4Q, 915 8Q, 916 12Q, 917 24Q: every one fits an empty card, several sizes on it.
    assert_eq!(free(&host, &vf(0), [911, 913, 915, 916, 917]), [1; 5]);
    for (n, id, at) in [(0, 913, "0\n"), (1, 915, "16\n"), (2, 913, "8\n"), (3, 911, "4\n")] {
        host.create(&vf(n), &format!("nvidia-{id}"), &uuid(n)).unwrap();
        assert_eq!(place(n), at, "{id}");
    }
    assert_eq!(free(&host, &vf(4), [911, 913, 915, 916, 917]), [1, 1, 0, 0, 0]);
    assert_eq!(host.create(&vf(4), "nvidia-916", &uuid(4)), Err(Errno::EIO));
    // The 4Q at 8 moves to 12 and not elsewhere, and nowhere while a VM has it.
    let file = host.device(&uuid(2), "nvidia/placement_id");
    for (text, answer) in [
        ("20", Err(Errno::EIO)),
        ("1", Err(Errno::EIO)),
        ("x", Err(Errno::EINVAL)),
        ("12\n", Ok(3)),
    ] {
        assert_eq!(store(&file, text.as_bytes()), answer, "{text}");
    }
    assert_eq!(place(2), "12\n");
    order(&host, &format!("hold {} vm", uuid(2))).unwrap();
    assert_eq!(store(&file, b"8"), Err(Errno::EPERM));
    order(&host, &format!("release {}", uuid(2))).unwrap();
    let seen: Vec<_> = host.sim.handle().devices().iter().map(|d| d.placement_id).collect();
    assert_eq!(seen, [Some(0), Some(16), Some(12), Some(4)]);
    for n in 0..4 {
        host.remove(&uuid(n)).unwrap();
    }
    // sriov-manage clears the mode.
    order(&host, &format!("vfs {card} off\nvfs {card} on\n")).unwrap();
    host.create(&vf(0), "nvidia-913", &uuid(0)).unwrap();
    assert_eq!(free(&host, &vf(1), [911, 913, 915]), [0, 1, 0]);
    assert_eq!(order(&host, "mixed 0000:00:00.0 on"), Err(Errno::EINVAL));
}

#[test]
fn mig_types_need_an_instance() {
    let host = host(&["a100"]);
    let card = "0000:3b:00.0";
    let [one, two, three] = ["0000:3b:00.4", "0000:3b:00.5", "0000:3b:00.6"];
    // 468 4C, 473 40C; with MIG 474 1-5C, 475 2-10C, 476 3-20C, 706 1-5CME.
    let ids = [468, 473, 474, 475, 476, 706];
    assert_eq!(free(&host, one, ids), [1, 1, 0, 0, 0, 0]);
    assert_eq!(
        order(&host, &format!("mig-create {card} 1g.5gb")),
        Err(Errno::EINVAL),
        "not in MIG mode"
    );
    order(&host, &format!("mig {card} on")).unwrap();
    assert_eq!(free(&host, one, ids), [0; 6], "no instance yet");
    order(
        &host,
        &format!("mig-create {card} 1g.5gb\nmig-create {card} 2g.10gb\nmig-create {card} 1g.5gb\n"),
    )
    .unwrap();
    assert_eq!(free(&host, one, ids), [0, 0, 1, 1, 0, 0]);
    host.create(one, "nvidia-474", &uuid(1)).unwrap();
    host.create(two, "nvidia-474", &uuid(2)).unwrap();
    assert_eq!(free(&host, three, ids), [0, 0, 0, 1, 0, 0], "both 1g.5gb are taken");
    assert_eq!(read(&host.device(&uuid(2), "nvidia/gpu_instance_id")).unwrap(), "3\n");
    assert_eq!(host.create(three, "nvidia-468", &uuid(3)), Err(Errno::EIO));
    assert_eq!(
        order(&host, &format!("mig-destroy {card} 3")),
        Err(Errno::EINVAL),
        "in use"
    );
    assert_eq!(order(&host, &format!("mig {card} off")), Err(Errno::EINVAL), "in use");
    assert_eq!(
        order(&host, &format!("mixed {card} on")),
        Err(Errno::EINVAL),
        "not with MIG"
    );
    order(&host, &format!("mig-destroy {card} 2")).unwrap();
    assert_eq!(free(&host, three, ids), [0; 6]);
    // The instances go with the VFs, the mode stays.
    order(
        &host,
        &format!("vfs {card} off\nvfs {card} on\nmig-create {card} 3g.20gb"),
    )
    .unwrap();
    assert_eq!(free(&host, one, ids), [0, 0, 0, 0, 1, 0]);
    order(&host, &format!("mig {card} off")).unwrap();
    assert_eq!(free(&host, one, ids), [1, 1, 0, 0, 0, 0]);
}

#[test]
fn an_h100_is_a_card_without_types() {
    let host = host(&["h100"]);
    assert!(names(&host.path("sys/class/mdev_bus")).is_empty());
    assert_eq!(pci(&host, "0000:3b:00.0", "sriov_numvfs"), "32\n");
    assert_eq!(link(&host, "0000:3b:00.4", "physfn"), "../0000:3b:00.0");
}

#[test]
fn a_card_that_is_passed_through_is_no_parent() {
    let host = host(&["p40:2", "a2"]);
    let [one, other] = ["0000:3b:00.0", "0000:5e:00.0"];
    host.create(one, "nvidia-46", &uuid(1)).unwrap();
    order(&host, &format!("hold {} vm", uuid(1))).unwrap();
    assert_eq!(
        order(&host, &format!("bind {one} vfio-pci")),
        Err(Errno::EINVAL),
        "held"
    );
    order(&host, &format!("release {}\nbind {one} vfio-pci\n", uuid(1))).unwrap();
    assert!(names(&host.path("sys/bus/mdev/devices")).is_empty());
    assert!(!host.path(&format!("sys/class/mdev_bus/{one}")).is_symlink());
    assert_eq!(link(&host, one, "driver"), "../../../bus/pci/drivers/vfio-pci");
    assert_eq!(pci(&host, one, "driver_override"), "vfio-pci\n");
    assert!(pci(&host, one, "uevent").starts_with("DRIVER=vfio-pci\n"));
    let group = link(&host, one, "iommu_group").rsplit('/').next().unwrap().to_owned();
    assert!(host.path(&format!("dev/vfio/{group}")).exists());
    assert_eq!(names(&host.path("sys/bus/pci/drivers/vfio-pci")), [one]);
    assert_eq!(free(&host, other, [46, 53]), [24, 1]);
    order(&host, &format!("bind {one} nvidia")).unwrap();
    assert!(!host.path(&format!("dev/vfio/{group}")).exists());
    assert_eq!(free(&host, one, [46, 53]), [24, 1]);
    host.create(one, "nvidia-46", &uuid(1)).unwrap();
    // Nobody's; a driver that cannot have it.
    order(&host, &format!("bind {other} -")).unwrap();
    assert!(!host.path(&format!("sys/bus/pci/devices/{other}/driver")).is_symlink());
    assert_eq!(order(&host, &format!("bind {other} mtty")), Err(Errno::EINVAL));
    // One VF, then the whole card with all of them.
    order(&host, "bind 0000:08:00.4 vfio-pci").unwrap();
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 1 + 15);
    order(&host, &format!("bind {PF} vfio-pci")).unwrap();
    assert_eq!(names(&host.path("sys/class/mdev_bus")), [one]);
    assert_eq!(order(&host, &format!("vfs {PF} on")), Err(Errno::EINVAL));
    order(&host, &format!("bind {PF} nvidia\nvfs {PF} on")).unwrap();
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 1 + 16);
}

#[test]
fn a_host_has_nodes_and_its_cards_are_on_them() {
    let host = host(&["p40:4", "k2"]);
    let node = |file: &str| read(&host.path(&format!("sys/devices/system/node/{file}"))).unwrap();
    assert_eq!(node("online"), "0-1\n");
    assert_eq!(
        (node("node0/cpulist"), node("node1/cpulist")),
        ("0-15,32-47\n".to_owned(), "16-31,48-63\n".to_owned())
    );
    for (address, numa) in [
        ("0000:5e:00.0", "0\n"),
        ("0000:af:00.0", "1\n"),
        ("0000:04:00.0", "0\n"),
    ] {
        assert_eq!(pci(&host, address, "numa_node"), numa, "{address}");
        assert_eq!(
            pci(&host, address, "local_cpulist"),
            node(&format!("node{}/cpulist", numa.trim()))
        );
    }
    let alone = crate::common::host(&["mtty"]);
    assert_eq!(
        read(&alone.path("sys/devices/system/node/node0/cpulist")).unwrap(),
        "0-3\n"
    );
}

#[test]
fn every_board_can_be_mounted_and_says_the_truth_about_each_type() {
    for board in Sim::known_boards() {
        let host = host(&[&board.name]);
        for parent in names(&host.path("sys/class/mdev_bus")).into_iter().take(2) {
            let types = names(&host.path(&format!("sys/class/mdev_bus/{parent}/mdev_supported_types")));
            for type_id in &types {
                let at = format!("{} {parent} {type_id}", board.name);
                let name = read(&host.type_file(&parent, type_id, "name")).unwrap();
                assert!(name.len() < 64, "{at}");
                let free = host.available(&parent, type_id);
                let answer = host.create(&parent, type_id, &uuid(1));
                assert_eq!(answer.is_ok(), free > 0, "{at}: {free} {answer:?}");
                if answer.is_ok() {
                    host.remove(&uuid(1)).unwrap();
                    assert_eq!(host.available(&parent, type_id), free, "{at}");
                }
            }
        }
    }
}
