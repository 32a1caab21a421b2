//! Accepted ranges of numbers in options and configurations.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// The accepted values of a number: from a least to a most value, both included unless the least is excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    least: f64,
    most: f64,
    excluded: bool,
}

impl Range {
    /// From `least` to `most`.
    pub const fn of(least: f64, most: f64) -> Self {
        Self {
            least,
            most,
            excluded: false,
        }
    }

    /// Above `least` and up to `most`.
    pub const fn above(least: f64, most: f64) -> Self {
        Self {
            least,
            most,
            excluded: true,
        }
    }

    /// Whether the number is accepted. NaN never is.
    pub fn holds(self, number: f64) -> bool {
        let low = match self.excluded {
            true => number > self.least,
            false => number >= self.least,
        };
        low && number <= self.most
    }

    /// Rejects a number outside the range; `name` is the parameter.
    ///
    /// # Errors
    /// [`Error::Usage`] with the accepted range.
    pub fn check(self, name: &str, number: f64) -> Result<()> {
        match self.holds(number) {
            true => Ok(()),
            false => Err(Error::usage(
                format!("{name} is {number}"),
                format!("give {self}"),
            )),
        }
    }

    /// Parses a number of the range.
    ///
    /// # Errors
    /// A sentence with the accepted range.
    pub fn parse<T: FromStr>(self, text: &str) -> Result<T, String> {
        let text = text.trim();
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| self.holds(*number))
            .and_then(|_| text.parse().ok())
            .ok_or_else(|| {
                // Only whole numbers are parsed to integers.
                let whole = if "0.5".parse::<T>().is_err() {
                    "a whole number"
                } else {
                    "a number"
                };
                format!("expected {whole}, {self}")
            })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: f64| {
            let size = number.abs();
            if number == 0.0 || (1e-4..1e15).contains(&size) {
                format!("{number}")
            } else {
                format!("{number:e}")
            }
        };
        let (least, most) = (number(self.least), number(self.most));
        match self.excluded {
            true => write!(f, "above {least} and up to {most}"),
            false => write!(f, "from {least} to {most}"),
        }
    }
}

/// Rejects a number that is not finite, is negative, or is 0 while `zero` is false. `name` is the parameter.
pub(crate) fn positive(name: &str, number: f64, zero: bool) -> Result<()> {
    let range = match zero {
        true => Range::of(0.0, f64::MAX),
        false => Range::above(0.0, f64::MAX),
    };
    if range.holds(number) {
        return Ok(());
    }
    let what = if zero { "0 or more" } else { "more than 0" };
    Err(Error::usage(
        format!("{name} is {number}"),
        format!("give {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use crate::base::check::*;

    #[test]
    fn only_numbers_of_the_range_are_accepted() {
        let range = Range::of(1.0, 1024.0);
        assert_eq!(range.parse("7"), Ok(7_u32));
        assert_eq!(range.parse::<u64>(" 1024 "), Ok(1024));
        for text in ["0", "1025", "-1", "NaN", "inf", "1e300", "1.5", "", "x"] {
            assert_eq!(
                range.parse::<u32>(text),
                Err("expected a whole number, from 1 to 1024".to_owned()),
                "{text}"
            );
        }
        let rate = Range::above(0.0, 1e9);
        assert_eq!(rate.parse("0.5"), Ok(0.5));
        assert_eq!(
            rate.parse::<f64>("0"),
            Err("expected a number, above 0 and up to 1000000000".to_owned())
        );
        let told = Range::of(1e-9, 1e18).check("rate", f64::NAN);
        assert_eq!(
            told.map_err(|error| error.to_string()),
            Err("rate is NaN; give from 1e-9 to 1e18".to_owned())
        );
    }
}
