//! The state directory `/run/mdevkit`: the locks, and where the ledger is.
//!
//! It lies on a tmpfs on purpose: devices die at reboot, and so must the ledger.
//!
//! Invariant: nobody but root can write to it, or it is not used.

use crate::ledger_file::Remembered;
use crate::lock::Lock;
use crate::{Deadline, HostError, Root, process};
use mdevkit_core::ledger::BootId;
use mdevkit_core::{PgpuName, Uuid};
use std::cell::OnceCell;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// Where the state is, below the root.
pub const STATE_DIR: &str = "run/mdevkit";

pub(crate) struct StateDir<'r> {
    pub(crate) root: &'r Root,
    pub(crate) dir: PathBuf,
    pub(crate) remembered: Remembered,
    boot: OnceCell<BootId>,
    made: OnceCell<()>,
}

impl<'r> StateDir<'r> {
    pub(crate) fn new(root: &'r Root) -> Self {
        Self {
            root,
            dir: root.path(STATE_DIR),
            remembered: Remembered::default(),
            boot: OnceCell::new(),
            made: OnceCell::new(),
        }
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.dir.join("ledger.json")
    }

    /// This boot, read once.
    pub(crate) fn boot(&self) -> Result<BootId, HostError> {
        if let Some(boot) = self.boot.get() {
            return Ok(*boot);
        }
        let boot = process::boot_id(self.root)?;
        Ok(*self.boot.get_or_init(|| boot))
    }

    /// One domain's lock: no two hooks of one domain, and no reconcile between them.
    pub(crate) fn domain_lock(&self, domain: Uuid, deadline: Deadline) -> Result<Lock, HostError> {
        self.make()?;
        Lock::take(self.dir.join(format!("domain-{domain}.lock")), deadline)
    }

    /// One physical GPU's lock: from the last look at its room until `create` returned.
    pub(crate) fn gpu_lock(&self, gpu: &PgpuName, deadline: Deadline) -> Result<Lock, HostError> {
        self.make()?;
        Lock::take(self.dir.join(format!("gpu-{gpu}.lock")), deadline)
    }

    /// Makes the directory, or checks the one that is there.
    pub(crate) fn make(&self) -> Result<(), HostError> {
        if self.made.get().is_some() {
            return Ok(());
        }
        let dir = &self.dir;
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(HostError::State {
                    doing: "make",
                    path: dir.clone(),
                    source,
                });
            }
        }
        let metadata = std::fs::symlink_metadata(dir).map_err(|source| HostError::State {
            doing: "look at",
            path: dir.clone(),
            source,
        })?;
        let untrusted = |why: &str| {
            Err(HostError::Untrusted {
                path: dir.clone(),
                why: why.to_owned(),
            })
        };
        if !metadata.is_dir() {
            return untrusted("it is not a directory");
        }
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.permissions().mode() & 0o022 != 0 {
            return untrusted("others may write it; its owner should be root and its mode 0700");
        }
        self.made.get_or_init(|| ());
        Ok(())
    }
}
