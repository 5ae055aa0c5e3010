//! What a file of the tree is: the question it answers and the order it takes.

use nix::errno::Errno;

/// A type of a parent, by its place in the host's list.
pub(crate) type TypeId = usize;

/// A parent, by its place in the host's list.
pub(crate) type ParentId = usize;

/// A card (or what stands for one, where it is not PCI), by its place in the host's list.
pub(crate) type GpuId = usize;

/// A PCI function, by its place in the host's list.
pub(crate) type FunctionId = usize;

/// A device; never used twice.
pub(crate) type DeviceId = u64;

#[derive(Debug, Clone)]
pub(crate) enum Attr {
    /// A text that never changes. Writing is accepted and forgotten where the mode allows it.
    Text(String),
    /// Write only, and this is the answer.
    Refuses(Errno),
    /// `mdev_supported_types/T/create`
    Create(TypeId),
    /// `mdev_supported_types/T/available_instances`
    Available(TypeId),
    /// `UUID/remove`
    Remove(DeviceId),
    /// `UUID/nvidia/vgpu_params`
    VgpuParams(DeviceId),
    /// `UUID/nvidia/vm_name`
    VmName(DeviceId),
    /// `UUID/nvidia/placement_id`
    PlacementId(DeviceId),
    /// `UUID/nvidia/gpu_instance_id`
    GpuInstanceId(DeviceId),
    /// `UUID/assign_adapter` and its five siblings
    ApAssign(DeviceId, ApSet, bool),
    /// `UUID/matrix`
    ApMatrix(DeviceId),
    /// `UUID/control_domains`
    ApControlDomains(DeviceId),
    /// `sriov_numvfs` of a PF
    NumVfs(GpuId),
    /// `/dev/vfio/vfio`, and the group of a card that is passed through
    Container,
    /// `/dev/vfio/N`: one opener, who thereby is the VM that holds the device.
    Group(DeviceId),
    /// `/sim/control`
    Control,
    /// `/sim/log`
    Log,
}

/// What a vfio-ap device is given numbers of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApSet {
    Adapters,
    Domains,
    ControlDomains,
}
