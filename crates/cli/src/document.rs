//! A domain's XML as the user names it: FILE, edited in place, or `-`, from stdin to stdout.
//!
//! Invariant: a file is either the old one or the whole new one. It is written beside itself with the same mode and
//! owner, synced, and renamed; a symbolic link stays one, and what it leads to is replaced. Nothing is written when
//! nothing changed, or when somebody else changed it meanwhile.

use crate::failure::Failure;
use crate::out::Out;
use mdevkit_core::Code;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The most that is read of a document, in bytes (libvirt takes 10 MB).
const LIMIT: u64 = 16 * 1024 * 1024;

/// How an edit is asked for; the arguments that every editing subcommand has.
#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    /// The domain's XML, edited in place; `-` reads stdin and writes stdout
    #[arg(value_name = "FILE", allow_hyphen_values = true)]
    file: String,
    /// Show what changes, as a unified diff on stdout (with `-`: instead of the document)
    #[arg(long)]
    diff: bool,
    /// Write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A document that was read.
pub(crate) struct Document {
    /// How to call it in messages.
    pub(crate) name: String,
    /// What it says.
    pub(crate) bytes: Vec<u8>,
    /// Where it is; none for stdin.
    file: Option<(PathBuf, Metadata)>,
}

impl Document {
    /// Reads FILE or, for `-`, stdin.
    pub(crate) fn read(name: &str) -> Result<Self, Failure> {
        if name == "-" {
            let name = "stdin".to_owned();
            let bytes = bounded(io::stdin().lock(), &name)?;
            return Ok(Self {
                name,
                bytes,
                file: None,
            });
        }
        let cannot = |error: io::Error| Failure::new(Code::Xml, format!("cannot read {name}: {error}"));
        let path = Path::new(name).canonicalize().map_err(cannot)?;
        let file = File::open(&path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() {
            let message = format!("{name} is not a regular file; use - for stdin and stdout");
            return Err(Failure::new(Code::Xml, message));
        }
        let bytes = bounded(file, name)?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            file: Some((path, metadata)),
        })
    }

    /// Reads the document of an edit.
    pub(crate) fn to_edit(args: &EditArgs) -> Result<Self, Failure> {
        Self::read(&args.file)
    }

    /// Puts the new text in the old one's place, or shows what would change.
    pub(crate) fn finish(&self, new: &[u8], args: &EditArgs, out: &Out) -> Result<(), Failure> {
        if args.diff {
            out.bytes(&self.diff(new))?;
        }
        match &self.file {
            None if !args.diff && !args.dry_run => out.bytes(new),
            Some((path, metadata)) if !args.dry_run && new != self.bytes => replace(path, metadata, new)
                .map_err(|error| Failure::host(format!("cannot write {}: {error}", self.name))),
            _ => Ok(()),
        }
    }

    fn diff(&self, new: &[u8]) -> Vec<u8> {
        let name = self.name.trim_start_matches('/');
        let diff = similar::TextDiff::from_lines(self.bytes.as_slice(), new);
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = diff
            .unified_diff()
            .header(&format!("a/{name}"), &format!("b/{name}"))
            .to_writer(&mut text);
        text
    }
}

fn bounded(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    // A domain is some kilobytes: one read, where growing from nothing would take ten.
    let mut bytes = Vec::with_capacity(32 * 1024);
    let read = from.take(LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Code::Xml, format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > LIMIT {
        let message = format!(
            "{name} has more than {} MiB; a domain has some kilobytes",
            LIMIT / 1024 / 1024
        );
        return Err(Failure::new(Code::Xml, message));
    }
    Ok(bytes)
}

/// Temp, mode and owner, sync, rename, sync of the directory.
fn replace(path: &Path, old: &Metadata, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".mdevkit-{}", std::process::id()));
    let temporary = dir.join(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = fill(file, old, bytes).and_then(|()| {
        let now = path.metadata()?;
        let same = (now.ino(), now.len(), now.mtime(), now.mtime_nsec())
            == (old.ino(), old.len(), old.mtime(), old.mtime_nsec());
        if !same {
            return Err(io::Error::other(
                "it was changed meanwhile; nothing was written, try again",
            ));
        }
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(dir)?.sync_all()
}

fn fill(mut file: File, old: &Metadata, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    let mine = file.metadata()?;
    if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: chown takes set-id bits away.
    file.set_permissions(std::fs::Permissions::from_mode(old.permissions().mode() & 0o7777))?;
    file.sync_all()
}
