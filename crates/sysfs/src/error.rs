//! What goes wrong when the kernel's files are read.
//!
//! Invariant: a message is one line, names the file, and shows at most 64 escaped characters of what the file says.

use mdevkit_core::ValueError;
use std::io;
use std::path::{Path, PathBuf};

/// A file that could not be read, or that does not say what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysfsError {
    /// Opening or reading failed.
    #[error("cannot read {path}: {source}{}", way_out(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Listing a directory failed.
    #[error("cannot list {path}: {source}{}", way_out(source))]
    List {
        /// The directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A directory with more entries than any host has.
    #[error("{path} has more than {limit} entries: nothing of it is used")]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// The most that are read.
        limit: usize,
    },
    /// Reading a symbolic link failed.
    #[error("cannot read the link {path}: {source}{}", way_out(source))]
    Link {
        /// The link.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A link that does not lead where the kernel's links lead.
    #[error("the link {path} leads to \"{target}\", {expected}")]
    Target {
        /// The link.
        path: PathBuf,
        /// Where it leads, shortened and escaped.
        target: String,
        /// What a good target is.
        expected: &'static str,
    },
    /// An attribute of a page or more; the kernel's are shorter.
    #[error("{path} says more than {limit} bytes: it is not an attribute of sysfs")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// An attribute that is not UTF-8.
    #[error("{path} is not text (UTF-8)")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// An attribute that is not the number it should be.
    #[error("attribute {path} says \"{says}\", expected {expected}")]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// What it says, shortened and escaped.
        says: String,
        /// What a good content is.
        expected: &'static str,
    },
    /// An attribute that is not the word it should be.
    #[error("attribute {path}: {source}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Why it is not.
        source: ValueError,
    },
    /// The VFIO group could not be opened, for a reason other than being in use.
    #[error("cannot open {path}: {source}{}", way_out(source))]
    Group {
        /// The node.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl SysfsError {
    /// The file, directory, link or node that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::List { path, .. }
            | Self::TooMany { path, .. }
            | Self::Link { path, .. }
            | Self::Target { path, .. }
            | Self::TooLong { path, .. }
            | Self::NotText { path }
            | Self::NotANumber { path, .. }
            | Self::Value { path, .. }
            | Self::Group { path, .. } => path,
        }
    }
}

/// What a person can do about an I/O error; empty where nothing general is known.
fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; run as root",
        _ => "",
    }
}

/// At most 64 characters of `text` with control characters escaped, and `...` where more followed.
pub(crate) fn excerpt(text: &str) -> String {
    const LIMIT: usize = 64;
    let mut shown: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LIMIT).is_some() {
        shown.push_str("...");
    }
    shown
}
