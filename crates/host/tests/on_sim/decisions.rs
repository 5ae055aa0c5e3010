//! The last decision about each domain.

use crate::common::{Fixture, device, domain_uuid, wants};
use mdevkit_core::{Code, Uuid};
use mdevkit_host::{DecisionOutcome, HostError, LastDecision, ReconcileOptions};
use std::time::{Duration, SystemTime};

/// What the hook does: starts a domain and keeps what was decided.
fn decided(fixture: &Fixture, domain: u32, specs: &[&str]) {
    let (uuid, name) = (domain_uuid(domain), format!("d{domain}"));
    let decision = match fixture.start(domain, specs) {
        Ok(acquired) => LastDecision::placed(uuid, &name, &wants(domain, specs), &acquired),
        Err(error) => {
            let refusal = match &error {
                HostError::Refused(refusal) => Some(&**refusal),
                _ => None,
            };
            LastDecision::refused(uuid, &name, error.code(), &error.to_string(), refusal)
        }
    };
    fixture.host.keep(&decision);
}

fn file(domain: Uuid) -> String {
    format!("var/lib/mdevkit/decisions/{domain}.json")
}

fn names(fixture: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(fixture.path("var/lib/mdevkit/decisions")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_placed_domain_says_where_and_why() {
    let fixture = Fixture::new(&["v100dx:2"]);
    decided(&fixture, 1, &["V100DX-4Q"]);
    let decision = fixture.host.decision(domain_uuid(1)).unwrap().unwrap();
    assert_eq!((decision.domain, decision.name.as_str()), (domain_uuid(1), "d1"));
    let DecisionOutcome::Placed(devices) = decision.outcome else {
        panic!("{decision:?}")
    };
    assert_eq!(devices[0].uuid, device(1, 0));
    assert_eq!(
        (
            devices[0].pgpu.as_str(),
            devices[0].parent.as_str(),
            devices[0].type_id.as_str()
        ),
        ("0000:06:00.0", "0000:06:00.0", "nvidia-196")
    );
    assert_eq!(devices[0].asked, "V100DX-4Q");
    assert_eq!(
        devices[0].because,
        "depth-first (the host's policy): 2 GPUs had room; this one was empty, with room for 8"
    );
    assert_eq!(fixture.host.decision(domain_uuid(2)).unwrap(), None);

    decided(&fixture, 1, &["V100DX-4Q"]);
    let decision = fixture.host.decision(domain_uuid(1)).unwrap().unwrap();
    let DecisionOutcome::Placed(devices) = decision.outcome else {
        panic!("{decision:?}")
    };
    assert!(devices[0].because.contains("an earlier start"), "adopted");
    assert_eq!(names(&fixture).len(), 1, "the last one, and no temporary file");
}

#[test]
fn a_refused_domain_says_why_for_each_gpu() {
    let fixture = Fixture::new(&["v100dx:2"]);
    decided(&fixture, 1, &["V100DX-32Q"]);
    decided(&fixture, 2, &["V100DX-8Q"]);
    decided(&fixture, 3, &["V100DX-32Q"]);
    let decision = fixture.host.decision(domain_uuid(3)).unwrap().unwrap();
    let DecisionOutcome::Refused(refused) = decision.outcome else {
        panic!("{decision:?}")
    };
    assert_eq!(
        (refused.code.as_str(), refused.asked.as_deref()),
        ("E-FULL", Some("V100DX-32Q"))
    );
    let reasons: Vec<_> = refused
        .reasons
        .iter()
        .map(|reason| (reason.gpu.as_str(), reason.kind.as_str(), reason.text.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("0000:06:00.0", "full", "full"),
            ("0000:07:00.0", "other-size", "runs another size (nvidia-197)")
        ]
    );
    let text = std::fs::read_to_string(fixture.path(&file(domain_uuid(3)))).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value["refused"]["reasons"][1]["kind"], "other-size",
        "a shape for programs"
    );
    let all: Vec<_> = fixture
        .host
        .decisions()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(all.len(), 3);
}

#[test]
fn what_cannot_be_kept_or_read_stops_nothing() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("var/lib/mdevkit/decisions", "a file in its place");
    decided(&fixture, 1, &["mtty-1"]);
    assert_eq!(fixture.devices().len(), 1);
    std::fs::remove_file(fixture.path("var/lib/mdevkit/decisions")).unwrap();
    decided(&fixture, 2, &["mtty-1"]);
    fixture.put(&file(domain_uuid(1)), "{");
    fixture.put(&file(domain_uuid(3)), r#"{"version":7}"#);
    assert_eq!(fixture.host.decisions().unwrap().len(), 1, "the others are shown");
    let error = fixture.host.decision(domain_uuid(1)).unwrap_err();
    assert_eq!(error.code(), Code::Ledger);
    assert!(error.to_string().contains(&file(domain_uuid(1))), "{error}");
    decided(&fixture, 1, &["mtty-1"]);
    assert_eq!(fixture.host.decisions().unwrap().len(), 2, "the next one replaces it");
}

#[test]
fn a_text_without_end_is_cut() {
    let fixture = Fixture::new(&[]);
    let long = "x".repeat(1 << 20);
    let decision = LastDecision::refused(domain_uuid(1), &long, Code::Host, &long, None);
    fixture.host.keep(&decision);
    let kept = fixture.host.decision(domain_uuid(1)).unwrap().unwrap();
    assert!(kept.name.len() <= 500);
}

#[test]
fn reconcile_forgets_what_is_too_old_or_too_much() {
    let fixture = Fixture::new(&[]);
    let day = Duration::from_secs(24 * 60 * 60);
    let age = |name: &str, days: u32| {
        fixture.put(&format!("var/lib/mdevkit/decisions/{name}"), "{}");
        let path = fixture.path(&format!("var/lib/mdevkit/decisions/{name}"));
        let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - day * days).unwrap();
    };
    let name = |domain: u32| format!("{}.json", domain_uuid(domain));
    age(&name(1), 89);
    age(&name(2), 91);
    age(".cut-off.17", 2);
    age(".just-now.17", 0);
    age("notes.txt", 400);
    let dry = ReconcileOptions {
        dry_run: true,
        ..ReconcileOptions::default()
    };
    fixture.host.reconcile(&dry).unwrap();
    assert_eq!(names(&fixture).len(), 5, "a dry run does nothing");
    fixture.host.reconcile(&ReconcileOptions::default()).unwrap();
    assert_eq!(
        names(&fixture),
        [".just-now.17".to_owned(), name(1), "notes.txt".to_owned()]
    );

    for domain in 10..10 + 4096 {
        fixture.put(&file(domain_uuid(domain)), "{}");
    }
    fixture.host.reconcile(&ReconcileOptions::default()).unwrap();
    let left = names(&fixture);
    assert_eq!(left.iter().filter(|name| name.ends_with(".json")).count(), 4096);
    assert!(!left.contains(&name(1)), "the oldest went");
}
