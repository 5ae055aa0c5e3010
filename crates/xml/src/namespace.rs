//! Which prefixes are bound to what, as elements open and close.
//!
//! Invariant: at most [`BINDINGS`] are live, so that a hostile document cannot make each look-up long. Values are
//! compared decoded: `urn&#58;x` is `urn:x`.

use crate::NAMESPACE;
use crate::error::{XmlError, excerpt};
use crate::lexical::{self, Attr};
use std::borrow::Cow;

/// The most bindings in scope at one place.
const BINDINGS: usize = 128;
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// No namespace: libvirt's own words.
    Unbound,
    /// [`NAMESPACE`].
    Ours,
    /// Somebody else's.
    Foreign,
}

#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a> {
    live: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Namespaces<'a> {
    /// How many bindings are live, for [`Namespaces::forget`].
    pub(crate) fn mark(&self) -> usize {
        self.live.len()
    }

    /// Ends the scope that began at `mark`.
    pub(crate) fn forget(&mut self, mark: usize) {
        self.live.truncate(mark);
    }

    /// Takes an element's declarations into scope, then resolves its name and its attributes' names.
    pub(crate) fn enter(
        &mut self,
        text: &str,
        at: usize,
        name: &'a str,
        attrs: &[Attr<'a>],
    ) -> Result<Space, XmlError> {
        for attr in attrs.iter().filter(|attr| attr.name.starts_with("xmlns")) {
            let prefix = match lexical::split(attr.name) {
                ("", "xmlns") => "",
                ("xmlns", prefix) => prefix,
                _ => continue,
            };
            let uri = lexical::value(attr.raw);
            let legal = match prefix {
                "xml" => uri == XML,
                "xmlns" => false,
                "" => uri != XML && uri != XMLNS,
                _ => !uri.is_empty() && uri != XML && uri != XMLNS,
            };
            if !legal {
                let message = format!("{}: this namespace cannot be declared so", excerpt(attr.name));
                return Err(XmlError::malformed(text, attr.span.start, message));
            }
            if self.live.len() == BINDINGS {
                return Err(XmlError::malformed(
                    text,
                    attr.span.start,
                    "more than 128 namespaces are declared here",
                ));
            }
            self.live.push((prefix, uri));
        }
        let space = match self.uri(text, at, lexical::split(name).0)? {
            "" => Space::Unbound,
            NAMESPACE => Space::Ours,
            _ => Space::Foreign,
        };
        self.attributes(text, attrs)?;
        Ok(space)
    }

    /// Checks that every prefix is declared, and that no two attributes are the same under two prefixes.
    fn attributes(&self, text: &str, attrs: &[Attr<'a>]) -> Result<(), XmlError> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.name.bytes().any(|b| b == b':')) {
            let (prefix, local) = lexical::split(attr.name);
            if prefix.is_empty() || prefix == "xmlns" {
                continue;
            }
            let expanded = (self.uri(text, attr.span.start, prefix)?, local);
            if seen.contains(&expanded) {
                let message = format!("attribute {} stands twice, under two prefixes", excerpt(attr.name));
                return Err(XmlError::malformed(text, attr.span.start, message));
            }
            if seen.len() == BINDINGS {
                return Err(XmlError::malformed(
                    text,
                    attr.span.start,
                    "more than 128 attributes have a prefix here",
                ));
            }
            seen.push(expanded);
        }
        Ok(())
    }

    fn uri(&self, text: &str, at: usize, prefix: &str) -> Result<&str, XmlError> {
        match self.live.iter().rev().find(|(bound, _)| *bound == prefix) {
            Some((_, uri)) => Ok(uri),
            None if prefix.is_empty() => Ok(""),
            None if prefix == "xml" => Ok(XML),
            None => {
                let message = format!("prefix {} is not declared (xmlns:{0}=...)", excerpt(prefix));
                Err(XmlError::malformed(text, at, message))
            }
        }
    }
}
