//! What only the host can tell about its configuration.

use crate::common::{Fixture, want};
use mdevkit_core::Why;
use mdevkit_host::{Config, Decision};

fn findings(fixture: &Fixture, text: &str) -> Vec<String> {
    let config = Config::parse(text).unwrap();
    let findings = fixture.host.check(&config).unwrap();
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_configuration_has_no_findings() {
    let fixture = Fixture::new(&["v100dx:2", "a40:1", "mtty"]);
    let good = "[group.cad]\ngpus = ['10de:1db5']\ntypes = ['V100DX-4Q', 'nvidia-197', 'GRID V100DX-1Q', 'passthrough']\n\
                rule = 'same-type'\n[group.a40]\ngpus = ['0000:3b:00.0']\n[gpu.mtty]\ntypes = ['mtty-1']\n";
    assert_eq!(findings(&fixture, good), [""; 0]);
    fixture.sim.control("vfs 0000:3b:00.0 off\n").unwrap();
    assert_eq!(findings(&fixture, good), [""; 0], "it may come back");
}

#[test]
fn what_does_not_fit_the_host_is_found_and_stops_no_start() {
    let fixture = Fixture::new(&["v100dx:2", "mtty"]);
    let text = "[group.cad]\ngpus = ['0000:06:00.0', '0000:99:00.0']\ntypes = [\n 'V100DX-4Q',\n 'A40-4Q',\n]\n\
                [group.lost]\ngpus = ['10de:2235']\n[group.all]\ngpus = ['10de:1db5']\n\
                [gpu.'0000:07:00.0']\ntypes = ['K260Q']\n[gpu.nowhere]\n";
    fixture.put("etc/mdevkit/config.toml", text);
    assert_eq!(
        findings(&fixture, text),
        [
            "line 2: 0000:99:00.0: no GPU of this host is that",
            "line 5: A40-4Q: no GPU of group cad supports this type",
            "line 7: lost: the group matches no GPU of this host",
            "line 9: all: 0000:06:00.0 is in group cad too, so nothing is created on it: a GPU is in one group",
            "line 12: K260Q: 0000:07:00.0 does not support this type",
            "line 13: nowhere: no GPU of this host is that",
        ]
    );
    fixture.start(1, &["mtty-1"]).unwrap();
    let mut claimed = want(1, 0, "nvidia-196");
    claimed.parent = Some("0000:06:00.0".parse().unwrap());
    let Decision::Refusal(refusal) = fixture.host.plan(&[claimed]).unwrap() else {
        panic!("two groups claim it")
    };
    assert!(matches!(refusal.reasons[0].why, Why::TwoGroups(_)), "{refusal:?}");
    let survey = fixture.host.survey().unwrap();
    assert_eq!(survey.gpus[0].state, "claimed by two groups (cad and all)");
    assert_eq!(survey.gpus[0].group, None);
}

#[test]
fn a_rule_that_the_numbers_contradict_is_found_and_the_kernel_is_believed() {
    let fixture = Fixture::new(&["a40:1"]);
    let text = "[group.a40]\ngpus = ['10de:2235']\nrule = 'same-type'\n";
    fixture.put("etc/mdevkit/config.toml", text);
    assert_eq!(findings(&fixture, text), [""; 0], "an empty GPU contradicts nothing");
    fixture.start(1, &["A40-8Q"]).unwrap();
    let found = findings(&fixture, text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("line 3: same-type: 0000:3b:00.0 says otherwise: ")
            && found[0].ends_with("the kernel is believed"),
        "{found:?}"
    );
    fixture.start(2, &["A40-8A"]).unwrap();
}
