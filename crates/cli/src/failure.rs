//! Why a command did not do what it was asked, and what a person reads then.
//!
//! ```text
//! mdevkit[E-FULL]: no V100DX-4Q left: 2 GPUs run another size (nvidia-194)
//!   0000:06:00.0: runs another size (nvidia-194)        with -v: each reason
//!   0000:07:00.0: runs another size (nvidia-194)
//!   would fit if vm3 stopped (0000:06:00.0)
//! ```

use crate::exit::Exit;
use crate::out::note;
use mdevkit_core::{Code, Refusal, WantsError};
use mdevkit_host::HostError;

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    code: Code,
    message: String,
    details: Vec<String>,
    /// Why each GPU is not the place: for those who ask for more.
    reasons: Vec<String>,
}

impl Failure {
    /// A failure whose exit status is its code's.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::of(code),
            code,
            message: message.into(),
            details: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// The machine said something unexpected.
    pub(crate) fn host(message: impl Into<String>) -> Self {
        Self::new(Code::Host, message)
    }

    /// Adds lines that are shown below the first.
    pub(crate) fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Adds lines that are shown to those who ask for more.
    fn because(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// Puts `FILE: ` before the message.
    pub(crate) fn within(mut self, file: &str) -> Self {
        self.message = format!("{file}: {}", self.message);
        self
    }

    /// Its stable code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Its one line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says it on stderr.
    pub(crate) fn report(&self, verbose: bool) {
        note(format!("mdevkit[{}]: {}", self.code, self.message));
        let reasons = self.reasons.iter().filter(|_| verbose);
        for detail in reasons.chain(&self.details) {
            note(format!("  {detail}"));
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let mut failure = Self::new(error.code(), error.to_string());
        if error.is_refusal() {
            failure.exit = Exit::Refused;
        }
        match &error {
            HostError::Refused(refusal) => failure.because(refusal.reasons.iter().map(ToString::to_string)),
            _ => failure,
        }
    }
}

impl From<&WantsError> for Failure {
    fn from(error: &WantsError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.code, refusal.to_string()).because(refusal.reasons.iter().map(ToString::to_string))
    }
}
