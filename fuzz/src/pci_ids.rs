//! pci.ids: names for people, out of a file that anybody may have replaced.

use mdevkit_core::PciIds;
use mdevkit_sysfs::{Root, pci_ids};
use std::io::Write;
use std::sync::LazyLock;
use tempfile::TempDir;

/// A host that has the file and nothing else.
static HOST: LazyLock<TempDir> = LazyLock::new(|| {
    let host = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(host.path().join("usr/share/misc")).expect("folders in it");
    host
});

const WANTED: [PciIds; 4] = [
    PciIds {
        vendor: 0x10de,
        device: 0x11bf,
    },
    PciIds {
        vendor: 0x10de,
        device: 0x1db5,
    },
    PciIds {
        vendor: 0x8086,
        device: 0x193b,
    },
    PciIds {
        vendor: 0xffff,
        device: 0,
    },
];

/// Input: the file.
pub fn pci_ids(data: &[u8]) {
    let file = std::fs::File::create(HOST.path().join("usr/share/misc/pci.ids")).and_then(|mut it| it.write_all(data));
    file.expect("the file can be written");
    let root = Root::at(HOST.path());
    let names = pci_ids::lookup_all(&root, WANTED).expect("a file that can be read is read");
    let text = String::from_utf8_lossy(data);
    for (ids, names) in &names {
        assert!(WANTED.contains(ids));
        for (tabs, id, name) in [
            ("", ids.vendor, Some(&names.vendor)),
            ("\t", ids.device, names.device.as_ref()),
        ] {
            let Some(name) = name else { continue };
            assert!(
                crate::is_one_line(name) && name.trim() == name && !name.is_empty(),
                "{name:?}"
            );
            let stands = |line: &str| {
                let entry = line.strip_prefix(tabs).and_then(|it| it.split_once("  "));
                entry.is_some_and(|(number, rest)| {
                    u16::from_str_radix(number, 16) == Ok(id) && rest.trim() == name.as_str()
                })
            };
            assert!(
                text.split('\n').any(stands),
                "{name:?} does not stand in the file as {ids}"
            );
        }
    }
    for ids in WANTED {
        let one = pci_ids::lookup(&root, ids).expect("a file that can be read is read");
        assert_eq!(
            one.as_ref(),
            names.get(&ids),
            "{ids}: alone it is called otherwise than among others"
        );
    }
}
