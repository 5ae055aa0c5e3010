//! A device: its files, in the order in which the kernel makes them, and what may be written into them.
//!
//! Sources: Linux 6.12 `drivers/vfio/mdev/mdev_sysfs.c`, `drivers/vfio/vfio_main.c`; NVIDIA's `nvidia-vgpu-vfio.c`
//! (`vgpu_params`); Linux 6.12 `drivers/s390/crypto/vfio_ap_ops.c` (`assign_*`, `matrix`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use nix::errno::Errno;

use crate::attr::{ApSet, Attr, DeviceId, TypeId};
use crate::board::{Behaviour, Board};
use crate::capacity::{Live, Mode};
use crate::host::Host;
use crate::input;
use crate::tree::NodeId;

const BUS: &str = "/sys/bus/mdev";

/// `vgpu_params` takes at most this.
const PARAMS_LIMIT: usize = 1024;

impl Host {
    /// The driver that binds a board's devices.
    pub(crate) fn mdev_driver<'a>(&self, board: &'a Board) -> &'a str {
        if self.kernel.is_old() {
            "vfio_mdev"
        } else {
            &board.mdev_driver
        }
    }

    /// `device_add`: the directory and the link on the bus, before the driver's probe. Both nodes.
    pub(crate) fn lay_device(&mut self, uuid: &str, of: TypeId) -> Option<(NodeId, NodeId)> {
        let parent = self.parents.get(self.types.get(of)?.parent)?;
        let path = format!("{}/{uuid}", parent.path);
        let above = self.tree.resolve(&parent.path)?;
        let dir = self.tree.dir(above, uuid);
        self.tree.file(dir, "uevent", 0o644, Attr::Text(String::new()));
        self.tree.dir(dir, "power");
        self.tree.link(dir, "subsystem", &path, BUS);
        let bus = self.tree.lasting_dir("/sys/bus/mdev/devices");
        Some((dir, self.tree.link(bus, uuid, "/sys/bus/mdev/devices", &path)))
    }

    /// The probe has succeeded: driver, group, vfio device, the driver's own files, and `mdev_type` last.
    /// With `ready_at`, `mdev_type` and `/dev/vfio/N` cannot be seen before.
    pub(crate) fn lay_ready(&mut self, id: DeviceId, ready_at: Option<Instant>) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let Some(of) = self.types.get(device.type_id) else {
            return;
        };
        let Some(parent) = self.parents.get(of.parent) else {
            return;
        };
        let Some(board) = self.gpus.get(parent.gpu).map(|gpu| &gpu.board) else {
            return;
        };
        let Some(data) = board.types.get(of.at) else { return };
        let (tree, old) = (&mut self.tree, self.kernel.is_old());
        let mdev_driver = if old { "vfio_mdev" } else { board.mdev_driver.as_str() };
        let (dir, uuid, group) = (device.dir, device.uuid.as_str(), device.group);
        let path = format!("{}/{uuid}", parent.path);

        let driver = format!("{BUS}/drivers/{mdev_driver}");
        let driver_dir = tree.lasting_dir(&driver);
        device.last.push(tree.link(driver_dir, uuid, &driver, &path));
        tree.link(dir, "driver", &path, &driver);
        tree.file(dir, "uevent", 0o644, Attr::Text(format!("DRIVER={mdev_driver}\n")));

        let groups = "/sys/kernel/iommu_groups";
        let group_path = format!("{groups}/{group}");
        let groups_dir = tree.lasting_dir(groups);
        let group_dir = tree.dir(groups_dir, &group.to_string());
        device.last.push(group_dir);
        tree.text(group_dir, "name", "vfio-noiommu\n");
        tree.text(group_dir, "reserved_regions", "");
        tree.file(group_dir, "type", 0o644, Attr::Text("unknown\n".to_owned()));
        let members = tree.dir(group_dir, "devices");
        tree.link(members, uuid, &format!("{group_path}/devices"), &path);
        tree.link(dir, "iommu_group", &path, &group_path);

        if !old {
            let vfio = format!("vfio{group}");
            let vfio_path = format!("{path}/vfio-dev/{vfio}");
            let vfio_dev = tree.dir(dir, "vfio-dev");
            let vfio_dir = tree.dir(vfio_dev, &vfio);
            tree.link(vfio_dir, "device", &vfio_path, &path);
            tree.dir(vfio_dir, "power");
            tree.link(vfio_dir, "subsystem", &vfio_path, "/sys/class/vfio-dev");
            tree.file(vfio_dir, "uevent", 0o644, Attr::Text(String::new()));
            let class_dir = tree.lasting_dir("/sys/class/vfio-dev");
            device
                .first
                .push(tree.link(class_dir, &vfio, "/sys/class/vfio-dev", &vfio_path));
        }

        let virtual_path = format!("/sys/devices/virtual/vfio/{group}");
        let virtual_dir = tree.lasting_dir("/sys/devices/virtual/vfio");
        let group_device = tree.dir(virtual_dir, &group.to_string());
        tree.link(group_device, "subsystem", &virtual_path, "/sys/class/vfio");
        tree.file(
            group_device,
            "uevent",
            0o644,
            Attr::Text(format!("DEVNAME=vfio/{group}\n")),
        );
        device.last.push(group_device);
        let class_dir = tree.lasting_dir("/sys/class/vfio");
        device
            .last
            .push(tree.link(class_dir, &group.to_string(), "/sys/class/vfio", &virtual_path));
        let dev_dir = tree.lasting_dir("/dev/vfio");
        let node = tree.file(dev_dir, &group.to_string(), 0o600, Attr::Group(id));
        device.last.push(node);

        for attr in &board.device_attrs {
            let (folder, name) = attr.path.split_once('/').unwrap_or(("", &attr.path));
            let at = if folder.is_empty() { dir } else { tree.dir(dir, folder) };
            let text = attr.text.replace("{uuid}", uuid).replace("{detail}", &data.detail);
            let text = text.replace("{ordinal}", &device.ordinal.to_string());
            match attr.behaviour {
                Behaviour::Text => tree.text(at, name, text),
                Behaviour::VgpuParams => tree.file(at, name, 0o644, Attr::VgpuParams(id)),
                Behaviour::VmName => tree.file(at, name, 0o444, Attr::VmName(id)),
                Behaviour::PlacementId => tree.file(at, name, 0o644, Attr::PlacementId(id)),
                Behaviour::GpuInstanceId => tree.file(at, name, 0o444, Attr::GpuInstanceId(id)),
                Behaviour::ApAssign => match ap_file(name) {
                    Some((set, assign)) => tree.file(at, name, 0o200, Attr::ApAssign(id, set, assign)),
                    None => tree.text(at, name, text),
                },
                Behaviour::ApMatrix => tree.file(at, name, 0o444, Attr::ApMatrix(id)),
                Behaviour::ApControlDomains => tree.file(at, name, 0o444, Attr::ApControlDomains(id)),
            };
        }

        tree.file(dir, "remove", 0o200, Attr::Remove(id));
        let type_path = format!("{}/mdev_supported_types/{}", parent.path, of.name);
        device
            .first
            .push(tree.link(of.devices_dir, uuid, &format!("{type_path}/devices"), &path));
        let mdev_type = tree.link(dir, "mdev_type", &path, &type_path);
        for late in [node, mdev_type] {
            if let Some(node) = tree.get_mut(late) {
                node.visible_at = ready_at;
            }
        }
    }
    pub(crate) fn set_params(&mut self, id: DeviceId, data: &[u8]) -> Result<(), Errno> {
        if data.len() > PARAMS_LIMIT {
            return Err(Errno::E2BIG);
        }
        let device = self.devices.get_mut(&id).ok_or(Errno::ENXIO)?;
        if device.holder.is_some() {
            return Err(Errno::EPERM);
        }
        // snprintf(dst, count, buf): the last byte is taken for the newline, and a NUL ends the text.
        let kept = data.split_last().map_or(&[][..], |(_, kept)| kept);
        device.params = kept.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        Ok(())
    }

    /// Moves a device to a placement id. The errnos are this simulator's own, but for EPERM while it is in use: not a
    /// number EINVAL, not with mixed sizes EPERM, not a free place of its type EIO.
    pub(crate) fn set_placement(&mut self, id: DeviceId, data: &[u8]) -> Result<(), Errno> {
        let wanted = input::number(data)?;
        let device = self.devices.get(&id).ok_or(Errno::ENXIO)?;
        let of = self.types.get(device.type_id).ok_or(Errno::ENODEV)?;
        let at = self.gpu_of(device.type_id).ok_or(Errno::ENODEV)?;
        let gpu = self.gpus.get(at).ok_or(Errno::ENODEV)?;
        if device.holder.is_some() || gpu.mode != Mode::Mixed {
            return Err(Errno::EPERM);
        }
        let live: Vec<Live> = self.live(at);
        let wanted = u32::try_from(wanted).map_err(|_| Errno::EIO)?;
        if !gpu.card(&live).may_lie(of.at, wanted, device.assigned.placement) {
            return Err(Errno::EIO);
        }
        if let Some(device) = self.devices.get_mut(&id) {
            device.assigned.placement = Some(wanted);
        }
        Ok(())
    }

    /// ENODEV: above the largest number. No AP bus says which numbers are reserved for the host.
    pub(crate) fn assign(&mut self, id: DeviceId, set: ApSet, assign: bool, data: &[u8]) -> Result<(), Errno> {
        let number = u8::try_from(input::number(data)?).map_err(|_| Errno::ENODEV)?;
        let matrix = &mut self.devices.get_mut(&id).ok_or(Errno::ENODEV)?.matrix;
        let set = match set {
            ApSet::Adapters => &mut matrix.adapters,
            ApSet::Domains => &mut matrix.domains,
            ApSet::ControlDomains => &mut matrix.control_domains,
        };
        if assign {
            set.insert(number);
        } else {
            set.remove(&number);
        }
        Ok(())
    }
}

/// What a vfio-ap device was given.
#[derive(Debug, Default)]
pub(crate) struct ApMatrix {
    adapters: BTreeSet<u8>,
    domains: BTreeSet<u8>,
    control_domains: BTreeSet<u8>,
}

impl ApMatrix {
    /// `matrix`: every pair; half of one while only adapters or only domains are there.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for adapter in &self.adapters {
            for domain in &self.domains {
                // Writing to a String does not fail.
                let _ = writeln!(text, "{adapter:02x}.{domain:04x}");
            }
            if self.domains.is_empty() {
                let _ = writeln!(text, "{adapter:02x}.");
            }
        }
        if self.adapters.is_empty() {
            for domain in &self.domains {
                let _ = writeln!(text, ".{domain:04x}");
            }
        }
        text
    }

    pub(crate) fn control_text(&self) -> String {
        self.control_domains.iter().fold(String::new(), |mut text, domain| {
            let _ = writeln!(text, "{domain:04x}");
            text
        })
    }
}

/// `assign_adapter`: which set, and whether to put in.
fn ap_file(name: &str) -> Option<(ApSet, bool)> {
    let (assign, what) = match name.strip_prefix("un") {
        Some(rest) => (false, rest),
        None => (true, name),
    };
    let set = match what.strip_prefix("assign_")? {
        "adapter" => ApSet::Adapters,
        "domain" => ApSet::Domains,
        "control_domain" => ApSet::ControlDomains,
        _ => return None,
    };
    Some((set, assign))
}
