//! What libvirt's files say about domains, read without libvirt: which of them run, and which are defined.
//!
//! Invariant: a file that cannot be read is an error, not an absence. Every UUID that stands in a `<uuid>` element of a
//! status file counts as running, so a mistake can only keep a device, never remove one.

use crate::{HostError, Root};
use mdevkit_core::Uuid;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Status files: `qemuDomainSaveStatus` writes one for each running domain, and the next daemon reads them.
const RUNNING: &str = "run/libvirt/qemu";
/// Domain definitions.
const DEFINED: &str = "etc/libvirt/qemu";

/// The most that is read of one file, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The domains that run, or whose daemon has yet to find out that they do not.
pub(crate) fn running(root: &Root) -> Result<BTreeSet<Uuid>, HostError> {
    uuids(root, RUNNING)
}

/// The domains that are defined.
pub(crate) fn defined(root: &Root) -> Result<BTreeSet<Uuid>, HostError> {
    uuids(root, DEFINED)
}

fn uuids(root: &Root, dir: &str) -> Result<BTreeSet<Uuid>, HostError> {
    let dir = root.path(dir);
    let failed = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| HostError::State {
            doing: "read",
            path,
            source,
        }
    };
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(failed(&dir)(error)),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(failed(&dir))?.path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            // A domain that ended between the two calls.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(failed(&path))?;
        found.extend(elements(&String::from_utf8_lossy(&bytes)));
    }
    Ok(found)
}

/// The values of all `<uuid>` elements.
fn elements(text: &str) -> impl Iterator<Item = Uuid> {
    text.split("<uuid>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</uuid>")?.0.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_running_domain_is_named_by_its_status_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert!(running(&root).unwrap().is_empty(), "no libvirt here");
        std::fs::create_dir_all(root.path(RUNNING)).unwrap();
        let status = "<domstatus state='running' pid='7'>\n  <domain type='qemu' id='1'>\n    <name>d1</name>\n    \
                      <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  </domain>\n</domstatus>\n";
        File::create(root.path(RUNNING).join("d1.xml"))
            .unwrap()
            .write_all(status.as_bytes())
            .unwrap();
        File::create(root.path(RUNNING).join("d1.pid")).unwrap();
        let expected: Uuid = "11111111-0000-0000-0000-000000000001".parse().unwrap();
        assert_eq!(running(&root).unwrap().into_iter().collect::<Vec<_>>(), [expected]);
    }
}
