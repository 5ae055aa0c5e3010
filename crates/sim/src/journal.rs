//! The journal: what was asked of the host and what it answered, for a checker that does not trust the one who asked.
//!
//! One line for each event, `key=value` separated by one space, always the same keys in the same order:
//!
//! ```text
//! t=81234567 op=create result=ok uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 parent=mtty type=mtty-2 group=0
//! ```
//!
//! `t` is CLOCK_MONOTONIC in microseconds. `op` is `create`, `remove`, `open` or `close` (of `/dev/vfio/N`), `vanish`
//! or `unplug`. `result` is `ok`, `blocked` (a remove that waits for the holder; another `remove` line follows when it
//! is done) or the name of an errno. What is not known is `-`.

use std::fmt::Write as _;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

/// The journal stops growing here (some 500 000 events); its last line then is `op=journal-full`.
const LIMIT: usize = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    text: String,
    full: bool,
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) uuid: Option<&'a str>,
    pub(crate) parent: Option<&'a str>,
    pub(crate) type_id: Option<&'a str>,
    pub(crate) group: Option<u32>,
}

impl Journal {
    pub(crate) fn record(&mut self, op: &str, result: Result<(), Errno>, about: About<'_>) {
        match result {
            Ok(()) => self.line(op, "ok", about),
            Err(errno) => self.line(op, &format!("{errno:?}"), about),
        }
    }

    pub(crate) fn line(&mut self, op: &str, result: &str, about: About<'_>) {
        if self.full {
            return;
        }
        self.full = self.text.len() > LIMIT;
        let op = if self.full { "journal-full" } else { op };
        let or = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let (uuid, parent, type_id) = (or(about.uuid), or(about.parent), or(about.type_id));
        let group = about.group.map_or_else(|| "-".to_owned(), |group| group.to_string());
        let t = monotonic_us();
        // Writing to a String does not fail.
        let _ = writeln!(
            self.text,
            "t={t} op={op} result={result} uuid={uuid} parent={parent} type={type_id} group={group}"
        );
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn monotonic_us() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000)
}
