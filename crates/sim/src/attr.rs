//! What a file of the tree is: the question it answers and the order it takes.

use nix::errno::Errno;

/// A type of a parent, by its place in the host's list.
pub(crate) type TypeId = usize;

/// A parent, by its place in the host's list.
pub(crate) type ParentId = usize;

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
    /// `/dev/vfio/vfio`
    Container,
    /// `/dev/vfio/N`: one opener, who thereby is the VM that holds the device.
    Group(DeviceId),
    /// `/sim/control`
    Control,
    /// `/sim/log`
    Log,
}
