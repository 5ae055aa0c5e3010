//! All of the host, as a person sees it.

use crate::common::{Fixture, device};
use mdevkit_core::rule::Rule;
use mdevkit_core::{Answer, PASSTHROUGH, Why, capacity, plan, stops};
use mdevkit_host::{PgpuRow, Survey};

fn gpu<'a>(survey: &'a Survey, name: &str) -> &'a PgpuRow {
    let found = survey.gpus.iter().find(|gpu| gpu.name.as_str() == name);
    found.unwrap_or_else(|| panic!("{name} is listed"))
}

#[test]
fn a_row_for_each_physical_gpu_and_not_for_each_vf() {
    let fixture = Fixture::new(&["a40:2", "v100dx:1", "mtty"]);
    let survey = fixture.host.survey().unwrap();
    let names: Vec<_> = survey
        .gpus
        .iter()
        .map(|gpu| (gpu.name.as_str(), gpu.parents.len()))
        .collect();
    assert_eq!(
        names,
        [
            ("0000:06:00.0", 1),
            ("0000:3b:00.0", 32),
            ("0000:5e:00.0", 32),
            ("mtty", 1)
        ]
    );
    let card = gpu(&survey, "0000:3b:00.0");
    assert_eq!(card.ids.unwrap().to_string(), "10de:2235");
    assert_eq!((card.numa_node, card.driver.as_deref()), (Some(0), Some("nvidia")));
    assert_eq!(card.group.as_ref().unwrap().as_str(), "10de:2235");
    assert_eq!((card.rule.rule, card.rule.proven), (Rule::SameFramebuffer, false));
    assert!(card.types.iter().any(|ty| ty.id.as_str() == PASSTHROUGH));
    assert!(
        card.types
            .iter()
            .all(|ty| ty.enabled && (ty.name.is_some() || ty.id.as_str() == PASSTHROUGH))
    );
    assert_eq!(card.state, "empty");

    let mtty = gpu(&survey, "mtty");
    assert_eq!(
        (mtty.ids, mtty.numa_node, &mtty.driver, &mtty.group),
        (None, None, &None, &None)
    );
    assert_eq!((mtty.rule.rule, mtty.rule.proven), (Rule::SharedPool, true));
    assert_eq!(mtty.types.len(), 2, "nothing to pass through");
    assert!(survey.gpus.iter().all(|gpu| gpu.problems.is_empty()));
}

#[test]
fn what_was_read_is_enough_for_every_question() {
    let fixture = Fixture::new(&["a40:1", "v100dx:2", "mtty"]);
    fixture.start(1, &["A40-8Q", "V100DX-32Q"]).unwrap();
    fixture.start(2, &["V100DX-32Q"]).unwrap();
    let survey = fixture.host.survey().unwrap();
    let rows = capacity(&survey.inventory).expect("nothing is missing");
    let of = |gpu: &str, id: &str| {
        rows.iter()
            .find(|row| row.pgpu.as_str() == gpu && row.type_id.as_str() == id)
    };
    assert_eq!(of("0000:06:00.0", "nvidia-199").unwrap().why, Some(Why::Full));
    assert_eq!(
        of("0000:3b:00.0", "nvidia-562").unwrap().available,
        5,
        "A40-8Q: 6 in all"
    );
    let want = crate::common::want(3, 0, "V100DX-32Q");
    assert!(matches!(
        plan(std::slice::from_ref(&want), &survey.inventory),
        Answer::Refusal(_)
    ));
    let stops = stops(&want, &survey.inventory, &survey.owners()).expect("nothing is missing");
    let owners: Vec<_> = stops.iter().flat_map(|stops| stops.owners.clone()).collect();
    assert_eq!(owners.len(), 2);
    assert!(owners.iter().all(|owner| owner.contains("domain d")), "{owners:?}");
}

#[test]
fn residents_have_their_owners() {
    let fixture = Fixture::new(&["v100dx:1"]);
    fixture.start(1, &["V100DX-4Q"]).unwrap();
    fixture.foreign("0000:06:00.0", "nvidia-196", device(9, 9));
    let survey = fixture.host.survey().unwrap();
    let card = gpu(&survey, "0000:06:00.0");
    let owners: Vec<_> = card
        .residents
        .iter()
        .map(|row| (row.uuid, row.owner.is_some()))
        .collect();
    let mut expected = vec![(device(1, 0), true), (device(9, 9), false)];
    expected.sort();
    assert_eq!(owners, expected);
    assert_eq!(card.state, "in use (2 devices)");
    assert_eq!(survey.owners().len(), 1, "what is foreign has no owner that we know");
    assert!(card.rule.proven, "its devices show it: {:?}", card.rule);
}

#[test]
fn cards_without_parents_are_listed_with_the_reason() {
    let fixture = Fixture::new(&["a40:1", "v100dx:2"]);
    fixture.sim.control("vfs 0000:3b:00.0 off\n").unwrap();
    fixture.sim.control("bind 0000:06:00.0 vfio-pci\n").unwrap();
    let survey = fixture.host.survey().unwrap();
    let off = gpu(&survey, "0000:3b:00.0");
    assert_eq!(
        (off.state.as_str(), off.parents.len()),
        ("virtual functions off (0 of 32)", 0)
    );
    assert_eq!(off.group.as_ref().unwrap().as_str(), "10de:2235");
    let passed = gpu(&survey, "0000:06:00.0");
    assert_eq!(
        (passed.state.as_str(), passed.driver.as_deref()),
        ("passed through (vfio-pci)", Some("vfio-pci"))
    );
    assert_eq!(gpu(&survey, "0000:07:00.0").state, "empty");

    // And a refusal names them, too.
    let error = fixture.start(1, &["A40-8Q"]).unwrap_err().to_string();
    assert!(error.contains("virtual functions off"), "{error}");
    fixture.sim.control("bind 0000:07:00.0 -\n").unwrap();
    assert_eq!(
        gpu(&fixture.host.survey().unwrap(), "0000:07:00.0").state,
        "not split (no driver)"
    );
}

#[test]
fn a_gpu_in_mig_mode_says_so() {
    let fixture = Fixture::new(&["a100"]);
    let name = fixture.host.survey().unwrap().gpus[0].name.clone();
    fixture.sim.control(&format!("mig {name} on\n")).unwrap();
    let survey = fixture.host.survey().unwrap();
    let card = gpu(&survey, name.as_str());
    assert_eq!(card.rule.rule, Rule::Mig);
    assert_eq!(card.state, "in MIG mode, without GPU instances");
}

#[test]
fn automatic_groups_have_xenservers_names() {
    let fixture = Fixture::new(&["k2:1", "v100dx:1", "mtty"]);
    // From the PCI ID project's file of 2023 (https://pci-ids.ucw.cz/).
    fixture.put(
        "usr/share/misc/pci.ids",
        "10de  NVIDIA Corporation\n\t11bf  GK104GL [GRID K2]\n",
    );
    fixture.put(
        "etc/mdevkit/config.toml",
        "[group.serial]\ngpus = ['mtty']\npolicy = 'spread'\n",
    );
    let survey = fixture.host.survey().unwrap();
    let groups: Vec<_> = survey
        .groups
        .iter()
        .map(|group| {
            let name = group.name.as_ref().map(|name| name.as_str());
            (group.title.as_str(), name, group.configured, group.gpus.len())
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("serial", Some("serial"), true, 1),
            (
                "Group of NVIDIA Corporation GK104GL [GRID K2] GPUs",
                Some("10de:11bf"),
                false,
                2
            ),
            (
                "Group of NVIDIA Corporation Device 1db5 GPUs",
                Some("10de:1db5"),
                false,
                1
            ),
        ]
    );
    std::fs::remove_file(fixture.path("usr/share/misc/pci.ids")).unwrap();
    std::fs::remove_file(fixture.path("etc/mdevkit/config.toml")).unwrap();
    let survey = fixture.host.survey().unwrap();
    let titles: Vec<_> = survey.groups.iter().map(|group| group.title.as_str()).collect();
    assert_eq!(
        titles,
        ["Group of 10de:11bf GPUs", "Group of 10de:1db5 GPUs", "Group of mtty"]
    );
}

#[test]
fn one_odd_file_costs_one_cell() {
    let fixture = Fixture::new(&["v100dx:2"]);
    let name = "sys/class/mdev_bus/0000:06:00.0/mdev_supported_types/nvidia-194/name";
    fixture.sim.control(&format!("attr {name} errno EIO\n")).unwrap();
    let survey = fixture.host.survey().unwrap();
    let (odd, good) = (gpu(&survey, "0000:06:00.0"), gpu(&survey, "0000:07:00.0"));
    assert_eq!(odd.problems.len(), 1);
    assert!(odd.problems[0].contains("nvidia-194/name"), "{:?}", odd.problems);
    assert_eq!(odd.types.len(), good.types.len());
    assert!(good.problems.is_empty());
}

#[test]
fn placement_ids_of_mixed_sizes_are_seen() {
    let fixture = Fixture::new(&["a40:1"]);
    fixture.sim.control("mixed 0000:3b:00.0 on\n").unwrap();
    fixture.start(1, &["A40-8Q"]).unwrap();
    fixture.start(2, &["A40-24Q"]).unwrap();
    let survey = fixture.host.survey().unwrap();
    let card = gpu(&survey, "0000:3b:00.0");
    assert_eq!((card.rule.rule, card.rule.proven), (Rule::MixedSizes, true));
    assert!(
        card.residents.iter().all(|row| row.placement.is_some()),
        "{:?}",
        card.residents
    );
}

#[test]
fn every_known_board_is_read_without_a_problem() {
    for board in mdevkit_sim::Sim::known_boards() {
        let fixture = Fixture::new(&[&board.name]);
        let survey = fixture.host.survey().unwrap();
        assert!(!survey.gpus.is_empty(), "{}", board.name);
        for gpu in &survey.gpus {
            assert!(gpu.problems.is_empty(), "{}: {:?}", board.name, gpu.problems);
            assert_eq!(gpu.rule.contradiction, None, "{}", board.name);
            // A board of which no type is known offers none.
            let expected = if gpu.parents.is_empty() {
                "not split (driver nvidia)"
            } else {
                "empty"
            };
            assert_eq!(gpu.state, expected, "{}", board.name);
        }
        let rows = capacity(&survey.inventory).expect("nothing is missing");
        let room = |gpu: &PgpuRow| rows.iter().any(|row| row.pgpu == gpu.name && row.available > 0);
        let split = |gpu: &&PgpuRow| !gpu.parents.is_empty();
        assert!(survey.gpus.iter().filter(split).all(room), "{}", board.name);
    }
}
