//! One attribute, one read or one write.
//!
//! Invariant: a read is one `read(2)` of at most a page (but for lists of CPUs), a write is exactly one `write(2)`. In sysfs each `write(2)` is
//! one store, so a text split in two is two commands; and a file opened with `O_CREAT` answers `EACCES` instead of
//! `ENOENT` where it is missing, so neither that nor `O_TRUNC` is ever asked for. The last component is never followed
//! as a link: attributes are files.

use crate::SysfsError;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most that an attribute says, in bytes: the kernel cuts a `show()` at one page less one.
const LIMIT: usize = 4096;

/// Reads an attribute without its trailing newline; `None` when there is no such file (any more). Opens 1.
///
/// # Errors
/// A file that cannot be opened or read, is not UTF-8, or fills a whole page.
///
/// ```
/// use mdevkit_sysfs::attr;
/// # use std::io::Write;
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("device_api");
/// assert_eq!(attr::read_text(&path)?, None);
/// # std::fs::File::create(&path)?.write_all(b"vfio-pci\n")?;
/// assert_eq!(attr::read_text(&path)?.as_deref(), Some("vfio-pci"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_text(path: &Path) -> Result<Option<String>, SysfsError> {
    text(path, LIMIT, |mut file| {
        let mut bytes = vec![0; LIMIT];
        let length = loop {
            match file.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(length);
        Ok(bytes)
    })
}

/// The same for the few attributes that may be longer than a page: lists of CPUs (`BIN_ATTR`s, which the kernel gives
/// a page at a time). Fails where there are `limit` bytes or more. Opens 1.
pub(crate) fn read_long_text(path: &Path, limit: usize) -> Result<Option<String>, SysfsError> {
    text(path, limit, |file| {
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// Writes `bytes` with exactly one `write(2)` to a file that exists. Opens 1.
///
/// # Errors
/// What `open(2)` or `write(2)` answered, unchanged; a write that took less than all of it is [`io::ErrorKind::WriteZero`].
pub fn write_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_to(open_for_write(path)?, bytes)
}

/// Opens a file that exists for one write.
pub(crate) fn open_for_write(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)
}

/// The one write.
pub(crate) fn write_to(mut file: File, bytes: &[u8]) -> io::Result<()> {
    if file.write(bytes)? == bytes.len() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::WriteZero,
        "the kernel took a part of the text only",
    ))
}

/// ENOENT, and ENODEV, which kernfs answers for a file that is just being removed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOENT | Errno::ENODEV)
    )
}

/// Opens, reads, and checks what was read.
fn text(
    path: &Path,
    limit: usize,
    read: impl FnOnce(File) -> io::Result<Vec<u8>>,
) -> Result<Option<String>, SysfsError> {
    // O_NONBLOCK changes nothing on sysfs; in a tree that is not sysfs it keeps a pipe from stopping us.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let mut bytes = match opened.and_then(read) {
        Ok(bytes) => bytes,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(source) => {
            return Err(SysfsError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    if bytes.len() >= limit {
        return Err(SysfsError::TooLong {
            path: path.to_owned(),
            limit: limit - 1,
        });
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| SysfsError::NotText { path: path.to_owned() })
}
