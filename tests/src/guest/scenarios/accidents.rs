//! libvirtd or the hook dies, a device vanishes, another hook fails, a file is broken.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::cmd::{run, virsh};
use crate::domain::{Domain, device_uuid, hostdev, put};
use crate::guest_os::PowerButton;
use crate::lab::{CONFIGURATION, Lab, of, qemu_pid, signal_to};
use crate::wait;
use crate::{Outcome, ensure, hook, kernel, ledger};

pub(super) fn libvirtd_restarted(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    for end in [Lab::stop_libvirtd, Lab::kill_libvirtd] {
        end(lab)?;
        run("mdevkit", &["reconcile", "--grace", "0"])?;
        lab.expect_same(&device)?;
        lab.start_libvirtd()?;
        lab.expect_served("vm", &uuid, "mtty-2")?;
        run("mdevkit", &["reconcile", "--grace", "0"])?;
        lab.expect_same(&device)?;
    }
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn qemu_dies_alone(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    let pid = qemu_pid("vm").ok_or("vm has no QEMU")?;
    lab.stop_libvirtd()?;
    signal_to(pid, Signal::SIGKILL)?;
    lab.start_libvirtd()?;
    lab.wait_for_end("vm")?;
    wait::until("its device is gone", || lab.devices().is_empty())
}

pub(super) fn libvirtd_killed_in_prepare(lab: &mut Lab) -> Outcome {
    let domain = Domain::new("vm", 1).asks(0, "mtty-2", &device_uuid(1));
    lab.define(&domain)?;
    let frozen = hook::freeze_in_prepare(lab, &domain)?;
    lab.kill_libvirtd()?;
    lab.start_libvirtd()?;
    frozen.thaw()?; // it ends on its own, and whatever it made has no domain
    frozen.start.wait()?.refused(&[])?;
    run("mdevkit", &["reconcile"])?;
    lab.expect_devices(&[])?;
    ensure!(ledger::records()?.is_empty(), "reconcile left {:?}", ledger::records());
    Ok(())
}

pub(super) fn second_start_beside_an_orphan(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mtty-2", &uuid);
    lab.define(&domain)?;
    let frozen = hook::freeze_in_prepare(lab, &domain)?;
    lab.kill_libvirtd()?;
    lab.start_libvirtd()?;
    let second = lab.begin_start("vm")?;
    wait::until("a second hook runs", || hook::processes().len() == 2)?;
    frozen.thaw()?;
    frozen.start.wait()?.refused(&[])?;
    second.wait()?.ok()?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.expect_devices(&[&uuid])?;
    // The orphan's daemon is gone: that must not cost the second start its device.
    run("mdevkit", &["reconcile", "--grace", "0"])?;
    lab.expect_same(&device)?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn hook_killed(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mtty-2", &uuid);
    lab.define(&domain)?;
    let frozen = hook::freeze_in_prepare(lab, &domain)?;
    signal_to(frozen.hook, Signal::SIGKILL)?;
    frozen.start.wait()?.refused(&["Hook script execution failed"])?;
    lab.expect_devices(&[])?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn later_hook_fails(lab: &mut Lab) -> Outcome {
    const LATER: &str = "/etc/libvirt/hooks/qemu.d/90-another";
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &device_uuid(1)))?;
    put(LATER, b"#!/bin/sh\n[ $2 != prepare ] && exit 0\nls /sys/bus/mdev/devices > /tmp/seen\necho another hook says no >&2\nexit 1\n")?;
    fs::set_permissions(LATER, fs::Permissions::from_mode(0o755)).map_err(|e| format!("{LATER}: {e}"))?;
    virsh(&["start", &of("vm")])?.refused(&["another hook says no"])?;
    fs::remove_file(LATER).map_err(|e| format!("{LATER}: {e}"))?;
    let seen = fs::read_to_string("/tmp/seen").unwrap_or_default();
    ensure!(
        seen.contains(&device_uuid(1)),
        "the later hook saw no device of ours: {seen}"
    );
    lab.expect_devices(&[])
}

/// A guest with its device unplugged while it runs; the device itself is still there, and ours.
fn detached(lab: &Lab) -> Outcome<String> {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1)
        .boots(PowerButton::SwitchOff)?
        .asks(0, "mtty-2", &uuid);
    lab.define(&domain)?;
    lab.start("vm")?;
    wait::until("the guest has booted", || domain.boots_so_far() == 1)?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    put("/tmp/hostdev.xml", hostdev(&uuid, "").as_bytes())?;
    virsh(&["detach-device", &of("vm"), "/tmp/hostdev.xml", "--live"])?.ok()?;
    wait::until("the guest lets go of the device", || {
        qemu_pid("vm").is_some_and(|pid| !kernel::has_vfio_open(pid))
            && lab.dump("vm", &[]).is_ok_and(|xml| !xml.contains(&uuid))
    })?;
    lab.expect_devices(&[&uuid])?;
    Ok(uuid)
}

pub(super) fn detached_device(lab: &mut Lab) -> Outcome {
    detached(lab)?;
    lab.destroy("vm")?; // libvirt's XML no longer names the device; the ledger does
    lab.expect_devices(&[])
}

pub(super) fn nodedev_destroyed(lab: &mut Lab) -> Outcome {
    let uuid = detached(lab)?;
    let name = format!("mdev_{}_mtty", uuid.replace('-', "_"));
    virsh(&["nodedev-destroy", &name])?.ok()?;
    lab.expect_devices(&[])?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    ensure!(
        ledger::records()?.is_empty(),
        "a record of a device that is gone: {:?}",
        ledger::records()
    );
    lab.start("vm")?; // the device is still in the domain's configuration
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.destroy("vm")
}

pub(super) fn broken_configuration(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    let sound = fs::read(CONFIGURATION).map_err(|e| format!("{CONFIGURATION}: {e}"))?;
    put(CONFIGURATION, b"# line one\n= broken\n")?;
    lab.stop_libvirtd()?;
    lab.start_libvirtd()?;
    lab.expect_served("vm", &uuid, "mtty-2")?; // a hook that fails now kills the guest
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    lab.start_refused("vm", "E-CONFIG", &[CONFIGURATION, "2"])?;
    lab.expect_devices(&[])?;
    put(CONFIGURATION, &sound)
}

pub(super) fn newer_ledger(lab: &mut Lab) -> Outcome {
    const NEWER: &str = "{\"version\":2,\"records\":[]}";
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &device_uuid(1)))?;
    fs::create_dir_all("/run/mdevkit").map_err(|e| format!("/run/mdevkit: {e}"))?;
    fs::set_permissions("/run/mdevkit", fs::Permissions::from_mode(0o700)).map_err(|e| format!("/run/mdevkit: {e}"))?;
    put(ledger::LEDGER, NEWER.as_bytes())?;
    let refused = lab.start_refused("vm", "E-LEDGER", &[ledger::LEDGER]);
    let now = fs::read_to_string(ledger::LEDGER).unwrap_or_default();
    fs::remove_file(ledger::LEDGER).map_err(|e| format!("{}: {e}", ledger::LEDGER))?;
    refused?;
    ensure!(now == NEWER, "a newer version's ledger was changed to {now}");
    lab.expect_devices(&[])
}
