//! Where everything stands below `/sys`, `/dev` and `/sim`: the shape of a real Linux 6.12 tree.
//!
//! Sources: a full listing of a running kernel with mtty, mdpy and mbochs loaded; Linux `drivers/vfio/mdev/mdev_sysfs.c`
//! and `drivers/vfio/vfio_main.c`. PCI functions: `pci`. Devices: `device`.

use std::sync::Arc;

use nix::errno::Errno;

use crate::attr::{Attr, FunctionId, GpuId, ParentId};
use crate::board::{Board, BoardSpec, Virtual};
use crate::error::SimError;
use crate::gpu::Gpu;
use crate::host::{Host, Parent, Type};

const CLASS: &str = "/sys/class/mdev_bus";
const BUS: &str = "/sys/bus/mdev";

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
        if !self.kernel.is_old() {
            tree.lasting_dir("/sys/class/vfio-dev");
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
            let names = place
                .names
                .iter()
                .take(usize::try_from(spec.count()).unwrap_or(usize::MAX));
            for name in names {
                if self.parents.iter().any(|parent| parent.name == *name) {
                    return Err(SimError::BoardTwice {
                        name: spec.name().to_owned(),
                    });
                }
                self.install_virtual(&board, place, name);
            }
            return Ok(());
        }
        let Some(pci) = &board.pci else { return Ok(()) };
        self.lay_nodes(&pci.numa_cpus);
        for _ in 0..spec.count() * pci.gpus_per_board {
            let (address, numa) = self.free_slot(pci).ok_or_else(|| SimError::NoBus {
                name: spec.name().to_owned(),
            })?;
            self.install_card(&board, &address, numa.map(|node| node % self.node_cpus.len().max(1)));
        }
        Ok(())
    }

    fn install_virtual(&mut self, board: &Arc<Board>, place: &Virtual, name: &str) {
        let gpu = self.gpus.len();
        self.gpus.push(Gpu::new(name.to_owned(), board, None));
        let (folder, subsystem) = match (&place.class, &place.bus, &place.directory) {
            (_, Some(bus), Some(directory)) => (directory.clone(), format!("/sys/bus/{bus}")),
            (class, ..) => {
                let class = class.as_deref().unwrap_or(name);
                (format!("/sys/devices/virtual/{class}"), format!("/sys/class/{class}"))
            }
        };
        let path = format!("{folder}/{name}");
        let dir = self.tree.lasting_dir(&path);
        let listed = match place.bus {
            Some(_) => format!("{subsystem}/devices"),
            None => subsystem.clone(),
        };
        let listed_dir = self.tree.lasting_dir(&listed);
        self.tree.link(listed_dir, name, &listed, &path);
        self.tree.link(dir, "subsystem", &path, &subsystem);
        if place.bus.is_some() {
            let driver = format!("{subsystem}/drivers/{}", board.parent_driver);
            let driver_dir = self.tree.lasting_dir(&driver);
            self.tree.link(driver_dir, name, &driver, &path);
            self.tree.link(dir, "driver", &path, &driver);
        }
        self.tree.file(dir, "uevent", 0o644, Attr::Text(String::new()));
        self.tree.dir(dir, "power");
        let parent = self.add_parent(gpu, name, &path, None);
        self.offer(parent);
    }

    fn install_card(&mut self, board: &Arc<Board>, address: &str, numa: Option<usize>) {
        let gpu = self.gpus.len();
        self.gpus.push(Gpu::new(address.to_owned(), board, None));
        let card = self.lay_card(gpu, address, numa, board);
        if let Some(gpu) = self.gpus.get_mut(gpu) {
            gpu.function = Some(card);
        }
        if board.sriov.is_some() {
            // As `sriov-manage -e` leaves it, which a host runs at every boot. It cannot fail here.
            let _ = self.set_vfs(gpu, None);
            return;
        }
        let path = self
            .functions
            .get(card)
            .map(|function| function.path.clone())
            .unwrap_or_default();
        let parent = self.add_parent(gpu, address, &path, Some(card));
        if let Some(function) = self.functions.get_mut(card) {
            function.parent = Some(parent);
        }
        self.offer(parent);
    }

    fn lay_driver(&mut self, board: &Board) {
        let name = self.mdev_driver(board).to_owned();
        let tree = &mut self.tree;
        let path = format!("{BUS}/drivers/{name}");
        if tree.resolve(&path).is_some() {
            return;
        }
        let module = format!("/sys/module/{}", name.replace('-', "_"));
        tree.lasting_dir(&module);
        let dir = tree.lasting_dir(&path);
        for name in ["bind", "unbind"] {
            tree.file(dir, name, 0o200, Attr::Refuses(Errno::ENODEV));
        }
        tree.file(dir, "uevent", 0o200, Attr::Text(String::new()));
        tree.link(dir, "module", &path, &module);
    }

    /// A parent that offers nothing yet.
    pub(crate) fn add_parent(&mut self, gpu: GpuId, name: &str, path: &str, function: Option<FunctionId>) -> ParentId {
        let parent = self.parents.len();
        let first = self.types.len();
        if let Some(gpu) = self.gpus.get_mut(gpu) {
            gpu.parents.push(parent);
            for (at, data) in gpu.board.types.iter().enumerate() {
                self.types.push(Type {
                    parent,
                    at,
                    name: format!("{}-{}", gpu.board.parent_driver, data.id),
                    devices_dir: 0,
                });
            }
        }
        self.parents.push(Parent {
            name: name.to_owned(),
            path: path.to_owned(),
            gpu,
            function,
            types: first..self.types.len(),
            offered: Vec::new(),
        });
        parent
    }

    /// `mdev_register_parent`: the link in mdev_bus and the types. A driver without types registers nothing.
    pub(crate) fn offer(&mut self, id: ParentId) {
        let Some(parent) = self.parents.get_mut(id) else { return };
        let Some(gpu) = self.gpus.get(parent.gpu) else { return };
        let (tree, board, old) = (&mut self.tree, &gpu.board, self.kernel.is_old());
        let Some(dir) = tree.resolve(&parent.path).filter(|_| !parent.types.is_empty()) else {
            return;
        };
        let class = tree.lasting_dir(CLASS);
        let link = tree.link(class, &parent.name, CLASS, &parent.path);
        let supported = tree.dir(dir, "mdev_supported_types");
        parent.offered = vec![link, supported];
        for (id, data) in parent.types.clone().zip(&board.types) {
            let Some(of) = self.types.get_mut(id) else { continue };
            let dir = tree.dir(supported, &of.name);
            tree.file(dir, "available_instances", 0o444, Attr::Available(id));
            tree.file(dir, "create", 0o200, Attr::Create(id));
            if let Some(description) = &data.description {
                tree.text(dir, "description", format!("{description}\n"));
            }
            tree.text(dir, "device_api", format!("{}\n", board.device_api));
            if !(old && board.old.nameless) {
                tree.text(dir, "name", format!("{}\n", data.name));
            }
            of.devices_dir = tree.dir(dir, "devices");
        }
    }
}
