//! Waiting with a bound: nothing in the lab sleeps for a fixed time where it can look.

use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long anything may take that is not refused: emulation inside emulation is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds`, or fails naming `what`.
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) -> Outcome {
    within(PATIENCE, what, holds)
}

/// The same with another bound.
pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Outcome {
    let deadline = Instant::now() + limit;
    while !holds() {
        if Instant::now() > deadline {
            return Err(format!("waited {} s in vain: {what}", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
