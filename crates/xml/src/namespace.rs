//! Which prefixes are bound to what, as elements open and close.
//!
//! Invariant: at most [`BINDINGS`] are live, so that a hostile document cannot make each look-up long, and no look-up
//! compares URIs: each has a number by then. Values are compared decoded: `urn&#58;x` is `urn:x`.

use crate::NAMESPACE;
use crate::error::{XmlError, excerpt};
use crate::lexical::{self, Attr};
use std::borrow::Cow;

/// The most bindings in scope at one place.
const BINDINGS: usize = 128;
/// libosinfo's, under which virt-install and virt-manager say what the guest is.
const OSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// No namespace: libvirt's own words.
    Unbound,
    /// [`NAMESPACE`].
    Ours,
    /// [`OSINFO`].
    Osinfo,
    /// Somebody else's.
    Foreign,
}

#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a> {
    live: Vec<Binding<'a>>,
    /// Their prefixes' beginnings, side by side: nearly all of a look-up is the comparing of these.
    keys: Vec<u64>,
}

#[derive(Debug)]
struct Binding<'a> {
    prefix: &'a str,
    uri: Cow<'a, str>,
    /// The first live binding of the same URI. Of two long URIs this is compared, and not they.
    id: usize,
    space: Space,
    /// The default namespace here.
    default: Space,
}

/// The prefix `xml` where nobody declares it.
const XML_ID: usize = usize::MAX;

impl<'a> Namespaces<'a> {
    /// How many bindings are live, for [`Namespaces::forget`].
    pub(crate) fn mark(&self) -> usize {
        self.live.len()
    }

    /// Ends the scope that began at `mark`.
    pub(crate) fn forget(&mut self, mark: usize) {
        self.live.truncate(mark);
        self.keys.truncate(mark);
    }

    /// Takes an element's declarations into scope, then resolves its name and its attributes' names.
    pub(crate) fn enter(
        &mut self,
        text: &str,
        at: usize,
        name: &'a str,
        attrs: &[Attr<'a>],
    ) -> Result<Space, XmlError> {
        // Nearly every element has plain names and declares nothing.
        let special = attrs.iter().any(|attr| !attr.plain || attr.name == "xmlns");
        for attr in attrs.iter().filter(|attr| special && attr.name.starts_with("xmlns")) {
            match lexical::split(attr.name) {
                ("", "xmlns") => self.declare(text, attr, "")?,
                ("xmlns", prefix) => self.declare(text, attr, prefix)?,
                _ => {}
            }
        }
        let space = match lexical::split(name).0 {
            "" => self.live.last().map_or(Space::Unbound, |binding| binding.default),
            prefix => {
                let id = self.id(text, at, prefix)?;
                self.live.get(id).map_or(Space::Foreign, |binding| binding.space)
            }
        };
        if special {
            self.attributes(text, attrs)?;
        }
        Ok(space)
    }

    fn declare(&mut self, text: &str, attr: &Attr<'a>, prefix: &'a str) -> Result<(), XmlError> {
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
            let message = "more than 128 namespaces are declared here";
            return Err(XmlError::malformed(text, attr.span.start, message));
        }
        let space = match uri.as_ref() {
            "" => Space::Unbound,
            NAMESPACE => Space::Ours,
            OSINFO => Space::Osinfo,
            _ => Space::Foreign,
        };
        let default = match (prefix, self.live.last()) {
            ("", _) => space,
            (_, outer) => outer.map_or(Space::Unbound, |outer| outer.default),
        };
        let same = self.live.iter().position(|binding| binding.uri == uri);
        self.keys.push(key(prefix));
        self.live.push(Binding {
            prefix,
            uri,
            id: same.unwrap_or(self.live.len()),
            space,
            default,
        });
        Ok(())
    }

    /// Checks that every prefix is declared, and that no two attributes are the same under two prefixes.
    fn attributes(&self, text: &str, attrs: &[Attr<'a>]) -> Result<(), XmlError> {
        let mut seen: Vec<(usize, &str, usize)> = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.name.bytes().any(|b| b == b':')) {
            let (prefix, local) = lexical::split(attr.name);
            if prefix != "xmlns" {
                seen.push((self.id(text, attr.span.start, prefix)?, local, attr.span.start));
            }
        }
        seen.sort_unstable();
        let twin = seen.windows(2).find_map(|pair| match pair {
            [one, two] if (one.0, one.1) == (two.0, two.1) => Some(two),
            _ => None,
        });
        match twin {
            Some((_, local, at)) => {
                let message = format!("attribute {} stands twice, under two prefixes", excerpt(local));
                Err(XmlError::malformed(text, *at, message))
            }
            None => Ok(()),
        }
    }

    /// What a prefix stands for, as a number: two of the same number are the same namespace.
    fn id(&self, text: &str, at: usize, prefix: &str) -> Result<usize, XmlError> {
        let wanted = key(prefix);
        let bindings = self.keys.iter().zip(&self.live).rev();
        match bindings
            .into_iter()
            .find(|(key, binding)| **key == wanted && binding.prefix == prefix)
        {
            Some((_, binding)) => Ok(binding.id),
            None if prefix == "xml" => Ok(XML_ID),
            None => {
                let message = format!("prefix {} is not declared (xmlns:{0}=...)", excerpt(prefix));
                Err(XmlError::malformed(text, at, message))
            }
        }
    }
}

/// A prefix's length and its first bytes in one word.
fn key(prefix: &str) -> u64 {
    let length = u64::try_from(prefix.len()).unwrap_or(u64::MAX);
    prefix.bytes().take(7).fold(length, |key, b| (key << 8) | u64::from(b))
}
