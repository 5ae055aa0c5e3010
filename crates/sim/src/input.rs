//! What the kernel makes of bytes written to `create` and `remove`.
//!
//! Linux 6.12: `create_store` and `remove_store` in `drivers/vfio/mdev/mdev_sysfs.c`, `guid_parse` in `lib/uuid.c`,
//! `kstrtoul` in `lib/kstrtox.c`. Odd as they are, these are the rules: a last byte that nobody looks at, no check of
//! version or variant, base by prefix.

use nix::errno::Errno;

const UUID_LEN: usize = 36;

/// The UUID in a store to `create`, in lower case as the kernel lists it. A 37th byte may be anything.
pub(crate) fn create(data: &[u8]) -> Result<String, Errno> {
    if data.len() > UUID_LEN + 1 {
        return Err(Errno::EINVAL);
    }
    let text = data.get(..UUID_LEN).ok_or(Errno::EINVAL)?;
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if !text.iter().enumerate().all(fits) {
        return Err(Errno::EINVAL);
    }
    Ok(text.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

/// Whether a store to `remove` means it: a value that is not 0. What is wrong with it, `remove_store` does not tell.
pub(crate) fn remove(data: &[u8]) -> Result<bool, Errno> {
    number(data).map(|value| value != 0).map_err(|_| Errno::EINVAL)
}

/// `kstrtoul(buf, 0, &val)`.
pub(crate) fn number(data: &[u8]) -> Result<u64, Errno> {
    // The kernel's buffer ends at the first NUL; one newline may follow the number.
    let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    if digits.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut value: Option<u64> = Some(0);
    for byte in digits {
        let digit = char::from(*byte).to_digit(radix).ok_or(Errno::EINVAL)?;
        value = value.and_then(|value| value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit)));
    }
    value.ok_or(Errno::ERANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remove_takes_what_kstrtoul_takes() {
        for (data, answer) in [
            (&b"1"[..], Ok(true)),
            (b"1\n", Ok(true)),
            (b"0x1", Ok(true)),
            (b"+1", Ok(true)),
            (b"010", Ok(true)),
            (b"1\0junk", Ok(true)),
            (b"18446744073709551615", Ok(true)),
            (b"0", Ok(false)),
            (b"0\n", Ok(false)),
            (b"00", Ok(false)),
            (b"18446744073709551616", Err(Errno::EINVAL)),
            (b"0x", Err(Errno::EINVAL)),
            (b"08", Err(Errno::EINVAL)),
            (b"-1", Err(Errno::EINVAL)),
            (b" 1", Err(Errno::EINVAL)),
            (b"1 ", Err(Errno::EINVAL)),
            (b"1\n\n", Err(Errno::EINVAL)),
            (b"\n", Err(Errno::EINVAL)),
            (b"x", Err(Errno::EINVAL)),
        ] {
            assert_eq!(remove(data), answer, "{:?}", String::from_utf8_lossy(data));
        }
        assert_eq!(number(b"18446744073709551616"), Err(Errno::ERANGE));
    }
}
