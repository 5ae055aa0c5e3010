//! What the simulated host costs beyond plain files.
//!
//! On a real host an access to sysfs stays in the kernel. Here each one wakes a FUSE server, several times (lookup,
//! open, read, release). So the hook's accesses below the host are listed by strace, and made again in a loop in this
//! process, on the simulated host and on a copy of plain files: the difference is FUSE's share of the hook's time.

use super::opens::Call;
use anyhow::{Context, Result};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    List,
    Link,
    Stat,
    Create,
}

/// The accesses of one run, below two roots.
pub(crate) struct Accesses {
    list: Vec<(Kind, PathBuf)>,
    simulated: PathBuf,
    plain: PathBuf,
}

impl Accesses {
    /// Picks the accesses below `simulated` that FUSE answered, and makes a copy of what they saw.
    pub(crate) fn of(calls: &[Call], simulated: &Path, plain: &Path) -> Result<Self> {
        let list = calls.iter().filter_map(|call| access(call, simulated)).collect();
        let accesses = Self {
            list,
            simulated: simulated.to_owned(),
            plain: plain.to_owned(),
        };
        accesses.copy()?;
        Ok(accesses)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Makes all accesses on both roots, and tells by how much the simulated host was slower.
    pub(crate) fn replay(&self) -> Result<Duration> {
        let simulated = self.time(&self.simulated)?;
        Ok(simulated.saturating_sub(self.time(&self.plain)?))
    }

    fn time(&self, root: &Path) -> Result<Duration> {
        const DEVICE: &str = "00000000-0000-4000-8000-00000000be0c";
        let mut time = Duration::ZERO;
        for (kind, below) in &self.list {
            let path = root.join(below);
            let begin = Instant::now();
            make(*kind, &path, DEVICE).with_context(|| format!("{kind:?} {}", path.display()))?;
            time += begin.elapsed();
            if *kind == Kind::Create && root == self.simulated {
                make(
                    Kind::Create,
                    &root.join("sys/bus/mdev/devices").join(DEVICE).join("remove"),
                    "1",
                )?;
            }
        }
        Ok(time)
    }

    /// Files with the same content, links with the same target, directories with the same names.
    fn copy(&self) -> Result<()> {
        for (kind, below) in &self.list {
            let (from, to) = (self.simulated.join(below), self.plain.join(below));
            fs::create_dir_all(to.parent().context("a root has no accesses")?)?;
            match kind {
                Kind::List => fs::create_dir_all(&to)?,
                _ if to.symlink_metadata().is_ok() => {}
                Kind::Link => symlink(fs::read_link(&from).unwrap_or_else(|_| "gone".into()), &to)?,
                Kind::Read => File::create(&to)?.write_all(&fs::read(&from).unwrap_or_default())?,
                Kind::Stat | Kind::Create => drop(File::create(&to)?),
            }
        }
        for (_, below) in self.list.iter().filter(|(kind, _)| *kind == Kind::List) {
            for entry in fs::read_dir(self.simulated.join(below))? {
                let to = self.plain.join(below).join(entry?.file_name());
                if to.symlink_metadata().is_err() {
                    File::create(to)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Accesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |kind| self.list.iter().filter(|(this, _)| *this == kind).count();
        let (reads, lists, links) = (count(Kind::Read), count(Kind::List), count(Kind::Link));
        write!(
            f,
            "{reads} files read, {lists} directories listed, {links} links read, "
        )?;
        write!(
            f,
            "{} stats, {} devices created",
            count(Kind::Stat),
            count(Kind::Create)
        )
    }
}

/// What a call was, if FUSE answered it and it can be made again: a device that is new has its own links, not ours.
fn access(call: &Call, root: &Path) -> Option<(Kind, PathBuf)> {
    let below = Path::new(&call.path).strip_prefix(root).ok()?.to_owned();
    if !["sys", "dev"].iter().any(|part| below.starts_with(part)) {
        return None;
    }
    let kind = match call.name.as_str() {
        name if name.starts_with("open") && !call.succeeded() => Kind::Stat,
        name if name.starts_with("open") && call.rest.contains("O_DIRECTORY") => Kind::List,
        name if name.starts_with("open") && call.rest.contains("O_WRONLY") => Kind::Create,
        name if name.starts_with("open") => Kind::Read,
        name if name.starts_with("readlink") => Kind::Link,
        _ => Kind::Stat,
    };
    Some((kind, below))
}

/// Makes one access. What is not there costs as much to be told so.
fn make(kind: Kind, path: &Path, text: &str) -> Result<()> {
    match kind {
        Kind::Read => {
            let mut page = [0; 4096];
            let _read = File::open(path)?.read(&mut page)?;
        }
        Kind::List => drop(fs::read_dir(path)?.count()),
        Kind::Link => drop(fs::read_link(path)),
        Kind::Stat => drop(path.symlink_metadata()),
        Kind::Create => OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())?,
    }
    Ok(())
}
