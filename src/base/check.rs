//! Checks of numbers in configurations.

use super::{Error, Result};

/// Rejects a number that is not finite, is negative, or is 0 while `zero` is false. `name` is the parameter.
pub(crate) fn positive(name: &str, number: f64, zero: bool) -> Result<()> {
    if number.is_finite() && (number > 0.0 || zero && number == 0.0) {
        return Ok(());
    }
    let what = if zero { "0 or more" } else { "more than 0" };
    Err(Error::usage(
        format!("{name} is {number}"),
        format!("give {what}"),
    ))
}
