//! Whose document is it? The domain's UUID, and nothing else of it.
//!
//! Invariant: what stands behind the UUID is not looked at. At a domain's end its metadata may be anything (a tenant may
//! have changed it while the domain ran), and the devices must be given back all the same.

use crate::error::{Limits, XmlError};
use crate::namespace::Space;
use crate::scan::{Scanner, Token};
use crate::{text, uuid};
use mdevkit_core::Uuid;

/// The UUID of a domain; `None` when the document has none.
///
/// Reads up to the first `/domain/uuid` alone, which libvirt writes behind the name.
///
/// ```
/// let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><metadata><broken";
/// let uuid = mdevkit_xml::domain_uuid(xml)?;
/// assert_eq!(uuid, Some("11111111-0000-0000-0000-000000000001".parse().unwrap()));
/// # Ok::<(), mdevkit_xml::XmlError>(())
/// ```
///
/// # Errors
/// When the document is not well-formed up to there, or not a domain.
pub fn domain_uuid(xml: &[u8]) -> Result<Option<Uuid>, XmlError> {
    let limits = Limits::default();
    let text = text::text(xml, &limits)?;
    let mut scanner = Scanner::new(text, &limits);
    let mut depth = 0_usize;
    let mut found: Option<String> = None;
    loop {
        match scanner.next()? {
            Token::Open(tag) => {
                let word = if tag.space == Space::Unbound { tag.name } else { "" };
                if depth == 0 && word != "domain" {
                    return Err(XmlError::malformed(text, tag.span.start, "expected <domain>"));
                }
                if depth == 1 && word == "uuid" && !tag.empty {
                    found = Some(String::new());
                }
                depth += usize::from(!tag.empty);
            }
            Token::Close(_) => {
                depth = depth.saturating_sub(1);
                if depth == 1
                    && let Some(found) = found
                {
                    return Ok(uuid::parse(&found));
                }
            }
            Token::Text(span) | Token::Cdata(span) => {
                if let Some(found) = &mut found {
                    found.push_str(text.get(span).unwrap_or_default());
                }
            }
            Token::Ref(c, _) => {
                if let Some(found) = &mut found {
                    found.push(c);
                }
            }
            Token::Misc => {}
            Token::End => return Ok(None),
        }
    }
}
