//! The `opened` attribute: what an injection had to open or create, so that an ejection can close it again.
//!
//! Invariant: words are added at the end and each is taken away by the ejection that undoes it, so that an injection
//! and its ejection leave the attribute as it was. libvirt keeps attributes of metadata as they are.

use mdevkit_core::Slot;
use std::fmt;

/// An element that may have been opened or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Domain,
    Metadata,
    Devices,
    Requests,
}

/// What was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It was not there.
    Created,
    /// It was `<a/>`.
    Tag,
    /// It was `<a></a>`.
    Pair,
    /// It held white space or comments, and stays as it is.
    Kept,
}

/// One word of the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Opened(Which, How),
    /// `for` was absent when this slot was injected.
    For(Slot),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(which, how) => {
                let which = match which {
                    Which::Domain => "domain",
                    Which::Metadata => "metadata",
                    Which::Devices => "devices",
                    Which::Requests => "requests",
                };
                let how = match how {
                    How::Created => "created",
                    How::Tag => "tag",
                    How::Pair => "pair",
                    How::Kept => "kept",
                };
                write!(f, "{which}={how}")
            }
            Self::For(slot) => write!(f, "for={slot}"),
        }
    }
}

/// The words, in order. Words of a later version are carried along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// Reads the attribute's value; none when it is not one that we wrote.
    pub(crate) fn read(raw: &str) -> Option<Self> {
        let words: Vec<String> = raw.split(' ').map(str::to_owned).collect();
        let word = |word: &String| {
            word.split_once('=').is_some_and(|(left, right)| {
                let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
                plain(left) && plain(right)
            })
        };
        words.iter().all(word).then_some(Self(words))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, note: Note) {
        self.0.push(note.to_string());
    }

    /// What was done to an element, last.
    pub(crate) fn how(&self, which: Which) -> Option<How> {
        let known =
            [How::Created, How::Tag, How::Pair, How::Kept].map(|how| (Note::Opened(which, how).to_string(), how));
        let how = |word: &String| known.iter().find(|(note, _)| note == word).map(|(_, how)| *how);
        self.0.iter().rev().find_map(how)
    }

    /// Takes a word away, the last of its kind; whether there was one.
    pub(crate) fn remove(&mut self, note: Note) -> bool {
        let note = note.to_string();
        let found = self.0.iter().rposition(|word| *word == note);
        if let Some(at) = found {
            self.0.remove(at);
        }
        found.is_some()
    }

    /// Whether `for` came with an injection.
    pub(crate) fn has_for(&self) -> bool {
        self.0.iter().any(|word| word.starts_with("for="))
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_and_go_and_unknown_ones_stay() {
        let mut notes = Notes::read("later=thing devices=tag").unwrap();
        notes.add(Note::Opened(Which::Devices, How::Kept));
        assert_eq!(notes.how(Which::Devices), Some(How::Kept));
        assert!(notes.remove(Note::Opened(Which::Devices, How::Kept)));
        assert_eq!(notes.how(Which::Devices), Some(How::Tag));
        assert_eq!(notes.to_string(), "later=thing devices=tag");
        for damaged in ["", " ", "a=b  c=d", "a", "a=", "a=b ", "a=&amp;"] {
            assert_eq!(Notes::read(damaged), None, "{damaged:?}");
        }
    }
}
