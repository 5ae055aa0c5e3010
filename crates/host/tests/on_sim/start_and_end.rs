//! A domain starts and ends on a simulated host: what is there afterwards, and what is not.

use crate::common::{Fixture, dead_daemon, device, domain_uuid, quick, start, want, wants};
use mdevkit_core::{Code, Policy};
use mdevkit_host::{HostError, How, Removal};
use std::time::{Duration, Instant};

#[test]
fn a_start_makes_the_devices_and_an_end_removes_them() {
    let fixture = Fixture::new(&["mtty", "mbochs"]);
    let acquired = fixture.start(1, &["mtty-2", "mbochs-large"]).unwrap();
    let found: Vec<_> = acquired
        .iter()
        .map(|a| (a.uuid, a.parent.as_str(), a.type_id.as_str(), a.how))
        .collect();
    assert_eq!(
        found,
        [
            (device(1, 0), "mtty", "mtty-2", How::Created),
            (device(1, 1), "mbochs", "mbochs-large", How::Created)
        ]
    );
    assert_eq!(fixture.devices().len(), 2);
    assert_eq!(fixture.ledger().matches(r#""state":"created""#).count(), 2);

    let released = fixture.end(1);
    assert!(
        released.iter().all(|r| matches!(r.removal, Ok(Removal::Removed))),
        "{released:?}"
    );
    assert!(fixture.devices().is_empty());
    assert!(!fixture.ledger().contains("uuid"));
    assert!(fixture.end(1).is_empty(), "twice is the same as once");
}

#[test]
fn policies_choose_by_the_room_that_is_left() {
    for (policy, expected) in [
        (Policy::DepthFirst, ["0000:06:00.0", "0000:06:00.0", "0000:06:00.0"]),
        (Policy::BreadthFirst, ["0000:06:00.0", "0000:07:00.0", "0000:0a:00.0"]),
    ] {
        let fixture = Fixture::new(&["v100dx:8"]);
        let mut chosen = Vec::new();
        for domain in 1..=3 {
            let mut want = want(domain, 0, "V100DX-4Q");
            want.policy = Some(policy);
            chosen.push(
                fixture
                    .start_with(domain, &[want], &quick())
                    .unwrap()
                    .remove(0)
                    .parent
                    .to_string(),
            );
        }
        assert_eq!(chosen, expected, "{policy}");
    }
}

#[test]
fn a_gpu_that_runs_another_size_is_passed_over_within_one_domain_too() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let acquired = fixture.start(1, &["V100DX-4Q", "V100DX-8Q"]).unwrap();
    let parents: Vec<_> = acquired.iter().map(|a| a.parent.as_str()).collect();
    assert_eq!(parents, ["0000:06:00.0", "0000:07:00.0"]);
}

#[test]
fn a_refusal_names_the_type_and_why_and_makes_nothing() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.start(1, &["V100DX-32Q"]).unwrap();
    fixture.start(2, &["V100DX-8Q"]).unwrap();
    let before = fixture.devices();
    let error = fixture.start(3, &["V100DX-32Q"]).unwrap_err();
    assert_eq!(error.code(), Code::Full);
    assert_eq!(
        error.to_string(),
        "no V100DX-32Q left: 1 GPU runs another size (nvidia-197), 1 GPU is full"
    );
    let both = fixture.start(3, &["V100DX-8Q", "V100DX-32Q"]).unwrap_err();
    assert_eq!(both.code(), Code::Full, "{both}");
    assert_eq!(fixture.devices(), before);
    assert!(!fixture.ledger().contains(&domain_uuid(3).to_string()));
}

#[test]
fn a_type_that_is_not_here_is_told_from_one_that_is_full() {
    let fixture = Fixture::new(&["mtty"]);
    for (spec, code) in [
        ("nvidia-196", Code::Type),
        ("A40-4Q", Code::Type),
        ("serial", Code::Type),
    ] {
        assert_eq!(fixture.start(1, &[spec]).unwrap_err().code(), code, "{spec}");
    }
    let nothing = Fixture::new(&[]);
    let error = nothing.start(1, &["mtty-1"]).unwrap_err();
    assert!(error.to_string().contains("no parents"), "{error}");
}

#[test]
fn when_one_of_two_cannot_be_made_the_other_is_undone() {
    let fixture = Fixture::new(&["mtty", "mdpy"]);
    fixture.sim.control("fail-create mdpy mdpy-hd 1 EACCES\n").unwrap();
    let error = fixture.start(1, &["mtty-1", "mdpy-hd"]).unwrap_err();
    assert_eq!(error.code(), Code::Host, "{error}");
    assert!(fixture.devices().is_empty(), "law 3: all or none");
    assert!(!fixture.ledger().contains("uuid"));
}

#[test]
fn a_lost_race_tries_the_next_parent() {
    for errno in ["EIO", "ENOSPC", "EUSERS", "ENODEV"] {
        let fixture = Fixture::new(&["v100dx:3"]);
        fixture
            .sim
            .control(&format!("fail-create 0000:06:00.0 * 1 {errno}\n"))
            .unwrap();
        let acquired = fixture.start(1, &["nvidia-196"]).unwrap();
        assert_eq!(acquired[0].parent.as_str(), "0000:07:00.0", "{errno}");
        assert_eq!(fixture.devices().len(), 1);
    }
}

#[test]
fn when_every_parent_refuses_each_has_its_reason() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.sim.control("fail-create * * 2 EIO\n").unwrap();
    let HostError::Refused(refusal) = fixture.start(1, &["nvidia-196"]).unwrap_err() else {
        panic!("a refusal")
    };
    assert_eq!((refusal.code, refusal.reasons.len()), (Code::Full, 2));
    assert!(refusal.to_string().contains("EIO"), "{refusal}");
    assert!(!fixture.ledger().contains("uuid"));
}

#[test]
fn a_device_that_comes_up_late_is_waited_for() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.sim.control("late-ready mtty mtty-1 1 100\n").unwrap();
    let began = Instant::now();
    fixture.start(1, &["mtty-1"]).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(95));
}

#[test]
fn a_device_that_never_comes_up_is_removed_again() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.sim.control("late-ready mtty mtty-1 1 1500\n").unwrap();
    let error = fixture.start(1, &["mtty-1"]).unwrap_err();
    assert!(matches!(error, HostError::NotReady { .. }), "{error}");
    assert!(error.to_string().contains("mdev_type"), "{error}");
    fixture.host.reconcile(&Default::default()).unwrap();
    assert!(fixture.devices().is_empty(), "{:?}", fixture.devices());
}

#[test]
fn params_are_written_before_the_guest_starts() {
    let fixture = Fixture::new(&["v100dx:1", "mtty"]);
    let mut asked = want(1, 0, "nvidia-194");
    asked.params = Some("frame_rate_limiter=0,disable_vnc=1".parse().unwrap());
    fixture.start_with(1, &[asked], &quick()).unwrap();
    let path = fixture.path(&format!("sys/bus/mdev/devices/{}/nvidia/vgpu_params", device(1, 0)));
    assert_eq!(
        std::fs::read_to_string(path).unwrap().trim(),
        "frame_rate_limiter=0,disable_vnc=1"
    );

    let mut asked = want(2, 0, "mtty-1");
    asked.params = Some("disable_vnc=1".parse().unwrap());
    let error = fixture.start_with(2, &[asked], &quick()).unwrap_err();
    assert!(error.to_string().contains("vgpu_params"), "{error}");
    assert_eq!(fixture.devices().len(), 1, "a device that cannot be set up is not left");
}

#[test]
fn what_is_there_already_decides_by_whose_it_is() {
    // Rows of the second table: who made the device, of which type, and what follows.
    let fixture = Fixture::new(&["mtty", "mdpy"]);

    fixture.start(1, &["mtty-1"]).unwrap();
    let again = fixture.start(1, &["mtty-1"]).unwrap();
    assert_eq!(again[0].how, How::Adopted, "ours, this domain's, same type");

    let mut stolen = want(2, 0, "mtty-1");
    stolen.uuid = device(1, 0);
    let error = fixture.start_with(2, &[stolen], &quick()).unwrap_err();
    assert_eq!(error.code(), Code::Owned);
    assert!(error.to_string().contains("domain d1"), "{error}");
    assert!(
        fixture.end(2).is_empty(),
        "the second one's release takes nothing from the first"
    );
    assert_eq!(fixture.devices().len(), 1);

    fixture.foreign("mtty", "mtty-2", device(3, 0));
    let used = fixture.start(3, &["mtty-2"]).unwrap();
    assert_eq!(used[0].how, How::Foreign, "foreign, right type");
    assert!(fixture.end(3).is_empty());
    assert_eq!(fixture.devices().len(), 2, "and left in place");

    fixture.foreign("mdpy", "mdpy-hd", device(4, 0));
    let error = fixture.start(4, &["mtty-2"]).unwrap_err();
    assert_eq!(error.code(), Code::Foreign);
    assert!(error.to_string().contains("mdpy-hd"), "{error}");
    assert_eq!(fixture.devices().len(), 3);

    let changed = fixture.start(1, &["mtty-2"]).unwrap();
    assert_eq!(
        (changed[0].how, changed[0].type_id.as_str()),
        (How::Created, "mtty-2"),
        "ours, of another type"
    );
    assert_eq!(fixture.devices().len(), 3);
}

#[test]
fn a_device_that_is_being_released_is_waited_for() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let uuid = device(1, 0);
    fixture.sim.control(&format!("hold {uuid} d1\n")).unwrap();
    assert!(
        matches!(fixture.end(1)[0].removal, Ok(Removal::Pending { .. })),
        "a guest still has it"
    );
    assert!(fixture.ledger().contains("releasing"));

    let error = fixture.start(1, &["mtty-1"]).unwrap_err();
    assert!(matches!(error, HostError::Unfinished { .. }), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");

    std::thread::scope(|scope| {
        let second = scope.spawn(|| fixture.start(1, &["mtty-1"]));
        std::thread::sleep(Duration::from_millis(50));
        // Nobody but the start itself is there to finish the removal.
        fixture.sim.control(&format!("release {uuid}\n")).unwrap();
        assert_eq!(second.join().unwrap().unwrap()[0].how, How::Created);
    });
}

#[test]
fn leftovers_of_an_earlier_start_are_dropped() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1", "mtty-2"]).unwrap();
    fixture.start(1, &["mtty-1"]).unwrap();
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn a_start_whose_daemon_died_is_undone() {
    let fixture = Fixture::new(&["mtty"]);
    let orphan = start(1, Some(dead_daemon()));
    let error = fixture.start_by(&orphan, &wants(1, &["mtty-1"]), &quick()).unwrap_err();
    assert!(matches!(error, HostError::DaemonGone), "{error}");
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_device_that_a_guest_holds_is_never_removed() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    fixture.sim.control(&format!("hold {} qemu\n", device(1, 0))).unwrap();
    let began = Instant::now();
    let released = fixture.end(1);
    assert!(began.elapsed() < Duration::from_secs(1), "bounded");
    let Ok(Removal::Pending { why }) = &released[0].removal else {
        panic!("{released:?}")
    };
    assert!(why.contains("in use"), "{why}");
    assert_eq!(fixture.devices().len(), 1);
    assert!(!fixture.sim.devices()[0].removing, "remove was not even written");

    fixture.sim.control(&format!("release {}\n", device(1, 0))).unwrap();
    assert!(matches!(fixture.end(1)[0].removal, Ok(Removal::Removed)));
}

#[test]
fn odd_files_of_one_parent_do_not_hide_the_others() {
    let attr = "sys/class/mdev_bus/0000:06:00.0/mdev_supported_types/nvidia-196/available_instances";
    for fault in ["missing", "empty", "text many", "text -1", "hex ff0a", "errno EIO"] {
        let fixture = Fixture::new(&["v100dx:2"]);
        fixture.sim.control(&format!("attr {attr} {fault}\n")).unwrap();
        assert_eq!(
            fixture.start(1, &["nvidia-196"]).unwrap()[0].parent.as_str(),
            "0000:07:00.0",
            "{fault}"
        );

        let alone = Fixture::new(&["v100dx:1"]);
        alone.sim.control(&format!("attr {attr} {fault}\n")).unwrap();
        let error = alone.start(1, &["nvidia-196"]).unwrap_err();
        assert_eq!(error.code(), Code::Host, "{fault}: {error}");
        assert!(error.to_string().contains("available_instances"), "{fault}: {error}");
        assert!(alone.devices().is_empty());
    }
}

#[test]
fn the_hostdevs_model_must_be_what_the_type_is() {
    let fixture = Fixture::new(&["mtty"]);
    let mut asked = want(1, 0, "mtty-1");
    asked.device_api = Some(mdevkit_core::DeviceApi::VfioAp);
    assert_eq!(
        fixture.start_with(1, &[asked], &quick()).unwrap_err().code(),
        Code::Model
    );
    assert!(fixture.devices().is_empty());
}
