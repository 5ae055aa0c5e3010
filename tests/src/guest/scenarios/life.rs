//! Starting and stopping: all the ways a domain ends.

use crate::domain::{Domain, device_uuids};
use crate::lab::{Lab, qemu_pid};
use crate::{Outcome, ensure, ledger};

pub(super) fn no_request(lab: &mut Lab) -> Outcome {
    let domain = Domain::new("plain", 1);
    lab.define(&domain)?;
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
    let file = Domain::new("vm", 1).injected(&["--type", "mtty-2"])?;
    lab.define_file(&file)?;
    let xml = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
    let [uuid] = device_uuids(&xml)
        .try_into()
        .map_err(|u| format!("not one device in the domain: {u:?}"))?;
    lab.expect_devices(&[])?;
    lab.start("vm")?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    ensure!(device.parent == "mtty", "parent is {}", device.parent);
    ledger::expect_listed(&uuid, &[("owner", "mdevkit"), ("in_use", "yes"), ("domain_name", "vm")])?;
    lab.destroy("vm")?;
    ensure!(qemu_pid("vm").is_none(), "vm still runs");
    lab.expect_devices(&[])
}
