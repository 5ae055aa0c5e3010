//! What a domain wants on this host.

use crate::common::{Fixture, device, domain_uuid, quick};
use mdevkit_core::{
    Alias, Ask, Code, DeviceApi, Domain, Hostdev, HostdevKind, Numa, Pinning, ProfileName, Request, RequestSet, Slot,
    TypeSpec, What,
};
use mdevkit_host::HostError;

/// A domain with one request in slot 0.
fn domain(request: Request, cpus: Option<&str>, nodes: Option<&str>) -> Domain {
    let slot = Slot::new(0).unwrap();
    let kind = HostdevKind::Mdev {
        uuid: device(1, 0),
        model: Some(DeviceApi::VfioPci),
    };
    Domain {
        uuid: Some(domain_uuid(1)),
        requests: Some(RequestSet {
            injected_for: Some(Some(domain_uuid(1))),
            requests: vec![Request {
                slot: Some(slot),
                ..request
            }],
        }),
        hostdevs: vec![Hostdev {
            kind,
            alias: Some(Alias(slot).to_string()),
        }],
        pinning: Pinning {
            nodes: nodes.map(|nodes| nodes.parse().unwrap()),
            cpus: cpus.map(|cpus| cpus.parse().unwrap()),
        },
        ..Domain::default()
    }
}

fn request(numa: Option<Numa>) -> Request {
    Request {
        numa,
        ..Request::new("V100DX-4Q".parse::<TypeSpec>().unwrap())
    }
}

#[test]
fn pinned_cpus_say_which_nodes_are_near() {
    // The board's CPUs: node 0 has 0-19,40-59, node 1 has 20-39,60-79.
    let fixture = Fixture::new(&["v100dx:8"]);
    let config = fixture.config();
    for (cpus, nodes, numa, near) in [
        (Some("25"), None, None, Some("1")),
        (Some("3,65"), None, None, Some("0-1")),
        (Some("25"), Some("0"), None, Some("0")),
        (Some("25"), None, Some(Numa::Ignore), None),
        (Some("900"), None, None, None),
        (None, None, Some(Numa::Strict), None),
    ] {
        let wanted = fixture
            .host
            .wants(&domain(request(numa), cpus, nodes), &config)
            .unwrap();
        let found = wanted.wants[0].near.as_ref().map(|near| near.nodes.to_string());
        assert_eq!(found.as_deref(), near, "{cpus:?} {nodes:?} {numa:?}");
    }
    let wanted = fixture
        .host
        .wants(&domain(request(None), Some("25"), None), &config)
        .unwrap();
    let acquired = fixture.start_with(1, &wanted.wants, &quick()).unwrap();
    assert_eq!(acquired[0].pgpu.as_str(), "0000:85:00.0", "the first on node 1");
}

#[test]
fn only_who_is_strict_is_stopped_by_nodes_that_cannot_be_read() {
    let fixture = Fixture::new(&["v100dx:8"]);
    fixture
        .sim
        .control("attr sys/devices/system/node/node1/cpulist text what\n")
        .unwrap();
    let config = fixture.config();
    let of = |numa, cpus| fixture.host.wants(&domain(request(numa), Some(cpus), None), &config);
    assert_eq!(of(None, "25").unwrap().wants[0].near, None);
    assert!(of(Some(Numa::Ignore), "25").is_ok());
    assert!(matches!(of(Some(Numa::Strict), "25"), Err(HostError::Sysfs(_))));
}

#[test]
fn a_profile_of_the_configuration_completes_a_request() {
    let fixture = Fixture::new(&["v100dx:8"]);
    fixture.put(
        "etc/mdevkit/config.toml",
        "[profile.large]\ntype = 'V100DX-8Q'\nnuma = 'ignore'\napart = true\n",
    );
    let named = |name: &str| {
        let name: ProfileName = name.parse().unwrap();
        Request {
            ask: Ask::Profile(name),
            ..request(None)
        }
    };
    let config = fixture.config();
    let wanted = fixture
        .host
        .wants(&domain(named("large"), Some("25"), None), &config)
        .unwrap();
    assert!(matches!(&wanted.wants[0].what, What::Type(spec) if spec.as_str() == "V100DX-8Q"));
    assert!(wanted.wants[0].apart);
    assert_eq!(
        wanted.wants[0].near, None,
        "the profile's numa counts before the nodes are read"
    );
    let error = fixture
        .host
        .wants(&domain(named("lrage"), None, None), &config)
        .unwrap_err();
    assert_eq!(error.code(), Code::Request);
    assert!(error.to_string().contains("it has: large"), "{error}");
}
