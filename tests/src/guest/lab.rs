//! The host in the lab: set up once, checked and cleaned after each scenario.

use std::fs::{self, OpenOptions};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cmd::{Cmd, Running, run, virsh};
use crate::domain::{Domain, put};
use crate::kernel::{self, Device};
use crate::wait::{self, PATIENCE};
use crate::{Outcome, ensure, hook, ledger, say};

pub(crate) const LIBVIRTD_LOG: &str = "/var/log/libvirt/libvirtd.log";
pub(crate) const QEMU: &str = "/usr/bin/qemu-system-x86_64";
pub(crate) const CONFIGURATION: &str = "/etc/mdevkit/config.toml";
/// Made by hand before the first scenario; nothing that mdevkit does may touch it.
pub(crate) const SENTINEL: &str = "5e471e15-0000-4000-8000-000000000001";

/// The host with its libvirtd.
#[derive(Debug)]
pub(crate) struct Lab {
    libvirtd: Option<Child>,
    sentinel: Device,
}

impl Lab {
    /// Drivers, libvirtd's configuration, the hook, libvirtd.
    pub(crate) fn set_up() -> Outcome<Self> {
        run("modprobe", &["-a", "mtty", "mdpy", "mbochs"])?;
        run("ip", &["link", "set", "lo", "up"]).or_else(|_| run("true", &[]))?;
        put("/etc/hosts", b"127.0.0.1 localhost lab\n")?;
        run("hostname", &["lab"])?;
        run("/usr/lib/systemd/systemd-udevd", &["--daemon"])
            .or_else(|_| run("/lib/systemd/systemd-udevd", &["--daemon"]))?;
        run(
            "udevadm",
            &["trigger", "--subsystem-match=mdev", "--subsystem-match=vfio"],
        )?;
        put(
            "/etc/libvirt/libvirtd.conf",
            format!("auth_unix_rw=\"none\"\nauth_unix_ro=\"none\"\nlog_outputs=\"3:file:{LIBVIRTD_LOG}\"\n").as_bytes(),
        )?;
        // No virtlogd, no AppArmor in this root; everything else as Debian ships it.
        put(
            "/etc/libvirt/qemu.conf",
            b"stdio_handler=\"file\"\nsecurity_driver=\"none\"\n",
        )?;
        for folder in ["/var/lib/libvirt/images", "/var/log/libvirt/qemu", "/share/logs"] {
            fs::create_dir_all(folder).map_err(|e| format!("{folder}: {e}"))?;
        }
        install()?;
        let sentinel = kernel::create("mbochs", "mbochs-small", SENTINEL)?;
        let mut lab = Lab {
            libvirtd: None,
            sentinel,
        };
        lab.start_libvirtd()?;
        Ok(lab)
    }

    /// Does something with the kernel alone: no device, and no libvirtd, which looks at each new device for a second or
    /// more and would be busy with hundreds of them for minutes. The sentinel is made anew, whatever came of it.
    pub(crate) fn kernel_alone(&mut self, story: impl FnOnce() -> Outcome) -> Outcome {
        self.stop_libvirtd()?;
        kernel::remove(SENTINEL)?;
        // A driver that refuses says so on the console.
        run("dmesg", &["--console-level", "crit"])?;
        let told = story();
        run("dmesg", &["--console-level", "err"])?;
        for device in kernel::devices() {
            kernel::remove(&device.uuid)?;
        }
        self.sentinel = kernel::create("mbochs", "mbochs-small", SENTINEL)?;
        run("udevadm", &["settle"])?;
        self.start_libvirtd()?;
        told
    }

    /// Starts libvirtd and waits until it listens; whoever connects then waits until it is ready.
    pub(crate) fn start_libvirtd(&mut self) -> Outcome {
        ensure!(self.libvirtd.is_none(), "libvirtd runs already");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open("/var/log/libvirt/console.log");
        let log = log.map_err(|e| format!("/var/log/libvirt/console.log: {e}"))?;
        let child = Command::new("/usr/sbin/libvirtd")
            .args(["--pid-file", "/run/libvirtd.pid"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("libvirtd: {e}"))?;
        self.libvirtd = Some(child);
        wait::until("libvirtd listens", || {
            UnixStream::connect("/run/libvirt/libvirt-sock").is_ok()
        })
    }

    /// Stops it as an operator does.
    pub(crate) fn stop_libvirtd(&mut self) -> Outcome {
        self.end_libvirtd(Signal::SIGTERM)
    }

    /// Kills it with -9.
    pub(crate) fn kill_libvirtd(&mut self) -> Outcome {
        self.end_libvirtd(Signal::SIGKILL)
    }

    fn end_libvirtd(&mut self, signal: Signal) -> Outcome {
        let Some(mut child) = self.libvirtd.take() else {
            return Err("libvirtd does not run".to_owned());
        };
        let begin = Instant::now();
        signal_to(child.id(), signal)?;
        // libvirtd gives its own drivers 30 s before it ends regardless (virNetDaemonRun).
        let ended = wait::within(PATIENCE * 2, "libvirtd ends", || {
            matches!(child.try_wait(), Ok(Some(_)))
        });
        if begin.elapsed().as_secs() >= 5 {
            say(format_args!(
                "  (libvirtd took {} s to end by {signal})",
                begin.elapsed().as_secs()
            ));
        }
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A socket that nobody serves would look like a libvirtd that listens.
        let _ = fs::remove_file("/run/libvirt/libvirt-sock");
        ended
    }

    pub(crate) fn libvirtd_pid(&self) -> Option<u32> {
        self.libvirtd.as_ref().map(Child::id)
    }

    /// Defines a domain from a file.
    pub(crate) fn define_file(&self, file: &str) -> Outcome {
        virsh(&["define", "--validate", file])?.ok().map(drop)
    }

    pub(crate) fn define(&self, domain: &Domain) -> Outcome {
        self.define_file(&domain.file()?)
    }

    pub(crate) fn start(&self, name: &str) -> Outcome {
        virsh(&["start", &of(name)])?.ok().map(drop)
    }

    /// Starts in the background.
    pub(crate) fn begin_start(&self, name: &str) -> Outcome<Running> {
        Cmd::new("virsh")
            .args(["-q", "start", &of(name)])
            .limit(PATIENCE * 10)
            .spawn()
    }

    /// A start that our hook has to refuse with this code and all of these words, in one line as long as it may be.
    pub(crate) fn start_refused(&self, name: &str, code: &str, words: &[&str]) -> Outcome {
        let said =
            virsh(&["start", &of(name)])?.refused(&["Hook script execution failed", &format!("mdevkit[{code}]: ")])?;
        ensure!(
            qemu_pid(name).is_none(),
            "the start of {name} was refused, yet its QEMU runs"
        );
        let ours = said
            .find("mdevkit[")
            .and_then(|at| said.get(at..))
            .unwrap_or_default()
            .trim_end();
        ensure!(
            !ours.contains('\n') && ours.len() <= 300,
            "not one line of 300 bytes: {} bytes: {ours}",
            ours.len()
        );
        for word in words {
            ensure!(ours.contains(word), "no {word:?} in: {ours}");
        }
        Ok(())
    }

    pub(crate) fn destroy(&self, name: &str) -> Outcome {
        virsh(&["destroy", &of(name)])?.ok().map(drop)
    }

    pub(crate) fn state(&self, name: &str) -> Outcome<String> {
        Ok(virsh(&["domstate", &of(name)])?.ok()?.trim().to_owned())
    }

    pub(crate) fn expect_running(&self, name: &str) -> Outcome {
        let state = self.state(name)?;
        ensure!(state == "running", "{name} is {state}, not running");
        Ok(())
    }

    /// The domain's XML as libvirt has it; `--inactive` for the next start's.
    pub(crate) fn dump(&self, name: &str, options: &[&str]) -> Outcome<String> {
        virsh(&[&["dumpxml", of(name).as_str()], options].concat())?.ok()
    }

    /// Waits until libvirt has noticed that a domain is gone.
    pub(crate) fn wait_for_end(&self, name: &str) -> Outcome {
        wait::until(&format!("{name} is shut off"), || {
            self.state(name).is_ok_and(|state| state == "shut off")
        })
    }

    /// The devices now, without the sentinel.
    pub(crate) fn devices(&self) -> Vec<Device> {
        kernel::devices()
            .into_iter()
            .filter(|device| device.uuid != SENTINEL)
            .collect()
    }

    /// Fails unless exactly these UUIDs exist.
    pub(crate) fn expect_devices(&self, uuids: &[&str]) -> Outcome {
        let mut expected = uuids.to_vec();
        expected.sort_unstable();
        let found = self.devices();
        let found: Vec<&str> = found.iter().map(|device| device.uuid.as_str()).collect();
        ensure!(found == expected, "devices are {found:?}, should be {expected:?}");
        Ok(())
    }

    /// A running domain with its device: of that type, open in its QEMU, and mdevkit's own by its ledger.
    pub(crate) fn expect_served(&self, name: &str, uuid: &str, kind: &str) -> Outcome<Device> {
        let device = self.expect_in_guest(name, uuid)?;
        ensure!(
            device.kind == kind,
            "{name} has a {}, should have a {kind}",
            device.kind
        );
        let record = ledger::record(uuid)?;
        ensure!(
            record.get("state").and_then(|s| s.as_str()) == Some("created"),
            "the record is {record}"
        );
        Ok(device)
    }

    /// A running domain whose QEMU has the device, whoever made it.
    pub(crate) fn expect_in_guest(&self, name: &str, uuid: &str) -> Outcome<Device> {
        self.expect_running(name)?;
        let device = kernel::device(uuid).ok_or_else(|| format!("{name} runs without its device {uuid}"))?;
        let pid = qemu_pid(name).ok_or_else(|| format!("{name} has no QEMU"))?;
        ensure!(
            kernel::has_vfio_open(pid),
            "{name}'s QEMU {pid} has no VFIO device open"
        );
        Ok(device)
    }

    /// Fails unless this very device is still there: not gone, not made anew.
    pub(crate) fn expect_same(&self, device: &Device) -> Outcome {
        let now = kernel::device(&device.uuid);
        ensure!(now.as_ref() == Some(device), "the device was {device:?}, is {now:?}");
        Ok(())
    }

    /// What a scenario left behind, if anything.
    pub(crate) fn check_clean(&self) -> Outcome {
        let mut left = Vec::new();
        left.extend(qemus().iter().map(|(name, _)| format!("domain {name} runs")));
        left.extend(
            self.devices()
                .iter()
                .map(|d| format!("device {} ({} of {})", d.uuid, d.kind, d.parent)),
        );
        left.extend(
            ledger::records()?
                .iter()
                .map(|record| format!("ledger record {record}")),
        );
        left.extend(ledger::switched_off()?);
        left.extend(hook::processes().iter().map(|pid| format!("hook process {pid}")));
        if kernel::device(SENTINEL).as_ref() != Some(&self.sentinel) {
            left.push("the foreign device made by hand is gone or was made anew".to_owned());
        }
        ensure!(left.is_empty(), "left behind: {}", left.join("; "));
        Ok(())
    }

    /// Undefines what the scenario defined; after a failure, also ends and removes all that is left, by force.
    pub(crate) fn clean(&mut self, by_force: bool) -> Outcome {
        if by_force {
            self.force_clean()?;
        }
        // The folder comes with the first definition.
        let defined: Vec<String> = fs::read_dir("/etc/libvirt/qemu")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_string_lossy().strip_suffix(".xml")?.to_owned()))
            .collect();
        for name in defined {
            virsh(&["undefine", &of(&name)])?.ok()?;
        }
        ledger::forget_settings()
    }

    /// Ends and removes all that a failed scenario left, ours or not, and starts anew.
    fn force_clean(&mut self) -> Outcome {
        let _ = run("mount", &["-o", "remount,bind,rw", "/sys"]);
        for folder in ["/etc/mdevkit", "/etc/libvirt/hooks"] {
            let _ = fs::remove_dir_all(folder);
        }
        for pid in hook::processes() {
            let _ = signal_to(pid, Signal::SIGKILL);
        }
        for pid in kernel::processes(QEMU) {
            let _ = signal_to(pid, Signal::SIGKILL);
        }
        if self.libvirtd.is_some() {
            let _ = self.kill_libvirtd();
        }
        let _ = fs::remove_dir_all("/run/libvirt/qemu");
        // A domain that was not stopped properly leaves its owner's mark (an xattr) on its files.
        for file in fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let _ = fs::remove_file(file.path());
        }
        install()?;
        self.start_libvirtd()?;
        for device in self.devices() {
            let _ = Cmd::new("sh")
                .args(["-c", &format!("echo 1 > /sys/bus/mdev/devices/{}/remove", device.uuid)])
                .run();
        }
        for folder in ["/run/mdevkit", "/var/lib/mdevkit"] {
            let _ = fs::remove_dir_all(folder);
        }
        if kernel::device(SENTINEL).is_none() {
            self.sentinel = kernel::create("mbochs", "mbochs-small", SENTINEL)?;
        }
        Ok(())
    }
}

/// Installs mdevkit with its own installer.
pub(crate) fn install() -> Outcome {
    run("bash", &["/share/hooks/install", "/share"]).map(drop)
}

/// A domain's name as an argument, though it look like an option itself.
pub(crate) fn of(name: &str) -> String {
    format!("--domain={name}")
}

/// The process of a running domain.
pub(crate) fn qemu_pid(name: &str) -> Option<u32> {
    qemus().into_iter().find(|(of, _)| of == name).map(|(_, pid)| pid)
}

/// All running domains by their pid files: no question to libvirtd, which may be stopped or stuck.
fn qemus() -> Vec<(String, u32)> {
    let Ok(entries) = fs::read_dir("/run/libvirt/qemu") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().strip_suffix(".pid")?.to_owned();
            let pid = fs::read_to_string(entry.path()).ok()?.trim().parse().ok()?;
            let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            (program == Path::new(QEMU)).then_some((name, pid)) // driver.pid is libvirtd's own
        })
        .collect()
}

/// Sends a signal to one process.
pub(crate) fn signal_to(pid: u32, signal: Signal) -> Outcome {
    let number = i32::try_from(pid).map_err(|e| format!("{pid}: {e}"))?;
    kill(Pid::from_raw(number), signal).map_err(|e| format!("{signal} to {pid}: {e}"))
}
