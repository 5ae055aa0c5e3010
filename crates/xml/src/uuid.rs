//! UUIDs in every spelling that libvirt takes.
//!
//! Invariant: what libvirt's `virUUIDParse()` accepts is accepted here with the same value, and nothing else:
//! 32 hexadecimal digits in either case, with `-` and spaces anywhere between pairs, and white space around.

use mdevkit_core::Uuid;

/// Reads a UUID as libvirt does.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    let mut rest = text.trim_matches(|c: char| c.is_ascii_whitespace()).bytes();
    while let Some(byte) = rest.next() {
        if filled < 16 && matches!(byte, b'-' | b' ') {
            continue;
        }
        *bytes.get_mut(filled)? = (digit(byte)? << 4) | digit(rest.next()?)?;
        filled += 1;
    }
    (filled == 16).then_some(Uuid::from_bytes(bytes))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_that_libvirt_takes() {
        let same = Uuid::from_u128(0x53764d0e_85a0_42b4_af5c_2046b460b1dc);
        for (text, good) in [
            ("53764d0e-85a0-42b4-af5c-2046b460b1dc", true),
            ("53764D0E85A042B4AF5C2046B460B1DC", true),
            (" \n53764d0e-85a0-42b4-af5c-2046b460b1dc\t", true),
            ("53 76 4d 0e 85 a0 42 b4 af 5c 20 46 b4 60 b1 dc", true),
            ("--53764d0e85a042b4af5c2046b460b1dc", true),
            ("53764d0e-85a0-42b4-af5c-2046b460b1dc-", false),
            ("53764d0e-85a0-42b4-af5c-2046b460b1d", false),
            ("53764d0e-85a0-42b4-af5c-2046b460b1dc0", false),
            ("5-3764d0e85a042b4af5c2046b460b1dc", false),
            ("{53764d0e-85a0-42b4-af5c-2046b460b1dc}", false),
            ("53764d0e_85a0_42b4_af5c_2046b460b1dc", false),
            ("é3764d0e-85a0-42b4-af5c-2046b460b1dc", false),
            ("", false),
            ("-", false),
        ] {
            assert_eq!(parse(text), good.then_some(same), "{text:?}");
        }
    }
}
