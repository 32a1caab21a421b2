//! Checks of configured numbers.

use super::{Error, Result};

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
