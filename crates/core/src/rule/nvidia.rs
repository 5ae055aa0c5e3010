//! What an NVIDIA type's name says: series, size, and whether it lives in a GPU instance (MIG).
//!
//! ```text
//!   GRID V100DX-4Q                          4 GiB, series Q
//!   GRID M60-0Q                             0 stands for 512 MiB
//!   GRID T4-2B4                             2 GiB, series B (the 4 is a variant)
//!   NVIDIA A100-1-5CME                      1 slice of a GPU instance, 5 GiB, series C, with media engines
//!   NVIDIA RTX Pro 6000 Blackwell DC-1-24Q  1 slice, 24 GiB, series Q
//! ```
//!
//! Only the last word counts: the words before it change from driver to driver. Source: NVIDIA's vgpu-device-manager,
//! pkg/types/vgpu_type.go, and the names of the R390 to R595 drivers.
//!
//! Invariant: what is read is bounded, and a name that does not follow the grammar says nothing.

use crate::{Series, TypeName};

/// What a short name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortName {
    /// The letter behind the size.
    pub series: Series,
    /// Nominal framebuffer (MiB).
    pub framebuffer_mib: u32,
    /// How many slices the GPU instance has that it lives in (count); none where it is time-sliced on the whole GPU.
    pub slices: Option<u32>,
}

/// Reads a type's name; none for other vendors' types, and for NVIDIA's that carry no size (`K240Q`).
///
/// ```
/// use mdevkit_core::rule::nvidia;
/// let short = nvidia::read(&"NVIDIA A100-2-10C".parse()?).ok_or("it follows the grammar")?;
/// assert_eq!((short.framebuffer_mib, short.slices), (10240, Some(2)));
/// assert_eq!(nvidia::read(&"Dual port serial".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(name: &TypeName) -> Option<ShortName> {
    let (board, last) = name.short()?.rsplit_once('-')?;
    let letter_at = last.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = last.split_at_checked(letter_at)?;
    let (letter, suffix) = rest.split_at_checked(1)?;
    let series: Series = letter.parse().ok()?;
    let variant = match suffix {
        "" | "ME" | "NOME" | "MEALL" | "GFX" => true,
        "4" => series == Series::B,
        _ => false,
    };
    // Four digits are more gibibytes than any board has, and no overflow.
    if !variant || digits.is_empty() || digits.len() > 4 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let gib: u32 = digits.parse().ok()?;
    Some(ShortName {
        series,
        framebuffer_mib: if gib == 0 { 512 } else { gib * 1024 },
        slices: board.rsplit_once('-').and_then(|(_, slices)| one_digit(slices)),
    })
}

/// The series of an NVIDIA type, as far as its name says one ([`TypeName::series`]).
pub fn series(name: &TypeName) -> Option<Series> {
    name.series()
}

/// The nominal framebuffer that a name says (MiB).
pub fn framebuffer_mib(name: &TypeName) -> Option<u32> {
    read(name).map(|short| short.framebuffer_mib)
}

/// `1` to `9`, alone.
fn one_digit(text: &str) -> Option<u32> {
    let digit = text.parse::<u32>().ok()?;
    (text.len() == 1 && digit > 0).then_some(digit)
}
