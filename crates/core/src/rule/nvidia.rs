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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size that NVIDIA's names have, in MiB.
    const SIZES: &[(&str, u32, Series)] = &[
        ("0B", 512, Series::B),
        ("0Q", 512, Series::Q),
        ("1A", 1024, Series::A),
        ("1B", 1024, Series::B),
        ("1B4", 1024, Series::B),
        ("1Q", 1024, Series::Q),
        ("2A", 2048, Series::A),
        ("2B", 2048, Series::B),
        ("2B4", 2048, Series::B),
        ("2Q", 2048, Series::Q),
        ("3A", 3072, Series::A),
        ("3B", 3072, Series::B),
        ("3Q", 3072, Series::Q),
        ("4A", 4096, Series::A),
        ("4C", 4096, Series::C),
        ("4Q", 4096, Series::Q),
        ("5C", 5120, Series::C),
        ("5CME", 5120, Series::C),
        ("6A", 6144, Series::A),
        ("6C", 6144, Series::C),
        ("6Q", 6144, Series::Q),
        ("7C", 7168, Series::C),
        ("8A", 8192, Series::A),
        ("8C", 8192, Series::C),
        ("8Q", 8192, Series::Q),
        ("10C", 10240, Series::C),
        ("10CME", 10240, Series::C),
        ("12A", 12288, Series::A),
        ("12C", 12288, Series::C),
        ("12Q", 12288, Series::Q),
        ("14C", 14336, Series::C),
        ("16A", 16384, Series::A),
        ("16C", 16384, Series::C),
        ("16Q", 16384, Series::Q),
        ("17C", 17408, Series::C),
        ("18C", 18432, Series::C),
        ("18CME", 18432, Series::C),
        ("20C", 20480, Series::C),
        ("24A", 24576, Series::A),
        ("24C", 24576, Series::C),
        ("24Q", 24576, Series::Q),
        ("28C", 28672, Series::C),
        ("32A", 32768, Series::A),
        ("32Q", 32768, Series::Q),
        ("35C", 35840, Series::C),
        ("40C", 40960, Series::C),
        ("48A", 49152, Series::A),
        ("48C", 49152, Series::C),
        ("48Q", 49152, Series::Q),
        ("70C", 71680, Series::C),
        ("71C", 72704, Series::C),
        ("80C", 81920, Series::C),
        ("96Q", 98304, Series::Q),
        ("141C", 144_384, Series::C),
    ];

    /// Boards and their types: the driver's vgpuConfig.xml (R535 to R550), NVIDIA's user guide for H100 and H200, and
    /// vgpu-device-manager's examples for Blackwell.
    const BOARDS: &[(&str, &str)] = &[
        ("GRID M60", "0B 0Q 1A 1B 1Q 2A 2B 2Q 4A 4Q 8A 8Q 2B4 1B4"),
        ("GRID M10", "0B 0Q 1A 1B 1Q 2A 2Q 4A 4Q 8A 8Q 2B 2B4 1B4"),
        ("GRID M6", "0B 0Q 1A 1B 1Q 2A 2B 2Q 4A 4Q 8A 8Q 2B4 1B4"),
        ("GRID P4", "1Q 2Q 4Q 8Q 1A 2A 4A 8A 1B 2B 2B4 1B4 4C 8C"),
        (
            "GRID P40",
            "1Q 2Q 3Q 4Q 6Q 8Q 12Q 24Q 1A 2A 3A 4A 6A 8A 12A 24A 1B 2B 2B4 1B4 4C 6C 8C 12C 24C",
        ),
        ("GRID P100", "1Q 2Q 4Q 8Q 16Q 1A 2A 4A 8A 16A 1B 2B 2B4 1B4 4C 8C 16C"),
        ("GRID V100", "1Q 2Q 4Q 8Q 16Q 1A 2A 4A 8A 16A 1B 2B 2B4 1B4 4C 8C 16C"),
        ("GRID V100DX", "1Q 2Q 4Q 8Q 16Q 32Q 1A 2A 4A 8A 16A 32A 1B 2B 2B4 1B4"),
        ("GRID T4", "1B 2B 2B4 1A 2A 4A 8A 16A 1Q 2Q 4Q 8Q 16Q 1B4"),
        (
            "GRID RTX6000",
            "1Q 2Q 3Q 4Q 6Q 8Q 12Q 24Q 1B 2B 1A 2A 3A 4A 6A 8A 12A 24A",
        ),
        ("GRID RTX8000", "1Q 2Q 3Q 4Q 6Q 8Q 12Q 16Q 24Q 48Q"),
        (
            "NVIDIA A40",
            "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 16Q 24Q 48Q 1A 2A 3A 4A 6A 8A 12A 16A 24A 48A",
        ),
        (
            "NVIDIA RTXA6000",
            "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 16Q 24Q 48Q 1A 48A 4C 6C 8C 12C 16C 24C 48C",
        ),
        (
            "NVIDIA A10",
            "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 24Q 1A 2A 3A 4A 6A 8A 12A 24A",
        ),
        ("NVIDIA A16", "1B 2B 1Q 2Q 4Q 8Q 16Q 1A 2A 4A 8A 16A"),
        ("NVIDIA A2", "1B 2B 1Q 2Q 4Q 8Q 16Q 1A 2A 4A 8A 16A 4C 8C 16C"),
        ("GRID A100", "4C 5C 8C 10C 20C 40C"),
        ("GRID A100-1", "5C 5CME"),
        ("GRID A100-2", "10C"),
        ("GRID A100-3", "20C"),
        ("GRID A100-7", "40C"),
        ("NVIDIA L4", "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 24Q 1A 24A"),
        ("NVIDIA L40S", "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 16Q 24Q 48Q 1A 48A 3B"),
        ("NVIDIA RTX6000-Ada", "1B 2B 1Q 2Q 3Q 4Q 6Q 8Q 12Q 16Q 24Q 48Q 1A 48A"),
        ("NVIDIA H100", "4C 5C 8C 10C 16C 20C 40C 80C"),
        ("NVIDIA H100-1", "10C 10CME 20C"),
        ("NVIDIA H100-7", "80C"),
        ("NVIDIA H200X", "4C 7C 8C 14C 17C 28C 35C 70C 141C"),
        ("NVIDIA H200X-1", "18C 18CME 35C"),
        ("NVIDIA H200X-3", "71C"),
        ("NVIDIA RTX Pro 6000 Blackwell DC", "3Q 4Q 6Q 8Q 8C 12Q 16Q 24Q 48Q 96Q"),
        ("NVIDIA RTX Pro 6000 Blackwell DC-1", "2Q 3Q 4Q 6Q 8Q 12Q 24Q"),
        ("NVIDIA RTX Pro 6000 Blackwell DC-2", "12Q 16Q 24Q 48Q"),
        ("NVIDIA RTX Pro 6000 Blackwell DC-4", "24Q 32Q 48Q 96Q"),
    ];

    #[test]
    fn every_board_s_names_say_series_size_and_slices() {
        for (board, types) in BOARDS {
            let slices = board
                .rsplit_once('-')
                .and_then(|(_, last)| ["1", "2", "3", "4", "7"].into_iter().find(|slices| *slices == last))
                .map(|slices| slices.parse().unwrap());
            for ty in types.split(' ') {
                let name: TypeName = format!("{board}-{ty}").parse().unwrap();
                let (_, framebuffer_mib, letter) = *SIZES.iter().find(|(known, ..)| *known == ty).unwrap();
                let expected = ShortName {
                    series: letter,
                    framebuffer_mib,
                    slices,
                };
                assert_eq!(read(&name), Some(expected), "{name}");
                assert_eq!(series(&name), Some(letter), "{name}");
                assert_eq!(super::framebuffer_mib(&name), Some(framebuffer_mib), "{name}");
            }
        }
    }

    #[test]
    fn suffixes_are_known_and_what_is_no_grammar_says_nothing() {
        for suffix in ["", "ME", "NOME", "MEALL", "GFX"] {
            let short = read(&format!("NVIDIA DC-1-24C{suffix}").parse().unwrap());
            assert_eq!(short.map(|short| short.framebuffer_mib), Some(24576), "{suffix}");
        }
        for name in [
            "GRID K200",
            "GRID K240Q",
            "GRID V100",
            "GRID V100-",
            "GRID V100-Q",
            "GRID V100-1",
            "GRID V100-1Z",
            "GRID V100-01Q",
            "GRID V100-1Q4",
            "GRID V100-1QX",
            "GRID V100-99999Q",
            "GRID V100-+1Q",
            "Dual port serial",
            "GVTg_V5_4",
            "X-4Q",
        ] {
            assert_eq!(read(&name.parse().unwrap()), None, "{name}");
        }
        let zero = read(&"NVIDIA A100-0-5C".parse().unwrap()).unwrap();
        assert_eq!(zero.slices, None, "no instance has 0 slices");
    }

    proptest::proptest! {
        #[test]
        fn reading_never_fails(text in "(GRID|NVIDIA) [ -~]{0,40}") {
            if let Ok(name) = text.parse::<TypeName>() {
                let _ = read(&name);
                let _ = series(&name);
            }
        }
    }
}
