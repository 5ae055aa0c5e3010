//! What the host's numbers say against the rule that a physical GPU should follow.
//!
//! Invariant: numbers that the rule explains are never reported. What is reported changes no answer of [`Gpu`] for the
//! worse: the kernel is believed.

use super::detect::show;
use super::{Gpu, Placements, Rule, TypeFacts};

/// What of the numbers that were read the rule cannot explain, as a sentence with the type and the numbers.
///
/// ```
/// use mdevkit_core::rule::{Gpu, GpuFacts, Rule, TypeFacts, contradiction};
/// let read = |id: &str, resident, available| -> Result<TypeFacts, mdevkit_core::ValueError> {
///     let facts = TypeFacts::read(id.parse()?, None, None);
///     Ok(TypeFacts { size_mib: Some(4096), max: Some(4), resident, available, ..facts })
/// };
/// let types = vec![read("nvidia-746", 1, 3)?, read("nvidia-751", 0, 3)?];
/// let gpu = Gpu::new(GpuFacts { types, ..GpuFacts::new(Rule::SameType) });
/// assert_eq!(
///     contradiction(&gpu).as_deref(),
///     Some("rule same-type leaves room for 0 of nvidia-751 (4096 MiB) beside 1 of nvidia-746, the kernel says 3")
/// );
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
pub fn contradiction(gpu: &Gpu) -> Option<String> {
    let facts = gpu.facts();
    let rule = gpu.rule();
    if let Some(whole) = facts.types.iter().find(|ty| ty.whole && ty.resident > 0)
        && facts.devices() > 1
    {
        return Some(format!(
            "{} is the whole card, yet {} devices exist on it",
            whole.id,
            facts.devices()
        ));
    }
    if rule == Rule::MixedSizes && facts.placements == Placements::Off {
        return Some(format!(
            "rule {rule} needs placement ids, the devices' placement_id says that the mode is off"
        ));
    }
    if gpu.is_unclear() {
        return unclear(gpu);
    }
    facts
        .types
        .iter()
        .enumerate()
        .filter(|(_, ty)| !ty.whole)
        .find_map(|(position, ty)| {
            let expected = gpu.expected(position);
            let kernel = ty.available;
            // Virtual functions speak for themselves: their sum says yes or no, and not how many.
            let more = kernel > expected && (facts.slots.is_none() || expected == 0);
            let fewer = match rule {
                Rule::Counter | Rule::SharedPool => kernel < expected && (facts.slots.is_none() || kernel == 0),
                // On an empty GPU the kernel may have many reasons; MIG's are not seen here.
                Rule::SameType | Rule::SameFramebuffer | Rule::MixedSizes => {
                    kernel == 0 && expected > 0 && gpu.is_open(&gpu.room())
                }
                Rule::Mig | Rule::WholeCard => false,
            };
            (more || fewer).then(|| {
                format!(
                    "rule {rule} leaves room for {expected} of {}{}, the kernel says {kernel}",
                    show(ty),
                    beside(&facts.types)
                )
            })
        })
}

/// Residents that cannot be together, or cannot be where they are.
fn unclear(gpu: &Gpu) -> Option<String> {
    let facts = gpu.facts();
    let rule = gpu.rule();
    if rule != Rule::MixedSizes {
        let mut residents = facts.types.iter().filter(|ty| ty.resident > 0 && !ty.whole);
        let (one, other) = (residents.next()?, residents.next()?);
        let (one, other) = match residents.find(|ty| ty.size_mib != one.size_mib) {
            Some(third) if other.size_mib == one.size_mib => (one, third),
            _ => (one, other),
        };
        return Some(format!(
            "rule {rule} excludes {} beside {}, and both exist ({} and {})",
            show(one),
            show(other),
            one.resident,
            other.resident
        ));
    }
    let Placements::At(placed) = &facts.placements else {
        return None;
    };
    let known = facts.strangers == 0 && placed.len() == usize::try_from(facts.devices()).ok()?;
    (known && facts.architecture.is_some()).then(|| {
        let ids: Vec<String> = placed.iter().map(|device| device.id.to_string()).collect();
        format!(
            "rule {rule} does not explain devices at the placement ids {}",
            ids.join(", ")
        )
    })
}

/// ` beside 2 of nvidia-746, 1 of nvidia-751`.
fn beside(types: &[TypeFacts]) -> String {
    let residents: Vec<String> = types
        .iter()
        .filter(|ty| ty.resident > 0)
        .map(|ty| format!("{} of {}", ty.resident, ty.id))
        .collect();
    if residents.is_empty() {
        String::new()
    } else {
        format!(" beside {}", residents.join(", "))
    }
}
