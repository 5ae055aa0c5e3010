//! What a board file may say. Each field is a fact about hardware or driver; nothing here computes.

use nix::errno::Errno;
use serde::{Deserialize, Deserializer};

use crate::capacity::{Rule, Share};
use crate::mig::MigData;
use crate::placement::Architecture;

/// One file of `boards/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Board {
    pub(crate) description: String,
    /// The driver bound to the parent: the first half of every type directory's name.
    #[serde(default = "nvidia")]
    pub(crate) parent_driver: String,
    /// The mdev driver that the devices bind to (from Linux 6.1 on).
    #[serde(default = "nvidia_vgpu_vfio")]
    pub(crate) mdev_driver: String,
    #[serde(default = "vfio_pci")]
    pub(crate) device_api: String,
    #[serde(default)]
    pub(crate) capacity: Rule,
    #[serde(default)]
    pub(crate) old: Old,
    pub(crate) pci: Option<Pci>,
    pub(crate) sriov: Option<Sriov>,
    pub(crate) mig: Option<MigData>,
    pub(crate) nvidia: Option<Nvidia>,
    #[serde(rename = "virtual")]
    pub(crate) virtual_device: Option<Virtual>,
    #[serde(rename = "type", default)]
    pub(crate) types: Vec<TypeData>,
    #[serde(rename = "device_attr", default)]
    pub(crate) device_attrs: Vec<DeviceAttr>,
}

/// How the driver differs on kernels before 6.1, where `name` and the room were its own business.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Old {
    /// Its types have no `name` file.
    #[serde(default)]
    pub(crate) nameless: bool,
    /// What it answers when it is full, from its create call.
    #[serde(default, deserialize_with = "errno")]
    pub(crate) full: Option<Errno>,
    /// Up to 5.2: its answer to the removal of a device in use; none: it does not object.
    #[serde(default, deserialize_with = "errno")]
    pub(crate) in_use: Option<Errno>,
}

/// Cards: PCI functions that are parents, or the PFs of parents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pci {
    #[serde(default = "vendor_nvidia")]
    pub(crate) vendor: String,
    pub(crate) device: String,
    #[serde(default = "class_3d")]
    pub(crate) class: String,
    #[serde(default = "vendor_nvidia")]
    pub(crate) subsystem_vendor: String,
    #[serde(default = "zero")]
    pub(crate) subsystem_device: String,
    #[serde(default = "one")]
    pub(crate) gpus_per_board: u32,
    #[serde(default = "sixteen")]
    pub(crate) max_count: u32,
    /// The firmware drew the console on it.
    #[serde(default)]
    pub(crate) boot_vga: bool,
    /// The CPUs of each NUMA node of the host.
    #[serde(default = "two_sockets")]
    pub(crate) numa_cpus: Vec<String>,
    #[serde(default = "four_slots")]
    pub(crate) slots: Vec<Slot>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) address: String,
    /// None: the firmware does not say (`numa_node` is -1).
    pub(crate) numa: Option<usize>,
}

/// The SR-IOV capability of each card.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sriov {
    pub(crate) totalvfs: u16,
    #[serde(default = "four")]
    pub(crate) offset: u16,
    #[serde(default = "one16")]
    pub(crate) stride: u16,
    /// The VFs' device id, when it is not the PF's.
    pub(crate) vf_device: Option<String>,
    /// Where a real host numbers its IOMMU groups from.
    pub(crate) groups: Option<Groups>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Groups {
    pub(crate) pf: u32,
    pub(crate) vfs: u32,
    pub(crate) devices: u32,
}

/// A table of NVIDIA types: id and short name; name, description and count follow from them (`nvidia`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nvidia {
    /// What stands before the hyphen in a type's name: `NVIDIA A40`.
    pub(crate) prefix: String,
    /// Framebuffer of one GPU, GiB.
    pub(crate) framebuffer: u32,
    /// For mixed sizes; none: the driver does not offer them.
    pub(crate) architecture: Option<Architecture>,
    /// Largest resolution of Q types above 1 GiB.
    #[serde(default = "eight_k")]
    pub(crate) q_resolution: String,
    /// Largest resolution of C types; it grew with R525.
    #[serde(default = "four_k")]
    pub(crate) c_resolution: String,
    /// `ID SHORT-NAME [max=N] [gi=PROFILE] [per-gi=N]`
    pub(crate) types: Vec<String>,
}

/// Parents that are not PCI functions, of which a kernel has one of each name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Virtual {
    /// `/sys/class/CLASS`, with the parent in `/sys/devices/virtual/CLASS`.
    pub(crate) class: Option<String>,
    /// Or `/sys/bus/BUS`, with the parent in `directory`.
    pub(crate) bus: Option<String>,
    pub(crate) directory: Option<String>,
    /// COUNT of the first of these.
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeData {
    /// The driver's `sysfs_name`: the second half of the type directory's name.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// What `{detail}` stands for in the text of a device's file.
    #[serde(default)]
    pub(crate) detail: String,
    /// What one device of it takes.
    #[serde(default)]
    pub(crate) share: Share,
}

/// A file that the driver puts into each device's directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceAttr {
    /// `group/name`, relative to the device.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) behaviour: Behaviour,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// `text` with `{uuid}`, `{detail}` and `{ordinal}` replaced.
    #[default]
    Text,
    VgpuParams,
    VmName,
    PlacementId,
    GpuInstanceId,
    /// vfio-ap: takes the number of an adapter, a domain or a control domain, or takes it away.
    ApAssign,
    ApMatrix,
    ApControlDomains,
}

impl Board {
    /// Parents that one COUNT may stand for: the largest COUNT.
    pub(crate) fn most(&self) -> u32 {
        match (&self.pci, &self.virtual_device) {
            (Some(pci), _) => pci.max_count,
            (None, Some(place)) => u32::try_from(place.names.len()).unwrap_or(1),
            (None, None) => 0,
        }
    }
}

fn errno<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Errno>, D::Error> {
    let name = String::deserialize(from)?;
    let found = crate::error::errno_by_name(&name);
    found
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("no errno '{name}'")))
}

fn nvidia() -> String {
    "nvidia".to_owned()
}

fn nvidia_vgpu_vfio() -> String {
    "nvidia-vgpu-vfio".to_owned()
}

fn vfio_pci() -> String {
    "vfio-pci".to_owned()
}

fn vendor_nvidia() -> String {
    "0x10de".to_owned()
}

fn class_3d() -> String {
    "0x030200".to_owned()
}

fn zero() -> String {
    "0x0000".to_owned()
}

fn eight_k() -> String {
    "7680x4320".to_owned()
}

fn four_k() -> String {
    "4096x2160".to_owned()
}

fn one() -> u32 {
    1
}

fn sixteen() -> u32 {
    16
}

fn one16() -> u16 {
    1
}

fn four() -> u16 {
    4
}

/// Two sockets of 16 cores with two threads each.
fn two_sockets() -> Vec<String> {
    ["0-15,32-47", "16-31,48-63"].map(str::to_owned).to_vec()
}

/// Two cards on each socket.
fn four_slots() -> Vec<Slot> {
    [(0x3b, 0), (0x5e, 0), (0xaf, 1), (0xd8, 1)]
        .map(|(bus, numa)| Slot {
            address: format!("0000:{bus:02x}:00.0"),
            numa: Some(numa),
        })
        .to_vec()
}
