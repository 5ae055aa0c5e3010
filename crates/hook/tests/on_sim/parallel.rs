//! Many hooks at once, as libvirt runs them.

use crate::common::{Fixture, domain};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn twenty_hooks_for_twenty_slots_all_get_one() {
    let fixture = Fixture::new(&["mtty"]);
    // 24 ports: four are taken, twenty are left.
    fixture.prepare("d100", &domain(100, &["mtty-2", "mtty-2"])).done();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let hooks: Vec<_> = (1..=20)
            .map(|number| {
                let fixture = &fixture;
                scope.spawn(move || fixture.prepare(&format!("d{number}"), &domain(number, &["mtty-1"])))
            })
            .collect();
        hooks.into_iter().map(|hook| hook.join().unwrap()).collect()
    });
    for answer in &answers {
        answer.done();
    }
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    println!("20 hooks at once: the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "bounded: {slowest:?}");
    let devices: BTreeSet<_> = fixture.devices().into_iter().collect();
    assert_eq!(devices.len(), 22);
    assert_eq!(fixture.ledger().matches(r#""state":"created""#).count(), 22);
    fixture.prepare("d21", &domain(21, &["mtty-1"])).failed(1, "E-FULL");

    std::thread::scope(|scope| {
        for number in 1..=20 {
            let fixture = &fixture;
            scope.spawn(move || {
                fixture
                    .release(&format!("d{number}"), &domain(number, &["mtty-1"]))
                    .done()
            });
        }
    });
    assert_eq!(fixture.devices().len(), 2);
    let left: Vec<_> = std::fs::read_dir(fixture.path("run/mdevkit"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("domain-"))
        .collect();
    assert_eq!(left.len(), 1, "ended domains leave no lock: {left:?}");
}

#[test]
fn two_hooks_of_one_domain_take_turns() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fixture.prepare("d1", &xml).done());
        }
    });
    assert_eq!(fixture.devices().len(), 1);
}
