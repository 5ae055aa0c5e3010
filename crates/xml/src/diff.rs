//! An edit as a unified diff, to be looked at before it is applied.
//!
//! Invariant: `patch` makes the output of the input with it. The splices say what changed, so nothing is searched for:
//! the time is that of reading the document once.

use crate::edit::{Edited, Splice};
use std::ops::Range;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// Lines of the input and what stands there in the output.
struct Change<'a> {
    /// The first line, from 0.
    at: usize,
    old: Vec<&'a str>,
    new: Vec<String>,
}

impl Edited {
    /// What changed, as a unified diff of `before` (the document that was edited) under these two names; empty when
    /// nothing did.
    ///
    /// It shows lines of the document around each change, and they may hold passwords: it is for a terminal, not for a
    /// log. A document that is not the one that was edited gives `None`.
    ///
    /// ```
    /// use mdevkit_xml::{NewDevice, inject};
    /// let xml = b"<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices/>\n</domain>\n";
    /// let diff = inject(xml, &[NewDevice::new("V100DX-4Q".parse()?)])?.diff(xml, "vm.xml", "vm.xml").unwrap();
    /// assert!(diff.starts_with("--- vm.xml\n+++ vm.xml\n@@ -1,4 +1,"));
    /// assert!(diff.contains("\n-  <devices/>\n+  <devices>\n+    <hostdev mode='subsystem'"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(&self, before: &[u8], old_name: &str, new_name: &str) -> Option<String> {
        let text = std::str::from_utf8(before).ok()?;
        if !self.is_of(text) {
            return None;
        }
        let lines = Lines::of(text);
        let changes = changes(text, &lines, self.splices())?;
        if changes.is_empty() {
            return Some(String::new());
        }
        let mut diff = format!("--- {old_name}\n+++ {new_name}\n");
        let mut ahead = 0_isize;
        for hunk in hunks(&changes) {
            ahead = write_hunk(&mut diff, text, &lines, hunk, ahead)?;
        }
        Some(diff)
    }

    /// Whether this is the document that was edited.
    fn is_of(&self, before: &str) -> bool {
        let mut rest = self.bytes();
        let mut at = 0;
        let mut take = |part: Option<&str>| {
            let found = part.and_then(|part| rest.strip_prefix(part.as_bytes()));
            found.map(|left| rest = left).is_some()
        };
        let kept = self.splices().iter().all(|splice| {
            let same = take(before.get(at..splice.range.start)) && take(Some(&splice.text));
            at = splice.range.end;
            same
        });
        kept && take(before.get(at..)) && rest.is_empty()
    }
}

/// Where each line begins; the end of the document is one more.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(at, _)| at + 1);
        let mut starts = vec![0];
        starts.extend(ends);
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        Self(starts)
    }

    fn count(&self) -> usize {
        self.0.len() - 1
    }

    /// The line that an offset is in; behind a last line that is ended, none: the count.
    fn at(&self, offset: usize) -> usize {
        let after = self.0.partition_point(|start| *start <= offset);
        let line = after.saturating_sub(1);
        // Without a line end the document's end belongs to its last line.
        line.min(self.count())
    }

    /// The bytes of lines.
    fn bytes(&self, lines: Range<usize>) -> Option<Range<usize>> {
        let last = self.0.last()?;
        Some(*self.0.get(lines.start)?..*self.0.get(lines.end).unwrap_or(last))
    }
}

/// Splices as changes of whole lines, those of the same line together.
fn changes<'a>(text: &'a str, lines: &Lines, splices: &[Splice]) -> Option<Vec<Change<'a>>> {
    let mut regions: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (index, splice) in splices.iter().enumerate() {
        let unended = !text.is_empty() && !text.ends_with('\n');
        let line = |offset| {
            let line = lines.at(offset);
            if unended && line == lines.count() {
                line - 1
            } else {
                line
            }
        };
        let touched = line(splice.range.start)..line(splice.range.end) + 1;
        match regions.last_mut() {
            Some((region, these)) if touched.start < region.end => {
                region.end = region.end.max(touched.end);
                these.end = index + 1;
            }
            _ => regions.push((touched, index..index + 1)),
        }
    }
    let mut changes = Vec::new();
    for (region, these) in regions {
        let span = lines.bytes(region.clone())?;
        let mut new = String::new();
        let mut at = span.start;
        for splice in splices.get(these)? {
            new.push_str(text.get(at..splice.range.start)?);
            new.push_str(&splice.text);
            at = splice.range.end;
        }
        new.push_str(text.get(at..span.end)?);
        let mut old: Vec<&str> = text.get(span)?.split_inclusive('\n').collect();
        let mut new: Vec<String> = new.split_inclusive('\n').map(str::to_owned).collect();
        let same = old
            .iter()
            .zip(&new)
            .take_while(|(old, new)| **old == new.as_str())
            .count();
        old.drain(..same);
        new.drain(..same);
        while old.last().is_some_and(|old| new.last().is_some_and(|new| old == new)) {
            old.pop();
            new.pop();
        }
        changes.push(Change {
            at: region.start + same,
            old,
            new,
        });
    }
    Some(changes)
}

/// Changes whose contexts touch are shown together.
fn hunks<'c, 'a>(changes: &'c [Change<'a>]) -> Vec<&'c [Change<'a>]> {
    let mut hunks: Vec<Range<usize>> = Vec::new();
    let mut end = 0;
    for (index, change) in changes.iter().enumerate() {
        match hunks.last_mut() {
            Some(hunk) if change.at <= end + 2 * CONTEXT => hunk.end = index + 1,
            _ => hunks.push(index..index + 1),
        }
        end = change.at + change.old.len();
    }
    hunks.into_iter().filter_map(|hunk| changes.get(hunk)).collect()
}

/// Writes a hunk; `ahead` is by how many lines the output is longer up to it, and then behind it.
fn write_hunk(diff: &mut String, text: &str, lines: &Lines, hunk: &[Change<'_>], ahead: isize) -> Option<isize> {
    let (first, last) = (hunk.first()?, hunk.last()?);
    let start = first.at.saturating_sub(CONTEXT);
    let end = (last.at + last.old.len() + CONTEXT).min(lines.count());
    let removed: usize = hunk.iter().map(|change| change.old.len()).sum();
    let added: usize = hunk.iter().map(|change| change.new.len()).sum();
    let old_count = end - start;
    let new_count = old_count - removed + added;
    // A range without lines names the line before it.
    let shown = |start: usize, count: usize| if count == 0 { start } else { start + 1 };
    let new_start = start.checked_add_signed(ahead)?;
    diff.push_str(&format!(
        "@@ -{},{old_count} +{},{new_count} @@\n",
        shown(start, old_count),
        shown(new_start, new_count)
    ));
    let mut at = start;
    for change in hunk {
        put_all(diff, ' ', kept(text, lines, at..change.at)?);
        put_all(diff, '-', change.old.iter().copied());
        put_all(diff, '+', change.new.iter().map(String::as_str));
        at = change.at + change.old.len();
    }
    put_all(diff, ' ', kept(text, lines, at..end)?);
    Some(ahead + isize::try_from(added).ok()? - isize::try_from(removed).ok()?)
}

fn kept<'a>(text: &'a str, lines: &Lines, range: Range<usize>) -> Option<impl Iterator<Item = &'a str>> {
    Some(text.get(lines.bytes(range)?)?.split_inclusive('\n'))
}

fn put_all<'l>(diff: &mut String, sign: char, lines: impl Iterator<Item = &'l str>) {
    for line in lines {
        diff.push(sign);
        diff.push_str(line);
        if !line.ends_with('\n') {
            diff.push_str("\n\\ No newline at end of file\n");
        }
    }
}
