//! What the domain asks for, and what prepare makes of requests and hostdevs.

use crate::cmd::{Cmd, virsh};
use crate::domain::{Domain, device_uuid, device_uuids, domain_uuid, hostdev, put};
use crate::lab::{Lab, of};
use crate::{Outcome, ensure, hook, kernel, ledger};

use super::life::only_device;

/// All that mdpy can make, by hand; the UUIDs.
pub(super) fn fill_mdpy() -> Outcome<Vec<String>> {
    let mut made = Vec::new();
    while kernel::available("mdpy", "mdpy-vga")? > 0 {
        let number = 9000 + u32::try_from(made.len()).map_err(|e| e.to_string())?;
        made.push(kernel::create("mdpy", "mdpy-vga", &device_uuid(number))?.uuid);
    }
    ensure!(!made.is_empty(), "mdpy was full already");
    Ok(made)
}

pub(super) fn full(lab: &mut Lab) -> Outcome {
    let made = fill_mdpy()?;
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    lab.define(&Domain::new("vm", 1).asks(0, "mdpy-vga", &device_uuid(1)))?;
    lab.start_refused("vm", "E-FULL", &["no mdpy-vga left: 1 parent is full"])?;
    lab.expect_devices(&made)?;
    // One of two: what was made for the first request is undone.
    lab.define(
        &Domain::new("vm", 1)
            .asks(0, "mtty-2", &device_uuid(1))
            .asks(1, "mdpy-vga", &device_uuid(2)),
    )?;
    lab.start_refused("vm", "E-FULL", &["mdpy-vga"])?;
    lab.expect_devices(&made)?;
    ensure!(
        ledger::records()?.is_empty(),
        "records are left: {:?}",
        ledger::records()
    );
    made.iter().try_for_each(|uuid| kernel::remove(uuid))
}

pub(super) fn unknown_type(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("vm", 1).asks(0, "nvidia-64", &device_uuid(1)))?;
    lab.start_refused("vm", "E-TYPE", &["nvidia-64"])?;
    lab.define(&Domain::new("vm", 1).asks(0, "../../mtty-2", &device_uuid(1)))?;
    lab.start_refused("vm", "E-REQUEST", &["../../mtty-2"])?;
    lab.expect_devices(&[])
}

pub(super) fn never_injected(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("vm", 1).request("type='mtty-2'"))?;
    lab.start_refused("vm", "E-NOHOSTDEV", &["mtty-2", "mdevkit"])?;
    lab.expect_devices(&[])
}

pub(super) fn hostdev_gone(lab: &mut Lab) -> Outcome {
    let file = Domain::new("vm", 1).injected(&["--type", "mtty-2"])?;
    let uuid = only_device(&file)?;
    lab.define_file(&file)?;
    put("/tmp/hostdev.xml", hostdev(&uuid, "").as_bytes())?;
    virsh(&["detach-device", &of("vm"), "/tmp/hostdev.xml", "--config"])?.ok()?;
    let mark = ledger::log_length();
    lab.start("vm")?;
    lab.expect_running("vm")?;
    lab.expect_devices(&[])?;
    let log = ledger::log_since(mark);
    ensure!(
        log.contains("mtty-2") && log.contains("gone"),
        "no warning of the missing hostdev in the log: {log:?}"
    );
    lab.destroy("vm")
}

pub(super) fn alias_without_request(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("vm", 1).hostdev(&device_uuid(1), Some(0)))?;
    lab.start_refused("vm", "E-NOREQUEST", &["ua-mdevkit-0"])?;
    lab.expect_devices(&[])
}

pub(super) fn clone(lab: &mut Lab) -> Outcome {
    let original = Domain::new("original", 1).injected(&["--type", "mtty-2"])?;
    lab.define_file(&original)?;
    let theirs = only_device(&original)?;
    // What `virt-clone` does: everything but name and UUID.
    let xml = lab
        .dump("original", &["--inactive"])?
        .replace("original", "copy")
        .replace(&domain_uuid(1), &domain_uuid(2));
    let [uuid_line, requests_line] = ["<uuid>", " for="].map(|of| xml.lines().find(|line| line.contains(of)));
    let requests_line = requests_line.ok_or("the requests say not for which domain they are")?;
    ensure!(
        uuid_line.is_some_and(|line| line.contains(&domain_uuid(2))),
        "the copy has the wrong UUID"
    );
    let xml = xml.replace(requests_line, &requests_line.replace(&domain_uuid(2), &domain_uuid(1)));
    put("/tmp/copy.xml", xml.as_bytes())?;
    lab.define_file("/tmp/copy.xml")?;
    lab.start_refused("copy", "E-CLONE", &["mdevkit refresh", &domain_uuid(1)])?;
    lab.expect_devices(&[])?;

    crate::cmd::run("mdevkit", &["refresh", "/tmp/copy.xml"])?;
    let own = only_device("/tmp/copy.xml")?;
    ensure!(
        own != theirs,
        "after refresh the copy still has the original's device {theirs}"
    );
    lab.define_file("/tmp/copy.xml")?;
    lab.start("copy")?;
    lab.expect_served("copy", &own, "mtty-2")?;
    lab.destroy("copy")?;
    lab.expect_devices(&[])
}

pub(super) fn virsh_edit(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("vm", 1))?;
    let edit = |editor: &str| {
        Cmd::new("virsh")
            .args(["edit", "--domain=vm"])
            .env("EDITOR", editor)
            .env("VISUAL", editor)
            .run()
    };
    edit("mdevkit inject --type mtty-2")?.ok()?;
    let xml = lab.dump("vm", &["--inactive"])?;
    let [uuid] = device_uuids(&xml)
        .try_into()
        .map_err(|u| format!("not one device after the edit: {u:?}"))?;
    ensure!(
        xml.contains("urn:mdevkit:domain:1") && xml.contains("ua-mdevkit-0"),
        "not both pieces in: {xml}"
    );
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.destroy("vm")?;
    // An editor that fails leaves the domain as it is, and virsh says so.
    edit("mdevkit inject --type ../../x")?.refused(&[])?;
    ensure!(
        lab.dump("vm", &["--inactive"])? == xml,
        "a failed edit changed the domain"
    );
    edit("mdevkit eject --all")?.ok()?;
    let xml = lab.dump("vm", &["--inactive"])?;
    ensure!(
        !xml.contains("mdevkit") && device_uuids(&xml).is_empty(),
        "pieces are left after eject: {xml}"
    );
    Ok(())
}

/// Twenty at once want what there are twelve of; only the hook runs, so that they really meet.
pub(super) fn race(lab: &mut Lab) -> Outcome {
    let room = usize::try_from(kernel::available("mtty", "mtty-2")?).map_err(|e| e.to_string())?;
    let domains: Vec<Domain> = (1..=20)
        .map(|n| Domain::new(&format!("vm{n}"), n).asks(0, "mtty-2", &device_uuid(n)))
        .collect();
    let running: Vec<_> = domains
        .iter()
        .map(|domain| hook::begin(domain, "prepare", "begin"))
        .collect::<Outcome<_>>()?;
    let mut served = 0;
    for prepare in running {
        let ran = prepare.wait()?;
        match ran.code() {
            Some(0) => served += 1,
            _ => drop(ran.refused(&["mdevkit[E-FULL]"])?),
        }
    }
    ensure!(served == room, "{served} of 20 were served, with room for {room}");
    ensure!(
        lab.devices().len() == room && ledger::records()?.len() == room,
        "not {room} devices and records"
    );
    for domain in &domains {
        hook::run(domain, "release", "end")?.ok()?;
    }
    lab.expect_devices(&[])
}
