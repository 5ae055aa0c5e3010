//! How long planning takes, in this process alone: run it with `--release` (`cargo xtask bench` does).
//!
//! Hosts are made up and fully read, so nothing but [`mdevkit_core::plan`] and [`mdevkit_core::plan_all`] is timed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a program for a developer's terminal"
)]

use mdevkit_core::{
    Answer, DeviceApi, Inventory, Known, Offer, Parent, ParentName, PgpuName, Policy, Slot, TypeSpec, Uuid, Want, plan,
    plan_all,
};
use std::time::{Duration, Instant};

/// (name, GiB, how many on an empty GPU): twenty types of a 48 GiB board.
const TYPES: [(&str, u32, u32); 20] = [
    ("1Q", 1, 32),
    ("2Q", 2, 24),
    ("3Q", 3, 16),
    ("4Q", 4, 12),
    ("6Q", 6, 8),
    ("8Q", 8, 6),
    ("12Q", 12, 4),
    ("16Q", 16, 3),
    ("24Q", 24, 2),
    ("48Q", 48, 1),
    ("1A", 1, 32),
    ("2A", 2, 24),
    ("3A", 3, 16),
    ("4A", 4, 12),
    ("6A", 6, 8),
    ("8A", 8, 6),
    ("12A", 12, 4),
    ("16A", 16, 3),
    ("24A", 24, 2),
    ("48A", 48, 1),
];

/// So many GPUs, each with so many virtual functions, or none.
fn host(gpus: usize, functions: usize) -> Inventory {
    let mut host = Inventory::new("host");
    host.listed = true;
    (host.residents, host.cards) = (Known::Is(Vec::new()), Known::Is(Vec::new()));
    for gpu in 0..gpus {
        let name: PgpuName = format!("{:04x}:{:02x}:00.0", gpu / 256, gpu % 256).parse().unwrap();
        host.pgpu_mut(&name).ids = Known::Is(Some("10de:2235".parse().unwrap()));
        let parents: Vec<ParentName> = match functions {
            0 => vec![name.as_parent().clone()],
            _ => (0..functions)
                .map(|vf| {
                    format!("{:04x}:{:02x}:{:02x}.{}", gpu / 256, gpu % 256, 1 + vf / 8, vf % 8)
                        .parse()
                        .unwrap()
                })
                .collect(),
        };
        for parent in parents {
            let mut parent = Parent::new(parent);
            parent.pgpu = Known::Is(name.clone());
            for (index, (short, gib, max)) in TYPES.iter().enumerate() {
                let offer = Offer {
                    name: Known::Is(Some(format!("NVIDIA A40-{short}").parse().unwrap())),
                    description: Known::Is(format!("framebuffer={}M, max_instance={max}", gib * 1024)),
                    device_api: Known::Is(DeviceApi::VfioPci),
                    available: Known::Is(if functions == 0 { *max } else { 1 }),
                    refused: None,
                };
                parent.offer(format!("nvidia-{}", 557 + index).parse().unwrap(), offer);
            }
            host.add(parent);
        }
    }
    host
}

fn want(slot: usize, number: usize, spec: &str, policy: Policy) -> Want {
    let slot = Slot::new(u16::try_from(slot).unwrap()).unwrap();
    Want {
        policy: Some(policy),
        device_api: Some(DeviceApi::VfioPci),
        ..Want::new(
            slot,
            Uuid::from_u128(number as u128 + 1),
            spec.parse::<TypeSpec>().unwrap(),
        )
    }
}

/// So many domains with one device each, of all Q types by turns.
fn domains(count: usize, policy: Policy) -> Vec<Vec<Want>> {
    (0..count)
        .map(|number| vec![want(0, number, &format!("A40-{}", TYPES[number % 6].0), policy)])
        .collect()
}

fn median(times: usize, mut run: impl FnMut()) -> Duration {
    let mut taken: Vec<Duration> = (0..times)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        })
        .collect();
    taken.sort_unstable();
    taken[taken.len() / 2]
}

fn line(what: &str, took: Duration, goal_ms: f64) -> f64 {
    let ms = took.as_secs_f64() * 1000.0;
    let verdict = if ms <= goal_ms { "kept" } else { "MISSED" };
    println!("{what:68} {ms:>9.3} ms  at most {goal_ms}: {verdict}");
    ms
}

/// The growth from a tenth of the size, against that of n log n.
fn growth(small_ms: f64, large_ms: f64, small: usize, large: usize) {
    let n_log_n = |n: usize| n as f64 * (n as f64).log2();
    let (grew, may) = (large_ms / small_ms, n_log_n(large) / n_log_n(small));
    let verdict = if grew <= may { "kept" } else { "MISSED" };
    println!(
        "{:68} {grew:>9.2} times  at most {may:.2} (n log n): {verdict}",
        "  growth from a tenth of that"
    );
}

fn main() {
    let one = |host: &Inventory| {
        let wants = [want(0, 0, "A40-4Q", Policy::DepthFirst)];
        median(101, || assert!(matches!(plan(&wants, host), Answer::Plan(_))))
    };
    let large = one(&host(16, 64));
    let small = one(&host(16, 6));
    let ms = line("one device on 16 GPUs x 64 functions x 20 types", large, 1.0);
    growth(small.as_secs_f64() * 1000.0, ms, 16 * 6, 16 * 64);

    for policy in [Policy::DepthFirst, Policy::KeepLarge] {
        let all = |gpus: usize| {
            let (host, domains) = (host(gpus, 0), domains(gpus * 10, policy));
            median(5, || assert!(plan_all(&domains, &host).unwrap().fits()))
        };
        let (small, large) = (all(100), all(1000));
        let ms = line(&format!("10,000 domains on 1,000 GPUs, {policy}"), large, 200.0);
        growth(small.as_secs_f64() * 1000.0, ms, 1000, 10_000);
    }

    // Sixteen devices that find no place one after the other: small ones first break every GPU.
    let host = host(64, 0);
    for (what, specs) in [
        (
            "16 devices of 16 types on 64 GPUs",
            (0..16).map(|n| format!("A40-{}", TYPES[n].0)).collect::<Vec<_>>(),
        ),
        ("16 whole GPUs on 64 GPUs", vec!["A40-48Q".to_owned(); 16]),
    ] {
        let wants: Vec<Want> = specs
            .iter()
            .enumerate()
            .map(|(slot, spec)| want(slot, slot, spec, Policy::BreadthFirst))
            .collect();
        line(
            what,
            median(51, || assert!(matches!(plan(&wants, &host), Answer::Plan(_)))),
            5.0,
        );
    }
    for (what, gpus, expected) in [
        ("that fit on 8 GPUs in few ways", 8, true),
        ("that do not fit on 7 GPUs", 7, false),
    ] {
        let host = self::host(gpus, 0);
        // Seven sizes; the policy spreads the first ones over GPUs that the last ones need.
        let specs = [
            "1Q", "1Q", "2Q", "2Q", "4Q", "4Q", "8Q", "8Q", "12Q", "12Q", "24Q", "24Q", "48Q", "48Q", "1A", "2A",
        ];
        let wants: Vec<Want> = specs
            .iter()
            .enumerate()
            .map(|(slot, spec)| want(slot, slot, &format!("A40-{spec}"), Policy::BreadthFirst))
            .collect();
        let took = median(51, || match plan(&wants, &host) {
            Answer::Plan(_) => assert!(expected, "it fits"),
            Answer::Refusal(refusal) => assert!(!expected && !refusal.unproven, "{refusal}"),
            Answer::Needs(needs) => unreachable!("{needs:?}"),
        });
        line(&format!("16 devices {what}"), took, 5.0);
    }
}
