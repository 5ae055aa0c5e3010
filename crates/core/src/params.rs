//! A vGPU's parameters: what may be written to NVIDIA's `vgpu_params` between create and the guest's start.
//!
//! Invariant: only keys of the allow-list with values they can take. The driver accepts any text, and what its plugin
//! makes of it shows in the guest, so the border is here.

use crate::value::{ValueError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// `key=value` pairs, in the order they were given.
///
/// ```
/// use mdevkit_core::Params;
/// let params: Params = "frame_rate_limiter=0, disable_vnc=1".parse()?;
/// assert_eq!(params.to_string(), "frame_rate_limiter=0,disable_vnc=1");
/// assert!("exec=rm".parse::<Params>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Params(Vec<(&'static str, bool)>);

impl Params {
    /// The switches that NVIDIA's vGPU user guide documents for guests; each is 0 or 1.
    pub const KEYS: [&'static str; 5] = [
        "frame_rate_limiter",
        "disable_vnc",
        "enable_uvm",
        "enable_debugging",
        "enable_profiling",
    ];
}

impl FromStr for Params {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = |why| ValueError::new("params", text, why);
        let mut pairs: Vec<(&'static str, bool)> = Vec::new();
        for pair in text.split(',') {
            let (key, value) = pair
                .trim()
                .split_once('=')
                .ok_or_else(|| bad("it is written like key=0,key=1"))?;
            let Some(key) = Self::KEYS.into_iter().find(|known| *known == key) else {
                return Err(bad(
                    "known are frame_rate_limiter, disable_vnc, enable_uvm, enable_debugging and enable_profiling",
                ));
            };
            if pairs.iter().any(|(seen, _)| *seen == key) {
                return Err(bad("each key may stand once"));
            }
            let value = match value {
                "0" => false,
                "1" => true,
                _ => return Err(bad("each value is 0 or 1")),
            };
            pairs.push((key, value));
        }
        Ok(Self(pairs))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{key}={}", u8::from(*value))?;
        }
        Ok(())
    }
}

serde_as_text!(Params);
