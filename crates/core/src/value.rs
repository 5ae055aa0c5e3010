//! Why a text is not the value it should be: one error for every word that is parsed at the border.
//!
//! Invariant: the message shows what was expected and a bounded, escaped excerpt of what came, so that hostile input
//! can neither flood a log nor forge a line in it.

/// A text that is not a valid value of its type.
///
/// ```
/// let error = "../../x".parse::<mdevkit_core::TypeId>().unwrap_err();
/// assert_eq!(error.to_string(), r#"type id "../../x" is not valid: it may have letters, digits, '-', '_' and '.' only"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{excerpt}\" is not valid: {why}")]
pub struct ValueError {
    what: &'static str,
    excerpt: String,
    why: &'static str,
}

impl ValueError {
    /// The longest excerpt of a bad value that a message shows, in characters.
    const EXCERPT: usize = 64;

    /// `what` names the kind of value, `why` says what a good one looks like.
    pub fn new(what: &'static str, value: &str, why: &'static str) -> Self {
        Self {
            what,
            excerpt: excerpt(value, Self::EXCERPT),
            why,
        }
    }
}

/// The first `limit` characters of `text` with control characters escaped, and `...` where more followed.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().take(limit).flat_map(char::escape_debug).collect();
    if text.chars().nth(limit).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The text with its line ends and other control characters escaped, and nothing else changed.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Gives a word that is parsed from text its `FromStr`-shaped serde and `Display` forms.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_hostile_value_is_cut_and_escaped() {
        let error = ValueError::new("word", &"x\n".repeat(100), "it is too long").to_string();
        assert!(error.len() < 200, "{error}");
        assert!(!error.contains('\n'));
        assert!(error.contains(r"x\nx\n"));
    }
}
