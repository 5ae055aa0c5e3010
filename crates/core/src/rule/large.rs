//! How many large devices still fit: the key by which a policy keeps large slots free.

use std::fmt;

/// The size classes that a key holds; the smallest of more are left out (a 48 GiB board has 10).
const CLASSES: usize = 16;

/// How many devices of each size fit, or were lost, largest size first. A key is greater when it has more of the
/// largest size in which two keys differ.
///
/// ```
/// use mdevkit_core::rule::{Gpu, GpuFacts, Rule, TypeFacts};
/// let types = [("nvidia-198", 16384, 2), ("nvidia-196", 4096, 8)].map(|(id, size, max)| {
///     let id = id.parse().map(|id| TypeFacts::read(id, None, None));
///     id.map(|facts| TypeFacts { size_mib: Some(size), max: Some(max), available: max, ..facts })
/// });
/// let types = types.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let gpu = Gpu::new(GpuFacts { types, ..GpuFacts::new(Rule::SameFramebuffer) });
///
/// let empty = gpu.room();
/// let started = gpu.take(&empty, 1).ok_or("there is room")?;
/// let next = gpu.take(&started, 1).ok_or("there is room")?;
/// assert_eq!(gpu.large_left(&empty).to_string(), "2 of 16384, 8 of 4096");
/// assert!(gpu.large_left(&empty) > gpu.large_left(&started));
/// assert!(gpu.large_lost(&started, &next) < gpu.large_lost(&empty, &started), "the second one breaks nothing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Large([(u32, u32); CLASSES]);

impl Large {
    /// From (size, count), largest size first; what has a count of 0 is left out.
    pub(super) fn from_counts(counts: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut key = Self::default();
        for (entry, count) in key.0.iter_mut().zip(counts.filter(|(_, count)| *count > 0)) {
            *entry = count;
        }
        key
    }

    /// The sizes and how many (count), largest size first. The unit is MiB, or that of a shared pool.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied().take_while(|(_, count)| *count > 0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl fmt::Display for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (size, count)) in self.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} of {size}")?;
        }
        Ok(())
    }
}
