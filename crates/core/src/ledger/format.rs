//! The ledger's file: JSON with a version, read strictly where it matters and kept whole where it is unknown.
//!
//! | the file's version | so |
//! |---|---|
//! | 1, with fields we do not know | read; they are written back |
//! | 2 or more | [`FormatError::Newer`]: not read, not set aside, not overwritten |
//! | no number, or not JSON | [`FormatError::Damaged`] |

use super::{Ledger, Record};
use crate::Uuid;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The version that this code writes. It rises when an older reader would misunderstand: with a new [`super::State`]
/// or [`super::Framework`] too, which an older reader would take for damage. A new field or kind of owner needs none.
pub const VERSION: u64 = 1;

/// Why a ledger was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A newer mdevkit wrote it.
    #[error(
        "ledger version {version} is newer than this mdevkit understands ({VERSION}); install the newer mdevkit again"
    )]
    Newer {
        /// The file's version.
        version: u64,
    },
    /// It is not a ledger.
    #[error("ledger is damaged: {why}")]
    Damaged {
        /// What is wrong.
        why: String,
    },
}

impl Ledger {
    /// Reads the file's bytes. No bytes at all are an empty ledger only to who made the file; here they are damage.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let damaged = |why: String| FormatError::Damaged { why };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let Value::Object(mut fields) = value else {
            return Err(damaged("it is not an object".to_owned()));
        };
        match fields.remove("version").as_ref().map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(version)) if version > VERSION => return Err(FormatError::Newer { version }),
            _ => return Err(damaged("it has no version".to_owned())),
        }
        let Some(list) = fields.remove("records") else {
            return Err(damaged("it has no records".to_owned()));
        };
        let list: Vec<Record> = serde_json::from_value(list).map_err(|error| damaged(error.to_string()))?;
        let mut records: BTreeMap<Uuid, Record> = BTreeMap::new();
        for record in list {
            let uuid = record.uuid;
            if records.insert(uuid, record).is_some() {
                return Err(damaged(format!("device {uuid} stands twice")));
            }
        }
        Ok(Self { records, extra: fields })
    }

    /// The file's text, one record a line.
    pub fn write(&self) -> String {
        let mut text = format!("{{\"version\":{VERSION},\n\"records\":[");
        for (index, record) in self.records.values().enumerate() {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            // A record is made of strings, numbers and maps with string keys: there is nothing to fail.
            text.push_str(&serde_json::to_string(record).unwrap_or_default());
        }
        text.push(']');
        if let Some(rest) = extra(&self.extra) {
            text.push_str(",\n");
            text.push_str(&rest);
        }
        text.push_str("}\n");
        text
    }
}

/// The unknown fields without their braces; none when there are none.
fn extra(fields: &Map<String, Value>) -> Option<String> {
    let text = serde_json::to_string(fields).ok()?;
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
