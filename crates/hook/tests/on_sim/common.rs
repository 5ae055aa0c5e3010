//! A simulated host, domains, and calls of the hook.

use mdevkit_core::{Slot, Uuid, device_uuid};
use mdevkit_sim::{Sim, SimHandle};
use mdevkit_xml::NewDevice;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Fixture {
    pub(crate) sim: SimHandle,
    mount: Sim,
    _dir: tempfile::TempDir,
}

/// What a call of the hook gave back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn done(&self) {
        assert_eq!(
            (self.status, self.stderr.as_str(), self.stdout.as_str()),
            (0, "", ""),
            "{self:?}"
        );
    }

    /// Refused with this code, in one line as people may read it.
    pub(crate) fn failed(&self, status: i32, code: &str) -> &str {
        assert_eq!((self.status, self.stdout.as_str()), (status, ""), "{self:?}");
        assert!(
            self.stderr.starts_with(&format!("mdevkit[{code}]: ")),
            "{code}: {self:?}"
        );
        assert!(
            self.stderr.ends_with('\n') && self.stderr.trim_end().lines().count() == 1,
            "{self:?}"
        );
        assert!(self.stderr.len() <= 301, "{self:?}");
        &self.stderr
    }
}

impl Fixture {
    pub(crate) fn new(boards: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
        let mount = Sim::mount(dir.path(), &boards).unwrap();
        Self {
            sim: mount.handle(),
            mount,
            _dir: dir,
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.mount.root().join(below)
    }

    pub(crate) fn put(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn call(&self, args: &[&str], stdin: &[u8]) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mdevkit-hook"))
            .args(args)
            .env_clear()
            .env("MDEVKIT_ROOT", self.mount.root())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        // A hook that does not read its stdin closes it: that is its right.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Answer {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: began.elapsed(),
        }
    }

    /// The system calls of these names that a call makes, by strace. Needs strace; `cargo xtask test` installs it.
    ///
    /// The caller is a process that is called libvirtd, as on a host: who that is the hook finds out, too.
    pub(crate) fn traced(&self, names: &str, args: &[&str], stdin: &str) -> Vec<String> {
        let (trace, daemon) = (self.path("tmp/trace"), self.path("tmp/libvirtd"));
        if !daemon.exists() {
            std::fs::copy("/bin/sh", &daemon).unwrap();
        }
        // -D: the daemon is the hook's parent, and not strace. Its second command keeps it from becoming the hook.
        let mut child = Command::new(&daemon)
            .args([
                "-c",
                r#"strace -D "$@"; exit $?"#,
                "sh",
                "-f",
                "-q",
                "-e",
                &format!("trace={names}"),
                "-o",
            ])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_mdevkit-hook"))
            .args(args)
            .env_remove("LD_LIBRARY_PATH")
            .env("MDEVKIT_ROOT", self.mount.root())
            .stdin(Stdio::piped())
            .spawn()
            .expect("strace is installed (apt-get install strace)");
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        assert!(child.wait().unwrap().success());
        traced_to_the_end(&trace)
    }

    pub(crate) fn prepare(&self, name: &str, xml: &str) -> Answer {
        self.call(&[name, "prepare", "begin", "-"], xml.as_bytes())
    }

    pub(crate) fn release(&self, name: &str, xml: &str) -> Answer {
        self.call(&[name, "release", "end", "-"], xml.as_bytes())
    }

    pub(crate) fn devices(&self) -> Vec<Uuid> {
        self.sim
            .devices()
            .iter()
            .map(|device| device.uuid.parse().unwrap())
            .collect()
    }

    pub(crate) fn ledger(&self) -> String {
        std::fs::read_to_string(self.path("run/mdevkit/ledger.json")).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("var/log/mdevkit/hook.log")).unwrap_or_default()
    }

    /// Nothing was made: no device, no state.
    pub(crate) fn untouched(&self) {
        assert!(self.devices().is_empty(), "{:?}", self.devices());
        assert!(!self.path("run/mdevkit").exists(), "no lock, no ledger");
    }
}

/// The lines of a trace, once every process in it has ended: its writer may be a moment behind.
fn traced_to_the_end(trace: &Path) -> Vec<String> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(trace).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let pid = |line: &&str| line.split(' ').next().unwrap_or_default().to_owned();
        let ended: BTreeSet<String> = lines.iter().filter(|line| line.contains("+++ ")).map(pid).collect();
        if !ended.is_empty() && text.ends_with('\n') && lines.iter().all(|line| ended.contains(&pid(line))) {
            return lines
                .into_iter()
                .filter(|line| !line.contains("+++ "))
                .map(str::to_owned)
                .collect();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn domain_uuid(number: u32) -> Uuid {
    Uuid::from_u128(0x1111_1111_0000_0000_0000_0000_0000_0000 + u128::from(number))
}

pub(crate) fn device(domain: u32, slot: u16) -> Uuid {
    device_uuid(domain_uuid(domain), Slot::new(slot).unwrap())
}

/// A domain that asks for nothing.
pub(crate) fn plain(number: u32) -> String {
    let uuid = domain_uuid(number);
    format!(
        "<domain type='qemu' id='{number}'>\n  <name>d{number}</name>\n  <uuid>{uuid}</uuid>\n  <devices>\n    \
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    <graphics type='vnc' passwd='hunter2'/>\n  </devices>\n\
         </domain>\n"
    )
}

/// A domain into which these types were injected.
pub(crate) fn domain(number: u32, types: &[&str]) -> String {
    let devices: Vec<_> = types.iter().map(|spec| NewDevice::new(spec.parse().unwrap())).collect();
    let edited = mdevkit_xml::inject(plain(number).as_bytes(), &devices).unwrap();
    String::from_utf8(edited.into_bytes()).unwrap()
}

/// A domain with these pieces, as a person might write them.
pub(crate) fn by_hand(number: u32, requests: &str, hostdevs: &str) -> String {
    plain(number)
        .replace(
            "  <devices>",
            &format!("  <metadata>{requests}</metadata>\n  <devices>"),
        )
        .replace("  </devices>", &format!("{hostdevs}  </devices>"))
}

pub(crate) fn requests(attributes: &str, children: &str) -> String {
    format!(r#"<m:requests xmlns:m="urn:mdevkit:domain:1" {attributes}>{children}</m:requests>"#)
}

pub(crate) fn hostdev(uuid: Uuid, alias: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{uuid}'/></source>{alias}</hostdev>"
    )
}
