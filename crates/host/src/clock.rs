//! Time: how long something may still take, and what time it is.
//!
//! Invariant: every wait ends at a [`Deadline`], and a deadline made from another never ends later.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time that a wait does not outlast.
///
/// ```
/// use mdevkit_host::Deadline;
/// use std::time::Duration;
/// let run = Deadline::after(Duration::from_millis(50));
/// assert!(run.sooner(Duration::from_secs(60)).remaining() <= Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// From now on.
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// `wait` from now on, but not later than this one.
    pub fn sooner(self, wait: Duration) -> Self {
        self.min(Self::after(wait))
    }

    /// What is left; zero when it is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Sleeps that double, for polling what cannot be waited for.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// Sleeps, at most until the deadline; `false` when that is over already.
    pub(crate) fn sleep(&mut self, deadline: Deadline) -> bool {
        let left = deadline.remaining();
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(self.longest);
        true
    }
}

/// Seconds since 1970; 0 on a clock before that.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
