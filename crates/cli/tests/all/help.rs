//! The help, and command lines that are wrong.

use crate::lab::Lab;
use snapbox::{assert_data_eq, str};
use std::io::Read;
use std::process::Stdio;

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
  gpus       Show the physical GPUs: what they are, which rule they follow, what runs on them
  groups     Show the groups of GPUs: which belong together, and what holds for them
  devices    Show the devices that exist, and whose they are
  capacity   Show how many more of each type there can be, now and on the empty host
  map        Draw the host: each GPU as a bar of its framebuffer, with its devices and domains
  plan       Show whether domains' devices would fit now, all of them together, and where; or why
             not
  explain    Explain where a domain's devices are and why, or why it was refused last time, and what
             would help now
  inject     Put devices into a domain's XML: a request in <metadata> and a <hostdev> for each
  eject      Take devices out of a domain's XML again, all of ours or some
  refresh    Give a cloned domain devices of its own: new UUIDs for the ones it has from its
             original
  show       Show what a domain's XML asks for, and whether it is consistent
  create     Create a device by hand and print its UUID; `mdevkit remove` removes it
  remove     Remove a device that `mdevkit create` made; never a domain's, never anybody else's
  reconcile  Settle what a crash left behind: remove devices whose domain will never call for it
  gpu        Switch types on and off on a GPU, cordon it, empty it
  config     Check /etc/mdevkit/config.toml, in itself and against this host; exit status 3 when
             something is wrong
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
  mdevkit plan a.xml b.xml                  do these fit together, and where?
  mdevkit capacity --totals                 how many more of each type
  mdevkit explain vm                        why it is where it is, or was refused
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
      --diff               Show what changes, as a unified diff on stdout (with `-`: instead of the
                           document)
      --root <DIR>         Use the host below DIR (a simulated or captured one) instead of this
                           machine
      --dry-run            Write nothing
      --type <TYPE>        What is wanted (repeatable): a type's id, full name or short name
      --class <Q|B|A|C>    The smallest type of this class that is enough: Q (workstation), B (PC),
                           A (applications), C (compute)
      --framebuffer <MIB>  The smallest type with this much framebuffer at least, in MiB
      --heads <N>          The smallest type for this many displays at least
      --resolution <WxH>   The smallest type for displays of this size at least
      --profile <NAME>     What this profile of the host's configuration says
      --count <COUNT>      So many devices of each [default: 1]
      --more               On top of what the domain has, even if that is the same
      --group <GROUP>      Out of this group (see: mdevkit groups)
      --policy <POLICY>    depth-first (pack), breadth-first (spread) or keep-large [default: the
                           group's, else the host's]
      --parent <ADDRESS>   On this GPU only, or on this parent
      --numa <NUMA>        On a NUMA node of the domain: strict, prefer or ignore [default: prefer]
      --apart[=<yes|no>]   On a GPU that no other device of this domain uses [possible values: yes,
                           no]
      --device <UUID>      A device that something else makes beforehand, or the UUID that it is to
                           have [default: made from the domain's UUID and the slot] [alias: --uuid]
      --params <K=V,...>   The vGPU's parameters, key=value with commas between (NVIDIA)
      --model <MODEL>      The hostdev's model: vfio-pci, vfio-ccw or vfio-ap [default: vfio-pci]
  -h, --help               Print help

Global options:
      --json     Print JSON for programs instead of tables for people
  -v, --verbose  Say more on stderr

Every other byte of the document stays as it is; `mdevkit eject` gives it back. The device is
made when the domain starts. What the domain has already is not put in twice, unless --more
says so. With nothing asked for, requests that a person wrote into <metadata> get their
<hostdev>.

Examples:
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
  mdevkit inject --type nvidia-196 --count 2 --policy breadth-first vm.xml
  mdevkit inject --class Q --framebuffer 6000 --heads 2 vm.xml     the smallest that is enough
  mdevkit inject --profile cad-large --numa strict vm.xml
  mdevkit inject --type mtty-2 --device 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 vm.xml
  virsh dumpxml --inactive vm | mdevkit inject --type mtty-2 --diff --dry-run -

"#]]
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
        vec!["inject", "--type", "a", "--class", "Q", "-"],
        vec!["inject", "--class", "X", "-"],
        vec!["inject", "--framebuffer", "0", "-"],
        vec!["inject", "--resolution", "0x1080", "-"],
        vec!["inject", "--profile", "a", "--heads", "2", "-"],
        vec!["inject", "--apart", "-"],
        vec!["inject", "--type", "a", "--numa", "near", "-"],
        vec!["inject", "--type", "a", "--group", "a b", "-"],
        vec!["inject", "--more", "-"],
        vec!["capacity", "--gpu", "../x"],
        vec!["map", "--width", "5"],
        vec!["map", "--width", "80", "--svg", "-"],
        vec!["gpu"],
        vec!["gpu", "enable", "0000:06:00.0"],
        vec!["gpu", "drain", "--dry-run", "0000:06:00.0"],
        vec!["explain"],
        vec!["plan"],
        vec!["sim", "--board", "nonsense", "x"],
        vec!["sim"],
    ] {
        let ran = lab.run(&args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
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
