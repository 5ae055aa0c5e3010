//! What libvirt hears: an exit status, and on failure one line.
//!
//! Invariant: the line has at most [`LINE`] bytes and no control character, and a broken pipe changes nothing.

use mdevkit_core::Code;
use std::io::Write;
use std::process::ExitCode;

/// The longest line, in bytes: it ends up whole in the error of `virsh start`.
pub const LINE: usize = 300;

/// The answer to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// 0, or what [`Code::exit_status`] says.
    pub status: u8,
    /// The line for stderr, without its newline.
    pub line: Option<String>,
}

impl Outcome {
    pub(crate) fn done() -> Self {
        Self { status: 0, line: None }
    }

    /// ```text
    /// mdevkit[E-FULL]: no V100DX-4Q left: 8 GPUs are full
    /// ```
    pub(crate) fn failed(code: Code, why: &str) -> Self {
        let mut line = format!("mdevkit[{code}]: {why}").replace(char::is_control, " ");
        if line.len() > LINE {
            let end = (0..=LINE - 3)
                .rev()
                .find(|end| line.is_char_boundary(*end))
                .unwrap_or(0);
            line.truncate(end);
            line.push_str("...");
        }
        Self {
            status: code.exit_status(),
            line: Some(line),
        }
    }

    /// Prints the line and gives the status to the caller.
    pub fn tell(self) -> ExitCode {
        if let Some(line) = self.line {
            // libvirt may have died, and its pipes with it: there is nobody left to tell.
            let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
        }
        ExitCode::from(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_short() {
        let outcome = Outcome::failed(Code::Xml, &format!("a\nb\u{1b}[31m{}", "ä".repeat(400)));
        let line = outcome.line.unwrap();
        assert!(line.starts_with("mdevkit[E-XML]: a b [31m"), "{line}");
        assert!(line.len() <= LINE && line.ends_with("..."));
    }
}
