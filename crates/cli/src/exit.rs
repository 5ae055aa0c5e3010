//! Exit codes: what a script may rely on.
//!
//! Invariant: every way out of the program is one of these.

use mdevkit_core::Code;

/// What the program ends with.
///
/// ```
/// use mdevkit::Exit;
/// assert_eq!(Exit::Refused as u8, 1);
/// assert_eq!(Exit::HostError as u8, 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Done = 0,
    /// It could be done elsewhere or later: no room, in use, owned by somebody else.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file, a request or a value in it is wrong.
    BadInput = 3,
    /// The host's files, the ledger or the kernel said something unexpected.
    HostError = 4,
}

impl Exit {
    /// How a failure with this code ends: [`Code::exit_status`].
    pub(crate) fn of(code: Code) -> Self {
        match code.exit_status() {
            1 => Self::Refused,
            2 => Self::Usage,
            3 => Self::BadInput,
            _ => Self::HostError,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
