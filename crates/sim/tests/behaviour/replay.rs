//! The simulator answers as the kernel answered: the scripts of `replay/`, step by step, through the mount.

use mdevkit_sim::replay;

use crate::common::{self, errno, host};

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

#[test]
fn the_kernels_own_answers() {
    let mut steps = 0;
    for (name, script) in replay::SCRIPTS {
        let host = host(&["mtty", "mdpy", "mbochs"]);
        let heard = replay::run(host.sim.root(), script).unwrap();
        for step in &heard {
            assert!(
                step.agrees(),
                "{name}:{}: {}\n{:#?}\n{:#?}",
                step.line,
                step.ask,
                step.expected,
                step.got
            );
        }
        assert!(
            *name == "recorded" || host.sim.handle().devices().is_empty(),
            "{name} cleans up"
        );
        steps += heard.len();
    }
    assert!(steps > 500, "only {steps} steps were replayed");
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
