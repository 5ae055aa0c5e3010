//! What the commands about domain files have in common: reading one, and telling of an edit.

use crate::document::{Document, EditArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Out, note};
use crate::random::Fresh;
use mdevkit_core::Domain;
use mdevkit_xml::{Edited, XmlError};

/// Reads a document as a domain.
pub(crate) fn read(document: &Document) -> Result<Domain, Failure> {
    mdevkit_xml::read(&document.bytes).map_err(|error| failure(document, &error))
}

/// Edits a document, writes it and tells of every device: `word` is what happened to them. The edit gets random UUIDs
/// for where it needs some.
pub(crate) fn edit(
    args: &EditArgs,
    out: &Out,
    word: &str,
    edit: impl FnOnce(&[u8], &mut Fresh) -> Result<Edited, XmlError>,
) -> Result<Exit, Failure> {
    let document = Document::to_edit(args)?;
    let mut fresh = Fresh::default();
    let edited = edit(&document.bytes, &mut fresh).map_err(|error| failure(&document, &error))?;
    fresh.check()?;
    document.finish(edited.bytes(), args, out)?;
    if !edited.changed() {
        note(format!("{}: nothing to change", document.name));
    }
    let dry_run = if args.dry_run { " (dry run)" } else { "" };
    for (slot, uuid) in edited.devices() {
        note(format!("{}: {word} slot {slot}, device {uuid}{dry_run}", document.name));
    }
    Ok(Exit::Done)
}

/// An error of the XML with the line it is in and a caret.
pub(crate) fn failure(document: &Document, error: &XmlError) -> Failure {
    let failure = Failure::new(error.code(), format!("{}: {error}", document.name));
    // A caret below an empty line shows nothing.
    let snippet = error.snippet().filter(|snippet| !snippet.trim_start().starts_with('^'));
    failure.with(snippet.unwrap_or_default().lines().map(str::to_owned))
}
