//! The simulator answers as the kernel answered: `replay.txt`, step by step, through the mount.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::common::{self, errno, host, names, read, store};

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/// A step's line with its abbreviations written out.
fn expand(line: &str) -> String {
    let mut out = Vec::new();
    let mut words = line.split(' ');
    while let Some(word) = words.next() {
        out.push(match word {
            "$T" => {
                let (parent, rest) = words.next().unwrap().split_once('/').unwrap();
                format!("sys/class/mdev_bus/{parent}/mdev_supported_types/{rest}")
            }
            _ => word.replace("$D/", "sys/bus/mdev/devices/"),
        });
    }
    out.join(" ").replace("$U", UUID)
}

fn unquote(text: &str) -> Vec<u8> {
    let inner = text
        .trim()
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{text}"));
    inner.replace("\\n", "\n").replace("\\0", "\0").into_bytes()
}

fn open(path: &Path, flags: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(flags.contains('r'))
        .write(flags.contains('w'))
        .append(flags.contains('a'));
    if flags.contains('c') {
        // std refuses some combinations of its own; the flags go straight through.
        options.custom_flags(nix::libc::O_CREAT | nix::libc::O_TRUNC);
    }
    options.open(path)
}

fn outcome(result: std::io::Result<usize>) -> String {
    result.map_or_else(|error| format!("{:?}", errno(&error)), |count| count.to_string())
}

#[test]
fn the_kernels_own_answers() {
    let host = host(&["mtty", "mdpy", "mbochs"]);
    let root = host.sim.root();
    let mut kept: HashMap<&str, File> = HashMap::new();
    let mut steps = 0;
    for (number, line) in include_str!("replay.txt").lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        steps += 1;
        let said = expand(line);
        let (ask, answer) = said
            .split_once(" ->")
            .map_or((said.as_str(), ""), |(ask, answer)| (ask, answer.trim()));
        let (verb, rest) = ask.split_once(' ').unwrap();
        let words: Vec<&str> = rest.split(' ').collect();
        let got = match verb {
            "open" => outcome(open(&root.join(words[1]), words[0]).map(|_| 0)).replace('0', "ok"),
            "write" => {
                let (path, text) = rest.split_once(' ').unwrap();
                store(&root.join(path), &unquote(text)).map_or_else(|e| format!("{e:?}"), |n| n.to_string())
            }
            "fd" => {
                let name = line.split(' ').nth(1).unwrap();
                kept.insert(name, open(&root.join(words[2]), words[1]).unwrap());
                String::new()
            }
            "put" => {
                let (name, text) = rest.split_once(' ').unwrap();
                outcome((&kept[name]).write(&unquote(text)))
            }
            "pwrite" => outcome(kept[words[0]].write_at(&unquote(words[2]), words[1].parse().unwrap())),
            "close" => {
                kept.remove(words[0]).unwrap();
                String::new()
            }
            "read" => format!("{:?}", read(&root.join(rest)).unwrap()),
            "link" => format!("{:?}", std::fs::read_link(root.join(rest)).unwrap()),
            "list" => names(&root.join(rest)).join(" "),
            "gone" => {
                let missing = root.join(rest).symlink_metadata().unwrap_err();
                assert_eq!(
                    errno(&missing),
                    nix::errno::Errno::ENOENT,
                    "line {}: {line}",
                    number + 1
                );
                String::new()
            }
            _ => panic!("line {}: {line}", number + 1),
        };
        assert_eq!(got, answer, "line {}: {line}", number + 1);
    }
    assert!(steps > 150, "only {steps} steps were replayed");
}

#[test]
fn modes_are_those_of_sysfs_for_every_user() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let host = host(&["mtty", "v100dx:1"]);
    host.create("mtty", "mtty-2", UUID).unwrap();
    host.create("0000:06:00.0", "nvidia-194", &common::uuid(1)).unwrap();
    for (path, mode) in [
        ("sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create", 0o200),
        ("sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/name", 0o444),
        (
            "sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/available_instances",
            0o444,
        ),
        (
            "sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/remove",
            0o200,
        ),
        (
            "sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/uevent",
            0o644,
        ),
        (
            "sys/bus/mdev/devices/00000000-0000-4000-8000-000000000001/nvidia/vgpu_params",
            0o644,
        ),
        (
            "sys/bus/mdev/devices/00000000-0000-4000-8000-000000000001/nvidia/vm_name",
            0o444,
        ),
        ("sys/bus/mdev/drivers_autoprobe", 0o644),
        ("sys/bus/mdev/drivers_probe", 0o200),
        ("dev/vfio/vfio", 0o666),
        ("dev/vfio/0", 0o600),
        ("sys", 0o755),
    ] {
        let meta = host.path(path).metadata().unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{path}");
        assert!(meta.is_dir() || meta.size() == 4096, "{path}");
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "{path}");
    }
    // virt-host-validate looks at the link count of this one: two devices, one card.
    assert_eq!(host.path("sys/kernel/iommu_groups").metadata().unwrap().nlink(), 2 + 3);
    for refused in ["sys/new", "sys/class/mdev_bus/mtty/new"] {
        assert_eq!(
            errno(&std::fs::create_dir(host.path(refused)).unwrap_err()),
            nix::errno::Errno::EPERM
        );
    }
    // Another user: reads what all may read, writes nothing.
    let script = format!(
        "cat {0}/mtty-2/available_instances && ! (echo {1} > {0}/mtty-2/create) 2>/dev/null",
        host.path("sys/class/mdev_bus/mtty/mdev_supported_types").display(),
        common::uuid(9),
    );
    // The temporary directory is for root only: enter it first.
    let mut opened = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.sim.root().parent().unwrap(), opened.clone()).unwrap();
    opened.set_mode(0o755);
    let mut shell = std::process::Command::new("sh");
    let output = std::os::unix::process::CommandExt::uid(shell.args(["-c", &script]), 65534)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"11\n");
}
