//! Who runs it, under which name, on what host.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use nix::sys::signal::Signal;

use crate::cmd::{Cmd, Ran, run};
use crate::domain::{Domain, device_uuid};
use crate::guest_os::PowerButton;
use crate::lab::{Lab, SENTINEL, install, signal_to};
use crate::wait::PATIENCE;
use crate::{Outcome, ensure, hook, kernel, ledger};

pub(super) fn named_like_an_option(lab: &mut Lab) -> Outcome {
    let uuid = device_uuid(1);
    lab.define(&Domain::new("--help", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("--help")?;
    lab.expect_served("--help", &uuid, "mtty-2")?;
    lab.destroy("--help")?;
    lab.expect_devices(&[])
}

/// virsh as an ordinary user on a libvirtd of his own, which runs the same hooks as him.
fn session(args: &[&str]) -> Outcome<Ran> {
    Cmd::new("runuser")
        .args([
            "-u",
            "guest",
            "--",
            "env",
            "HOME=/home/guest",
            "XDG_RUNTIME_DIR=/run/user/guest",
        ])
        .args(["virsh", "-q", "-c", "qemu:///session"])
        .args(args)
        .run()
}

pub(super) fn session_mode(lab: &mut Lab) -> Outcome {
    let id = |option| {
        run("id", &[option, "guest"])?
            .trim()
            .parse::<u32>()
            .map_err(|e| format!("id {option}: {e}"))
    };
    fs::create_dir_all("/run/user/guest").map_err(|e| format!("/run/user/guest: {e}"))?;
    fs::set_permissions("/run/user/guest", fs::Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
    chown("/run/user/guest", Some(id("-u")?), Some(id("-g")?)).map_err(|e| format!("/run/user/guest: {e}"))?;
    let result = session_story(lab);
    for pid in kernel::processes("/usr/sbin/libvirtd") {
        if Some(pid) != lab.libvirtd_pid() {
            signal_to(pid, Signal::SIGTERM)?;
        }
    }
    result
}

fn session_story(lab: &Lab) -> Outcome {
    session(&["create", &Domain::new("plain", 101).file()?])?.ok()?;
    session(&["destroy", "plain"])?.ok()?;
    let said = session(&[
        "create",
        &Domain::new("vm", 102).asks(0, "mtty-2", &device_uuid(1)).file()?,
    ])?;
    said.refused(&["mdevkit[E-"])?;
    ensure!(
        ledger::records()?.is_empty(),
        "an ordinary user's domain is in the ledger"
    );
    lab.expect_devices(&[])
}

pub(super) fn read_only_sys(lab: &mut Lab) -> Outcome {
    lab.define(&Domain::new("plain", 1))?;
    lab.define(&Domain::new("vm", 2).asks(0, "mtty-2", &device_uuid(1)))?;
    run("mount", &["-o", "remount,bind,ro", "/sys"])?;
    lab.start_refused("vm", "E-HOST", &["/sys", "ead-only"])?;
    lab.start("plain")?;
    lab.expect_running("plain")?;
    lab.destroy("plain")?;
    run("mount", &["-o", "remount,bind,rw", "/sys"])?;
    lab.expect_devices(&[])?;
    ensure!(
        ledger::records()?.is_empty(),
        "records are left: {:?}",
        ledger::records()
    );
    Ok(())
}

pub(super) fn device_by_hand(lab: &mut Lab) -> Outcome {
    let uuid = run("mdevkit", &["create", "--type", "mtty-1"])?.trim().to_owned();
    lab.expect_devices(&[&uuid])?;
    ledger::expect_listed(&uuid, &[("owner", "mdevkit"), ("type", "mtty-1")])?;
    run("mdevkit", &["reconcile", "--grace", "0"])?;
    lab.expect_devices(&[&uuid])?;
    run("mdevkit", &["remove", &uuid])?;
    lab.expect_devices(&[])?;
    let refused = Cmd::new("mdevkit").args(["remove", SENTINEL]).run()?;
    ensure!(
        refused.code() == Some(1),
        "mdevkit remove of a foreign device: {refused}"
    );
    Ok(())
}

pub(super) fn uninstalled(lab: &mut Lab) -> Outcome {
    let uninstall = || Cmd::new("bash").args(["/share/hooks/install", "--uninstall"]).run();
    let uuid = device_uuid(1);
    lab.define(&Domain::new("vm", 1).asks(0, "mtty-2", &uuid))?;
    lab.start("vm")?;
    uninstall()?.refused(&[])?;
    lab.expect_served("vm", &uuid, "mtty-2")?;
    lab.destroy("vm")?;
    lab.expect_devices(&[])?;
    uninstall()?.ok()?;
    for file in [
        hook::PROGRAM,
        "/usr/bin/mdevkit",
        "/etc/libvirt/hooks/qemu.d/50-mdevkit",
    ] {
        ensure!(fs::symlink_metadata(file).is_err(), "{file} is left after --uninstall");
    }
    install()
}

pub(super) fn twenty_at_once(lab: &mut Lab) -> Outcome {
    let domains: Vec<Domain> = (1..=20)
        .map(|n| {
            Domain::new(&format!("vm{n}"), n)
                .boots(PowerButton::SwitchOff)
                .map(|d| d.asks(0, "mtty-1", &device_uuid(n)))
        })
        .collect::<Outcome<_>>()?;
    for domain in &domains {
        lab.define(domain)?;
    }
    let all = |verb: &str| -> Outcome {
        let running: Vec<_> = domains
            .iter()
            .map(|domain| {
                Cmd::new("virsh")
                    .args(["-q", verb, &domain.name])
                    .limit(PATIENCE * 20)
                    .spawn()
            })
            .collect::<Outcome<_>>()?;
        running
            .into_iter()
            .try_for_each(|command| command.wait()?.ok().map(drop))
    };
    all("start")?;
    let expected: Vec<String> = (1..=20).map(device_uuid).collect();
    lab.expect_devices(&expected.iter().map(String::as_str).collect::<Vec<_>>())?;
    ensure!(ledger::records()?.len() == 20, "{} records", ledger::records()?.len());
    for (domain, uuid) in domains.iter().zip(&expected) {
        lab.expect_served(&domain.name, uuid, "mtty-1")?;
    }
    all("destroy")?;
    lab.expect_devices(&[])
}
