//! What libvirt says on the command line: `<hook> <object> <operation> <sub-operation> <extra>`.
//!
//! Invariant: arguments are read by position and nothing else, because a domain may be called `--help`; an operation
//! that is not known is nothing to do, because libvirt may learn new ones.

use std::ffi::OsString;

/// One call, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// An operation with nothing to do: 0 at once.
    Nothing,
    /// A domain is about to start; its XML is on stdin.
    Prepare {
        /// Its name, for messages only.
        domain: String,
    },
    /// A domain has ended, or did not start; its XML is on stdin.
    Release {
        /// Its name, for messages only.
        domain: String,
    },
    /// A libvirt daemon starts: it has not looked at its guests yet.
    DaemonStart,
}

/// A call that libvirt does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} arguments; libvirt calls: mdevkit-hook DOMAIN OPERATION SUB-OPERATION EXTRA, with the XML on stdin")]
pub struct CallError {
    count: usize,
}

impl Call {
    /// Reads all of argv, the program's name first.
    ///
    /// ```
    /// use mdevkit_hook::Call;
    /// let args = |words: [&str; 5]| words.map(Into::into);
    /// assert_eq!(
    ///     Call::parse(&args(["hook", "--help", "prepare", "begin", "-"])).unwrap(),
    ///     Call::Prepare { domain: "--help".to_owned() }
    /// );
    /// assert_eq!(Call::parse(&args(["hook", "vm1", "an-operation-of-2030", "begin", "-"])).unwrap(), Call::Nothing);
    /// ```
    ///
    /// # Errors
    /// Fewer arguments than an operation needs.
    pub fn parse(args: &[OsString]) -> Result<Self, CallError> {
        let [_, object, operation, rest @ ..] = args else {
            return Err(CallError {
                count: args.len().saturating_sub(1),
            });
        };
        let object = || object.to_string_lossy().into_owned();
        match (operation.to_str(), rest) {
            // Both daemons' and domains' hooks have a `start`; only the daemon's has no sub-operation.
            (Some("start"), [sub, extra, ..]) if sub == "-" && extra == "start" => Ok(Self::DaemonStart),
            (Some("prepare" | "release"), [] | [_]) => Err(CallError { count: args.len() - 1 }),
            (Some("prepare"), _) => Ok(Self::Prepare { domain: object() }),
            (Some("release"), _) => Ok(Self::Release { domain: object() }),
            _ => Ok(Self::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Call, CallError> {
        Call::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn every_operation_of_libvirt_is_known_by_position() {
        for (words, expected) in [
            (
                &["hook", "d", "prepare", "begin", "-"][..],
                Call::Prepare { domain: "d".to_owned() },
            ),
            (
                &["hook", "-", "prepare", "begin", "-"],
                Call::Prepare { domain: "-".to_owned() },
            ),
            (
                &["hook", "prepare", "release", "end", "failed"],
                Call::Release {
                    domain: "prepare".to_owned(),
                },
            ),
            (&["hook", "d", "start", "begin", "-"], Call::Nothing),
            (&["hook", "-", "start", "begin", "-"], Call::Nothing),
            (&["hook", "d", "started", "begin", "-"], Call::Nothing),
            (&["hook", "d", "stopped", "end", "-"], Call::Nothing),
            (&["hook", "d", "reconnect", "begin", "-"], Call::Nothing),
            (&["hook", "d", "migrate", "begin", "-"], Call::Nothing),
            (&["hook", "d", "restore", "begin", "-"], Call::Nothing),
            (&["hook", "d", "attach", "begin", "-"], Call::Nothing),
            (&["hook", "-", "start", "-", "start"], Call::DaemonStart),
            (&["hook", "-", "shutdown", "-", "shutdown"], Call::Nothing),
            (&["hook", "-", "reload", "begin", "SIGHUP"], Call::Nothing),
            (&["hook", "d", ""], Call::Nothing),
        ] {
            assert_eq!(parse(words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn fewer_arguments_are_told() {
        for words in [
            &[][..],
            &["hook"],
            &["hook", "d"],
            &["hook", "d", "prepare"],
            &["hook", "d", "release", "end"],
        ] {
            let error = parse(words).unwrap_err();
            assert_eq!(error.count, words.len().saturating_sub(1));
        }
    }
}
