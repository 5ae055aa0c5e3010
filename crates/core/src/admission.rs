//! NVIDIA's rules on what one guest may have: what the driver would accept at create and refuse, or not support, later.
//!
//! Sources: the driver's `vgpuConfig.xml` (`multiVgpuSupported`, `multiVgpuExclusive`, `fractionalMultiVgpu`), NVIDIA
//! Virtual GPU Software User Guide ("Multiple vGPU support", "Virtual GPU types").
//!
//! | rule | says | so |
//! |---|---|---|
//! | nvidia-one-vgpu | a guest with several vGPUs has none of series A or B | refuse |
//! | nvidia-full-size | on Maxwell and Pascal, several vGPUs are whole-GPU Q types | refuse |
//! | nvidia-same-gpu | several vGPUs of a guest are on different GPUs | warn |
//! | nvidia-a-linux | series A is for Windows guests | warn |
//!
//! Invariant: what is not known breaks no rule.

use crate::{PgpuName, Series, Slot, TypeName};
use std::fmt;

/// One device of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admittee {
    /// Its slot in the domain.
    pub slot: Slot,
    /// Where it goes.
    pub pgpu: PgpuName,
    /// What it is called; none where the driver gives no name.
    pub name: Option<TypeName>,
    /// How many of it fit on an empty physical GPU (count), where that was read.
    pub max_instances: Option<u32>,
}

/// A rule that a guest breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// Whether the device does not start so; a warning otherwise.
    pub refuses: bool,
    /// The device that breaks it.
    pub slot: Slot,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: slot {}: {}", self.rule, self.slot, self.message)
    }
}

/// The rules that a guest with these devices breaks. `os` is its libosinfo id, as far as anybody said.
///
/// ```
/// use mdevkit_core::{admit, Admittee, Slot};
/// let device = |slot, name: &str| Admittee {
///     slot: Slot::new(slot).unwrap(),
///     pgpu: "0000:06:00.0".parse().unwrap(),
///     name: Some(name.parse().unwrap()),
///     max_instances: None,
/// };
/// let findings = admit(&[device(0, "GRID V100DX-1Q"), device(1, "GRID V100DX-1B")], None);
/// assert_eq!(findings[0].rule, "nvidia-one-vgpu");
/// assert!(findings[0].refuses);
/// ```
pub fn admit(devices: &[Admittee], os: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let vgpus: Vec<(&Admittee, &str, Option<Series>)> = devices
        .iter()
        .filter_map(|device| {
            let name = device.name.as_ref()?;
            Some((device, name.short()?, name.series()))
        })
        .collect();
    for (index, (device, short, series)) in vgpus.iter().enumerate() {
        let mut found = |rule, refuses, message| {
            findings.push(Finding {
                rule,
                refuses,
                slot: device.slot,
                message,
            });
        };
        if vgpus.len() > 1 {
            if let Some(series @ (Series::A | Series::B)) = series {
                found(
                    "nvidia-one-vgpu",
                    true,
                    format!(
                        "{short} is of series {series}, which has to be a guest's only vGPU; ask for a Q or C type"
                    ),
                );
            } else if maxwell_or_pascal(short)
                && (*series != Some(Series::Q) || device.max_instances.is_some_and(|max| max > 1))
            {
                found(
                    "nvidia-full-size",
                    true,
                    format!(
                        "{short} shares its GPU; on Maxwell and Pascal a guest's several vGPUs are whole GPUs of series Q"
                    ),
                );
            }
            if vgpus
                .iter()
                .take(index)
                .any(|(earlier, ..)| earlier.pgpu == device.pgpu)
            {
                found(
                    "nvidia-same-gpu",
                    false,
                    format!(
                        "{} has another vGPU of this guest; NVIDIA supports one from each GPU: ask with apart=\"yes\"",
                        device.pgpu
                    ),
                );
            }
        }
        if *series == Some(Series::A) && os.is_some_and(is_linux) {
            found(
                "nvidia-a-linux",
                false,
                format!("{short} is of series A, which NVIDIA supports in Windows guests only; ask for a B or Q type"),
            );
        }
    }
    findings
}

/// M60, M10, M6; P4, P6, P40, P100...: a letter and digits before the first dash. Later boards have other letters.
fn maxwell_or_pascal(short: &str) -> bool {
    let board = short.split('-').next().unwrap_or(short);
    board
        .strip_prefix(['M', 'P'])
        .is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a libosinfo id is that of a Linux distribution.
fn is_linux(os: &str) -> bool {
    const DISTRIBUTIONS: [&str; 20] = [
        "almalinux",
        "alpinelinux",
        "altlinux",
        "archlinux",
        "centos",
        "debian",
        "endlessos",
        "fedora",
        "gentoo",
        "guix",
        "linux",
        "mageia",
        "manjaro",
        "nixos",
        "opensuse",
        "oracle",
        "redhat",
        "rocky",
        "suse",
        "ubuntu",
    ];
    DISTRIBUTIONS.iter().any(|name| os.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(devices: &[(&str, &str, Option<u32>)], os: Option<&str>) -> Vec<(&'static str, bool, u8)> {
        let devices: Vec<Admittee> = (0_u16..)
            .zip(devices)
            .map(|(slot, (gpu, name, max_instances))| Admittee {
                slot: Slot::new(slot).unwrap(),
                pgpu: gpu.parse().unwrap(),
                name: Some(name.parse().unwrap()),
                max_instances: *max_instances,
            })
            .collect();
        admit(&devices, os)
            .into_iter()
            .map(|finding| (finding.rule, finding.refuses, finding.slot.number()))
            .collect()
    }

    #[test]
    fn each_rule_is_broken_by_what_it_forbids_and_by_nothing_else() {
        let (a, b) = ("0000:06:00.0", "0000:07:00.0");
        assert_eq!(
            broken(&[(a, "GRID V100DX-1B", None)], None),
            [],
            "one of series B alone"
        );
        assert_eq!(
            broken(&[(a, "GRID V100DX-1Q", None), (b, "GRID V100DX-4Q", None)], None),
            []
        );
        assert_eq!(
            broken(&[(a, "NVIDIA A100-4C", None), (b, "NVIDIA A100-4C", None)], None),
            []
        );
        assert_eq!(
            broken(&[(a, "GRID V100DX-1B", None), (b, "GRID V100DX-1A", None)], None),
            [("nvidia-one-vgpu", true, 0), ("nvidia-one-vgpu", true, 1)]
        );
        assert_eq!(
            broken(&[(a, "GRID P40-12Q", Some(2)), (b, "GRID P40-24Q", Some(1))], None),
            [("nvidia-full-size", true, 0)]
        );
        assert_eq!(
            broken(&[(a, "GRID V100DX-1Q", None), (a, "GRID V100DX-1Q", None)], None),
            [("nvidia-same-gpu", false, 1)]
        );
        let one = [(a, "GRID T4-1A", None)];
        assert_eq!(
            broken(&one, Some("http://ubuntu.com/ubuntu/24.04")),
            [("nvidia-a-linux", false, 0)]
        );
        assert_eq!(broken(&one, Some("http://microsoft.com/win/11")), []);
        assert_eq!(broken(&one, None), [], "nobody said what it runs");
        assert_eq!(
            broken(
                &[("mtty", "Dual port serial", None), ("mtty", "Dual port serial", None)],
                None
            ),
            []
        );
    }
}
