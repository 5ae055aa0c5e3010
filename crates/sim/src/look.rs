//! Looking at the host: what its files say and what its drivers count. Changes nothing.

use nix::errno::Errno;

use crate::attr::{Attr, DeviceId, ParentId, TypeId};
use crate::capacity::Live;
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
            Attr::Control => part(format!("{}{}", control::HELP, self.faults.lines()).as_bytes()),
            Attr::Log => self
                .journal
                .text()
                .as_bytes()
                .get(offset..)
                .map_or_else(Vec::new, |rest| rest.get(..size).unwrap_or(rest).to_vec()),
            // On a real group or container read() is EINVAL: these are made for ioctl.
            Attr::Container | Attr::Group(_) => return Err(Errno::EINVAL),
            Attr::Refuses(_) | Attr::Create(_) | Attr::Remove(_) => return Err(Errno::EACCES),
        })
    }

    pub(crate) fn available(&self, of: TypeId) -> u32 {
        let share = self.types.get(of).map(|t| t.data.share()).unwrap_or_default();
        self.parent_of(of)
            .map_or(0, |parent| parent.board.capacity.available(&self.live(of), (of, share)))
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

    /// What is taken on the parent of a type. A device whose probe is going to fail takes only the core's count.
    pub(crate) fn live(&self, of: TypeId) -> Vec<Live> {
        let Some(parent) = self.types.get(of).map(|t| t.parent) else {
            return Vec::new();
        };
        let counted_early = self
            .parents
            .get(parent)
            .is_some_and(|p| p.board.capacity.refuses_before_probe());
        self.on_parent(parent)
            .filter(|(_, device)| counted_early || !matches!(device.stage, Stage::Probing { answer: Err(_), .. }))
            .filter_map(|(_, device)| Some((device.type_id, self.types.get(device.type_id)?.data.share())))
            .collect()
    }

    pub(crate) fn on_parent(&self, parent: ParentId) -> impl Iterator<Item = (DeviceId, &Device)> {
        let here = move |device: &Device| self.types.get(device.type_id).is_some_and(|t| t.parent == parent);
        self.devices
            .iter()
            .filter(move |(_, device)| here(device))
            .map(|(id, device)| (*id, device))
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

    /// IOMMU groups are numbered from 0; the lowest free number is used again.
    pub(crate) fn free_group(&self) -> u32 {
        let used: Vec<u32> = self.devices.values().map(|device| device.group).collect();
        (0..).find(|group| !used.contains(group)).unwrap_or(u32::MAX)
    }
}
