//! Numbers as Python parses them from text.

/// The zero of each script that has decimal digits; the digits 1 to 9 follow each zero (Unicode 14, as in CPython 3.11).
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// Returns the text with the decimal digits of all scripts as ASCII and without surrounding white space, by Python's definition
/// of white space.
fn plain(text: &str) -> String {
    let space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    text.trim_matches(space)
        .chars()
        .map(|c| {
            let after = ZEROS.partition_point(|zero| *zero <= u32::from(c));
            let digit = after
                .checked_sub(1)
                .map(|at| u32::from(c) - ZEROS[at])
                .filter(|digit| *digit < 10);
            digit
                .and_then(|digit| char::from_digit(digit, 10))
                .unwrap_or(c)
        })
        .collect()
}

/// Removes underscores; each must be between two digits.
fn joined(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'_' && !(at > 0 && digit(at - 1) && digit(at + 1)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// Parses text as `int(text)`: a sign, digits of any script, underscores between them, surrounding white space. `None` beyond
/// 128 bits.
pub fn parse_int(text: &str) -> Option<i128> {
    let text = joined(&plain(text))?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.parse().ok()).flatten()
}

/// Parses text as `float(text)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    joined(&plain(text))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::tune::python::*;

    #[test]
    fn ints() {
        for (text, value) in [
            ("0", 0),
            ("-3", -3),
            ("+7", 7),
            (" 12\n", 12),
            ("007", 7),
            ("1_000", 1000),
            ("\u{663}\u{664}", 34),
            ("\u{ff11}0", 10),
            ("\u{1d7d9}", 1),
            ("\u{1f}5\u{3000}", 5),
            ("-170141183460469231731687303715884105728", i128::MIN),
        ] {
            assert_eq!(parse_int(text), Some(value), "{text:?}");
        }
        for text in [
            "", "-", "+-1", "1.0", "1e3", "_1", "1_", "1__0", "- 1", "0x1", "a", "1 2", "\u{b2}",
            "+_1",
        ] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
    }

    #[test]
    fn floats() {
        for (text, value) in [
            ("1", 1.0),
            (" 1e-3 ", 1e-3),
            ("1_0.5", 10.5),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text), Some(value), "{text:?}");
        }
        assert!(parse_float("nan").is_some_and(f64::is_nan));
        for text in ["", "1,5", "1__0", "0x1p3", "e5", "._1"] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
    }
}
