//! Symbolic links and directories, read as text.
//!
//! Invariant: a link is never followed. Its target is resolved as text below the root, must stay in `sys/`, and then a
//! file name of it is validated into a type. sysfs makes relative links only, so a tree under any root resolves in
//! itself; an absolute link, which would lead out of the root, is an error.

use crate::attr::is_gone;
use crate::error::excerpt;
use crate::{Root, SysfsError, number};
use mdevkit_core::ParentName;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The most entries of one directory that are read; a host with many s390 subchannels has some thousands.
const ENTRIES: usize = 65_536;

/// Where `dir/name` (a directory below the root and a validated name) leads, as a path below the root; `None` when
/// there is no such link. A plain directory leads to itself. Opens 0.
pub(crate) fn resolve(root: &Root, dir: &Path, name: &str) -> Result<Option<PathBuf>, SysfsError> {
    let link = dir.join(name);
    let Some(target) = read(&root.path(&link))? else {
        return Ok(None);
    };
    let Some(target) = target else { return Ok(Some(link)) };
    match lexically(dir, &target) {
        Some(path) if path.starts_with("sys") => Ok(Some(path)),
        _ => Err(bad_target(
            root.path(&link),
            target.as_os_str(),
            "expected a relative path that stays in /sys",
        )),
    }
}

/// The last component of a link's target as text; `None` when there is no such link. Opens 0.
pub(crate) fn target_name(path: &Path) -> Result<Option<String>, SysfsError> {
    let expected = "expected a path with a name at its end";
    match read(path)? {
        None => Ok(None),
        Some(None) => Err(bad_target(path.to_owned(), OsStr::new(""), "expected a symbolic link")),
        Some(Some(target)) => match target.file_name().and_then(OsStr::to_str) {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(bad_target(path.to_owned(), target.as_os_str(), expected)),
        },
    }
}

/// The number of the IOMMU group that a link `iommu_group` leads to; `None` when there is no such link. Opens 0.
pub(crate) fn group(path: PathBuf) -> Result<Option<u32>, SysfsError> {
    match target_name(&path)? {
        None => Ok(None),
        Some(name) => match number::decimal(&name) {
            Some(group) => Ok(Some(group)),
            None => Err(bad_target(
                path,
                OsStr::new(&name),
                "expected the number of a group at its end",
            )),
        },
    }
}

/// The PCI function that a link (`physfn`, `virtfn0`) leads to; `None` when there is no such link. Opens 0.
pub(crate) fn function_name(path: &Path) -> Result<Option<ParentName>, SysfsError> {
    match target_name(path)? {
        None => Ok(None),
        Some(name) => match name.parse::<ParentName>() {
            Ok(function) if function.bdf().is_some() => Ok(Some(function)),
            _ => Err(bad_target(
                path.to_owned(),
                OsStr::new(&name),
                "expected a PCI address at its end",
            )),
        },
    }
}

/// An error about a link's target, which is shown shortened and escaped.
pub(crate) fn bad_target(path: PathBuf, target: &OsStr, expected: &'static str) -> SysfsError {
    SysfsError::Target {
        path,
        target: excerpt(&target.to_string_lossy()),
        expected,
    }
}

/// The names in a directory, in no order; empty when there is none. Opens 1.
pub(crate) fn names(path: &Path) -> Result<Vec<OsString>, SysfsError> {
    let list = |source| SysfsError::List {
        path: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(source) => return Err(list(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name()),
            // The directory went away under our eyes: the device or the driver was removed.
            Err(error) if is_gone(&error) => break,
            Err(source) => return Err(list(source)),
        }
        if names.len() > ENTRIES {
            return Err(SysfsError::TooMany {
                path: path.to_owned(),
                limit: ENTRIES,
            });
        }
    }
    Ok(names)
}

/// Where the entries of one directory of links lead, each looked up once. One that goes away leaves a path that leads
/// nowhere, which every reader takes as gone.
#[derive(Clone, Debug)]
pub(crate) struct Places<K> {
    dir: &'static str,
    known: RefCell<BTreeMap<K, PathBuf>>,
}

impl<K: Ord + Clone + ToString> Places<K> {
    pub(crate) fn new(dir: &'static str) -> Self {
        Self {
            dir,
            known: RefCell::default(),
        }
    }

    /// Where it is, below the root; `None` when there is no such entry. Opens 0.
    pub(crate) fn of(&self, root: &Root, key: &K) -> Result<Option<PathBuf>, SysfsError> {
        if let Some(place) = self.known.borrow().get(key) {
            return Ok(Some(place.clone()));
        }
        let place = resolve(root, self.dir.as_ref(), &key.to_string())?;
        if let Some(place) = &place {
            self.known.borrow_mut().insert(key.clone(), place.clone());
        }
        Ok(place)
    }
}

/// Whether something is there: a `stat` that follows no link. Opens 0.
pub(crate) fn exists(path: &Path) -> Result<bool, SysfsError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(source) => Err(SysfsError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// `None`: nothing there; `Some(None)`: there, and not a link.
fn read(path: &Path) -> Result<Option<Option<PathBuf>>, SysfsError> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(Some(Some(target))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Some(None)),
        Err(source) => Err(SysfsError::Link {
            path: path.to_owned(),
            source,
        }),
    }
}

/// `dir` and a relative `target` joined without asking the file system; `None` when it would leave the root.
fn lexically(dir: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = dir.to_owned();
    for component in target.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_below_the_root_or_is_refused() {
        let dir = Path::new("sys/class/mdev_bus");
        for (target, expected) in [
            ("../../devices/virtual/mtty/mtty", Some("sys/devices/virtual/mtty/mtty")),
            ("./../../devices/x", Some("sys/devices/x")),
            ("../../../etc", Some("etc")),
            ("../../../../etc", None),
            ("/sys/devices/x", None),
            ("/", None),
        ] {
            assert_eq!(
                lexically(dir, Path::new(target)).as_deref(),
                expected.map(Path::new),
                "{target}"
            );
        }
    }
}
