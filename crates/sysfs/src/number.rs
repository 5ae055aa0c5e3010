//! Attributes that are numbers.
//!
//! Invariant: a number is read exactly as the kernel prints it, or it is an error that names the file. Signs, blanks,
//! other bases and other lengths are not repaired: a file that says something else is not the file we think it is.

use crate::error::excerpt;
use crate::{SysfsError, attr};
use std::path::PathBuf;

/// Decimal digits and nothing else (`u32::from_str` would take a sign).
pub(crate) fn decimal(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A count or an index (`%u`, or `%d` of what is never negative); `None` when there is no such file. Opens 1.
pub(crate) fn read_decimal(path: PathBuf, expected: &'static str) -> Result<Option<u32>, SysfsError> {
    read(path, expected, decimal)
}

/// A NUMA node; `None` also where the kernel says -1 (`NUMA_NO_NODE`). Opens 1.
pub(crate) fn read_node(path: PathBuf) -> Result<Option<u32>, SysfsError> {
    let node = |text: &str| match text {
        "-1" => Some(None),
        text => decimal(text).map(Some),
    };
    Ok(read(path, "a NUMA node or -1", node)?.flatten())
}

/// 0 or 1; `None` when there is no such file. Opens 1.
pub(crate) fn read_bit(path: PathBuf) -> Result<Option<bool>, SysfsError> {
    read(path, "0 or 1", |text| match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })
}

/// A number of exactly `digits` hexadecimal digits after `0x`; `None` when there is no such file. Opens 1.
pub(crate) fn read_hex(path: PathBuf, digits: usize, expected: &'static str) -> Result<Option<u32>, SysfsError> {
    read(path, expected, |text| {
        let text = text.strip_prefix("0x").filter(|text| text.len() == digits)?;
        text.bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
    })
}

fn read<T>(path: PathBuf, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, SysfsError> {
    let Some(text) = attr::read_text(&path)? else {
        return Ok(None);
    };
    match parse(&text) {
        Some(number) => Ok(Some(number)),
        None => Err(SysfsError::NotANumber {
            path,
            says: excerpt(&text),
            expected,
        }),
    }
}
