//! Names from pci.ids: of a few of its lines, and of files that are none.
#![expect(clippy::unwrap_used, reason = "a helper that cannot make its tree is a failed test")]

mod tree;

use mdevkit_sysfs::{Root, pci_ids};
use tempfile::TempDir;
use tree::{link, put};

const LINES: &[u8] = include_bytes!("fixtures/pci.ids");
const FILE: &str = "usr/share/misc/pci.ids";

fn with(file: &str, bytes: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), file, bytes);
    dir
}

fn name(dir: &TempDir, ids: &str) -> Option<String> {
    let names = pci_ids::lookup(&Root::at(dir.path()), ids.parse().unwrap()).unwrap();
    names.map(|names| names.to_string())
}

#[test]
fn cards_have_the_names_that_people_know() {
    for file in [FILE, "usr/share/hwdata/pci.ids"] {
        let dir = with(file, LINES);
        for (ids, expected) in [
            ("10de:11bf", Some("NVIDIA Corporation GK104GL [GRID K2]")),
            ("10de:0ff2", Some("NVIDIA Corporation GK107GL [GRID K1]")),
            ("10de:1db5", Some("NVIDIA Corporation GV100GL [Tesla V100 SXM2 32GB]")),
            ("10DE:25B6", Some("NVIDIA Corporation GA107GL [A2 / A16]")),
            (
                "1002:6929",
                Some("Advanced Micro Devices, Inc. [AMD/ATI] Tonga XT GL [FirePro S7150]"),
            ),
            ("8086:56c0", Some("Intel Corporation Data Center GPU Flex 170")),
            ("10de:2bb5", Some("NVIDIA Corporation")),
            // A device of another vendor, a vendor that only the classes could be taken for, and nobody's.
            ("1002:11bf", Some("Advanced Micro Devices, Inc. [AMD/ATI]")),
            ("0300:0000", None),
            ("ffff:11bf", None),
        ] {
            assert_eq!(name(&dir, ids).as_deref(), expected, "{ids} in {file}");
        }
    }
}

#[test]
fn several_are_found_in_one_go() {
    let dir = with(FILE, LINES);
    let ids = ["8086:3e92", "10de:11bf", "10de:ffff", "beef:0001"].map(|ids| ids.parse().unwrap());
    let names = pci_ids::lookup_all(&Root::at(dir.path()), ids).unwrap();
    let names: Vec<String> = names.iter().map(|(ids, names)| format!("{ids} {names}")).collect();
    assert_eq!(
        names,
        [
            "10de:11bf NVIDIA Corporation GK104GL [GRID K2]",
            "10de:ffff NVIDIA Corporation",
            "8086:3e92 Intel Corporation CoffeeLake-S GT2 [UHD Graphics 630]",
        ]
    );
}

#[test]
fn a_file_may_say_anything() {
    let long = [
        b"10de  NVIDIA Corporation\n\t11bf  ",
        [b'x'; 5000].as_slice(),
        b"\n\t11c0  GK106\n",
    ]
    .concat();
    let cases: [(&str, &[u8], &str, Option<&str>); 11] = [
        ("nothing", b"", "10de:11bf", None),
        ("a device of no vendor", b"\t11bf  GK104GL\n", "10de:11bf", None),
        (
            "no newline at the end",
            b"10de  NVIDIA\n\t11bf  GK104GL",
            "10de:11bf",
            Some("NVIDIA GK104GL"),
        ),
        (
            "CRLF",
            b"10de  NVIDIA\r\n\t11bf  GK104GL\r\n",
            "10de:11bf",
            Some("NVIDIA GK104GL"),
        ),
        (
            "the first of two",
            b"10de  NVIDIA\n\t11bf  A\n\t11bf  B\n10de  C\n",
            "10de:11bf",
            Some("NVIDIA A"),
        ),
        (
            "a colour",
            b"10de  NVIDIA\n\t11bf  \x1b[31mGK104GL\n",
            "10de:11bf",
            Some("NVIDIA"),
        ),
        (
            "another encoding",
            b"10de  NVIDIA\n\t11bf  GK\xe9\n\t11c0  GK106\n",
            "10de:11c0",
            Some("NVIDIA GK106"),
        ),
        ("no name", b"10de  NVIDIA\n\t11bf  \n", "10de:11bf", Some("NVIDIA")),
        ("a line too long", &long, "10de:11bf", Some("NVIDIA Corporation")),
        (
            "after a line too long",
            &long,
            "10de:11c0",
            Some("NVIDIA Corporation GK106"),
        ),
        ("after the vendors", b"C 03  Display\n10de  NVIDIA\n", "10de:11bf", None),
    ];
    for (what, bytes, ids, expected) in cases {
        assert_eq!(name(&with(FILE, bytes), ids).as_deref(), expected, "{what}");
    }
}

#[test]
fn reading_ends_after_four_mebibytes() {
    let comment = "# nothing to see here\n".repeat(200_000);
    assert!(comment.len() > 4 * 1024 * 1024);
    let late = format!("10de  NVIDIA\n{comment}\t11bf  GK104GL\n");
    assert_eq!(
        name(&with(FILE, late.as_bytes()), "10de:11bf").as_deref(),
        Some("NVIDIA")
    );
}

#[test]
fn a_file_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(name(&dir, "10de:11bf"), None, "not installed");
    std::fs::create_dir_all(dir.path().join(FILE)).unwrap();
    let error = pci_ids::lookup(&Root::at(dir.path()), "10de:11bf".parse().unwrap()).unwrap_err();
    assert_eq!(error.path(), dir.path().join(FILE));
    assert!(error.to_string().contains("it is not a plain file"), "{error}");
    std::fs::remove_dir(dir.path().join(FILE)).unwrap();
    nix::unistd::mkfifo(&dir.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        pci_ids::lookup(&Root::at(dir.path()), "10de:11bf".parse().unwrap()).is_err(),
        "a pipe does not stop us"
    );
}

#[test]
fn a_distribution_may_link_one_place_to_the_other() {
    let dir = with("usr/share/hwdata/pci.ids", LINES);
    link(dir.path(), FILE, "../hwdata/pci.ids");
    assert_eq!(
        name(&dir, "10de:11bf").as_deref(),
        Some("NVIDIA Corporation GK104GL [GRID K2]")
    );
}
