//! What is explored: scenarios, and for each mistake the scenario that finds it.

use super::search::{Found, search};
use super::steps::{Flaw, Rules, Wants};
use super::world::{Budget, World};

const ONE: Wants = Wants { devices: 0b01, kind: 0 };
const OTHER_TYPE: Wants = Wants { kind: 1, ..ONE };
const OTHER: Wants = Wants { devices: 0b10, ..ONE };
const BOTH: Wants = Wants { devices: 0b11, ..ONE };

const NOTHING: Budget = Budget {
    starts: [0, 0],
    kills: 0,
    daemon_deaths: 0,
    reconciles: 0,
    ticks: 0,
    reboots: 0,
    foreign: 0,
    full: 0,
};
const TWICE: Budget = Budget {
    starts: [2, 0],
    ..NOTHING
};
const EACH_ONCE: Budget = Budget {
    starts: [1, 1],
    ..NOTHING
};
const ONCE: Budget = Budget {
    starts: [1, 0],
    ..NOTHING
};

/// What is explored together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    wants: [&'static [Wants]; 2],
    daemon_known: bool,
    left: Budget,
    /// States that there are at least: a model that shrinks proves less than it says.
    pub(super) at_least: usize,
}

/// Both domains want the same device.
const PLAIN: Scenario = Scenario {
    name: "",
    wants: [&[ONE], &[ONE]],
    daemon_known: true,
    left: NOTHING,
    at_least: 0,
};

impl Scenario {
    const fn new(name: &'static str, left: Budget, at_least: usize) -> Self {
        Self {
            name,
            left,
            at_least,
            ..PLAIN
        }
    }

    pub(super) fn search(&self, flaw: Option<Flaw>) -> Found {
        let rules = Rules {
            wants: self.wants,
            gpus: [0, 1],
            starts: self.left.starts,
            daemon_known: self.daemon_known,
            flaw,
        };
        search(&rules, World::new(self.left))
    }
}

pub(super) const TWO_DOMAINS: Scenario = Scenario::new(
    "two domains want one device",
    Budget {
        kills: 1,
        reconciles: 1,
        ..EACH_ONCE
    },
    60_000,
);
pub(super) const KILLED: Scenario = Scenario::new(
    "one domain starts twice, a process is killed",
    Budget { kills: 1, ..TWICE },
    6_000,
);
pub(super) const DAEMON_DIES: Scenario = Scenario::new(
    "one domain starts twice, the daemon dies",
    Budget {
        daemon_deaths: 1,
        ..TWICE
    },
    12_000,
);
const LATER: Budget = Budget {
    kills: 1,
    daemon_deaths: 1,
    reconciles: 1,
    ticks: 1,
    ..ONCE
};
pub(super) const TIME_PASSES: Scenario = Scenario::new("the daemon dies, time passes, reconcile comes", LATER, 30_000);
pub(super) const DAEMON_UNKNOWN: Scenario = Scenario {
    daemon_known: false,
    ..Scenario::new("the same with a daemon that hooks do not find", LATER, 24_000)
};
pub(super) const FOREIGN: Scenario = Scenario::new(
    "somebody else makes the device",
    Budget {
        kills: 1,
        reconciles: 1,
        foreign: 1,
        ..ONCE
    },
    8_500,
);
pub(super) const FOREIGN_FOR_TWO: Scenario = Scenario::new(
    "two domains want a device that somebody else makes",
    Budget {
        foreign: 1,
        ..EACH_ONCE
    },
    6_500,
);
pub(super) const REBOOT: Scenario = Scenario::new("the host boots again", Budget { reboots: 1, ..TWICE }, 4_500);
pub(super) const RETYPED: Scenario = Scenario {
    wants: [&[ONE, OTHER_TYPE], &[ONE]],
    ..Scenario::new(
        "another type the second time",
        Budget {
            daemon_deaths: 1,
            ..TWICE
        },
        12_000,
    )
};
pub(super) const LEFTOVER: Scenario = Scenario {
    wants: [&[ONE, OTHER], &[ONE]],
    ..Scenario::new(
        "another device the second time",
        Budget {
            daemon_deaths: 1,
            ..TWICE
        },
        25_000,
    )
};
pub(super) const BOTH_OR_NONE: Scenario = Scenario {
    wants: [&[BOTH], &[ONE]],
    ..Scenario::new(
        "two devices, and no room",
        Budget {
            kills: 1,
            full: 1,
            ..ONCE
        },
        1_800,
    )
};

pub(super) const QUICK: [Scenario; 11] = [
    TWO_DOMAINS,
    KILLED,
    DAEMON_DIES,
    TIME_PASSES,
    DAEMON_UNKNOWN,
    FOREIGN,
    FOREIGN_FOR_TWO,
    REBOOT,
    RETYPED,
    LEFTOVER,
    BOTH_OR_NONE,
];

pub(super) const LATE_RELEASE: Scenario = Scenario::new(
    "a release waits for its lock, and the daemon dies",
    Budget {
        daemon_deaths: 1,
        reconciles: 1,
        ..TWICE
    },
    290_000,
);

/// More of the same: for a soak, in a release build.
pub(super) const DEEP: [Scenario; 5] = [
    LATE_RELEASE,
    Scenario::new(
        "one domain starts twice, a process is killed, reconcile comes",
        Budget {
            kills: 1,
            reconciles: 1,
            ..TWICE
        },
        100_000,
    ),
    Scenario::new(
        "the host boots again, reconcile comes",
        Budget {
            reboots: 1,
            reconciles: 1,
            ..TWICE
        },
        80_000,
    ),
    Scenario {
        wants: [&[ONE, OTHER_TYPE], &[ONE]],
        ..Scenario::new(
            "another type the second time, a process is killed",
            Budget {
                kills: 1,
                daemon_deaths: 1,
                ..TWICE
            },
            60_000,
        )
    },
    Scenario::new(
        "two domains, the daemon dies",
        Budget {
            kills: 1,
            daemon_deaths: 1,
            reconciles: 1,
            ..EACH_ONCE
        },
        500_000,
    ),
];

/// Each mistake, and where it shows.
pub(super) const FLAWS: [(Flaw, Scenario); 20] = [
    (Flaw::CreateBeforeIntent, KILLED),
    (Flaw::StartTakesNoLock, DAEMON_DIES),
    (Flaw::NoSecondLook, FOREIGN),
    (Flaw::ReaperAsksFirst, DAEMON_DIES),
    (Flaw::ReaperDoesNotAsk, FOREIGN),
    (Flaw::ReaperDoesNotTest, DAEMON_DIES),
    (Flaw::RemovalWithoutClaim, KILLED),
    (Flaw::NoHeldTest, DAEMON_DIES),
    (Flaw::ForgetsBeforeRemoval, DAEMON_DIES),
    (Flaw::ForgetsBlindly, DAEMON_DIES),
    (Flaw::ReleaseTakesNoLock, DAEMON_DIES),
    (Flaw::ReleaseOfTheDead, DAEMON_DIES),
    (Flaw::CondemnsTheNext, LATE_RELEASE),
    (Flaw::StartOfTheDead, LEFTOVER),
    (Flaw::UndoOnlyForgets, BOTH_OR_NONE),
    (Flaw::ReconcileTakesNoLock, TIME_PASSES),
    (Flaw::StatusFilesFirst, TIME_PASSES),
    (Flaw::ClockLast, TIME_PASSES),
    (Flaw::DropsAnyRecord, TWO_DOMAINS),
    (Flaw::SettlesAnyOwner, TWO_DOMAINS),
];
