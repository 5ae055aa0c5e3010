//! Sets of small numbers as libvirt and the kernel write them: NUMA nodes, host CPUs.
//!
//! Invariant: a set is bounded ([`IdSet::MOST`]), whatever text it is read from.

use crate::value::{ValueError, serde_as_text};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A set of NUMA nodes or CPUs: `0-3,8`, and with libvirt's exclusions `0-7,^3` (`virBitmapParse()`).
///
/// ```
/// use mdevkit_core::IdSet;
/// let cpus: IdSet = "0-3,8,^2".parse()?;
/// assert_eq!(cpus.iter().collect::<Vec<_>>(), [0, 1, 3, 8]);
/// assert_eq!(cpus.to_string(), "0-1,3,8");
/// assert!("0-99999999".parse::<IdSet>().is_err());
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdSet(BTreeSet<u32>);

impl IdSet {
    /// One more than the largest number that a set can have.
    pub const MOST: u32 = 16384;

    /// The longest text that is read (bytes): as long as the kernel's lists get where every second number is in them.
    pub const LONGEST: usize = 64 * 1024;

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether the number is in it.
    pub fn contains(&self, id: u32) -> bool {
        self.0.contains(&id)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<u32> for IdSet {
    /// Numbers that are too large are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self(ids.into_iter().filter(|id| *id < Self::MOST).collect())
    }
}

impl FromStr for IdSet {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || {
            ValueError::new(
                "set of numbers",
                text,
                "it is written like 0-3,8 or 0-7,^3, each below 16384",
            )
        };
        let number = |part: &str| {
            let part = part.trim();
            (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok().filter(|id| *id < Self::MOST))
                .flatten()
                .ok_or_else(bad)
        };
        if text.len() > Self::LONGEST {
            return Err(bad());
        }
        // A range costs its length however often it comes, so it is drawn into a plain row first.
        let mut row = vec![false; Self::MOST as usize];
        let mut draw = |from: u32, to: u32, member: bool| {
            if let Some(ids) = row.get_mut(from as usize..=to as usize) {
                ids.fill(member);
            }
        };
        for part in text.trim().split(',') {
            let part = part.trim();
            if let Some(excluded) = part.strip_prefix('^') {
                let id = number(excluded)?;
                draw(id, id, false);
            } else if let Some((from, to)) = part.split_once('-') {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(bad());
                }
                draw(from, to, true);
            } else {
                let id = number(part)?;
                draw(id, id, true);
            }
        }
        Ok((0..).zip(row).filter_map(|(id, member)| member.then_some(id)).collect())
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for id in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == id => *last = id,
                _ => runs.push((id, id)),
            }
        }
        for (index, (first, last)) in runs.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

serde_as_text!(IdSet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_libvirt_writes_is_read() {
        for (text, ids) in [
            ("0", "0"),
            ("0-3", "0-3"),
            (" 1 , 3 ", "1,3"),
            ("0-7,^3,^4", "0-2,5-7"),
            ("5,5", "5"),
        ] {
            assert_eq!(text.parse::<IdSet>().unwrap().to_string(), ids, "{text:?}");
        }
        for text in ["", ",", "a", "3-1", "-1", "1-", "^", "16384", "0-16384", "+1"] {
            assert!(text.parse::<IdSet>().is_err(), "{text:?}");
        }
    }
}
