//! Bad days on demand, through the handle and through the control file.

use std::time::{Duration, Instant};

use mdevkit_sim::{AttrFault, Fault, Target};
use nix::errno::Errno;

use crate::common::{Host, host, names, read, read_bytes, soon, store, uuid};

fn control(host: &Host, lines: &str) -> Result<usize, Errno> {
    store(&host.path("sim/control"), lines.as_bytes())
}

#[test]
fn the_next_creates_fail_as_ordered_and_leave_nothing() {
    let host = host(&["mtty", "mdpy"]);
    assert!(control(&host, "fail-create mtty mtty-2 2 EIO\nfail-create mdpy * 1 ENODEV\n").is_ok());
    assert!(
        read(&host.path("sim/control"))
            .unwrap()
            .ends_with("fail-create mtty mtty-2 2 EIO\nfail-create mdpy * 1 ENODEV\n")
    );
    assert_eq!(host.create("mtty", "mtty-1", &uuid(1)), Ok(36));
    assert_eq!(host.create("mtty", "mtty-2", &uuid(2)), Err(Errno::EIO));
    assert_eq!(host.create("mtty", "mtty-2", &uuid(2)), Err(Errno::EIO));
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(1)]);
    assert_eq!(host.create("mtty", "mtty-2", &uuid(2)), Ok(36));
    assert_eq!(host.create("mdpy", "mdpy-hd", &uuid(3)), Err(Errno::ENODEV));
    assert_eq!(host.create("mdpy", "mdpy-hd", &uuid(3)), Ok(36));
    // The core's checks come first and use no fault up.
    host.sim.handle().inject(Fault::FailCreate {
        on: Target::any(),
        count: 1,
        errno: Errno::EIO as i32,
    });
    assert_eq!(host.create("mtty", "mtty-1", &uuid(1)), Err(Errno::EEXIST));
    assert_eq!(host.create("mtty", "mtty-1", &uuid(4)), Err(Errno::EIO));
}

#[test]
fn a_device_may_become_ready_after_create_returned() {
    let host = host(&["mtty"]);
    control(&host, "late-ready mtty * 1 3600000").unwrap();
    host.create("mtty", "mtty-1", &uuid(1)).unwrap();
    assert!(!host.device(&uuid(1), "mdev_type").exists() && !host.path("dev/vfio/0").exists());
    assert_eq!(names(&host.path("dev/vfio")), ["vfio"]);
    assert!(host.device(&uuid(1), "remove").exists());

    control(&host, "late-ready mtty mtty-1 1 80").unwrap();
    let begun = Instant::now();
    host.create("mtty", "mtty-1", &uuid(2)).unwrap();
    let (mdev_type, node) = (host.device(&uuid(2), "mdev_type"), host.path("dev/vfio/1"));
    soon("ready", || mdev_type.exists() && node.exists());
    assert!(begun.elapsed() >= Duration::from_millis(80));

    host.create("mtty", "mtty-1", &uuid(3)).unwrap();
    assert!(host.device(&uuid(3), "mdev_type").exists() && host.path("dev/vfio/2").exists());
    host.remove(&uuid(1)).unwrap();
}

#[test]
fn slow_probes_overlap_and_show_an_unfinished_device() {
    let host = host(&["mtty"]);
    control(&host, "slow-create mtty * 2 1000\nfail-create mtty mtty-2 1 EIO").unwrap();
    let begun = Instant::now();
    std::thread::scope(|threads| {
        let good = threads.spawn(|| host.create("mtty", "mtty-1", &uuid(1)));
        let bad = threads.spawn(|| host.create("mtty", "mtty-2", &uuid(2)));
        soon("both are being made", || {
            names(&host.path("sys/bus/mdev/devices")).len() == 2
        });
        assert_eq!(names(&host.device(&uuid(1), "")), ["power", "subsystem", "uevent"]);
        assert_eq!(
            host.available("mtty", "mtty-1"),
            23,
            "the probe takes its ports at once"
        );
        assert_eq!(host.create("mtty", "mtty-1", &uuid(1)), Err(Errno::EEXIST));
        assert_eq!((good.join().unwrap(), bad.join().unwrap()), (Ok(36), Err(Errno::EIO)));
    });
    assert!(begun.elapsed() >= Duration::from_millis(1000));
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(1)]);
    assert!(host.device(&uuid(1), "mdev_type").exists());
}

#[test]
fn files_say_what_a_test_wants() {
    let host = host(&["v100dx"]);
    let file = "sys/class/mdev_bus/0000:06:00.0/mdev_supported_types/nvidia-194/available_instances";
    let path = host.path(file);
    let set = |what: &str| control(&host, &format!("attr {file} {what}\n")).unwrap();
    set("empty");
    assert_eq!(read(&path).unwrap(), "");
    set("text abc");
    assert_eq!(read(&path).unwrap(), "abc\n");
    set("hex 33ff0a");
    assert_eq!(read_bytes(&path).unwrap(), [b'3', 0xff, b'\n']);
    set("errno EIO");
    assert_eq!(read(&path), Err(Errno::EIO));
    set("missing");
    assert_eq!(read(&path), Err(Errno::ENOENT));
    assert!(!names(path.parent().unwrap()).contains(&"available_instances".to_owned()));
    set("clear");
    assert_eq!(read(&path).unwrap(), "32\n");

    let handle = host.sim.handle();
    let numa = "sys/bus/pci/devices/0000:06:00.0/numa_node";
    handle
        .override_attr(numa, Some(AttrFault::Content(b"-1\n".to_vec())))
        .unwrap();
    assert_eq!(read(&host.path(numa)).unwrap(), "-1\n");
    handle.clear_faults();
    assert_eq!(read(&host.path(numa)).unwrap(), "0\n");
    assert!(handle.override_attr("sys/no/such", Some(AttrFault::Missing)).is_err());
}

#[test]
fn devices_and_parents_vanish() {
    let host = host(&["mtty", "mdpy"]);
    host.create("mtty", "mtty-1", &uuid(1)).unwrap();
    host.create("mtty", "mtty-1", &uuid(2)).unwrap();
    host.create("mdpy", "mdpy-hd", &uuid(3)).unwrap();
    control(&host, &format!("vanish {}", uuid(1))).unwrap();
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(2), uuid(3)]);
    assert_eq!(names(&host.path("dev/vfio")), ["1", "2", "vfio"]);
    control(&host, "unplug mtty").unwrap();
    assert_eq!(names(&host.path("sys/class/mdev_bus")), ["mdpy"]);
    assert_eq!(names(&host.path("sys/bus/mdev/devices")), [uuid(3)]);
    assert_eq!(host.create("mtty", "mtty-1", &uuid(4)), Err(Errno::ENOENT));
    assert_eq!(host.sim.handle().available("mtty", "mtty-1"), None);
}

#[test]
fn a_wrong_order_is_refused_as_a_whole() {
    let host = host(&["mtty"]);
    for lines in [
        "nonsense",
        "fail-create * * 1 EIO\nnonsense",
        "vanish 1",
        "hold",
        "\u{0}",
        "attr sys/no missing",
    ] {
        assert_eq!(control(&host, lines), Err(Errno::EINVAL), "{lines:?}");
    }
    assert_eq!(store(&host.path("sim/control"), &[0xff]), Err(Errno::EINVAL));
    assert_eq!(host.create("mtty", "mtty-1", &uuid(1)), Ok(36));
}

#[test]
fn the_log_says_what_happened_in_order() {
    let host = host(&["mtty", "mdpy"]);
    host.create("mtty", "mtty-2", &uuid(1)).unwrap();
    host.create("mdpy", "mdpy-hd", &uuid(1)).unwrap_err();
    host.create("mtty", "mtty-2", "junk").unwrap_err();
    host.remove(&uuid(1)).unwrap();
    let log = read(&host.path("sim/log")).unwrap();
    assert_eq!(log, host.sim.handle().journal());
    let mut last = 0;
    let said: Vec<_> = log
        .lines()
        .map(|line| {
            let (time, rest) = line.split_once(' ').unwrap();
            let time: u64 = time.strip_prefix("t=").unwrap().parse().unwrap();
            assert!(time >= last);
            last = time;
            rest.to_owned()
        })
        .collect();
    let u = uuid(1);
    assert_eq!(
        said,
        [
            format!("op=create result=ok uuid={u} parent=mtty type=mtty-2 group=0"),
            format!("op=create result=EEXIST uuid={u} parent=mdpy type=mdpy-hd group=-"),
            "op=create result=EINVAL uuid=- parent=mtty type=mtty-2 group=-".to_owned(),
            format!("op=remove result=ok uuid={u} parent=mtty type=mtty-2 group=0"),
        ]
    );
}
