//! Formatting of floats as in Python's `repr`.

use std::fmt;

/// Formats a double with the fewest digits that parse back to it: `1.0` for whole numbers, and an exponent from 1e16 on and
/// below 1e-4.
#[derive(Debug, Clone, Copy)]
pub struct PythonFloat(pub f64);

impl fmt::Display for PythonFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("nan");
        }
        if value.is_infinite() {
            return write!(f, "{value}");
        }
        let size = value.abs();
        if size == 0.0 || (1e-4..1e16).contains(&size) {
            return f.write_str(ryu::Buffer::new().format_finite(value));
        }
        let (digits, exponent) = shortest(value);
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(f, "{digits}e{sign}{:02}", exponent.abs())
    }
}

/// Returns the fewest digits that parse back to the value, and the power of ten of the first digit. Of two candidates at the
/// same distance the even one is used, as in Python; Rust's own shortest form uses the larger one.
fn shortest(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let digits = text.find('e').unwrap_or(text.len());
    let decimals = text[..digits]
        .find('.')
        .map_or(0, |point| digits - point - 1);
    // Only if the last of several digits is odd can it be the larger of two candidates at the same distance.
    let text = match text.as_bytes()[digits - 1] {
        b'1' | b'3' | b'5' | b'7' | b'9' if decimals >= 14 => {
            let even = format!("{value:.decimals$e}");
            if even.parse() == Ok(value) {
                even
            } else {
                text
            }
        }
        _ => text,
    };
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::io::python_float::PythonFloat;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e-4, "0.0001"),
            (7.105_029_834_866_61e-5, "7.10502983486661e-05"),
            (1e-300, "1e-300"),
            (1e15, "1000000000000000.0"),
            (1.5e16, "1.5e+16"),
            (123_456_789.125, "123456789.125"),
            (0.021_402_359_008_789_062, "0.021402359008789062"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(PythonFloat(value).to_string(), text);
        }
    }
}
