//! Files and links of a made-up host.

use std::fs::{File, create_dir_all};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Writes a file and makes the directories that it is in.
pub(crate) fn put(dir: &Path, file: &str, bytes: &[u8]) {
    let path = dir.join(file);
    create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Makes a link and the directories that it is in.
pub(crate) fn link(dir: &Path, file: &str, target: &str) {
    let path = dir.join(file);
    create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}
