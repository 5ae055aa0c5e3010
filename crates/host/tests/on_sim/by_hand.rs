//! Devices that a person makes and removes, and the tables that a person reads.

use crate::common::{Fixture, device};
use mdevkit_core::{AtLeast, Code, TypeSpec, Uuid, What};
use mdevkit_host::{Config, ManualAsk, Removal};

fn ask(spec: &str, uuid: Uuid) -> ManualAsk {
    ManualAsk::new(spec.parse::<TypeSpec>().unwrap(), uuid)
}

#[test]
fn what_a_person_made_a_person_removes_and_nothing_else() {
    let fixture = Fixture::new(&["mtty"]);
    let made = fixture.host.create(&ask("mtty-2", device(7, 0))).unwrap();
    assert_eq!((made.parent.as_str(), made.type_id.as_str()), ("mtty", "mtty-2"));
    assert!(fixture.host.create(&ask("mtty-2", device(7, 0))).is_err(), "it exists");
    assert_eq!(fixture.devices().len(), 1);

    fixture.start(1, &["mtty-1"]).unwrap();
    fixture.foreign("mtty", "mtty-1", device(8, 0));
    for (uuid, code) in [
        (device(1, 0), Code::Owned),
        (device(8, 0), Code::Foreign),
        (Uuid::from_u128(5), Code::Host),
    ] {
        assert_eq!(fixture.host.remove(uuid).unwrap_err().code(), code);
    }
    assert_eq!(fixture.host.remove(device(7, 0)).unwrap(), Removal::Removed);
    assert_eq!(fixture.devices().len(), 2);
}

#[test]
fn a_person_may_ask_for_the_least_that_is_needed_from_a_group() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.put("etc/mdevkit/config.toml", "[group.cad]\ngpus = ['0000:07:00.0']\n");
    let least = AtLeast {
        series: Some("Q".parse().unwrap()),
        framebuffer_mib: Some(6000),
        ..AtLeast::default()
    };
    let ask = ManualAsk {
        group: Some("cad".parse().unwrap()),
        ..ManualAsk::new(What::AtLeast(least), device(7, 0))
    };
    let made = fixture.host.create(&ask).unwrap();
    assert_eq!(
        (made.pgpu.as_str(), made.type_id.as_str()),
        ("0000:07:00.0", "nvidia-197")
    );
    assert!(made.because.unwrap().to_string().contains("only this GPU had room"));
}

#[test]
fn a_row_of_a_virtual_function_names_its_gpu() {
    let fixture = Fixture::new(&["a40:1"]);
    fixture.start(1, &["A40-8Q"]).unwrap();
    let types = fixture.host.types().unwrap();
    assert!(
        types
            .iter()
            .all(|row| row.pgpu.as_str() == "0000:3b:00.0" && row.parent != *row.pgpu.as_parent())
    );
    assert_eq!(fixture.host.devices().unwrap()[0].pgpu.as_str(), "0000:3b:00.0");
}

#[test]
fn tables_have_every_type_and_every_device() {
    let fixture = Fixture::new(&["mtty", "mdpy", "mbochs", "v100dx:8"]);
    let types = fixture.host.types().unwrap();
    assert_eq!(types.len(), 2 + 3 + 3 + 8 * 15);
    assert!(
        types
            .iter()
            .all(|row| row.problems.is_empty() && row.available_instances > Some(0))
    );
    let seed = types.iter().find(|row| row.id.as_str() == "nvidia-194").unwrap();
    assert_eq!(seed.name.as_ref().unwrap().as_str(), "GRID V100DX-1Q");
    assert_eq!(
        (seed.read.framebuffer_mib, seed.read.max_instances),
        (Some(1024), Some(32))
    );

    fixture.start(1, &["V100DX-4Q"]).unwrap();
    fixture.foreign("mtty", "mtty-1", device(8, 0));
    let devices = fixture.host.devices().unwrap();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices.iter().filter(|row| row.owner.is_none()).count(), 1);
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    for (text, expected) in [
        ("policy = 'depth-first'\n\npolcy = 'x'\n", "line 3"),
        ("policy = 'widest'\n", "line 1"),
        ("[log]\nlevel = 'loud'\n", "line 2"),
        ("[limits]\nlock_ms = 0\n", "lock_ms"),
        ("[limits]\nlock_ms = -1\n", "line 2"),
        ("[limits]\nrun_ms = '10s'\n", "line 2"),
        ("[limits\n", "line 1"),
        ("policy = \"\u{7}", "line 1"),
    ] {
        let error = Config::parse(text).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{text:?}: {error}");
    }
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("etc/mdevkit/config.toml", "polcy = 1\n");
    let error = fixture.host.config().unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.to_string().contains("etc/mdevkit/config.toml: line 1"), "{error}");
}
