//! The one host behind its three mounts, the handle and the waiting writers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuser::ReplyWrite;
use nix::errno::Errno;

use crate::attr::DeviceId;
use crate::control::{self, Order};
use crate::error::SimError;
use crate::fault::{AttrFault, Fault};
use crate::host::{Host, Opener, Written};
use crate::look::DeviceView;
use crate::tree::NodeId;

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) host: Host,
    /// Writers of `remove` that wait for the holder, with what to tell them.
    parked: HashMap<DeviceId, Parked>,
    next_opener: Opener,
}

#[derive(Debug)]
struct Parked {
    reply: ReplyWrite,
    len: u32,
}

impl Shared {
    pub(crate) fn new(host: Host) -> Arc<Self> {
        Arc::new(Shared {
            state: Mutex::new(State {
                host,
                parked: HashMap::new(),
                next_opener: 1,
            }),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One store, answered now or when it is done. Never waits itself.
    pub(crate) fn store(self: &Arc<Self>, id: NodeId, data: &[u8], reply: ReplyWrite) {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut state = self.lock();
        match state.host.write(id, data) {
            Ok(Written::Done) => reply.written(len),
            Err(errno) => reply.error(fuse_errno(errno)),
            Ok(Written::Blocked(device)) => {
                state.parked.insert(device, Parked { reply, len });
            }
            Ok(Written::Probing(device, delay)) => {
                drop(state);
                self.probe_later(device, delay, len, reply);
            }
        }
    }

    fn probe_later(self: &Arc<Self>, device: DeviceId, delay: Duration, len: u32, reply: ReplyWrite) {
        let shared = Arc::clone(self);
        let probe = move || {
            std::thread::sleep(delay);
            match shared.lock().host.probed(device, Instant::now()) {
                Ok(()) => reply.written(len),
                Err(errno) => reply.error(fuse_errno(errno)),
            }
        };
        // A reply that is dropped unsent answers EIO by itself.
        if let Err(error) = std::thread::Builder::new()
            .name("mdevkit-sim-probe".to_owned())
            .spawn(probe)
        {
            log::warn!("simulated host: cannot start a thread: {error}");
            let _ = self.lock().host.probed(device, Instant::now());
        }
    }

    pub(crate) fn orders(&self, text: &str) -> Result<(), SimError> {
        for order in control::parse(text)? {
            let line = format!("{order:?}");
            self.carry_out(order)
                .map_err(|errno| SimError::control(line, errno.desc()))?;
        }
        Ok(())
    }

    pub(crate) fn carry_out(&self, order: Order) -> Result<(), Errno> {
        let mut state = self.lock();
        let done = state.host.carry_out(order)?;
        state.answer(done);
        Ok(())
    }

    /// The host goes: nobody waits any longer.
    pub(crate) fn abandon(&self) {
        for (_, parked) in self.lock().parked.drain() {
            parked.reply.error(fuser::Errno::ENODEV);
        }
    }
}

impl State {
    pub(crate) fn opener(&mut self) -> Opener {
        let opener = self.next_opener;
        self.next_opener += 1;
        opener
    }

    pub(crate) fn answer(&mut self, done: impl IntoIterator<Item = DeviceId>) {
        for device in done {
            if let Some(parked) = self.parked.remove(&device) {
                parked.reply.written(parked.len);
            }
        }
    }
}

pub(crate) fn fuse_errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

/// Changes and observes a mounted host from inside the process. Cheap to clone; outlives the mount without harm.
///
/// What other processes use instead is the control file, `sim/control` below the root.
#[derive(Debug, Clone)]
pub struct SimHandle {
    pub(crate) shared: Arc<Shared>,
}

impl SimHandle {
    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().host.inject(fault);
    }

    /// Makes a file below the root (`sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/name`; links are followed)
    /// something else, or itself again (`None`).
    ///
    /// # Errors
    /// [`SimError::Control`] when there is no such file.
    pub fn override_attr(&self, path: &str, fault: Option<AttrFault>) -> Result<(), SimError> {
        let answer = self.shared.lock().host.override_attr(path, fault);
        answer.map_err(|errno| SimError::control(path, errno.desc()))
    }

    /// Carries out orders in the language of the control file.
    ///
    /// # Errors
    /// [`SimError::Control`] with the first line that is wrong or cannot be done; the lines before it are done, unless
    /// a line could not be understood: then none is.
    pub fn control(&self, lines: &str) -> Result<(), SimError> {
        self.shared.orders(lines)
    }

    /// No faults any more.
    pub fn clear_faults(&self) {
        self.shared.lock().host.clear_faults();
    }

    /// The devices, in the order of their creation.
    pub fn devices(&self) -> Vec<DeviceView> {
        self.shared.lock().host.view()
    }

    /// What `available_instances` of a type on a parent really is; none where there is no such type.
    pub fn available(&self, parent: &str, type_id: &str) -> Option<u32> {
        let state = self.shared.lock();
        let host = &state.host;
        let at = host.types.iter().position(|t| {
            t.name == type_id
                && host
                    .parents
                    .get(t.parent)
                    .is_some_and(|p| p.name == parent && !p.offered.is_empty())
        })?;
        Some(host.available(at))
    }

    /// The journal so far (`sim/log`): see the file's description in the crate's documentation.
    pub fn journal(&self) -> String {
        self.shared.lock().host.journal.text().to_owned()
    }
}
