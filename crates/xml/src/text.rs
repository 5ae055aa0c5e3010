//! The border: bytes become text here, or are refused.
//!
//! Invariant: what passes is UTF-8 of bounded size, without a character that XML forbids; a byte order mark stays in
//! place (offsets count it) and is the only thing before [`body`], once.

use crate::error::{Limits, XmlError, XmlErrorKind as Kind};

const BOM: &str = "\u{feff}";

/// The document as text, the byte order mark included.
pub(crate) fn text<'a>(xml: &'a [u8], limits: &Limits) -> Result<&'a str, XmlError> {
    if xml.len() > limits.bytes {
        return Err(Kind::TooBig {
            size: xml.len(),
            limit: limits.bytes,
        }
        .into());
    }
    if xml.starts_with(&[0xff, 0xfe]) || xml.starts_with(&[0xfe, 0xff]) {
        return Err(encoding("", 0, "the document is UTF-16 or UTF-32; libvirt reads UTF-8"));
    }
    let text = std::str::from_utf8(xml).map_err(|error| {
        let good = xml
            .get(..error.valid_up_to())
            .and_then(|head| std::str::from_utf8(head).ok())
            .unwrap_or_default();
        encoding(good, good.len(), "the document is not UTF-8 from here on")
    })?;
    if let Some(at) = forbidden(text) {
        return Err(XmlError::malformed(
            text,
            at,
            "XML forbids this character (a control character, or NUL)",
        ));
    }
    if body(text).starts_with(BOM) {
        // The reader would drop this one too, and every offset would be wrong.
        return Err(XmlError::malformed(text, BOM.len(), "a second byte order mark"));
    }
    if body(text).bytes().all(|b| b.is_ascii_whitespace()) {
        return Err(XmlError::at(text, 0, Kind::Empty));
    }
    Ok(text)
}

/// What follows the byte order mark.
pub(crate) fn body(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

fn encoding(text: &str, at: usize, message: &'static str) -> XmlError {
    XmlError::at(text, at, Kind::Encoding(message.into()))
}

/// The first character that is not a `Char` of XML 1.0.
fn forbidden(text: &str) -> Option<usize> {
    // 0xef starts U+F000 to U+FFFF, the only other home of forbidden characters.
    let suspect = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0xef;
    // Without a way out of the inner loop, the compiler looks at many bytes at once.
    let clean = |chunk: &[u8]| !chunk.iter().fold(false, |found, b| found | suspect(*b));
    if text.as_bytes().chunks(64).all(clean) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_xml_char(*c)).map(|(at, _)| at)
}

/// XML 1.0's `Char`.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// XML's white space.
pub(crate) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether there is nothing but white space.
pub(crate) fn is_blank(text: &str) -> bool {
    text.bytes().all(is_space)
}
