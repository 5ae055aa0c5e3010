//! The ledger's file: read whole, replaced by rename, changed under its own lock for microseconds.
//!
//! Invariants: a reader without the lock sees the old or the new ledger, whole; a ledger of a newer version is never
//! set aside or overwritten, for that would lose every running guest; a damaged one is set aside and rebuilt from what
//! can be proven.

use crate::lock::Lock;
use crate::state::StateDir;
use crate::{Deadline, HostError, clock, rebuild};
use mdevkit_core::ledger::{FormatError, Ledger};
use std::cell::RefCell;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The most that is read of a ledger, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// What one process remembers between two changes.
#[derive(Default)]
pub(crate) struct Remembered {
    /// The lock's file, unlocked.
    lock: RefCell<Option<File>>,
    /// The file that was read or written last, and what is in it. It is kept open so that its inode number stands for
    /// this content and no other: a file is never changed in place, and the number of an open one is not used again.
    last: RefCell<Option<(File, Ledger)>>,
}

impl StateDir<'_> {
    /// The ledger as it is now, without what other boots left; empty when there is none.
    pub(crate) fn ledger(&self, deadline: Deadline) -> Result<Ledger, HostError> {
        let mut ledger = match self.read() {
            Err(HostError::Ledger {
                source: FormatError::Damaged { .. },
                ..
            }) => self.change(deadline, |ledger| Ok(ledger.clone())),
            read => read,
        }?;
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
        let freed = self.remembered.lock.take();
        let lock = Lock::take_again(freed, self.dir.join("ledger.lock"), deadline)?;
        let answer = self.change_locked(change);
        self.remembered.lock.replace(lock.free());
        answer
    }

    fn change_locked<T>(&self, change: impl FnOnce(&mut Ledger) -> Result<T, HostError>) -> Result<T, HostError> {
        let before = match self.read() {
            Err(HostError::Ledger {
                source: FormatError::Damaged { why },
                ..
            }) => self.rebuild(&why),
            read => read,
        }?;
        let mut ledger = before.clone();
        let forgotten = ledger.forget_other_boots(&self.boot()?);
        if forgotten > 0 {
            log::info!("forgot {forgotten} records of another boot");
        }
        let answer = change(&mut ledger)?;
        if before != ledger {
            self.write(ledger)?;
        }
        Ok(answer)
    }

    /// What the file says now.
    fn read(&self) -> Result<Ledger, HostError> {
        let path = self.ledger_path();
        let failed = |source| HostError::State {
            doing: "read",
            path: path.clone(),
            source,
        };
        if let Some((file, ledger)) = &*self.remembered.last.borrow()
            && is_still(file, &path)
        {
            return Ok(ledger.clone());
        }
        let mut file = match OpenOptions::new()
            .read(true)
            .custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits())
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ledger::default()),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        trusted(&metadata).map_err(|why| HostError::Untrusted {
            path: path.clone(),
            why: why.to_owned(),
        })?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(64 * 1024));
        (&mut file).take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        let read = if bytes.len() as u64 > LONGEST {
            Err(FormatError::Damaged {
                why: format!("it is longer than {LONGEST} bytes"),
            })
        } else {
            Ledger::read(&bytes)
        };
        let ledger = read.map_err(|source| HostError::Ledger { path, source })?;
        self.remembered.last.replace(Some((file, ledger.clone())));
        Ok(ledger)
    }

    fn write(&self, ledger: Ledger) -> Result<(), HostError> {
        let (path, new) = (self.ledger_path(), self.dir.join("ledger.json.new"));
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| HostError::State { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(&new)
            .map_err(failed("write", &new))?;
        let text = ledger.write();
        if text.len() as u64 > LONGEST {
            let source = io::Error::other(format!("it would have more than {LONGEST} bytes"));
            return Err(failed("write", &new)(source));
        }
        // No fsync: the directory is on a tmpfs, and a host that crashed has no devices left.
        file.write_all(text.as_bytes()).map_err(failed("write", &new))?;
        std::fs::rename(&new, &path).map_err(failed("replace", &path))?;
        self.remembered.last.replace(Some((file, ledger)));
        Ok(())
    }

    /// Proves what can be proven in place of a damaged ledger, which is kept beside it. Called under the ledger's lock.
    ///
    /// The damaged one stays in place until the new one is written, so that a failure on the way loses nothing.
    fn rebuild(&self, why: &str) -> Result<Ledger, HostError> {
        let ledger = rebuild::rebuild(self.root, self.boot()?)?;
        let (path, aside) = (
            self.ledger_path(),
            self.dir.join(format!("ledger.json.damaged-{}", clock::now())),
        );
        match std::fs::hard_link(&path, &aside) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(HostError::State {
                    doing: "set aside",
                    path,
                    source,
                });
            }
            _ => {}
        }
        self.write(ledger.clone())?;
        log::error!(
            "the ledger was damaged ({why}); it is kept as {}, and {} records were proven anew",
            aside.display(),
            ledger.records().count()
        );
        Ok(ledger)
    }
}

/// Whether the path still leads to this very file, unchanged.
fn is_still(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(now)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    let stamp = |metadata: &Metadata| {
        let time = (metadata.mtime(), metadata.mtime_nsec());
        (metadata.dev(), metadata.ino(), metadata.len(), time, metadata.mode())
    };
    stamp(&ours) == stamp(&now)
}

fn trusted(metadata: &Metadata) -> Result<(), &'static str> {
    if !metadata.is_file() {
        return Err("it is not a plain file");
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err("others may write it; remove it, then run: mdevkit reconcile");
    }
    Ok(())
}
