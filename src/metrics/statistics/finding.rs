//! Conclusion of a comparison, and the sentence that states it.

use serde::Serialize;

use super::bootstrap::Interval;
use super::compare::{Comparison, Threshold};

/// Conclusion of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Both samples have the same values in the same order.
    Equal,
    /// The difference is not significant.
    NotTold,
    /// The difference is significant, and is below the threshold.
    Negligible,
    /// The first is significantly lower.
    Lower,
    /// The first is significantly higher.
    Higher,
}

impl Comparison {
    /// Conclusion of the comparison.
    pub fn finding(&self) -> Finding {
        let is_negligible = self.threshold.is_some_and(|threshold| {
            self.difference.abs() < threshold.seconds
                && self.relative.is_none_or(|r| r.abs() < threshold.relative)
        });
        match () {
            () if self.is_equal => Finding::Equal,
            () if !self.is_significant() => Finding::NotTold,
            () if is_negligible => Finding::Negligible,
            () if self.difference < 0.0 => Finding::Lower,
            () => Finding::Higher,
        }
    }
}

/// Formats a p-value: `p < 0.001` or `p = 0.023`.
pub fn p_text(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p if p < 0.1 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

/// Formats a number with three significant digits, or a percentage with fewer.
fn number(value: f64, percent: bool) -> String {
    let size = value.abs();
    if !percent {
        return format!("{:.4}", value)
            .parse::<f64>()
            .ok()
            .filter(|short| size == 0.0 || (short - value).abs() < size * 0.01)
            .map_or_else(|| format!("{value:.2e}"), |short| short.to_string());
    }
    let text = match size {
        size if size < 1.0 => format!("{value:.2}"),
        size if size < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    // Removes the minus sign of a zero.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => text,
    }
}

/// States in a sentence which of two is better, by how much, and the confidence interval and p-value; or that they are
/// equal, or that the difference is not significant or is negligible.
pub fn sentence(
    name_a: &str,
    name_b: &str,
    comparison: &Comparison,
    lower_is_better: bool,
) -> String {
    let relative = comparison.relative.zip(comparison.relative_interval);
    let (value, interval, percent) = match relative {
        Some((value, interval)) => (value * 100.0, scaled(interval, 100.0), true),
        None => (comparison.difference, comparison.difference_interval, false),
    };
    let p = p_text(comparison.p_adjusted);
    let unit = if percent { " %" } else { "" };
    let show = |value| number(value, percent);
    let signed = || {
        let (low, high) = (show(interval.low), show(interval.high));
        format!("{}{unit} [{low}, {high}], {p}", show(value))
    };
    match comparison.finding() {
        Finding::Equal => {
            let count = comparison.a.count;
            return format!(
                "{name_a} and {name_b} are equal: the same {count} values on both sides"
            );
        }
        Finding::NotTold => {
            return format!(
                "no difference can be told between {name_a} and {name_b}: {}",
                signed()
            );
        }
        Finding::Negligible => {
            let threshold = comparison.threshold.unwrap_or(Threshold::TIMES);
            return format!(
                "no difference that matters between {name_a} and {name_b} ({threshold}): {}",
                signed()
            );
        }
        Finding::Lower | Finding::Higher => {}
    }
    let lower = value < 0.0;
    let word = if lower == lower_is_better {
        "better"
    } else {
        "worse"
    };
    // The difference as a size: if the first is lower, signs and ends are swapped.
    let (low, high) = if lower {
        (-interval.high, -interval.low)
    } else {
        (interval.low, interval.high)
    };
    format!(
        "{name_a} is {word} than {name_b} by {}{unit} [{}, {}], {p}",
        show(value.abs()),
        show(low),
        show(high)
    )
}

fn scaled(interval: Interval, factor: f64) -> Interval {
    Interval {
        low: interval.low * factor,
        high: interval.high * factor,
        ..interval
    }
}

#[cfg(test)]
mod tests {
    use crate::base::random::stream;
    use crate::metrics::statistics::finding::*;
    use crate::metrics::statistics::{Options, compare};
    use rand_distr::{Distribution, LogNormal};

    #[test]
    fn equal_and_small_differences_are_no_findings() {
        let options = Options {
            paired: true,
            resamples: 100,
            threshold: Some(Threshold::TIMES),
            ..Options::default()
        };
        let a: Vec<f64> = (0..40).map(|n| 0.020 + f64::from(n) * 1e-4).collect();
        let more = |by: f64, ripple: f64| -> Vec<f64> {
            let odd = |n: usize| if n.is_multiple_of(2) { ripple } else { -ripple };
            a.iter().enumerate().map(|(n, a)| a + by + odd(n)).collect()
        };
        let found = |b: &[f64]| compare(b, &a, &options).expect("compares");
        let same = found(&a);
        assert_eq!(same.finding(), Finding::Equal);
        assert_eq!(
            sentence("x", "y", &same, true),
            "x and y are equal: the same 40 values on both sides"
        );
        // Mean 21.95 ms: 0.1 ms more is significant, but is 0.46 % and under 1 ms.
        let small = found(&more(0.0001, 0.00001));
        assert!(small.is_significant());
        assert_eq!(small.finding(), Finding::Negligible);
        let said = sentence("x", "y", &small, true);
        assert!(
            said.starts_with(
                "no difference that matters between x and y (under 1 % and under 1 ms): 0.46 % ["
            ),
            "{said}"
        );
        // 0.5 ms more are 2.3 %: reported, although it is under 1 ms.
        assert_eq!(found(&more(0.0005, 0.00001)).finding(), Finding::Higher);
        assert_eq!(found(&more(-0.0005, 0.00001)).finding(), Finding::Lower);
        // Noise only.
        assert_eq!(found(&more(0.0, 0.001)).finding(), Finding::NotTold);
        // Without a threshold, every significant difference is reported.
        let open = Options {
            threshold: None,
            ..options
        };
        let found = compare(&more(0.0001, 0.00001), &a, &open).expect("compares");
        assert_eq!(found.finding(), Finding::Higher);
    }

    #[test]
    fn sentences() {
        let mut random = stream(1, "latency", 0);
        let skewed = LogNormal::new(0.0, 0.5).expect("a distribution");
        let base: Vec<f64> = (0..2000).map(|_| skewed.sample(&mut random)).collect();
        let less: Vec<f64> = base.iter().map(|value| value * 0.88).collect();
        let found = compare(&less, &base, &Options::default()).expect("compares");
        let text = sentence("new", "old", &found, true);
        assert!(
            text.starts_with("new is better than old by 12 % ["),
            "{text}"
        );
        assert!(text.ends_with("], p < 0.001"), "{text}");
        let text = sentence("new", "old", &found, false);
        assert!(
            text.starts_with("new is worse than old by 12 % ["),
            "{text}"
        );
        let found = compare(&base, &less, &Options::default()).expect("compares");
        let text = sentence("old", "new", &found, true);
        assert!(
            text.starts_with("old is worse than new by 14 % ["),
            "{text}"
        );
        let found = compare(&base[..1000], &base[1000..], &Options::default()).expect("compares");
        let text = sentence("one", "other", &found, true);
        assert!(
            text.starts_with("no difference can be told between one and other: "),
            "{text}"
        );
        let mut adjusted = found;
        adjusted.p_adjusted = 0.0234;
        adjusted.relative = None;
        adjusted.difference = -0.5;
        adjusted.difference_interval = Interval {
            low: -0.75,
            high: -0.25,
            method: "welch",
        };
        let text = sentence("one", "other", &adjusted, false);
        assert_eq!(
            text,
            "one is worse than other by 0.5 [0.25, 0.75], p = 0.023"
        );
    }
}
