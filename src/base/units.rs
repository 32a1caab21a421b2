//! Quantities with units in arguments: sizes in bytes (`40GiB`) and durations (`500ms`).

use super::limits::SECONDS;

/// Units of size with their number of bytes; a unit precedes those that are its suffix. A single letter is binary, as in GNU's
/// tools and vLLM's own arguments.
const SIZES: [(&str, f64); 12] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("K", 1024.0),
    ("M", 1_048_576.0),
    ("G", 1_073_741_824.0),
    ("T", 1_099_511_627_776.0),
];

/// Units of time with their number of seconds; a unit precedes those that are its suffix.
const TIMES: [(&str, f64); 7] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("min", 60.0),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// The largest size in bytes that is accepted: 16 EiB would not fit into 64 bits.
const MOST_BYTES: f64 = 1e18;

/// Parses a size to bytes: `40GiB`, `40G` (the same), `1.5 TB` (decimal). `None` for anything else, including a number without
/// a unit and a size above 1e18 bytes.
pub fn parse_bytes(text: &str) -> Option<f64> {
    let (digits, unit) = split(text, &SIZES)?;
    let number: f64 = digits.parse().ok()?;
    Some(number * unit).filter(|bytes| *bytes > 0.0 && *bytes <= MOST_BYTES)
}

/// Parses a duration to seconds: `500ms`, `2s`, `1.5 h`; a plain number is in seconds. `None` for anything else, including a
/// negative number and more than 1e9 seconds.
pub fn parse_seconds(text: &str) -> Option<f64> {
    let (digits, unit) = split(text, &TIMES).unwrap_or((text.trim(), 1.0));
    let number: f64 = digits.parse().ok()?;
    Some(number * unit).filter(|seconds| SECONDS.holds(*seconds))
}

/// Splits a text into the number before the unit and the value of the unit.
fn split<'a>(text: &'a str, units: &[(&str, f64)]) -> Option<(&'a str, f64)> {
    let text = text.trim();
    units.iter().find_map(|(name, unit)| {
        let digits = text.strip_suffix(name)?;
        Some((digits.trim_end(), *unit))
    })
}

#[cfg(test)]
mod tests {
    use crate::base::units::*;

    #[test]
    fn sizes() {
        let gib = 1_073_741_824.0;
        for (text, bytes) in [
            ("40G", 40.0 * gib),
            ("40GiB", 40.0 * gib),
            ("40 GiB", 40.0 * gib),
            ("40GB", 4e10),
            ("0.5TiB", 512.0 * gib),
            ("512M", 536_870_912.0),
            ("1K", 1024.0),
            ("1KB", 1000.0),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in [
            "", "40", "G", "GiB", "-1G", "0G", "infG", "nanG", "1e400G", "1e300G", "2e6T", "40g",
            "4 apples", "40B",
        ] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds) in [
            ("500ms", 0.5),
            ("2s", 2.0),
            ("2", 2.0),
            ("0.04", 0.04),
            ("250 us", 250.0 * 1e-6),
            ("10m", 600.0),
            ("10min", 600.0),
            ("24h", 86_400.0),
            ("1d", 86_400.0),
            ("0", 0.0),
        ] {
            assert_eq!(parse_seconds(text), Some(seconds), "{text}");
        }
        for text in [
            "", "s", "ms", "-1s", "inf", "nan", "9e99h", "1e300", "2 weeks", "1h30m",
        ] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }
}
