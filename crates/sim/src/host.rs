//! The host: parents, types, devices, and what create, remove, open and close do to them. Pure state, no I/O.
//!
//! ```text
//!   write create          probe done           write remove            nobody holds it
//!  ---------------> Probing --------> Active ----------------> Removing ---------------> (gone)
//!   core's checks      |      mdev_type, /dev/vfio/N   directory empty,   at once, or when
//!   pass               v      appear                   still counted      the holder closes
//!                   (gone: the driver refused)
//! ```
//! On a kernel up to 5.2 the driver may refuse the remove of a held device: then it stays Active (`kernel`).
//!
//! Order of the checks and all errnos: Linux 6.12 `drivers/vfio/mdev/mdev_core.c` (`mdev_device_create`,
//! `mdev_device_remove`), `drivers/vfio/vfio_main.c` (`vfio_unregister_group_dev`). Where nodes stand:
//! `layout`, `device` and `pci`. What can be seen without changing anything: `look`. What a card can be switched to: `gpu`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::attr::{Attr, DeviceId, FunctionId, GpuId, ParentId, TypeId};
use crate::capacity::Assigned;
use crate::device::ApMatrix;
use crate::fault::{AttrFault, Faults};
use crate::gpu::Gpu;
use crate::input;
use crate::journal::{About, Journal};
use crate::kernel::KernelProfile;
use crate::pci::Function;
use crate::tree::{Kind, NodeId, Tree};

/// Who opens a device: a FUSE file handle, or [`MANUAL`].
pub(crate) type Opener = u64;

/// The opener that stands for an order on the control file.
pub(crate) const MANUAL: Opener = 0;

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) kernel: KernelProfile,
    pub(crate) tree: Tree,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) functions: Vec<Function>,
    pub(crate) parents: Vec<Parent>,
    pub(crate) types: Vec<Type>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    /// `cpulist` of each NUMA node.
    pub(crate) node_cpus: Vec<String>,
    /// Where the IOMMU groups of devices are numbered from.
    pub(crate) first_device_group: u32,
    next_device: DeviceId,
}

#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) name: String,
    /// `/sys/devices/...`
    pub(crate) path: String,
    pub(crate) gpu: GpuId,
    pub(crate) function: Option<FunctionId>,
    /// Its types: so many from this one on.
    pub(crate) types: std::ops::Range<TypeId>,
    /// The nodes that exist while the driver offers the parent: link in mdev_bus, `mdev_supported_types`. None: not offered.
    pub(crate) offered: Vec<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) parent: ParentId,
    /// Its place in the board's list.
    pub(crate) at: usize,
    /// `mtty-2`
    pub(crate) name: String,
    /// The type's `devices/`, while it is offered.
    pub(crate) devices_dir: NodeId,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) uuid: String,
    pub(crate) type_id: TypeId,
    pub(crate) group: u32,
    pub(crate) stage: Stage,
    /// The device's directory.
    pub(crate) dir: NodeId,
    /// Nodes elsewhere that go when a remove begins.
    pub(crate) first: Vec<NodeId>,
    /// Nodes elsewhere that go when a remove is done.
    pub(crate) last: Vec<NodeId>,
    pub(crate) holder: Option<Holder>,
    /// What the driver gave it.
    pub(crate) assigned: Assigned,
    /// The lowest number from 1 on that no other device of its parent has.
    pub(crate) ordinal: u32,
    pub(crate) params: Vec<u8>,
    pub(crate) matrix: ApMatrix,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Probing {
        answer: Result<(), Errno>,
        late: Option<Duration>,
    },
    Active,
    Removing,
}

#[derive(Debug)]
pub(crate) struct Holder {
    opener: Opener,
    pub(crate) vm: String,
}

/// How a write ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// The driver's probe takes this long; then call [`Host::probed`].
    Probing(DeviceId, Duration),
    /// Waits until the holder lets go.
    Blocked(DeviceId),
}

impl Host {
    pub(crate) fn new(kernel: KernelProfile) -> Self {
        let mut host = Host {
            kernel,
            tree: Tree::new(),
            gpus: Vec::new(),
            functions: Vec::new(),
            parents: Vec::new(),
            types: Vec::new(),
            devices: BTreeMap::new(),
            journal: Journal::default(),
            faults: Faults::default(),
            node_cpus: Vec::new(),
            first_device_group: 0,
            next_device: 1,
        };
        host.lay_ground();
        host
    }

    /// One store. `ENODEV`: the file is gone.
    pub(crate) fn write(&mut self, id: NodeId, data: &[u8]) -> Result<Written, Errno> {
        let node = self.tree.get(id).ok_or(Errno::ENODEV)?;
        let Kind::File(attr) = &node.kind else {
            return Err(Errno::EISDIR);
        };
        if let Some(AttrFault::Error(errno)) = node.fault {
            return Err(Errno::from_raw(errno));
        }
        match *attr {
            Attr::Create(of) => self.create(of, data),
            Attr::Remove(device) => self.remove(device, data),
            Attr::VgpuParams(device) => self.set_params(device, data).map(|()| Written::Done),
            Attr::PlacementId(device) => self.set_placement(device, data).map(|()| Written::Done),
            Attr::ApAssign(device, set, assign) => self.assign(device, set, assign, data).map(|()| Written::Done),
            Attr::NumVfs(gpu) => self.store_numvfs(gpu, data).map(|()| Written::Done),
            Attr::Text(_) => Ok(Written::Done),
            Attr::Refuses(errno) => Err(errno),
            Attr::Container | Attr::Group(_) => Err(Errno::EINVAL),
            Attr::Available(_)
            | Attr::VmName(_)
            | Attr::GpuInstanceId(_)
            | Attr::ApMatrix(_)
            | Attr::ApControlDomains(_)
            | Attr::Control
            | Attr::Log => Err(Errno::EACCES),
        }
    }

    fn create(&mut self, of: TypeId, data: &[u8]) -> Result<Written, Errno> {
        let (parent, type_name) = self.names(of);
        let uuid = input::create(data);
        let admitted = uuid
            .as_ref()
            .map_err(|errno| *errno)
            .and_then(|uuid| self.admit_in_core(of, uuid));
        let uuid = match (uuid, admitted) {
            (Ok(uuid), Ok(())) => uuid,
            (uuid, refused) => {
                let uuid = uuid.ok();
                let type_id = Some(type_name.as_str());
                let about = About {
                    uuid: uuid.as_deref(),
                    parent: Some(&parent),
                    type_id,
                    group: None,
                };
                let errno = refused.err().unwrap_or(Errno::EINVAL);
                self.journal.record("create", Err(errno), about);
                return Err(errno);
            }
        };
        let effects = self.faults.strike(&parent, &type_name);
        let given = match effects.fail {
            Some(errno) => Err(errno),
            None => self.admit_in_driver(of),
        };
        let id = self.next_device;
        self.next_device += 1;
        let group = self.free_group_from(self.first_device_group);
        let ordinal = self.free_ordinal(of);
        let stage = Stage::Probing {
            answer: given.map(|_| ()),
            late: effects.late,
        };
        let (dir, bus_link) = self.lay_device(&uuid, of).ok_or(Errno::ENODEV)?;
        let (first, last) = (Vec::new(), vec![bus_link]);
        let device = Device {
            uuid,
            type_id: of,
            group,
            stage,
            dir,
            first,
            last,
            holder: None,
            assigned: given.unwrap_or_default(),
            ordinal,
            params: Vec::new(),
            matrix: ApMatrix::default(),
        };
        self.devices.insert(id, device);
        match effects.slow {
            Some(delay) => Ok(Written::Probing(id, delay)),
            None => self.probed(id, Instant::now()).map(|()| Written::Done),
        }
    }

    /// `mdev_device_create` up to `device_add`: the global duplicate first, then the core's own counter.
    fn admit_in_core(&self, of: TypeId, uuid: &str) -> Result<(), Errno> {
        let gpu = self.gpu_of(of).ok_or(Errno::ENODEV)?;
        if self.devices.values().any(|device| device.uuid == uuid) {
            return Err(Errno::EEXIST);
        }
        if self.parent_of(of).is_none_or(|parent| parent.offered.is_empty()) {
            return Err(Errno::ENODEV);
        }
        let board = &self.gpus.get(gpu).ok_or(Errno::ENODEV)?.board;
        if self.core_counts(board) && self.available(of) == 0 {
            return Err(board.capacity.full());
        }
        Ok(())
    }

    fn admit_in_driver(&self, of: TypeId) -> Result<Assigned, Errno> {
        let at = self.types.get(of).ok_or(Errno::ENODEV)?.at;
        let gpu = self.gpu_of(of).ok_or(Errno::ENODEV)?;
        let live = self.live(gpu);
        let gpu = self.gpus.get(gpu).ok_or(Errno::ENODEV)?;
        let full = gpu.board.old.full.filter(|_| self.kernel.is_old());
        let refusal = full.unwrap_or(gpu.board.capacity.full());
        if self.available(of) == 0 {
            return Err(refusal);
        }
        gpu.card(&live).admit(at)
    }

    /// The driver's probe of a device is over: it is ready, or gone again.
    pub(crate) fn probed(&mut self, id: DeviceId, now: Instant) -> Result<(), Errno> {
        let Some(device) = self.devices.get_mut(&id) else {
            return Err(Errno::ENODEV);
        };
        let Stage::Probing { answer, late } = device.stage else {
            return Err(Errno::EINVAL);
        };
        if answer.is_ok() {
            device.stage = Stage::Active;
            self.lay_ready(id, late.map(|late| now + late));
        }
        self.note("create", answer, id);
        if answer.is_err() {
            self.forget(id);
        }
        answer
    }

    fn remove(&mut self, id: DeviceId, data: &[u8]) -> Result<Written, Errno> {
        match input::remove(data) {
            Ok(true) => {}
            Ok(false) => return Ok(Written::Done),
            Err(errno) => {
                self.note("remove", Err(errno), id);
                return Err(errno);
            }
        }
        if let Some(refusal) = self.veto(id) {
            self.note("remove", Err(refusal), id);
            return Err(refusal);
        }
        let device = self.devices.get_mut(&id).ok_or(Errno::ENODEV)?;
        device.stage = Stage::Removing;
        let (dir, first, held) = (device.dir, std::mem::take(&mut device.first), device.holder.is_some());
        self.tree.empty(dir);
        for node in first {
            self.tree.remove(node);
        }
        if held {
            let device = self.devices.get(&id);
            if let Some(device) = device {
                self.journal
                    .line("remove", "blocked", about(&self.parents, &self.types, device));
            }
            return Ok(Written::Blocked(id));
        }
        self.note("remove", Ok(()), id);
        self.forget(id);
        Ok(Written::Done)
    }

    /// The driver's refusal to remove a device that somebody holds, on kernels that let it refuse.
    fn veto(&self, id: DeviceId) -> Option<Errno> {
        let device = self.devices.get(&id)?;
        let gpu = self.gpus.get(self.gpu_of(device.type_id)?)?;
        let held = self.kernel == KernelProfile::UpTo5_2 && device.holder.is_some();
        gpu.board.old.in_use.filter(|_| held)
    }

    /// `/dev/vfio/N` has exactly one opener; the second gets EBUSY.
    pub(crate) fn open_device(&mut self, id: DeviceId, opener: Opener, vm: &str) -> Result<(), Errno> {
        let device = self.devices.get_mut(&id).ok_or(Errno::ENOENT)?;
        let answer = match (&device.holder, device.stage) {
            (Some(_), _) => Err(Errno::EBUSY),
            (None, Stage::Active) => Ok(()),
            (None, _) => Err(Errno::ENODEV),
        };
        if answer.is_ok() {
            device.holder = Some(Holder {
                opener,
                vm: vm.to_owned(),
            });
        }
        self.note("open", answer, id);
        answer
    }

    /// The opener lets go. The device, if a remove was waiting for that and now is done.
    pub(crate) fn close_device(&mut self, id: DeviceId, opener: Opener) -> Option<DeviceId> {
        let device = self.devices.get_mut(&id)?;
        device.holder.take_if(|holder| holder.opener == opener)?;
        let waiting = matches!(device.stage, Stage::Removing);
        self.note("close", Ok(()), id);
        if !waiting {
            return None;
        }
        self.note("remove", Ok(()), id);
        self.forget(id);
        Some(id)
    }

    /// The driver drops a device that nobody asked it to remove.
    pub(crate) fn vanish(&mut self, uuid: &str) -> Result<DeviceId, Errno> {
        let id = self.by_uuid(uuid)?;
        self.note("vanish", Ok(()), id);
        self.forget(id);
        Ok(id)
    }

    /// The driver withdraws a parent with all its devices (unbind, rmmod). They go at once, held or not.
    pub(crate) fn unplug(&mut self, name: &str) -> Result<Vec<DeviceId>, Errno> {
        let named = |parent: &Parent| parent.name == name && !parent.offered.is_empty();
        let at = self.parents.iter().position(named).ok_or(Errno::ENOENT)?;
        Ok(self.withdraw(at))
    }

    pub(crate) fn withdraw(&mut self, parent: ParentId) -> Vec<DeviceId> {
        let going: Vec<_> = self.on_parent(parent).map(|(id, _)| id).collect();
        for id in &going {
            self.note("unplug", Ok(()), *id);
            self.forget(*id);
        }
        if let Some(parent) = self.parents.get_mut(parent) {
            for node in std::mem::take(&mut parent.offered) {
                self.tree.remove(node);
            }
        }
        going
    }

    fn forget(&mut self, id: DeviceId) {
        let Some(device) = self.devices.remove(&id) else { return };
        for node in device.first.into_iter().chain([device.dir]).chain(device.last) {
            self.tree.remove(node);
        }
    }

    fn note(&mut self, op: &str, result: Result<(), Errno>, id: DeviceId) {
        if let Some(device) = self.devices.get(&id) {
            self.journal
                .record(op, result, about(&self.parents, &self.types, device));
        }
    }
}

fn about<'a>(parents: &'a [Parent], types: &'a [Type], device: &'a Device) -> About<'a> {
    let of = types.get(device.type_id);
    About {
        uuid: Some(&device.uuid),
        parent: of
            .and_then(|t| parents.get(t.parent))
            .map(|parent| parent.name.as_str()),
        type_id: of.map(|t| t.name.as_str()),
        group: Some(device.group),
    }
}
