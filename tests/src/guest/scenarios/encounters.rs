//! A device of the wanted UUID exists already: whose it is decides what prepare does.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cmd::{Cmd, virsh};
use crate::domain::{Domain, device_uuid};
use crate::lab::{Lab, of, signal_to};
use crate::wait;
use crate::{Outcome, ensure, hook, kernel, ledger};

pub(super) fn own_is_adopted(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mtty-2", &uuid);
    hook::run(&domain, "prepare", "begin")?.ok()?;
    let device = kernel::device(&uuid).ok_or("prepare made no device")?;
    lab.define(&domain)?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.expect_same(&device)?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

/// Something holds the device while its domain ends: the release neither waits for ever nor takes it away, a start
/// meanwhile is refused in time, and one afterwards succeeds.
pub(super) fn being_released(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mtty-2", &uuid);
    hook::run(&domain, "prepare", "begin")?.ok()?;
    let holder = hold(&uuid)?;
    let release = hook::run(&domain, "release", "end")?;
    ensure!(
        release.took < Duration::from_secs(5),
        "release took {:?} on a device in use",
        release.took
    );
    release.ok()?;
    ensure!(
        kernel::device(&uuid).is_some(),
        "release took a device away that is in use"
    );
    lab.define(&domain)?;
    let start = virsh(&["start", &of("vm")])?;
    ensure!(start.took < Duration::from_secs(15), "the start took {:?}", start.took);
    start.refused(&["mdevkit[E-BUSY]", &uuid])?;
    signal_to(holder.pid(), Signal::SIGKILL)?;
    holder.wait()?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

/// A QEMU of somebody's own that has the device open.
fn hold(uuid: &str) -> Outcome<crate::cmd::Running> {
    let mut holder = Cmd::new("qemu-system-x86_64")
        .args(["-S", "-nodefaults", "-display", "none", "-m", "64", "-machine", "q35"])
        .args(["-device", &format!("vfio-pci,sysfsdev=/sys/bus/mdev/devices/{uuid}")])
        .spawn()?;
    wait::until("a QEMU has the device open", || {
        kernel::has_vfio_open(holder.pid()) || holder.is_done()
    })?;
    ensure!(!holder.is_done(), "{}", holder.wait()?);
    Ok(holder)
}

pub(super) fn of_another_domain(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("first", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("first")?;
    let device = lab.expect_served("first", &uuid, "mtty-2")?;
    lab.define(&Domain::new("second", 2).asks(0, "mtty-2", &uuid))?;
    lab.start_refused("second", "E-OWNED", &["first", &uuid])?;
    lab.expect_served("first", &uuid, "mtty-2")?;
    lab.expect_same(&device)?;
    // Without a request it is libvirt that refuses, and then calls our release with the first one's device in the XML.
    lab.define(&Domain::new("third", 3).hostdev(&uuid, None))?;
    virsh(&["start", &of("third")])?.refused(&["in use by driver QEMU, domain first"])?;
    lab.expect_served("first", &uuid, "mtty-2")?;
    lab.expect_same(&device)?;
    lab.destroy("first")?;
    lab.expect_devices(&[])
}

pub(super) fn foreign_is_used(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let device = kernel::create("mtty", "mtty-2", &uuid)?;
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    lab.expect_in_guest("vm", &uuid)?;
    lab.expect_same(&device)?;
    ensure!(ledger::records()?.is_empty(), "a foreign device is in the ledger");
    ledger::expect_listed(&uuid, &[("owner", "foreign"), ("in_use", "yes"), ("type", "mtty-2")])?;
    lab.destroy("vm")?;
    lab.expect_same(&device)?;
    kernel::remove(&uuid)
}

pub(super) fn foreign_of_another_type(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let device = kernel::create("mtty", "mtty-1", &uuid)?;
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start_refused("vm", "E-FOREIGN", &["mtty-1", "mtty-2", &uuid])?;
    lab.expect_same(&device)?;
    kernel::remove(&uuid)
}

pub(super) fn plain_mdev(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let device = kernel::create("mtty", "mtty-2", &uuid)?;
    lab.define(&Domain::new("plain", 1).hostdev(&uuid, None))?;
    let mark = ledger::log_length();
    lab.start("plain")?;
    lab.expect_in_guest("plain", &uuid)?;
    let log = ledger::log_since(mark);
    ensure!(log.is_empty(), "not ours, yet the hook logged: {log}");
    // A request for the same device, which is foreign and not idle.
    lab.define(&Domain::new("vm", 2).asks(0, "mtty-2", &uuid))?;
    virsh(&["start", &of("vm")])?.refused(&["in use"])?;
    lab.expect_in_guest("plain", &uuid)?;
    lab.destroy("plain")?;
    lab.expect_same(&device)?;
    kernel::remove(&uuid)
}
