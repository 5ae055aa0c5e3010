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
