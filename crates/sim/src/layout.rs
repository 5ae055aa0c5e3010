//! Where everything stands below `/sys`, `/dev` and `/sim`: the shape of a real Linux 6.12 tree.
//!
//! Sources: a full listing of a running kernel with mtty, mdpy and mbochs loaded; Linux `drivers/vfio/mdev/mdev_sysfs.c`
//! and `drivers/vfio/vfio_main.c`; for PCI functions `drivers/pci/pci-sysfs.c`.

use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use crate::attr::{Attr, DeviceId, TypeId};
use crate::board::{Behaviour, Board, BoardSpec, Pci};
use crate::error::SimError;
use crate::host::{Host, Parent, Type};
use crate::tree::NodeId;

const CLASS: &str = "/sys/class/mdev_bus";
const BUS: &str = "/sys/bus/mdev";
const PCI_ROOT: &str = "/sys/devices/pci0000:00";

impl Host {
    /// What is there before any driver: modules mdev and vfio are loaded.
    pub(crate) fn lay_ground(&mut self) {
        let tree = &mut self.tree;
        for path in [
            CLASS,
            "/sys/bus/mdev/devices",
            "/sys/bus/mdev/drivers",
            "/sys/bus/pci/devices",
            "/sys/bus/pci/drivers",
            "/sys/class/vfio",
            "/sys/class/vfio-dev",
            "/sys/devices/virtual/vfio",
            "/sys/kernel/iommu_groups",
            "/sys/module/mdev",
            "/sys/module/vfio",
            "/sys/module/vfio_iommu_type1",
        ] {
            tree.lasting_dir(path);
        }
        for bus in ["/sys/bus/mdev", "/sys/bus/pci"] {
            let bus = tree.lasting_dir(bus);
            tree.file(bus, "drivers_autoprobe", 0o644, Attr::Text("1\n".to_owned()));
            tree.file(bus, "drivers_probe", 0o200, Attr::Refuses(Errno::ENODEV));
            tree.file(bus, "uevent", 0o200, Attr::Text(String::new()));
        }
        let vfio = tree.lasting_dir("/dev/vfio");
        tree.file(vfio, "vfio", 0o666, Attr::Container);
        let sim = tree.lasting_dir("/sim");
        tree.file(sim, "control", 0o600, Attr::Control);
        tree.file(sim, "log", 0o444, Attr::Log);
    }

    /// Puts a board into the host.
    pub(crate) fn install(&mut self, spec: &BoardSpec) -> Result<(), SimError> {
        let board = Arc::new(spec.load()?);
        self.lay_driver(&board);
        if let Some(place) = &board.virtual_device {
            if self.parents.iter().any(|parent| parent.name == place.name) {
                return Err(SimError::BoardTwice {
                    name: spec.name().to_owned(),
                });
            }
            let path = format!("/sys/devices/virtual/{}/{}", place.class, place.name);
            let dir = self.tree.lasting_dir(&path);
            let class = format!("/sys/class/{}", place.class);
            let class_dir = self.tree.lasting_dir(&class);
            self.tree.link(class_dir, &place.name, &class, &path);
            self.tree.link(dir, "subsystem", &path, &class);
            self.lay_parent(&board, &place.name, path, dir);
            return Ok(());
        }
        let Some(pci) = &board.pci else { return Ok(()) };
        for _ in 0..spec.count() * pci.gpus_per_board {
            let (address, numa) = self.free_slot(pci).ok_or_else(|| SimError::NoBus {
                name: spec.name().to_owned(),
            })?;
            let path = format!("{PCI_ROOT}/{address}");
            let dir = self.lay_function(&path, &address, numa, pci, &board);
            self.lay_parent(&board, &address, path, dir);
        }
        Ok(())
    }

    /// The board's own next slot, or the lowest free bus, NUMA nodes in turn.
    fn free_slot(&self, pci: &Pci) -> Option<(String, usize)> {
        let free = |address: &String| !self.parents.iter().any(|parent| parent.name == *address);
        let own = pci.slots.iter().map(|slot| (slot.address.clone(), slot.numa));
        let others = (0x14..=0xfd).map(|bus| {
            let numa = usize::from(bus >= 0x80) % pci.numa_cpus.len().max(1);
            (format!("0000:{bus:02x}:00.0"), numa)
        });
        own.chain(others).find(|(address, _)| free(address))
    }

    fn lay_function(&mut self, path: &str, address: &str, numa: usize, pci: &Pci, board: &Board) -> NodeId {
        let tree = &mut self.tree;
        let dir = tree.lasting_dir(path);
        for (name, value) in [
            ("vendor", &pci.vendor),
            ("device", &pci.device),
            ("class", &pci.class),
            ("subsystem_vendor", &pci.subsystem_vendor),
            ("subsystem_device", &pci.subsystem_device),
        ] {
            tree.text(dir, name, format!("{value}\n"));
        }
        tree.text(dir, "revision", "0xa1\n");
        tree.file(dir, "numa_node", 0o644, Attr::Text(format!("{numa}\n")));
        let cpus = pci.numa_cpus.get(numa).map_or("", String::as_str);
        tree.text(dir, "local_cpulist", format!("{cpus}\n"));
        tree.file(dir, "driver_override", 0o644, Attr::Text("(null)\n".to_owned()));
        let hex = |text: &str| text.trim_start_matches("0x").to_uppercase();
        let uevent = format!(
            "DRIVER={}\nPCI_CLASS={}\nPCI_ID={}:{}\nPCI_SUBSYS_ID={}:{}\nPCI_SLOT_NAME={address}\n",
            board.parent_driver,
            hex(&pci.class).trim_start_matches('0'),
            hex(&pci.vendor),
            hex(&pci.device),
            hex(&pci.subsystem_vendor),
            hex(&pci.subsystem_device),
        );
        tree.file(dir, "uevent", 0o644, Attr::Text(uevent));
        tree.dir(dir, "power");
        let driver = format!("/sys/bus/pci/drivers/{}", board.parent_driver);
        tree.lasting_dir(&format!("/sys/module/{}", board.parent_driver));
        let driver_dir = tree.lasting_dir(&driver);
        tree.link(driver_dir, address, &driver, path);
        tree.link(dir, "driver", path, &driver);
        tree.link(dir, "subsystem", path, "/sys/bus/pci");
        let devices = tree.lasting_dir("/sys/bus/pci/devices");
        tree.link(devices, address, "/sys/bus/pci/devices", path);
        dir
    }

    fn lay_driver(&mut self, board: &Board) {
        let tree = &mut self.tree;
        let path = format!("{BUS}/drivers/{}", board.mdev_driver);
        if tree.resolve(&path).is_some() {
            return;
        }
        let module = format!("/sys/module/{}", board.mdev_driver.replace('-', "_"));
        tree.lasting_dir(&module);
        let dir = tree.lasting_dir(&path);
        for name in ["bind", "unbind"] {
            tree.file(dir, name, 0o200, Attr::Refuses(Errno::ENODEV));
        }
        tree.file(dir, "uevent", 0o200, Attr::Text(String::new()));
        tree.link(dir, "module", &path, &module);
    }

    fn lay_parent(&mut self, board: &Arc<Board>, name: &str, path: String, dir: NodeId) {
        let tree = &mut self.tree;
        if board.pci.is_none() {
            tree.file(dir, "uevent", 0o644, Attr::Text(String::new()));
            tree.dir(dir, "power");
        }
        let class = tree.lasting_dir(CLASS);
        let link = tree.link(class, name, CLASS, &path);
        let supported = tree.dir(dir, "mdev_supported_types");
        for data in &board.types {
            let id: TypeId = self.types.len();
            let type_name = format!("{}-{}", board.parent_driver, data.id);
            let dir = tree.dir(supported, &type_name);
            tree.file(dir, "available_instances", 0o444, Attr::Available(id));
            tree.file(dir, "create", 0o200, Attr::Create(id));
            if let Some(description) = &data.description {
                tree.text(dir, "description", format!("{description}\n"));
            }
            tree.text(dir, "device_api", format!("{}\n", board.device_api));
            tree.text(dir, "name", format!("{}\n", data.name));
            let devices_dir = tree.dir(dir, "devices");
            self.types.push(Type {
                parent: self.parents.len(),
                name: type_name,
                data: data.clone(),
                devices_dir,
            });
        }
        self.parents.push(Parent {
            name: name.to_owned(),
            path,
            dir,
            board: Arc::clone(board),
            offered: vec![link, supported],
            unplugged: false,
        });
    }

    /// `device_add`: the directory and the link on the bus, before the driver's probe. Both nodes.
    pub(crate) fn lay_device(&mut self, uuid: &str, of: TypeId) -> Option<(NodeId, NodeId)> {
        let parent = self.parents.get(self.types.get(of)?.parent)?;
        let path = format!("{}/{uuid}", parent.path);
        let dir = self.tree.dir(parent.dir, uuid);
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
        let (tree, board) = (&mut self.tree, &parent.board);
        let (dir, uuid, group) = (device.dir, device.uuid.as_str(), device.group);
        let path = format!("{}/{uuid}", parent.path);

        let driver = format!("{BUS}/drivers/{}", board.mdev_driver);
        let driver_dir = tree.lasting_dir(&driver);
        device.last.push(tree.link(driver_dir, uuid, &driver, &path));
        tree.link(dir, "driver", &path, &driver);
        tree.file(
            dir,
            "uevent",
            0o644,
            Attr::Text(format!("DRIVER={}\n", board.mdev_driver)),
        );

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
            let text = attr.text.replace("{uuid}", uuid).replace("{detail}", &of.data.detail);
            match attr.behaviour {
                Behaviour::Text => tree.text(at, name, text),
                Behaviour::VgpuParams => tree.file(at, name, 0o644, Attr::VgpuParams(id)),
                Behaviour::VmName => tree.file(at, name, 0o444, Attr::VmName(id)),
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
}
