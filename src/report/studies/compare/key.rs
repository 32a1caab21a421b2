//! The identity of a run by its path, and the order of names in paths.

use std::cmp::Ordering;

pub use crate::scenario::layout::{DEPTH, LAYOUT, RunKey as Key, rate, trace_name};

/// Natural order: numbers within names compare by value, other characters by code point.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (x, y);
        (x, left) = part(left);
        (y, right) = part(right);
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len()).then_with(|| a.cmp(b));
        }
        let number = |text: &str| text.parse::<u64>().ok();
        let order = match (number(x), number(y)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits off the leading digits, or else everything before the first digit.
fn part(text: &str) -> (&str, &str) {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digit)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::key::*;

    #[test]
    fn names_sort_as_people_count() {
        let mut names = vec![
            "rr_conv_100",
            "rr_conv_20",
            "rr_code_5",
            "10",
            "9",
            "rr_conv_20b",
        ];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            [
                "9",
                "10",
                "rr_code_5",
                "rr_conv_20",
                "rr_conv_20b",
                "rr_conv_100"
            ]
        );
    }
}
