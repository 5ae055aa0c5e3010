//! The state directory `/run/mdevkit`: the ledger's file and the locks.
//!
//! It lies on a tmpfs on purpose: devices die at reboot, and so must the ledger.
//!
//! Invariants: the ledger is replaced by rename under its own lock, so a reader without the lock sees the old or the
//! new one, whole; a ledger of a newer version is never set aside or overwritten, for that would lose every running
//! guest; a damaged one is set aside and rebuilt from what can be proven.

use crate::lock::Lock;
use crate::{Deadline, HostError, Root, process, rebuild};
use mdevkit_core::ledger::{BootId, FormatError, Ledger};
use mdevkit_core::{ParentName, Uuid};
use std::cell::OnceCell;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the state is, below the root.
pub const STATE_DIR: &str = "run/mdevkit";

/// The most that is read of a ledger, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

pub(crate) struct StateDir<'r> {
    root: &'r Root,
    dir: PathBuf,
    boot: OnceCell<BootId>,
    made: OnceCell<()>,
}

impl<'r> StateDir<'r> {
    pub(crate) fn new(root: &'r Root) -> Self {
        Self {
            root,
            dir: root.path(STATE_DIR),
            boot: OnceCell::new(),
            made: OnceCell::new(),
        }
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

    /// One parent's lock: from the last look at its room until `create` returned.
    pub(crate) fn parent_lock(&self, parent: &ParentName, deadline: Deadline) -> Result<Lock, HostError> {
        self.make()?;
        Lock::take(self.dir.join(format!("parent-{parent}.lock")), deadline)
    }

    /// The ledger as it is now, without what other boots left; empty when there is none.
    pub(crate) fn ledger(&self, deadline: Deadline) -> Result<Ledger, HostError> {
        let mut ledger = match self.read() {
            Ok(ledger) => ledger,
            Err(HostError::Ledger {
                source: FormatError::Damaged { .. },
                ..
            }) => self.change(deadline, |ledger| Ok(ledger.clone()))?,
            Err(error) => return Err(error),
        };
        if ledger.records().next().is_some() {
            ledger.forget_other_boots(&self.boot()?);
        }
        Ok(ledger)
    }

    /// Changes the ledger under its lock. Nothing is written when `change` fails or changes nothing.
    pub(crate) fn change<T>(
        &self,
        deadline: Deadline,
        change: impl FnOnce(&mut Ledger) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        self.make()?;
        let _lock = Lock::take(self.dir.join("ledger.lock"), deadline)?;
        let (before, mut ledger) = match self.read() {
            Ok(ledger) => (Some(ledger.clone()), ledger),
            Err(HostError::Ledger {
                source: FormatError::Damaged { why },
                ..
            }) => (None, self.rebuild(&why)?),
            Err(error) => return Err(error),
        };
        let forgotten = ledger.forget_other_boots(&self.boot()?);
        if forgotten > 0 {
            log::info!("forgot {forgotten} records of another boot");
        }
        let answer = change(&mut ledger)?;
        if before.as_ref() != Some(&ledger) {
            self.write(&ledger)?;
        }
        Ok(answer)
    }

    fn file(&self) -> PathBuf {
        self.dir.join("ledger.json")
    }

    fn read(&self) -> Result<Ledger, HostError> {
        let path = self.file();
        let failed = |source| HostError::State {
            doing: "read",
            path: path.clone(),
            source,
        };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits())
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ledger::default()),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let untrusted = |why: &str| HostError::Untrusted {
            path: path.clone(),
            why: why.to_owned(),
        };
        if !metadata.is_file() {
            return Err(untrusted("it is not a plain file"));
        }
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(untrusted("others may write it; remove it, then run: mdevkit reconcile"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(64 * 1024));
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        let read = if bytes.len() as u64 > LONGEST {
            Err(FormatError::Damaged {
                why: format!("it is longer than {LONGEST} bytes"),
            })
        } else {
            Ledger::read(&bytes)
        };
        read.map_err(|source| HostError::Ledger { path, source })
    }

    fn write(&self, ledger: &Ledger) -> Result<(), HostError> {
        let (path, new) = (self.file(), self.dir.join("ledger.json.new"));
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| HostError::State { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(&new)
            .map_err(failed("write", &new))?;
        // No fsync: the directory is on a tmpfs, and a host that crashed has no devices left.
        file.write_all(ledger.write().as_bytes())
            .map_err(failed("write", &new))?;
        std::fs::rename(&new, &path).map_err(failed("replace", &path))
    }

    /// Sets a damaged ledger aside and proves what can be proven. Called under the ledger's lock.
    fn rebuild(&self, why: &str) -> Result<Ledger, HostError> {
        let (path, aside) = (
            self.file(),
            self.dir.join(format!("ledger.json.damaged-{}", crate::clock::now())),
        );
        std::fs::rename(&path, &aside).map_err(|source| HostError::State {
            doing: "set aside",
            path,
            source,
        })?;
        let ledger = rebuild::rebuild(self.root, self.boot()?)?;
        log::error!(
            "the ledger was damaged ({why}); it is kept as {}, and {} records were proven anew",
            aside.display(),
            ledger.records().count()
        );
        Ok(ledger)
    }

    /// Makes the directory, or checks the one that is there.
    fn make(&self) -> Result<(), HostError> {
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
