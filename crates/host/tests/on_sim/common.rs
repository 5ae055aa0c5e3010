//! A simulated host for each test, and short words for what the tests say.

use mdevkit_core::ledger::Daemon;
use mdevkit_core::{Slot, TypeSpec, Uuid, Want, device_uuid};
use mdevkit_host::{Acquired, Config, Host, HostError, Limits, Released, Root, Start};
use mdevkit_sim::{Sim, SimHandle};
use std::path::PathBuf;
use std::time::Duration;

/// A host that is mounted, and goes with the test.
pub(crate) struct Fixture {
    pub(crate) host: Host,
    pub(crate) sim: SimHandle,
    _mount: Sim,
    _dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(boards: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
        let mount = Sim::mount(dir.path(), &boards).unwrap();
        let host = Host::new(Root::at(mount.root()));
        Self {
            host,
            sim: mount.handle(),
            _mount: mount,
            _dir: dir,
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.host.root().path(below)
    }

    pub(crate) fn put(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a plain file of a test")]
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn ledger(&self) -> String {
        std::fs::read_to_string(self.path("run/mdevkit/ledger.json")).unwrap_or_default()
    }

    /// A device that a person makes with `echo`.
    pub(crate) fn foreign(&self, parent: &str, type_id: &str, uuid: Uuid) {
        let create = self.path(&format!(
            "sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}/create"
        ));
        mdevkit_sysfs::attr::write_once(&create, uuid.to_string().as_bytes()).unwrap();
    }

    /// The devices that exist: `(uuid, parent, type)`.
    pub(crate) fn devices(&self) -> Vec<(Uuid, String, String)> {
        let devices = self.sim.devices();
        devices
            .into_iter()
            .map(|device| (device.uuid.parse().unwrap(), device.parent, device.type_id))
            .collect()
    }

    pub(crate) fn start(&self, domain: u32, specs: &[&str]) -> Result<Vec<Acquired>, HostError> {
        self.start_with(domain, &wants(domain, specs), &quick())
    }

    /// As the hook does it: with the host's own configuration, but with these limits.
    pub(crate) fn start_with(&self, domain: u32, wants: &[Want], limits: &Limits) -> Result<Vec<Acquired>, HostError> {
        self.start_by(&start(domain, Some(living_daemon())), wants, limits)
    }

    pub(crate) fn start_by(&self, start: &Start, wants: &[Want], limits: &Limits) -> Result<Vec<Acquired>, HostError> {
        let mut config = self.config();
        config.limits = *limits;
        self.host.acquire(start, wants, &config)
    }

    pub(crate) fn config(&self) -> Config {
        self.host.config().unwrap()
    }

    pub(crate) fn end(&self, domain: u32) -> Vec<Released> {
        self.host
            .release(domain_uuid(domain), Some(living_daemon()), &quick())
            .expect("release never fails here")
    }

    pub(crate) fn status_file(&self, domain: u32) {
        let uuid = domain_uuid(domain);
        self.put(
            &format!("run/libvirt/qemu/d{domain}.xml"),
            &format!(
                "<domstatus state='running'>\n  <domain id='1'>\n    <uuid>{uuid}</uuid>\n  </domain>\n</domstatus>\n"
            ),
        );
    }
}

pub(crate) fn start(domain: u32, daemon: Option<Daemon>) -> Start {
    Start {
        domain: domain_uuid(domain),
        name: format!("d{domain}"),
        daemon,
        os: None,
    }
}

/// Limits that do not make a test wait.
pub(crate) fn quick() -> Limits {
    let mut limits = Limits::default();
    limits.ready = Duration::from_millis(300);
    limits.lock = Duration::from_millis(300);
    limits.removal = Duration::from_millis(50);
    limits
}

pub(crate) fn domain_uuid(domain: u32) -> Uuid {
    Uuid::from_u128(0x1111_1111_0000_0000_0000_0000_0000_0000 + u128::from(domain))
}

pub(crate) fn device(domain: u32, slot: u16) -> Uuid {
    device_uuid(domain_uuid(domain), Slot::new(slot).unwrap())
}

pub(crate) fn want(domain: u32, slot: u16, spec: &str) -> Want {
    let slot_number = Slot::new(slot).unwrap();
    Want {
        device_api: Some(mdevkit_core::DeviceApi::VfioPci),
        ..Want::new(slot_number, device(domain, slot), spec.parse::<TypeSpec>().unwrap())
    }
}

pub(crate) fn wants(domain: u32, specs: &[&str]) -> Vec<Want> {
    (0u16..)
        .zip(specs)
        .map(|(slot, spec)| want(domain, slot, spec))
        .collect()
}

/// A process that lives as long as the test.
pub(crate) fn living_daemon() -> Daemon {
    mdevkit_host::identity(std::process::id()).unwrap()
}

/// A process that lived: its pid may be anybody's by now, its start time is nobody's.
pub(crate) fn dead_daemon() -> Daemon {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    Daemon {
        pid: child.id(),
        start_ticks: 1,
        ..living_daemon()
    }
}
