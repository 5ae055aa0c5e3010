//! PCI functions as sysfs shows them: cards, their VFs, IOMMU groups, and the host's NUMA nodes.
//!
//! Shapes: Linux 6.12 `drivers/pci/pci-sysfs.c`, `drivers/pci/iov.c`, `drivers/iommu/iommu.c`, `drivers/base/node.c`; a
//! capture of an NVIDIA A2 with its VFs (harvester/pcidevices, tests/snapshots).

use nix::errno::Errno;

use crate::attr::{Attr, FunctionId, GpuId, ParentId};
use crate::board::{Board, Pci, Sriov};
use crate::host::Host;
use crate::tree::NodeId;

const ROOT: &str = "/sys/devices/pci0000:00";
const BUS: &str = "/sys/bus/pci/devices";
const GROUPS: &str = "/sys/kernel/iommu_groups";

/// The first IOMMU group of a card, where no capture tells: those below are the chipset's.
const CARD_GROUPS: u32 = 32;

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) dir: NodeId,
    pub(crate) gpu: GpuId,
    /// What it offers, when its own driver has it.
    pub(crate) parent: Option<ParentId>,
    /// Of a VF, from 0.
    pub(crate) number: Option<usize>,
    pub(crate) numa: Option<usize>,
    /// The IOMMU group, while the function is there.
    pub(crate) group: Option<u32>,
    /// The vendor's driver.
    pub(crate) home: String,
    pub(crate) driver: Option<String>,
    /// Nodes elsewhere that go with it, and those that go with its driver.
    nodes: Vec<NodeId>,
    driver_nodes: Vec<NodeId>,
}

impl Function {
    pub(crate) fn is_home(&self) -> bool {
        self.driver.as_ref() == Some(&self.home)
    }
}

impl Host {
    /// The nodes of the host, with the CPUs of the first board that has some: a host has one mainboard.
    pub(crate) fn lay_nodes(&mut self, cpus: &[String]) {
        if self.node_cpus.is_empty() {
            self.node_cpus = cpus.to_vec();
            self.lay_node_files();
        }
    }

    pub(crate) fn lay_node_files(&mut self) {
        let system = "/sys/devices/system/node";
        let all = match self.node_cpus.len() {
            0 | 1 => "0\n".to_owned(),
            count => format!("0-{}\n", count - 1),
        };
        let dir = self.tree.lasting_dir(system);
        for name in ["online", "possible", "has_cpu", "has_memory"] {
            self.tree.text(dir, name, all.clone());
        }
        for (node, cpus) in self.node_cpus.iter().enumerate() {
            let dir = self.tree.lasting_dir(&format!("{system}/node{node}"));
            self.tree.text(dir, "cpulist", format!("{cpus}\n"));
        }
    }

    /// The board's own next slot, or the lowest free bus, NUMA nodes in turn.
    pub(crate) fn free_slot(&self, pci: &Pci) -> Option<(String, Option<usize>)> {
        let free = |address: &String| !self.functions.iter().any(|function| function.address == *address);
        let own = pci.slots.iter().map(|slot| (slot.address.clone(), slot.numa));
        let others = (0x14..=0xfd).filter(|_| pci.max_count > 1).map(|bus| {
            let numa = usize::from(bus >= 0x80) % pci.numa_cpus.len().max(1);
            (format!("0000:{bus:02x}:00.0"), Some(numa))
        });
        own.chain(others).find(|(address, _)| free(address))
    }

    /// A card, with its SR-IOV capability if it has one; its driver has it, and no VF is enabled.
    pub(crate) fn lay_card(&mut self, gpu: GpuId, address: &str, numa: Option<usize>, board: &Board) -> FunctionId {
        let id = self.functions.len();
        let groups = board.sriov.as_ref().and_then(|sriov| sriov.groups);
        let group = self.free_group_from(groups.map_or(CARD_GROUPS, |groups| groups.pf));
        if let Some(groups) = groups {
            self.first_device_group = self.first_device_group.max(groups.devices);
        }
        let path = format!("{ROOT}/{address}");
        let dir = self.tree.lasting_dir(&path);
        self.functions.push(Function {
            address: address.to_owned(),
            path,
            dir,
            gpu,
            parent: None,
            number: None,
            numa,
            group: Some(group),
            home: board.parent_driver.clone(),
            driver: Some(board.parent_driver.clone()),
            nodes: Vec::new(),
            driver_nodes: Vec::new(),
        });
        self.lay_function(id, board);
        let Some(sriov) = &board.sriov else { return id };
        let device = vf_device(board, sriov);
        let tree = &mut self.tree;
        for (name, value) in [
            ("sriov_totalvfs", sriov.totalvfs.to_string()),
            ("sriov_offset", sriov.offset.to_string()),
            ("sriov_stride", sriov.stride.to_string()),
            ("sriov_vf_device", device.trim_start_matches("0x").to_owned()),
        ] {
            tree.text(dir, name, format!("{value}\n"));
        }
        tree.file(dir, "sriov_drivers_autoprobe", 0o644, Attr::Text("1\n".to_owned()));
        tree.file(dir, "sriov_numvfs", 0o644, Attr::NumVfs(gpu));
        for number in 0..usize::from(sriov.totalvfs) {
            self.add_vf(id, number, sriov);
        }
        id
    }

    /// A VF that the card may have: it takes no place in the tree before it is enabled.
    fn add_vf(&mut self, card: FunctionId, number: usize, sriov: &Sriov) {
        let id = self.functions.len();
        let Some(pf) = self.functions.get(card) else { return };
        let Some(address) = vf_address(&pf.address, number, sriov) else {
            return;
        };
        let (gpu, numa, home) = (pf.gpu, pf.numa, pf.home.clone());
        let path = format!("{ROOT}/{address}");
        let parent = self.add_parent(gpu, &address, &path, Some(id));
        self.functions.push(Function {
            address,
            path,
            dir: 0,
            gpu,
            parent: Some(parent),
            number: Some(number),
            numa,
            group: None,
            driver: None,
            home,
            nodes: Vec::new(),
            driver_nodes: Vec::new(),
        });
    }

    /// The VFs of a card as many as it has now: the others go, each new one is there and offers its types.
    pub(crate) fn lay_vfs(&mut self, gpu: GpuId) {
        let Some(at) = self.gpus.get(gpu) else { return };
        let (board, enabled, card) = (at.board.clone(), at.vfs, at.function);
        let Some(pf) = card.and_then(|id| self.functions.get(id)) else {
            return;
        };
        let (pf_path, pf_dir) = (pf.path.clone(), pf.dir);
        let vfs: Vec<(FunctionId, usize)> = self
            .functions
            .iter()
            .enumerate()
            .filter(|(_, function)| function.gpu == gpu)
            .filter_map(|(id, function)| Some((id, function.number?)))
            .collect();
        for (id, _) in &vfs {
            self.drop_function(*id);
        }
        let first = board
            .sriov
            .as_ref()
            .and_then(|sriov| sriov.groups)
            .map_or(CARD_GROUPS, |groups| groups.vfs);
        let root = self.tree.lasting_dir(ROOT);
        for (id, number) in vfs.into_iter().filter(|(_, number)| *number < enabled) {
            let group = self.free_group_from(first);
            let Some(function) = self.functions.get_mut(id) else {
                continue;
            };
            // Not lasting: a VF can go.
            function.dir = self.tree.dir(root, &function.address);
            function.group = Some(group);
            function.driver = Some(function.home.clone());
            let (dir, path, parent) = (function.dir, function.path.clone(), function.parent);
            self.lay_function(id, &board);
            self.tree.link(dir, "physfn", &path, &pf_path);
            let link = self.tree.link(pf_dir, &format!("virtfn{number}"), &pf_path, &path);
            if let Some(function) = self.functions.get_mut(id) {
                function.nodes.push(link);
            }
            if let Some(parent) = parent {
                self.offer(parent);
            }
        }
    }

    /// The files of a function that do not depend on its driver; then those that do.
    fn lay_function(&mut self, id: FunctionId, board: &Board) {
        let (Some(pci), Some(function)) = (&board.pci, self.functions.get_mut(id)) else {
            return;
        };
        let (tree, dir, path) = (&mut self.tree, function.dir, function.path.as_str());
        let is_vf = function.number.is_some();
        let vf = board.sriov.as_ref().filter(|_| is_vf);
        let ids = Ids::of(board, pci, vf);
        for (name, value) in [
            ("vendor", ids.vendor),
            ("device", ids.device),
            ("class", ids.class),
            ("subsystem_vendor", ids.subsystem_vendor),
            ("subsystem_device", ids.subsystem_device),
            ("revision", "0xa1"),
        ] {
            tree.text(dir, name, format!("{value}\n"));
        }
        if ids.class.starts_with("0x0300") && !is_vf {
            tree.text(dir, "boot_vga", format!("{}\n", u8::from(pci.boot_vga)));
        }
        let (node, cpus) = match function.numa {
            Some(node) => (node.to_string(), self.node_cpus.get(node).cloned().unwrap_or_default()),
            // Not known: near to every CPU.
            None => ("-1".to_owned(), self.node_cpus.join(",")),
        };
        tree.file(dir, "numa_node", 0o644, Attr::Text(format!("{node}\n")));
        tree.text(dir, "local_cpulist", format!("{cpus}\n"));
        let reset = if is_vf { "flr\n" } else { "flr bus\n" };
        tree.file(dir, "reset_method", 0o644, Attr::Text(reset.to_owned()));
        tree.dir(dir, "power");
        tree.link(dir, "subsystem", path, "/sys/bus/pci");
        let devices = tree.lasting_dir(BUS);
        function.nodes.push(tree.link(devices, &function.address, BUS, path));
        if let Some(group) = function.group {
            let groups = tree.lasting_dir(GROUPS);
            let group_path = format!("{GROUPS}/{group}");
            let group_dir = tree.dir(groups, &group.to_string());
            function.nodes.push(group_dir);
            tree.text(group_dir, "reserved_regions", "");
            tree.file(group_dir, "type", 0o644, Attr::Text("DMA-FQ\n".to_owned()));
            let members = tree.dir(group_dir, "devices");
            tree.link(members, &function.address, &format!("{group_path}/devices"), path);
            tree.link(dir, "iommu_group", path, &group_path);
        }
        self.lay_driver_of(id);
    }

    /// What depends on the driver: `driver`, `driver_override`, `uevent`, the driver's link, `/dev/vfio/N`.
    pub(crate) fn lay_driver_of(&mut self, id: FunctionId) {
        let Some(function) = self.functions.get_mut(id) else {
            return;
        };
        let (tree, dir, path) = (&mut self.tree, function.dir, function.path.as_str());
        for node in function.driver_nodes.drain(..) {
            tree.remove(node);
        }
        let given = function.driver.as_deref().filter(|driver| *driver == "vfio-pci");
        let text = format!("{}\n", given.unwrap_or("(null)"));
        tree.file(dir, "driver_override", 0o644, Attr::Text(text));
        let board = self.gpus.get(function.gpu).map(|gpu| gpu.board.clone());
        let pci = board.as_ref().and_then(|board| Some((board, board.pci.as_ref()?)));
        if let Some((board, pci)) = pci {
            let vf = board.sriov.as_ref().filter(|_| function.number.is_some());
            let uevent = Ids::of(board, pci, vf).uevent(function.driver.as_deref(), &function.address);
            tree.file(dir, "uevent", 0o644, Attr::Text(uevent));
        }
        let Some(driver) = &function.driver else { return };
        let driver_path = format!("/sys/bus/pci/drivers/{driver}");
        tree.lasting_dir(&format!("/sys/module/{}", driver.replace('-', "_")));
        let driver_dir = tree.lasting_dir(&driver_path);
        function.driver_nodes = vec![
            tree.link(driver_dir, &function.address, &driver_path, path),
            tree.link(dir, "driver", path, &driver_path),
        ];
        if let (Some(group), "vfio-pci") = (function.group, driver.as_str()) {
            let dev = tree.lasting_dir("/dev/vfio");
            function
                .driver_nodes
                .push(tree.file(dev, &group.to_string(), 0o600, Attr::Container));
        }
    }

    fn drop_function(&mut self, id: FunctionId) {
        let Some(function) = self.functions.get_mut(id) else {
            return;
        };
        if function.group.take().is_none() {
            return;
        }
        function.driver = None;
        for node in function.nodes.drain(..).chain(function.driver_nodes.drain(..)) {
            self.tree.remove(node);
        }
        self.tree.remove(function.dir);
    }

    /// A function that is there now.
    pub(crate) fn function_at(&self, address: &str) -> Result<FunctionId, Errno> {
        let there = |function: &Function| function.address == address && function.group.is_some();
        self.functions.iter().position(there).ok_or(Errno::ENOENT)
    }

    /// The lowest IOMMU group from this one on that nobody has.
    pub(crate) fn free_group_from(&self, first: u32) -> u32 {
        let devices = self.devices.values().map(|device| device.group);
        let used: Vec<u32> = devices.chain(self.functions.iter().filter_map(|f| f.group)).collect();
        (first..).find(|group| !used.contains(group)).unwrap_or(u32::MAX)
    }
}

/// What a function calls itself.
struct Ids<'a> {
    vendor: &'a str,
    device: &'a str,
    class: &'a str,
    subsystem_vendor: &'a str,
    subsystem_device: &'a str,
}

impl<'a> Ids<'a> {
    /// Of a card, or of its VFs: those are 3D controllers without a subsystem of their own (capture of an A2).
    fn of(board: &'a Board, pci: &'a Pci, vf: Option<&'a Sriov>) -> Self {
        Ids {
            vendor: &pci.vendor,
            device: vf.map_or(&pci.device, |sriov| vf_device(board, sriov)),
            class: if vf.is_some() { "0x030200" } else { &pci.class },
            subsystem_vendor: &pci.subsystem_vendor,
            subsystem_device: if vf.is_some() { "0x0000" } else { &pci.subsystem_device },
        }
    }

    fn uevent(&self, driver: Option<&str>, address: &str) -> String {
        let hex = |text: &str| text.trim_start_matches("0x").to_uppercase();
        let driver = driver.map(|driver| format!("DRIVER={driver}\n")).unwrap_or_default();
        format!(
            "{driver}PCI_CLASS={}\nPCI_ID={}:{}\nPCI_SUBSYS_ID={}:{}\nPCI_SLOT_NAME={address}\n",
            hex(self.class).trim_start_matches('0'),
            hex(self.vendor),
            hex(self.device),
            hex(self.subsystem_vendor),
            hex(self.subsystem_device),
        )
    }
}

fn vf_device<'a>(board: &'a Board, sriov: &'a Sriov) -> &'a str {
    let own = board.pci.as_ref().map_or("0x0000", |pci| &pci.device);
    sriov.vf_device.as_deref().unwrap_or(own)
}

/// Routing ids count through functions, then devices, then buses (`pci_iov_virtfn_bus`, `pci_iov_virtfn_devfn`).
fn vf_address(pf: &str, number: usize, sriov: &Sriov) -> Option<String> {
    let (domain, rest) = pf.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    let pf = hex(bus)? << 8 | hex(device)? << 3 | hex(function)?;
    let at = pf + u32::from(sriov.offset) + u32::try_from(number).ok()? * u32::from(sriov.stride);
    Some(format!("{domain}:{:02x}:{:02x}.{}", at >> 8, at >> 3 & 0x1f, at & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vfs_follow_each_other_as_in_the_capture() {
        let sriov = Sriov {
            totalvfs: 16,
            offset: 4,
            stride: 1,
            vf_device: None,
            groups: None,
        };
        for (number, address) in [
            (0, "0000:08:00.4"),
            (3, "0000:08:00.7"),
            (4, "0000:08:01.0"),
            (12, "0000:08:02.0"),
            (15, "0000:08:02.3"),
            (252, "0000:09:00.0"),
        ] {
            assert_eq!(vf_address("0000:08:00.0", number, &sriov).unwrap(), address);
        }
    }
}
