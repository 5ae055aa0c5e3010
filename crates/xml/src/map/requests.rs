//! Our element in `<metadata>`, around the requests.
//!
//! Invariant: there is one. What is not known in it is refused, not skipped: a word that a later version understands
//! must not be half obeyed.

use super::builder::{Builder, Role};
use super::request::{is_declaration, uuid_of};
use super::{AttrSpan, Element, RequestAt};
use crate::error::{XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical;
use crate::notes::Notes;
use crate::scan::Tag;
use mdevkit_core::Uuid;
use std::ops::Range;

/// Our element in `<metadata>`.
#[derive(Clone, Debug)]
pub(crate) struct Set<'a> {
    pub(crate) element: Element<'a>,
    /// Where a new attribute goes.
    pub(crate) attrs_end: usize,
    pub(crate) injected_for: Option<Option<Uuid>>,
    pub(crate) for_attr: Option<AttrSpan>,
    pub(crate) notes: Notes,
    pub(crate) opened: Option<AttrSpan>,
    pub(crate) requests: Vec<RequestAt<'a>>,
}

impl<'a> Builder<'a> {
    /// Our element, or another of our namespace that should not be there.
    pub(super) fn requests(&mut self, tag: &Tag<'a>) -> Result<Role, XmlError> {
        if lexical::split(tag.name).1 != "requests" {
            let message = format!("<{}> is not known here; known is <requests>", excerpt(tag.name));
            return Err(self.bad(tag.span.start, message).expecting("<...:requests>"));
        }
        if self.map.set.is_some() {
            return Err(self.bad(
                tag.span.start,
                "a second <requests>; libvirt keeps one element for a namespace: join them",
            ));
        }
        let text = self.map.text;
        // Before its attributes are taken apart; the whole element is measured when it is closed.
        self.check_size(&tag.span)?;
        let mut set = Set {
            element: Element::default(),
            attrs_end: tag.span.start + 1 + tag.name.len(),
            injected_for: None,
            for_attr: None,
            notes: Notes::default(),
            opened: None,
            requests: Vec::new(),
        };
        for attr in self.scanner.attrs() {
            set.attrs_end = attr.span.end;
            let value = lexical::value(attr.raw);
            match attr.name {
                name if is_declaration(name) => {}
                "for" => {
                    set.injected_for = Some(match value.as_ref() {
                        "" => None,
                        other => Some(uuid_of(text, attr, "for", other)?),
                    });
                    set.for_attr = Some(AttrSpan::of(attr));
                }
                "opened" => {
                    set.notes = Notes::read(attr.raw).ok_or_else(|| {
                        self.bad(
                            attr.span.start,
                            "opened is mdevkit's own note and is damaged; remove it",
                        )
                    })?;
                    set.opened = Some(AttrSpan::of(attr));
                }
                other => {
                    let message = format!(
                        "attribute {} is not known in <{}>; known is: for",
                        excerpt(other),
                        excerpt(tag.name)
                    );
                    return Err(self.bad(attr.span.start, message));
                }
            }
        }
        self.map.set = Some(set);
        Ok(Role::Requests)
    }

    /// Fails when so much of our element is more than is read.
    pub(super) fn check_size(&self, span: &Range<usize>) -> Result<(), XmlError> {
        let (size, limit) = (span.len(), self.limits.metadata);
        if size > limit {
            return Err(XmlError::at(
                self.map.text,
                span.start,
                Kind::MetadataTooBig { size, limit },
            ));
        }
        Ok(())
    }
}
