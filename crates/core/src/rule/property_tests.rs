//! The rules against drivers: each driver is modelled here a second time, by its own published algorithm, and knows
//! things that nobody can read from a host. What a [`Gpu`] promises, the driver has to keep.

use super::*;
use proptest::prelude::*;

/// A type of a modelled driver.
#[derive(Clone, Debug)]
struct Ty {
    id: &'static str,
    mib: u32,
    max: u32,
    cost: [u32; 3],
    slices: Option<u32>,
}

const fn ty(id: &'static str, mib: u32, max: u32) -> Ty {
    Ty {
        id,
        mib,
        max,
        cost: [0; 3],
        slices: None,
    }
}

/// How the driver counts.
#[derive(Clone, Debug)]
enum Law {
    /// `mdev_core.c`: one counter.
    Counter { total: u32 },
    /// mtty, mbochs, GVT-g: the minimum over all resources.
    Pool { free: [u32; 3] },
    /// `kernel_vgpu_mgr.c` with and without heterogeneous types.
    Homogeneous { any_series: bool },
    /// The same with heterogeneous sizes.
    Mixed { region: u16, ids: Vec<Vec<u16>> },
    /// GPU instances: slices, and at most so many of one type each; `told` when an administrator said so.
    Mig {
        instances: Vec<u32>,
        per_instance: u32,
        told: bool,
    },
}

/// A GPU as its driver sees it.
#[derive(Clone, Debug)]
struct Driver {
    law: Law,
    types: Vec<Ty>,
    vfs: Option<u32>,
    /// Type, and placement id or GPU instance.
    devices: Vec<(usize, u16)>,
    /// `supportedTypeIds`, as `kvgpumgrSetVgpuType()` keeps them.
    supported: Vec<usize>,
}

impl Driver {
    fn new(law: Law, types: Vec<Ty>, vfs: Option<u32>) -> Self {
        let supported = (0..types.len()).collect();
        Self {
            law,
            types,
            vfs,
            devices: Vec::new(),
            supported,
        }
    }

    fn created(&self) -> u32 {
        self.devices.len() as u32
    }

    fn free_vfs(&self) -> u32 {
        self.vfs.map_or(u32::MAX, |vfs| vfs - self.created())
    }

    /// Where the next one goes, if anywhere.
    fn spot(&self, ty: usize) -> Option<u16> {
        if self.free_vfs() == 0 {
            return None;
        }
        let want = &self.types[ty];
        match &self.law {
            Law::Counter { total } => (self.created() < *total).then_some(0),
            Law::Pool { free } => {
                let enough = |at: usize| {
                    let used: u32 = self.devices.iter().map(|(ty, _)| self.types[*ty].cost[at]).sum();
                    free[at] - used >= want.cost[at]
                };
                (0..3).all(enough).then_some(0)
            }
            Law::Homogeneous { .. } => {
                let created = self.created();
                let creatable = created == 0 || (self.supported.contains(&ty) && created < want.max);
                (creatable && created < want.max && want.slices.is_none()).then_some(0)
            }
            Law::Mixed { ids, .. } => {
                let size = |ty: usize| (self.types[ty].mib / 1024) as u16;
                let free = |id: &u16| {
                    let mut others = self.devices.iter();
                    !others.any(|(other, at)| *id < at + size(*other) && *at < id + size(ty))
                };
                ids[ty].iter().copied().find(free)
            }
            Law::Mig {
                instances,
                per_instance,
                ..
            } => instances
                .iter()
                .enumerate()
                .find(|(index, slices)| {
                    let inside: Vec<usize> = self
                        .devices
                        .iter()
                        .filter(|(_, at)| usize::from(*at) == *index)
                        .map(|(ty, _)| *ty)
                        .collect();
                    let same = inside.iter().all(|other| self.types[*other].mib == want.mib);
                    Some(**slices) == want.slices && same && (inside.len() as u32) < *per_instance
                })
                .map(|(index, _)| index as u16),
        }
    }

    fn create(&mut self, ty: usize) -> Option<u16> {
        let spot = self.spot(ty)?;
        if let (Law::Homogeneous { any_series }, []) = (&self.law, self.devices.as_slice()) {
            self.supported = (0..self.types.len())
                .filter(|other| *other == ty || (*any_series && self.types[*other].mib == self.types[ty].mib))
                .collect();
        }
        self.devices.push((ty, spot));
        Some(spot)
    }

    fn delete(&mut self, index: usize) -> (usize, u16) {
        let device = self.devices.remove(index);
        if self.devices.is_empty() {
            self.supported = (0..self.types.len()).collect();
        }
        device
    }

    /// How many of this type could be created one after the other: the truth.
    fn truth(&self, ty: usize) -> u32 {
        let mut driver = self.clone();
        let mut count = 0;
        while driver.create(ty).is_some() {
            count += 1;
        }
        count
    }

    /// `available_instances`, summed over the parents.
    fn available(&self, ty: usize) -> u32 {
        match self.vfs {
            // 0 or 1 on each free function.
            Some(_) => self.spot(ty).map_or(0, |_| self.free_vfs()),
            None => self.truth(ty),
        }
    }

    fn rule(&self) -> Rule {
        match self.law {
            Law::Counter { .. } => Rule::Counter,
            Law::Pool { .. } => Rule::SharedPool,
            Law::Homogeneous { any_series: false } => Rule::SameType,
            Law::Homogeneous { any_series: true } => Rule::SameFramebuffer,
            Law::Mixed { .. } => Rule::MixedSizes,
            Law::Mig { .. } => Rule::Mig,
        }
    }

    /// What a host shows of it.
    fn read(&self, rule: Rule) -> Gpu {
        let types = self.types.iter().enumerate().map(|(at, ty)| TypeFacts {
            id: ty.id.parse().unwrap(),
            size_mib: (ty.mib > 0).then_some(ty.mib),
            max: (ty.max > 0).then_some(ty.max),
            available: self.available(at),
            resident: self.devices.iter().filter(|(device, _)| *device == at).count() as u32,
            cost: (ty.cost != [0; 3]).then_some(Cost(ty.cost)),
            mig: ty.slices.map(|slices| match self.law {
                Law::Mig {
                    told: true,
                    per_instance,
                    ..
                } => {
                    let unbounded = Self {
                        vfs: None,
                        ..self.clone()
                    };
                    Mig {
                        slices,
                        more: Some(unbounded.truth(at)),
                        per_instance: Some(per_instance),
                    }
                }
                _ => Mig {
                    slices,
                    more: None,
                    per_instance: None,
                },
            }),
            whole: false,
        });
        let placed = |(ty, id): &(usize, u16)| Placed { ty: *ty, id: *id };
        Gpu::new(GpuFacts {
            types: types.collect(),
            slots: self.vfs,
            free_slots: self.vfs.map(|_| self.free_vfs()),
            placements: match self.law {
                Law::Mixed { .. } if !self.devices.is_empty() => {
                    Placements::At(self.devices.iter().map(placed).collect())
                }
                _ => Placements::Unknown,
            },
            architecture: Some(match &self.law {
                Law::Mixed { region: 48, .. } => Architecture::Ampere,
                _ => Architecture::AdaHopper,
            }),
            ..GpuFacts::new(rule)
        })
    }
}

/// A40 with some of its series, A and Q alike.
fn a40() -> Vec<Ty> {
    vec![
        ty("nvidia-566", 49152, 1),
        ty("nvidia-565", 24576, 2),
        ty("nvidia-575", 24576, 2),
        ty("nvidia-564", 16384, 3),
        ty("nvidia-562", 8192, 6),
        ty("nvidia-560", 4096, 12),
        ty("nvidia-570", 4096, 12),
        ty("nvidia-558", 2048, 24),
        ty("nvidia-557", 1024, 32),
    ]
}

fn mixed(types: Vec<Ty>, region: u16, architecture: Architecture, vfs: u32) -> Driver {
    let extents: Vec<_> = types
        .iter()
        .map(|ty| placement::Extent {
            size: (ty.mib / 1024) as u16,
            max: ty.max as u16,
        })
        .collect();
    let ids = placement::supported_ids(region, &extents, architecture);
    Driver::new(Law::Mixed { region, ids }, types, Some(vfs))
}

fn costs(ids: &[(&'static str, [u32; 3])]) -> Vec<Ty> {
    ids.iter()
        .map(|(id, cost)| Ty {
            cost: *cost,
            ..ty(id, 0, 0)
        })
        .collect()
}

/// Any driver, empty, with numbers that differ.
fn drivers() -> impl Strategy<Value = Driver> {
    let counted = |types: &[&'static str]| types.iter().map(|id| ty(id, 0, 0)).collect::<Vec<_>>();
    let gvt = costs(&[
        ("i915-GVTg_V5_8", [64, 384, 4]),
        ("i915-GVTg_V5_4", [128, 512, 4]),
        ("i915-GVTg_V5_2", [256, 1024, 4]),
        ("i915-GVTg_V5_1", [512, 2048, 4]),
    ]);
    let l4 = [(24, 1), (12, 2), (8, 3), (4, 6), (2, 12), (1, 24)];
    let l4 = l4.map(|(gib, max)| ty("nvidia-908", gib * 1024, max)).to_vec();
    let mig = |id, gib: u32, max, slices| Ty {
        slices: Some(slices),
        ..ty(id, gib * 1024, max)
    };
    let migs = vec![
        mig("nvidia-1", 10, 7, 1),
        mig("nvidia-2", 20, 4, 1),
        mig("nvidia-3", 20, 3, 2),
        mig("nvidia-4", 5, 14, 1),
        ty("nvidia-5", 80 * 1024, 1),
    ];
    prop_oneof![
        (0_u32..6).prop_map(move |total| {
            Driver::new(
                Law::Counter { total },
                counted(&["mdpy-vga", "mdpy-xga", "mdpy-hd"]),
                None,
            )
        }),
        (0_u32..30).prop_map(|ports| {
            let types = costs(&[("mtty-1", [1, 0, 0]), ("mtty-2", [2, 0, 0])]);
            Driver::new(Law::Pool { free: [ports, 0, 0] }, types, None)
        }),
        (0_u32..260).prop_map(|mib| {
            let sizes = [("mbochs-small", 4), ("mbochs-medium", 16), ("mbochs-large", 64)];
            let types = costs(&sizes.map(|(id, mib)| (id, [mib, 0, 0])));
            Driver::new(Law::Pool { free: [mib, 0, 0] }, types, None)
        }),
        (0_u32..800, 0_u32..4000, 0_u32..32).prop_map(move |(low, high, fences)| {
            let law = Law::Pool {
                free: [low, high, fences],
            };
            Driver::new(law, gvt.clone(), None)
        }),
        (any::<bool>(), proptest::option::of(1_u32..40))
            .prop_map(|(any_series, vfs)| { Driver::new(Law::Homogeneous { any_series }, a40(), vfs) }),
        (1_u32..40).prop_map(|vfs| mixed(a40(), 48, Architecture::Ampere, vfs)),
        (1_u32..40).prop_map(move |vfs| mixed(l4.clone(), 24, Architecture::AdaHopper, vfs)),
        (
            proptest::collection::vec(1_u32..3, 0..7),
            1_u32..4,
            any::<bool>(),
            1_u32..20
        )
            .prop_map(move |(instances, per_instance, told, vfs)| {
                let law = Law::Mig {
                    instances,
                    per_instance,
                    told,
                };
                Driver::new(law, migs.clone(), Some(vfs))
            }),
    ]
}

/// The same after some devices were created and some of them deleted.
fn used() -> impl Strategy<Value = Driver> {
    (
        drivers(),
        proptest::collection::vec((any::<bool>(), 0_usize..1000), 0..30),
    )
        .prop_map(|(mut driver, steps)| {
            for (create, pick) in steps {
                if create || driver.devices.is_empty() {
                    let ty = pick % driver.types.len();
                    driver.create(ty);
                } else {
                    let index = pick % driver.devices.len();
                    driver.delete(index);
                }
            }
            driver
        })
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..1000, 0..40)
}

/// Whether the numbers of a host tell all that the driver knows.
fn exact(driver: &Driver) -> bool {
    match driver.law {
        Law::Counter { .. } | Law::Homogeneous { .. } | Law::Mixed { .. } => true,
        // Floors hide the rest of a division; the GPU instances are not seen.
        Law::Pool { .. } | Law::Mig { .. } => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What was read is what is said; with virtual functions, the part of it that can be had.
    #[test]
    fn the_state_as_read_says_what_the_kernel_says(driver in used()) {
        let gpu = driver.read(driver.rule());
        let room = gpu.room();
        prop_assert_eq!(contradiction(&gpu), None);
        prop_assert_eq!(gpu.is_open(&room), !driver.devices.is_empty());
        for ty in 0..driver.types.len() {
            let (left, kernel) = (gpu.left(&room, ty), driver.available(ty));
            match driver.vfs {
                None => prop_assert_eq!(left, kernel, "type {}", ty),
                Some(_) => {
                    prop_assert!(left <= driver.truth(ty), "type {}: {}", ty, left);
                    prop_assert_eq!(left > 0, kernel > 0, "type {}", ty);
                }
            }
        }
        prop_assert_eq!(gpu.left(&room, driver.types.len()), 0);
    }

    /// Under any rule, also a wrong one, the kernel's word holds for the state as read.
    #[test]
    fn a_wrong_rule_neither_promises_nor_hides_a_first_device(driver in used()) {
        for (rule, _) in Rule::WORDS {
            let gpu = driver.read(rule);
            let room = gpu.room();
            for ty in 0..driver.types.len() {
                let (left, kernel) = (gpu.left(&room, ty), driver.available(ty));
                prop_assert!(left <= kernel);
                if rule == Rule::WholeCard {
                    prop_assert_eq!(left, 0, "an operator's decision, no guess");
                    continue;
                }
                prop_assert_eq!(left > 0, kernel > 0, "{}: type {}", rule, ty);
                if driver.vfs.is_none() && !matches!(rule, Rule::MixedSizes | Rule::Mig) {
                    prop_assert_eq!(left, kernel, "{}: type {}", rule, ty);
                }
            }
        }
    }

    /// Whatever is promised the driver keeps, to the end; and where the host shows all, nothing is held back.
    #[test]
    fn every_take_is_admitted_by_the_driver(mut driver in used(), picks in picks()) {
        let gpu = driver.read(driver.rule());
        let mut room = gpu.room();
        for pick in picks {
            for ty in 0..driver.types.len() {
                let (left, truth) = (gpu.left(&room, ty), driver.truth(ty));
                prop_assert!(left <= truth, "type {}: {} of {}", ty, left, truth);
                if exact(&driver) {
                    prop_assert_eq!(left, truth, "type {}", ty);
                }
                prop_assert!(left <= gpu.facts().types[ty].available);
            }
            let open: Vec<usize> = (0..driver.types.len()).filter(|ty| gpu.left(&room, *ty) > 0).collect();
            if open.is_empty() {
                break;
            }
            let ty = open[pick % open.len()];
            let (next, at) = gpu.place(&room, ty).unwrap();
            let spot = driver.create(ty);
            prop_assert!(spot.is_some());
            if matches!(driver.law, Law::Mixed { .. }) {
                prop_assert_eq!(at, spot, "the driver's choice is predicted");
            }
            prop_assert!(gpu.left(&next, ty) < gpu.left(&room, ty), "a take lowers");
            prop_assert_eq!(gpu.vacate(&next, ty, at), Some(room), "and giving it back restores");
            prop_assert_eq!(gpu.devices(&next), gpu.devices(&room) + 1);
            prop_assert!(gpu.large_left(&next) <= gpu.large_left(&room));
            room = next;
        }
    }

    /// Where only some types were read, the devices of the others are strangers, and no promise is broken for it.
    #[test]
    fn types_that_are_not_listed_are_reckoned_with(mut driver in used(), listed in any::<[bool; 12]>(), picks in picks()) {
        let all = driver.read(driver.rule());
        let numbers: Vec<usize> = (0..driver.types.len()).filter(|ty| listed[*ty]).collect();
        let types: Vec<TypeFacts> = numbers.iter().map(|ty| all.facts().types[*ty].clone()).collect();
        let known: u32 = types.iter().map(|ty| ty.resident).sum();
        let gpu = Gpu::new(GpuFacts {
            types,
            strangers: driver.created() - known,
            placements: Placements::Unknown,
            ..all.facts().clone()
        });
        prop_assert_eq!(contradiction(&gpu), None);
        let mut room = gpu.room();
        for pick in picks {
            for (at, ty) in numbers.iter().enumerate() {
                let (left, truth) = (gpu.left(&room, at), driver.truth(*ty));
                prop_assert!(left <= truth, "type {}: {} of {}", ty, left, truth);
                if matches!(driver.law, Law::Counter { .. } | Law::Homogeneous { .. }) && left > 0 {
                    prop_assert_eq!(left, truth, "type {}", ty);
                }
            }
            let Some(at) = pick.checked_rem(numbers.len()) else { break };
            if let Some(next) = gpu.take(&room, at) {
                prop_assert!(driver.create(numbers[at]).is_some());
                prop_assert_eq!(gpu.give(&next, at).is_some(), true);
                room = next;
            }
        }
    }

    /// Devices come and go in any order: the rule follows the driver, and so does a fresh reading.
    #[test]
    fn creates_and_deletes_are_followed(mut driver in used(), steps in proptest::collection::vec(any::<(bool, u16)>(), 0..40)) {
        let gpu = driver.read(driver.rule());
        let mut room = gpu.room();
        let mut old = driver.devices.len();
        for (create, pick) in steps {
            let pick = usize::from(pick);
            if create || driver.devices.is_empty() {
                let ty = pick % driver.types.len();
                if let Some((next, at)) = gpu.place(&room, ty) {
                    let spot = driver.create(ty);
                    prop_assert!(spot.is_some());
                    prop_assert!(at.is_none() || at == spot);
                    room = next;
                }
            } else {
                let mut index = pick % driver.devices.len();
                if gpu.rule() == Rule::Mig {
                    // What goes is what came, as long as something came.
                    let ty = driver.devices[index].0;
                    let mut came = (old..driver.devices.len()).rev();
                    index = came.find(|at| driver.devices[*at].0 == ty).unwrap_or(index);
                }
                old -= usize::from(index < old);
                let (ty, spot) = driver.delete(index);
                let next = gpu.vacate(&room, ty, Some(spot));
                prop_assert!(next.is_some(), "a device that was there can go");
                room = next.unwrap();
            }
            let fresh = driver.read(driver.rule());
            for ty in 0..driver.types.len() {
                let (left, truth) = (gpu.left(&room, ty), driver.truth(ty));
                prop_assert!(left <= truth, "type {}: {} of {}", ty, left, truth);
                if exact(&driver) {
                    prop_assert_eq!(left, truth, "type {}", ty);
                    prop_assert_eq!(left, fresh.left(&fresh.room(), ty));
                }
            }
            if driver.devices.is_empty() {
                prop_assert_eq!(room, gpu.empty());
                prop_assert!(!gpu.is_open(&room));
            }
        }
    }

    /// Rooms that are equal have equal futures: the order in which devices came is not in them.
    #[test]
    fn equal_rooms_give_equal_answers(driver in used(), one in picks(), other in picks()) {
        let gpu = driver.read(driver.rule());
        let walk = |picks: &[usize]| {
            picks.iter().fold(gpu.room(), |room, pick| {
                gpu.take(&room, pick % driver.types.len()).unwrap_or(room)
            })
        };
        let (one, other) = (walk(&one), walk(&other));
        if one == other {
            for ty in 0..driver.types.len() {
                prop_assert_eq!(gpu.left(&one, ty), gpu.left(&other, ty));
                prop_assert_eq!(gpu.take(&one, ty), gpu.take(&other, ty));
            }
        }
        if gpu.rule() == Rule::SameFramebuffer {
            let answers = |room: &Room| (0..driver.types.len()).map(|ty| gpu.left(room, ty)).collect::<Vec<_>>();
            if gpu.devices(&one) == gpu.devices(&other) && answers(&one).iter().any(|left| *left > 0) {
                prop_assert_eq!(answers(&one) == answers(&other), one == other, "and different ones differ");
            }
        }
    }

    /// No numbers, however wrong, make an answer panic, promise more than the kernel, or grow with a take.
    #[test]
    fn hostile_numbers_are_survived(
        types in proptest::collection::vec(any::<(Option<u16>, Option<u32>, u32, u16, Option<[u32; 3]>, Option<u8>, bool)>(), 0..12),
        slots in any::<Option<u16>>(),
        free in any::<Option<u16>>(),
        strangers in any::<u32>(),
        placed in proptest::collection::vec((0_usize..14, any::<u16>()), 0..6),
        picks in picks(),
    ) {
        let types: Vec<TypeFacts> = types.into_iter().map(|(size, max, available, resident, cost, slices, whole)| TypeFacts {
            id: "nvidia-1".parse().unwrap(),
            size_mib: size.map(u32::from),
            max,
            available,
            resident: u32::from(resident),
            cost: cost.map(Cost),
            mig: slices.map(|slices| Mig { slices: slices.into(), more: max, per_instance: Some(available) }),
            whole,
        }).collect();
        for (rule, _) in Rule::WORDS {
            let gpu = Gpu::new(GpuFacts {
                types: types.clone(),
                strangers,
                slots: slots.map(u32::from),
                free_slots: free.map(u32::from),
                placements: Placements::At(placed.iter().map(|(ty, id)| Placed { ty: *ty, id: *id }).collect()),
                architecture: Some(Architecture::Blackwell),
                ..GpuFacts::new(rule)
            });
            let _ = (contradiction(&gpu), detect(gpu.facts()), gpu.empty(), gpu.large_left(&gpu.room()));
            let mut room = gpu.room();
            for pick in &picks {
                let ty = pick % types.len().max(1);
                let left = gpu.left(&room, ty);
                prop_assert!(left <= types.get(ty).map_or(0, |ty| ty.available));
                match gpu.place(&room, ty) {
                    Some((next, at)) => {
                        prop_assert!(left > 0 && gpu.left(&next, ty) < left);
                        let _ = gpu.give(&next, ty);
                        let _ = gpu.vacate(&next, ty, at);
                        room = next;
                    }
                    None => prop_assert!(left == 0 || gpu.devices(&room) == u32::MAX),
                }
            }
        }
    }
}
