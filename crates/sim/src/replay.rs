//! The same operations below any root: a simulated host, or `/` of a machine with the kernel's sample drivers.
//!
//! A script is a transcript: each line asks something and says, after ` ->` or on lines that begin with two spaces, what a
//! kernel answered. [`run`] asks again and puts what it hears beside it; where both agree everywhere, host and script
//! behave alike. Nothing in an answer depends on the machine, so two transcripts can also be compared as text.
//!
//! ```text
//! open  FLAGS PATH -> ANSWER      open(2) with r, w, a(ppend), c (O_CREAT|O_TRUNC), closed at once: "ok" or an errno
//! write PATH TEXT -> ANSWER       open(O_WRONLY), one write(2): the count or an errno
//! fd N FLAGS PATH                 opens and keeps
//! put N TEXT -> ANSWER            one write(2) on a kept descriptor
//! pwrite N OFFSET TEXT -> ANSWER
//! close N
//! read PATH -> TEXT               or an errno
//! link PATH -> TEXT | list PATH -> NAME NAME ... | gone PATH
//! fill T PREFIX -> COUNT ERRNO    creates PREFIX-000000000000, -000000000001 ... until the driver refuses
//! drain PREFIX -> COUNT           removes what fill created
//! walk PATH                       every file, link and directory below, with modes and contents; group numbers are *
//! ```
//! TEXT is in double quotes, with `\n`, `\r` and `\0`. `$U` is one UUID, `$T` before `PARENT/TYPE/...` is a type's directory
//! below `sys/class/mdev_bus`, `$D/` is `sys/bus/mdev/devices/`. Blank lines and lines that begin with `#` say nothing.
//!
//! ```
//! let script = "read sys/kernel/uevent_seqnum_of_nobody -> ENOENT\n";
//! let steps = mdevkit_sim::replay::run("/".as_ref(), script)?;
//! assert!(steps.iter().all(|step| step.agrees()));
//! # Ok::<(), mdevkit_sim::SimError>(())
//! ```
//! As a program: `cargo run -p mdevkit-sim --example replay -- ROOT SCRIPT...`.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::SimError;

/// The scripts that belong to the sample drivers, by name. `recorded` needs mtty, mdpy and mbochs on a machine without
/// any device and any IOMMU group; the others need the board of their name, with no device on it, and `across` all three.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("recorded", include_str!("../replay/recorded.txt")),
    ("mtty", include_str!("../replay/mtty.txt")),
    ("mdpy", include_str!("../replay/mdpy.txt")),
    ("mbochs", include_str!("../replay/mbochs.txt")),
    ("across", include_str!("../replay/across.txt")),
];

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/// `fill` stops here, whatever the driver says.
const FILL_AT_MOST: u32 = 300;

/// One question with its two answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The script's line, from 1.
    pub line: usize,
    /// What was asked, as the script has it.
    pub ask: String,
    /// What the script says; one line, or many for `walk`.
    pub expected: Vec<String>,
    /// What was heard.
    pub got: Vec<String>,
}

impl Step {
    /// Whether the host answered as the script says.
    pub fn agrees(&self) -> bool {
        self.expected == self.got
    }
}

/// As a script has it, with what was heard.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ask)?;
        if self.is_walk() {
            return self.got.iter().try_for_each(|line| write!(f, "\n  {line}"));
        }
        match self.got.first() {
            Some(answer) => write!(f, " ->{}{answer}", if answer.is_empty() { "" } else { " " }),
            None => Ok(()),
        }
    }
}

impl Step {
    fn is_walk(&self) -> bool {
        self.ask.starts_with("walk ")
    }
}

/// Asks a script's questions below a root, in order, to the end.
///
/// # Errors
/// [`SimError::Replay`] for a line that is no question, or that leads out of `sys` and `dev/vfio`.
pub fn run(root: &Path, script: &str) -> Result<Vec<Step>, SimError> {
    let mut runner = Runner {
        root,
        kept: HashMap::new(),
    };
    let mut steps = parse(script)?;
    for step in &mut steps {
        let wrong = |why: &str| SimError::Replay {
            line: step.line,
            why: why.to_owned(),
        };
        let heard = runner.ask(&expand(&step.ask)).map_err(wrong)?;
        step.got = heard.into_iter().map(|line| line.replace(UUID, "$U")).collect();
    }
    Ok(steps)
}

fn parse(script: &str) -> Result<Vec<Step>, SimError> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, text) in script.lines().enumerate().map(|(at, text)| (at + 1, text)) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(answer) = text.strip_prefix("  ") {
            let above = steps.last_mut().filter(|step| step.is_walk());
            let above = above.ok_or_else(|| SimError::Replay {
                line: at,
                why: "an answer without a question".to_owned(),
            })?;
            above.expected.push(answer.to_owned());
            continue;
        }
        let (ask, expected) = match text.split_once(" ->") {
            Some((ask, answer)) => (ask, vec![answer.trim().to_owned()]),
            None => (text, Vec::new()),
        };
        steps.push(Step {
            line: at,
            ask: ask.to_owned(),
            expected,
            got: Vec::new(),
        });
    }
    Ok(steps)
}

/// A question with its abbreviations written out.
fn expand(ask: &str) -> String {
    let mut out = Vec::new();
    let mut words = ask.split(' ');
    while let Some(word) = words.next() {
        out.push(
            match (word, words.clone().next().and_then(|next| next.split_once('/'))) {
                ("$T", Some((parent, rest))) => {
                    words.next();
                    format!("sys/class/mdev_bus/{parent}/mdev_supported_types/{rest}")
                }
                _ => word.replace("$D/", "sys/bus/mdev/devices/"),
            },
        );
    }
    out.join(" ").replace("$U", UUID)
}

struct Runner<'a> {
    root: &'a Path,
    kept: HashMap<String, File>,
}

impl Runner<'_> {
    fn ask(&mut self, ask: &str) -> Result<Vec<String>, &'static str> {
        let (verb, rest) = ask.split_once(' ').ok_or("a question has two words at least")?;
        let words: Vec<&str> = rest.splitn(3, ' ').collect();
        let one = |answer: String| Ok(vec![answer]);
        match (verb, words.as_slice()) {
            ("open", [flags, path]) => one(result(open(&self.at(path)?, flags), |_| "ok".to_owned())),
            ("write", [path, ..]) => {
                let text = unquote(rest.get(path.len()..).unwrap_or_default())?;
                one(count(store(&self.at(path)?, &text)))
            }
            ("fd", [name, flags, path]) => {
                let file = open(&self.at(path)?, flags).map_err(|_| "cannot be opened")?;
                self.kept.insert((*name).to_owned(), file);
                Ok(Vec::new())
            }
            ("put", [name, ..]) => {
                let text = unquote(rest.get(name.len()..).unwrap_or_default())?;
                one(count(self.file(name)?.write(&text)))
            }
            ("pwrite", [name, offset, text]) => {
                let offset = offset.parse().map_err(|_| "OFFSET must be a number")?;
                one(count(self.file(name)?.write_at(&unquote(text)?, offset)))
            }
            ("close", [name]) => self.kept.remove(*name).map(|_| Vec::new()).ok_or("no such descriptor"),
            ("read", [path]) => one(result(read(&self.at(path)?), |text| format!("{text:?}"))),
            ("link", [path]) => one(result(std::fs::read_link(self.at(path)?), |to| format!("{to:?}"))),
            ("list", [path]) => one(result(names(&self.at(path)?), |names| names.join(" "))),
            ("gone", [path]) => match self.at(path)?.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                other => one(result(other, |_| "still there".to_owned())),
            },
            ("fill", [folder, prefix]) => one(self.fill(folder, prefix)?),
            ("drain", [prefix]) => one(self.drain(prefix)?),
            ("walk", [path]) => {
                let mut lines = Vec::new();
                walk(&self.at(path)?, "", &mut lines);
                Ok(lines)
            }
            _ => Err("no such question"),
        }
    }

    /// Only what a script is about: it may run as root, and on `/`.
    fn at(&self, path: &str) -> Result<PathBuf, &'static str> {
        let known = path.starts_with("sys/") || path == "dev/vfio" || path.starts_with("dev/vfio/");
        if !known || path.split('/').any(|part| part == "..") {
            return Err("a path begins with sys/ or dev/vfio and holds no ..");
        }
        Ok(self.root.join(path))
    }

    fn file(&self, name: &str) -> Result<&File, &'static str> {
        self.kept.get(name).ok_or("no such descriptor")
    }

    fn fill(&self, folder: &str, prefix: &str) -> Result<String, &'static str> {
        let create = self.at(&format!("{folder}/create"))?;
        for n in 0..FILL_AT_MOST {
            if let Err(error) = store(&create, format!("{prefix}-{n:012x}").as_bytes()) {
                return Ok(format!("{n} {}", errno(&error)));
            }
        }
        Ok(format!("{FILL_AT_MOST} and more"))
    }

    fn drain(&self, prefix: &str) -> Result<String, &'static str> {
        for n in 0..FILL_AT_MOST {
            let remove = self.at(&format!("sys/bus/mdev/devices/{prefix}-{n:012x}/remove"))?;
            match store(&remove, b"1") {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(n.to_string()),
                Err(error) => return Ok(format!("{n} {}", errno(&error))),
            }
        }
        Ok(FILL_AT_MOST.to_string())
    }
}

/// Every entry below, each directory's names in order. Links are not followed; `power` is the PM core's and skipped.
fn walk(dir: &Path, below: &str, lines: &mut Vec<String>) {
    let found = match names(dir) {
        Ok(found) => found,
        Err(error) => return lines.push(format!("{below} {}", errno(&error))),
    };
    for name in found {
        let (path, shown) = (dir.join(&name), format!("{below}{}", hide_group(&name)));
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) => {
                lines.push(format!("{shown} {}", errno(&error)));
                continue;
            }
        };
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() {
            let to = std::fs::read_link(&path).map(|to| to.to_string_lossy().into_owned());
            let hide = |to: String| to.split('/').map(hide_group).collect::<Vec<_>>().join("/");
            lines.push(format!("{shown} -> {}", result(to.map(hide), |to| to)));
        } else if meta.is_dir() {
            lines.push(format!("{shown}/ {mode:03o}"));
            if name != "power" {
                walk(&path, &format!("{shown}/"), lines);
            }
        } else {
            let text = result(read(&path), |text| format!("{text:?}"));
            lines.push(format!("{shown} {mode:03o} {text}"));
        }
    }
}

/// `vfio7` and `7` (an IOMMU group) are what the machine happens to have free.
fn hide_group(name: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.strip_prefix("vfio") {
        Some(number) if digits(number) => "vfio*",
        None if digits(name) => "*",
        _ => name,
    }
}

fn open(path: &Path, flags: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(flags.contains('r'))
        .write(flags.contains('w'))
        .append(flags.contains('a'));
    if flags.contains('c') {
        // std refuses some combinations of its own; the flags go straight through.
        options.custom_flags(nix::libc::O_CREAT | nix::libc::O_TRUNC);
    }
    options.open(path)
}

fn store(path: &Path, data: &[u8]) -> io::Result<usize> {
    OpenOptions::new().write(true).open(path)?.write(data)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(65536).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn unquote(text: &str) -> Result<Vec<u8>, &'static str> {
    let inner = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inner = inner.ok_or("TEXT stands in double quotes")?;
    Ok(inner
        .replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\0", "\0")
        .into_bytes())
}

fn count(answer: io::Result<usize>) -> String {
    result(answer, |count| count.to_string())
}

fn result<T>(answer: io::Result<T>, said: impl FnOnce(T) -> String) -> String {
    answer.map_or_else(|error| errno(&error), said)
}

fn errno(error: &io::Error) -> String {
    let raw = error.raw_os_error();
    raw.map_or_else(|| error.to_string(), |raw| format!("{:?}", Errno::from_raw(raw)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_told_apart() {
        let steps =
            parse("# no\n\nlist sys/x ->\nlist sys/y -> a b\nwalk sys/z\n  a 444 \"1\"\n  b/ 755\nclose 1\n").unwrap();
        let expected: Vec<_> = steps.iter().map(|step| step.expected.join("|")).collect();
        assert_eq!(expected, ["", "a b", "a 444 \"1\"|b/ 755", ""]);
        assert_eq!(
            expand("write $T mtty/mtty-2/create \"$U\""),
            format!("write sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create \"{UUID}\"")
        );
    }

    #[test]
    fn nothing_outside_is_touched_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for script in [
            "write etc/passwd \"x\"",
            "write sys/../etc/passwd \"x\"",
            "read /etc/passwd",
            "dance sys/x",
            "put 1 \"x\"",
            "write sys/x y",
            "  an answer",
            "read",
        ] {
            assert!(
                matches!(run(dir.path(), script), Err(SimError::Replay { line: 1, .. })),
                "{script}"
            );
        }
    }

    #[test]
    fn a_step_is_written_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("sys/a/7")).unwrap();
        let mut file = File::create(dir.path().join("sys/a/f")).unwrap();
        file.write_all(b"1\n").unwrap();
        std::os::unix::fs::symlink("../iommu_groups/12", dir.path().join("sys/a/l")).unwrap();
        let steps = run(
            dir.path(),
            "walk sys/a\nread sys/a/g -> EIO\ngone sys/a\nlist sys/a/7 ->",
        )
        .unwrap();
        let text: Vec<_> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "walk sys/a\n  */ 755\n  f 644 \"1\\n\"\n  l -> ../iommu_groups/*",
                "read sys/a/g -> ENOENT",
                "gone sys/a -> still there",
                "list sys/a/7 ->",
            ]
        );
        assert_eq!(steps.iter().filter(|step| step.agrees()).count(), 1);
    }
}
