//! The simulated host as a program, and the demo.

use crate::lab::hook;
use snapbox::{assert_data_eq, str};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_simulated_host_is_there_until_it_is_told_to_go() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("host");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdevkit"));
    command
        .args(["sim", "--board", "mtty", "--board", "v100dx:2"])
        .arg(&dir);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let types = Command::new(env!("CARGO_BIN_EXE_mdevkit"))
        .arg("--root")
        .arg(&dir)
        .arg("types")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(types.stdout).unwrap().lines().count(), 1 + 2 + 2 * 15);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!dir.exists(), "nothing is left behind");
    let list = Command::new(env!("CARGO_BIN_EXE_mdevkit"))
        .args(["sim", "--list"])
        .output()
        .unwrap();
    assert_data_eq!(
        String::from_utf8(list.stdout).unwrap(),
        str![[r#"
BOARD       WHAT
mtty        kernel sample mtty: serial ports, 24 shared by its two types
mdpy        kernel sample mdpy: virtual displays, 4 in all
mbochs      kernel sample mbochs: virtual displays, 256 MB of video memory in all
v100dx      NVIDIA V100 SXM2 32GB (V100DX), driver R390: 15 types, one type per GPU at a time; COUNT = GPUs
k2          NVIDIA GRID K2, as if it had mdev: K200, K240Q, K260Q (8/4/2 per GPU); COUNT = boards of 2 GPUs
k1          NVIDIA GRID K1, as if it had mdev: K100, K140Q (8/4 per GPU); COUNT = boards of 4 GPUs
m60         NVIDIA M60 8GB: 14 types; COUNT = boards of 2 GPUs
m10         NVIDIA M10 8GB: 14 types; COUNT = boards of 4 GPUs
m6          NVIDIA M6 8GB: 14 types; COUNT = GPUs
p4          NVIDIA P4 8GB: 14 types; COUNT = GPUs
p40         NVIDIA P40 24GB: 25 types; COUNT = GPUs
p100        NVIDIA P100 PCIe 16GB: 17 types; COUNT = GPUs
v100        NVIDIA V100 PCIe 16GB: 17 types, one framebuffer size per GPU at a time; COUNT = GPUs
t4          NVIDIA T4 16GB: 17 types; COUNT = GPUs
rtx6000     NVIDIA Quadro RTX 6000 24GB: 23 types; COUNT = GPUs
rtx8000     NVIDIA Quadro RTX 8000 48GB: 29 types; COUNT = GPUs
a2          NVIDIA A2 16GB, 16 VFs: 15 types; COUNT = GPUs
a10         NVIDIA A10 24GB, 32 VFs: 23 types; COUNT = GPUs
a16         NVIDIA A16 16GB, 16 VFs: 15 types; COUNT = boards of 4 GPUs
a40         NVIDIA A40 48GB, 32 VFs: 29 types; COUNT = GPUs
a100        NVIDIA A100 PCIe 40GB, 16 VFs: 6 types, with MIG 6 others; COUNT = GPUs
rtxa6000    NVIDIA RTX A6000 48GB, 32 VFs: 29 types; COUNT = GPUs
l4          NVIDIA L4 24GB, 32 VFs: 18 types; COUNT = GPUs
l40         NVIDIA L40 48GB, 32 VFs: 22 types; COUNT = GPUs
l40s        NVIDIA L40S 48GB, 16 VFs: 23 types; COUNT = GPUs
rtx6000ada  NVIDIA RTX 6000 Ada 48GB, 32 VFs: 22 types; COUNT = GPUs
h100        NVIDIA H100 PCIe 80GB: the card and its VFs, no types (their ids are not known); COUNT = GPUs
h200x       NVIDIA H200 SXM 141GB, 32 VFs: 141C, with MIG 1-18C (other ids are not known); COUNT = GPUs
rtxpro6000  NVIDIA RTX PRO 6000 Blackwell 96GB, 32 VFs: 3Q, with MIG 1-24Q (other ids are not known); COUNT = GPUs
gvtg-256    Intel GVT-g, aperture 256 MB: 2 types that share three pools
gvtg-512    Intel GVT-g, aperture 512 MB: 3 types that share three pools
vfio-ap     s390 vfio-ap: the matrix, one type of 65536
vfio-ccw    s390 vfio-ccw: subchannels with one device each; COUNT = subchannels

"#]]
    );
}

#[test]
fn the_demo_tells_the_whole_story() {
    let ran = Command::new(env!("CARGO_BIN_EXE_mdevkit"))
        .args(["demo", "--hook"])
        .arg(hook())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_data_eq!(
        String::from_utf8(ran.stdout).unwrap(),
        str![[r#"
A host with 8 GPUs (Tesla V100DX, simulated), and two domains that have no GPU yet.

Each domain gets its wish: a request in <metadata>, and a <hostdev> with a UUID of its own.
$ mdevkit inject --type V100DX-8Q cad.xml
$ mdevkit inject --type V100DX-4Q --count 2 --policy breadth-first render.xml

Where would they go, if both of them started now?
$ mdevkit plan cad.xml render.xml
FILE        DOMAIN  SLOT  UUID                                  TYPE        PARENT
cad.xml     cad     0     47dd2957-e9a6-5165-b533-17fd48aaa0d8  nvidia-197  0000:06:00.0
render.xml  render  0     74e4c6b7-b1ce-59f7-a75f-9b68afdd12c7  nvidia-196  0000:07:00.0
render.xml  render  1     7afaedd0-b838-54bd-9e4d-dc4403cdce95  nvidia-196  0000:0a:00.0

The domains start: libvirt runs the hook, and each device is there before QEMU needs it.
$ mdevkit-hook cad prepare begin - < cad.xml
$ mdevkit-hook render prepare begin - < render.xml
$ mdevkit devices
UUID                                  PARENT        TYPE                         OWNER          STATE    IN USE
47dd2957-e9a6-5165-b533-17fd48aaa0d8  0000:06:00.0  nvidia-197 (GRID V100DX-8Q)  domain cad     created  unknown
74e4c6b7-b1ce-59f7-a75f-9b68afdd12c7  0000:07:00.0  nvidia-196 (GRID V100DX-4Q)  domain render  created  unknown
7afaedd0-b838-54bd-9e4d-dc4403cdce95  0000:0a:00.0  nvidia-196 (GRID V100DX-4Q)  domain render  created  unknown

The first one stops: its device goes, the others stay.
$ mdevkit-hook cad release end - < cad.xml
$ mdevkit devices
UUID                                  PARENT        TYPE                         OWNER          STATE    IN USE
74e4c6b7-b1ce-59f7-a75f-9b68afdd12c7  0000:07:00.0  nvidia-196 (GRID V100DX-4Q)  domain render  created  unknown
7afaedd0-b838-54bd-9e4d-dc4403cdce95  0000:0a:00.0  nvidia-196 (GRID V100DX-4Q)  domain render  created  unknown

The second one stops, too.
$ mdevkit-hook render release end - < render.xml
$ mdevkit devices

Taken back, the first domain is what it was, byte for byte.
$ mdevkit eject --all cad.xml

"#]]
    );
}
