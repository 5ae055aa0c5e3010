//! The picture of a host: each physical GPU as a bar of what is shared on it, with its devices.
//!
//! ```text
//!   Survey ──► Picture ─┬─► text   the terminal, with colour or without
//!                       └─► svg    a file that needs nothing else
//! ```
//!
//! Invariant: both are pure functions of the [`Picture`], so the same host gives the same bytes; what stands in a
//! domain's or a type's name reaches neither a terminal nor a file unescaped.

pub(crate) mod svg;
pub(crate) mod text;

/// A host as it is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The host's name.
    pub(crate) host: String,
    /// The physical GPUs, by address.
    pub(crate) bars: Vec<Bar>,
}

/// One physical GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Its address.
    pub(crate) name: String,
    /// What it is; empty where nobody knows.
    pub(crate) title: String,
    /// What the numbers count: `MiB`, `ports`, `instances`.
    pub(crate) unit: &'static str,
    /// How much there is in all; 0 where that is not known.
    pub(crate) total: u64,
    /// Its devices.
    pub(crate) slices: Vec<Slice>,
    /// What else there is to say: its rule, a cordon.
    pub(crate) notes: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// What its type is called.
    pub(crate) label: String,
    /// Whose it is.
    pub(crate) owner: String,
    /// Whether something else than mdevkit made it.
    pub(crate) foreign: bool,
    /// How much it takes, in the bar's unit; 0 where that is not known.
    pub(crate) size: u64,
    /// Where it begins, when the driver says it.
    pub(crate) at: Option<u64>,
}

/// A device's part of a bar that is `cells` wide: from the first cell to the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Bar {
    /// How much the devices take in all.
    pub(crate) fn used(&self) -> u64 {
        self.slices.iter().fold(0, |sum, slice| sum.saturating_add(slice.size))
    }

    /// `12288 of 32768 MiB`.
    fn amount(&self) -> String {
        match self.total {
            0 => format!("{} {}", self.used(), self.unit),
            total => format!("{} of {total} {}", self.used(), self.unit),
        }
    }

    /// What is said of it: how much is used, where there is anything to use, and the notes.
    pub(crate) fn said(&self) -> String {
        let nothing = self.total == 0 && self.slices.is_empty();
        let amount = Some(self.amount()).filter(|_| !nothing || self.notes.is_empty());
        let parts: Vec<&str> = amount
            .as_deref()
            .into_iter()
            .chain(self.notes.iter().map(String::as_str))
            .collect();
        parts.join(", ")
    }

    /// `2 ports`, `1 port`.
    pub(crate) fn count(&self, count: u64) -> String {
        let unit = if count == 1 {
            self.unit.trim_end_matches('s')
        } else {
            self.unit
        };
        format!("{count} {unit}")
    }

    /// Where each slice is drawn, in the order of the slices: at its own place when the driver says it, else in the
    /// first gap that is large enough. Each has one cell at least, as long as there are cells; what has none left is
    /// empty (`from == to`).
    pub(crate) fn spans(&self, cells: usize) -> Vec<Span> {
        let total = self.total.max(self.used()).max(1);
        let mut order: Vec<(u64, usize, u64)> = Vec::with_capacity(self.slices.len());
        for (index, slice) in self.slices.iter().enumerate() {
            if let Some(at) = slice.at {
                order.push((at, index, slice.size));
            }
        }
        for (index, slice) in self.slices.iter().enumerate().filter(|(_, slice)| slice.at.is_none()) {
            order.sort_unstable();
            let mut begin: u64 = 0;
            for (at, _, size) in &order {
                if begin.saturating_add(slice.size) <= *at {
                    break;
                }
                begin = begin.max(at.saturating_add(*size));
            }
            order.push((begin, index, slice.size));
        }
        order.sort_unstable();
        let cell = |amount: u64| -> usize {
            let wide = u128::from(amount.min(total)) * (cells as u128) / u128::from(total);
            usize::try_from(wide).unwrap_or(cells)
        };
        let mut spans = vec![Span { from: 0, to: 0 }; self.slices.len()];
        let mut free = 0;
        for (at, index, size) in order {
            let from = cell(at).max(free).min(cells);
            let to = cell(at.saturating_add(size)).max(from + 1).min(cells);
            free = to;
            if let Some(span) = spans.get_mut(index) {
                *span = Span { from, to: to.max(from) };
            }
        }
        spans
    }
}

/// The types of a picture in the order in which they come: the number of a type is that of its colour.
pub(crate) fn labels(picture: &Picture) -> Vec<&str> {
    let mut labels: Vec<&str> = Vec::new();
    for slice in picture.bars.iter().flat_map(|bar| &bar.slices) {
        if !labels.contains(&slice.label.as_str()) {
            labels.push(&slice.label);
        }
    }
    labels
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn slice(label: &str, owner: &str, size: u64) -> Slice {
        Slice {
            label: label.to_owned(),
            owner: owner.to_owned(),
            foreign: false,
            size,
            at: None,
        }
    }

    /// A host that has a bit of everything.
    pub(crate) fn picture() -> Picture {
        let gpu = |name: &str, slices: Vec<Slice>, notes: &[&str]| Bar {
            name: name.to_owned(),
            title: "NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]".to_owned(),
            unit: "MiB",
            total: 32768,
            slices,
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        };
        let evil = Slice {
            foreign: true,
            ..slice("V100DX-2Q", "foreign", 2048)
        };
        Picture {
            host: "host <1>".to_owned(),
            bars: vec![
                gpu(
                    "0000:06:00.0",
                    vec![
                        slice("V100DX-8Q", "domain cad", 8192),
                        slice("V100DX-8Q", "domain cad", 8192),
                        slice("V100DX-8Q", "domain <&'\">\u{1b}[2J", 8192),
                    ],
                    &["same-framebuffer"],
                ),
                gpu("0000:07:00.0", vec![], &["same-framebuffer (not proven)", "cordoned"]),
                gpu("0000:0a:00.0", vec![evil], &[]),
                Bar {
                    name: "mtty".to_owned(),
                    unit: "ports",
                    total: 24,
                    slices: vec![slice("mtty-2", "mdevkit create", 2), slice("mtty-1", "domain cad", 1)],
                    ..Bar::default()
                },
            ],
        }
    }

    fn drawn(bar: &Bar, cells: usize) -> Vec<(usize, usize)> {
        bar.spans(cells).iter().map(|span| (span.from, span.to)).collect()
    }

    #[test]
    fn devices_are_drawn_where_they_are_or_where_they_fit() {
        let mut bar = Bar {
            total: 48,
            unit: "MiB",
            ..Bar::default()
        };
        for (size, at) in [(12, None), (12, Some(0)), (8, Some(24)), (8, None)] {
            bar.slices.push(Slice {
                at,
                ..slice("x", "y", size)
            });
        }
        assert_eq!(drawn(&bar, 48), [(12, 24), (0, 12), (24, 32), (32, 40)]);
        assert_eq!(drawn(&bar, 24), [(6, 12), (0, 6), (12, 16), (16, 20)]);
    }

    #[test]
    fn small_devices_are_seen_and_none_is_drawn_over_another() {
        let mut bar = Bar {
            total: 65536,
            ..Bar::default()
        };
        bar.slices = vec![slice("x", "y", 1); 5];
        assert_eq!(drawn(&bar, 40), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        bar.slices = vec![slice("x", "y", 1); 50];
        let spans = drawn(&bar, 40);
        assert!(spans.iter().all(|(from, to)| from <= to && *to <= 40));
        assert_eq!(spans.iter().filter(|(from, to)| from < to).count(), 40);
        let unknown = Bar {
            slices: vec![slice("x", "y", u64::MAX); 3],
            ..Bar::default()
        };
        assert!(drawn(&unknown, 40).iter().all(|(from, to)| from <= to && *to <= 40));
    }
}
