//! The answer of each command in one sentence, identical in the terminal, as `answer` in JSON, and at the top of the page.
//!
//! Each function formats given figures and computes no others. Fractions are not rounded to 0 % or 100 % unless they are exact,
//! and missing results are stated.

mod cache;
mod cluster;

pub use cache::{Cached, Curve, Swept, analysis, curve, experiment, sweep};
pub use cluster::{Candidate, KEPT, Ordered, Planned, Served, aging, comparison, plan, simulation};

use crate::report::render::number::thousands;

const GIB: f64 = 1_073_741_824.0;

/// A fraction (0..1) in percent with one digit; only exact values print as 0 % or 100 %.
pub fn share(fraction: f64) -> String {
    let text = format!("{:.1} %", 100.0 * fraction);
    match text.as_str() {
        "0.0 %" if fraction > 0.0 => "less than 0.1 %".into(),
        "100.0 %" if fraction < 1.0 => "more than 99.9 %".into(),
        _ => text,
    }
}

/// The difference of two fractions in percentage points, without its sign.
fn points(difference: f64) -> String {
    let points = (100.0 * difference).abs();
    if points < 0.05 {
        "less than 0.1 points".into()
    } else {
        format!("{points:.1} points")
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {many}", thousands(number)),
    }
}

#[cfg(test)]
mod tests;
