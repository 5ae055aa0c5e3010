//! The one way in which a record changes.
//!
//! Invariant: an event that does not fit leaves everything as it was. What crashes lose is at most one step, and the
//! step that is lost is found again by looking at sysfs (see [`super::reconcile`]).

use super::{Daemon, Owner, Record, State};
use crate::Uuid;

/// Something that happens to a device of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is going to be created. Again for the same owner after a crash, or when another parent is tried.
    Intend(Box<Record>),
    /// It was created.
    Created {
        /// When (seconds since 1970).
        since: u64,
    },
    /// It was not created, and is not there.
    Failed,
    /// Its own domain starts again and finds it: it belongs to the new daemon from now on.
    Adopt {
        /// The domain.
        domain: Uuid,
        /// Who will call `release`.
        daemon: Option<Daemon>,
        /// When (seconds since 1970).
        since: u64,
    },
    /// It is going to be removed.
    Release {
        /// By whom.
        by: Actor,
        /// When (seconds since 1970).
        since: u64,
    },
    /// It is not there any more.
    Gone,
}

/// Who wants a device removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A domain, by its `release`: its own devices only.
    Domain(Uuid),
    /// A person: devices made by hand.
    Person,
    /// Reconcile, which has proof that nobody will come for it: the proof is about this owner and no other.
    Reconcile {
        /// The domain that owned the record when it was judged; none when it was made by hand.
        owner: Option<Uuid>,
    },
}

/// Why an event does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The device has no record.
    #[error("device {uuid} is not in the ledger")]
    NoRecord {
        /// The device.
        uuid: Uuid,
    },
    /// The device is somebody else's.
    #[error("device {uuid} belongs to {owner}")]
    NotYours {
        /// The device.
        uuid: Uuid,
        /// Whose it is.
        owner: String,
    },
    /// The record's state does not allow it.
    #[error("device {uuid} is recorded as {state}")]
    WrongState {
        /// The device.
        uuid: Uuid,
        /// The state.
        state: State,
    },
}

/// What becomes of a device's record; `None` is no record.
///
/// ```
/// use mdevkit_core::ledger::{step, Event, StepError};
/// let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?;
/// assert_eq!(step(None, uuid, Event::Created { since: 0 }), Err(StepError::NoRecord { uuid }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the event does not fit: see [`StepError`].
pub fn step(record: Option<&Record>, uuid: Uuid, event: Event) -> Result<Option<Record>, StepError> {
    if let Event::Intend(intent) = event {
        return intend(record, uuid, *intent).map(Some);
    }
    let Some(record) = record else {
        return match event {
            Event::Gone | Event::Failed => Ok(None),
            _ => Err(StepError::NoRecord { uuid }),
        };
    };
    let wrong_state = || StepError::WrongState {
        uuid,
        state: record.state,
    };
    let not_yours = || StepError::NotYours {
        uuid,
        owner: record.owner.to_string(),
    };
    let moved = |state, since| {
        Some(Record {
            state,
            since,
            ..record.clone()
        })
    };
    if matches!(record.owner, Owner::Other(_)) {
        return Err(not_yours());
    }
    match event {
        Event::Intend(_) => Err(wrong_state()),
        Event::Created { since } => match record.state {
            State::Intent => Ok(moved(State::Created, since)),
            State::Created | State::Releasing => Err(wrong_state()),
        },
        Event::Failed => match record.state {
            State::Intent => Ok(None),
            State::Created | State::Releasing => Err(wrong_state()),
        },
        Event::Adopt { domain, daemon, since } => match (&record.owner, record.state) {
            (
                Owner::Domain {
                    uuid: owner,
                    name,
                    slot,
                    ..
                },
                State::Intent | State::Created,
            ) if *owner == domain => {
                let owner = Owner::Domain {
                    uuid: domain,
                    name: name.clone(),
                    slot: *slot,
                    daemon,
                };
                Ok(Some(Record {
                    state: State::Created,
                    since,
                    owner,
                    ..record.clone()
                }))
            }
            (Owner::Domain { uuid: owner, .. }, State::Releasing) if *owner == domain => Err(wrong_state()),
            _ => Err(not_yours()),
        },
        Event::Release { by, since } => {
            let allowed = match (&record.owner, by) {
                (Owner::Domain { uuid: owner, .. }, Actor::Domain(domain)) => *owner == domain,
                (Owner::Manual, Actor::Person) => true,
                // Another domain may have come to the same UUID since the record was judged.
                (Owner::Domain { uuid, .. }, Actor::Reconcile { owner }) => owner == Some(*uuid),
                // A removal that a person began and a crash cut off.
                (Owner::Manual, Actor::Reconcile { owner: None }) => record.state == State::Releasing,
                _ => false,
            };
            match (allowed, record.state) {
                (false, _) => Err(not_yours()),
                (true, State::Releasing) => Ok(Some(record.clone())),
                (true, State::Intent | State::Created) => Ok(moved(State::Releasing, since)),
            }
        }
        Event::Gone => Ok(None),
    }
}

/// A new intent, or the same owner's next try.
fn intend(record: Option<&Record>, uuid: Uuid, intent: Record) -> Result<Record, StepError> {
    if let Some(record) = record {
        let same_owner = record.owner.domain().is_some() && record.owner.domain() == intent.owner.domain();
        if !same_owner {
            return Err(StepError::NotYours {
                uuid,
                owner: record.owner.to_string(),
            });
        }
        if record.state == State::Releasing {
            return Err(StepError::WrongState {
                uuid,
                state: record.state,
            });
        }
    }
    Ok(Record {
        uuid,
        state: State::Intent,
        ..intent
    })
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
