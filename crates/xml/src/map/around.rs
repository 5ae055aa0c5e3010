//! What is around the devices and is no part of a request: the root's own words, the guest's operating system, the displays.
//!
//! Invariant: nothing here is ours, so nothing of it fails a document, unless there is more of it than any domain has.

use super::builder::Builder;
use super::hostdev::property;
use super::{GraphicsAt, VideoAt};
use crate::error::XmlError;
use crate::lexical;
use crate::namespace::Space;
use crate::scan::Tag;

/// The longest `id` of an operating system that is kept, in bytes.
const OS_ID: usize = 256;
/// The most displays of a kind: each takes more memory than an empty one takes of the document.
const DISPLAYS: usize = 4096;

impl<'a> Builder<'a> {
    /// `<domain type='kvm' xmlns:qemu='...'>`.
    pub(super) fn domain(&mut self) {
        let attrs = self.scanner.attrs();
        self.map.kind = property(attrs, "type").map(|kind| lexical::value(kind.raw));
        let declared = attrs.iter().filter_map(|attr| match lexical::split(attr.name) {
            ("", "xmlns") => Some(("", lexical::value(attr.raw))),
            ("xmlns", prefix) => Some((prefix, lexical::value(attr.raw))),
            _ => None,
        });
        self.map.namespaces = declared.collect();
    }

    pub(super) fn is_osinfo(&self, tag: &Tag<'a>, local: &str) -> bool {
        tag.space == Space::Osinfo && lexical::split(tag.name).1 == local
    }

    /// The first `<libosinfo:os>` says which guest it is. An `id` that is no line of text is passed over: it is shown to
    /// people, and it is somebody else's to correct.
    pub(super) fn os(&mut self) {
        let id = self.scanner.attrs().iter().find(|attr| attr.name == "id");
        if let (Some(id), None) = (id, &self.map.os) {
            let id = lexical::value(id.raw);
            if (1..=OS_ID).contains(&id.len()) && !id.contains(char::is_control) {
                self.map.os = Some(id);
            }
        }
    }

    /// `<graphics type='vnc'>`.
    pub(super) fn graphics(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        self.no_more_than(self.map.graphics.len(), tag, "more than 4096 graphics")?;
        let kind = property(self.scanner.attrs(), "type").map(|kind| lexical::value(kind.raw));
        self.map.graphics.push(GraphicsAt {
            kind,
            ..GraphicsAt::default()
        });
        Ok(())
    }

    /// `<video>`.
    pub(super) fn video(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        self.no_more_than(self.map.videos.len(), tag, "more than 4096 videos")?;
        self.map.videos.push(VideoAt::default());
        Ok(())
    }

    /// `<model type='none'/>` in it.
    pub(super) fn video_model(&mut self) {
        let none = property(self.scanner.attrs(), "type").is_some_and(|it| lexical::value(it.raw) == "none");
        if let Some(video) = self.map.videos.last_mut() {
            video.none = none;
        }
    }

    fn no_more_than(&self, count: usize, tag: &Tag<'a>, message: &'static str) -> Result<(), XmlError> {
        if count < DISPLAYS {
            Ok(())
        } else {
            Err(XmlError::malformed(self.map.text, tag.span.start, message))
        }
    }
}
