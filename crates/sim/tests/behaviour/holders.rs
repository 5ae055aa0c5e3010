//! Who has the device open: one at a time, and a remove waits for it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;

use crate::common::{errno, host, names, read, soon, store, uuid};

fn hold(path: &Path) -> Result<File, Errno> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| errno(&e))
}

/// Another process writes `1`: this one must not wait for itself.
fn remove_from_outside(path: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "echo 1 > \"$0\""])
        .arg(path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn state(child: &Child) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap()
}

#[test]
fn a_group_has_exactly_one_opener() {
    let host = host(&["mtty"]);
    assert!(hold(&host.path("dev/vfio/0")).is_err());
    host.create("mtty", "mtty-1", &uuid(1)).unwrap();
    let group = host.path("dev/vfio/0");
    let first = hold(&group).unwrap();
    assert_eq!(hold(&group).unwrap_err(), Errno::EBUSY);
    assert_eq!(errno(&File::open(&group).unwrap_err()), Errno::EBUSY);
    let shared = first.try_clone().unwrap();
    drop(first);
    assert_eq!(hold(&group).unwrap_err(), Errno::EBUSY);
    drop(shared);
    // Not at once: a child that another test is starting has our descriptors until it is exec'ed.
    soon("the last descriptor is closed", || hold(&group).is_ok());
    // One process alone never meets its own past: close, then open.
    let script = r#"n=0; while [ $n -lt 50 ]; do n=$((n+1))
        exec 3<>"$0" || exit 1
        (exec 4<"$0") 2>&- && exit 2
        exec 3>&-
    done"#;
    let mut alone = Command::new("sh");
    alone.args(["-c", script]).arg(&group);
    soon("free for the script", || hold(&group).is_ok());
    assert_eq!(alone.status().unwrap().code(), Some(0));
    // The container takes any number.
    let container = host.path("dev/vfio/vfio");
    let (_one, _two) = (hold(&container).unwrap(), hold(&container).unwrap());
    host.remove(&uuid(1)).unwrap();
    assert_eq!(hold(&group).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_remove_waits_for_the_holder_and_cannot_be_killed() {
    let host = host(&["mtty"]);
    host.create("mtty", "mtty-2", &uuid(1)).unwrap();
    let (dir, remove) = (host.device(&uuid(1), ""), host.device(&uuid(1), "remove"));
    let mut early = OpenOptions::new().write(true).open(&remove).unwrap();
    let vm = hold(&host.path("dev/vfio/0")).unwrap();
    let mut writer = remove_from_outside(&remove);
    soon("the directory is empty", || names(&dir).is_empty());

    // As long as it waits: the link still leads to the directory, the instance still counts, the UUID is still taken,
    // and everything else goes on.
    assert!(host.path(&format!("sys/bus/mdev/devices/{}", uuid(1))).is_dir());
    assert!(names(&host.type_file("mtty", "mtty-2", "devices")).is_empty());
    assert_eq!(host.available("mtty", "mtty-1"), 22);
    assert_eq!(host.create("mtty", "mtty-2", &uuid(1)), Err(Errno::EEXIST));
    assert_eq!(store(&remove, b"1"), Err(Errno::ENOENT));
    let second = std::io::Write::write(&mut early, b"1").unwrap_err();
    assert_eq!(errno(&second), Errno::ENODEV);
    host.create("mtty", "mtty-2", &uuid(2)).unwrap();
    assert_eq!(
        std::fs::read_link(host.device(&uuid(2), "iommu_group"))
            .unwrap()
            .file_name()
            .unwrap(),
        "1"
    );
    host.remove(&uuid(2)).unwrap();
    assert_eq!(
        host.sim.handle().devices().first().map(|device| device.removing),
        Some(true)
    );

    writer.kill().unwrap();
    soon("the writer cannot be interrupted", || state(&writer) == 'D');
    assert!(writer.try_wait().unwrap().is_none());

    drop(vm);
    writer.wait().unwrap();
    soon("the device is gone", || host.sim.handle().devices().is_empty());
    assert!(!host.path(&format!("sys/bus/mdev/devices/{}", uuid(1))).is_symlink());
    assert!(!host.path("dev/vfio/0").exists());
    assert_eq!(host.available("mtty", "mtty-1"), 24);

    let results: Vec<_> = host
        .sim
        .handle()
        .journal()
        .lines()
        .filter(|line| line.contains(&uuid(1)))
        .map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        results,
        [
            "op=create result=ok",
            "op=open result=ok",
            "op=remove result=blocked",
            "op=create result=EEXIST",
            "op=close result=ok",
            "op=remove result=ok",
        ]
    );
}

#[test]
fn a_waiting_remove_succeeds_when_the_holder_is_killed() {
    let host = host(&["v100dx"]);
    host.create("0000:06:00.0", "nvidia-194", &uuid(1)).unwrap();
    // A stand-in for QEMU: it holds the group and waits; its command line tells the VM's name.
    let mut vm = Command::new("sh")
        .args([
            "-c",
            "exec 3<>\"$0\"; echo; read line",
            host.path("dev/vfio/0").to_str().unwrap(),
        ])
        .args(["-name", "guest=d1,debug-threads=on"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    vm.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(
        read(&host.device(&uuid(1), "nvidia/vm_name")).unwrap(),
        "guest=d1,debug-threads=on\n"
    );
    let mut writer = remove_from_outside(&host.device(&uuid(1), "remove"));
    soon("the remove waits", || {
        host.sim.handle().devices().iter().any(|device| device.removing)
    });
    vm.kill().unwrap();
    vm.wait().unwrap();
    assert!(writer.wait().unwrap().success());
    assert!(host.sim.handle().devices().is_empty());
}
