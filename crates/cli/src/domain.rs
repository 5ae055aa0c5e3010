//! What the commands about domain files have in common: reading one, and telling of an edit.

use crate::document::{Document, EditArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Out, note};
use crate::random::Fresh;
use mdevkit_core::{Code, Domain, Uuid};
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
    let types = types(edited.bytes(), &document.bytes);
    let dry_run = if args.dry_run { " (dry run)" } else { "" };
    for (slot, uuid) in edited.devices() {
        let spec = types
            .iter()
            .find(|(device, _)| device == uuid)
            .map(|(_, spec)| format!("{spec}, "))
            .unwrap_or_default();
        note(format!(
            "{}: {word} slot {slot}: {spec}device {uuid}{dry_run}",
            document.name
        ));
    }
    Ok(Exit::Done)
}

/// An error of the XML with the line it is in and a caret.
pub(crate) fn failure(document: &Document, error: &XmlError) -> Failure {
    let message = format!("{}: {error}", document.name);
    let failure = match error.code() {
        Code::Clone => Failure::refused(Code::Clone, message),
        code => Failure::bad_input(code, message),
    };
    // A caret below an empty line shows nothing.
    let snippet = error.snippet().filter(|snippet| !snippet.trim_start().starts_with('^'));
    failure.with(snippet.unwrap_or_default().lines().map(str::to_owned))
}

/// Which device is of which type, in either text.
fn types(new: &[u8], old: &[u8]) -> Vec<(Uuid, String)> {
    let mut found = Vec::new();
    for domain in [new, old].into_iter().filter_map(|text| mdevkit_xml::read(text).ok()) {
        let requests = domain.requests.iter().flat_map(|set| &set.requests);
        for request in requests {
            let hostdev = domain
                .hostdevs
                .iter()
                .find(|dev| dev.ours().is_some_and(|alias| Some(alias.0) == request.slot));
            if let Some(uuid) = hostdev.and_then(|hostdev| hostdev.mdev()) {
                found.push((uuid, request.spec.to_string()));
            }
        }
    }
    found
}
