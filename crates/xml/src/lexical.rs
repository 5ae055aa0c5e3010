//! XML's small words: names, references, attributes, the declaration. What quick-xml lets pass is caught here.
//!
//! Invariant: nothing is accepted that XML 1.0 (fifth edition) with namespaces does not allow.

use crate::error::{XmlError, excerpt};
use crate::text::{is_space, is_xml_char};
use std::borrow::Cow;
use std::ops::Range;

/// One attribute, as it stands in the tag. Offsets are the document's.
#[derive(Clone, Debug)]
pub(crate) struct Attr<'a> {
    /// The whole name.
    pub(crate) name: &'a str,
    /// Whether the name is plain ASCII without a colon, as nearly all.
    pub(crate) plain: bool,
    /// What stands between the quotes.
    pub(crate) raw: &'a str,
    /// From the name's start to behind the closing quote.
    pub(crate) span: Range<usize>,
    /// Where `raw` stands.
    pub(crate) value: Range<usize>,
}

/// The part of a name before the colon, and the part after it.
pub(crate) fn split(name: &str) -> (&str, &str) {
    // By bytes: names are too short for the searcher that `str::split_once` builds.
    let colon = name.bytes().position(|b| b == b':');
    let parts = colon.and_then(|at| Some((name.get(..at)?, name.get(at + 1..)?)));
    parts.unwrap_or(("", name))
}

/// Whether a plain name, ASCII without the colon, can hold the byte.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// A name that begins at a range's start: where it ends, and whether it is plain. What is not plain may not be a name.
fn word(bytes: &[u8], range: Range<usize>) -> (usize, bool) {
    let start = range.start;
    let end = find(bytes, range.clone(), |b| !is_plain(b));
    let begins = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    let ended = end == range.end || bytes.get(end).is_some_and(|b| is_space(*b) || *b == b'=');
    if ended && begins(start) {
        (end, true)
    } else {
        (find(bytes, range, |b| is_space(b) || b == b'='), false)
    }
}

/// Whether this is a name with at most one colon, and that inside (`QName` of XML namespaces).
fn is_qname(name: &str) -> bool {
    let mut parts = name.split(':');
    let first = parts.next().is_some_and(is_ncname);
    first && parts.next().is_none_or(is_ncname) && parts.next().is_none()
}

/// Whether this is a name without a colon.
pub(crate) fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// The character that `&name;` stands for: one of the five that XML knows, or a number. None otherwise.
pub(crate) fn reference(name: &str) -> Option<char> {
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        _ => name.strip_prefix('#')?,
    };
    self::number(number)
}

/// The character of a numeric reference, told from behind its `#`.
pub(crate) fn number(number: &str) -> Option<char> {
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_xml_char(*c))
}

/// An attribute's value, as XML 1.0 section 3.3.3 normalises it. The references were checked by [`tag`].
pub(crate) fn value(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r')) {
        return Cow::Borrowed(raw);
    }
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        let (head, tail) = rest.split_at(at);
        decoded.push_str(head);
        if let Some(tail) = tail.strip_prefix('&') {
            let (name, tail) = tail.split_once(';').unwrap_or((tail, ""));
            decoded.extend(reference(name));
            rest = tail;
        } else {
            decoded.push(' ');
            rest = tail.strip_prefix("\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Reads a start tag or an empty tag that stands at `span`; returns its name, with the attributes in `attrs`.
pub(crate) fn tag<'a>(
    text: &'a str,
    span: &Range<usize>,
    empty: bool,
    attrs: &mut Vec<Attr<'a>>,
) -> Result<&'a str, XmlError> {
    attrs.clear();
    let inner = span.start + 1..span.end - if empty { 2 } else { 1 };
    let bytes = text.as_bytes();
    let cut = |range: Range<usize>| text.get(range).unwrap_or_default();
    let (name_end, is_plain) = match word(bytes, inner.clone()) {
        (end, is_plain) if bytes.get(end) != Some(&b'=') => (end, is_plain),
        _ => (find(bytes, inner.clone(), is_space), false),
    };
    let name = cut(inner.start..name_end);
    if !is_plain && !is_qname(name) {
        return Err(XmlError::malformed(
            text,
            inner.start,
            format!("\"{}\" is not a name", excerpt(name)),
        ));
    }
    let mut at = name_end;
    loop {
        let start = find(bytes, at..inner.end, |b| !is_space(b));
        if start == inner.end {
            break;
        }
        if start == at {
            return Err(XmlError::malformed(
                text,
                at,
                "attributes must be separated by white space",
            ));
        }
        let (name_end, is_plain) = word(bytes, start..inner.end);
        let attr = cut(start..name_end);
        if !is_plain && !is_qname(attr) {
            let message = format!("\"{}\" is not the name of an attribute", excerpt(attr));
            return Err(XmlError::malformed(text, start, message));
        }
        let equals = find(bytes, name_end..inner.end, |b| !is_space(b));
        let quote = find(bytes, equals + 1..inner.end, |b| !is_space(b));
        let mark = bytes.get(quote).copied().unwrap_or_default();
        if bytes.get(equals) != Some(&b'=') || quote >= inner.end || !matches!(mark, b'"' | b'\'') {
            let message = format!("attribute {} needs a value in quotes", excerpt(attr));
            let wanted = format!("{}=\"...\"", excerpt(attr));
            return Err(XmlError::malformed(text, equals.min(inner.end), message).expecting(wanted));
        }
        // One look at a value that needs no second one, as nearly all.
        let stop = find(bytes, quote + 1..inner.end, |b| b == mark || matches!(b, b'<' | b'&'));
        let close = find(bytes, stop..inner.end, |b| b == mark);
        if close == inner.end {
            let wanted = char::from(mark).to_string();
            return Err(XmlError::malformed(text, quote, "the closing quote is missing").expecting(wanted));
        }
        let raw = cut(quote + 1..close);
        if stop < close {
            check_value(text, raw, quote + 1)?;
        }
        attrs.push(Attr {
            name: attr,
            plain: is_plain,
            raw,
            span: start..close + 1,
            value: quote + 1..close,
        });
        at = close + 1;
    }
    no_twins(text, attrs)?;
    Ok(name)
}

/// The first byte of a range that is looked for, or the range's end.
fn find(bytes: &[u8], range: Range<usize>, wanted: impl Fn(u8) -> bool) -> usize {
    let end = range.end;
    let start = range.start;
    let found = bytes.get(range).and_then(|rest| rest.iter().position(|b| wanted(*b)));
    found.map_or(end, |at| start + at)
}

fn check_value(text: &str, raw: &str, start: usize) -> Result<(), XmlError> {
    let mut from = 0;
    while let Some(at) = raw
        .get(from..)
        .and_then(|rest| rest.find(['<', '&']))
        .map(|at| from + at)
    {
        let tail = raw.get(at..).unwrap_or_default();
        if tail.starts_with('<') {
            return Err(XmlError::malformed(text, start + at, "a value cannot hold '<'; write &lt;").expecting("&lt;"));
        }
        let name = tail
            .strip_prefix('&')
            .and_then(|tail| tail.split_once(';'))
            .map(|(name, _)| name);
        check_reference(text, start + at, name)?;
        from = at + 1;
    }
    Ok(())
}

/// Fails unless `name` (none: no `;` follows) is a reference that XML knows without a document type.
pub(crate) fn check_reference(text: &str, at: usize, name: Option<&str>) -> Result<char, XmlError> {
    match name.and_then(reference) {
        Some(c) => Ok(c),
        None => {
            let message = match name {
                Some(name) if is_ncname(name) => {
                    format!("&{}; is not known; XML knows lt, gt, amp, apos, quot", excerpt(name))
                }
                Some(_) => "this is not a reference to a character that XML allows".to_owned(),
                None => "a lone '&'; write &amp;".to_owned(),
            };
            let error = XmlError::malformed(text, at, message);
            Err(if name.is_none() {
                error.expecting("&amp;")
            } else {
                error
            })
        }
    }
}

/// Refuses two attributes of the same name, in less than quadratic time.
fn no_twins(text: &str, attrs: &[Attr<'_>]) -> Result<(), XmlError> {
    let twin = if attrs.len() <= 16 {
        attrs
            .iter()
            .enumerate()
            .find(|(index, attr)| attrs.iter().take(*index).any(|other| other.name == attr.name))
            .map(|(_, attr)| attr)
    } else {
        let mut sorted: Vec<&Attr<'_>> = attrs.iter().collect();
        sorted.sort_by_key(|attr| (attr.name, attr.span.start));
        sorted.windows(2).find_map(|pair| match pair {
            [one, two] if one.name == two.name => Some(*two),
            _ => None,
        })
    };
    match twin {
        Some(attr) => {
            let message = format!("attribute {} stands twice", excerpt(attr.name));
            Err(XmlError::malformed(text, attr.span.start, message))
        }
        None => Ok(()),
    }
}

/// What the XML declaration `<?xml ... ?>` may say; returns the declared encoding.
pub(crate) fn declaration(decl: &str) -> Result<Option<&str>, &'static str> {
    const BAD: &str = "the XML declaration is written like <?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let inner = decl
        .strip_prefix("<?xml")
        .and_then(|rest| rest.strip_suffix("?>"))
        .ok_or(BAD)?;
    let (version, rest) = pseudo(inner, "version").ok_or(BAD)?;
    let minor = version.strip_prefix("1.").ok_or("only XML 1.0 is read")?;
    if minor != "0" {
        return Err("only XML 1.0 is read");
    }
    let (encoding, rest) = pseudo(rest, "encoding").map_or((None, rest), |(value, rest)| (Some(value), rest));
    let rest = match pseudo(rest, "standalone") {
        Some(("yes" | "no", rest)) => rest,
        Some(_) => return Err(BAD),
        None => rest,
    };
    if rest.bytes().all(is_space) {
        Ok(encoding)
    } else {
        Err(BAD)
    }
}

fn pseudo<'a>(rest: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let space = |c: char| u8::try_from(c).is_ok_and(is_space);
    let trimmed = rest.trim_start_matches(space);
    if trimmed.len() == rest.len() {
        return None;
    }
    let rest = trimmed
        .strip_prefix(name)?
        .trim_start_matches(space)
        .strip_prefix('=')?
        .trim_start_matches(space);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest.get(1..)?.split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_normalised() {
        for (raw, decoded) in [
            ("plain", "plain"),
            ("a&amp;b&lt;&gt;&apos;&quot;", "a&b<>'\""),
            ("&#65;&#x42;&#x000043;", "ABC"),
            ("a\tb\nc\r\nd\re", "a b c d e"),
            ("&#10;&#9;", "\n\t"),
            ("&#x1F600;é", "😀é"),
        ] {
            assert_eq!(value(raw), decoded, "{raw:?}");
        }
    }

    #[test]
    fn references_that_xml_does_not_know() {
        for name in [
            "", "nbsp", "#", "#x", "#0", "#x1F", "#xD800", "#x110000", "#+65", "#x+41", "#65 ", "#X41", "LT",
        ] {
            assert_eq!(reference(name), None, "{name:?}");
        }
    }
}
