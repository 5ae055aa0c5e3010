//! The fuzz targets: for each border that untrusted bytes cross, what must hold for any bytes.
//!
//! A target is a function of the input that panics when something does not hold; `fuzz_targets/` has a shim for each,
//! which libFuzzer calls. Inputs are text as far as possible, so that a find can be read: parts are separated by NUL,
//! which neither XML nor JSON may contain. A fixture as it is, without a second part, is an input too.
//!
//! Invariant: a target says nothing about what is refused, beyond that it is refused in order; what is accepted is
//! compared with a second opinion (roxmltree, serde_json, toml, or a few lines that are obviously right).

mod config;
mod edits;
mod hook;
mod ledger;
mod oracle;
mod pci_ids;
mod request;
mod room;
mod types;

pub use config::config;
pub use edits::{domain, edits};
pub use hook::{hook, swallow_the_log};
pub use ledger::ledger;
pub use pci_ids::pci_ids;
pub use request::request;
pub use room::room;
pub use types::types;

/// The input's parts, separated by NUL: a document, and what is done with it.
fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == 0)
}

/// A message for people is one line: no line end, no control character that a terminal would obey.
fn is_one_line(message: &str) -> bool {
    !message.contains(char::is_control)
}
