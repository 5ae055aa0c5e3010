//! Coming, going, and what a killed server leaves.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mdevkit_sim::{BoardSpec, Sim, SimError};
use nix::errno::Errno;

use crate::common::{errno, host, names, uuid};

fn boards(names: &[&str]) -> Vec<BoardSpec> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn mounted_below(dir: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .contains(dir.to_str().unwrap())
}

/// The example program `serve`, with a host at `dir`.
fn serve(dir: &Path) -> Child {
    let cargo = std::env::var("CARGO").unwrap();
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--offline",
            "-p",
            "mdevkit-sim",
            "--example",
            "serve",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    let program: PathBuf = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/serve");
    let mut server = Command::new(program)
        .arg(dir)
        .arg("mtty")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.as_mut().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(Path::new(ready.trim()), dir);
    server
}

#[test]
fn unmounting_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("a/host");
    let sim = Sim::mount(&root, &boards(&["mtty"])).unwrap();
    assert_eq!(sim.root(), root);
    assert_eq!(
        names(&root),
        [".mdevkit-sim", "dev", "etc", "proc", "run", "sim", "sys", "tmp", "var"]
    );
    assert!(root.join("proc/self/fd").is_dir());
    std::fs::create_dir_all(root.join("run/mdevkit")).unwrap();
    std::fs::copy("/proc/self/comm", root.join("etc/file")).unwrap();
    sim.unmount().unwrap();
    assert!(!root.exists() && !mounted_below(dir.path()));

    // A directory that was there stays, with what was in it.
    let kept = dir.path().join("kept");
    std::fs::create_dir_all(kept.join("etc/mdevkit")).unwrap();
    drop(Sim::mount(&kept, &boards(&["mtty"])).unwrap());
    assert_eq!(
        (names(&kept), names(&kept.join("etc"))),
        (vec!["etc".to_owned()], vec!["mdevkit".to_owned()])
    );
}

#[test]
fn a_directory_that_is_taken_is_refused_and_untouched() {
    let host = host(&["mtty"]);
    let twice = Sim::mount(host.sim.root(), &boards(&["mdpy"]));
    assert!(matches!(twice, Err(SimError::Mounted { .. })), "{twice:?}");
    assert!(host.path("sys/class/mdev_bus/mtty").exists());

    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("sys/class")).unwrap();
    assert!(matches!(
        Sim::mount(dir.path(), &boards(&["mtty"])),
        Err(SimError::NotEmpty { .. })
    ));
    assert_eq!(names(dir.path()), ["sys"]);
    assert!(Sim::mount(Path::new("/"), &boards(&["mtty"])).is_err());
    let twice = Sim::mount(&dir.path().join("new"), &boards(&["mtty", "mtty"]));
    assert!(matches!(twice, Err(SimError::BoardTwice { .. })));
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_killed_server_is_cleared_away_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("host");
    let mut server = serve(&root);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(
        errno(&root.join("sys").symlink_metadata().unwrap_err()),
        Errno::ENOTCONN
    );

    let sim = Sim::mount(&root, &boards(&["mdpy"])).unwrap();
    assert_eq!(names(&root.join("sys/class/mdev_bus")), ["mdpy"]);
    sim.unmount().unwrap();
    assert!(!root.exists() && !mounted_below(dir.path()));

    // And one that ends by itself.
    let mut server = serve(&root);
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    assert!(!root.exists() && !mounted_below(dir.path()));
}

#[test]
fn a_busy_host_goes_within_seconds_and_frees_who_waits() {
    let host = host(&["mtty"]);
    host.create("mtty", "mtty-1", &uuid(1)).unwrap();
    let root = host.sim.root().to_owned();
    let vm = OpenOptions::new()
        .read(true)
        .write(true)
        .open(root.join("dev/vfio/0"))
        .unwrap();
    let mut writer = Command::new("sh")
        .args(["-c", "echo 1 > \"$0\""])
        .arg(host.device(&uuid(1), "remove"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    crate::common::soon("the remove waits", || {
        host.sim.handle().devices().iter().any(|device| device.removing)
    });
    let begun = Instant::now();
    let answer = host.sim.unmount();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(
        matches!(answer, Ok(()) | Err(SimError::StillInUse { .. })),
        "{answer:?}"
    );
    assert!(!writer.wait().unwrap().success());
    assert!(!mounted_below(&root) && !root.exists());
    drop(vm);
}

#[test]
fn what_is_mounted_below_by_others_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    std::fs::create_dir_all(precious.join("data")).unwrap();
    let host = host(&["mtty"]);
    let at = host.path("run");
    let none: Option<&str> = None;
    nix::mount::mount(Some(&precious), &at, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    let root = host.sim.root().to_owned();
    let answer = host.sim.unmount();
    assert!(matches!(answer, Err(SimError::ForeignMount { .. })), "{answer:?}");
    assert!(precious.join("data").is_dir());
    nix::mount::umount(&at).unwrap();
    assert!(root.join("run").is_dir());
}

#[test]
fn many_hosts_live_side_by_side() {
    std::thread::scope(|threads| {
        for n in 0..12 {
            threads.spawn(move || {
                let host = host(&["mtty", "v100dx:2"]);
                for round in 0..10 {
                    host.create("mtty", "mtty-2", &uuid(n)).unwrap();
                    assert_eq!(host.available("mtty", "mtty-2"), 11, "host {n}, round {round}");
                    host.remove(&uuid(n)).unwrap();
                }
                host.sim.unmount().unwrap();
            });
        }
    });
}

#[test]
fn it_works_in_a_mount_namespace_of_its_own() {
    let host = host(&["mtty"]);
    let script = "echo 00000000-0000-4000-8000-000000000001 > \"$0\" && umount \"$1\" && ! test -e \"$1/class\"";
    let inside = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script])
        .arg(host.type_file("mtty", "mtty-1", "create"))
        .arg(host.path("sys"))
        .output()
        .unwrap();
    assert!(inside.status.success(), "{inside:?}");
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(1)]);
}
