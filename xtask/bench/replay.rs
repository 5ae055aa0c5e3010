// Makes the accesses of a list below a root: `replay LIST ROOT`, a line of the list is `KIND PATH`.
// A program of its own, so that it meets FUSE as a hook does: a process that has just begun.
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

fn main() {
    let mut args = std::env::args().skip(1);
    let (list, root) = (args.next().expect("a list"), args.next().expect("a root"));
    for line in fs::read_to_string(list).expect("the list").lines() {
        let (kind, below) = line.split_once(' ').expect("KIND PATH");
        let path = Path::new(&root).join(below);
        match kind {
            "read" => drop(File::open(&path).map(|mut file| file.read(&mut [0; 4096]))),
            "list" => drop(fs::read_dir(&path).map(Iterator::count)),
            "link" => drop(fs::read_link(&path)),
            "stat" => drop(path.symlink_metadata()),
            // The same device each time: who runs this removes it in between.
            _ => OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|mut file| file.write_all(b"00000000-0000-4000-8000-00000000be0c"))
                .expect("created"),
        }
    }
}
