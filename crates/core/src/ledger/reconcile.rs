//! After a crash: which records have no future, and what is to be done about them.
//!
//! libvirt calls `release` as long as the daemon that called `prepare` lives. So a device is collected when that
//! daemon is gone **and** no status file names its domain. Where the daemon lives or cannot be seen, time decides: from
//! `prepare` to the first status file it takes libvirt seconds, and a `release` that failed does not come again.
//!
//! Invariant: only what is in the ledger is ever acted upon; a foreign device has no record, so there is no action
//! that names it.

use super::{Actor, BootId, Daemon, Ledger, Owner, Record, State};
use crate::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// What a look at the host showed.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// This boot.
    pub boot_id: BootId,
    /// Now (seconds since 1970).
    pub now: u64,
    /// How long a record without proof is left alone (seconds).
    pub grace: u64,
    /// The devices that exist.
    pub devices: BTreeSet<Uuid>,
    /// The domains that libvirt's status files name: running, or left behind by a daemon that will be back.
    pub domains: BTreeSet<Uuid>,
    /// The daemons that the ledger names.
    pub daemons: BTreeMap<Daemon, Life>,
}

/// Whether a process is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is.
    Alive,
    /// It is not: no such pid, or the pid started at another time.
    Gone,
    /// It lives in a pid namespace that cannot be seen from here.
    Unseen,
}

/// What to do about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave it.
    Keep {
        /// The device.
        uuid: Uuid,
        /// Why, as a person would say it.
        why: &'static str,
    },
    /// The device is not there: drop the record.
    Forget {
        /// The device.
        uuid: Uuid,
        /// Why.
        why: &'static str,
    },
    /// Remove the device, if nothing holds it open, and then the record.
    Remove {
        /// The device.
        uuid: Uuid,
        /// In whose name.
        by: Actor,
        /// Why.
        why: &'static str,
    },
}

impl Action {
    /// The device that it is about.
    pub fn uuid(&self) -> Uuid {
        match self {
            Self::Keep { uuid, .. } | Self::Forget { uuid, .. } | Self::Remove { uuid, .. } => *uuid,
        }
    }

    /// Why, as a person would say it.
    pub fn why(&self) -> &'static str {
        match self {
            Self::Keep { why, .. } | Self::Forget { why, .. } | Self::Remove { why, .. } => why,
        }
    }

    /// One word for tables: `keep`, `forget`, `remove`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Keep { .. } => "keep",
            Self::Forget { .. } => "forget",
            Self::Remove { .. } => "remove",
        }
    }
}

/// One action for each record, in the order of the devices.
pub fn reconcile(ledger: &Ledger, seen: &Sighting) -> Vec<Action> {
    ledger.records().map(|record| judge(record, seen)).collect()
}

/// How long a device is left to a daemon that lives, whatever the time of grace is (seconds): a guest may just be
/// starting.
const PATIENCE: u64 = 600;

fn judge(record: &Record, seen: &Sighting) -> Action {
    let uuid = record.uuid;
    let keep = |why| Action::Keep { uuid, why };
    let forget = |why| Action::Forget { uuid, why };
    let remove = |why| Action::Remove {
        uuid,
        by: Actor::Reconcile {
            owner: record.owner.domain(),
        },
        why,
    };
    if matches!(record.owner, Owner::Other(_)) {
        return keep("a newer mdevkit owns it");
    }
    if record.boot_id != seen.boot_id {
        return forget("it is from another boot");
    }
    if !seen.devices.contains(&uuid) {
        return forget("the device is gone");
    }
    if record.state == State::Releasing {
        return remove("its removal was not finished");
    }
    let Owner::Domain {
        uuid: domain, daemon, ..
    } = &record.owner
    else {
        return keep("it was made by hand");
    };
    if seen.domains.contains(domain) {
        return keep("its domain runs");
    }
    match daemon.map(|daemon| seen.daemons.get(&daemon).copied().unwrap_or(Life::Unseen)) {
        // Its `release` came and failed, or was lost: nobody starts for so long without a status file.
        Some(Life::Alive) if seen.now.saturating_sub(record.since) >= seen.grace.max(PATIENCE) => {
            remove("its domain does not run, although its daemon lives, and the time of grace is over")
        }
        Some(Life::Alive) => keep("the daemon that started its domain lives, and the time of grace runs"),
        Some(Life::Gone) => remove("its domain does not run, and the daemon that started it is gone"),
        Some(Life::Unseen) | None if seen.now.saturating_sub(record.since) >= seen.grace => {
            remove("its domain does not run, and the time of grace is over")
        }
        Some(Life::Unseen) | None => keep("the daemon that started its domain cannot be seen; the time of grace runs"),
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
