//! What shows the host: types, GPUs, groups, capacity.

use crate::lab::Lab;
use snapbox::{assert_data_eq, str};
use std::fs::File;
use std::io::Write;

#[test]
fn types_are_a_table_or_json() {
    let lab = Lab::new(&["mtty", "mdpy", "v100dx:1"]);
    let ran = lab.run(&["types"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
PARENT        TYPE        NAME                AVAILABLE  FB     MAX  API
0000:06:00.0  nvidia-194  GRID V100DX-1Q      32         1024   32   vfio-pci
0000:06:00.0  nvidia-195  GRID V100DX-2Q      16         2048   16   vfio-pci
0000:06:00.0  nvidia-196  GRID V100DX-4Q      8          4096   8    vfio-pci
0000:06:00.0  nvidia-197  GRID V100DX-8Q      4          8192   4    vfio-pci
0000:06:00.0  nvidia-198  GRID V100DX-16Q     2          16384  2    vfio-pci
0000:06:00.0  nvidia-199  GRID V100DX-32Q     1          32768  1    vfio-pci
0000:06:00.0  nvidia-200  GRID V100DX-1A      32         1024   32   vfio-pci
0000:06:00.0  nvidia-201  GRID V100DX-2A      16         2048   16   vfio-pci
0000:06:00.0  nvidia-202  GRID V100DX-4A      8          4096   8    vfio-pci
0000:06:00.0  nvidia-203  GRID V100DX-8A      4          8192   4    vfio-pci
0000:06:00.0  nvidia-204  GRID V100DX-16A     2          16384  2    vfio-pci
0000:06:00.0  nvidia-205  GRID V100DX-32A     1          32768  1    vfio-pci
0000:06:00.0  nvidia-206  GRID V100DX-1B      32         1024   32   vfio-pci
0000:06:00.0  nvidia-207  GRID V100DX-2B      16         2048   16   vfio-pci
0000:06:00.0  nvidia-219  GRID V100DX-2B4     16         2048   16   vfio-pci
mdpy          mdpy-hd     mdpy-hd             4          -      -    vfio-pci
mdpy          mdpy-vga    mdpy-vga            4          -      -    vfio-pci
mdpy          mdpy-xga    mdpy-xga            4          -      -    vfio-pci
mtty          mtty-1      Single port serial  24         -      -    vfio-pci
mtty          mtty-2      Dual port serial    12         -      -    vfio-pci

"#]]
    );
    let ran = lab.run(&["--json", "types", "--parent", "mtty"]);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
[
  {
    "parent": "mtty",
    "id": "mtty-1",
    "name": "Single port serial",
    "description": null,
    "device_api": "vfio-pci",
    "available_instances": 24,
    "framebuffer_mib": null,
    "max_instances": null,
    "problems": []
  },
  {
    "parent": "mtty",
    "id": "mtty-2",
    "name": "Dual port serial",
    "description": null,
    "device_api": "vfio-pci",
    "available_instances": 12,
    "framebuffer_mib": null,
    "max_instances": null,
    "problems": []
  }
]

"#]]
    );
    let ran = lab.run(&["types", "--parent", "0000:ff:00.0"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
no types: there is no parent 0000:ff:00.0 here (see: mdevkit types)

"#]]
    );
}

#[test]
fn an_attribute_that_cannot_be_read_hides_no_type() {
    let lab = Lab::new(&["mtty"]);
    let control = lab.sim.root().join("sim/control");
    let path = "sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/available_instances";
    File::options()
        .write(true)
        .open(control)
        .unwrap()
        .write_all(format!("attr {path} text many\n").as_bytes())
        .unwrap();
    let ran = lab.run(&["types"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
PARENT  TYPE    NAME                AVAILABLE  FB  MAX  API
mtty    mtty-1  Single port serial  24         -   -    vfio-pci
mtty    mtty-2  Dual port serial    -          -   -    vfio-pci

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit: attribute /ROOT/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/available_instances says "many", expected a count

"#]]
    );
}

#[test]
fn a_picture_is_a_file_that_any_reader_of_svg_reads() {
    let lab = Lab::new(&["v100dx:1", "mtty"]);
    let ran = lab.run(&["create", "--type", "V100DX-8Q"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let ran = lab.run(&["map", "--svg", "gpus.svg"]);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let svg = std::fs::read_to_string(lab.files.path().join("gpus.svg")).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let tips: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "g")))
        .filter_map(|node| node.first_element_child()?.text())
        .collect();
    assert_eq!(tips, ["V100DX-8Q, 8192 MiB, mdevkit create"]);
    assert_eq!(lab.run(&["map", "--svg", "-"]).stdout, svg, "the same on stdout");
    assert_eq!(lab.run(&["map", "--svg", "no/such/folder/x.svg"]).status, 4);
}

#[test]
fn a_card_that_is_passed_through_or_not_split_hides_no_other() {
    let lab = Lab::new(&["v100dx:2", "l4"]);
    for order in [
        "bind 0000:06:00.0 vfio-pci",
        "bind 0000:07:00.0 -",
        "vfs 0000:3b:00.0 off",
    ] {
        let mut control = File::options()
            .write(true)
            .open(lab.sim.root().join("sim/control"))
            .unwrap();
        control.write_all(format!("{order}\n").as_bytes()).unwrap();
    }
    for command in ["gpus", "groups", "capacity", "map"] {
        let ran = lab.run(&[command]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{command}");
        let ran = lab.run(&["--json", command]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{command}");
    }
    assert_data_eq!(
        lab.run(&["gpus"]).stdout,
        str![[r#"
GPU           NAME       GROUP      NUMA  RULE  FB  DEVICES  STATE
0000:06:00.0  10de:1db5  10de:1db5  0     -     -   0        passed through (vfio-pci)
0000:07:00.0  10de:1db5  10de:1db5  0     -     -   0        not split (no driver)
0000:3b:00.0  10de:27b8  10de:27b8  0     -     -   0        virtual functions off (0 of 32)

"#]]
    );
    assert_data_eq!(
        lab.run(&["map", "--gpu", "0000:06:00.0"]).stdout,
        str![[r#"
0000:06:00.0  10de:1db5
  passed through (vfio-pci)
  [............................................................................]

"#]]
    );
}
