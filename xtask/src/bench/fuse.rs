//! What the simulated host costs beyond plain files.
//!
//! On a real host an access to sysfs stays in the kernel. Here each one wakes a FUSE server, several times (lookup,
//! open, read, release). So the hook's accesses below the host are listed by strace, and a little program makes them
//! again, on the simulated host and on a copy of plain files: by how much it is slower on the first is FUSE's share of
//! the hook's time.

use super::opens::Call;
use super::spawn::Program;
use anyhow::{Context, Result};
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The device that the little program creates.
const DEVICE: &str = "00000000-0000-4000-8000-00000000be0c";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    List,
    Link,
    Stat,
    Create,
}

/// The accesses of one run.
pub(crate) struct Accesses {
    list: Vec<(Kind, PathBuf)>,
    simulated: PathBuf,
    on_simulated: Program,
    on_plain: Program,
}

impl Accesses {
    /// Picks the accesses below `simulated` that FUSE answered, and makes a copy of what they saw in `place`.
    pub(crate) fn of(calls: &[Call], simulated: &Path, place: &Path, replay: &Path) -> Result<Self> {
        let list: Vec<_> = calls.iter().filter_map(|call| access(call, simulated)).collect();
        let (file, plain) = (place.join("accesses"), place.join("copy"));
        let mut text = String::new();
        for (kind, below) in &list {
            writeln!(text, "{} {}", kind.word(), below.display())?;
        }
        crate::sh::write(&file, &text)?;
        copy(&list, simulated, &plain)?;
        let program = |root: &Path| Program::new(replay, [file.as_path(), root]);
        Ok(Self {
            on_simulated: program(simulated),
            on_plain: program(&plain),
            list,
            simulated: simulated.to_owned(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// How long the little program takes on the simulated host, and on plain files.
    pub(crate) fn replay(&self, timed: impl Fn(&Program) -> Result<Duration>) -> Result<(Duration, Duration)> {
        let simulated = timed(&self.on_simulated)?;
        let remove = self.simulated.join("sys/bus/mdev/devices").join(DEVICE).join("remove");
        OpenOptions::new().write(true).open(remove)?.write_all(b"1")?;
        Ok((simulated, timed(&self.on_plain)?))
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Link => "link",
            Self::Stat => "stat",
            Self::Create => "create",
        }
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

/// What a call was, if FUSE answered it. What is not there (a device that is new each time) costs as much to be told so.
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

/// Files with the same content, links with the same target, directories with the same names.
fn copy(list: &[(Kind, PathBuf)], simulated: &Path, plain: &Path) -> Result<()> {
    for (kind, below) in list {
        let (from, to) = (simulated.join(below), plain.join(below));
        fs::create_dir_all(to.parent().context("a root has no accesses")?)?;
        match kind {
            Kind::List => fs::create_dir_all(&to)?,
            _ if to.symlink_metadata().is_ok() => {}
            Kind::Link => symlink(fs::read_link(&from).unwrap_or_else(|_| "gone".into()), &to)?,
            Kind::Read => File::create(&to)?.write_all(&fs::read(&from).unwrap_or_default())?,
            Kind::Stat | Kind::Create => drop(File::create(&to)?),
        }
    }
    for (_, below) in list.iter().filter(|(kind, _)| *kind == Kind::List) {
        for entry in fs::read_dir(simulated.join(below))? {
            let to = plain.join(below).join(entry?.file_name());
            if to.symlink_metadata().is_err() {
                File::create(to)?;
            }
        }
    }
    Ok(())
}
