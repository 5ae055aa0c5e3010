//! What was read of one physical GPU, as far as a rule needs it.
//!
//! Invariant: plain data. What is not known is `None` and never a guess; a rule that needs it promises less.

use super::{Architecture, Rule, nvidia};
use crate::{Description, TypeId, TypeName};

/// What one device takes of a shared pool, in up to three units of the driver's own.
///
/// | driver | first | second | third |
/// |---|---|---|---|
/// | GVT-g | low memory, the aperture (MiB) | high, hidden memory (MiB) | fences (count) |
/// | mtty | ports (count) | | |
/// | mbochs | video memory (MiB) | | |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(pub [u32; 3]);

impl Cost {
    /// The cost of a type of the drivers that are known to share a pool; GVT-g's is in its description, and without
    /// that in the name of its type.
    ///
    /// Sources: Linux samples/vfio-mdev/mtty.c and mbochs.c, drivers/gpu/drm/i915/gvt/vgpu.c.
    ///
    /// ```
    /// use mdevkit_core::rule::Cost;
    /// assert_eq!(Cost::of(&"mtty-2".parse()?, None), Some(Cost([2, 0, 0])));
    /// let text = "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n";
    /// assert_eq!(Cost::of(&"i915-GVTg_V5_4".parse()?, Some(text)), Some(Cost([128, 512, 4])));
    /// assert_eq!(Cost::of(&"nvidia-194".parse()?, None), None);
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn of(id: &TypeId, description: Option<&str>) -> Option<Self> {
        match split(id) {
            ("mtty", "1") => Some(Self([1, 0, 0])),
            ("mtty", "2") => Some(Self([2, 0, 0])),
            ("mbochs", "small") => Some(Self([4, 0, 0])),
            ("mbochs", "medium") => Some(Self([16, 0, 0])),
            ("mbochs", "large") => Some(Self([64, 0, 0])),
            ("i915", name) => description.and_then(Self::gvt).or_else(|| Self::gvt_name(name)),
            _ => None,
        }
    }

    /// GVT-g's five lines.
    fn gvt(text: &str) -> Option<Self> {
        let value = |key: &str, unit: &str| -> Option<u32> {
            let digits = text
                .lines()
                .find_map(|line| line.strip_prefix(key))?
                .strip_prefix(':')?
                .trim()
                .strip_suffix(unit)?;
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        Some(Self([
            value("low_gm_size", "MB")?,
            value("high_gm_size", "MB")?,
            value("fence", "")?,
        ]))
    }

    /// The `vgpu_types[]` table of drivers/gpu/drm/i915/gvt/vgpu.c.
    fn gvt_name(name: &str) -> Option<Self> {
        let size = name.strip_prefix("GVTg_V")?.rsplit_once('_')?.1;
        match size {
            "8" => Some(Self([64, 384, 4])),
            "4" => Some(Self([128, 512, 4])),
            "2" => Some(Self([256, 1024, 4])),
            "1" => Some(Self([512, 2048, 4])),
            _ => None,
        }
    }
}

/// A type that lives in a GPU instance (MIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mig {
    /// The slices of the GPU instances that take it (count): types with different ones never share an instance.
    pub slices: u32,
    /// How many more the instances that exist take (count), where somebody who can see them said so; sysfs does not.
    pub more: Option<u32>,
    /// How many one instance takes at most (count, "Max Instances Per GI").
    pub per_instance: Option<u32>,
}

/// One type on one physical GPU.
///
/// ```
/// use mdevkit_core::rule::TypeFacts;
/// let text = "num_heads=1, frl_config=60, framebuffer=5120M, max_resolution=4096x2400, max_instance=7\n";
/// let facts = TypeFacts::read("nvidia-474".parse()?, Some(&"NVIDIA A100-1-5C".parse()?), Some(text));
/// assert_eq!((facts.size_mib, facts.max), (Some(5120), Some(7)));
/// assert_eq!(facts.mig.map(|mig| mig.slices), Some(1));
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeFacts {
    /// Its id.
    pub id: TypeId,
    /// Nominal framebuffer (MiB).
    pub size_mib: Option<u32>,
    /// How many fit on the empty physical GPU (count, `max_instance`).
    pub max: Option<u32>,
    /// How many more the kernel says there can be (count): `available_instances`, summed over the physical GPU's
    /// parents.
    pub available: u32,
    /// How many there are (count).
    pub resident: u32,
    /// What one takes of a shared pool.
    pub cost: Option<Cost>,
    /// Where it lives in a GPU instance.
    pub mig: Option<Mig>,
    /// Whether it is the whole card.
    pub whole: bool,
}

impl TypeFacts {
    /// What id, name and description say: all but the numbers of now, which are 0.
    pub fn read(id: TypeId, name: Option<&TypeName>, description: Option<&str>) -> Self {
        let short = name.and_then(nvidia::read);
        let read = description.map(Description::read).unwrap_or_default();
        Self {
            size_mib: read.framebuffer_mib.or(short.map(|short| short.framebuffer_mib)),
            max: read.max_instances,
            available: 0,
            resident: 0,
            cost: Cost::of(&id, description),
            mig: short.and_then(|short| short.slices).map(|slices| Mig {
                slices,
                more: None,
                per_instance: None,
            }),
            whole: id.as_str() == "passthrough",
            id,
        }
    }
}

/// What a device's `placement_id` file says.
///
/// ```
/// use mdevkit_core::rule::PlacementFile;
/// assert_eq!(PlacementFile::read("24\n"), PlacementFile::Id(24));
/// assert_eq!(PlacementFile::read("Not Applicable\n"), PlacementFile::Off);
/// assert_eq!(PlacementFile::read(""), PlacementFile::Unknown);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacementFile {
    /// Nothing that is understood, or there is no such file.
    #[default]
    Unknown,
    /// The mode is off.
    Off,
    /// The slot (GiB) that the device begins at. Since Ada it is also said where all devices have one size.
    Id(u16),
}

impl PlacementFile {
    /// Reads the file's text.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if text == "Not Applicable" {
            return Self::Off;
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(id) if digits => Self::Id(id),
            _ => Self::Unknown,
        }
    }
}

/// A device at its placement id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placed {
    /// Its type, as a position in [`GpuFacts::types`].
    pub ty: usize,
    /// The slot (GiB) that it begins at.
    pub id: u16,
}

/// What the residents' `placement_id` files say.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placements {
    /// Nothing: not read, no such file, or no resident.
    #[default]
    Unknown,
    /// That the mode is off.
    Off,
    /// Where they are; counts only where it names every resident.
    At(Vec<Placed>),
}

/// One physical GPU as a rule sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpuFacts {
    /// The rule that it follows.
    pub rule: Rule,
    /// Its types; everywhere else a type is its position here.
    pub types: Vec<TypeFacts>,
    /// Devices of a type that is not known (count): one that is just being made, or of a type that is not listed.
    pub strangers: u32,
    /// SR-IOV: the virtual functions in all (count). Each device takes one.
    pub slots: Option<u32>,
    /// SR-IOV: those that are free (count); counted from the residents where it is not known.
    pub free_slots: Option<u32>,
    /// Where the residents are in the framebuffer.
    pub placements: Placements,
    /// Which algorithm makes the placement ids.
    pub architecture: Option<Architecture>,
}

impl GpuFacts {
    /// A physical GPU without types.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            types: Vec::new(),
            strangers: 0,
            slots: None,
            free_slots: None,
            placements: Placements::Unknown,
            architecture: None,
        }
    }

    /// The devices that exist (count).
    pub fn devices(&self) -> u32 {
        self.types
            .iter()
            .fold(self.strangers, |sum, facts| sum.saturating_add(facts.resident))
    }
}

/// A type's driver and the rest, split as the kernel joined them (`mdev_type_add()`).
pub(super) fn split(id: &TypeId) -> (&str, &str) {
    id.as_str().split_once('-').unwrap_or((id.as_str(), ""))
}
