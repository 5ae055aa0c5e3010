//! What every test here needs: a host in a directory of its own, and system calls with their errno by name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mdevkit_sim::{Sim, SimOptions};
use nix::errno::Errno;

pub(crate) struct Host {
    pub(crate) sim: Sim,
    // Dropped after the mount.
    _dir: tempfile::TempDir,
}

pub(crate) fn host(boards: &[&str]) -> Host {
    host_with(boards, SimOptions::default())
}

pub(crate) fn host_with(boards: &[&str], options: SimOptions) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
    let sim = Sim::mount_with(&dir.path().join("host"), &boards, options).unwrap();
    Host { sim, _dir: dir }
}

impl Host {
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.sim.root().join(below)
    }

    pub(crate) fn type_file(&self, parent: &str, type_id: &str, file: &str) -> PathBuf {
        self.path(&format!(
            "sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}/{file}"
        ))
    }

    pub(crate) fn device(&self, uuid: &str, file: &str) -> PathBuf {
        self.path(&format!("sys/bus/mdev/devices/{uuid}/{file}"))
    }

    pub(crate) fn create(&self, parent: &str, type_id: &str, uuid: &str) -> Result<usize, Errno> {
        store(&self.type_file(parent, type_id, "create"), uuid.as_bytes())
    }

    pub(crate) fn remove(&self, uuid: &str) -> Result<usize, Errno> {
        store(&self.device(uuid, "remove"), b"1")
    }

    pub(crate) fn available(&self, parent: &str, type_id: &str) -> u32 {
        read(&self.type_file(parent, type_id, "available_instances"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

pub(crate) fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

pub(crate) fn store(path: &Path, data: &[u8]) -> Result<usize, Errno> {
    let mut file = OpenOptions::new().write(true).open(path).map_err(|e| errno(&e))?;
    file.write(data).map_err(|e| errno(&e))
}

pub(crate) fn read(path: &Path) -> Result<String, Errno> {
    read_bytes(path).map(|bytes| String::from_utf8(bytes).unwrap())
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|e| errno(&e))?;
    file.read_to_end(&mut bytes).map_err(|e| errno(&e))?;
    Ok(bytes)
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for what must come true soon.
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
