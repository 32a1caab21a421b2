//! Trace time in whole nanoseconds, so that arithmetic is exact and equal times compare equal.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A time in nanoseconds since the start of a trace, or a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

impl Nanos {
    /// Time 0.
    pub const ZERO: Self = Self(0);

    /// The last time at which an event of a simulation may happen, after 570 years. Sums of later times would be cut off.
    pub const LAST: Self = Self(18_000_000_000 * SECOND);

    /// Converts seconds to the nearest nanosecond. Negative values and NaN give 0; values beyond the range give the maximum.
    pub fn from_secs_f64(seconds: f64) -> Self {
        // `as` saturates and converts NaN to zero.
        Self((seconds * SECOND as f64).round() as u64)
    }

    /// Converts to seconds, rounded to the nearest `f64`.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// Parses decimal seconds exactly ("12.000000001"). Texts with an exponent are parsed as `f64`. `None` for
    /// anything else, including times after [`LAST`](Self::LAST).
    pub fn parse_secs(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            let seconds: f64 = text.parse().ok()?;
            // NaN and infinity are in no range.
            let range = 0.0..=Self::LAST.as_secs_f64();
            return range
                .contains(&seconds)
                .then(|| Self::from_secs_f64(seconds));
        }
        let whole: u64 = whole.parse().ok()?;
        let mut nanos = 0;
        for (place, byte) in fraction.bytes().enumerate().take(9) {
            nanos += u64::from(byte - b'0') * 10u64.pow(8 - place as u32);
        }
        if fraction.as_bytes().get(9).is_some_and(|byte| *byte >= b'5') {
            nanos += 1;
        }
        let time = Self(whole.checked_mul(SECOND)?.checked_add(nanos)?);
        (time <= Self::LAST).then_some(time)
    }
}

impl fmt::Display for Nanos {
    /// Formats seconds with exactly the decimals that the value needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.0 / SECOND, self.0 % SECOND);
        if nanos == 0 {
            return write!(f, "{whole}.0");
        }
        let text = format!("{nanos:09}");
        write!(f, "{whole}.{}", text.trim_end_matches('0'))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::base::nanos::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_exact() {
        for (text, nanos) in [
            ("0.0", 0),
            ("12", 12_000_000_000),
            ("1.000000001", 1_000_000_001),
            ("1.0000000005", 1_000_000_001),
            ("1e-3", 1_000_000),
        ] {
            assert_eq!(Nanos::parse_secs(text), Some(Nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "-1",
            "x",
            "1.2.3",
            "nan",
            "inf",
            "99999999999999999999",
            "18000000000.1",
            "1e300",
        ] {
            let parsed = Nanos::parse_secs(text);
            assert!(parsed.is_none(), "{text}: {parsed:?}");
        }
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(nanos in 0..=Nanos::LAST.0) {
            let text = Nanos(nanos).to_string();
            prop_assert_eq!(Nanos::parse_secs(&text), Some(Nanos(nanos)));
        }
    }
}
