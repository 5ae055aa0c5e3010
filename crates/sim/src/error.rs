//! What can go wrong before there is a host to look at.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why a simulated host could not be made, changed or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// No such board.
    #[error("no board '{name}'; known boards: {known}")]
    UnknownBoard {
        /// What was asked for.
        name: String,
        /// The names that exist, comma separated.
        known: String,
    },
    /// A count that the board does not allow.
    #[error("board '{spec}': the count must be a number from 1 to {most}")]
    BoardCount {
        /// The whole specification.
        spec: String,
        /// The largest count.
        most: u32,
    },
    /// Two of a board that a kernel has only once.
    #[error("board '{name}' is given twice; a kernel has it once")]
    BoardTwice {
        /// The board.
        name: String,
    },
    /// A board file that is wrong: a defect of this crate.
    #[error("board file '{name}': {why}")]
    BoardFile {
        /// The board.
        name: String,
        /// What the parser says.
        why: String,
    },
    /// More boards than PCI buses.
    #[error("no free PCI bus for board '{name}'; ask for fewer GPUs")]
    NoBus {
        /// The board.
        name: String,
    },
    /// A simulated host is already mounted there.
    #[error("{} already is a simulated host; stop that one first or choose another directory", path.display())]
    Mounted {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} exists and is not empty; choose an empty or a new directory", path.display())]
    NotEmpty {
        /// The directory in the way.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The host is gone from the directory, but something still uses it.
    #[error("{}: unmounted, but still in use by another process; it goes when that process lets go", path.display())]
    StillInUse {
        /// The directory.
        path: PathBuf,
    },
    /// Something else is mounted below the directory, so nothing there is deleted.
    #[error("{} is mounted below the simulated host; unmount it, then remove the directory by hand", path.display())]
    ForeignMount {
        /// That mount point.
        path: PathBuf,
    },
    /// No such kernel.
    #[error("no kernel '{text}'; known kernels: <=5.2, 5.3-5.18, 6.1+, or a version of theirs")]
    UnknownKernel {
        /// What was asked for.
        text: String,
    },
    /// A script that cannot be run below this root.
    #[error("replay: line {line}: {why}")]
    Replay {
        /// The script's line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A control line that says nothing.
    #[error("control: {why}: '{line}'")]
    Control {
        /// The line.
        line: String,
        /// What is wrong with it.
        why: String,
    },
}

impl SimError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> SimError {
        let path = path.into();
        move |source| SimError::Io { doing, path, source }
    }

    pub(crate) fn control(line: impl Into<String>, why: impl Into<String>) -> SimError {
        SimError::Control {
            line: line.into(),
            why: why.into(),
        }
    }
}

/// An errno by its name (`EIO`).
pub(crate) fn errno_by_name(name: &str) -> Option<Errno> {
    (1..=133)
        .map(Errno::from_raw)
        .find(|errno| *errno != Errno::UnknownErrno && format!("{errno:?}") == name)
}
