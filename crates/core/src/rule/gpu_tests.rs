//! Each rule told as tables, with the numbers of real hosts where there are some.

use super::*;
use crate::TypeName;

fn nvidia(id: u32, name: &str, max: u32) -> TypeFacts {
    let name: TypeName = name.parse().unwrap();
    TypeFacts {
        max: Some(max),
        ..TypeFacts::read(format!("nvidia-{id}").parse().unwrap(), Some(&name), None)
    }
}

fn plain(id: &str) -> TypeFacts {
    TypeFacts::read(id.parse().unwrap(), None, None)
}

/// The types with (resident, available) each.
fn with(types: Vec<TypeFacts>, numbers: &[(u32, u32)]) -> Vec<TypeFacts> {
    assert_eq!(types.len(), numbers.len());
    let numbers = types.into_iter().zip(numbers);
    numbers
        .map(|(ty, (resident, available))| TypeFacts {
            resident: *resident,
            available: *available,
            ..ty
        })
        .collect()
}

fn gpu(rule: Rule, types: Vec<TypeFacts>) -> Gpu {
    Gpu::new(GpuFacts {
        types,
        ..GpuFacts::new(rule)
    })
}

fn left(gpu: &Gpu, room: &Room) -> Vec<u32> {
    (0..gpu.facts().types.len()).map(|ty| gpu.left(room, ty)).collect()
}

/// What is left at first and after each take.
fn follow(gpu: &Gpu, takes: &[usize]) -> Vec<Vec<u32>> {
    let mut room = gpu.room();
    let mut seen = vec![left(gpu, &room)];
    for ty in takes {
        room = gpu.take(&room, *ty).unwrap();
        seen.push(left(gpu, &room));
    }
    seen
}

/// 1Q, 4Q, 4A, 8Q of a V100 32 GB.
fn v100dx() -> Vec<TypeFacts> {
    vec![
        nvidia(194, "GRID V100DX-1Q", 32),
        nvidia(196, "GRID V100DX-4Q", 8),
        nvidia(202, "GRID V100DX-4A", 8),
        nvidia(197, "GRID V100DX-8Q", 4),
    ]
}

const EMPTY: [(u32, u32); 4] = [(0, 32), (0, 8), (0, 8), (0, 4)];

#[test]
fn each_rule_couples_types_in_its_own_way() {
    let counted = || with(vec![plain("mdpy-vga"), plain("mdpy-hd")], &[(1, 3), (0, 3)]);
    let ports = || with(vec![plain("mtty-1"), plain("mtty-2")], &[(0, 24), (0, 12)]);
    for (rule, types, takes, seen) in [
        (
            Rule::Counter,
            counted(),
            &[0, 1, 1][..],
            vec![vec![3, 3], vec![2, 2], vec![1, 1], vec![0, 0]],
        ),
        (
            Rule::SharedPool,
            ports(),
            &[1, 0, 1],
            vec![vec![24, 12], vec![22, 11], vec![21, 10], vec![19, 9]],
        ),
        (
            Rule::SameType,
            with(v100dx(), &EMPTY),
            &[1, 1],
            vec![vec![32, 8, 8, 4], vec![0, 7, 0, 0], vec![0, 6, 0, 0]],
        ),
        (
            Rule::SameFramebuffer,
            with(v100dx(), &EMPTY),
            &[1, 2],
            vec![vec![32, 8, 8, 4], vec![0, 7, 7, 0], vec![0, 6, 6, 0]],
        ),
        (Rule::WholeCard, with(v100dx(), &EMPTY), &[], vec![vec![0, 0, 0, 0]]),
    ] {
        assert_eq!(follow(&gpu(rule, types), takes), seen, "{rule}");
    }
}

/// GRID K2 and K1 under XenServer (xapi-project/xen-api, test_vgpu_common.ml): per physical GPU.
#[test]
fn the_grid_boards_of_the_first_generation() {
    let types = |sizes: &[(&str, u32, u32)]| -> Vec<TypeFacts> {
        let of = |(name, mib, max): &(&str, u32, u32)| TypeFacts {
            size_mib: Some(*mib),
            available: *max,
            ..nvidia(9000 + mib, name, *max)
        };
        sizes.iter().map(of).collect()
    };
    let whole = TypeFacts {
        available: 1,
        ..plain("passthrough")
    };
    let mut k2 = types(&[("GRID K200", 256, 8), ("GRID K240Q", 960, 4), ("GRID K260Q", 1920, 2)]);
    k2.push(whole);
    let k2 = gpu(Rule::SameType, k2);
    assert_eq!(left(&k2, &k2.room()), [8, 4, 2, 1]);
    assert_eq!(follow(&k2, &[1, 1, 1, 1]).last().unwrap(), &[0, 0, 0, 0]);
    assert_eq!(follow(&k2, &[2])[1], [0, 0, 1, 0]);
    assert_eq!(follow(&k2, &[3])[1], [0, 0, 0, 0], "passed through");

    let k1 = gpu(Rule::SameType, types(&[("GRID K100", 256, 8), ("GRID K140Q", 960, 4)]));
    assert_eq!(left(&k1, &k1.room()), [8, 4]);
}

/// Real listings: NVIDIA RTX A6000 (R525) after one 2Q, Tesla P40 after four 1Q.
#[test]
fn one_size_at_a_time_as_hosts_list_it() {
    let a6000 = vec![
        nvidia(523, "NVIDIA RTXA6000-2B", 24),
        nvidia(525, "NVIDIA RTXA6000-2Q", 24),
        nvidia(535, "NVIDIA RTXA6000-2A", 24),
        nvidia(527, "NVIDIA RTXA6000-4Q", 12),
    ];
    let a6000 = gpu(Rule::SameFramebuffer, with(a6000, &[(0, 23), (1, 23), (0, 23), (0, 0)]));
    assert_eq!(contradiction(&a6000), None);
    assert_eq!(detect(a6000.facts()).rule, Rule::SameFramebuffer);
    assert_eq!(
        follow(&a6000, &[0, 2]),
        [[23, 23, 23, 0], [22, 22, 22, 0], [21, 21, 21, 0]]
    );
    let freed = a6000.give(&a6000.room(), 1).unwrap();
    assert_eq!(
        left(&a6000, &freed),
        [24, 24, 24, 12],
        "the last device frees every size"
    );
    assert_eq!(freed, a6000.empty());
    assert_eq!(a6000.give(&a6000.room(), 3), None, "there is none of that size");

    let p40 = vec![nvidia(46, "GRID P40-1Q", 24), nvidia(47, "GRID P40-2Q", 12)];
    let p40 = gpu(Rule::SameFramebuffer, with(p40, &[(4, 20), (0, 0)]));
    assert_eq!(left(&p40, &p40.room()), [20, 0]);
    assert_eq!(left(&p40, &p40.empty()), [24, 12]);
}

/// NVIDIA A2 with 16 virtual functions, captured on a host that runs 4C, 4Q and 4A (13 free functions say 1 each).
#[test]
fn virtual_functions_do_not_multiply_the_room() {
    let a2 = vec![
        nvidia(754, "NVIDIA A2-4C", 4),
        nvidia(746, "NVIDIA A2-4Q", 4),
        nvidia(751, "NVIDIA A2-4A", 4),
        nvidia(745, "NVIDIA A2-2Q", 8),
        plain("passthrough"),
    ];
    let facts = GpuFacts {
        types: with(a2, &[(1, 13), (1, 13), (1, 13), (0, 0), (0, 0)]),
        slots: Some(16),
        free_slots: Some(13),
        ..GpuFacts::new(Rule::SameFramebuffer)
    };
    let found = detect(&facts);
    assert_eq!(
        (found.rule, found.proven),
        (Rule::SameFramebuffer, true),
        "{}",
        found.why
    );
    let a2 = Gpu::new(facts);
    assert_eq!(contradiction(&a2), None);
    assert_eq!(follow(&a2, &[1]), [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]);
    assert_eq!(
        left(&a2, &a2.empty()),
        [4, 4, 4, 8, 0],
        "with functions on, the card is not passed through"
    );
}

/// OpenStack Nova's documentation: an A40 has 32 virtual functions and 24 instances of 2Q.
#[test]
fn the_fewer_of_functions_and_instances_is_what_there_is() {
    for (slots, free, sum, max, expected) in [
        (32, Some(32), 32, 24, 24),
        (16, Some(16), 16, 24, 16),
        (32, None, 32, 24, 24),
        (32, Some(30), 30, 32, 30),
        (32, Some(32), 20, 32, 20),
        (32, Some(0), 0, 24, 0),
    ] {
        let two_q = with(vec![nvidia(558, "NVIDIA A40-2Q", max)], &[(0, sum)]);
        let a40 = Gpu::new(GpuFacts {
            types: two_q,
            slots: Some(slots),
            free_slots: free,
            ..GpuFacts::new(Rule::SameFramebuffer)
        });
        assert_eq!(a40.left(&a40.room(), 0), expected, "{slots} {free:?} {sum} {max}");
        let mut room = a40.room();
        for _ in 0..expected {
            room = a40.take(&room, 0).unwrap();
        }
        assert_eq!(a40.take(&room, 0), None);
    }
}

/// drivers/gpu/drm/i915/gvt/vgpu.c: aperture less 128 MiB, hidden less 384 MiB, fences less 4.
#[test]
fn gvt_g_divides_three_resources() {
    let types = |numbers: &[(u32, u32)]| {
        let ids = ["i915-GVTg_V5_8", "i915-GVTg_V5_4", "i915-GVTg_V5_2"];
        with(ids[..numbers.len()].iter().map(|id| plain(id)).collect(), numbers)
    };
    let small = gpu(Rule::SharedPool, types(&[(0, 2), (0, 1)]));
    assert_eq!(follow(&small, &[0, 0]), [[2, 1], [1, 0], [0, 0]], "256 MiB of aperture");
    assert_eq!(follow(&small, &[1]), [[2, 1], [0, 0]]);

    let large = gpu(Rule::SharedPool, types(&[(0, 6), (0, 3), (0, 1)]));
    assert_eq!(follow(&large, &[2, 0]), [[6, 3, 1], [2, 1, 0], [1, 0, 0]], "512 MiB");
    let full = gpu(Rule::SharedPool, types(&[(2, 0), (0, 0), (1, 0)]));
    assert_eq!(
        left(&full, &full.empty()),
        [3, 3, 1],
        "of three devices' fences one can be sure, of free ones not"
    );
    let freed = full.give(&full.room(), 2).unwrap();
    assert_eq!(left(&full, &freed), [1, 1, 1]);
}

#[test]
fn a_pool_is_as_large_as_the_kernel_s_floors_prove() {
    let types = with(
        vec![plain("mbochs-small"), plain("mbochs-medium"), plain("mbochs-large")],
        &[(0, 20), (0, 5), (0, 1)],
    );
    let mbochs = gpu(Rule::SharedPool, types);
    assert_eq!(contradiction(&mbochs), None, "80 to 83 MiB");
    assert_eq!(follow(&mbochs, &[2, 1]), [[20, 5, 1], [4, 1, 0], [0, 0, 0]]);

    let types = with(vec![plain("mtty-1"), plain("mtty-2")], &[(0, 5), (0, 4)]);
    let odd = gpu(Rule::SharedPool, types);
    assert_eq!(
        left(&odd, &odd.room()),
        [5, 4],
        "torn between two readings: the kernel is believed"
    );
    assert_eq!(
        contradiction(&odd).unwrap(),
        "rule shared-pool leaves room for 8 of mtty-1, the kernel says 5"
    );
    assert_eq!(follow(&odd, &[1])[1], [3, 3]);
}

fn a40(rule: Rule, numbers: [(u32, u32); 5], placements: Placements) -> Gpu {
    let types = vec![
        nvidia(566, "NVIDIA A40-48Q", 1),
        nvidia(565, "NVIDIA A40-24Q", 2),
        nvidia(564, "NVIDIA A40-16Q", 3),
        nvidia(562, "NVIDIA A40-8Q", 6),
        nvidia(557, "NVIDIA A40-1Q", 32),
    ];
    Gpu::new(GpuFacts {
        types: with(types, &numbers),
        slots: Some(32),
        free_slots: Some(32 - numbers.iter().map(|(resident, _)| resident).sum::<u32>()),
        placements,
        architecture: Some(Architecture::Ampere),
        ..GpuFacts::new(rule)
    })
}

#[test]
fn mixed_sizes_go_where_the_driver_puts_them() {
    let empty = a40(Rule::MixedSizes, [(0, 32); 5], Placements::Unknown);
    assert_eq!(contradiction(&empty), None);
    assert_eq!(left(&empty, &empty.room()), [1, 2, 2, 4, 30]);

    let (room, at) = empty.place(&empty.room(), 3).unwrap();
    assert_eq!(at, Some(0), "8Q at the first place");
    assert_eq!(
        left(&empty, &room),
        [0, 1, 1, 3, 25],
        "24Q keeps 24, 16Q keeps 32; 1Q is denied 8 and 32"
    );
    let (room, at) = empty.place(&room, 1).unwrap();
    assert_eq!(at, Some(24));
    let (room, at) = empty.place(&room, 3).unwrap();
    assert_eq!(at, Some(16), "the second place of 8Q, before the 24Q");
    assert_eq!(left(&empty, &room), [0, 0, 0, 0, 5]);

    let freed = empty.vacate(&room, 1, Some(24)).unwrap();
    assert_eq!(left(&empty, &freed), [0, 1, 1, 2, 20]);
    assert_eq!(empty.vacate(&room, 1, Some(0)), None, "there is an 8Q");
    assert_eq!(empty.vacate(&room, 3, Some(24)), None, "there is a 24Q");
    assert_eq!(empty.vacate(&room, 3, None), None, "which?");
    assert_eq!(
        empty.give(&room, 3),
        empty.vacate(&room, 3, Some(16)),
        "the last of two"
    );
}

#[test]
fn mixed_sizes_without_places_prove_one_device() {
    let resident = [(0, 0), (0, 31), (0, 31), (1, 31), (0, 31)];
    for (placements, architecture) in [
        (Placements::Unknown, Some(Architecture::Ampere)),
        (
            Placements::At(vec![Placed { ty: 3, id: 41 }]),
            Some(Architecture::Ampere),
        ),
        (Placements::At(vec![Placed { ty: 3, id: 0 }]), None),
        (
            Placements::At(vec![Placed { ty: 3, id: 0 }, Placed { ty: 3, id: 16 }]),
            Some(Architecture::Ampere),
        ),
        (
            Placements::At(vec![Placed { ty: 9, id: 0 }]),
            Some(Architecture::Ampere),
        ),
    ] {
        let known = a40(Rule::MixedSizes, resident, placements.clone());
        let blind = Gpu::new(GpuFacts {
            architecture,
            ..known.facts().clone()
        });
        assert_eq!(
            follow(&blind, &[1]),
            [[0, 1, 1, 1, 1], [0, 0, 0, 0, 0]],
            "{placements:?}"
        );
        let taken = blind.take(&blind.room(), 1).unwrap();
        assert_eq!(blind.give(&taken, 1), Some(blind.room()));
        assert_eq!(blind.give(&taken, 3), None, "what that would free nobody knows");
        if architecture.is_some() {
            let gone = blind.vacate(&blind.room(), 3, None).unwrap();
            assert_eq!(gone, blind.empty());
            assert_eq!(blind.left(&gone, 1), 2, "an empty GPU has nothing to find out");
        }
    }
    let known = a40(
        Rule::MixedSizes,
        resident,
        Placements::At(vec![Placed { ty: 3, id: 0 }]),
    );
    assert_eq!(left(&known, &known.room()), [0, 1, 1, 3, 25]);
}

fn a100(numbers: &[(u32, u32)], told: Option<(u32, u32)>) -> Gpu {
    let types = vec![
        nvidia(474, "GRID A100-1-5C", 7),
        nvidia(706, "GRID A100-1-5CME", 1),
        nvidia(475, "GRID A100-2-10C", 3),
        nvidia(469, "GRID A100-5C", 8),
    ];
    let mut types = with(types, numbers);
    if let (Some((more, per_instance)), Some(mig)) = (told, types[0].mig.as_mut()) {
        mig.more = Some(more);
        mig.per_instance = Some(per_instance);
    }
    Gpu::new(GpuFacts {
        types,
        slots: Some(16),
        free_slots: Some(16 - numbers.iter().map(|(resident, _)| resident).sum::<u32>()),
        ..GpuFacts::new(Rule::Mig)
    })
}

#[test]
fn a_gpu_instance_nobody_sees_proves_one_device() {
    let blind = a100(&[(0, 16), (0, 16), (0, 16), (0, 0)], None);
    assert_eq!(
        follow(&blind, &[0, 2]),
        [[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
        "instances of one slice may be the same, those of two are others"
    );
    let told = a100(&[(0, 16), (0, 0), (0, 16), (0, 0)], Some((4, 1)));
    assert_eq!(
        follow(&told, &[0, 0, 2, 0]),
        [[4, 0, 1, 0], [3, 0, 1, 0], [2, 0, 1, 0], [2, 0, 0, 0], [1, 0, 0, 0]]
    );
    let shared = a100(&[(0, 16), (0, 16), (0, 16), (0, 0)], Some((4, 2)));
    assert_eq!(
        follow(&shared, &[1])[1],
        [2, 0, 1, 0],
        "another type may have taken a whole instance"
    );

    let full = a100(&[(2, 0), (0, 0), (1, 0), (0, 0)], None);
    assert_eq!(left(&full, &full.room()), [0, 0, 0, 0]);
    let one = full.give(&full.room(), 0).unwrap();
    assert_eq!(
        left(&full, &one),
        [1, 0, 0, 0],
        "its place is for its own kind, as far as one can know"
    );
    assert_eq!(left(&full, &full.empty()), [2, 0, 1, 0]);
}

#[test]
fn types_of_mig_have_no_room_without_it_and_those_without_none_in_it() {
    let a100 = |rule, numbers: &[(u32, u32)]| {
        let mut facts = a100(numbers, None).facts().clone();
        facts.rule = rule;
        Gpu::new(facts)
    };
    let off = a100(Rule::SameFramebuffer, &[(0, 0), (0, 0), (0, 0), (1, 15)]);
    assert_eq!(left(&off, &off.room()), [0, 0, 0, 7]);
    assert_eq!(left(&off, &off.empty()), [0, 0, 0, 8]);
    let on = a100(Rule::SameFramebuffer, &[(0, 0), (0, 0), (1, 15), (0, 0)]);
    assert_eq!(
        contradiction(&on).unwrap(),
        "rule same-framebuffer leaves room for 0 of nvidia-475 (10240 MiB) beside 1 of nvidia-475, the kernel says 15"
    );
    assert_eq!(left(&on, &on.room()), [0, 0, 1, 0], "believed for one");
}

#[test]
fn the_whole_card_needs_all_and_leaves_nothing() {
    for (rule, _) in Rule::WORDS {
        let mut types = with(v100dx(), &EMPTY);
        types.push(TypeFacts {
            available: 1,
            ..plain("passthrough")
        });
        let empty = gpu(rule, types.clone());
        let room = empty.room();
        assert_eq!(empty.left(&room, 4), 1, "{rule}");
        let whole = empty.take(&room, 4).unwrap();
        assert_eq!(left(&empty, &whole), [0; 5], "{rule}");
        assert!(empty.is_open(&whole));
        assert_eq!(empty.give(&whole, 4), Some(room), "{rule}");
        assert_eq!(empty.give(&whole, 1), None);
        if let Some(started) = empty.take(&room, 1) {
            assert_eq!(empty.left(&started, 4), 0, "{rule}: a device is on it");
            assert_eq!(empty.give(&started, 4), None);
        }
        types[4] = TypeFacts {
            resident: 1,
            available: 0,
            ..plain("passthrough")
        };
        let passed = gpu(rule, types);
        assert_eq!(
            left(&passed, &passed.room()),
            [0; 5],
            "{rule}: nothing beside it, whatever is said"
        );
        let free = passed.give(&passed.room(), 4).unwrap();
        assert_eq!((passed.left(&free, 4), free), (1, passed.empty()), "{rule}");
        if matches!(rule, Rule::SameType | Rule::SameFramebuffer) {
            assert_eq!(left(&passed, &free), [32, 8, 8, 4, 1], "{rule}: then all is free");
        }
    }
}

#[test]
fn what_the_kernel_denies_without_a_reason_stays_denied() {
    let mut numbers = EMPTY;
    numbers[2] = (0, 0);
    let denied = gpu(Rule::SameFramebuffer, with(v100dx(), &numbers));
    assert_eq!(follow(&denied, &[1]), [[32, 8, 0, 4], [0, 7, 0, 0]]);
    assert_eq!(left(&denied, &denied.empty()), [32, 8, 0, 4]);

    numbers[1] = (0, 5);
    let fewer = gpu(Rule::SameFramebuffer, with(v100dx(), &numbers));
    assert_eq!(follow(&fewer, &[1, 1]), [[32, 5, 0, 4], [0, 4, 0, 0], [0, 3, 0, 0]]);
}

#[test]
fn what_the_kernel_allows_against_the_rule_is_believed_for_that_type_alone() {
    // The driver runs one size at a time, the configuration says one type.
    let wrong = gpu(Rule::SameType, with(v100dx(), &[(0, 0), (1, 7), (0, 7), (0, 0)]));
    assert_eq!(follow(&wrong, &[2, 2]), [[0, 7, 7, 0], [0, 0, 6, 0], [0, 0, 5, 0]]);
    assert_eq!(follow(&wrong, &[1]), [[0, 7, 7, 0], [0, 6, 0, 0]]);
    let taken = wrong.take(&wrong.room(), 2).unwrap();
    assert_eq!(wrong.give(&taken, 2), Some(wrong.room()));
}

#[test]
fn a_function_that_is_free_after_all_is_believed_in() {
    let types = with(vec![nvidia(558, "NVIDIA A40-2Q", 24)], &[(1, 1)]);
    let a40 = Gpu::new(GpuFacts {
        types,
        slots: Some(2),
        free_slots: Some(0),
        ..GpuFacts::new(Rule::SameFramebuffer)
    });
    assert_eq!(follow(&a40, &[0]), [[1], [0]]);
    let taken = a40.take(&a40.room(), 0).unwrap();
    assert_eq!(a40.give(&taken, 0), Some(a40.room()));
}

#[test]
fn a_device_of_unknown_type_is_of_the_kind_that_still_has_room() {
    let beside_one = |rule, numbers: &[(u32, u32)]| {
        let types = with(v100dx(), numbers);
        Gpu::new(GpuFacts {
            strangers: 1,
            types,
            ..GpuFacts::new(rule)
        })
    };
    let sized = beside_one(Rule::SameFramebuffer, &[(0, 0), (0, 7), (0, 7), (0, 0)]);
    assert_eq!(contradiction(&sized), None);
    assert_eq!(follow(&sized, &[1]), [[0, 7, 7, 0], [0, 6, 6, 0]]);
    assert!(sized.is_open(&sized.room()));
    let typed = beside_one(Rule::SameType, &[(0, 0), (0, 7), (0, 0), (0, 0)]);
    assert_eq!(follow(&typed, &[1]), [[0, 7, 0, 0], [0, 6, 0, 0]]);

    let torn = beside_one(Rule::SameType, &[(0, 0), (0, 7), (0, 7), (0, 0)]);
    assert_eq!(
        follow(&torn, &[1]),
        [[0, 7, 7, 0], [0, 6, 0, 0]],
        "the kernel's word for one"
    );
    let full = beside_one(Rule::SameFramebuffer, &[(0, 0); 4]);
    assert_eq!(left(&full, &full.room()), [0; 4]);

    // An A2 of which only 4C is wanted, so that the 4Q on it is not listed.
    let types = with(vec![nvidia(754, "NVIDIA A2-4C", 4)], &[(0, 15)]);
    let a2 = Gpu::new(GpuFacts {
        strangers: 1,
        types,
        slots: Some(16),
        free_slots: Some(15),
        ..GpuFacts::new(Rule::SameFramebuffer)
    });
    assert_eq!(a2.left(&a2.room(), 0), 3);
}

#[test]
fn without_a_maximum_the_kernel_s_number_is_one() {
    let mut types = with(v100dx(), &[(0, 0), (2, 6), (0, 6), (0, 0)]);
    for ty in &mut types {
        ty.max = None;
    }
    let silent = gpu(Rule::SameFramebuffer, types);
    assert_eq!(follow(&silent, &[2]), [[0, 6, 6, 0], [0, 5, 5, 0]]);
    assert_eq!(left(&silent, &silent.empty()), [0, 8, 8, 0]);

    let functions = Gpu::new(GpuFacts {
        slots: Some(16),
        free_slots: Some(14),
        ..silent.facts().clone()
    });
    assert_eq!(
        follow(&functions, &[2]),
        [[0, 1, 1, 0], [0, 0, 0, 0]],
        "a function speaks for itself"
    );
}

#[test]
fn the_rule_is_found_in_drivers_names_and_numbers() {
    let with_sriov = |facts: GpuFacts| GpuFacts {
        slots: Some(16),
        ..facts
    };
    let at = |placements| GpuFacts {
        types: with(v100dx(), &[(0, 0), (1, 7), (0, 7), (0, 0)]),
        placements,
        ..GpuFacts::new(Rule::Counter)
    };
    let facts = |types| GpuFacts {
        types,
        ..GpuFacts::new(Rule::Counter)
    };
    let numbers = |numbers: &[(u32, u32)]| facts(with(v100dx(), numbers));
    let mig = |numbers: &[(u32, u32)]| facts(a100(numbers, None).facts().types.clone());
    let larger = vec![
        nvidia(1, "NVIDIA A40-4Q", 12),
        nvidia(2, "NVIDIA A40-4A", 12),
        nvidia(3, "NVIDIA A40-8Q", 6),
    ];
    for (case, facts, rule, proven) in [
        ("no types", facts(vec![plain("passthrough")]), Rule::WholeCard, true),
        ("ap", facts(vec![plain("vfio_ap-passthrough")]), Rule::Counter, true),
        ("ccw", facts(vec![plain("vfio_ccw-io")]), Rule::Counter, true),
        (
            "mdpy",
            facts(vec![plain("mdpy-vga"), plain("mdpy-hd")]),
            Rule::Counter,
            true,
        ),
        (
            "mtty",
            facts(vec![plain("mtty-1"), plain("mtty-2")]),
            Rule::SharedPool,
            true,
        ),
        ("mbochs", facts(vec![plain("mbochs-small")]), Rule::SharedPool, true),
        (
            "GVT-g",
            facts(vec![plain("passthrough"), plain("i915-GVTg_V5_4")]),
            Rule::SharedPool,
            true,
        ),
        (
            "unknown",
            facts(vec![plain("acme-1"), plain("acme-2")]),
            Rule::SameType,
            false,
        ),
        ("empty", numbers(&EMPTY), Rule::SameFramebuffer, false),
        (
            "siblings",
            numbers(&[(0, 0), (1, 7), (0, 7), (0, 0)]),
            Rule::SameFramebuffer,
            true,
        ),
        (
            "siblings exist",
            numbers(&[(0, 0), (1, 6), (1, 6), (0, 0)]),
            Rule::SameFramebuffer,
            true,
        ),
        (
            "none beside it",
            numbers(&[(0, 0), (1, 7), (0, 0), (0, 0)]),
            Rule::SameType,
            true,
        ),
        (
            "full",
            numbers(&[(0, 0), (8, 0), (0, 0), (0, 0)]),
            Rule::SameFramebuffer,
            false,
        ),
        (
            "no sibling",
            numbers(&[(1, 31), (0, 0), (0, 0), (0, 0)]),
            Rule::SameFramebuffer,
            false,
        ),
        (
            "two sizes",
            numbers(&[(1, 0), (1, 0), (0, 0), (0, 0)]),
            Rule::MixedSizes,
            true,
        ),
        (
            "room for another size",
            numbers(&[(0, 9), (1, 7), (0, 7), (0, 0)]),
            Rule::MixedSizes,
            true,
        ),
        (
            "ids of a homogeneous GPU",
            at(Placements::At(vec![Placed { ty: 1, id: 0 }])),
            Rule::SameFramebuffer,
            true,
        ),
        ("mode off", with_sriov(at(Placements::Off)), Rule::SameFramebuffer, true),
        (
            "SR-IOV, and all other sizes are larger",
            with_sriov(facts(with(larger.clone(), &[(1, 15), (0, 15), (0, 0)]))),
            Rule::SameFramebuffer,
            false,
        ),
        (
            "the same, and mixed sizes are off",
            with_sriov(GpuFacts {
                placements: Placements::Off,
                ..facts(with(larger, &[(1, 15), (0, 15), (0, 0)]))
            }),
            Rule::SameFramebuffer,
            true,
        ),
        ("GPU instance", mig(&[(0, 16), (0, 0), (0, 0), (0, 0)]), Rule::Mig, true),
        ("MIG resident", mig(&[(0, 0), (0, 0), (1, 0), (0, 0)]), Rule::Mig, true),
        ("MIG without an instance", mig(&[(0, 0); 4]), Rule::Mig, false),
        (
            "MIG off",
            mig(&[(0, 0), (0, 0), (0, 0), (0, 8)]),
            Rule::SameFramebuffer,
            false,
        ),
    ] {
        let found = detect(&facts);
        assert_eq!((found.rule, found.proven), (rule, proven), "{case}: {}", found.why);
        assert!(!found.why.is_empty());
    }
}

#[test]
fn numbers_that_a_rule_cannot_explain_are_said() {
    let v100 = |rule, numbers: &[(u32, u32)]| gpu(rule, with(v100dx(), numbers));
    let off = a40(
        Rule::MixedSizes,
        [(0, 0), (0, 0), (0, 0), (1, 31), (0, 0)],
        Placements::Off,
    );
    let beyond = a40(
        Rule::MixedSizes,
        [(0, 0), (0, 0), (0, 0), (1, 31), (0, 0)],
        Placements::At(vec![Placed { ty: 3, id: 41 }]),
    );
    let whole = TypeFacts {
        resident: 1,
        ..plain("passthrough")
    };
    let mut shared = with(v100dx(), &[(0, 0), (1, 0), (0, 0), (0, 0)]);
    shared.push(whole);
    for (gpu, sentence) in [
        (
            gpu(
                Rule::Counter,
                with(vec![plain("mdpy-vga"), plain("mdpy-hd")], &[(0, 4), (0, 3)]),
            ),
            "rule counter leaves room for 4 of mdpy-hd, the kernel says 3",
        ),
        (
            v100(Rule::SameFramebuffer, &[(2, 6), (1, 7), (0, 7), (0, 0)]),
            "rule same-framebuffer excludes nvidia-194 (1024 MiB) beside nvidia-196 (4096 MiB), and both exist (2 and 1)",
        ),
        (
            v100(Rule::SameType, &[(0, 0), (1, 6), (1, 6), (0, 0)]),
            "rule same-type excludes nvidia-196 (4096 MiB) beside nvidia-202 (4096 MiB), and both exist (1 and 1)",
        ),
        (
            v100(Rule::SameFramebuffer, &[(3, 29), (0, 7), (0, 0), (0, 0)]),
            "rule same-framebuffer leaves room for 0 of nvidia-196 (4096 MiB) beside 3 of nvidia-194, the kernel says 7",
        ),
        (
            v100(Rule::SameFramebuffer, &[(0, 0), (1, 7), (0, 0), (0, 0)]),
            "rule same-framebuffer leaves room for 7 of nvidia-202 (4096 MiB) beside 1 of nvidia-196, the kernel says 0",
        ),
        (
            v100(Rule::WholeCard, &[(0, 32), (0, 8), (0, 8), (0, 4)]),
            "rule whole-card leaves room for 0 of nvidia-194 (1024 MiB), the kernel says 32",
        ),
        (
            off,
            "rule mixed-sizes needs placement ids, the devices' placement_id says that the mode is off",
        ),
        (
            beyond,
            "rule mixed-sizes does not explain devices at the placement ids 41",
        ),
        (
            gpu(Rule::SameType, shared),
            "passthrough is the whole card, yet 2 devices exist on it",
        ),
    ] {
        assert_eq!(contradiction(&gpu).as_deref(), Some(sentence));
    }
    for (rule, numbers) in [
        (Rule::SameType, &EMPTY[..]),
        (Rule::SameType, &[(0, 0), (1, 7), (0, 0), (0, 0)]),
        (Rule::SameFramebuffer, &[(0, 0), (3, 4), (1, 4), (0, 0)]),
        (Rule::SameFramebuffer, &[(0, 0), (8, 0), (0, 0), (0, 0)]),
        (Rule::SameFramebuffer, &[(0, 0); 4]),
    ] {
        assert_eq!(contradiction(&v100(rule, numbers)), None, "{rule} {numbers:?}");
    }
}

#[test]
fn a_small_device_on_a_started_gpu_breaks_no_large_slot() {
    let v100 = gpu(Rule::SameFramebuffer, with(v100dx(), &EMPTY));
    let empty = v100.room();
    let started = v100.take(&empty, 0).unwrap();
    let next = v100.take(&started, 0).unwrap();
    assert_eq!(v100.large_left(&empty).to_string(), "4 of 8192, 8 of 4096, 32 of 1024");
    assert_eq!(v100.large_left(&started).to_string(), "31 of 1024");
    assert_eq!(
        v100.large_lost(&empty, &started).to_string(),
        "4 of 8192, 8 of 4096, 1 of 1024"
    );
    assert_eq!(v100.large_lost(&started, &next).to_string(), "1 of 1024");
    assert!(v100.large_lost(&started, &next) < v100.large_lost(&empty, &started));

    let mixed = a40(Rule::MixedSizes, [(0, 32); 5], Placements::Unknown);
    let full = (0..2).try_fold(mixed.room(), |room, _| mixed.take(&room, 1)).unwrap();
    assert!(mixed.large_left(&full).is_empty());
    assert_eq!(mixed.large_left(&full).to_string(), "");
}

#[test]
fn gpus_that_are_alike_are_equal() {
    let one = gpu(Rule::SameFramebuffer, with(v100dx(), &EMPTY));
    let other = gpu(Rule::SameFramebuffer, with(v100dx(), &EMPTY));
    assert_eq!((&one, one.room()), (&other, other.room()));
    let room = one.take(&one.take(&one.room(), 1).unwrap(), 2).unwrap();
    let turned = other.take(&other.take(&other.room(), 2).unwrap(), 1).unwrap();
    assert_eq!(room, turned, "4Q and 4A in either order");
}
