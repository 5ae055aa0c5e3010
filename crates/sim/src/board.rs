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

    /// Ids, short names and counts as they are published (vgpuConfig.xml, captures and listings of real hosts): the
    /// tables' ends, and all that does not follow from them.
    #[test]
    fn types_are_those_of_the_published_tables() {
        for (board, count, rows) in [
            (
                "m60",
                14,
                "11 0B 16, 12 0Q 16, 13 1A 8, 17 2B 4, 20 4Q 2, 22 8Q 1, 210 2B4 4, 238 1B4 8",
            ),
            ("m10", 14, "35 0B 16, 41 2Q 4, 45 8Q 1, 155 2B 4, 208 2B4 4, 240 1B4 8"),
            ("m6", 14, "23 0B 16, 30 2Q 4, 34 8Q 1, 209 2B4 4, 239 1B4 8"),
            (
                "p4",
                14,
                "63 1Q 8, 66 8Q 1, 67 1A 8, 70 8A 1, 71 1B 8, 157 2B 4, 243 1B4 8, 288 4C 2, 289 8C 1",
            ),
            (
                "p40",
                25,
                "46 1Q 24, 48 3Q 8, 53 24Q 1, 54 1A 24, 61 24A 1, 62 1B 24, 156 2B 12, 283 4C 6, 287 24C 1",
            ),
            (
                "p100",
                17,
                "83 1Q 16, 87 16Q 1, 92 16A 1, 93 1B 16, 160 2B 8, 293 4C 4, 294 8C 2, 295 16C 1",
            ),
            (
                "v100",
                17,
                "105 1Q 16, 109 16Q 1, 114 16A 1, 115 1B 16, 163 2B 8, 247 1B4 16, 300 8C 2",
            ),
            (
                "v100dx",
                15,
                "194 1Q 32, 199 32Q 1, 200 1A 32, 205 32A 1, 206 1B 32, 207 2B 16, 219 2B4 16",
            ),
            (
                "t4",
                17,
                "222 1B 16, 223 2B 8, 224 2B4 8, 228 8A 2, 229 16A 1, 230 1Q 16, 234 16Q 1, 252 1B4 16",
            ),
            (
                "rtx6000",
                23,
                "256 1Q 24, 258 3Q 8, 263 24Q 1, 343 4C 6, 435 1B 24, 436 2B 12, 437 1A 24, 444 24A 1",
            ),
            (
                "rtx8000",
                29,
                "264 1Q 32, 265 2Q 24, 267 4Q 12, 271 16Q 3, 273 48Q 1, 354 48C 1, 445 1B 32, 456 48A 1",
            ),
            (
                "a40",
                29,
                "555 1B 32, 556 2B 24, 557 1Q 32, 558 2Q 24, 564 16Q 3, 566 48Q 1, 567 1A 32, 576 48A 1",
            ),
            (
                "rtxa6000",
                29,
                "522 1B 32, 524 1Q 32, 533 48Q 1, 534 1A 32, 543 48A 1, 548 4C 12, 554 48C 1",
            ),
            (
                "a10",
                23,
                "588 1B 24, 589 2B 12, 590 1Q 24, 593 4Q 6, 595 8Q 3, 597 24Q 1, 605 24A 1, 614 24C 1",
            ),
            (
                "a16",
                15,
                "709 1B 16, 710 2B 8, 711 1Q 16, 714 8Q 2, 715 16Q 1, 720 16A 1, 723 16C 1",
            ),
            (
                "a2",
                15,
                "742 1B 16, 743 2B 8, 746 4Q 4, 748 16Q 1, 753 16A 1, 754 4C 4, 755 8C 2, 756 16C 1",
            ),
            (
                "a100",
                12,
                "468 4C 10, 469 5C 8, 471 10C 4, 473 40C 1, 474 1-5C 7, 475 2-10C 3, 476 3-20C 2, 477 4-20C 1",
            ),
            ("a100", 12, "478 7-40C 1, 706 1-5CME 1"),
            (
                "l4",
                18,
                "908 1B 24, 909 2B 12, 910 1Q 24, 913 4Q 6, 915 8Q 3, 917 24Q 1, 918 1A 24, 925 24A 1",
            ),
            (
                "l40",
                22,
                "869 1B 32, 870 2B 24, 871 1Q 32, 880 48Q 1, 881 1A 32, 890 48A 1",
            ),
            (
                "l40s",
                23,
                "1145 1B 32, 1147 1Q 32, 1151 6Q 8, 1154 16Q 3, 1156 48Q 1, 1157 1A 32, 1166 48A 1, 2164 3B 16",
            ),
            (
                "rtx6000ada",
                22,
                "939 1B 32, 941 1Q 32, 942 2Q 24, 950 48Q 1, 951 1A 32, 960 48A 1",
            ),
            ("h200x", 2, "1414 1-18C 7, 1428 141C 1"),
            ("rtxpro6000", 2, "1519 3Q 32, 1561 1-24Q 4"),
        ] {
            let board_data = board.parse::<BoardSpec>().unwrap().load().unwrap();
            assert_eq!(board_data.types.len(), count, "{board}");
            for row in rows.split(", ") {
                let [id, name, max] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let found = board_data.types.iter().find(|t| t.id == id).expect(row);
                assert!(
                    found.name.ends_with(&format!("-{name}")),
                    "{board} {row}: {}",
                    found.name
                );
                assert_eq!(found.share.max.to_string(), max, "{board} {row}");
            }
            let mut ids: Vec<_> = board_data.types.iter().map(|t| &t.id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), count, "{board}: an id stands twice");
        }
    }

    #[test]
    fn descriptions_follow_the_series() {
        for (board, id, text) in [
            (
                "m60",
                "11",
                "num_heads=2, frl_config=45, framebuffer=512M, max_resolution=2560x1600, max_instance=16",
            ),
            (
                "m60",
                "12",
                "num_heads=2, frl_config=60, framebuffer=512M, max_resolution=2560x1600, max_instance=16",
            ),
            (
                "m60",
                "20",
                "num_heads=4, frl_config=60, framebuffer=4096M, max_resolution=5120x2880, max_instance=2",
            ),
            (
                "p40",
                "47",
                "num_heads=4, frl_config=60, framebuffer=2048M, max_resolution=7680x4320, max_instance=12",
            ),
            (
                "p40",
                "215",
                "num_heads=4, frl_config=45, framebuffer=2048M, max_resolution=5120x2880, max_instance=12",
            ),
            (
                "t4",
                "225",
                "num_heads=1, frl_config=60, framebuffer=1024M, max_resolution=1280x1024, max_instance=16",
            ),
            (
                "a100",
                "474",
                "num_heads=1, frl_config=60, framebuffer=5120M, max_resolution=4096x2160, max_instance=7",
            ),
            (
                "h200x",
                "1428",
                "num_heads=1, frl_config=60, framebuffer=144384M, max_resolution=4096x2400, max_instance=1",
            ),
        ] {
            let board_data = board.parse::<BoardSpec>().unwrap().load().unwrap();
            let found = board_data.types.iter().find(|t| t.id == id).unwrap();
            assert_eq!(found.description.as_deref(), Some(text), "{board} {id}");
        }
    }
}
