//! One boot: build the images if need be, start QEMU, pass its console on, end it when its time is up.
//!
//! The QEMU that runs the lab is the one inside Debian 13's root tree, started through that tree's own loader: whatever
//! QEMU this machine has, or none, the lab is the same. Emulation only (TCG): it works on any machine.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::say;

/// The recipe and the first process, from the source tree.
const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/build.sh");
const CONSOLE: &str =
    "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on tsc=reliable";

/// What a build left behind.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    folder: PathBuf,
}

/// What one boot is to be.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    /// Before each line of the console.
    pub(crate) prefix: &'a str,
    /// Debian's name of the root: `trixie` or `bookworm`.
    pub(crate) suite: &'a str,
    /// The folder that the guest sees as /share.
    pub(crate) share: &'a Path,
    pub(crate) memory_mib: u32,
    pub(crate) limit: Duration,
}

/// Builds what is missing; returns at once where the recipe has not changed.
pub(crate) fn build() -> Result<Images> {
    let cache = cache_folder()?;
    let output = Command::new("bash")
        .arg(BUILD)
        .arg(&cache)
        .stderr(Stdio::inherit())
        .output()
        .context("bash cannot be run")?;
    if !output.status.success() {
        bail!("building the lab in {} failed", cache.display());
    }
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !folder.join("done").exists() {
        bail!(
            "{BUILD} named {} as its result, but that is not a finished build",
            folder.display()
        );
    }
    Ok(Images { folder })
}

fn cache_folder() -> Result<PathBuf> {
    match env::var_os("MDEVKIT_LAB_DIR") {
        Some(folder) => Ok(folder.into()),
        None => {
            let home = env::var_os("HOME").context("neither MDEVKIT_LAB_DIR nor HOME is set")?;
            Ok(Path::new(&home).join(".cache/mdevkit-lab"))
        }
    }
}

/// Boots, streams the console, and returns when the machine is off; an error where it had to be killed.
pub(crate) fn boot(images: &Images, boot: &Boot<'_>) -> Result<()> {
    let mut qemu = start(images, boot)?;
    let console = qemu.stdout.take().context("QEMU has no console")?;
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    });

    let deadline = Instant::now() + boot.limit;
    let in_time = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => say(format_args!("{} {line}", boot.prefix)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    if !in_time {
        qemu.kill().context("QEMU cannot be killed")?;
    }
    let status = qemu.wait().context("QEMU cannot be waited for")?;
    let _ = reader.join();
    if !in_time {
        bail!("not off after {} s: killed", boot.limit.as_secs());
    }
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(())
}

fn start(images: &Images, boot: &Boot<'_>) -> Result<Child> {
    let tree = images.folder.join("qemu");
    let file = |name: &str| images.folder.join(name);
    // setpriv: a lab that is killed takes its QEMU along.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(tree.join("usr/lib64/ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(tree.join("usr/lib/x86_64-linux-gnu"))
        .arg(tree.join("usr/bin/qemu-system-x86_64"))
        .arg("-L")
        .arg(tree.join("usr/share/qemu"))
        .arg("-L")
        .arg(tree.join("usr/share/seabios"))
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            &boot.memory_mib.to_string(),
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(file("vmlinuz"))
        .arg("-initrd")
        .arg(file("initrd"))
        .args(["-append", CONSOLE, "-drive"])
        .arg(format!(
            "file={},readonly=on,if=none,id=root,format=raw",
            escape(&file(&format!("root-{}.img", boot.suite)))
        ))
        .args(["-device", "virtio-blk-pci,drive=root", "-fsdev"])
        .arg(format!(
            "local,id=share,path={},security_model=none,multidevs=remap",
            escape(boot.share)
        ))
        .args([
            "-device",
            "virtio-9p-pci,fsdev=share,mount_tag=share",
            "-device",
            "virtio-rng-pci",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("QEMU cannot be started")
}

/// QEMU's option syntax doubles a comma inside a value.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}
