//! The boards: what a simulated host offers, as data.
//!
//! A board is a file of `boards/`, embedded in the program; each names its sources. What a file may say: `data`. How
//! NVIDIA's tables become types: `nvidia`. Nothing here knows how a driver counts (`capacity`) or how the kernel shows
//! it (`host`).

use std::fmt;
use std::str::FromStr;

mod data;
mod nvidia;

use crate::error::SimError;

pub(crate) use data::{Behaviour, Board, Pci, Sriov, Virtual};

/// Every board file, by name, in the order in which they are listed.
const FILES: &[(&str, &str)] = &[
    ("mtty", include_str!("../boards/mtty.toml")),
    ("mdpy", include_str!("../boards/mdpy.toml")),
    ("mbochs", include_str!("../boards/mbochs.toml")),
    ("v100dx", include_str!("../boards/v100dx.toml")),
    ("k2", include_str!("../boards/k2.toml")),
    ("k1", include_str!("../boards/k1.toml")),
    ("m60", include_str!("../boards/m60.toml")),
    ("m10", include_str!("../boards/m10.toml")),
    ("m6", include_str!("../boards/m6.toml")),
    ("p4", include_str!("../boards/p4.toml")),
    ("p40", include_str!("../boards/p40.toml")),
    ("p100", include_str!("../boards/p100.toml")),
    ("v100", include_str!("../boards/v100.toml")),
    ("t4", include_str!("../boards/t4.toml")),
    ("rtx6000", include_str!("../boards/rtx6000.toml")),
    ("rtx8000", include_str!("../boards/rtx8000.toml")),
    ("a2", include_str!("../boards/a2.toml")),
    ("a10", include_str!("../boards/a10.toml")),
    ("a16", include_str!("../boards/a16.toml")),
    ("a40", include_str!("../boards/a40.toml")),
    ("a100", include_str!("../boards/a100.toml")),
    ("rtxa6000", include_str!("../boards/rtxa6000.toml")),
    ("l4", include_str!("../boards/l4.toml")),
    ("l40", include_str!("../boards/l40.toml")),
    ("l40s", include_str!("../boards/l40s.toml")),
    ("rtx6000ada", include_str!("../boards/rtx6000ada.toml")),
    ("h100", include_str!("../boards/h100.toml")),
    ("h200x", include_str!("../boards/h200x.toml")),
    ("rtxpro6000", include_str!("../boards/rtxpro6000.toml")),
    ("gvtg-256", include_str!("../boards/gvtg-256.toml")),
    ("gvtg-512", include_str!("../boards/gvtg-512.toml")),
    ("vfio-ap", include_str!("../boards/vfio-ap.toml")),
    ("vfio-ccw", include_str!("../boards/vfio-ccw.toml")),
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
/// COUNT is the number of GPUs (`v100dx`), of boards with several GPUs each (`k2`, `m10`), of css subchannels
/// (`vfio-ccw`), and 1 for the kernel's samples; [`Sim::known_boards`](crate::Sim::known_boards) says which.
///
/// ```
/// use mdevkit_sim::BoardSpec;
///
/// let seed: BoardSpec = "v100dx:8".parse()?;
/// assert_eq!((seed.name(), seed.count()), ("v100dx", 8));
/// assert_eq!("mtty".parse::<BoardSpec>()?.to_string(), "mtty:1");
///
/// let wrong = "a4O".parse::<BoardSpec>().unwrap_err().to_string();
/// assert!(wrong.starts_with("no board 'a4O'; known boards: mtty, mdpy, mbochs, v100dx, k2, "));
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
        let most = parse(name, file)?.most();
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
    let wrong = |why: String| SimError::BoardFile {
        name: name.to_owned(),
        why,
    };
    let mut board: Board = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if board.pci.is_some() == board.virtual_device.is_some() {
        return Err(wrong("needs [pci] or [virtual]".to_owned()));
    }
    nvidia::complete(&mut board).map_err(wrong)?;
    Ok(board)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_file_parses_and_is_listed() {
        assert_eq!(known().len(), FILES.len());
        for (name, text) in FILES {
            let board = parse(name, text).unwrap();
            assert!(text.starts_with("# "), "{name} names its source");
            // The ids of an H100's types are not known, and none is invented.
            assert_eq!(board.types.is_empty(), *name == "h100", "{name}");
        }
    }

    #[test]
    fn v100dx_is_the_seed_listing() {
        let board = "v100dx".parse::<BoardSpec>().unwrap().load().unwrap();
        let ids: Vec<_> = board.types.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids.len(), 15);
        assert_eq!((ids[0], ids[13], ids[14]), ("194", "207", "219"));
        for t in &board.types {
            let promised = format!("framebuffer={}M", t.share.framebuffer);
            let text = t.description.as_deref().unwrap();
            assert!(
                text.contains(&promised) && text.ends_with(&format!("max_instance={}", t.share.max)),
                "{}",
                t.id
            );
            assert_eq!(t.share.max, 32768 / t.share.framebuffer, "{}: 32 GiB / size", t.id);
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
