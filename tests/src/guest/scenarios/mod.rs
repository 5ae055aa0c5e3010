//! The table of scenarios. Each is a story: given a clean host, when an operator (or fate) does this, then that holds.
//!
//! | file | about |
//! |---|---|
//! | `life` | starting and stopping, all the ways a domain ends |
//! | `requests` | what the domain asks for, and what prepare makes of request and hostdev |
//! | `encounters` | a device of that UUID exists already |
//! | `accidents` | libvirtd or the hook dies, devices vanish, other hooks fail |
//! | `surroundings` | who runs it, under which name, on what host |

mod accidents;
mod encounters;
mod life;
mod requests;
mod surroundings;

use crate::Outcome;
use crate::lab::Lab;

/// When a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// With every test run.
    Quick,
    /// In the long run only.
    All,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line: what would be broken if it failed.
    pub(crate) proves: &'static str,
    pub(crate) part: Part,
    /// Scenarios that want the same memory share one boot.
    pub(crate) memory_mib: u32,
    pub(crate) run: fn(&mut Lab) -> Outcome,
}

const fn quick(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Outcome) -> Scenario {
    Scenario {
        name,
        proves,
        part: Part::Quick,
        memory_mib: 3072,
        run,
    }
}

const fn slow(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Outcome) -> Scenario {
    Scenario {
        part: Part::All,
        ..quick(name, proves, run)
    }
}

/// All of them, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    quick(
        "no-request",
        "a domain without a request starts and leaves no trace of us",
        life::no_request,
    ),
    quick(
        "start-destroy",
        "an injected domain starts with its device, and destroy leaves none behind",
        life::start_destroy,
    ),
];
