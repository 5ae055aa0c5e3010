//! The capacity rules, on numbers that no driver would say.
//!
//! Input, so that a person can read it:
//!
//! ```text
//! same-framebuffer slots=32 free=30 strangers=1 arch=ampere off
//! nvidia-558|NVIDIA A40-2Q|num_heads=4, framebuffer=2048M, max_instance=24|available=24 resident=1 at=0 more=3 per=2
//! ...
//! ```
//! and behind a NUL a byte for each step: which type comes, or (from 0x80) goes.

use mdevkit_core::TypeName;
use mdevkit_core::rule::{
    Architecture, Gpu, GpuFacts, Mig, Placed, Placements, Room, Rule, TypeFacts, contradiction, detect,
};
use std::collections::BTreeSet;

const RULES: [Rule; 7] = [
    Rule::Counter,
    Rule::SharedPool,
    Rule::SameType,
    Rule::SameFramebuffer,
    Rule::MixedSizes,
    Rule::Mig,
    Rule::WholeCard,
];

/// Open (regressions/open/room): u32::MAX virtual functions mean "needs none" to the rules, so a take does not lower what
/// is left. Mended, this is u32::MAX.
const MOST_SLOTS: u32 = u32::MAX - 1;

/// A physical GPU under each rule: what is promised never exceeds what the kernel says, and lessens with each take.
pub fn room(data: &[u8]) {
    let mut parts = crate::parts(data);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let steps = parts.next().unwrap_or(&[0, 1, 0, 2, 0x80, 1, 0x81, 0, 0]);
    let facts = facts(&text);
    let found = detect(&facts);
    assert!(crate::is_one_line(&found.why));
    for rule in RULES {
        let gpu = Gpu::new(GpuFacts { rule, ..facts.clone() });
        assert!(contradiction(&gpu).is_none_or(|why| crate::is_one_line(&why)));
        walk(&gpu, steps);
    }
}

fn walk(gpu: &Gpu, steps: &[u8]) {
    let types = &gpu.facts().types;
    let mut room = gpu.room();
    assert_eq!(gpu.devices(&room), gpu.facts().devices());
    assert_eq!(gpu.devices(&gpu.empty()), 0);
    assert_eq!(
        (gpu.left(&room, types.len()), gpu.take(&room, types.len())),
        (0, None),
        "there is no such type"
    );
    let mut taken: Vec<(usize, Option<u16>)> = Vec::new();
    let mut kinds = BTreeSet::new();
    promised(gpu, &room);
    for step in steps.iter().take(48) {
        let Some(ty) = usize::from(step & 0x7f).checked_rem(types.len()) else {
            return;
        };
        if *step >= 0x80 {
            // Only what came goes: the kernel's numbers say nothing of a GPU that has fewer devices than were counted.
            let Some(at) = taken.iter().rposition(|it| it.0 == ty) else {
                continue;
            };
            let (_, id) = taken.remove(at);
            if let Some(next) = gpu.vacate(&room, ty, id) {
                assert_eq!(gpu.devices(&next) + 1, gpu.devices(&room));
                room = next;
                promised(gpu, &room);
            } else {
                return;
            }
            continue;
        }
        let left = gpu.left(&room, ty);
        let Some((next, id)) = gpu.place(&room, ty) else {
            // So many types never move on one GPU, and no more is noted of it.
            let noted = gpu.rule() == Rule::Mig && kinds.len() >= 16;
            assert!(
                left == 0 || gpu.devices(&room) == u32::MAX || noted,
                "{left} are left and none can be taken"
            );
            continue;
        };
        kinds.insert(ty);
        taken.push((ty, id));
        assert_eq!(gpu.take(&room, ty), Some(next));
        assert_eq!(gpu.devices(&next), gpu.devices(&room) + 1);
        assert!(left > 0 && gpu.left(&next, ty) < left, "a take lowers");
        // The driver takes the first place that is free: with mixed sizes that may be the better one for others.
        if gpu.rule() != Rule::MixedSizes {
            for other in 0..types.len() {
                assert!(
                    gpu.left(&next, other) <= gpu.left(&room, other),
                    "a take of {ty} makes room for {other}"
                );
            }
            assert!(gpu.large_left(&next) <= gpu.large_left(&room));
        }
        let _ = (gpu.large_lost(&room, &next), gpu.give(&next, ty));
        promised(gpu, &next);
        room = next;
    }
}

fn promised(gpu: &Gpu, room: &Room) {
    for (ty, facts) in gpu.facts().types.iter().enumerate() {
        let left = gpu.left(room, ty);
        assert!(
            left <= facts.available,
            "{}: {left} of {} under {}",
            facts.id,
            facts.available,
            gpu.rule()
        );
    }
}

fn facts(text: &str) -> GpuFacts {
    let mut lines = text.lines();
    let mut facts = GpuFacts::new(Rule::Counter);
    for word in lines.next().unwrap_or_default().split_whitespace() {
        match word.split_once('=') {
            Some(("slots", number)) => facts.slots = number.parse().ok().map(|it: u32| it.min(MOST_SLOTS)),
            Some(("free", number)) => facts.free_slots = number.parse().ok(),
            Some(("strangers", number)) => facts.strangers = number.parse().unwrap_or(0),
            Some(("arch", "ampere")) => facts.architecture = Some(Architecture::Ampere),
            Some(("arch", "ada")) => facts.architecture = Some(Architecture::AdaHopper),
            Some(("arch", "blackwell")) => facts.architecture = Some(Architecture::Blackwell),
            None if word == "off" => facts.placements = Placements::Off,
            _ => {}
        }
    }
    let mut placed = Vec::new();
    for line in lines.take(24) {
        if let Some(ty) = ty(line, facts.types.len(), &mut placed) {
            facts.types.push(ty);
        }
    }
    if !placed.is_empty() {
        facts.placements = Placements::At(placed);
    }
    facts
}

fn ty(line: &str, number: usize, placed: &mut Vec<Placed>) -> Option<TypeFacts> {
    let mut columns = line.split('|');
    let id = columns.next()?.parse().ok()?;
    let name: Option<TypeName> = columns.next().and_then(|name| name.parse().ok());
    // A description of several lines stands on one here.
    let description = columns.next().unwrap_or_default().replace(',', "\n");
    let mut facts = TypeFacts::read(id, name.as_ref(), Some(&description));
    let (mut slices, mut more, mut per_instance) = (facts.mig.map(|mig| mig.slices), None, None);
    for word in columns.next().unwrap_or_default().split_whitespace() {
        let (key, value) = word.split_once('=')?;
        let value: u32 = value.parse().ok()?;
        match key {
            "available" => facts.available = value,
            "resident" => facts.resident = value,
            "at" => placed.push(Placed {
                ty: number,
                id: u16::try_from(value).ok()?,
            }),
            "slices" => slices = Some(value),
            "more" => more = Some(value),
            "per" => per_instance = Some(value),
            _ => return None,
        }
    }
    facts.mig = slices.map(|slices| Mig {
        slices,
        more,
        per_instance,
    });
    Some(facts)
}
