//! Mixed sizes on one GPU: where in its framebuffer a vGPU of each type may lie.
//!
//! The framebuffer is a row of slots of 1 GiB; a vGPU takes as many as its size, from a *placement id* that its type
//! allows. NVIDIA open-gpu-kernel-modules, `kernel_vgpu_mgr.c`: `_kvgpumgrSetHeterogeneousResources` halves the row again
//! and again and lets a type lie at the ends of the parts that its count fits; from Blackwell on, the row is simply
//! divided by the count.

use serde::Deserialize;

/// Which of the driver's two algorithms, and which ids it denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Architecture {
    Ampere,
    AdaHopper,
    Blackwell,
}

/// Where 1 GiB types of boards with 48 GiB may not lie, because the guest gets its whole GiB there.
const DENIED_AMPERE: &[u32] = &[8, 32];
const DENIED_ADA: &[u32] = &[2, 3, 8, 9, 14, 15, 20, 21, 26, 27, 32, 33, 38, 39, 44, 45];

/// Parts beyond this number are not looked at.
const MOST_PARTS: u32 = 16;

/// The slots that a type of this size takes (GiB) on a GPU of `total` GiB.
pub(crate) fn slots(architecture: Architecture, total: u32, size: u32) -> u32 {
    match (architecture, total, size) {
        (Architecture::Blackwell, 96, 2) => 3,
        _ => size,
    }
}

/// The placement ids of a type, in the driver's order. `size` in slots, `max` as `max_instance`.
pub(crate) fn ids(architecture: Architecture, total: u32, size: u32, max: u32) -> Vec<u32> {
    let mut ids = Vec::new();
    match architecture {
        Architecture::Blackwell => ids.extend((0..max).filter_map(|j| (total * j).checked_div(max))),
        Architecture::Ampere | Architecture::AdaHopper if max > 0 => {
            halve(
                Part {
                    low: 0,
                    high: total,
                    of: 1,
                    left: true,
                },
                size,
                max,
                &mut ids,
            );
        }
        Architecture::Ampere | Architecture::AdaHopper => {}
    }
    if size == 1 && total == 48 {
        let denied = match architecture {
            Architecture::Ampere => DENIED_AMPERE,
            Architecture::AdaHopper => DENIED_ADA,
            Architecture::Blackwell => &[],
        };
        ids.retain(|id| !denied.contains(id));
    }
    ids
}

/// The first id at which `size` slots touch none of the taken ranges (id, size).
pub(crate) fn first_free(ids: &[u32], size: u32, taken: &[(u32, u32)]) -> Option<u32> {
    ids.iter().copied().find(|id| fits(*id, size, taken))
}

pub(crate) fn fits(id: u32, size: u32, taken: &[(u32, u32)]) -> bool {
    !taken.iter().any(|(other, len)| id < other + len && *other < id + size)
}

#[derive(Debug, Clone, Copy)]
struct Part {
    low: u32,
    high: u32,
    /// One of so many parts.
    of: u32,
    /// The left half of the part above it.
    left: bool,
}

fn halve(part: Part, size: u32, max: u32, ids: &mut Vec<u32>) {
    let Part { low, high, of, left } = part;
    if of > MOST_PARTS {
        return;
    }
    let power = 1 << max.ilog2();
    let last = high.saturating_sub(size);
    if of * 2 == max {
        ids.extend([low, last]);
    } else if (power < max && power == of) || (of == 1 && max == 1) {
        ids.push(if left { low } else { last });
    }
    let middle = low.midpoint(high);
    let half = |low, high, left| Part {
        low,
        high,
        of: of * 2,
        left,
    };
    halve(half(low, middle, true), size, max, ids);
    halve(half(middle, high, false), size, max, ids);
}

#[cfg(test)]
mod tests {
    use super::Architecture::*;
    use super::*;

    #[test]
    fn an_a40_lets_its_types_lie_where_the_driver_says() {
        for (size, max, expected) in [
            (48, 1, vec![0]),
            (24, 2, vec![0, 24]),
            (16, 3, vec![0, 32]),
            (12, 4, vec![0, 12, 24, 36]),
            (8, 6, vec![0, 16, 24, 40]),
            (6, 8, vec![0, 6, 12, 18, 24, 30, 36, 42]),
            (4, 12, vec![0, 8, 12, 20, 24, 32, 36, 44]),
            (2, 24, vec![0, 4, 6, 10, 12, 16, 18, 22, 24, 28, 30, 34, 36, 40, 42, 46]),
        ] {
            assert_eq!(ids(Ampere, 48, size, max), expected, "{size}Q");
        }
        assert_eq!(ids(Ampere, 48, 3, 16).len(), 16);
        assert_eq!(ids(Ampere, 48, 1, 32).len(), 30);
        assert_eq!(ids(AdaHopper, 48, 1, 32).len(), 32 - 16);
    }

    #[test]
    fn an_h100_holds_what_nvidia_publishes_for_mixed_sizes() {
        for (size, equal, mixed) in [
            (4, 20, 16),
            (5, 16, 16),
            (8, 10, 8),
            (10, 8, 8),
            (16, 5, 4),
            (20, 4, 4),
            (40, 2, 2),
            (80, 1, 1),
        ] {
            assert_eq!(ids(AdaHopper, 80, size, equal).len(), mixed, "{size}C");
        }
    }

    #[test]
    fn an_l4_and_an_a10_have_24_slots() {
        for architecture in [AdaHopper, Ampere] {
            for (size, max, count) in [(24, 1, 1), (12, 2, 2), (6, 4, 4), (3, 8, 8), (2, 12, 8), (1, 24, 16)] {
                assert_eq!(ids(architecture, 24, size, max).len(), count, "{size}Q");
            }
            assert_eq!(ids(architecture, 24, 8, 3), [0, 16]);
            assert_eq!(ids(architecture, 24, 4, 6), [0, 8, 12, 20]);
        }
    }

    #[test]
    fn blackwell_divides_by_the_count() {
        assert_eq!(ids(Blackwell, 96, 32, 3), [0, 32, 64]);
        assert_eq!(ids(Blackwell, 96, 8, 12), (0..12).map(|j| j * 8).collect::<Vec<_>>());
        assert_eq!(ids(Blackwell, 96, 3, 32).len(), 32);
        assert_eq!((slots(Blackwell, 96, 2), slots(Ampere, 48, 2)), (3, 2));
    }

    #[test]
    fn every_id_lies_inside_and_equal_sizes_never_overlap() {
        for total in [8, 16, 24, 32, 40, 48, 80, 96, 141] {
            for size in 1..=total {
                let max = total / size;
                for architecture in [Ampere, AdaHopper, Blackwell] {
                    let found = ids(architecture, total, size, max);
                    let mut taken = Vec::new();
                    for id in &found {
                        assert!(id + size <= total, "{architecture:?} {size} of {total}: {id}");
                        assert!(fits(*id, size, &taken), "{architecture:?} {size} of {total}: {id}");
                        taken.push((*id, size));
                    }
                    assert_eq!(first_free(&found, size, &taken), None);
                }
            }
        }
    }
}
