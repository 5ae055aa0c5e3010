//! What a person and a script see of every subcommand, against a simulated host. Regenerate the snapshots after a
//! change on purpose with `SNAPSHOTS=overwrite cargo test -p mdevkit`, and read the diff.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its part is a failed test")]

use mdevkit_sim::{Fault, Sim, Target};
use snapbox::{assert_data_eq, str};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const CAD: &str = include_str!("../../../examples/cad.xml");

/// A simulated host and a folder for files; both go at the end.
struct Lab {
    sim: Sim,
    files: TempDir,
    _place: TempDir,
}

/// What a command did: stdout, stderr and exit status.
struct Ran {
    stdout: String,
    stderr: String,
    status: i32,
}

impl Lab {
    fn new(boards: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
        let sim = Sim::mount(&place.path().join("host"), &boards).unwrap();
        Self {
            sim,
            files: tempfile::tempdir().unwrap(),
            _place: place,
        }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        File::create(&path).unwrap().write_all(text.as_ref()).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdevkit"));
        command
            .arg("--root")
            .arg(self.sim.root())
            .current_dir(self.files.path())
            .env("NO_COLOR", "1");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut command = self.command();
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing closes its end.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(self.sim.root().to_str().unwrap(), "/ROOT")
        };
        Ran {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            status: output.status.code().unwrap(),
        }
    }

    fn create_foreign(&self, parent: &str, type_id: &str, uuid: &str) {
        let path = self.sim.root().join(format!(
            "sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}/create"
        ));
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .write_all(uuid.as_bytes())
            .unwrap();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn help_teaches() {
    let lab = Lab::new(&["mtty"]);
    let ran = lab.run(&["--help"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
Mediated devices (mdev, vGPU) for libvirt domains: see, plan, inject, create, remove

Usage: mdevkit [OPTIONS] <COMMAND>

Commands:
  types      Show what this host can create: every type of every parent
  devices    Show the devices that exist, and whose they are
  plan       Show where a domain's devices would go if it started now, or why nowhere
  inject     Put devices into a domain's XML: a request in <metadata> and a <hostdev> for each
  eject      Take devices out of a domain's XML again, all of ours or some
  refresh    Give a cloned domain devices of its own: new UUIDs for the ones it has from its
             original
  show       Show what a domain's XML asks for, and whether it is consistent
  create     Create a device by hand and print its UUID; `mdevkit remove` removes it
  remove     Remove a device that `mdevkit create` made; never a domain's, never anybody else's
  reconcile  Settle what a crash left behind: remove devices whose domain will never call for it
  sim        Mount a simulated host at DIR, and stay until SIGTERM or Ctrl-C
  demo       Show the main job on a simulated host with 8 GPUs: inject, start two domains, stop them
  help       Print this message or the help of the given subcommand(s)

Options:
      --root <DIR>  Use the host below DIR (a simulated or captured one) instead of this machine
  -h, --help        Print help
  -V, --version     Print version

Global options:
      --json     Print JSON for programs instead of tables for people
  -v, --verbose  Say more on stderr

Examples:
  mdevkit types                             what this host can create
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
                                            give a domain a vGPU; it is made when the domain starts
  mdevkit plan vm.xml                       where its devices would go now, or why nowhere
  mdevkit sim --board v100dx:8 /tmp/host    a host with 8 simulated GPUs (--root /tmp/host)

Exit status: 0 done, 1 refused, 2 usage, 3 bad input, 4 host error.

"#]]
    );
    let ran = lab.run(&["inject", "--help"]);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
Put devices into a domain's XML: a request in <metadata> and a <hostdev> for each

Usage: mdevkit inject [OPTIONS] <FILE>

Arguments:
  <FILE>  The domain's XML, edited in place; `-` reads stdin and writes stdout

Options:
      --diff              Show what changes, as a unified diff on stdout (with `-`: instead of the
                          document)
      --root <DIR>        Use the host below DIR (a simulated or captured one) instead of this
                          machine
      --dry-run           Write nothing
      --type <TYPE>       What is wanted (repeatable): a type's id, full name or short name
      --count <COUNT>     So many devices of each type [default: 1]
      --policy <POLICY>   depth-first (pack) or breadth-first (spread) [default: the host's
                          configuration]
      --parent <PARENT>   On this parent only
      --uuid <UUID>       The device's UUID, for a single device [default: made from the domain's
                          UUID and the slot]
      --params <K=V,...>  The vGPU's parameters, key=value with commas between (NVIDIA)
      --model <MODEL>     The hostdev's model: vfio-pci, vfio-ccw or vfio-ap [default: vfio-pci]
  -h, --help              Print help

Global options:
      --json     Print JSON for programs instead of tables for people
  -v, --verbose  Say more on stderr

Every other byte of the document stays as it is; `mdevkit eject` gives it back. The device is
made when the domain starts. Without --type, requests that a person wrote into <metadata> get
their <hostdev>.

Examples:
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
  mdevkit inject --type nvidia-196 --count 2 --policy breadth-first vm.xml
  virsh dumpxml --inactive vm | mdevkit inject --type mtty-2 --diff --dry-run -

"#]]
    );
}

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
fn a_device_by_hand_comes_and_goes_and_others_stay() {
    let lab = Lab::new(&["mtty", "v100dx:1"]);
    assert_data_eq!(
        lab.run(&["devices"]).stderr,
        str![[r#"
no devices

"#]]
    );
    let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    let ran = lab.run(&[
        "create",
        "--type",
        "V100DX-4Q",
        "--uuid",
        uuid,
        "--params",
        "frame_rate_limiter=0",
    ]);
    assert_eq!(
        (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, format!("{uuid}\n").as_str(), "")
    );
    let made = lab.run(&["create", "--type", "mtty-2"]).stdout;
    assert_eq!(made.trim().len(), 36, "a random UUID: {made}");
    let foreign = "00000000-0000-4000-8000-00000000f0f0";
    lab.create_foreign("mtty", "mtty-1", foreign);
    assert_eq!(lab.run(&["remove", made.trim()]).status, 0);
    assert_data_eq!(
        lab.run(&["devices"]).stdout,
        str![[r#"
UUID                                  PARENT        TYPE                         OWNER           STATE    IN USE
00000000-0000-4000-8000-00000000f0f0  mtty          mtty-1 (Single port serial)  foreign         -        unknown
83b8f4f2-509f-382f-3c1e-e6bfe0fa1001  0000:06:00.0  nvidia-196 (GRID V100DX-4Q)  mdevkit create  created  unknown

"#]]
    );
    assert_data_eq!(
        lab.run(&["devices", "--json"]).stdout,
        str![[r#"
[
  {
    "uuid": "00000000-0000-4000-8000-00000000f0f0",
    "parent": "mtty",
    "type": "mtty-1",
    "type_name": "Single port serial",
    "domain_uuid": null,
    "domain_name": null,
    "owner": "foreign",
    "state": null,
    "in_use": "unknown",
    "in_use_by": null
  },
  {
    "uuid": "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    "parent": "0000:06:00.0",
    "type": "nvidia-196",
    "type_name": "GRID V100DX-4Q",
    "domain_uuid": null,
    "domain_name": null,
    "owner": "mdevkit",
    "state": "created",
    "in_use": "unknown",
    "in_use_by": null
  }
]

"#]]
    );
    for (uuid, expected) in [
        (
            foreign,
            str![[r#"
mdevkit[E-FOREIGN]: device 00000000-0000-4000-8000-00000000f0f0 was not made by mdevkit; who made it removes it

"#]],
        ),
        (
            "00000000-0000-4000-8000-00000000dead",
            str![[r#"
mdevkit[E-HOST]: there is no device 00000000-0000-4000-8000-00000000dead (see: mdevkit devices)

"#]],
        ),
    ] {
        let ran = lab.run(&["remove", uuid]);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
        assert_data_eq!(ran.stderr, expected);
    }
    assert_eq!(lab.run(&["remove", uuid]).status, 0);
    assert_eq!(lab.sim.handle().devices().len(), 1, "the foreign one");
}

#[test]
fn a_refusal_says_why_for_every_parent() {
    let lab = Lab::new(&["v100dx:2"]);
    lab.create_foreign("0000:06:00.0", "nvidia-194", "00000000-0000-4000-8000-00000000f0f0");
    lab.create_foreign("0000:07:00.0", "nvidia-199", "00000000-0000-4000-8000-00000000f0f1");
    for (spec, expected) in [
        (
            "V100DX-32Q",
            str![[r#"
mdevkit[E-FULL]: no V100DX-32Q left: 1 parent runs other types (nvidia-194), 1 parent is full
  0000:06:00.0: runs other types (nvidia-194)
  0000:07:00.0: full

"#]],
        ),
        (
            "V100DX-64Q",
            str![[r#"
mdevkit[E-TYPE]: no type V100DX-64Q here (see: mdevkit types): 2 parents do not offer it
  0000:06:00.0: does not offer it
  0000:07:00.0: does not offer it

"#]],
        ),
        (
            "nvidia-1",
            str![[r#"
mdevkit[E-TYPE]: no type nvidia-1 here (see: mdevkit types): 2 parents do not offer it
  0000:06:00.0: does not offer it
  0000:07:00.0: does not offer it

"#]],
        ),
    ] {
        let ran = lab.run(&["create", "--type", spec]);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{spec}");
        assert_data_eq!(ran.stderr, expected);
    }
    let file = lab.file("cad.xml", CAD);
    lab.run(&["inject", "--type", "V100DX-32Q", file.to_str().unwrap()]);
    let ran = lab.run(&["plan", "cad.xml"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-FULL]: cad.xml: no V100DX-32Q left: 1 parent runs other types (nvidia-194), 1 parent is full
  0000:06:00.0: runs other types (nvidia-194)
  0000:07:00.0: full

"#]]
    );
    assert_data_eq!(
        lab.run(&["plan", "--json", "cad.xml"]).stdout,
        str![[r#"
[
  {
    "file": "cad.xml",
    "domain_name": "cad",
    "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
    "devices": [],
    "warnings": [],
    "refusal": {
      "code": "E-FULL",
      "message": "no V100DX-32Q left: 1 parent runs other types (nvidia-194), 1 parent is full",
      "slot": 0,
      "reasons": [
        {
          "parent": "0000:06:00.0",
          "reason": "0000:06:00.0: runs other types (nvidia-194)"
        },
        {
          "parent": "0000:07:00.0",
          "reason": "0000:07:00.0: full"
        }
      ]
    }
  }
]

"#]]
    );
}

#[test]
fn a_plan_says_where_and_creates_nothing() {
    let lab = Lab::new(&["v100dx:2", "mtty"]);
    let file = lab.file("cad.xml", CAD);
    lab.run(&[
        "inject",
        "--type",
        "V100DX-4Q",
        "--count",
        "2",
        "--policy",
        "spread",
        "cad.xml",
    ]);
    lab.run(&["inject", "--type", "mtty-2", "cad.xml"]);
    let ran = lab.run_with(&["plan", "cad.xml", "-"], CAD.as_bytes());
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
FILE     DOMAIN  SLOT  UUID                                  TYPE        PARENT
cad.xml  cad     0     47dd2957-e9a6-5165-b533-17fd48aaa0d8  nvidia-196  0000:06:00.0
cad.xml  cad     1     d59aa869-7706-575c-927f-b9d11e4ee828  nvidia-196  0000:07:00.0
cad.xml  cad     2     0fa23640-41a4-5305-9a22-b191ffc9a65d  mtty-2      mtty

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
stdin: asks for nothing

"#]]
    );
    let ran = lab.run_with(&["plan", "-", "missing.xml", "cad.xml"], b"<domain>");
    assert_eq!(ran.status, 3, "one bad file hides no other");
    assert_eq!(
        (
            ran.stdout.lines().count(),
            ran.stderr.matches("mdevkit[E-XML]: ").count()
        ),
        (1 + 3, 2),
        "{}",
        ran.stderr
    );
    let ran = lab.run_with(&["--json", "plan", "-"], read(&file).as_bytes());
    assert_data_eq!(
        ran.stdout,
        str![[r#"
[
  {
    "file": "stdin",
    "domain_name": "cad",
    "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
    "devices": [
      {
        "slot": 0,
        "uuid": "47dd2957-e9a6-5165-b533-17fd48aaa0d8",
        "type": "nvidia-196",
        "parent": "0000:06:00.0"
      },
      {
        "slot": 1,
        "uuid": "d59aa869-7706-575c-927f-b9d11e4ee828",
        "type": "nvidia-196",
        "parent": "0000:07:00.0"
      },
      {
        "slot": 2,
        "uuid": "0fa23640-41a4-5305-9a22-b191ffc9a65d",
        "type": "mtty-2",
        "parent": "mtty"
      }
    ],
    "warnings": [],
    "refusal": null
  }
]

"#]]
    );
    assert!(lab.sim.handle().devices().is_empty());
}

#[test]
fn an_injection_is_told_shown_and_taken_back() {
    let lab = Lab::new(&["v100dx:1"]);
    let file = lab.file("cad.xml", CAD);
    let ran = lab.run(&[
        "inject",
        "--type",
        "V100DX-4Q",
        "--params",
        "disable_vnc=1",
        "--parent",
        "0000:06:00.0",
        "cad.xml",
    ]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: injected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8

"#]]
    );
    let ran = lab.run(&["show", "cad.xml"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
SLOT  TYPE       DEVICE                                HOSTDEV   POLICY  PARENT        PARAMS
0     V100DX-4Q  47dd2957-e9a6-5165-b533-17fd48aaa0d8  vfio-pci  -       0000:06:00.0  disable_vnc=1

"#]]
    );
    assert_data_eq!(
        lab.run(&["show", "--json", "cad.xml"]).stdout,
        str![[r#"
{
  "file": "cad.xml",
  "domain_name": "cad",
  "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
  "injected_for": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
  "requests": [
    {
      "slot": 0,
      "type": "V100DX-4Q",
      "uuid": "47dd2957-e9a6-5165-b533-17fd48aaa0d8",
      "hostdev": true,
      "model": "vfio-pci",
      "policy": null,
      "parent": "0000:06:00.0",
      "params": "disable_vnc=1"
    }
  ],
  "warnings": [],
  "problem": null
}

"#]]
    );
    let ran = lab.run(&["eject", "--all", "cad.xml"]);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: ejected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8

"#]]
    );
    assert_eq!(read(&file), CAD);
    let ran = lab.run(&["eject", "--all", "cad.xml"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, "cad.xml: nothing to change\n"));
}

#[test]
fn stdin_goes_to_stdout_and_a_diff_shows_what_changes() {
    let lab = Lab::new(&["v100dx:1"]);
    let with = lab.run_with(&["inject", "--type", "V100DX-4Q", "-"], CAD.as_bytes());
    assert_eq!(with.status, 0);
    let without = lab.run_with(
        &["eject", "--uuid", "47dd2957-e9a6-5165-b533-17fd48aaa0d8", "-"],
        with.stdout.as_bytes(),
    );
    assert_eq!(without.stdout, CAD);
    let file = lab.file("cad.xml", CAD);
    let ran = lab.run(&["inject", "--type", "V100DX-9Q", "--diff", "--dry-run", "cad.xml"]);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
--- a/cad.xml
+++ b/cad.xml
@@ -1,6 +1,11 @@
 <domain type='kvm'>
   <name>cad</name>
   <uuid>8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10</uuid>
+  <metadata>
+    <mdevkit:requests xmlns:mdevkit="urn:mdevkit:domain:1" for="8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10" opened="metadata=created">
+      <mdevkit:request slot="0" type="V100DX-9Q"/>
+    </mdevkit:requests>
+  </metadata>
   <!-- a workstation: one designer -->
   <memory unit='GiB'>8</memory>
   <vcpu placement='static'>4</vcpu>
@@ -18,5 +23,11 @@
       <target dev='vda' bus='virtio'/>
     </disk>
     <graphics type='vnc' port='-1' autoport='yes'/>
+    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
+      <source>
+        <address uuid='47dd2957-e9a6-5165-b533-17fd48aaa0d8'/>
+      </source>
+      <alias name='ua-mdevkit-0'/>
+    </hostdev>
   </devices>
 </domain>

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: injected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8 (dry run)
warning: this host offers no type V100DX-9Q (see: mdevkit types); the domain can start where one does

"#]]
    );
    assert_eq!(read(&file), CAD, "a dry run");
    let never_defined = b"<domain><name>new</name><devices/></domain>";
    let one = lab.run_with(&["inject", "--type", "mtty-2", "-"], never_defined).stdout;
    let two = lab.run_with(&["inject", "--type", "mtty-2", "-"], never_defined).stdout;
    assert_ne!(one, two, "a domain without a UUID gets a random device");
}

#[test]
fn an_edit_in_place_keeps_mode_owner_and_link() {
    let lab = Lab::new(&["mtty"]);
    let file = lab.file("real.xml", CAD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
    symlink("real.xml", lab.files.path().join("link.xml")).unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    assert_eq!(lab.run(&["eject", "--all", "link.xml"]).status, 0);
    assert_eq!(
        fs::metadata(&file).unwrap().ino(),
        inode,
        "nothing changed, nothing written"
    );
    assert_eq!(lab.run(&["inject", "--type", "mtty-2", "link.xml"]).status, 0);
    let now = fs::metadata(&file).unwrap();
    assert_ne!(now.ino(), inode, "written beside and renamed");
    assert_eq!((now.mode() & 0o7777, now.uid(), now.gid()), (0o640, 12, 34));
    assert!(
        fs::symlink_metadata(lab.files.path().join("link.xml"))
            .unwrap()
            .is_symlink()
    );
    assert!(read(&file).contains("ua-mdevkit-0"));
    let left: Vec<_> = fs::read_dir(lab.files.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn bad_input_is_one_clear_message_and_status_3() {
    let lab = Lab::new(&["mtty"]);
    fs::create_dir(lab.files.path().join("folder")).unwrap();
    for (input, expected) in [
        (
            "<domain>\n  <name>vm</nam>\n</domain>",
            str![[r#"
mdevkit[E-XML]: stdin: line 2, column 11: </nam> closes <name>
    <name>vm</nam>
            ^

"#]],
        ),
        (
            "",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: the document is empty; a libvirt <domain> was expected

"#]],
        ),
        (
            "<network/>",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: the document is <network>, not a libvirt <domain>
  <network/>
  ^

"#]],
        ),
        (
            "<!DOCTYPE x><domain/>",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: <!DOCTYPE> is not accepted; remove it
  <!DOCTYPE x><domain/>
  ^

"#]],
        ),
        (
            "<domain><metadata><m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='../../x'/></m:requests></metadata></domain>",
            str![[r#"
mdevkit[E-REQUEST]: stdin: line 1, column 79: type: type "../../x" is not valid: an id or a name has letters, digits, '-', '_', '.' and single spaces only
  ...<m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='../../x'/></m:requests></metadata></domain>
                                                                 ^

"#]],
        ),
    ] {
        let ran = lab.run_with(&["inject", "--type", "mtty-2", "-"], input.as_bytes());
        assert_eq!((ran.status, ran.stdout.as_str()), (3, ""), "{input}");
        assert_data_eq!(ran.stderr, expected);
    }
    for (file, expected) in [
        (
            "missing.xml",
            str![[r#"
mdevkit[E-XML]: cannot read missing.xml: No such file or directory (os error 2)

"#]],
        ),
        (
            "folder",
            str![[r#"
mdevkit[E-XML]: folder is not a regular file; use - for stdin and stdout

"#]],
        ),
    ] {
        let ran = lab.run(&["show", file]);
        assert_eq!((ran.status, ran.stdout.as_str()), (3, ""), "{file}");
        assert_data_eq!(ran.stderr, expected);
    }
    let big = vec![b' '; 16 * 1024 * 1024 + 1];
    let ran = lab.run_with(&["show", "-"], &big);
    assert_eq!(ran.status, 3);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-XML]: stdin has more than 16 MiB; a domain has some kilobytes

"#]]
    );
}

#[test]
fn a_clone_is_refused_until_it_is_refreshed() {
    let lab = Lab::new(&["mtty"]);
    let with = lab
        .run_with(&["inject", "--type", "mtty-2", "-"], CAD.as_bytes())
        .stdout;
    let clone = with.replacen("<uuid>8", "<uuid>9", 1);
    let file = lab.file("clone.xml", &clone);
    for command in [
        vec!["plan", "clone.xml"],
        vec!["inject", "--type", "mtty-1", "clone.xml"],
    ] {
        let ran = lab.run(&command);
        assert_eq!(ran.status, 1, "{command:?}");
        assert!(
            ran.stderr.starts_with("mdevkit[E-CLONE]: clone.xml: "),
            "{}",
            ran.stderr
        );
    }
    let ran = lab.run(&["refresh", "clone.xml"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
clone.xml: refreshed slot 0, device 63a572e0-f17a-5bcd-a4f0-6fc48638184b

"#]]
    );
    assert_eq!(lab.run(&["plan", "clone.xml"]).status, 0);
    assert_ne!(read(&file), clone);
}

#[test]
fn a_request_without_its_hostdev_is_shown_with_what_to_do() {
    let lab = Lab::new(&["mtty"]);
    let by_hand = "<domain><uuid>8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10</uuid><metadata>\
        <m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='mtty-2'/></m:requests></metadata><devices/></domain>";
    let ran = lab.run_with(&["show", "-"], by_hand.as_bytes());
    assert_eq!(ran.status, 1);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
SLOT  TYPE    DEVICE  HOSTDEV  POLICY  PARENT  PARAMS
-     mtty-2  -       missing  -       -       -

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-NOHOSTDEV]: stdin: the request for mtty-2 has no <hostdev> yet; run: EDITOR='mdevkit inject' virsh edit DOMAIN

"#]]
    );
    let whole = lab.run_with(&["inject", "-"], by_hand.as_bytes());
    assert_eq!(whole.status, 0);
    assert_eq!(
        lab.run_with(&["show", "-"], whole.stdout.as_bytes()).status,
        0,
        "completed"
    );
}

#[test]
fn wrong_command_lines_are_status_2() {
    let lab = Lab::new(&["mtty"]);
    for args in [
        vec![],
        vec!["nonsense"],
        vec!["create"],
        vec!["create", "--type", "../../x"],
        vec!["create", "--type", "mtty-2", "--uuid", "x"],
        vec!["create", "--type", "mtty-2", "--params", "exec=1"],
        vec!["inject", "--count", "2", "-"],
        vec!["inject", "--type", "a", "--count", "17", "-"],
        vec![
            "inject",
            "--type",
            "a",
            "--type",
            "b",
            "--uuid",
            "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
            "-",
        ],
        vec!["eject", "-"],
        vec!["eject", "--all", "--uuid", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "-"],
        vec!["plan"],
        vec!["sim", "--board", "a100", "x"],
        vec!["sim"],
    ] {
        let ran = lab.run(&args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn what_the_kernel_refuses_is_said_and_nothing_is_left() {
    let lab = Lab::new(&["mtty"]);
    lab.sim.handle().inject(Fault::FailCreate {
        on: Target::any(),
        count: 1,
        errno: 5,
    });
    let ran = lab.run(&["create", "--type", "mtty-2"]);
    assert_eq!(ran.status, 1);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-FULL]: no mtty-2 left: 1 parent refused (the driver refused: /ROOT/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/create answered EIO: I/O error; the kernel's log (dmesg) may say why)
  mtty: refused: the driver refused: /ROOT/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/create answered EIO: I/O error; the kernel's log (dmesg) may say why

"#]]
    );
    assert!(lab.sim.handle().devices().is_empty());
    assert_data_eq!(
        lab.run(&["reconcile"]).stderr,
        str![[r#"
nothing to settle

"#]]
    );
}

#[test]
fn reconcile_shows_what_it_would_do() {
    let lab = Lab::new(&["mtty"]);
    lab.run(&[
        "create",
        "--type",
        "mtty-2",
        "--uuid",
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    ]);
    let ran = lab.run(&["reconcile", "--dry-run"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
UUID                                  PARENT  TYPE    ACTION  WHY                  RESULT
83b8f4f2-509f-382f-3c1e-e6bfe0fa1001  mtty    mtty-2  keep    it was made by hand  (dry run)

"#]]
    );
    assert_data_eq!(
        lab.run(&["reconcile", "--json"]).stdout,
        str![[r#"
[
  {
    "uuid": "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    "action": "keep",
    "why": "it was made by hand",
    "parent": "mtty",
    "type": "mtty-2",
    "owner": "mdevkit create (made by hand)",
    "problem": null
  }
]

"#]]
    );
}

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let lab = Lab::new(&["mtty"]);
    let etc = lab.sim.root().join("etc/mdevkit");
    fs::create_dir_all(&etc).unwrap();
    File::create(etc.join("config.toml"))
        .unwrap()
        .write_all(b"policy = 'pack'\npolcy = 1\n")
        .unwrap();
    let ran = lab.run(&["create", "--type", "mtty-2"]);
    assert_eq!(ran.status, 4);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-CONFIG]: /ROOT/etc/mdevkit/config.toml: line 2: unknown field `polcy`, expected one of `policy`, `log`, `limits`

"#]]
    );
}

#[test]
fn nobody_reads_and_nothing_panics() {
    let lab = Lab::new(&["v100dx:8"]);
    for args in [vec!["types"], vec!["types", "--json"], vec!["--help"]] {
        let mut child = lab
            .command()
            .args(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

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
BOARD   WHAT
mtty    kernel sample mtty: serial ports, 24 shared by its two types
mdpy    kernel sample mdpy: virtual displays, 4 in all
mbochs  kernel sample mbochs: virtual displays, 256 MB of video memory in all
v100dx  NVIDIA V100 SXM2 32GB (V100DX), driver R390: 15 types, one type per GPU at a time; COUNT = GPUs
k2      NVIDIA GRID K2, as if it had mdev: K200, K240Q, K260Q (8/4/2 per GPU); COUNT = boards of 2 GPUs

"#]]
    );
}

#[test]
fn the_demo_tells_the_whole_story() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mdevkit = Path::new(env!("CARGO_BIN_EXE_mdevkit"));
    // The hook is another package's program: built here into the same folder.
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "mdevkit-hook"])
        .status()
        .unwrap();
    assert!(built.success());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "../../target".into(), PathBuf::from);
    let ran = Command::new(mdevkit)
        .args(["demo", "--hook"])
        .arg(target.join("debug/mdevkit-hook"))
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

Where would each of them go, if it alone started now?
$ mdevkit plan cad.xml render.xml
FILE        DOMAIN  SLOT  UUID                                  TYPE        PARENT
cad.xml     cad     0     47dd2957-e9a6-5165-b533-17fd48aaa0d8  nvidia-197  0000:06:00.0
render.xml  render  0     74e4c6b7-b1ce-59f7-a75f-9b68afdd12c7  nvidia-196  0000:06:00.0
render.xml  render  1     7afaedd0-b838-54bd-9e4d-dc4403cdce95  nvidia-196  0000:07:00.0

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
