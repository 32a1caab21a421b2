//! Parsing of decimal numbers as in pandas.
//!
//! `pandas.read_csv` does not round to nearest: `precise_xstrtod` (pandas/_libs/src/parser/tokenizer.c) accumulates 17 digits
//! in a double and multiplies or divides once by a power of ten. A simulator that reads its inputs with pandas therefore starts
//! from times that differ in the last bit from those in the file.

use std::sync::LazyLock;

/// Number of digits that are used; further digits only shift the decimal point.
const MAX_DIGITS: u32 = 17;

/// 10^0 to 10^308, each rounded to nearest.
static POWERS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    (0..=308)
        .map(|power| format!("1e{power}").parse().unwrap_or(f64::INFINITY))
        .collect()
});

/// Parses `text` as pandas' default float parser does; `None` if it is not a number.
pub fn parse_pandas_float(text: &str) -> Option<f64> {
    let bytes = text.trim_ascii().as_bytes();
    let (negative, mut rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let (mut number, mut exponent, mut digits) = (0.0f64, 0i64, 0);
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        if digits < MAX_DIGITS {
            number = number * 10.0 + f64::from(digit - b'0');
            digits += 1;
        } else {
            exponent += 1;
        }
        rest = tail;
    }
    if let [b'.', tail @ ..] = rest {
        rest = tail;
        while let [digit @ b'0'..=b'9', tail @ ..] = rest {
            if digits < MAX_DIGITS {
                number = number * 10.0 + f64::from(digit - b'0');
                digits += 1;
                exponent -= 1;
            }
            rest = tail;
        }
    }
    if digits == 0 {
        return None;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        exponent += std::str::from_utf8(tail).ok()?.parse::<i64>().ok()?;
        rest = &[];
    }
    if !rest.is_empty() {
        return None;
    }
    if negative {
        number = -number;
    }
    Some(match exponent {
        309.. => number * f64::INFINITY,
        1..=308 => number * POWERS[exponent as usize],
        -308..=0 => number / POWERS[-exponent as usize],
        _ => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use crate::base::io::pandas_float::*;

    /// Values that pandas 2.2.3 parsed from each text, in their shortest decimal form.
    #[test]
    fn reads_as_pandas() {
        for (text, expected) in [
            ("1", 1.0),
            ("-2.5", -2.5),
            ("1e3", 1000.0),
            ("2.5e-3", 0.0025),
            ("12345678901234567890", 1.234_567_890_123_456_7e19),
            ("0.1", 0.1),
            // One unit in the last place below the nearest double.
            ("12.338125765011373", 12.338_125_765_011_371),
            ("113.59870231630353", 113.598_702_316_303_52),
            ("99.12504659473225", 99.125_046_594_732_24),
        ] {
            assert_eq!(parse_pandas_float(text), Some(expected), "{text}");
        }
        for text in ["", "x", "1.2.3", "1e", "--1", "."] {
            assert_eq!(parse_pandas_float(text), None, "{text}");
        }
    }
}
