//! Where in a document something is wrong, and how that is shown to a person.
//!
//! ```text
//!   vm.xml:2:11: </nam> closes <name>        file, line and column as compilers and editors write them
//!     |
//!   2 |   <name>vm</nam>                       the line, as much of it as fits
//!     |           ^ expected </name>
//! ```
//! Invariant: lines and columns count from 1, columns in characters; what is shown of a line is bounded and holds no
//! control character.

use crate::error::XmlError;
use std::fmt;

/// How many characters of a source line a snippet shows on each side of the caret.
const SNIPPET: usize = 60;

/// A place in a document.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// What is shown of the line, and how many characters of it stand before the place.
    shown: String,
    before: usize,
}

impl Place {
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (head, tail) = text.split_at(offset);
        let line_start = head.rfind('\n').map_or(0, |at| at + 1);
        let line_head = head
            .get(line_start..)
            .unwrap_or_default()
            .trim_start_matches('\u{feff}');
        let column = line_head.chars().count() + 1;
        let skipped = column.saturating_sub(1 + SNIPPET);
        let mut shown: String = if skipped > 0 { "...".to_owned() } else { String::new() };
        shown.extend(line_head.chars().skip(skipped).map(printable));
        let before = shown.chars().count();
        shown.extend(
            tail.split('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .take(SNIPPET)
                .map(printable),
        );
        shown.truncate(shown.trim_end().len());
        Self {
            line: head.bytes().filter(|b| *b == b'\n').count() + 1,
            column,
            shown,
            before,
        }
    }

    /// The line with a caret below.
    pub(crate) fn snippet(&self) -> String {
        format!("{}\n{}^", self.shown, " ".repeat(self.before))
    }
}

/// A control character would move the cursor of the terminal that shows it.
pub(crate) fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// An error as a person at a terminal reads it, with the name of the file: [`XmlError::in_file`].
#[derive(Clone, Copy)]
pub struct Report<'e> {
    error: &'e XmlError,
    file: &'e str,
}

impl XmlError {
    /// The error in that file: where, what, the line itself with a caret, and what was expected. Several lines, without
    /// a line end behind the last.
    ///
    /// The line is the document's own text: this is for a terminal, not for a log, for the line may hold a password.
    ///
    /// ```
    /// let error = mdevkit_xml::read(b"<domain>\n  <name>vm</nam>\n</domain>").unwrap_err();
    /// assert_eq!(error.in_file("vm.xml").to_string(), "\
    /// vm.xml:2:11: </nam> closes <name>
    ///   |
    /// 2 |   <name>vm</nam>
    ///   |           ^ expected </name>");
    /// assert_eq!(error.code().to_string(), "E-XML");
    /// ```
    pub fn in_file<'e>(&'e self, file: &'e str) -> Report<'e> {
        Report { error: self, file }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file: String = self.file.chars().map(printable).collect();
        let message = self.error.message();
        let expected = self.error.expected();
        let Some(place) = self.error.place() else {
            write!(f, "{file}: {message}")?;
            return match expected {
                Some(expected) => write!(f, "\n  expected {expected}"),
                None => Ok(()),
            };
        };
        write!(f, "{file}:{}:{}: {message}", place.line, place.column)?;
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        if place.shown.is_empty() {
            // A caret below an empty line shows nothing.
            return match expected {
                Some(expected) => write!(f, "\n{margin} = expected {expected}"),
                None => Ok(()),
            };
        }
        write!(
            f,
            "\n{margin} |\n{number} | {}\n{margin} | {}^",
            place.shown,
            " ".repeat(place.before)
        )?;
        match expected {
            Some(expected) => write!(f, " expected {expected}"),
            None => Ok(()),
        }
    }
}

/// Without the document's line.
impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("error", self.error)
            .field("file", &self.file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = "\u{feff}ab\né<x\r\n";
        for (offset, line, column) in [
            (0, 1, 1),
            (3, 1, 1),
            (5, 1, 3),
            (6, 2, 1),
            (8, 2, 2),
            (12, 3, 1),
            (99, 3, 1),
        ] {
            let place = Place::of(text, offset);
            assert_eq!((place.line, place.column), (line, column), "offset {offset}");
        }
    }
}
