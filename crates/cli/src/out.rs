//! All that the program says goes through here.
//!
//! Invariant: a closed stdout is no panic and no error (`mdevkit types | head -1`), and one on stderr is ignored.

use crate::failure::Failure;
use comfy_table::{ContentArrangement, Table, presets};
use std::io::{self, ErrorKind, Write};

/// Where answers go (stdout), and whether as JSON.
#[derive(Debug)]
pub(crate) struct Out {
    /// Answers are JSON.
    pub(crate) json: bool,
    /// Say more on stderr.
    pub(crate) verbose: bool,
}

impl Out {
    /// Writes bytes to stdout as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::host(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Writes one line to stdout.
    pub(crate) fn line(&self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(format!("{}\n", line.as_ref()).as_bytes())
    }

    /// Writes a value as JSON to stdout, for people who look at it too.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => Err(Failure::host(format!("cannot write JSON: {error}"))),
        }
    }

    /// Writes a table to stdout; `none` is said on stderr instead of an empty one.
    pub(crate) fn table<const N: usize>(
        &self,
        head: [&str; N],
        rows: Vec<[String; N]>,
        none: &str,
    ) -> Result<(), Failure> {
        if rows.is_empty() {
            note(none);
            return Ok(());
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head).add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.line(
            table
                .lines()
                .map(|line| line.trim_end().to_owned())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// Writes one line to stderr when `-v` was given.
    pub(crate) fn detail(&self, line: impl AsRef<str>) {
        if self.verbose {
            note(line);
        }
    }
}

/// A text of somebody else's (a domain's name, a driver's) in one line that no terminal acts on.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Line separators, and marks that turn the direction of all that follows.
        let acts = matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || acts {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// `1 device`, `3 devices`.
pub(crate) fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// Writes one line to stderr.
pub(crate) fn note(line: impl AsRef<str>) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(io::stderr(), "{}", line.as_ref());
}
