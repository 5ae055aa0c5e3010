//! Which GPU, and what an operator can say about it: several devices at once, cordons, types switched off, groups,
//! profiles, needs, NUMA nodes, and the explanation afterwards.

use std::fs;

use serde_json::Value;

use crate::cmd::{Cmd, run};
use crate::domain::{Domain, device_uuid, device_uuids, put};
use crate::lab::{CONFIGURATION, Lab, qemu_pid};
use crate::{Outcome, ensure, hook, kernel, ledger};

use super::life::only_device;
use super::requests::fill_mdpy;

pub(super) fn four_devices(lab: &mut Lab) -> Outcome {
    let file = Domain::new("vm", 1).injected(&["--type", "mtty-2", "--type", "mdpy-vga", "--count", "2"])?;
    lab.define_file(&file)?;
    lab.start("vm")?;
    let mut found: Vec<_> = lab.devices().into_iter().map(|device| device.kind).collect();
    found.sort();
    ensure!(
        found == ["mdpy-vga", "mdpy-vga", "mtty-2", "mtty-2"],
        "devices are {found:?}"
    );
    let xml = fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
    let uuids = device_uuids(&xml);
    ensure!(uuids.len() == 4, "not four hostdevs: {xml}");
    for (uuid, kind) in uuids.iter().zip(["mtty-2", "mtty-2", "mdpy-vga", "mdpy-vga"]) {
        lab.expect_served("vm", uuid, kind)?;
    }
    let pid = qemu_pid("vm").ok_or("vm has no QEMU")?;
    let open = kernel::vfio_devices_open(pid);
    ensure!(open == 4, "vm's QEMU has {open} VFIO devices open, not 4");
    lab.destroy("vm")?;
    lab.expect_devices(&[])
}

/// Every type of the three drivers: parent, type, how many on the empty parent.
const TYPES: [(&str, &str, u64); 8] = [
    ("mbochs", "mbochs-large", 4),
    ("mbochs", "mbochs-medium", 16),
    ("mbochs", "mbochs-small", 64),
    ("mdpy", "mdpy-hd", 4),
    ("mdpy", "mdpy-vga", 4),
    ("mdpy", "mdpy-xga", 4),
    ("mtty", "mtty-1", 24),
    ("mtty", "mtty-2", 12),
];

pub(super) fn capacity(_: &mut Lab) -> Outcome {
    expect_capacities()?;
    let mut made = fill_mdpy()?;
    for (number, (parent, kind)) in [("mtty", "mtty-2"), ("mtty", "mtty-1"), ("mbochs", "mbochs-large")]
        .into_iter()
        .enumerate()
    {
        let number = u32::try_from(number).map_err(|e| e.to_string())?;
        made.push(kernel::create(parent, kind, &device_uuid(number))?.uuid);
        expect_capacities()?;
    }
    let gpus = ledger::told(&["gpus", "--json"])?;
    for (name, devices) in [("mbochs", 2), ("mdpy", 4), ("mtty", 2)] {
        let gpu = find(&gpus, "pgpu", name)?;
        let found = gpu.get("devices").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(found == devices, "not {devices} devices on {name}: {gpu}");
        ensure!(
            gpu.pointer("/rule/contradiction") == Some(&Value::Null),
            "this kernel's numbers contradict the rule of {gpu}"
        );
    }
    made.iter().try_for_each(|uuid| kernel::remove(uuid))
}

/// What mdevkit says is left is what this kernel says, and the empty host's numbers are the drivers'.
fn expect_capacities() -> Outcome {
    let rows = ledger::told(&["capacity", "--json"])?;
    for (parent, kind, total) in TYPES {
        let row = find(&rows, "type", kind)?;
        let available = u64::from(kernel::available(parent, kind)?);
        ensure!(
            text(row, "pgpu") == parent
                && row.get("available").and_then(Value::as_u64) == Some(available)
                && row.get("total").and_then(Value::as_u64) == Some(total),
            "not {available} of {total} {kind} on {parent}: {row}"
        );
    }
    let count = rows.as_array().map_or(0, Vec::len);
    ensure!(count == TYPES.len(), "{count} types, not {}: {rows}", TYPES.len());
    Ok(())
}

pub(super) fn cordoned(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    run("mdevkit", &["gpu", "cordon", "mtty"])?;
    lab.start_refused("vm", "E-BLOCKED", &["no mtty-2", "1 parent is cordoned"])?;
    lab.expect_devices(&[])?;
    // The other GPUs are not concerned.
    let other = Domain::new("other", 2).asks(0, "mdpy-vga", &device_uuid(2));
    hook::run(&other, "prepare", "begin")?.ok()?;
    hook::run(&other, "release", "end")?.ok()?;
    run("mdevkit", &["gpu", "uncordon", "mtty"])?;
    lab.start("vm")?;
    let device = lab.expect_served("vm", &uuid, "mtty-2")?;
    // A cordon takes nothing away; drain says what is in the way.
    let drain = Cmd::new("mdevkit").args(["gpu", "drain", "--cordon", "mtty"]).run()?;
    ensure!(
        drain.code() == Some(1) && drain.out.contains("virsh shutdown vm"),
        "mdevkit gpu drain: {drain}: {}",
        drain.out
    );
    lab.expect_same(&device)?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    run("mdevkit", &["gpu", "drain", "mtty"])?;
    run("mdevkit", &["gpu", "uncordon", "mtty"]).map(drop)
}

pub(super) fn disabled_type(lab: &mut Lab) -> Outcome {
    let large = Domain::new("vm", 1).asks(0, "mtty-2", &device_uuid(1));
    let small = Domain::new("small", 2).asks(0, "mtty-1", &device_uuid(2));
    lab.define(&large)?;
    run("mdevkit", &["gpu", "disable", "mtty", "mtty-2"])?;
    lab.start_refused("vm", "E-BLOCKED", &["mtty-2", "1 parent does not have it enabled"])?;
    hook::run(&small, "prepare", "begin")?.ok()?;
    hook::run(&small, "release", "end")?.ok()?;
    run("mdevkit", &["gpu", "enable", "mtty", "mtty-2"])?;
    hook::run(&large, "prepare", "begin")?.ok()?;
    hook::run(&large, "release", "end")?.ok()?;
    lab.expect_devices(&[])
}

const GROUP: &str = "
[group.serial]
gpus = [\"mtty\"]
policy = \"breadth-first\"
types = [\"mtty-1\"]

[profile.console]
type = \"mtty-1\"
group = \"serial\"
numa = \"ignore\"
";

pub(super) fn group_and_profile(lab: &mut Lab) -> Outcome {
    let sound = fs::read_to_string(CONFIGURATION).map_err(|e| format!("{CONFIGURATION}: {e}"))?;
    put(CONFIGURATION, format!("{sound}{GROUP}").as_bytes())?;
    run("mdevkit", &["config"])?;
    let groups = ledger::told(&["groups", "--json"])?;
    let serial = find(&groups, "group", "serial")?;
    ensure!(
        text(serial, "policy") == "breadth-first" && serial.get("gpus") == Some(&Value::from(vec!["mtty"])),
        "the group is {serial}"
    );
    // By the profile, which names type and group.
    let file = Domain::new("vm", 1).injected(&["--profile", "console"])?;
    let uuid = only_device(&file)?;
    lab.define_file(&file)?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-1")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    for (wanted, says) in [
        ("type='mtty-2'", ["mdevkit[E-BLOCKED]", "does not have it enabled"]),
        (
            "type='mdpy-vga' group='serial'",
            ["mdevkit[E-TYPE]", "excluded by the request"],
        ),
        (
            "profile='nobody'",
            ["mdevkit[E-REQUEST]", "no profile nobody; it has: console"],
        ),
    ] {
        let domain = Domain::new("vm", 1).asks_for(0, wanted, &device_uuid(1));
        hook::run(&domain, "prepare", "begin")?.refused(&says)?;
    }
    lab.expect_devices(&[])?;
    put(CONFIGURATION, sound.as_bytes())
}

pub(super) fn by_need(lab: &mut Lab) -> Outcome {
    // 4, 16 and 64 MB there are.
    let file = Domain::new("vm", 1).injected(&["--framebuffer", "5"])?;
    let uuid = only_device(&file)?;
    lab.define_file(&file)?;
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mbochs-medium")?;
    lab.destroy("vm")?;
    for (least, kind) in [(4, "mbochs-small"), (17, "mbochs-large")] {
        let domain = Domain::new("vm", 1).asks_for(0, &format!("framebuffer='{least}'"), &uuid);
        hook::run(&domain, "prepare", "begin")?.ok()?;
        let made = kernel::device(&uuid).map(|device| device.kind);
        ensure!(made.as_deref() == Some(kind), "{least} MiB made {made:?}, not {kind}");
        hook::run(&domain, "release", "end")?.ok()?;
    }
    let too_large = Domain::new("vm", 1).asks_for(0, "framebuffer='65'", &uuid);
    hook::run(&too_large, "prepare", "begin")?.refused(&["mdevkit[E-TYPE]", "framebuffer 65 MiB"])?;
    lab.expect_devices(&[])
}

pub(super) fn explained(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks(0, "mdpy-vga", &uuid);
    lab.define(&domain)?;
    let made = fill_mdpy()?;
    lab.start_refused("vm", "E-FULL", &["no mdpy-vga left: 1 parent is full"])?;
    let said = run("mdevkit", &["explain", "vm"])?;
    for words in [
        "refused with E-FULL",
        "no mdpy-vga left: 1 parent is full",
        "mdpy: full",
    ] {
        ensure!(said.contains(words), "no {words:?} in: {said}");
    }
    let explained = ledger::told(&["explain", "vm", "--json"])?;
    let last = explained.get("last").unwrap_or(&Value::Null);
    let reason = find(last.get("reasons").unwrap_or(&Value::Null), "pgpu", "mdpy")?;
    ensure!(
        text(last, "outcome") == "refused" && text(last, "code") == "E-FULL" && text(reason, "kind") == "full",
        "the last start is explained as {last}"
    );
    ensure!(
        explained.pointer("/now/fits") == Some(&Value::Bool(false)),
        "a start now is explained as {explained}"
    );
    made.iter().try_for_each(|uuid| kernel::remove(uuid))?;
    ensure!(
        ledger::told(&["explain", "vm", "--json"])?.pointer("/now/fits") == Some(&Value::Bool(true)),
        "there is room again, and explain does not say so"
    );
    hook::run(&domain, "prepare", "begin")?.ok()?;
    let explained = ledger::told(&["explain", &uuid, "--json"])?;
    let device = find(explained.get("devices").unwrap_or(&Value::Null), "uuid", &uuid)?;
    ensure!(
        explained.pointer("/last/outcome") == Some(&Value::from("placed"))
            && text(device, "pgpu") == "mdpy"
            && !text(device, "because").is_empty(),
        "a device that is there is explained as {explained}"
    );
    hook::run(&domain, "release", "end")?.ok()?;
    lab.expect_devices(&[])
}

pub(super) fn numa_strict(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    let domain = Domain::new("vm", 1).asks_for(0, "type='mtty-2' numa='strict'", &uuid);
    lab.define(&domain)?;
    let mark = ledger::log_length();
    lab.start("vm")?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    let log = ledger::log_since(mark);
    ensure!(
        log.contains("numa=\"strict\"") && log.contains("any node"),
        "no warning of the missing pinning in the log: {log:?}"
    );
    lab.destroy("vm")?;
    // A sample driver is on no node: strict about one, there is no place.
    hook::run(&domain.on_node(0), "prepare", "begin")?.refused(&["mdevkit[E-NUMA]", "on no NUMA node"])?;
    lab.expect_devices(&[])
}

/// The entry of a list whose `key` is `value`.
fn find<'a>(list: &'a Value, key: &str, value: &str) -> Outcome<&'a Value> {
    let mut entries = list.as_array().into_iter().flatten();
    let found = entries.find(|entry| text(entry, key) == value);
    found.ok_or_else(|| format!("nothing whose {key} is {value} in {list}"))
}

/// A text in JSON; empty where there is none.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
