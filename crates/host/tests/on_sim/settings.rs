//! What an operator switches while the host runs.

use crate::common::{Fixture, device, want};
use mdevkit_core::{Code, PgpuName, Why};
use mdevkit_host::{HostError, How};
use std::os::unix::fs::PermissionsExt;

const FILE: &str = "var/lib/mdevkit/gpus.json";

fn gpu(name: &str) -> PgpuName {
    name.parse().unwrap()
}

fn mode(fixture: &Fixture, below: &str, mode: u32) {
    std::fs::set_permissions(fixture.path(below), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_cordoned_gpu_gets_nothing_new_and_keeps_what_it_has() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.start(1, &["V100DX-4Q"]).unwrap();
    fixture.host.cordon(&gpu("0000:06:00.0"), true).unwrap();
    let made = fixture.start(2, &["V100DX-4Q"]).unwrap();
    assert_eq!(made[0].pgpu.as_str(), "0000:07:00.0");
    assert_eq!(
        fixture.start(1, &["V100DX-4Q"]).unwrap()[0].how,
        How::Adopted,
        "it is there"
    );
    fixture.host.cordon(&gpu("0000:07:00.0"), true).unwrap();
    let error = fixture.start(3, &["V100DX-4Q"]).unwrap_err();
    assert_eq!(error.code(), Code::Blocked);
    assert_eq!(error.to_string(), "no V100DX-4Q: 2 GPUs are cordoned");
    assert_eq!(fixture.host.survey().unwrap().gpus[0].state, "cordoned (1 device)");

    fixture.host.cordon(&gpu("0000:06:00.0"), false).unwrap();
    assert_eq!(
        fixture.start(3, &["V100DX-4Q"]).unwrap()[0].pgpu.as_str(),
        "0000:06:00.0"
    );
}

#[test]
fn the_last_word_on_a_type_is_what_was_switched() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.put(
        "etc/mdevkit/config.toml",
        "[group.cad]\ngpus = ['10de:1db5']\ntypes = ['V100DX-4Q']\n[gpu.'0000:07:00.0']\ntypes = ['V100DX-8Q']\n",
    );
    let place = |domain, spec: &str| {
        let plan = fixture.host.plan(&[want(domain, 0, spec)]).unwrap();
        match plan {
            mdevkit_host::Decision::Plan(plan) => plan.placements[0].pgpu.to_string(),
            mdevkit_host::Decision::Refusal(refusal) => refusal.code.to_string(),
        }
    };
    assert_eq!(place(1, "V100DX-4Q"), "0000:06:00.0", "the group's list");
    assert_eq!(place(1, "V100DX-8Q"), "0000:07:00.0", "the GPU's own list");
    assert_eq!(place(1, "V100DX-16Q"), "E-BLOCKED");
    let eight = "nvidia-197".parse().unwrap();
    fixture.host.switch(&gpu("0000:07:00.0"), &eight, false).unwrap();
    assert_eq!(place(1, "V100DX-8Q"), "E-BLOCKED");
    fixture.host.switch(&gpu("0000:06:00.0"), &eight, true).unwrap();
    assert_eq!(place(1, "V100DX-8Q"), "0000:06:00.0");
}

#[test]
fn an_uncordon_wins_over_the_configuration() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("etc/mdevkit/config.toml", "[gpu.mtty]\ncordoned = true\n");
    let error = fixture.start(1, &["mtty-1"]).unwrap_err();
    assert!(matches!(&error, HostError::Refused(refusal) if refusal.reasons[0].why == Why::Cordoned));
    fixture.host.cordon(&gpu("mtty"), false).unwrap();
    fixture.start(1, &["mtty-1"]).unwrap();
}

#[test]
fn the_file_is_roots_own_and_says_what_was_switched() {
    let fixture = Fixture::new(&["v100dx:1"]);
    assert_eq!(fixture.host.settings().unwrap(), Default::default(), "nobody ever did");
    assert!(!fixture.path("var/lib/mdevkit").exists(), "and looking makes nothing");
    fixture.host.cordon(&gpu("0000:06:00.0"), true).unwrap();
    fixture
        .host
        .switch(&gpu("0000:06:00.0"), &"nvidia-197".parse().unwrap(), false)
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(fixture.path(FILE)).unwrap(),
        "{\"version\":1,\"gpus\":{\"0000:06:00.0\":{\"cordoned\":true,\"types\":{\"nvidia-197\":false}}}}\n"
    );
    for (path, expected) in [("var/lib/mdevkit", 0o700), (FILE, 0o600)] {
        let mode = fixture.path(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{path}");
    }
}

#[test]
fn only_what_is_there_can_be_switched() {
    let fixture = Fixture::new(&["v100dx:1", "mtty"]);
    let four = "nvidia-196".parse().unwrap();
    assert!(matches!(
        fixture.host.cordon(&gpu("0000:07:00.0"), true),
        Err(HostError::NoGpu { .. })
    ));
    assert!(matches!(
        fixture.host.switch(&gpu("mtty"), &four, true),
        Err(HostError::NoTypeThere { .. })
    ));
    let whole = "passthrough".parse().unwrap();
    fixture.host.switch(&gpu("0000:06:00.0"), &whole, false).unwrap();
    assert!(fixture.host.switch(&gpu("mtty"), &whole, false).is_err(), "no PCI card");
    // What was taken out of the host can still be uncordoned.
    fixture.host.cordon(&gpu("0000:06:00.0"), true).unwrap();
    fixture.sim.control("unplug 0000:06:00.0\n").unwrap();
    fixture.host.cordon(&gpu("0000:06:00.0"), false).unwrap();
}

#[test]
fn a_file_that_cannot_be_believed_stops_starts_and_nothing_else() {
    for (damage, words) in [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{\"gpus\":{}}", "damaged"),
        ("{\"version\":2}", "version 2"),
        ("{\"version\":1,\"gpus\":{\"a/b\":{}}}", "damaged"),
        ("{\"version\":1,\"gpus\":{\"mtty\":{\"cordoned\":\"yes\"}}}", "damaged"),
        (
            &format!("{{\"version\":1,\"x\":\"{}\"}}", "x".repeat(1 << 20)),
            "longer",
        ),
    ] {
        let fixture = Fixture::new(&["mtty"]);
        fixture.start(1, &["mtty-1"]).unwrap();
        fixture.put(FILE, damage);
        let error = fixture.start(2, &["mtty-1"]).unwrap_err();
        assert_eq!(error.code(), Code::Config, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(FILE) && text.contains(words) && text.contains("remove it"),
            "{text}"
        );
        assert!(
            fixture.host.cordon(&gpu("mtty"), true).is_err(),
            "and is not overwritten"
        );
        assert_eq!(std::fs::read_to_string(fixture.path(FILE)).unwrap(), damage);
        assert_eq!(
            fixture.start(1, &["mtty-1"]).unwrap()[0].how,
            How::Adopted,
            "nothing is made"
        );
        assert_eq!(fixture.end(1).len(), 1, "an end needs no settings");
        assert!(fixture.devices().is_empty());
        std::fs::remove_file(fixture.path(FILE)).unwrap();
        fixture.start(2, &["mtty-1"]).unwrap();
    }
}

#[test]
fn a_file_that_others_can_write_is_not_believed() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.host.cordon(&gpu("mtty"), false).unwrap();
    mode(&fixture, FILE, 0o620);
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap_err().code(), Code::Config);
    mode(&fixture, FILE, 0o600);
    mode(&fixture, "var/lib/mdevkit", 0o770);
    assert_eq!(fixture.start(1, &["mtty-1"]).unwrap_err().code(), Code::Config);
    mode(&fixture, "var/lib/mdevkit", 0o755);
    fixture.start(1, &["mtty-1"]).unwrap();

    std::fs::rename(fixture.path(FILE), fixture.path("tmp/gpus.json")).unwrap();
    std::os::unix::fs::symlink(fixture.path("tmp/gpus.json"), fixture.path(FILE)).unwrap();
    assert_eq!(fixture.start(2, &["mtty-1"]).unwrap_err().code(), Code::Config);
}

#[test]
fn what_a_newer_version_wrote_is_kept() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put(
        FILE,
        r#"{"version":1,"colour":"blue","gpus":{"mtty":{"note":"fan","cordoned":true}}}"#,
    );
    fixture.host.cordon(&gpu("mtty"), false).unwrap();
    let text = std::fs::read_to_string(fixture.path(FILE)).unwrap();
    assert!(
        text.contains(r#""colour":"blue""#) && text.contains(r#""note":"fan""#),
        "{text}"
    );
    assert!(text.contains(r#""cordoned":false"#));
}

#[test]
fn two_who_switch_at_once_lose_nothing() {
    let fixture = Fixture::new(&["v100dx:8"]);
    let gpus: Vec<PgpuName> = fixture
        .host
        .survey()
        .unwrap()
        .gpus
        .into_iter()
        .map(|gpu| gpu.name)
        .collect();
    std::thread::scope(|scope| {
        for gpu in &gpus {
            scope.spawn(|| fixture.host.cordon(gpu, true).unwrap());
        }
    });
    let settings = fixture.host.settings().unwrap();
    assert_eq!(settings.gpus.len(), 8);
    assert!(settings.gpus.values().all(|switches| switches.cordoned == Some(true)));
    fixture.foreign("0000:06:00.0", "nvidia-196", device(1, 0));
    assert_eq!(fixture.start(1, &["V100DX-4Q"]).unwrap()[0].how, How::Foreign);
}
