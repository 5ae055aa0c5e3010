//! PCI functions, names, frameworks and NUMA nodes against plain trees: what a kernel shows, and what no kernel shows.
#![expect(clippy::unwrap_used, reason = "a helper that cannot make its tree is a failed test")]

mod a2;
mod tree;

use a2::{BRIDGE, CARD, FIRST_VF};
use mdevkit_core::{Bdf, ParentName};
use mdevkit_sysfs::mdev::Bus;
use mdevkit_sysfs::pci::{Class, Pci, Sriov};
use mdevkit_sysfs::topology::Topology;
use mdevkit_sysfs::{Root, SysfsError, framework};
use std::fs::{create_dir_all, remove_dir_all, remove_file};
use tree::{link, put};

fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

fn texts(list: &[Bdf]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn a_card_and_its_virtual_functions_are_read_as_the_kernel_shows_them() {
    let dir = a2::host();
    let root = Root::at(dir.path());
    let pci = Pci::new(&root);
    let found = pci.functions().unwrap();
    assert_eq!(
        texts(&found.display),
        ["0000:03:00.0", CARD],
        "no virtual function, no bridge, no network card"
    );
    assert_eq!(texts(&found.with_virtual), ["0000:01:00.0", CARD], "of any class");
    assert!(found.unreadable.is_empty());

    let card = bdf(CARD);
    assert_eq!(pci.ids(card).unwrap().unwrap().to_string(), "10de:25b6");
    assert_eq!(pci.subsystem_ids(card).unwrap().unwrap().to_string(), "10de:157e");
    assert_eq!(pci.class(card).unwrap(), Some(Class::new(0x030200)));
    assert_eq!(pci.numa_node(card).unwrap(), Some(0));
    assert_eq!(pci.driver(card).unwrap().as_deref(), Some("nvidia"));
    assert_eq!(pci.iommu_group(card).unwrap(), Some(38));
    assert_eq!(pci.sriov(card).unwrap(), Some(Sriov { total: 16, enabled: 16 }));
    assert_eq!(pci.physical_function(card).unwrap(), None);
    assert!(!pci.boot_vga(card).unwrap());

    let functions = pci.virtual_functions(card).unwrap();
    let expected: Vec<String> = (0..16).map(a2::vf).collect();
    assert_eq!(
        texts(&functions.into_values().collect::<Vec<_>>()),
        expected,
        "virtfn2 before virtfn10"
    );
    let vf = bdf(FIRST_VF);
    assert_eq!(pci.physical_function(vf).unwrap(), Some(card));
    assert_eq!(pci.sriov(vf).unwrap(), None);
    assert!(pci.virtual_functions(vf).unwrap().is_empty());
    assert_eq!(pci.subsystem_ids(vf).unwrap().unwrap().to_string(), "10de:0000");
    assert_eq!(pci.iommu_group(vf).unwrap(), Some(90));

    let console = bdf("0000:03:00.0");
    assert!(pci.boot_vga(console).unwrap());
    assert_eq!(pci.numa_node(console).unwrap(), None, "the kernel says -1");
    assert_eq!(pci.driver(console).unwrap(), None);
    assert_eq!(pci.iommu_group(console).unwrap(), None);
}

#[test]
fn what_is_not_there_is_none_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::at(dir.path());
    let pci = Pci::new(&root);
    let card = bdf(CARD);
    assert!(pci.functions().unwrap().display.is_empty());
    assert!(!pci.exists(card).unwrap());
    assert_eq!(pci.ids(card).unwrap(), None);
    assert_eq!(pci.class(card).unwrap(), None);
    assert_eq!(pci.sriov(card).unwrap(), None);
    assert_eq!(pci.driver(card).unwrap(), None);
    assert!(pci.virtual_functions(card).unwrap().is_empty());
    assert!(!pci.boot_vga(card).unwrap());
    assert_eq!(framework::presence(&pci, card).unwrap(), None);
    assert_eq!(Topology::read(&root).unwrap(), Topology::default());
}

#[test]
fn a_function_that_goes_away_is_gone_for_who_knew_it() {
    let dir = a2::host();
    let root = Root::at(dir.path());
    let (pci, bus) = (Pci::new(&root), Bus::new(&root));
    let (vf, parent): (Bdf, ParentName) = (bdf(FIRST_VF), FIRST_VF.parse().unwrap());
    assert!(pci.ids(vf).unwrap().is_some() && bus.pgpu_of(&parent).unwrap().is_some());
    remove_file(dir.path().join(format!("sys/bus/pci/devices/{FIRST_VF}"))).unwrap();
    remove_file(dir.path().join(format!("sys/class/mdev_bus/{FIRST_VF}"))).unwrap();
    remove_dir_all(dir.path().join(format!("{BRIDGE}/{FIRST_VF}"))).unwrap();
    assert_eq!(pci.ids(vf).unwrap(), None);
    assert_eq!(pci.physical_function(vf).unwrap(), None);
    assert_eq!(framework::presence(&pci, vf).unwrap(), None);
    assert_eq!(
        bus.pgpu_of(&parent).unwrap(),
        None,
        "a virtual function that went away is no GPU of its own"
    );
}

#[test]
fn a_parent_belongs_to_one_physical_gpu() {
    let dir = a2::host();
    let at = dir.path();
    link(at, "sys/class/mdev_bus/mtty", "../../devices/virtual/mtty/mtty");
    create_dir_all(at.join("sys/devices/virtual/mtty/mtty")).unwrap();
    link(
        at,
        "sys/class/mdev_bus/0000:03:00.0",
        "../../devices/pci0000:00/0000:03:00.0",
    );
    let root = Root::at(at);
    let bus = Bus::new(&root);
    let last = a2::vf(15);
    for (parent, pgpu) in [
        (FIRST_VF, Some(CARD)),
        (last.as_str(), Some(CARD)),
        ("0000:03:00.0", Some("0000:03:00.0")),
        ("mtty", Some("mtty")),
        ("matrix", None),
        ("0000:99:00.0", None),
    ] {
        let found = bus.pgpu_of(&parent.parse().unwrap()).unwrap();
        assert_eq!(found.as_ref().map(|pgpu| pgpu.as_str()), pgpu, "{parent}");
    }
}

#[test]
fn a_number_is_as_the_kernel_prints_it_or_an_error_that_names_the_file() {
    let card = bdf(CARD);
    for (file, text, says) in [
        ("vendor", "10de\n", "says \"10de\", expected an id like 0x10de"),
        ("vendor", "0x10d\n", "says \"0x10d\""),
        ("vendor", "0x10de0\n", "says \"0x10de0\""),
        ("vendor", "0x+0de\n", "says \"0x+0de\""),
        ("device", "\n", "says \"\""),
        ("class", "0x0302\n", "says \"0x0302\", expected a class like 0x030200"),
        ("numa_node", "-2\n", "says \"-2\", expected a NUMA node or -1"),
        ("sriov_totalvfs", "many\n", "says \"many\", expected a count"),
        ("sriov_numvfs", "-1\n", "says \"-1\", expected a count"),
        ("boot_vga", "yes\x1b[31m\n", r#"says "yes\u{1b}[31m", expected 0 or 1"#),
        ("boot_vga", "2\n", "says \"2\", expected 0 or 1"),
    ] {
        let dir = a2::host();
        put(dir.path(), &format!("{BRIDGE}/{CARD}/{file}"), text.as_bytes());
        let root = Root::at(dir.path());
        let pci = Pci::new(&root);
        let error = match file {
            "vendor" | "device" => pci.ids(card).unwrap_err(),
            "class" => pci.class(card).unwrap_err(),
            "numa_node" => pci.numa_node(card).unwrap_err(),
            "boot_vga" => pci.boot_vga(card).unwrap_err(),
            _ => pci.sriov(card).unwrap_err(),
        };
        assert!(error.path().ends_with(format!("{BRIDGE}/{CARD}/{file}")), "{error}");
        let message = error.to_string();
        assert!(message.contains(says) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_link_leads_where_the_kernels_do_or_is_an_error() {
    for (name, target) in [
        ("driver", "../../bus/pci/drivers/two\nlines"),
        ("driver", ".."),
        ("iommu_group", "../../kernel/iommu_groups/-1"),
        ("iommu_group", "../../kernel/iommu_groups/4294967296"),
        ("physfn", "../mtty"),
        ("physfn", "../0000:08:20.0"),
        ("virtfn3", "../0000:08"),
    ] {
        let dir = a2::host();
        let path = dir.path().join(format!("{BRIDGE}/{CARD}/{name}"));
        _ = remove_file(&path);
        link(dir.path(), &format!("{BRIDGE}/{CARD}/{name}"), target);
        let root = Root::at(dir.path());
        let pci = Pci::new(&root);
        let error = match name {
            "driver" => pci.driver(bdf(CARD)).unwrap_err(),
            "iommu_group" => pci.iommu_group(bdf(CARD)).unwrap_err(),
            "physfn" => pci.physical_function(bdf(CARD)).unwrap_err(),
            _ => pci.virtual_functions(bdf(CARD)).unwrap_err(),
        };
        assert!(matches!(error, SysfsError::Target { .. }), "{error}");
        assert_eq!(error.path(), path, "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn one_odd_function_hides_no_other() {
    let dir = a2::host();
    let at = dir.path();
    put(at, "sys/devices/pci0000:00/0000:03:00.0/class", b"a screen\n");
    link(
        at,
        "sys/bus/pci/devices/0000:66:00.0",
        "/sys/devices/pci0000:00/0000:66:00.0",
    );
    for name in ["0000:08:00.9", "0000:AB:00.0", "card", "0000:08:00.0 "] {
        link(
            at,
            &format!("sys/bus/pci/devices/{name}"),
            "../../../devices/pci0000:00/x",
        );
    }
    let root = Root::at(at);
    let found = Pci::new(&root).functions().unwrap();
    assert_eq!(texts(&found.display), [CARD]);
    let paths: Vec<_> = found.unreadable.iter().map(SysfsError::path).collect();
    assert_eq!(
        paths,
        [
            at.join("sys/devices/pci0000:00/0000:03:00.0/class"),
            at.join("sys/bus/pci/devices/0000:66:00.0")
        ]
    );
}

#[test]
fn virtual_functions_are_those_with_a_number() {
    let dir = a2::host();
    for name in ["virtfn", "virtfn+1", "virtfnx", "virtfn99999999999"] {
        link(dir.path(), &format!("{BRIDGE}/{CARD}/{name}"), "../0000:08:07.7");
    }
    let root = Root::at(dir.path());
    assert_eq!(Pci::new(&root).virtual_functions(bdf(CARD)).unwrap().len(), 16);
}

#[test]
fn each_function_shows_its_framework() {
    let dir = a2::host();
    let at = dir.path();
    create_dir_all(at.join(format!("{BRIDGE}/{CARD}/nvidia"))).unwrap();
    put(at, &format!("{BRIDGE}/{FIRST_VF}/nvidia/current_vgpu_type"), b"0\n");
    remove_dir_all(at.join(format!("{BRIDGE}/{FIRST_VF}/mdev_supported_types"))).unwrap();
    let root = Root::at(at);
    let pci = Pci::new(&root);
    let second = a2::vf(1);
    for (function, mdev, vendor_vfio, driver) in [
        (FIRST_VF, false, true, Some("nvidia")),
        (second.as_str(), true, false, Some("nvidia")),
        (CARD, false, false, Some("nvidia")),
        ("0000:03:00.0", false, false, None),
    ] {
        let seen = framework::presence(&pci, bdf(function)).unwrap().unwrap();
        assert_eq!(
            (seen.mdev, seen.vendor_vfio, seen.driver.as_deref()),
            (mdev, vendor_vfio, driver),
            "{function}"
        );
    }
}

#[test]
fn numa_nodes_are_read_whole_or_not_at_all() {
    let cases: [(&str, &[u8], Result<&str, &str>); 8] = [
        ("a pair of sockets", b"0-15,64-79\n", Ok("0-15,64-79")),
        ("memory alone", b"\n", Ok("")),
        ("one", b"7\n", Ok("7")),
        ("too large", b"0-99999\n", Err("expected a list of CPUs")),
        ("backwards", b"3-1\n", Err("expected a list of CPUs")),
        ("words", b"all of them\n", Err("says \"all of them\"")),
        ("no text", b"\xff\n", Err("is not text")),
        ("no list at all", &[b'1'; 70_000], Err("more than 65535 bytes")),
    ];
    for (what, bytes, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "sys/devices/system/node/node1/cpulist", bytes);
        for other in ["has_cpu", "nodes", "node-1", "node99999/cpulist", "power/control"] {
            put(dir.path(), &format!("sys/devices/system/node/{other}"), b"0\n");
        }
        match (Topology::read(&Root::at(dir.path())), expected) {
            (Ok(topology), Ok(cpus)) => {
                let nodes: Vec<_> = topology.nodes().map(|(node, cpus)| (node, cpus.to_string())).collect();
                assert_eq!(nodes, [(1, cpus.to_owned())], "{what}");
            }
            (Err(error), Err(says)) => {
                assert!(error.path().ends_with("node1/cpulist"), "{what}: {error}");
                assert!(error.to_string().contains(says), "{what}: {error}");
            }
            (topology, _) => panic!("{what}: {topology:?}"),
        }
    }
}

#[test]
fn a_list_of_cpus_may_be_longer_than_a_page() {
    let dir = tempfile::tempdir().unwrap();
    // Every second CPU, as where hyper-threads are numbered in turn and belong to different nodes.
    for node in 0..2 {
        let cpus: Vec<String> = (0..4096).map(|cpu| (2 * cpu + node).to_string()).collect();
        let list = cpus.join(",") + "\n";
        assert!(list.len() > 4096);
        put(
            dir.path(),
            &format!("sys/devices/system/node/node{node}/cpulist"),
            list.as_bytes(),
        );
    }
    let topology = Topology::read(&Root::at(dir.path())).unwrap();
    assert_eq!(topology.node_of_cpu(8191), Some(1));
    assert_eq!(topology.node_of_cpu(8192), None);
    assert_eq!(topology.nodes_of_cpus(&"4000,4002".parse().unwrap()).to_string(), "0");
    assert!(topology.nodes_of_cpus(&"9000-9999".parse().unwrap()).is_empty());
}
