//! Creating and removing against the simulated drivers, which answer as the kernel does: what each errno means.
#![expect(clippy::unwrap_used, reason = "a helper that cannot make its host is a failed test")]

use mdevkit_core::{ParentName, TypeId, Uuid};
use mdevkit_sim::{Fault, Sim, SimHandle, Target};
use mdevkit_sysfs::mdev::{Bus, CreateError, Device, ParamsError, Readiness, RemoveError, Removed};
use mdevkit_sysfs::pci::Pci;
use mdevkit_sysfs::{Root, framework, in_use};
use nix::errno::Errno;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Lab {
    sim: Sim,
    root: Root,
    _place: TempDir,
}

impl Lab {
    fn new(boards: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
        let sim = Sim::mount(&place.path().join("host"), &boards).unwrap();
        let root = Root::at(sim.root());
        Self {
            sim,
            root,
            _place: place,
        }
    }

    fn bus(&self) -> Bus<'_> {
        Bus::new(&self.root)
    }

    fn handle(&self) -> SimHandle {
        self.sim.handle()
    }
}

fn uuid(number: u32) -> Uuid {
    format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
}

fn names(parent: &str, type_id: &str) -> (ParentName, TypeId) {
    (parent.parse().unwrap(), type_id.parse().unwrap())
}

#[test]
fn a_device_is_whole_when_create_returns_and_gone_when_remove_does() {
    let lab = Lab::new(&["mtty"]);
    let bus = lab.bus();
    let (parent, type_id) = names("mtty", "mtty-2");
    assert_eq!(bus.available(&parent, &type_id).unwrap(), Some(12));
    bus.create(&parent, &type_id, uuid(1)).unwrap();
    let device = Device {
        uuid: uuid(1),
        parent: parent.clone(),
        type_id: Some(type_id.clone()),
    };
    assert_eq!(bus.device(uuid(1)).unwrap(), Some(device));
    let Readiness::Ready { group } = bus.readiness(uuid(1)).unwrap() else {
        panic!("not ready")
    };
    assert!(bus.vfio_node(group).exists());
    assert_eq!(bus.available(&parent, &type_id).unwrap(), Some(11));
    assert_eq!(bus.remove(uuid(1)).unwrap(), Removed::Now);
    assert_eq!(bus.remove(uuid(1)).unwrap(), Removed::AlreadyGone);
    assert_eq!(bus.device(uuid(1)).unwrap(), None);
    assert_eq!(bus.available(&parent, &type_id).unwrap(), Some(12));
}

#[test]
fn every_parent_that_is_a_card_is_one_on_the_bus() {
    let lab = Lab::new(&["mtty", "v100dx:2"]);
    let (bus, pci) = (lab.bus(), Pci::new(&lab.root));
    let found = pci.functions().unwrap();
    assert!(found.unreadable.is_empty() && found.with_virtual.is_empty());
    let parents = bus.parents().unwrap();
    let cards: Vec<_> = parents.iter().filter_map(ParentName::bdf).collect();
    assert_eq!(cards.len(), 2);
    assert!(cards.iter().all(|card| found.display.contains(card)));
    for parent in &parents {
        assert_eq!(bus.pgpu_of(parent).unwrap().unwrap().as_parent(), parent, "no SR-IOV");
    }
    for card in cards {
        assert_eq!(pci.ids(card).unwrap().unwrap().to_string(), "10de:1db5");
        assert_eq!(
            pci.numa_node(card).unwrap(),
            bus.numa_node(&card.to_string().parse().unwrap()).unwrap()
        );
        let seen = framework::presence(&pci, card).unwrap().unwrap();
        assert!(seen.mdev && !seen.vendor_vfio);
        assert_eq!(seen.driver.as_deref(), Some("nvidia"));
    }
}

#[test]
fn each_drivers_no_has_its_meaning() {
    let lab = Lab::new(&["mtty", "mdpy", "mbochs", "v100dx:1"]);
    let bus = lab.bus();
    let fill = |parent: &str, type_id: &str, start: u32| {
        let (parent, type_id) = names(parent, type_id);
        (start..)
            .find_map(|number| bus.create(&parent, &type_id, uuid(number)).err())
            .unwrap()
    };
    for (parent, type_id, start, expected) in [
        ("mtty", "mtty-2", 0x1000, Errno::ENOSPC),
        ("mdpy", "mdpy-hd", 0x2000, Errno::EUSERS),
        ("mbochs", "mbochs-large", 0x3000, Errno::ENOSPC),
    ] {
        let error = fill(parent, type_id, start);
        assert!(
            matches!(error, CreateError::Full { errno, .. } if errno == expected as i32),
            "{parent}: {error}"
        );
        assert!(error.is_lost_race(), "{parent}");
    }
    let error = fill("0000:06:00.0", "nvidia-199", 0x4000);
    assert!(
        matches!(error, CreateError::Refused { errno, .. } if errno == Errno::EIO as i32),
        "{error}"
    );
    assert!(error.is_lost_race());

    // The kernel looks for the UUID before it looks for room, over all parents.
    let (parent, type_id) = names("mdpy", "mdpy-hd");
    let error = bus.create(&parent, &type_id, uuid(0x1000)).unwrap_err();
    assert!(
        matches!(error, CreateError::Exists { .. }) && !error.is_lost_race(),
        "{error}"
    );
    for (parent, type_id) in [("mtty", "mtty-3"), ("matrix", "vfio_ap-passthrough")] {
        let (parent, type_id) = names(parent, type_id);
        let error = bus.create(&parent, &type_id, uuid(0x5000)).unwrap_err();
        assert!(
            matches!(error, CreateError::NoSuchType { .. }) && error.is_lost_race(),
            "{error}"
        );
        assert!(error.to_string().contains(parent.as_str()), "{error}");
    }
}

#[test]
fn every_errno_of_create_is_one_line_that_names_the_file() {
    let lab = Lab::new(&["mtty"]);
    let (parent, type_id) = names("mtty", "mtty-1");
    for (errno, lost_race) in [
        (Errno::EEXIST, false),
        (Errno::ENOSPC, true),
        (Errno::EUSERS, true),
        (Errno::EIO, true),
        (Errno::EPERM, true),
        (Errno::EBUSY, true),
        (Errno::ENOMEM, true),
        (Errno::ENODEV, true),
        (Errno::EINVAL, false),
        (Errno::EACCES, false),
        (Errno::EROFS, false),
    ] {
        lab.handle().inject(Fault::FailCreate {
            on: Target::any(),
            count: 1,
            errno: errno as i32,
        });
        let error = lab.bus().create(&parent, &type_id, uuid(1)).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.is_lost_race(), lost_race, "{errno}: {message}");
        assert!(
            message.contains("mtty-1/create") && !message.contains('\n'),
            "{errno}: {message}"
        );
    }
    lab.bus().create(&parent, &type_id, uuid(1)).unwrap();
}

#[test]
fn a_device_on_its_way_is_there_before_it_is_ready() {
    let lab = Lab::new(&["mtty"]);
    let (parent, type_id) = names("mtty", "mtty-1");
    lab.handle().inject(Fault::LateReady {
        on: Target::any(),
        count: 1,
        delay: Duration::from_millis(200),
    });
    lab.bus().create(&parent, &type_id, uuid(1)).unwrap();
    assert_eq!(lab.bus().readiness(uuid(1)).unwrap(), Readiness::NoType);
    let begin = Instant::now();
    while !matches!(lab.bus().readiness(uuid(1)).unwrap(), Readiness::Ready { .. }) {
        assert!(begin.elapsed() < Duration::from_secs(5), "never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_holds_a_device_is_found_and_nothing_is_opened_for_it() {
    let lab = Lab::new(&["v100dx:1", "mtty"]);
    let bus = lab.bus();
    let (parent, type_id) = names("0000:06:00.0", "nvidia-194");
    bus.create(&parent, &type_id, uuid(1)).unwrap();
    assert_eq!(bus.vm_name(uuid(1)).unwrap(), None);
    assert_eq!(in_use::look(&lab.root, uuid(1)), in_use::InUse::Unknown);
    lab.handle().control(&format!("hold {} win10", uuid(1))).unwrap();
    assert!(bus.vm_name(uuid(1)).unwrap().is_some_and(|name| name.contains("win10")));
    assert!(matches!(in_use::look(&lab.root, uuid(1)), in_use::InUse::Yes { by } if by.contains("win10")));
    assert!(
        !lab.handle().journal().contains("op=open result=EBUSY"),
        "looking opened the group"
    );
    let Readiness::Ready { group } = bus.readiness(uuid(1)).unwrap() else {
        panic!("not ready")
    };
    assert!(matches!(
        in_use::test_by_opening(&lab.root, group).unwrap(),
        in_use::InUse::Yes { .. }
    ));
    lab.handle().control(&format!("release {}", uuid(1))).unwrap();
    assert_eq!(in_use::test_by_opening(&lab.root, group).unwrap(), in_use::InUse::No);
    assert_eq!(in_use::test_by_opening(&lab.root, 4711).unwrap(), in_use::InUse::No);
    assert_eq!(bus.remove(uuid(1)).unwrap(), Removed::Now);
}

#[test]
fn a_removal_under_way_is_busy_and_not_gone() {
    let lab = Lab::new(&["mtty"]);
    let (parent, type_id) = names("mtty", "mtty-1");
    lab.bus().create(&parent, &type_id, uuid(1)).unwrap();
    lab.handle().control(&format!("hold {}", uuid(1))).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| lab.bus().remove(uuid(1)));
        let begin = Instant::now();
        while lab
            .bus()
            .device(uuid(1))
            .unwrap()
            .is_some_and(|device| device.type_id.is_some())
        {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "the first removal never began"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let second = lab.bus().remove(uuid(1));
        // Before anything is asserted: a failed assertion must not leave the first one waiting for ever.
        lab.handle().control(&format!("release {}", uuid(1))).unwrap();
        assert!(matches!(second, Err(RemoveError::Busy { .. })), "{second:?}");
        assert_eq!(first.join().unwrap().unwrap(), Removed::Now);
    });
    assert_eq!(lab.bus().remove(uuid(1)).unwrap(), Removed::AlreadyGone);
}

#[test]
fn parameters_arrive_whole_or_are_refused() {
    let lab = Lab::new(&["v100dx:1", "mtty"]);
    let bus = lab.bus();
    let params = "frame_rate_limiter=0,disable_vnc=1".parse().unwrap();
    let (gpu, q1) = names("0000:06:00.0", "nvidia-194");
    let (mtty, mtty_1) = names("mtty", "mtty-1");
    bus.create(&gpu, &q1, uuid(1)).unwrap();
    bus.create(&mtty, &mtty_1, uuid(2)).unwrap();
    assert_eq!(bus.params(uuid(1)).unwrap(), None);
    bus.write_params(uuid(1), &params).unwrap();
    assert_eq!(
        bus.params(uuid(1)).unwrap().as_deref(),
        Some("frame_rate_limiter=0,disable_vnc=1"),
        "to the last byte"
    );
    assert!(matches!(
        bus.write_params(uuid(2), &params),
        Err(ParamsError::NoParams { .. })
    ));
    assert!(matches!(
        bus.write_params(uuid(3), &params),
        Err(ParamsError::NoDevice { .. })
    ));
    lab.handle().control(&format!("hold {}", uuid(1))).unwrap();
    assert!(matches!(
        bus.write_params(uuid(1), &params),
        Err(ParamsError::InUse { .. })
    ));
    lab.handle().control(&format!("release {}", uuid(1))).unwrap();
}

#[test]
fn gpus_have_a_numa_node_and_come_first() {
    let lab = Lab::new(&["mtty", "v100dx:2"]);
    let parents = lab.bus().parents().unwrap();
    assert_eq!(
        parents.iter().map(ParentName::as_str).collect::<Vec<_>>(),
        ["0000:06:00.0", "0000:07:00.0", "mtty"]
    );
    assert!(lab.bus().numa_node(&parents[0]).unwrap().is_some());
    assert_eq!(lab.bus().numa_node(&parents[2]).unwrap(), None);
    let (parent, type_id) = names("0000:06:00.0", "nvidia-196");
    assert_eq!(
        lab.bus().type_name(&parent, &type_id).unwrap().unwrap().short(),
        Some("V100DX-4Q")
    );
    assert_eq!(
        lab.bus()
            .description(&parent, &type_id)
            .unwrap()
            .unwrap()
            .framebuffer_mib,
        Some(4096)
    );
}

/// A process that opened `remove` and was held up must not remove the device that came after.
#[test]
fn an_open_remove_is_of_that_very_device() {
    let lab = Lab::new(&["mtty"]);
    let bus = lab.bus();
    let (parent, type_id) = names("mtty", "mtty-1");
    bus.create(&parent, &type_id, uuid(1)).unwrap();
    let late = bus.open_remove(uuid(1)).unwrap().unwrap();
    bus.remove(uuid(1)).unwrap();
    bus.create(&parent, &type_id, uuid(1)).unwrap();
    assert!(matches!(late.remove(), Err(RemoveError::Busy { .. })));
    assert!(bus.device(uuid(1)).unwrap().is_some(), "the second one is untouched");
    assert!(bus.open_remove(uuid(2)).unwrap().is_none());
}
