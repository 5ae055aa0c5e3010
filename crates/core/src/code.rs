//! The stable codes of refusals and failures: what a person searches for and a program matches on.
//!
//! Invariant: a code, once released, keeps its meaning. The hook's one line on stderr is `mdevkit[CODE]: ...`.

use std::fmt;

/// Why something was not done.
///
/// ```
/// assert_eq!(mdevkit_core::Code::Full.to_string(), "E-FULL");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// No parent has room for the type.
    Full,
    /// No parent offers the type.
    Type,
    /// A GPU offers the type, and its settings or its state keep it from being made there: cordoned, not enabled,
    /// passed through, MIG without instances, virtual functions off.
    Blocked,
    /// Only GPUs on other NUMA nodes than the domain's could make it.
    Numa,
    /// A vendor's rule on what one guest may have.
    Rule,
    /// The type's name means more than one type here.
    Ambiguous,
    /// The type's `device_api` is not the hostdev's `model`.
    Model,
    /// The requests were injected for another domain: a clone.
    Clone,
    /// The device belongs to another domain.
    Owned,
    /// A device of that UUID, made by somebody else, is of another type.
    Foreign,
    /// The device, or its removal, is still in use.
    Busy,
    /// A request has no hostdev.
    NoHostdev,
    /// A hostdev with our alias has no request.
    NoRequest,
    /// The domain XML cannot be read.
    Xml,
    /// A request is not valid.
    Request,
    /// The configuration cannot be read.
    Config,
    /// The ledger cannot be read or written.
    Ledger,
    /// The kernel's files say something unexpected, or the kernel refused.
    Host,
    /// A lock was not had in time.
    Lock,
    /// The hook was called in a way that libvirt does not.
    Usage,
}

impl Code {
    /// The code as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "E-FULL",
            Self::Type => "E-TYPE",
            Self::Blocked => "E-BLOCKED",
            Self::Numa => "E-NUMA",
            Self::Rule => "E-RULE",
            Self::Ambiguous => "E-AMBIGUOUS",
            Self::Model => "E-MODEL",
            Self::Clone => "E-CLONE",
            Self::Owned => "E-OWNED",
            Self::Foreign => "E-FOREIGN",
            Self::Busy => "E-BUSY",
            Self::NoHostdev => "E-NOHOSTDEV",
            Self::NoRequest => "E-NOREQUEST",
            Self::Xml => "E-XML",
            Self::Request => "E-REQUEST",
            Self::Config => "E-CONFIG",
            Self::Ledger => "E-LEDGER",
            Self::Host => "E-HOST",
            Self::Lock => "E-LOCK",
            Self::Usage => "E-USAGE",
        }
    }

    /// The exit status that programs end with: 1 refused, 2 usage, 3 bad input, 4 host error.
    ///
    /// ```
    /// use mdevkit_core::Code;
    /// assert_eq!(Code::Full.exit_status(), 1);
    /// assert_eq!(Code::Xml.exit_status(), 3);
    /// ```
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Full
            | Self::Type
            | Self::Blocked
            | Self::Numa
            | Self::Rule
            | Self::Ambiguous
            | Self::Model
            | Self::Clone
            | Self::Owned
            | Self::Foreign
            | Self::Busy
            | Self::NoHostdev
            | Self::NoRequest => 1,
            Self::Usage => 2,
            Self::Xml | Self::Request => 3,
            Self::Config | Self::Ledger | Self::Host | Self::Lock => 4,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
