//! Removing one device of ours, without ever hanging the caller.
//!
//! ```text
//!   ledger: releasing ──► held open? ──yes, until the deadline──► Pending (reconcile comes again)
//!                             │ no
//!                             ▼
//!          child: remove ─► ledger: gone          the kernel's write can block unkillably, so it happens in a
//!             │                                   re-executed child with its own process group and /dev/null;
//!             └── not done at the deadline ─────► Pending (the child finishes, or reconcile)
//! ```
//!
//! Invariants: only a device whose record says `releasing` is written to; the VFIO group is opened for the test only
//! then, because it has exactly one opener.

use crate::clock::Backoff;
use crate::state::StateDir;
use crate::{Deadline, Host, HostError, InUse, Limits, Root};
use mdevkit_core::Uuid;
use mdevkit_core::ledger::{Actor, Event, State};
use mdevkit_sysfs::in_use;
use mdevkit_sysfs::mdev::{Bus, RemoveError, Remover};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How this program is run again for a removal: `program args... UUID ROOT`, which calls [`reap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaper {
    /// The program, usually `/proc/self/exe`.
    pub program: PathBuf,
    /// What tells it to call [`reap`].
    pub args: Vec<OsString>,
}

/// What a step may take that would be over before it began.
const MOMENT: Duration = Duration::from_millis(200);

/// What became of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The device is gone.
    Removed,
    /// It was gone before.
    AlreadyGone,
    /// It is recorded as `releasing`, and something is in the way.
    Pending {
        /// What.
        why: String,
    },
}

/// Removes a device. The caller holds the domain's lock, or the device has no domain.
pub(crate) fn remove(
    host: &Host,
    state: &StateDir<'_>,
    uuid: Uuid,
    by: Actor,
    deadline: Deadline,
) -> Result<Removal, HostError> {
    let bus = host.bus();
    // The ledger's lock is held for microseconds; a run that is out of time waits for it for a moment all the same.
    let lock_deadline = deadline.max(Deadline::after(MOMENT));
    let ours = state.change(lock_deadline, |ledger| match ledger.record(uuid) {
        None => Ok(false),
        Some(_) => {
            let since = crate::clock::now();
            ledger.apply(uuid, Event::Release { by, since })?;
            Ok(true)
        }
    })?;
    if !ours {
        return Ok(Removal::AlreadyGone);
    }
    if bus.device(uuid)?.is_none() {
        forget(&bus, state, uuid, lock_deadline)?;
        return Ok(Removal::AlreadyGone);
    }
    if let Some(by) = held(host.root(), &bus, uuid, deadline)? {
        return Ok(Removal::Pending {
            why: format!("it is in use by {by}"),
        });
    }
    match &host.reaper {
        None => reap(host.root(), uuid).map(|()| Removal::Removed),
        Some(reaper) => run(reaper, host.root(), uuid, deadline),
    }
}

/// Who holds the device open until the deadline; a guest that just ended takes a moment to let go.
fn held(root: &Root, bus: &Bus<'_>, uuid: Uuid, deadline: Deadline) -> Result<Option<String>, HostError> {
    let mut backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(50));
    loop {
        let by = match (bus.vm_name(uuid)?, bus.iommu_group(uuid)?) {
            (Some(guest), _) => format!("guest {}", guest.escape_debug()),
            (None, None) => return Ok(None),
            (None, Some(group)) => match in_use::test_by_opening(root, group)? {
                InUse::Yes { by } => by,
                InUse::No | InUse::Unknown => return Ok(None),
            },
        };
        if !backoff.sleep(deadline) {
            return Ok(Some(by));
        }
    }
}

/// Runs the child and waits for it until the deadline; it goes on without us if need be.
fn run(reaper: &Reaper, root: &Root, uuid: Uuid, deadline: Deadline) -> Result<Removal, HostError> {
    let failed = |source| HostError::State {
        doing: "run",
        path: reaper.program.clone(),
        source,
    };
    let mut child = Command::new(&reaper.program)
        .args(&reaper.args)
        .arg(uuid.to_string())
        .arg(root.path(""))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    // Even a run that is out of time gives the child a moment: a removal takes less than a millisecond as a rule.
    let deadline = deadline.max(Deadline::after(MOMENT));
    let mut backoff = Backoff::new(Duration::from_micros(300), Duration::from_millis(20));
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(Removal::Removed),
            Some(status) => {
                let why = format!("the kernel did not remove it ({status}; the log of {uuid} has the reason)");
                return Ok(Removal::Pending { why });
            }
            None => {
                if !backoff.sleep(deadline) {
                    let why = format!("the kernel takes its time; process {} waits for it", child.id());
                    return Ok(Removal::Pending { why });
                }
            }
        }
    }
}

/// Writes `remove` for a device that is recorded as `releasing`, and then forgets it. May block for as long as a guest
/// holds the device: this is the child's part.
///
/// # Errors
/// The record does not allow it, or the kernel refused.
pub fn reap(root: &Root, uuid: Uuid) -> Result<(), HostError> {
    let bus = Bus::new(root);
    let state = StateDir::new(root);
    let lock_deadline = || Deadline::after(Limits::default().lock);
    // Opened first, allowed second: a child that comes late has the old device open, and a new one of the same UUID is
    // out of its reach.
    let remover = bus.open_remove(uuid)?;
    let ledger = state.ledger(lock_deadline())?;
    match ledger.record(uuid) {
        Some(record) if record.state == State::Releasing => {}
        Some(record) => {
            return Err(HostError::Owned {
                uuid,
                by: record.owner.to_string(),
            });
        }
        None => return Err(HostError::Foreign { uuid }),
    }
    match remover.map(Remover::remove) {
        None | Some(Ok(_)) => {}
        Some(Err(RemoveError::Busy { .. })) if bus.device(uuid)?.is_none() => {}
        Some(Err(error)) => {
            log::warn!("{error}");
            return Err(error.into());
        }
    }
    log::info!("removed {uuid}");
    forget(&bus, &state, uuid, lock_deadline())
}

/// Forgets a device that is gone, if its record still says `releasing`: the next start of its domain may have
/// written a new intent meanwhile, or have come as far as a new device.
pub(crate) fn forget(bus: &Bus<'_>, state: &StateDir<'_>, uuid: Uuid, deadline: Deadline) -> Result<(), HostError> {
    state.change(deadline, |ledger| match ledger.record(uuid) {
        Some(record) if record.state == State::Releasing && bus.device(uuid)?.is_none() => {
            Ok(ledger.apply(uuid, Event::Gone)?)
        }
        _ => Ok(()),
    })
}
