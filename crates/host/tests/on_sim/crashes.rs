//! What crashes leave, and how it is settled.

use crate::common::{Fixture, dead_daemon, device, domain_uuid, living_daemon, quick, start, want, wants};
use mdevkit_core::ledger::Action;
use mdevkit_core::{Code, TypeSpec};
use mdevkit_host::{HostError, How, ReconcileOptions};
use std::os::unix::fs::PermissionsExt;

/// A device of a domain whose daemon is of this kind.
fn crashed(fixture: &Fixture, domain: u32, daemon: Option<mdevkit_core::ledger::Daemon>) {
    // The start itself must succeed, so the daemon's death is written in afterwards.
    fixture.start(domain, &["mtty-1"]).unwrap();
    let text = |daemon| format!(r#""daemon":{},"#, serde_json::to_value(daemon).unwrap());
    let living = text(living_daemon());
    assert!(fixture.ledger().contains(&living));
    let ledger = fixture.ledger().replace(&living, &daemon.map(text).unwrap_or_default());
    fixture.put("run/mdevkit/ledger.json", &ledger);
    let file = fixture.path("run/mdevkit/ledger.json");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn reconcile(fixture: &Fixture, grace_s: Option<u64>) -> Vec<Action> {
    let options = ReconcileOptions {
        grace_s,
        ..ReconcileOptions::default()
    };
    let outcomes = fixture.host.reconcile(&options).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.done.is_ok()), "{outcomes:?}");
    outcomes.into_iter().map(|outcome| outcome.action).collect()
}

#[test]
fn only_a_device_that_nobody_will_come_for_is_collected() {
    let unseen = mdevkit_core::ledger::Daemon {
        pid: 1,
        start_ticks: 1,
        pid_namespace: 1,
    };
    for (story, daemon, runs, grace, stays) in [
        ("its daemon lives", Some(living_daemon()), false, None, true),
        ("its daemon is gone", Some(dead_daemon()), false, None, false),
        (
            "its daemon is gone, its guest runs",
            Some(dead_daemon()),
            true,
            None,
            true,
        ),
        ("its daemon cannot be seen", Some(unseen), false, None, true),
        (
            "its daemon cannot be seen, no grace",
            Some(unseen),
            false,
            Some(0),
            false,
        ),
        (
            "no daemon is known, no grace, its guest runs",
            None,
            true,
            Some(0),
            true,
        ),
        ("no daemon is known, no grace", None, false, Some(0), false),
    ] {
        let fixture = Fixture::new(&["mtty"]);
        fixture.foreign("mtty", "mtty-2", device(9, 9));
        crashed(&fixture, 1, daemon);
        if runs {
            fixture.status_file(1);
        }
        let options = ReconcileOptions {
            dry_run: true,
            grace_s: grace,
            ..ReconcileOptions::default()
        };
        fixture.host.reconcile(&options).unwrap();
        assert_eq!(fixture.devices().len(), 2, "{story}: a dry run does nothing");
        reconcile(&fixture, grace);
        assert_eq!(fixture.devices().len(), if stays { 2 } else { 1 }, "{story}");
        assert!(
            fixture.devices().iter().any(|(uuid, ..)| *uuid == device(9, 9)),
            "{story}: the foreign one stays"
        );
    }
}

#[test]
fn the_next_start_takes_over_what_a_crash_left() {
    let fixture = Fixture::new(&["mtty"]);
    crashed(&fixture, 1, Some(dead_daemon()));
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap()[0].how, How::Adopted);
    reconcile(&fixture, Some(0));
    assert_eq!(fixture.devices().len(), 1, "it belongs to the living daemon now");
}

#[test]
fn a_device_that_vanished_is_forgotten() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    fixture.sim.control(&format!("vanish {}\n", device(1, 0))).unwrap();
    assert!(matches!(reconcile(&fixture, None)[..], [Action::Forget { .. }]));
    assert!(!fixture.ledger().contains("uuid"));
}

#[test]
fn records_of_another_boot_are_nothing() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let boot = mdevkit_host::boot_id(fixture.host.root()).unwrap().to_string();
    let old = fixture.ledger().replace(&boot, "00000000-1111-2222-3333-444444444444");
    fixture.put("run/mdevkit/ledger.json", &old);
    assert!(
        fixture.end(1).is_empty(),
        "a device of that uuid was made by somebody else, on this boot"
    );
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn a_damaged_ledger_is_set_aside_and_rebuilt_from_what_can_be_proven() {
    for damage in ["", "{", "[]", r#"{"version":1}"#, r#"{"records":[]}"#, "\u{0}\u{0}"] {
        let fixture = Fixture::new(&["mtty"]);
        fixture.start(1, &["mtty-1"]).unwrap();
        fixture.foreign("mtty", "mtty-2", device(9, 9));
        fixture.status_file(1);
        fixture.put("run/mdevkit/ledger.json", damage);
        assert_eq!(
            fixture.end(1).len(),
            1,
            "{damage:?}: the domain's own is known by its uuid"
        );
        assert_eq!(
            fixture.devices().len(),
            1,
            "{damage:?}: what cannot be proven is foreign"
        );
        let names = std::fs::read_dir(fixture.path("run/mdevkit")).unwrap();
        let aside = names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"));
        assert_eq!(aside.count(), 1, "{damage:?}: kept for a person to look at");
    }
}

#[test]
fn a_ledger_of_a_newer_version_is_not_touched() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let newer = fixture.ledger().replace(r#""version":1"#, r#""version":2"#);
    fixture.put("run/mdevkit/ledger.json", &newer);
    assert_eq!(
        fixture.start(2, &["mtty-1"]).unwrap_err().code(),
        Code::Ledger,
        "prepare refuses"
    );
    assert!(
        fixture.host.release(domain_uuid(1), None, &quick()).is_err(),
        "release does nothing"
    );
    assert!(fixture.host.reconcile(&ReconcileOptions::default()).is_err());
    assert_eq!(fixture.devices().len(), 1);
    assert_eq!(fixture.ledger(), newer);
}

#[test]
fn a_ledger_that_others_can_write_or_that_is_a_link_is_refused() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let file = fixture.path("run/mdevkit/ledger.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = fixture.start(2, &["mtty-1"]).unwrap_err();
    assert!(matches!(error, HostError::Untrusted { .. }), "{error}");

    std::fs::rename(&file, fixture.path("run/elsewhere.json")).unwrap();
    std::os::unix::fs::symlink(fixture.path("run/elsewhere.json"), &file).unwrap();
    assert_eq!(fixture.start(2, &["mtty-1"]).unwrap_err().code(), Code::Ledger);

    std::fs::remove_file(&file).unwrap();
    std::fs::set_permissions(fixture.path("run/mdevkit"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = fixture.start(2, &["mtty-1"]).unwrap_err();
    assert!(matches!(error, HostError::Untrusted { .. }), "{error}");
    assert_eq!(fixture.devices().len(), 1, "nothing was made or removed meanwhile");
}

#[test]
fn a_hook_at_work_is_left_alone() {
    let fixture = Fixture::new(&["mtty"]);
    crashed(&fixture, 1, Some(dead_daemon()));
    fixture.sim.control("slow-create mtty mtty-2 1 400\n").unwrap();
    std::thread::scope(|scope| {
        let hook = scope.spawn(|| {
            let start = start(1, Some(living_daemon()));
            fixture.start_by(&start, &wants(1, &["mtty-1", "mtty-2"]), &quick())
        });
        std::thread::sleep(std::time::Duration::from_millis(150));
        let options = ReconcileOptions {
            wait_ms: 10,
            ..ReconcileOptions::default()
        };
        fixture.host.reconcile(&options).unwrap();
        assert!(hook.join().unwrap().is_ok());
    });
    assert_eq!(fixture.devices().len(), 2);
}

#[test]
fn fields_that_a_newer_minor_version_wrote_are_kept() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let extended = fixture
        .ledger()
        .replace(r#""state":"created""#, r#""state":"created","colour":"blue""#);
    fixture.put("run/mdevkit/ledger.json", &extended);
    fixture.start(2, &["mtty-1"]).unwrap();
    assert!(fixture.ledger().contains(r#""colour":"blue""#));
}

#[test]
fn a_removal_that_was_cut_off_after_its_write_does_not_hold_up_the_next_start() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let releasing = fixture.ledger().replace("created", "releasing");
    fixture.put("run/mdevkit/ledger.json", &releasing);
    fixture.sim.control(&format!("vanish {}\n", device(1, 0))).unwrap();
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap()[0].how, How::Created);
}

#[test]
fn an_orphaned_release_takes_nothing_from_the_next_start() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    // The daemon that called this release died; the one that lives started the domain again.
    let orphan = fixture
        .host
        .release(domain_uuid(1), Some(dead_daemon()), &quick())
        .unwrap();
    assert!(orphan.is_empty());
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn a_release_that_cannot_have_its_lock_is_not_lost() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    let path = fixture.path(&format!("run/mdevkit/domain-{}.lock", domain_uuid(1)));
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.lock().unwrap();
    let error = fixture
        .host
        .release(domain_uuid(1), Some(living_daemon()), &quick())
        .unwrap_err();
    assert!(matches!(error, HostError::Lock { .. }), "{error}");
    drop(file);
    reconcile(&fixture, None);
    assert!(fixture.devices().is_empty(), "although the daemon lives");
}

#[test]
fn a_start_that_was_cut_off_before_the_parameters_is_completed() {
    let fixture = Fixture::new(&["v100dx:1"]);
    let mut asked = want(1, 0, "nvidia-194");
    fixture.start_with(1, std::slice::from_ref(&asked), &quick()).unwrap();
    fixture.put(
        "run/mdevkit/ledger.json",
        &fixture.ledger().replace("created", "intent"),
    );
    asked.params = Some("disable_vnc=1".parse().unwrap());
    assert_eq!(fixture.start_with(1, &[asked], &quick()).unwrap()[0].how, How::Adopted);
    let path = fixture.path(&format!("sys/bus/mdev/devices/{}/nvidia/vgpu_params", device(1, 0)));
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "disable_vnc=1");
}

#[test]
fn a_rebuild_that_fails_loses_nothing() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1"]).unwrap();
    fixture.status_file(1);
    fixture.put("run/mdevkit/ledger.json", "{");
    std::fs::create_dir_all(fixture.path("etc/libvirt/qemu/odd.xml")).unwrap();
    assert!(fixture.host.owns(domain_uuid(1)).is_err());
    std::fs::remove_dir(fixture.path("etc/libvirt/qemu/odd.xml")).unwrap();
    assert!(fixture.host.owns(domain_uuid(1)).unwrap(), "proven once it can be");
}

#[test]
fn what_mdevctl_made_is_not_proven_to_be_ours() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.foreign("mtty", "mtty-1", device(1, 0));
    fixture.put(&format!("etc/mdevctl.d/mtty/{}", device(1, 0)), "{}");
    fixture.status_file(1);
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap()[0].how, How::Foreign);
    fixture.put("run/mdevkit/ledger.json", "{");
    assert!(fixture.end(1).is_empty());
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn a_device_that_somebody_makes_meanwhile_gets_no_record() {
    let fixture = Fixture::new(&["mtty"]);
    let spec: TypeSpec = "mtty-1".parse().unwrap();
    let ask = mdevkit_host::ManualAsk::new(spec, device(5, 0));
    fixture.foreign("mtty", "mtty-1", device(5, 0));
    assert_eq!(fixture.host.create(&ask).unwrap_err().code(), Code::Foreign);
    assert!(!fixture.ledger().contains(&device(5, 0).to_string()));
}

#[test]
fn a_gpu_whose_lock_is_stuck_does_not_hold_up_the_others() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.start(9, &["nvidia-197"]).unwrap();
    let path = fixture.path("run/mdevkit/gpu-0000:06:00.0.lock");
    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.lock().unwrap();
    assert_eq!(
        fixture.start(1, &["nvidia-197"]).unwrap()[0].parent.as_str(),
        "0000:07:00.0"
    );

    let mut pinned = want(2, 0, "nvidia-197");
    pinned.parent = Some("0000:06:00.0".parse().unwrap());
    let error = fixture.start_with(2, &[pinned], &quick()).unwrap_err();
    assert_eq!(error.code(), Code::Lock, "{error}");
}

#[test]
fn a_wrong_configuration_does_not_stop_the_collection() {
    let fixture = Fixture::new(&["mtty"]);
    crashed(&fixture, 1, Some(dead_daemon()));
    fixture.put("etc/mdevkit/config.toml", "polcy = 1\n");
    reconcile(&fixture, None);
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_ledger_whose_lock_is_stuck_bounds_a_release_once_and_not_for_each_device() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.start(1, &["mtty-1", "mtty-1", "mtty-1", "mtty-1"]).unwrap();
    let path = fixture.path("run/mdevkit/ledger.lock");
    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.lock().unwrap();
    let began = std::time::Instant::now();
    let released = fixture.end(1);
    assert!(released.iter().all(|device| device.removal.is_err()), "{released:?}");
    // 200 ms for each of four; with the configured 5 s for each it were 20 s.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(file);
    assert_eq!(fixture.end(1).len(), 4);
    assert!(fixture.devices().is_empty());
}

#[test]
fn a_start_that_ends_owning_nothing_leaves_no_lock() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.foreign("mtty", "mtty-1", device(1, 0));
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap()[0].how, How::Foreign);
    crashed(&fixture, 2, Some(dead_daemon()));
    reconcile(&fixture, None);
    let names = std::fs::read_dir(fixture.path("run/mdevkit")).unwrap();
    let locks: Vec<_> = names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("domain-"))
        .collect();
    assert!(locks.is_empty(), "{locks:?}");
}
