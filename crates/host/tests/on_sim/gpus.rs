//! A start by physical GPU: virtual functions, groups, locks and rules on one guest.

use crate::common::{Fixture, device, domain_uuid, quick, start, want, wants};
use mdevkit_core::{AtLeast, Code, Policy, Want, What, Why};
use mdevkit_host::{Decision, HostError, How};

fn at_least(domain: u32, slot: u16, framebuffer_mib: u32) -> Want {
    let least = AtLeast {
        series: Some("Q".parse().unwrap()),
        framebuffer_mib: Some(framebuffer_mib),
        ..AtLeast::default()
    };
    Want {
        what: What::AtLeast(least),
        ..want(domain, slot, "unused")
    }
}

fn lock(fixture: &Fixture, name: &str) -> std::fs::File {
    let path = fixture.path(&format!("run/mdevkit/{name}"));
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn virtual_functions_share_their_gpus_room_and_its_lock() {
    let fixture = Fixture::new(&["a40:2"]);
    let acquired = fixture.start(1, &["A40-24Q", "A40-24Q", "A40-24Q"]).unwrap();
    let places: Vec<_> = acquired
        .iter()
        .map(|device| (device.pgpu.as_str(), device.parent.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            ("0000:3b:00.0", "0000:3b:00.4"),
            ("0000:3b:00.0", "0000:3b:00.5"),
            ("0000:5e:00.0", "0000:5e:00.4")
        ],
        "two on a GPU, each on a VF of its own"
    );
    assert!(fixture.path("run/mdevkit/gpu-0000:3b:00.0.lock").exists());
    assert!(!fixture.path("run/mdevkit/gpu-0000:3b:00.4.lock").exists());
}

#[test]
fn a_vf_that_refuses_does_not_speak_for_its_gpu() {
    let fixture = Fixture::new(&["a40:1"]);
    fixture.sim.control("fail-create 0000:3b:00.4 * 1 EIO\n").unwrap();
    let acquired = fixture.start(1, &["A40-8Q"]).unwrap();
    assert_eq!(acquired[0].parent.as_str(), "0000:3b:00.5");
}

#[test]
fn room_that_goes_while_the_lock_is_waited_for_is_seen() {
    // What somebody else makes meanwhile on the chosen GPU: of a type that shuts it, or of one that leaves it less room
    // than another GPU has.
    for (meanwhile, policy) in [("nvidia-194", None), ("nvidia-197", Some(Policy::BreadthFirst))] {
        let fixture = Fixture::new(&["v100dx:2"]);
        fixture.start(8, &["V100DX-8Q"]).unwrap();
        fixture.end(8);
        let held = lock(&fixture, "gpu-0000:06:00.0.lock");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let want = Want {
                    policy,
                    ..want(1, 0, "V100DX-8Q")
                };
                fixture.start_with(1, &[want], &quick())
            });
            std::thread::sleep(std::time::Duration::from_millis(60));
            fixture.foreign("0000:06:00.0", meanwhile, device(7, 7));
            drop(held);
            let acquired = waiting.join().unwrap().unwrap();
            assert_eq!(acquired[0].pgpu.as_str(), "0000:07:00.0", "{meanwhile}");
        });
        let log = std::fs::read_to_string(fixture.path("sim/log")).unwrap();
        assert!(
            log.lines()
                .all(|line| !line.contains("op=create") || line.contains("result=ok")),
            "no create was tried in vain: {log}"
        );
    }
}

#[test]
fn a_gpu_whose_lock_is_not_had_is_busy_and_passed_over() {
    let fixture = Fixture::new(&["a40:2"]);
    fixture.start(9, &["A40-8Q"]).unwrap();
    let _held = lock(&fixture, "gpu-0000:3b:00.0.lock");
    let began = std::time::Instant::now();
    let acquired = fixture.start(1, &["A40-8Q", "A40-8Q"]).unwrap();
    assert!(
        acquired.iter().all(|device| device.pgpu.as_str() == "0000:5e:00.0"),
        "{acquired:?}"
    );
    // Once for the GPU: not for each of its 32 VFs, nor for each device.
    assert!(
        began.elapsed() < std::time::Duration::from_millis(2000),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn groups_and_their_policies_choose() {
    let fixture = Fixture::new(&["v100dx:4"]);
    fixture.put(
        "etc/mdevkit/config.toml",
        "[group.cad]\ngpus = ['0000:0a:00.0', '0000:0b:00.0']\npolicy = 'spread'\n",
    );
    let place = |domain| {
        let grouped = Want {
            group: Some("cad".parse().unwrap()),
            ..want(domain, 0, "V100DX-4Q")
        };
        let acquired = fixture.start_with(domain, &[grouped], &quick()).unwrap();
        (
            acquired[0].pgpu.to_string(),
            acquired[0].because.clone().unwrap().to_string(),
        )
    };
    let (first, because) = place(1);
    assert_eq!(first, "0000:0a:00.0");
    assert!(
        because.starts_with("breadth-first (the policy of group cad)"),
        "{because}"
    );
    assert_eq!(place(2).0, "0000:0b:00.0");
    let wrong = Want {
        group: Some("cae".parse().unwrap()),
        ..want(3, 0, "V100DX-4Q")
    };
    assert_eq!(
        fixture.start_with(3, &[wrong], &quick()).unwrap_err().code(),
        Code::Type
    );
}

#[test]
fn the_least_that_is_needed_is_made_and_known_again() {
    let fixture = Fixture::new(&["v100dx:1"]);
    let need = at_least(1, 0, 3000);
    let made = fixture.start_with(1, std::slice::from_ref(&need), &quick()).unwrap();
    assert_eq!(
        (made[0].type_id.as_str(), made[0].how),
        ("nvidia-196", How::Created),
        "4Q"
    );
    let again = fixture.start_with(1, &[need], &quick()).unwrap();
    assert_eq!(again[0].how, How::Adopted);
    let more = fixture.start_with(1, &[at_least(1, 0, 5000)], &quick()).unwrap();
    assert_eq!(
        (more[0].type_id.as_str(), more[0].how),
        ("nvidia-197", How::Created),
        "8Q"
    );

    fixture.foreign("0000:06:00.0", "nvidia-197", device(2, 0));
    let foreign = fixture.start_with(2, &[at_least(2, 0, 8192)], &quick()).unwrap();
    assert_eq!(foreign[0].how, How::Foreign);
    fixture.foreign("0000:06:00.0", "nvidia-197", device(3, 0));
    let error = fixture.start_with(3, &[at_least(3, 0, 9000)], &quick()).unwrap_err();
    assert_eq!(error.code(), Code::Foreign);
    assert!(
        error.to_string().contains("class Q, framebuffer 9000 MiB is wanted"),
        "{error}"
    );
}

#[test]
fn a_whole_card_is_not_made_at_a_start() {
    let fixture = Fixture::new(&["v100dx:1"]);
    let error = fixture.start(1, &["V100DX-1Q", "passthrough"]).unwrap_err();
    assert!(matches!(error, HostError::Passthrough { .. }), "{error}");
    assert_eq!((error.code(), error.is_refusal()), (Code::Blocked, true));
    assert!(error.to_string().starts_with("slot 1 asks for a whole card"), "{error}");
    assert!(fixture.devices().is_empty());
    assert!(!fixture.path("run/mdevkit").exists(), "nothing is even locked");
    // Planning it is another matter.
    assert!(matches!(
        fixture.host.plan(&wants(1, &["passthrough"])),
        Ok(Decision::Plan(_))
    ));
}

#[test]
fn who_wants_to_be_apart_is_from_devices_made_before_too() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let apart = |slot| Want {
        apart: true,
        ..want(1, slot, "V100DX-4Q")
    };
    let gpus = |acquired: Vec<mdevkit_host::Acquired>| -> Vec<String> {
        acquired.into_iter().map(|device| device.pgpu.to_string()).collect()
    };
    let made = fixture
        .start_with(1, &[apart(0), want(1, 1, "V100DX-4Q")], &quick())
        .unwrap();
    assert_eq!(gpus(made), ["0000:06:00.0", "0000:07:00.0"]);
    // One of them was lost: the other one is there when it is made again.
    fixture.sim.control(&format!("vanish {}\n", device(1, 1))).unwrap();
    let again = fixture
        .start_with(1, &[apart(0), want(1, 1, "V100DX-4Q")], &quick())
        .unwrap();
    assert_eq!(gpus(again), ["0000:06:00.0", "0000:07:00.0"]);
    let third = [apart(0), want(1, 1, "V100DX-4Q"), apart(2)];
    assert_eq!(fixture.start_with(1, &third, &quick()).unwrap_err().code(), Code::Full);
    assert_eq!(fixture.devices().len(), 2);
}

#[test]
fn several_domains_are_planned_together() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let domains = [
        wants(1, &["V100DX-32Q"]),
        wants(2, &["V100DX-8Q"]),
        wants(3, &["V100DX-32Q"]),
    ];
    let batch = fixture.host.plan_all(&domains).unwrap();
    assert!(!batch.fits());
    let placed: Vec<bool> = batch.answers.iter().map(Result::is_ok).collect();
    assert_eq!(placed, [true, true, false]);
    assert!(fixture.devices().is_empty());
}

#[test]
fn what_nvidia_forbids_one_guest_is_refused_before_anything_is_made() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let error = fixture.start(1, &["V100DX-1Q", "V100DX-1B"]).unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), (Code::Rule, true), "{error}");
    assert!(
        error.to_string().starts_with("nvidia-one-vgpu: slot 1: V100DX-1B"),
        "{error}"
    );
    assert!(fixture.devices().is_empty());
    fixture.start(1, &["V100DX-1B"]).unwrap();
    let Decision::Plan(plan) = fixture.host.plan(&wants(2, &["V100DX-2Q", "V100DX-2Q"])).unwrap() else {
        panic!("there is room")
    };
    let found = fixture.host.admission(&plan, None);
    assert_eq!(found[0].rule, "nvidia-same-gpu");
    // A device that is there already counts, too.
    let error = fixture
        .start_by(&start(1, None), &wants(1, &["nvidia-206", "nvidia-194"]), &quick())
        .unwrap_err();
    assert_eq!(error.code(), Code::Rule, "{error}");
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn why_each_gpu_is_not_the_place_is_said_for_all_of_them() {
    let fixture = Fixture::new(&["v100dx:3"]);
    fixture.start(1, &["V100DX-32Q"]).unwrap();
    fixture.host.cordon(&"0000:07:00.0".parse().unwrap(), true).unwrap();
    let nodes = "1".parse().unwrap();
    let far = Want {
        near: Some(mdevkit_core::Near { nodes, strict: true }),
        ..want(2, 0, "V100DX-32Q")
    };
    let HostError::Refused(refusal) = fixture.start_with(2, &[far], &quick()).unwrap_err() else {
        panic!("a refusal")
    };
    let kinds: Vec<_> = refusal.reasons.iter().map(|reason| reason.why.kind()).collect();
    assert_eq!(kinds, ["wrong-node", "cordoned", "wrong-node"]);
    assert!(matches!(refusal.reasons[0].why, Why::WrongNode { node: Some(0) }));
    assert!(!fixture.ledger().contains(&domain_uuid(2).to_string()));
}
