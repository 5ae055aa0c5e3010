//! What outlives a reboot: small files in `/var/lib/mdevkit`, replaced whole.
//!
//! Invariants: nobody but root can write there, or nothing of it is believed; a reader sees the old file or the new one;
//! what is read is bounded.

use crate::{HostError, Root};
use nix::fcntl::OFlag;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where it is, below the root.
pub const DURABLE_DIR: &str = "var/lib/mdevkit";

/// Whether a replaced file is on the disk before anybody goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    Yes,
    No,
}

/// The directory itself.
pub(crate) fn dir(root: &Root) -> PathBuf {
    root.path(DURABLE_DIR)
}

/// Makes the directory, for root alone, and checks that nobody else can write there; gives its path. Opens 0.
pub(crate) fn make(root: &Root) -> Result<PathBuf, HostError> {
    let dir = dir(root);
    make_dir(&dir)?;
    Ok(dir)
}

/// The same for a directory in it.
pub(crate) fn make_below(root: &Root, name: &str) -> Result<PathBuf, HostError> {
    let dir = make(root)?.join(name);
    make_dir(&dir)?;
    Ok(dir)
}

fn make_dir(dir: &Path) -> Result<(), HostError> {
    let failed = |source| HostError::State {
        doing: "make",
        path: dir.to_owned(),
        source,
    };
    match DirBuilder::new().mode(0o700).recursive(true).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    check_dir(dir)
}

/// Whether only root can have written to a directory; one that is missing was written to by nobody. Opens 0.
pub(crate) fn check_dir(dir: &Path) -> Result<(), HostError> {
    let untrusted = |why: &str| {
        Err(HostError::Untrusted {
            path: dir.to_owned(),
            why: why.to_owned(),
        })
    };
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(HostError::State {
            doing: "look at",
            path: dir.to_owned(),
            source,
        }),
        Ok(metadata) if !metadata.is_dir() => untrusted("it is not a directory"),
        Ok(metadata) if !is_ours(&metadata) => {
            untrusted("others may write it; its owner should be root and its mode 0700")
        }
        Ok(_) => Ok(()),
    }
}

/// A file's bytes; `None` when there is none. Opens 1.
///
/// # Errors
/// What is wrong with the file, for a message that names it.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Option<Vec<u8>>, String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    if !is_ours(&metadata) {
        return Err("others may write it; its owner should be root and its mode 0600".to_owned());
    }
    let mut bytes = Vec::new();
    (&mut file)
        .take(longest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > longest {
        return Err(format!("it is longer than {longest} bytes"));
    }
    Ok(Some(bytes))
}

/// Replaces a file whole, by way of `new` beside it. Opens 1, and 1 more to have it on the disk.
pub(crate) fn replace(path: &Path, new: &Path, bytes: &[u8], sync: Sync) -> Result<(), HostError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| HostError::State { doing, path, source }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(new)
        .map_err(failed("write", new))?;
    file.write_all(bytes).map_err(failed("write", new))?;
    if sync == Sync::Yes {
        file.sync_all().map_err(failed("write", new))?;
    }
    std::fs::rename(new, path).map_err(failed("replace", path))?;
    if let (Sync::Yes, Some(dir)) = (sync, path.parent()) {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("write", dir))?;
    }
    Ok(())
}

fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}
