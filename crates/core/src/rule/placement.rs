//! Where NVIDIA's mixed-size mode lets a vGPU begin: the placement ids of each type.
//!
//! The framebuffer is a region of slots of 1 GiB. A type may begin only at certain slots, its supported placement
//! ids; one can be created while the slots of one of its ids are all free. Two algorithms make the ids:
//!
//! ```text
//!   Ampere, Ada, Hopper: the region is halved again and again (1, 1/2 ... 1/16). A type of which two fill a part
//!   gets the part's begin and end; one of which the part holds one gets the begin (left part) or the end (right).
//!
//!     24Q  [0                       ][24                     ]     A40, 48 slots
//!     16Q  [0              ]                  [32            ]     three by size alone, two by this rule
//!     12Q  [0         ][12          ][24         ][36        ]
//!
//!   Blackwell: id j of a type is region * j / max_instance.
//! ```
//!
//! Sources: NVIDIA open-gpu-kernel-modules, kernel_vgpu_mgr.c, `_kvgpumgrSetHeterogeneousResources()`,
//! `_kvgpumgrIsPlacementValid()` and `_kvgpumgrSetHeterogeneousResources_GB100()`.
//!
//! Invariant: every id leaves its type within the region, and the work is bounded whatever the numbers are.

use crate::PciIds;

/// The most slots (GiB) that are reckoned with; B300 has 288.
pub const MAX_REGION: u16 = 384;

/// The driver stops halving when a part is less than 1/16: it counts 32 vGPUs at most.
const SMALLEST_PART: u32 = 16;

/// Which of the drivers' algorithms makes a board's placement ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// Ampere: the resource manager runs on the host.
    Ampere,
    /// Ada and Hopper: it runs on the GPU (GSP).
    AdaHopper,
    /// Blackwell (GB100) and later.
    Blackwell,
}

impl Architecture {
    /// The architecture of an NVIDIA board with SR-IOV; none for others, and for boards newer than this list.
    ///
    /// ```
    /// use mdevkit_core::rule::Architecture;
    /// assert_eq!(Architecture::of("10de:2235".parse()?), Some(Architecture::Ampere), "A40");
    /// assert_eq!(Architecture::of("10de:26b9".parse()?), Some(Architecture::AdaHopper), "L40S");
    /// assert_eq!(Architecture::of("10de:2bb5".parse()?), Some(Architecture::Blackwell), "RTX PRO 6000");
    /// assert_eq!(Architecture::of("10de:1db5".parse()?), None, "V100: no SR-IOV");
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn of(ids: PciIds) -> Option<Self> {
        if ids.vendor != 0x10de {
            return None;
        }
        // By pci.ids: GA10x and GA100, GH100 and AD10x, GB100 and GB20x.
        match ids.device >> 8 {
            0x20 | 0x22 | 0x24 | 0x25 => Some(Self::Ampere),
            0x23 | 0x26..=0x28 => Some(Self::AdaHopper),
            0x29 | 0x2b..=0x2d | 0x2f => Some(Self::Blackwell),
            _ => None,
        }
    }
}

/// What a type takes of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Slots (GiB).
    pub size: u16,
    /// How many fit on an empty GPU where all are of this size (`max_instance`, count).
    pub max: u16,
}

/// The slots that a device of this type blocks (GiB): its size, and on Blackwell at least its share of the region
/// (of 96 GiB the type of 2 GiB takes 3). A type without a size takes none and has no placement.
pub fn slots(region: u16, extent: Extent, architecture: Architecture) -> u16 {
    match architecture {
        _ if extent.size == 0 => 0,
        Architecture::Ampere | Architecture::AdaHopper => extent.size,
        Architecture::Blackwell => region.checked_div(extent.max).unwrap_or(0).max(extent.size),
    }
}

/// The supported placement ids of each type, in the driver's order, which is ascending: it takes the first that is free.
///
/// `region` is the nominal framebuffer in GiB, the size of the type of which one fills the GPU. A region above
/// [`MAX_REGION`] has no ids.
///
/// ```
/// use mdevkit_core::rule::placement::{Architecture, Extent, supported_ids};
/// let l4 = [(24, 1), (8, 3), (4, 6)].map(|(size, max)| Extent { size, max });
/// assert_eq!(supported_ids(24, &l4, Architecture::AdaHopper), [vec![0], vec![0, 16], vec![0, 8, 12, 20]]);
/// ```
pub fn supported_ids(region: u16, types: &[Extent], architecture: Architecture) -> Vec<Vec<u16>> {
    if region > MAX_REGION {
        return vec![Vec::new(); types.len()];
    }
    types
        .iter()
        .map(|extent| {
            let size = slots(region, *extent, architecture);
            if size == 0 || size > region || extent.max == 0 {
                return Vec::new();
            }
            let mut ids = Vec::new();
            match architecture {
                Architecture::Blackwell => {
                    ids.extend((0..extent.max.min(region)).map(|j| share(region, j, extent.max)));
                    ids.retain(|id| id.saturating_add(size) <= region);
                }
                Architecture::Ampere | Architecture::AdaHopper => {
                    halve(*extent, 0, region, 1, true, &mut ids);
                    // A 1 GiB type gets its GiB whole where the board has more than its instances need; then it
                    // does not fit behind some of the others.
                    if extent.size == 1 && region > extent.max {
                        ids.retain(|id| !denied(architecture).contains(id));
                    }
                }
            }
            ids
        })
        .collect()
}

/// `region * j / max` without overflow.
fn share(region: u16, j: u16, max: u16) -> u16 {
    let id = u32::from(region) * u32::from(j) / u32::from(max.max(1));
    u16::try_from(id).unwrap_or(u16::MAX)
}

/// One part of the region, `low..high`, of which there are `parts`; then its halves.
fn halve(extent: Extent, low: u16, high: u16, parts: u32, left: bool, ids: &mut Vec<u16>) {
    if parts > SMALLEST_PART {
        return;
    }
    let max = u32::from(extent.max);
    let even = 1_u32 << max.ilog2();
    let (begin, end) = if parts * 2 == max {
        (true, true)
    } else if (even < max && even == parts) || (parts == 1 && max == 1) {
        (left, !left)
    } else {
        (false, false)
    };
    if begin && low.saturating_add(extent.size) <= high {
        ids.push(low);
    }
    if end && let Some(id) = high.checked_sub(extent.size).filter(|id| *id >= low) {
        ids.push(id);
    }
    let middle = u16::midpoint(low, high);
    halve(extent, low, middle, parts * 2, true, ids);
    halve(extent, middle, high, parts * 2, false, ids);
}

/// Where a 1 GiB type of a 48 GiB board cannot begin.
fn denied(architecture: Architecture) -> &'static [u16] {
    match architecture {
        Architecture::Ampere => &[8, 32],
        Architecture::AdaHopper => &[2, 3, 8, 9, 14, 15, 20, 21, 26, 27, 32, 33, 38, 39, 44, 45],
        Architecture::Blackwell => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(region: u16, types: &[(u16, u16)], architecture: Architecture) -> Vec<Vec<u16>> {
        let types: Vec<Extent> = types
            .iter()
            .map(|(size, max)| Extent { size: *size, max: *max })
            .collect();
        supported_ids(region, &types, architecture)
    }

    fn counts(region: u16, types: &[(u16, u16)], architecture: Architecture) -> Vec<usize> {
        ids(region, types, architecture).iter().map(Vec::len).collect()
    }

    /// (GiB, max_instance) of the Q types of a 48 GiB board.
    const GIB48: [(u16, u16); 10] = [
        (48, 1),
        (24, 2),
        (16, 3),
        (12, 4),
        (8, 6),
        (6, 8),
        (4, 12),
        (3, 16),
        (2, 24),
        (1, 32),
    ];

    #[test]
    fn a40() {
        let ids = ids(48, &GIB48, Architecture::Ampere);
        let even = |step: usize| (0..48).step_by(step).collect::<Vec<u16>>();
        assert_eq!(ids[0], [0]);
        assert_eq!(ids[1], [0, 24]);
        assert_eq!(ids[2], [0, 32]);
        assert_eq!(ids[3], [0, 12, 24, 36]);
        assert_eq!(ids[4], [0, 16, 24, 40]);
        assert_eq!(ids[5], even(6));
        assert_eq!(ids[6], [0, 8, 12, 20, 24, 32, 36, 44]);
        assert_eq!(ids[7], even(3));
        assert_eq!(ids[8], [0, 4, 6, 10, 12, 16, 18, 22, 24, 28, 30, 34, 36, 40, 42, 46]);
        assert_eq!(ids[9].len(), 30, "32 less 8 and 32");
        assert!(!ids[9].contains(&8) && !ids[9].contains(&32));
    }

    #[test]
    fn a_1_gib_type_of_a_48_gib_board_is_kept_from_more_places_since_ada() {
        let ada = ids(48, &GIB48, Architecture::AdaHopper);
        assert_eq!(ada[9].len(), 16);
        assert_eq!(ada[9], [0, 5, 6, 11, 12, 17, 18, 23, 24, 29, 30, 35, 36, 41, 42, 47]);
        assert_eq!(ada[..9], ids(48, &GIB48, Architecture::Ampere)[..9]);
    }

    /// NVIDIA's user guide, "H100 PCIe 80GB", column for mixed-size mode.
    #[test]
    fn h100_is_as_published() {
        let types = [(80, 1), (40, 2), (20, 4), (16, 5), (10, 8), (8, 10), (5, 16), (4, 20)];
        assert_eq!(counts(80, &types, Architecture::AdaHopper), [1, 2, 4, 4, 8, 8, 16, 16]);
        assert_eq!(
            counts(80, &[(16, 6)], Architecture::AdaHopper),
            [4],
            "some boards have six"
        );
    }

    #[test]
    fn l4_and_a10() {
        let types = [(24, 1), (12, 2), (8, 3), (6, 4), (4, 6), (3, 8), (2, 12), (1, 24)];
        for architecture in [Architecture::Ampere, Architecture::AdaHopper] {
            let ids = ids(24, &types, architecture);
            assert_eq!(ids.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 4, 4, 8, 8, 16]);
            assert_eq!(ids[2], [0, 16]);
            assert_eq!(ids[4], [0, 8, 12, 20]);
        }
    }

    #[test]
    fn blackwell_divides_evenly() {
        let types = [
            (96, 1),
            (48, 2),
            (32, 3),
            (24, 4),
            (16, 6),
            (12, 8),
            (8, 12),
            (6, 16),
            (4, 24),
            (3, 32),
            (2, 32),
        ];
        let ids = ids(96, &types, Architecture::Blackwell);
        for ((_, max), ids) in types.iter().zip(&ids) {
            let step = 96 / max;
            assert_eq!(*ids, (0..*max).map(|j| j * step).collect::<Vec<_>>());
        }
        let two = Extent { size: 2, max: 32 };
        assert_eq!(slots(96, two, Architecture::Blackwell), 3, "a 32nd of the region");
        assert_eq!(slots(48, Extent { size: 1, max: 32 }, Architecture::Ampere), 1);
    }

    #[test]
    fn architectures_of_the_boards() {
        for (board, device, expected) in [
            ("A100", "20f1", Some(Architecture::Ampere)),
            ("A40", "2235", Some(Architecture::Ampere)),
            ("RTX A6000", "2230", Some(Architecture::Ampere)),
            ("A10", "2236", Some(Architecture::Ampere)),
            ("A2, A16", "25b6", Some(Architecture::Ampere)),
            ("L4", "27b8", Some(Architecture::AdaHopper)),
            ("L40", "26b5", Some(Architecture::AdaHopper)),
            ("RTX 6000 Ada", "26b1", Some(Architecture::AdaHopper)),
            ("H100", "2331", Some(Architecture::AdaHopper)),
            ("RTX PRO 6000", "2bb5", Some(Architecture::Blackwell)),
            ("T4", "1eb8", None),
            ("M60", "13f2", None),
        ] {
            let ids = format!("10de:{device}").parse().unwrap();
            assert_eq!(Architecture::of(ids), expected, "{board}");
        }
        assert_eq!(Architecture::of("8086:2235".parse().unwrap()), None);
    }

    #[test]
    fn nothing_has_no_place() {
        for (region, extent) in [(48, (0, 4)), (48, (4, 0)), (48, (49, 1)), (0, (1, 1)), (385, (1, 1))] {
            for architecture in [Architecture::Ampere, Architecture::AdaHopper, Architecture::Blackwell] {
                assert_eq!(
                    ids(region, &[extent], architecture),
                    [Vec::<u16>::new()],
                    "{region} {extent:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn ids_ascend_and_stay_within_the_region(
            region in any::<u16>(),
            extents in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..8),
            small in proptest::collection::vec((1_u16..50, 1_u16..50), 0..8),
            fit in 1_u16..=MAX_REGION,
        ) {
            for architecture in [Architecture::Ampere, Architecture::AdaHopper, Architecture::Blackwell] {
                for (region, types) in [(region, &extents), (fit, &small)] {
                    let all = ids(region, types, architecture);
                    prop_assert_eq!(all.len(), types.len());
                    for ((size, max), ids) in types.iter().zip(&all) {
                        prop_assert!(ids.is_sorted());
                        let size = slots(region, Extent { size: *size, max: *max }, architecture);
                        prop_assert!(ids.iter().all(|id| id + size <= region));
                    }
                }
            }
        }
    }
}
