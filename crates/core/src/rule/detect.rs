//! Which rule a physical GPU follows, as far as the host shows it.
//!
//! Invariant: what is called proven follows from the driver's name or from numbers that no other rule gives.

use super::facts::split;
use super::{GpuFacts, Placements, Rule, TypeFacts};

/// A rule, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// The rule; of those that are possible the one that is usual.
    pub rule: Rule,
    /// Whether the host shows that it is this one.
    pub proven: bool,
    /// Why, as a part of a sentence for a person.
    pub why: String,
}

/// Finds out the rule; [`GpuFacts::rule`] is passed over.
///
/// An NVIDIA GPU shows its rule only when it has devices. Without any it is taken for one that runs one framebuffer
/// size at a time, which is what the driver does unless it is told otherwise.
///
/// ```
/// use mdevkit_core::rule::{GpuFacts, Rule, TypeFacts, detect};
/// let types = vec![TypeFacts::read("mtty-1".parse()?, None, None), TypeFacts::read("mtty-2".parse()?, None, None)];
/// let found = detect(&GpuFacts { types, ..GpuFacts::new(Rule::Counter) });
/// assert_eq!((found.rule, found.proven), (Rule::SharedPool, true));
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
pub fn detect(facts: &GpuFacts) -> Detected {
    let found = |rule, proven, why: String| Detected { rule, proven, why };
    let Some(first) = facts.types.iter().find(|ty| !ty.whole) else {
        return found(Rule::WholeCard, true, "it offers no types".to_owned());
    };
    match split(&first.id).0 {
        driver @ ("vfio_ap" | "vfio_ccw" | "mdpy") => found(
            Rule::Counter,
            true,
            format!("driver {driver} counts all types together"),
        ),
        driver @ ("mtty" | "mbochs" | "i915") => found(
            Rule::SharedPool,
            true,
            format!("driver {driver} cuts its types from one pool"),
        ),
        "nvidia" => nvidia(facts),
        driver => found(
            Rule::SameType,
            false,
            format!("driver {driver} is not known, so no two types are expected side by side"),
        ),
    }
}

fn nvidia(facts: &GpuFacts) -> Detected {
    let found = |rule, proven, why: String| Detected { rule, proven, why };
    let types = || facts.types.iter().filter(|ty| !ty.whole);
    if let Some(ty) = types().find(|ty| ty.mig.is_some() && (ty.available > 0 || ty.resident > 0)) {
        return found(Rule::Mig, true, format!("{} lives in a GPU instance (MIG)", ty.id));
    }
    if let Some((one, other)) = sizes_side_by_side(facts) {
        return found(
            Rule::MixedSizes,
            true,
            format!("{} and {} are possible side by side", show(one), show(other)),
        );
    }
    for resident in types().filter(|ty| ty.resident > 0) {
        let Some(sibling) = types().find(|ty| ty.id != resident.id && same_size(ty, resident)) else {
            continue;
        };
        if types().any(|ty| ty.id != resident.id && same_size(ty, resident) && (ty.available > 0 || ty.resident > 0)) {
            // Mixed sizes do the same, but need SR-IOV, and would have room for smaller ones, too.
            let unmixed = facts.slots.is_none()
                || facts.placements == Placements::Off
                || types().any(|ty| smaller(ty, resident) && resident.available > 0);
            return found(
                Rule::SameFramebuffer,
                unmixed,
                format!("{} has room for other types of its size", show(resident)),
            );
        }
        if resident.available > 0 {
            return found(
                Rule::SameType,
                true,
                format!("{} has none left beside {} of its size", sibling.id, resident.id),
            );
        }
    }
    let shows = types().any(|ty| ty.available > 0 || ty.resident > 0);
    if !shows && facts.devices() == 0 && types().any(|ty| ty.mig.is_some()) {
        return found(
            Rule::Mig,
            false,
            "no type has room and no device exists, as in MIG mode before there is a GPU instance".to_owned(),
        );
    }
    let why = match (&facts.placements, facts.devices()) {
        (_, 0) => "no device exists that would show it; the driver's usual rule",
        (Placements::Off, _) => "mixed sizes are off; the driver's usual rule",
        _ => "its devices do not show it; the driver's usual rule",
    };
    found(Rule::SameFramebuffer, false, why.to_owned())
}

/// Two sizes at once: both exist, or one exists and the other has room.
fn sizes_side_by_side(facts: &GpuFacts) -> Option<(&TypeFacts, &TypeFacts)> {
    let types = || facts.types.iter().filter(|ty| !ty.whole && ty.mig.is_none());
    types().filter(|ty| ty.resident > 0).find_map(|one| {
        let other = types().find(|ty| {
            let differs = one.size_mib.zip(ty.size_mib).is_some_and(|(one, other)| one != other);
            differs && (ty.resident > 0 || ty.available > 0)
        })?;
        Some((one, other))
    })
}

fn same_size(one: &TypeFacts, other: &TypeFacts) -> bool {
    let known = one.size_mib.is_some() && one.size_mib == other.size_mib;
    known && one.mig.is_some() == other.mig.is_some()
}

fn smaller(ty: &TypeFacts, resident: &TypeFacts) -> bool {
    ty.mig.is_none()
        && ty
            .size_mib
            .zip(resident.size_mib)
            .is_some_and(|(mib, other)| mib < other)
}

pub(super) fn show(ty: &TypeFacts) -> String {
    match ty.size_mib {
        Some(mib) => format!("{} ({mib} MiB)", ty.id),
        None => ty.id.to_string(),
    }
}
