//! The boards: what a simulated host offers, as data.
//!
//! A board is a file of `boards/`, embedded in the program; each names its sources. Nothing here knows how a driver
//! counts (`capacity`) or how the kernel shows it (`host`).

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::capacity::{Rule, Share};
use crate::error::SimError;

/// Every board file, by name, in the order in which they are listed.
const FILES: &[(&str, &str)] = &[
    ("mtty", include_str!("../boards/mtty.toml")),
    ("mdpy", include_str!("../boards/mdpy.toml")),
    ("mbochs", include_str!("../boards/mbochs.toml")),
    ("v100dx", include_str!("../boards/v100dx.toml")),
    ("k2", include_str!("../boards/k2.toml")),
];

/// A board that can be mounted, for a person who has to choose one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownBoard {
    /// What to write in a [`BoardSpec`].
    pub name: String,
    /// One line: the hardware, the driver, the number of types, what COUNT counts.
    pub description: String,
}

pub(crate) fn known() -> Vec<KnownBoard> {
    FILES
        .iter()
        .filter_map(|(name, text)| {
            let board = parse(name, text).ok()?;
            Some(KnownBoard {
                name: (*name).to_owned(),
                description: board.description,
            })
        })
        .collect()
}

/// What to put into the host: `NAME` or `NAME:COUNT`.
///
/// COUNT is the number of GPUs (`v100dx`), of boards with two GPUs each (`k2`), and 1 for the kernel's samples.
///
/// ```
/// use mdevkit_sim::BoardSpec;
///
/// let seed: BoardSpec = "v100dx:8".parse()?;
/// assert_eq!((seed.name(), seed.count()), ("v100dx", 8));
/// assert_eq!("mtty".parse::<BoardSpec>()?.to_string(), "mtty:1");
///
/// let wrong = "a100".parse::<BoardSpec>().unwrap_err().to_string();
/// assert_eq!(wrong, "no board 'a100'; known boards: mtty, mdpy, mbochs, v100dx, k2");
/// # Ok::<(), mdevkit_sim::SimError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardSpec {
    name: &'static str,
    count: u32,
}

impl BoardSpec {
    /// The board's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// How many (GPUs, boards: see the board's description).
    pub fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn load(&self) -> Result<Board, SimError> {
        let text = FILES
            .iter()
            .find(|(name, _)| *name == self.name)
            .map_or("", |(_, text)| text);
        parse(self.name, text)
    }
}

impl FromStr for BoardSpec {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        let (wanted, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let Some((name, file)) = FILES.iter().find(|(name, _)| *name == wanted) else {
            let known = FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(SimError::UnknownBoard {
                name: wanted.to_owned(),
                known,
            });
        };
        let most = parse(name, file)?.pci.map_or(1, |pci| pci.max_count);
        let count = match count {
            None => 1,
            Some(digits) => digits
                .parse::<u32>()
                .ok()
                .filter(|count| (1..=most).contains(count))
                .ok_or_else(|| SimError::BoardCount {
                    spec: text.to_owned(),
                    most,
                })?,
        };
        Ok(BoardSpec { name, count })
    }
}

impl fmt::Display for BoardSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.count)
    }
}

fn parse(name: &str, text: &str) -> Result<Board, SimError> {
    let board: Board = toml::from_str(text).map_err(|error| SimError::BoardFile {
        name: name.to_owned(),
        why: error.to_string(),
    })?;
    if board.pci.is_some() == board.virtual_device.is_some() {
        return Err(SimError::BoardFile {
            name: name.to_owned(),
            why: "needs [pci] or [virtual]".to_owned(),
        });
    }
    Ok(board)
}

/// One file of `boards/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Board {
    pub(crate) description: String,
    /// The driver bound to the parent: the first half of every type directory's name.
    pub(crate) parent_driver: String,
    /// The mdev driver that the devices bind to.
    pub(crate) mdev_driver: String,
    pub(crate) device_api: String,
    pub(crate) capacity: Rule,
    pub(crate) pci: Option<Pci>,
    #[serde(rename = "virtual")]
    pub(crate) virtual_device: Option<Virtual>,
    #[serde(rename = "type")]
    pub(crate) types: Vec<TypeData>,
    #[serde(rename = "device_attr", default)]
    pub(crate) device_attrs: Vec<DeviceAttr>,
}

/// A parent that is a PCI function.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pci {
    pub(crate) vendor: String,
    pub(crate) device: String,
    pub(crate) class: String,
    pub(crate) subsystem_vendor: String,
    pub(crate) subsystem_device: String,
    pub(crate) gpus_per_board: u32,
    pub(crate) max_count: u32,
    /// `local_cpulist` of each NUMA node.
    pub(crate) numa_cpus: Vec<String>,
    pub(crate) slots: Vec<Slot>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) address: String,
    pub(crate) numa: usize,
}

/// A parent below `/sys/devices/virtual`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Virtual {
    pub(crate) class: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeData {
    /// The driver's `sysfs_name`: the second half of the type directory's name.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// What `{detail}` stands for in the text of a device's file.
    #[serde(default)]
    pub(crate) detail: String,
    /// Units of a shared pool (ports, MB).
    #[serde(default)]
    cost: u32,
    /// Nominal framebuffer, MiB.
    #[serde(default)]
    framebuffer: u32,
    /// Instances on an empty GPU.
    #[serde(default)]
    max: u32,
}

impl TypeData {
    pub(crate) fn share(&self) -> Share {
        Share {
            cost: self.cost,
            framebuffer: self.framebuffer,
            max: self.max,
        }
    }
}

/// A file that the driver puts into each device's directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceAttr {
    /// `group/name`, relative to the device.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) behaviour: Behaviour,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// `text` with `{uuid}` and `{detail}` replaced.
    #[default]
    Text,
    VgpuParams,
    VmName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_file_parses_and_is_listed() {
        assert_eq!(known().len(), FILES.len());
        for (name, text) in FILES {
            let board = parse(name, text).unwrap();
            assert!(
                !board.types.is_empty() && text.starts_with("# "),
                "{name} names its source"
            );
        }
    }

    #[test]
    fn v100dx_is_the_seed_listing() {
        let board = "v100dx".parse::<BoardSpec>().unwrap().load().unwrap();
        let ids: Vec<_> = board.types.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids.len(), 15);
        assert_eq!((ids[0], ids[13], ids[14]), ("194", "207", "219"));
        for t in &board.types {
            let promised = format!("framebuffer={}M", t.framebuffer);
            let text = t.description.as_deref().unwrap();
            assert!(
                text.contains(&promised) && text.ends_with(&format!("max_instance={}", t.max)),
                "{}",
                t.id
            );
            assert_eq!(t.max, 32768 / t.framebuffer, "{}: 32 GiB / size", t.id);
        }
    }

    #[test]
    fn counts_are_bounded() {
        for (spec, ok) in [
            ("mtty:1", true),
            ("mtty:2", false),
            ("v100dx:0", false),
            ("v100dx:33", false),
            ("k2:2", true),
            ("k2:", false),
            ("k2:x", false),
            ("", false),
        ] {
            assert_eq!(spec.parse::<BoardSpec>().is_ok(), ok, "{spec}");
        }
    }
}
