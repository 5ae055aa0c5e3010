//! What a type's `description` attribute says, in whichever of the field's dialects it is written.
//!
//! Invariant: reading never fails; what a text does not say stays `None`. Four dialects exist:
//!
//! | who | text |
//! |---|---|
//! | NVIDIA | one line: `num_heads=4, frl_config=60, framebuffer=1024M, max_resolution=5120x2880, max_instance=32` |
//! | GVT-g | five lines: `low_gm_size: 128MB`, `high_gm_size: 512MB`, `fence: 4`, `resolution: 1920x1200`, `weight: 4` |
//! | the samples | free text: `virtual display, 64 MB video memory`, `virtual display, 1920x1080 framebuffer` |
//! | mtty, vfio-ap, vfio-ccw | none at all |

use std::fmt;
use std::str::FromStr;

/// A display's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolution {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

impl FromStr for Resolution {
    type Err = crate::ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('x')
            .and_then(|(width, height)| {
                Some(Self {
                    width: number(width)?,
                    height: number(height)?,
                })
            })
            .ok_or_else(|| crate::ValueError::new("resolution", text, "it is written like 1920x1080"))
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A description, read.
///
/// ```
/// use mdevkit_core::Description;
/// let text = "num_heads=4, frl_config=60, framebuffer=1024M, max_resolution=5120x2880, max_instance=32\n";
/// let read = Description::read(text);
/// assert_eq!(read.framebuffer_mib, Some(1024));
/// assert_eq!(read.max_instances, Some(32));
/// assert_eq!(read.resolution.map(|r| r.to_string()).as_deref(), Some("5120x2880"));
/// assert_eq!(Description::read("whatever it says"), Description::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Nominal framebuffer in MiB (NVIDIA prints `profileSize >> 20`, more than the guest can use; GVT-g: the low,
    /// CPU-visible part, `low_gm_size`; mbochs: its video memory).
    pub framebuffer_mib: Option<u32>,
    /// Displays at most.
    pub heads: Option<u32>,
    /// The largest display.
    pub resolution: Option<Resolution>,
    /// Frames per second that the frame-rate limiter allows (`frl_config`).
    pub frame_rate_limit: Option<u32>,
    /// How many fit on one empty physical GPU.
    pub max_instances: Option<u32>,
}

impl Description {
    /// Reads any dialect; unknown words are passed over.
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for (key, value) in pairs(text) {
            match key {
                "num_heads" => read.heads = number(value),
                "frl_config" => read.frame_rate_limit = number(value),
                "framebuffer" => read.framebuffer_mib = mebibytes(value),
                "max_resolution" | "resolution" => read.resolution = value.parse().ok(),
                "max_instance" => read.max_instances = number(value),
                "low_gm_size" => read.framebuffer_mib = mebibytes(value),
                _ => {}
            }
        }
        if read == Self::default() {
            Self::free_text(text)
        } else {
            read
        }
    }

    /// The samples' sentences: a number before `MB`, a word that is a resolution.
    fn free_text(text: &str) -> Self {
        let words: Vec<&str> = text
            .split([' ', '\t', '\n', ','])
            .filter(|word| !word.is_empty())
            .collect();
        let framebuffer_mib = words
            .windows(2)
            .find_map(|pair| if let [count, "MB"] = pair { number(count) } else { None });
        let resolution = words.iter().find_map(|word| word.parse().ok());
        Self {
            framebuffer_mib,
            resolution,
            ..Self::default()
        }
    }
}

/// `key=value` pairs between commas, and `key: value` lines.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split([',', '\n'])
        .filter_map(|part| part.split_once('=').or_else(|| part.split_once(':')))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// Decimal digits and nothing else (`u32::from_str` would take a sign).
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// `1024M`, `128MB`, `4G`.
fn mebibytes(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    match unit {
        "M" | "MB" | "MiB" => number(digits),
        "G" | "GB" | "GiB" => number(digits)?.checked_mul(1024),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NVIDIA: Description = Description {
        framebuffer_mib: Some(1024),
        heads: Some(4),
        resolution: Some(Resolution {
            width: 5120,
            height: 2880,
        }),
        frame_rate_limit: Some(60),
        max_instances: Some(32),
    };

    #[test]
    fn every_dialect_is_read() {
        let display = |framebuffer_mib, resolution: Option<(u32, u32)>| Description {
            framebuffer_mib,
            resolution: resolution.map(|(width, height)| Resolution { width, height }),
            ..Description::default()
        };
        for (source, text, expected) in [
            (
                "NVIDIA R390 to R550",
                "num_heads=4, frl_config=60, framebuffer=1024M, max_resolution=5120x2880, max_instance=32\n",
                NVIDIA,
            ),
            (
                "GVT-g, drivers/gpu/drm/i915/gvt/kvmgt.c",
                "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n",
                display(Some(128), Some((1920, 1200))),
            ),
            (
                "samples/vfio-mdev/mbochs.c",
                "virtual display, 64 MB video memory\n",
                display(Some(64), None),
            ),
            (
                "samples/vfio-mdev/mdpy.c",
                "virtual display, 1920x1080 framebuffer\n",
                display(None, Some((1920, 1080))),
            ),
            ("empty", "", Description::default()),
            ("free text", "VFIO AP Passthrough Device", Description::default()),
        ] {
            assert_eq!(Description::read(text), expected, "{source}");
        }
    }

    #[test]
    fn torn_and_hostile_text_says_nothing_wrong() {
        for text in [
            "num_heads=,framebuffer=M",
            "framebuffer=99999999999M",
            "framebuffer=+4M",
            "max_instance=-1",
            "xxxx",
        ] {
            assert_eq!(Description::read(text), Description::default(), "{text}");
        }
        assert_eq!(Description::read("framebuffer=8G").framebuffer_mib, Some(8192));
    }
}
