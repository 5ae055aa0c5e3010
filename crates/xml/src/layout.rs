//! How a file is laid out around a place: its line ends, its indentation, its step.
//!
//! Invariant: new lines look like their neighbours. Where the neighbours share a line, so does what is inserted; a step
//! is measured, never assumed (tabs, 3 spaces, none at all).

use crate::map::{Element, Map};
use crate::text;
use std::ops::Range;

/// The most bytes of an indentation that are copied: each new line gets one.
const INDENT: usize = 256;

/// How a new child of some element is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What begins a line; none: all on one line.
    newline: Option<&'static str>,
    indent: String,
    step: String,
}

impl Layout {
    /// For a child of `parent` that goes next to `sibling`.
    pub(crate) fn of_child(map: &Map<'_>, parent: &Element<'_>, sibling: Option<&Range<usize>>) -> Self {
        let text = map.text;
        let above = line_start(text, parent.span.start);
        let beside = sibling.map(|sibling| line_start(text, sibling.start));
        let step = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .filter(|step| !step.is_empty())
                .map(str::to_owned)
        };
        let common = || {
            let root = line_start(text, map.root.span.start);
            let child = map
                .root
                .first_child
                .as_ref()
                .and_then(|child| line_start(text, child.start));
            match (child, root) {
                (Some(child), Some(root)) => step(child.indent, root.indent),
                _ => None,
            }
        };
        match (beside, above) {
            (Some(Some(beside)), above) => Self {
                newline: beside.newline,
                indent: beside.indent.to_owned(),
                step: above
                    .and_then(|above| step(beside.indent, above.indent))
                    .or_else(common)
                    .unwrap_or("  ".to_owned()),
            },
            (None, Some(above)) => {
                let step = common().unwrap_or_else(|| if above.indent.contains('\t') { "\t" } else { "  " }.to_owned());
                Self {
                    newline: above.newline,
                    indent: format!("{}{step}", above.indent),
                    step,
                }
            }
            (Some(None), _) | (None, None) => Self {
                newline: None,
                indent: String::new(),
                step: String::new(),
            },
        }
    }

    /// The line's beginning for something `depth` steps inside the child.
    pub(crate) fn lead(&self, depth: usize) -> String {
        match self.newline {
            Some(newline) => format!("{newline}{}{}", self.indent, self.step.repeat(depth)),
            None => String::new(),
        }
    }

    /// The lead of the parent's end tag.
    pub(crate) fn lead_outside(&self) -> String {
        match self.newline {
            Some(newline) => format!("{newline}{}", self.indent.strip_suffix(&self.step).unwrap_or_default()),
            None => String::new(),
        }
    }

    /// Lines as they are inserted behind a tag: each with its lead.
    pub(crate) fn block(&self, lines: &[Line]) -> String {
        lines
            .iter()
            .map(|line| format!("{}{}", self.lead(line.depth), line.text))
            .collect()
    }
}

/// One tag or element, and how many steps inside.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) depth: usize,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug)]
struct LineStart<'a> {
    newline: Option<&'static str>,
    indent: &'a str,
}

/// The line end and the indentation before something, if it is the first on its line.
fn line_start(text: &str, start: usize) -> Option<LineStart<'_>> {
    let head = text.get(..start)?;
    let before = head.trim_end_matches([' ', '\t']);
    let indent = head.get(before.len()..)?;
    let indent = indent.get(..INDENT).unwrap_or(indent);
    if before.ends_with('\n') {
        Some(LineStart {
            newline: Some(if before.ends_with("\r\n") { "\r\n" } else { "\n" }),
            indent,
        })
    } else if text::body(before).is_empty() {
        // The first line: the next one tells how lines end here.
        let first = text
            .find('\n')
            .map(|at| text.get(..at).is_some_and(|line| line.ends_with('\r')));
        let newline = first.map(|crlf| if crlf { "\r\n" } else { "\n" });
        Some(LineStart { newline, indent })
    } else {
        None
    }
}

/// Where something new goes behind a tag that ends at `at`: a comment that follows on the same line stays with it.
pub(crate) fn behind(text: &str, at: usize) -> usize {
    let mut at = at;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        // The end is looked for behind the whole opening: "<!-->" opens a comment and does not end it.
        let ends = |open: &str, close: &str| {
            let inner = trimmed.strip_prefix(open)?;
            inner.find(close).map(|at| open.len() + at + close.len())
        };
        let end = ends("<!--", "-->").or_else(|| ends("<?", "?>"));
        match end {
            Some(end) => at += rest.len() - trimmed.len() + end,
            None => return at,
        }
    }
}

/// A span with the white space before it: what [`Layout::block`] put there.
pub(crate) fn with_lead(text: &str, span: &Range<usize>) -> Range<usize> {
    let head = text.get(..span.start).unwrap_or_default();
    head.trim_end_matches([' ', '\t', '\r', '\n']).len()..span.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_on_the_same_line_are_stepped_over() {
        for (rest, stepped) in [
            ("", ""),
            ("\n<!-- next line -->", ""),
            (" text", ""),
            (" <!-- a --> <b/>", " <!-- a -->"),
            ("\t<?pi?><!-- two\nlines -->\n", "\t<?pi?><!-- two\nlines -->"),
            ("<!-->- <devices/> -->x", "<!-->- <devices/> -->"),
        ] {
            assert_eq!(behind(&format!("<a/>{rest}"), 4), 4 + stepped.len(), "{rest:?}");
        }
    }
}
