//! Looking at the host: what its files say and what its drivers count. Changes nothing.

use nix::errno::Errno;

use crate::attr::{Attr, DeviceId, GpuId, ParentId, TypeId};
use crate::control;
use crate::fault::AttrFault;
use crate::host::{Device, Host, Parent, Stage};
use crate::tree::{Kind, NodeId};

/// A device of the simulated host, as [`SimHandle::devices`](crate::SimHandle::devices) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceView {
    /// Lower case, with hyphens.
    pub uuid: String,
    /// The parent's name.
    pub parent: String,
    /// The type directory's name.
    pub type_id: String,
    /// The IOMMU group: N of `/dev/vfio/N`.
    pub group: u32,
    /// Who holds it open, if anybody.
    pub holder: Option<String>,
    /// A remove has begun and waits for the holder.
    pub removing: bool,
    /// Where it lies, on a card with mixed sizes.
    pub placement_id: Option<u32>,
    /// In which GPU instance it lives, on a card in MIG mode.
    pub gpu_instance_id: Option<u32>,
}

impl Host {
    /// The bytes of a file. `ENODEV`: it is gone.
    pub(crate) fn read(&self, id: NodeId, offset: usize, size: usize) -> Result<Vec<u8>, Errno> {
        let node = self.tree.get(id).ok_or(Errno::ENODEV)?;
        let Kind::File(attr) = &node.kind else {
            return Err(Errno::EISDIR);
        };
        let part = |bytes: &[u8]| bytes.iter().skip(offset).take(size).copied().collect();
        match &node.fault {
            Some(AttrFault::Content(bytes)) => return Ok(part(bytes)),
            Some(AttrFault::Error(errno)) => return Err(Errno::from_raw(*errno)),
            Some(AttrFault::Missing) | None => {}
        }
        Ok(match attr {
            Attr::Text(text) => part(text.as_bytes()),
            Attr::Available(of) => part(format!("{}\n", self.available(*of)).as_bytes()),
            Attr::VgpuParams(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                part(&[&device.params[..], b"\n"].concat())
            }
            Attr::VmName(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                let vm = device.holder.as_ref().map_or("", |holder| &holder.vm);
                part(format!("{vm}\n").as_bytes())
            }
            Attr::PlacementId(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                part(or_not_applicable(device.assigned.placement).as_bytes())
            }
            Attr::GpuInstanceId(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                part(or_not_applicable(device.assigned.instance).as_bytes())
            }
            Attr::ApMatrix(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                part(device.matrix.text().as_bytes())
            }
            Attr::ApControlDomains(device) => {
                let device = self.devices.get(device).ok_or(Errno::ENODEV)?;
                part(device.matrix.control_text().as_bytes())
            }
            Attr::NumVfs(gpu) => part(format!("{}\n", self.gpus.get(*gpu).map_or(0, |gpu| gpu.vfs)).as_bytes()),
            Attr::Control => part(format!("{}{}", control::HELP, self.faults.lines()).as_bytes()),
            Attr::Log => self
                .journal
                .text()
                .as_bytes()
                .get(offset..)
                .map_or_else(Vec::new, |rest| rest.get(..size).unwrap_or(rest).to_vec()),
            // On a real group or container read() is EINVAL: these are made for ioctl.
            Attr::Container | Attr::Group(_) => return Err(Errno::EINVAL),
            Attr::Refuses(_) | Attr::Create(_) | Attr::Remove(_) | Attr::ApAssign(..) => return Err(Errno::EACCES),
        })
    }

    /// What `available_instances` says. On a VF: whether there it could be made, one device being all that a VF holds.
    pub(crate) fn available(&self, of: TypeId) -> u32 {
        let Some((at, parent)) = self
            .types
            .get(of)
            .and_then(|t| Some((t.at, self.parents.get(t.parent)?)))
        else {
            return 0;
        };
        let Some(gpu) = self.gpus.get(parent.gpu) else { return 0 };
        let room = gpu.card(&self.live(parent.gpu)).room(at);
        let is_vf = parent
            .function
            .and_then(|id| self.functions.get(id))
            .is_some_and(|f| f.number.is_some());
        if !is_vf {
            return room;
        }
        let busy = self
            .types
            .get(of)
            .is_some_and(|t| self.on_parent(t.parent).next().is_some());
        if busy { 0 } else { room.min(1) }
    }

    pub(crate) fn view(&self) -> Vec<DeviceView> {
        let view = |device: &Device| {
            let (parent, type_id) = self.names(device.type_id);
            DeviceView {
                uuid: device.uuid.clone(),
                parent,
                type_id,
                group: device.group,
                holder: device.holder.as_ref().map(|holder| holder.vm.clone()),
                removing: matches!(device.stage, Stage::Removing),
                placement_id: device.assigned.placement,
                gpu_instance_id: device.assigned.instance,
            }
        };
        self.devices.values().map(view).collect()
    }

    pub(crate) fn by_uuid(&self, uuid: &str) -> Result<DeviceId, Errno> {
        let wanted = |device: &Device| device.uuid.eq_ignore_ascii_case(uuid);
        self.devices
            .iter()
            .find(|(_, device)| wanted(device))
            .map(|(id, _)| *id)
            .ok_or(Errno::ENOENT)
    }

    pub(crate) fn on_parent(&self, parent: ParentId) -> impl Iterator<Item = (DeviceId, &Device)> {
        let here = move |device: &Device| self.types.get(device.type_id).is_some_and(|t| t.parent == parent);
        self.devices
            .iter()
            .filter(move |(_, device)| here(device))
            .map(|(id, device)| (*id, device))
    }

    pub(crate) fn on_gpu(&self, gpu: GpuId) -> impl Iterator<Item = (DeviceId, &Device)> {
        let here = move |device: &Device| self.gpu_of(device.type_id) == Some(gpu);
        self.devices
            .iter()
            .filter(move |(_, device)| here(device))
            .map(|(id, device)| (*id, device))
    }

    pub(crate) fn gpu_of(&self, of: TypeId) -> Option<GpuId> {
        Some(self.parent_of(of)?.gpu)
    }

    pub(crate) fn parent_of(&self, of: TypeId) -> Option<&Parent> {
        self.parents.get(self.types.get(of)?.parent)
    }

    pub(crate) fn names(&self, of: TypeId) -> (String, String) {
        let type_name = self.types.get(of).map(|t| t.name.clone()).unwrap_or_default();
        (
            self.parent_of(of).map(|parent| parent.name.clone()).unwrap_or_default(),
            type_name,
        )
    }

    /// The lowest number from 1 on that no device of the type's parent has.
    pub(crate) fn free_ordinal(&self, of: TypeId) -> u32 {
        let parent = self.types.get(of).map(|t| t.parent);
        let on_it = parent.into_iter().flat_map(|parent| self.on_parent(parent));
        let used: Vec<u32> = on_it.map(|(_, device)| device.ordinal).collect();
        (1..).find(|number| !used.contains(number)).unwrap_or(u32::MAX)
    }
}

fn or_not_applicable(number: Option<u32>) -> String {
    number.map_or_else(|| "Not Applicable\n".to_owned(), |number| format!("{number}\n"))
}
