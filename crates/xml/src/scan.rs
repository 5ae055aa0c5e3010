//! The one scan over a document: quick-xml finds where each piece of markup begins and ends, and every piece is then
//! checked here, because quick-xml is no well-formedness checker (it takes two roots, open elements at the end, text
//! outside the root, undeclared prefixes and more).
//!
//! ```text
//!            <?xml?>, comments, PIs        tags, text, references, CDATA         comments, PIs
//!  start ───────────────────────► root opens ──────────────────────► root closes ─────────────► end
//! ```
//! Invariant: the pieces join without a gap (each begins where the last ended), nesting is a stack of bounded depth,
//! and nothing recurses.

use crate::error::{Limits, XmlError, XmlErrorKind as Kind, excerpt};
use crate::lexical::{self, Attr};
use crate::namespace::{Namespaces, Space};
use crate::text;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use std::ops::Range;

/// A start tag or an empty tag; its attributes are [`Scanner::attrs`].
#[derive(Clone, Debug)]
pub(crate) struct Tag<'a> {
    pub(crate) name: &'a str,
    pub(crate) space: Space,
    pub(crate) span: Range<usize>,
    pub(crate) empty: bool,
}

/// A piece of the document.
#[derive(Clone, Debug)]
pub(crate) enum Token<'a> {
    /// `<a>` or `<a/>`; of the latter no [`Token::Close`] follows.
    Open(Tag<'a>),
    /// `</a>`.
    Close(Range<usize>),
    /// Characters between markup, as they stand.
    Text(Range<usize>),
    /// What a CDATA section holds.
    Cdata(Range<usize>),
    /// A reference within text, and where it stands.
    Ref(char, usize),
    /// A comment or a processing instruction.
    Misc,
    /// The end of a well-formed document.
    End,
}

struct Open<'a> {
    name: &'a str,
    start: usize,
    bindings: usize,
}

pub(crate) struct Scanner<'a> {
    text: &'a str,
    /// Offset of the reader's text in the document: quick-xml drops a byte order mark and does not count it.
    base: usize,
    reader: Reader<&'a [u8]>,
    at: usize,
    stack: Vec<Open<'a>>,
    namespaces: Namespaces<'a>,
    attrs: Vec<Attr<'a>>,
    had_root: bool,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, limits: &Limits) -> Self {
        let body = text::body(text);
        let base = text.len() - body.len();
        let mut reader = Reader::from_str(body);
        // Both are checked here, with a place and a bounded message.
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        Self {
            text,
            base,
            reader,
            at: base,
            stack: Vec::with_capacity(16),
            namespaces: Namespaces::default(),
            attrs: Vec::with_capacity(16),
            had_root: false,
            depth: limits.depth,
        }
    }

    /// The attributes of the tag that was read last.
    pub(crate) fn attrs(&self) -> &[Attr<'a>] {
        &self.attrs
    }

    /// The next piece.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, XmlError> {
        let start = self.at;
        let event = match self.reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err(self.refused(&error)),
        };
        let end = usize::try_from(self.reader.buffer_position())
            .unwrap_or(usize::MAX)
            .saturating_add(self.base);
        if end < start || end > self.text.len() {
            return Err(Kind::Internal("the scanner lost its place").into());
        }
        self.at = end;
        let span = start..end;
        match event {
            Event::Start(_) => self.open(span, false),
            Event::Empty(_) => self.open(span, true),
            Event::End(_) => self.close(span),
            Event::Text(_) => self.characters(span),
            Event::GeneralRef(_) => {
                self.inside(start)?;
                let raw = self.cut(&span);
                let name = raw.strip_prefix('&').and_then(|raw| raw.strip_suffix(';'));
                Ok(Token::Ref(lexical::check_reference(self.text, start, name)?, start))
            }
            Event::CData(_) => {
                self.inside(start)?;
                let raw = self.cut(&span);
                if raw.len() < 12 || !raw.starts_with("<![CDATA[") || !raw.ends_with("]]>") {
                    return Err(self.malformed(start, "a CDATA section is written <![CDATA[ ... ]]>"));
                }
                Ok(Token::Cdata(start + 9..end - 3))
            }
            Event::Comment(_) => {
                let inner = self
                    .cut(&span)
                    .strip_prefix("<!--")
                    .and_then(|raw| raw.strip_suffix("-->"));
                match inner {
                    Some(inner) if !inner.contains("--") && !inner.ends_with('-') => Ok(Token::Misc),
                    _ => Err(self.malformed(start, "a comment is written <!-- ... --> and cannot hold \"--\"")),
                }
            }
            Event::PI(_) => self.instruction(span),
            Event::Decl(_) => self.declaration(span),
            Event::DocType(_) => Err(XmlError::at(self.text, start, Kind::Doctype)),
            Event::Eof => self.end(),
        }
    }

    fn open(&mut self, span: Range<usize>, empty: bool) -> Result<Token<'a>, XmlError> {
        if self.stack.is_empty() && self.had_root {
            return Err(self.malformed(span.start, "a second root element"));
        }
        if self.stack.len() >= self.depth {
            return Err(XmlError::at(self.text, span.start, Kind::TooDeep { limit: self.depth }));
        }
        self.had_root = true;
        let bindings = self.namespaces.mark();
        let name = lexical::tag(self.text, &span, empty, &mut self.attrs)?;
        let space = self.namespaces.enter(self.text, span.start + 1, name, &self.attrs)?;
        if empty {
            self.namespaces.forget(bindings);
        } else {
            self.stack.push(Open {
                name,
                start: span.start,
                bindings,
            });
        }
        Ok(Token::Open(Tag {
            name,
            space,
            span,
            empty,
        }))
    }

    fn close(&mut self, span: Range<usize>) -> Result<Token<'a>, XmlError> {
        let inner = self
            .cut(&span)
            .strip_prefix("</")
            .and_then(|raw| raw.strip_suffix('>'))
            .unwrap_or_default();
        let name = match inner.bytes().last() {
            Some(last) if text::is_space(last) => {
                inner.trim_end_matches(|c: char| u8::try_from(c).is_ok_and(text::is_space))
            }
            _ => inner,
        };
        match self.stack.pop() {
            Some(open) if open.name == name => {
                self.namespaces.forget(open.bindings);
                Ok(Token::Close(span))
            }
            Some(open) => {
                let message = format!("</{}> closes <{}>", excerpt(name), excerpt(open.name));
                let wanted = format!("</{}>", excerpt(open.name));
                Err(self.malformed(span.start, message).expecting(wanted))
            }
            None => Err(self.malformed(span.start, format!("</{}> closes nothing", excerpt(name)))),
        }
    }

    fn characters(&mut self, span: Range<usize>) -> Result<Token<'a>, XmlError> {
        let raw = self.cut(&span);
        if self.stack.is_empty()
            && let Some(at) = raw.bytes().position(|b| !text::is_space(b))
        {
            return Err(self.malformed(span.start + at, "text outside the root element"));
        }
        // A searcher for three characters costs more to build than most texts are long.
        match raw.bytes().any(|b| b == b']').then(|| raw.find("]]>")).flatten() {
            Some(at) => Err(self.malformed(span.start + at, "text cannot hold \"]]>\"; write ]]&gt;")),
            None => Ok(Token::Text(span)),
        }
    }

    fn instruction(&mut self, span: Range<usize>) -> Result<Token<'a>, XmlError> {
        let inner = self
            .cut(&span)
            .strip_prefix("<?")
            .and_then(|raw| raw.strip_suffix("?>"))
            .unwrap_or_default();
        let target = inner
            .split(|c: char| u8::try_from(c).is_ok_and(text::is_space))
            .next()
            .unwrap_or_default();
        if target.eq_ignore_ascii_case("xml") {
            return Err(self.malformed(span.start, "the XML declaration stands at the very start, and once"));
        }
        if !lexical::is_ncname(target) {
            return Err(self.malformed(span.start, "a processing instruction begins with a name"));
        }
        Ok(Token::Misc)
    }

    fn declaration(&mut self, span: Range<usize>) -> Result<Token<'a>, XmlError> {
        if span.start != self.base {
            return Err(self.malformed(span.start, "the XML declaration stands at the very start, and once"));
        }
        let encoding = lexical::declaration(self.cut(&span)).map_err(|why| self.malformed(span.start, why))?;
        let known =
            |names: &[&str]| encoding.is_some_and(|said| names.iter().any(|name| said.eq_ignore_ascii_case(name)));
        let wrong = if known(&["us-ascii", "ascii"]) {
            (!self.text.is_ascii()).then(|| "the document says US-ASCII and holds other characters".into())
        } else if encoding.is_none() || known(&["utf-8"]) {
            None
        } else {
            Some(
                format!(
                    "the document says {}; UTF-8 is read",
                    excerpt(encoding.unwrap_or_default())
                )
                .into(),
            )
        };
        match wrong {
            Some(message) => Err(XmlError::at(self.text, span.start, Kind::Encoding(message))),
            None => Ok(Token::Misc),
        }
    }

    fn end(&self) -> Result<Token<'a>, XmlError> {
        match self.stack.last() {
            Some(open) => {
                let name = excerpt(open.name);
                let message = format!("<{name}> is never closed: the document ends too early");
                let wanted = format!("</{name}> before the end");
                Err(self.malformed(open.start, message).expecting(wanted))
            }
            None if !self.had_root => Err(self
                .malformed(self.at, "there is no element; a libvirt <domain> was expected")
                .expecting("<domain>")),
            None => Ok(Token::End),
        }
    }

    /// Fails outside the root element.
    fn inside(&self, at: usize) -> Result<(), XmlError> {
        if self.stack.is_empty() {
            Err(self.malformed(at, "text outside the root element"))
        } else {
            Ok(())
        }
    }

    fn cut(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn malformed(&self, at: usize, message: impl Into<std::borrow::Cow<'static, str>>) -> XmlError {
        XmlError::malformed(self.text, at, message)
    }

    /// What quick-xml itself does not take.
    fn refused(&self, error: &quick_xml::Error) -> XmlError {
        let offset = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
        let at = self.base.saturating_add(offset).min(self.text.len());
        if self
            .text
            .get(at..)
            .is_some_and(|rest| rest.get(..9).is_some_and(|it| it.eq_ignore_ascii_case("<!doctype")))
        {
            return XmlError::at(self.text, at, Kind::Doctype);
        }
        let is_cdata = |rest: &str| rest.starts_with("<![") && !rest.starts_with("<![CDATA[");
        if self.text.get(at..).is_some_and(is_cdata) {
            return self.malformed(at, "a CDATA section is written <![CDATA[ ... ]]>");
        }
        let message = match error {
            quick_xml::Error::Syntax(error) => error.to_string(),
            quick_xml::Error::IllFormed(quick_xml::errors::IllFormedError::UnclosedReference) => {
                "a lone '&'; write &amp;".to_owned()
            }
            other => excerpt(&other.to_string()),
        };
        self.malformed(at, message)
    }
}
