//! Where the domain's memory and CPUs are: `<numatune>`, `<cputune>` and `<vcpu>`, as libvirt reads them.
//!
//! ```text
//!   numatune/memory  nodeset, placement ─┐
//!   numatune/memnode nodeset ────────────┴─► nodes      placement='auto': libvirt chooses at the start, nobody knows
//!   cputune/vcpupin  cpuset ──► cpus, else  vcpu cpuset, placement
//! ```
//! Invariant: a set that libvirt would refuse, or that cannot be known before the start, is none, and no failure: these
//! elements are not ours. Reading takes time by the length of the text, whatever ranges it holds.

use super::builder::Builder;
use super::hostdev::property;
use crate::lexical;
use mdevkit_core::{IdSet, Pinning};

/// What was found, before it is known which of it counts.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    /// The first `<memory>` is the one that counts.
    had_memory: bool,
    had_vcpu: bool,
    /// `<numatune>` says `placement='auto'`.
    auto: bool,
    nodes: Said,
    vcpu: Said,
    vcpupins: Said,
}

impl Pins {
    /// What counts.
    pub(crate) fn pinning(&self) -> Pinning {
        let cpus = if self.vcpupins == Said::Nothing {
            &self.vcpu
        } else {
            &self.vcpupins
        };
        Pinning {
            nodes: if self.auto { None } else { self.nodes.set() },
            cpus: cpus.set(),
        }
    }
}

/// A set that several elements say together.
#[derive(Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    These(Box<Bits>),
    /// One of them is not a set: what the others say is not the whole of it.
    Wrong,
}

impl Said {
    fn add(&mut self, text: &str) {
        match self {
            Self::Nothing => {
                let mut bits = Box::new(Bits::default());
                *self = match bits.read(text) {
                    Some(()) => Self::These(bits),
                    None => Self::Wrong,
                };
            }
            Self::These(bits) => {
                if bits.read(text).is_none() {
                    *self = Self::Wrong;
                }
            }
            Self::Wrong => {}
        }
    }

    fn set(&self) -> Option<IdSet> {
        match self {
            Self::These(bits) => Some(bits.numbers().collect()),
            Self::Nothing | Self::Wrong => None,
        }
    }
}

impl<'a> Builder<'a> {
    /// `<memory mode='strict' nodeset='0' placement='static'/>` in `<numatune>`.
    pub(super) fn numatune_memory(&mut self) {
        if std::mem::replace(&mut self.map.pins.had_memory, true) {
            return;
        }
        self.map.pins.auto = self.says("placement", "auto");
        if let Some(nodes) = self.word("nodeset") {
            self.map.pins.nodes.add(&nodes);
        }
    }

    /// `<memnode cellid='0' mode='strict' nodeset='1'/>` in `<numatune>`.
    pub(super) fn numatune_memnode(&mut self) {
        if let Some(nodes) = self.word("nodeset") {
            self.map.pins.nodes.add(&nodes);
        }
    }

    /// `<vcpupin vcpu='0' cpuset='1-4,^2'/>` in `<cputune>`.
    pub(super) fn vcpupin(&mut self) {
        if let Some(cpus) = self.word("cpuset") {
            self.map.pins.vcpupins.add(&cpus);
        }
    }

    /// `<vcpu placement='static' cpuset='1-4,^3'>4</vcpu>`; whether it is the first, which counts.
    pub(super) fn vcpu(&mut self) -> bool {
        if std::mem::replace(&mut self.map.pins.had_vcpu, true) {
            return false;
        }
        let auto = self.says("placement", "auto");
        if let (Some(cpus), false) = (self.word("cpuset"), auto) {
            self.map.pins.vcpu.add(&cpus);
        }
        true
    }

    fn word(&self, name: &str) -> Option<std::borrow::Cow<'a, str>> {
        property(self.scanner.attrs(), name).map(|attr| lexical::value(attr.raw))
    }

    fn says(&self, name: &str, wanted: &str) -> bool {
        self.word(name).is_some_and(|value| value == wanted)
    }
}

/// One bit a number, so that no range costs more than its two ends.
#[derive(Debug, PartialEq, Eq)]
struct Bits([u64; WORDS]);

const WORDS: usize = IdSet::MOST as usize / 64;

impl Default for Bits {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Bits {
    /// Adds what the text says; none when libvirt's `virBitmapParse()` would refuse it, or takes it for nothing.
    fn read(&mut self, text: &str) -> Option<()> {
        let mut own = Self::default();
        let mut rest = skip(text);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let excluded = rest.strip_prefix('^');
            let (from, tail) = number(excluded.unwrap_or(rest))?;
            let mut tail = skip(tail);
            if excluded.is_some() {
                own.each(from, from, |word, mask| *word &= !mask);
            } else if let Some(last) = tail.strip_prefix('-') {
                let (to, behind) = number(skip(last))?;
                if to < from {
                    return None;
                }
                own.each(from, to, |word, mask| *word |= mask);
                tail = skip(behind);
            } else {
                own.each(from, from, |word, mask| *word |= mask);
            }
            rest = match tail.strip_prefix(',') {
                Some(next) => skip(next),
                None if tail.is_empty() => tail,
                None => return None,
            };
        }
        if own == Self::default() {
            return None;
        }
        for (all, own) in self.0.iter_mut().zip(own.0) {
            *all |= own;
        }
        Some(())
    }

    fn each(&mut self, from: usize, to: usize, change: impl Fn(&mut u64, u64)) {
        let (first, last) = (from / 64, to / 64);
        for (index, word) in self.0.iter_mut().enumerate().take(last + 1).skip(first) {
            let above = if index == first {
                u64::MAX << (from % 64)
            } else {
                u64::MAX
            };
            let below = if index == last {
                u64::MAX >> (63 - to % 64)
            } else {
                u64::MAX
            };
            change(word, above & below);
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0..IdSet::MOST).filter(|id| {
            let id = usize::try_from(*id).unwrap_or(usize::MAX);
            self.0.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
        })
    }
}

/// The number that a text begins with, if a set can have it, and what follows.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let number: u32 = digits.parse().ok()?;
    (number < IdSet::MOST).then_some((usize::try_from(number).ok()?, rest))
}

fn skip(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_as_libvirt_reads_them() {
        for (text, numbers) in [
            ("0", Some("0")),
            (" 1 - 3 , 8 ", Some("1-3,8")),
            ("0-7,^3,^4", Some("0-2,5-7")),
            ("0-63", Some("0-63")),
            ("63-64,127-128", Some("63-64,127-128")),
            ("0-16383", Some("0-16383")),
            ("5,", Some("5")),
            ("007", Some("7")),
            ("", None),
            (" ", None),
            (",", None),
            ("a", None),
            ("3-1", None),
            ("-1", None),
            ("1-", None),
            ("^", None),
            ("1 2", None),
            ("0,^0", None),
            ("^1-3", None),
            ("16384", None),
            ("0-16384", None),
            ("99999999999999999999", None),
        ] {
            let mut said = Said::default();
            said.add(text);
            assert_eq!(said.set().map(|set| set.to_string()).as_deref(), numbers, "{text:?}");
        }
    }
}
