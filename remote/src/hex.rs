//! Hexadecimal digits, lower case, one spelling per value.

/// Digits of any bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Exactly `N` bytes; nothing for any other spelling.
pub(crate) fn to<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_read_back_as_the_bytes_and_nothing_else_does() {
        assert_eq!(super::of(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(super::to("009fff"), Some([0, 0x9f, 0xff]));
        for wrong in ["009FFF", "009ff", "009fff0", "009ff ", ""] {
            assert_eq!(super::to::<3>(wrong), None, "{wrong:?}");
        }
    }
}
