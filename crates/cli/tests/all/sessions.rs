//! The seed sessions: `tests/sessions/*.txt`, each a terminal on a simulated host, replayed and compared line by line.
//!
//! A file begins with its host, `# board: k2` (repeatable), and any other lines with `#`. Then come commands, and below
//! each what it says: stdout, then stderr, then `[status N]` where that is not 0.
//!
//! | line | does |
//! |---|---|
//! | `$ mdevkit ...` | runs the command on the host; words in `'...'` are one |
//! | `$ domain NAME` | writes NAME.xml, a domain without devices, its UUID made from the name; lines `> ...` go into it |
//! | `$ virsh start NAME` | does what libvirt does: keeps the XML, runs the hook at `prepare` |
//! | `$ virsh destroy NAME` | runs the hook at `release` |
//! | `$ foreign PARENT TYPE UUID` | makes a device as something else than mdevkit would |
//! | `$ sim ORDER` | writes an order to the simulator's control file |
//! | `$ edit PATH` | writes the lines `> ...` that follow to a file of the host |
//!
//! `SNAPSHOTS=overwrite` writes what came in place of what stands there.

use crate::lab::{Lab, hook};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The lines of pci.ids (<https://pci-ids.ucw.cz>, 2024.06.23) that the sessions' boards need.
const PCI_IDS: &str = "\
10de  NVIDIA Corporation
\t0ff2  GK107GL [GRID K1]
\t11bf  GK104GL [GRID K2]
\t1db5  GV100GL [Tesla V100 SXM2 32GB]
\t2235  GA102GL [A40]
";

#[test]
fn every_session_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let came = replay(&written);
        if came == written {
            continue;
        }
        if std::env::var("SNAPSHOTS").is_ok_and(|word| word == "overwrite") {
            File::create(&file).unwrap().write_all(came.as_bytes()).unwrap();
        } else {
            let diff = similar::TextDiff::from_lines(&written, &came);
            let name = file.display().to_string();
            write!(wrong, "{}", diff.unified_diff().header(&name, "what came")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The session's file as it would have to be.
fn replay(written: &str) -> String {
    let boards: Vec<&str> = written
        .lines()
        .filter_map(|line| line.strip_prefix("# board: "))
        .collect();
    assert!(!boards.is_empty(), "a session names its boards");
    let lab = Lab::new(&boards);
    let names = lab.sim.root().join("usr/share/misc");
    fs::create_dir_all(&names).unwrap();
    File::create(names.join("pci.ids"))
        .unwrap()
        .write_all(PCI_IDS.as_bytes())
        .unwrap();
    let mut came = String::new();
    let mut lines = written.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') || line.is_empty() {
            came.push_str(line);
            came.push('\n');
        }
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        writeln!(came, "{line}").unwrap();
        let mut text = String::new();
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix('>')) {
            writeln!(came, ">{more}").unwrap();
            writeln!(text, "{}", more.strip_prefix(' ').unwrap_or(more)).unwrap();
            lines.next();
        }
        let said = run(&lab, command, &text);
        came.push_str(&said);
        // What stands there of an older answer, up to the next command or comment.
        while lines
            .next_if(|line| !line.starts_with("$ ") && !line.starts_with('#'))
            .is_some()
        {}
        if lines.peek().is_some() {
            came.push('\n');
        }
    }
    came
}

fn run(lab: &Lab, command: &str, text: &str) -> String {
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["mdevkit", args @ ..] => {
            let ran = lab.run(args);
            answer(ran.stdout, &ran.stderr, ran.status)
        }
        ["domain", name] => {
            let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
            let xml = format!(
                "<domain type='kvm'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n{text}  <devices>\n  </devices>\n</domain>\n"
            );
            lab.file(&format!("{name}.xml"), xml);
            String::new()
        }
        ["virsh", "start", name] => {
            let xml = fs::read(lab.files.path().join(format!("{name}.xml"))).unwrap();
            host_file(lab, &format!("etc/libvirt/qemu/{name}.xml"), &xml);
            hooked(lab, name, ["prepare", "begin"])
        }
        ["virsh", "destroy", name] => hooked(lab, name, ["release", "end"]),
        ["foreign", parent, type_id, uuid] => {
            lab.create_foreign(parent, type_id, uuid);
            String::new()
        }
        ["sim", order @ ..] => {
            let control = File::options().write(true).open(lab.sim.root().join("sim/control"));
            control
                .unwrap()
                .write_all(format!("{}\n", order.join(" ")).as_bytes())
                .unwrap();
            String::new()
        }
        ["edit", path] => {
            host_file(lab, path.trim_start_matches('/'), text.as_bytes());
            String::new()
        }
        other => unknown(other),
    }
}

#[expect(clippy::panic, reason = "a session that nobody can replay is a failed test")]
fn unknown(words: &[&str]) -> String {
    panic!("a session cannot do {words:?}")
}

fn host_file(lab: &Lab, path: &str, text: &[u8]) {
    let path = lab.sim.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(text).unwrap();
}

/// Runs the hook as libvirt does.
fn hooked(lab: &Lab, name: &str, [operation, phase]: [&str; 2]) -> String {
    let xml = File::open(lab.files.path().join(format!("{name}.xml"))).unwrap();
    let output = Command::new(hook())
        .args([name, operation, phase, "-"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MDEVKIT_ROOT", lab.sim.root())
        .stdin(xml)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| lab.shown(String::from_utf8(bytes).unwrap());
    answer(text(output.stdout), &text(output.stderr), output.status.code().unwrap())
}

fn answer(stdout: String, stderr: &str, status: i32) -> String {
    let mut said = timeless(&(stdout + stderr));
    if status != 0 {
        writeln!(said, "[status {status}]").unwrap();
    }
    said
}

/// The text with `[TIME]` in place of points in time (JSON's seconds since 1970 included), and no spaces at the ends of lines.
fn timeless(text: &str) -> String {
    const LIKE: &str = "0000-00-00 00:00:00 UTC";
    let is_time = |at: &str| {
        at.len() == LIKE.len()
            && at
                .bytes()
                .zip(LIKE.bytes())
                .all(|(b, like)| if like == b'0' { b.is_ascii_digit() } else { b == like })
    };
    let mut timeless = String::new();
    for line in text.lines() {
        let mut line = line.trim_end().to_owned();
        for at in 0..line.len() {
            if line.get(at..at + LIKE.len()).is_some_and(is_time) {
                line.replace_range(at..at + LIKE.len(), "[TIME]");
            }
        }
        if let Some((key, seconds)) = line.split_once("\"time\": ")
            && seconds.trim_end_matches(',').bytes().all(|b| b.is_ascii_digit())
        {
            line = format!("{key}\"time\": [TIME],");
        }
        writeln!(timeless, "{line}").unwrap();
    }
    timeless
}

/// Words as a shell splits them; `'...'` keeps them together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
