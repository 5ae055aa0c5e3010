//! Starting and stopping: all the ways a domain comes and goes.

use std::fs;

use nix::sys::signal::Signal;

use crate::cmd::virsh;
use crate::domain::{Domain, device_uuid, device_uuids};
use crate::guest_os::PowerButton;
use crate::lab::{Lab, of, qemu_pid, signal_to};
use crate::wait;
use crate::{Outcome, ensure, hook, ledger};

pub(super) fn no_request(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("plain", 1))?;
    let mark = ledger::log_length();
    lab.start("plain")?;
    lab.expect_running("plain")?;
    lab.expect_devices(&[])?;
    lab.destroy("plain")?;
    let log = ledger::log_since(mark);
    ensure!(log.is_empty(), "the hook logged: {log}");
    Ok(())
}

pub(super) fn start_destroy(lab: &mut Lab) -> Outcome {
    let domain = Domain::new("vm", 1);
    let uuid = only_device(&domain.injected(&["--type", "mtty-2"])?)?;
    lab.define_file(&domain.file_name())?;
    lab.expect_devices(&[])?;
    lab.start("vm")?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    ensure!(device.parent == "mtty", "parent is {}", device.parent);
    let domain_uuid = domain.uuid.as_str();
    ledger::expect_listed(
        &uuid,
        &[
            ("parent", "mtty"),
            ("type", "mtty-2"),
            ("owner", "mdevkit"),
            ("in_use", "yes"),
            ("domain_name", "vm"),
            ("domain_uuid", domain_uuid),
        ],
    )?;
    lab.destroy("vm")?;
    ensure!(qemu_pid("vm").is_none(), "vm still runs");
    lab.expect_devices(&[])?;
    // A second release, as after an upgrade of libvirt in between, finds nothing to do and says nothing.
    let again = hook::run(&domain, "release", "end")?;
    ensure!(
        again.out.is_empty() && again.err.is_empty(),
        "a second release says {} {}",
        again.out,
        again.err
    );
    again.ok().map(drop)
}

pub(super) fn by_hand(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1)
        .request(&format!("type='mtty-1' uuid='{uuid}'"))
        .hostdev(&uuid, None);
    lab.define(&domain)?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-1")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn shutdown_and_reboot(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1)
        .boots(PowerButton::SwitchOff)?
        .asks(0, "mtty-2", &uuid);
    lab.define(&domain)?;
    lab.start("vm")?;
    wait::until("the guest has booted", || domain.boots_so_far() == 1)?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    virsh(&["reboot", &of("vm")])?.ok()?;
    wait::until("the guest has rebooted", || domain.boots_so_far() == 2)?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.expect_same(&device)?;
    virsh(&["shutdown", &of("vm")])?.ok()?;
    lab.wait_for_end("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn reset(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).boots(PowerButton::Reset)?.asks(0, "mtty-2", &uuid);
    lab.define(&domain)?;
    lab.start("vm")?;
    wait::until("the guest has booted", || domain.boots_so_far() == 1)?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    virsh(&["shutdown", &of("vm")])?.ok()?; // this guest answers by a reset
    wait::until("the guest has reset itself", || domain.boots_so_far() == 2)?;
    virsh(&["reset", &of("vm")])?.ok()?;
    wait::until("the guest was reset", || domain.boots_so_far() == 3)?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.expect_same(&device)?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn two_types(lab: &mut Lab) -> Outcome {
    let file = Domain::new("vm", 1).injected(&["--type", "mtty-2", "--type", "mdpy-vga"])?;
    lab.define_file(&file)?;
    lab.start("vm")?;
    let mut found: Vec<_> = lab
        .devices()
        .into_iter()
        .map(|device| (device.kind, device.parent, device.uuid))
        .collect();
    found.sort();
    let kinds: Vec<&str> = found.iter().map(|(kind, ..)| kind.as_str()).collect();
    ensure!(kinds == ["mdpy-vga", "mtty-2"], "devices are {found:?}");
    for (kind, _, uuid) in &found {
        lab.expect_served("vm", uuid, kind)?;
    }
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn qemu_killed(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    let pid = qemu_pid("vm").ok_or("vm has no QEMU")?;
    signal_to(pid, Signal::SIGKILL)?;
    lab.wait_for_end("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn transient(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mbochs-small", &uuid);
    virsh(&["create", &domain.file()?])?.ok()?;
    lab.expect_served("vm", &uuid, "mbochs-small")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn redefined_while_running(lab: &mut Lab) -> Outcome {
    let (old, new) = (device_uuid(1), device_uuid(2));
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &old))?;
    lab.start("vm")?;
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-1", &new))?;
    lab.expect_served("vm", &old, "mtty-2")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    lab.start("vm")?;
    lab.expect_served("vm", &new, "mtty-1")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

pub(super) fn autostart(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    virsh(&["autostart", &of("vm")])?.ok()?;
    lab.stop_libvirtd()?;
    // libvirt's note that autostart is done on this boot.
    fs::remove_file("/run/libvirt/qemu/autostarted").map_err(|e| format!("autostarted: {e}"))?;
    lab.start_libvirtd()?;
    wait::until("vm runs", || lab.state("vm").is_ok_and(|state| state == "running"))?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    virsh(&["autostart", "--disable", &of("vm")])?.ok()?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

/// The device of a domain file that has one.
pub(super) fn only_device(file: &str) -> Outcome<String> {
    let xml = fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let [uuid] = device_uuids(&xml)
        .try_into()
        .map_err(|uuids| format!("not one device in {file}: {uuids:?}"))?;
    Ok(uuid)
}
