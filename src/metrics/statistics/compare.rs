//! Comparison of two samples: difference, confidence interval, tests and effect sizes.

use serde::Serialize;

use super::bootstrap::{Contrast, Interval, Resamples, Statistic};
use super::effect::{Effect, effect_of_sorted};
use super::sample::SortedSample;
use super::student::{paired_t, reach, welch, welch_error};
use super::u_test::mann_whitney_sorted;
use super::{Test, mean_and_variance, signed_rank};
use crate::base::error::{Error, Result};

/// Below this number of values, the interval of means is Student's, because a bootstrap of few values is too narrow.
const FEW: usize = 20;

/// The smallest difference that is worth reporting: a difference below both limits is negligible, even if it is
/// significant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// As a fraction of the second value.
    pub relative: f64,
    /// In seconds.
    pub seconds: f64,
}

impl Threshold {
    /// Limits for times of requests: 1 % and 1 ms.
    pub const TIMES: Self = Self {
        relative: 0.01,
        seconds: 0.001,
    };
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (percent, millis) = (self.relative * 100.0, self.seconds * 1e3);
        write!(f, "under {percent} % and under {millis} ms")
    }
}

/// Options of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The statistic that is compared.
    pub statistic: Statistic,
    /// Whether values with the same index form pairs.
    pub paired: bool,
    /// Confidence of the intervals, as a fraction.
    pub confidence: f64,
    /// Number of bootstrap resamples.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
    /// Limits below which a difference is negligible; `None` if every difference counts.
    pub threshold: Option<Threshold>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            statistic: Statistic::Mean,
            paired: false,
            confidence: 0.95,
            resamples: 10_000,
            seed: 0,
            threshold: None,
        }
    }
}

/// Figures of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Number of values.
    pub count: usize,
    /// Mean of the values.
    pub mean: f64,
    /// Standard deviation of the values.
    pub deviation: f64,
    /// The statistic that is compared.
    pub value: f64,
}

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the statistic that is compared.
    pub statistic: String,
    /// The first sample.
    pub a: Sample,
    /// The second sample.
    pub b: Sample,
    /// First - second.
    pub difference: f64,
    /// Confidence interval of the difference.
    pub difference_interval: Interval,
    /// First / second - 1; `None` if the second is not above 0.
    pub relative: Option<f64>,
    /// Confidence interval of the relative difference.
    pub relative_interval: Option<Interval>,
    /// Effect sizes.
    pub effect: Effect,
    /// Results of the tests: of means, then of ranks.
    pub tests: Vec<Test>,
    /// The p-value that decides whether the difference is significant.
    pub p: f64,
    /// Name of the test that gave `p`.
    pub test: &'static str,
    /// `p` after the correction for multiple comparisons by [`holm`].
    pub p_adjusted: f64,
    /// Level of significance: 1 - confidence.
    pub alpha: f64,
    /// Whether both samples have the same values in the same order.
    pub is_equal: bool,
    /// Limits below which a difference is negligible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

impl Comparison {
    /// Whether the difference is significant.
    pub fn is_significant(&self) -> bool {
        self.p_adjusted < self.alpha
    }
}

/// Compares a first sample with a second. The p-value of means is from Welch's test (paired: Student's), of medians
/// from a rank test, of other quantiles from the bootstrap.
///
/// # Errors
/// [`Error::Usage`] for fewer than two values, values that are not finite, samples of different length that should be
/// pairs, or options out of range.
pub fn compare(a: &[f64], b: &[f64], options: &Options) -> Result<Comparison> {
    check(a, b, options)?;
    let (sample_a, sample_b) = (SortedSample::new(a.to_vec()), SortedSample::new(b.to_vec()));
    compare_resampled(&sample_a, &sample_b, options, || {
        let Options {
            statistic, paired, ..
        } = *options;
        Resamples::new(statistic, a, b, paired, options.resamples, options.seed)
    })
}

/// The same of samples that are sorted already; `resamples` makes the resamples of both, and options of resampling are not used.
///
/// # Errors
/// As [`compare`].
pub fn compare_resampled(
    sample_a: &SortedSample,
    sample_b: &SortedSample,
    options: &Options,
    resamples: impl FnOnce() -> Resamples,
) -> Result<Comparison> {
    let (a, b) = (sample_a.values(), sample_b.values());
    check(a, b, options)?;
    let Options {
        statistic,
        paired,
        confidence,
        ..
    } = *options;
    let resamples = resamples();
    let (value_a, value_b) = resamples.point;
    let u_test = mann_whitney_sorted(sample_a.sorted(), sample_b.sorted());
    let tests = if paired {
        vec![paired_t(a, b), signed_rank(a, b)]
    } else {
        vec![welch(a, b), u_test]
    };
    let (p, test) = match statistic {
        Statistic::Mean => (tests[0].p, tests[0].name),
        Statistic::Quantile(0.5) => (tests[1].p, tests[1].name),
        Statistic::Quantile(_) => (resamples.p(), "bootstrap"),
    };
    let few = statistic == Statistic::Mean && a.len().min(b.len()) < FEW;
    let difference_interval = if few {
        student_difference(a, b, paired, confidence)
    } else {
        resamples.bca(Contrast::Difference, confidence)
    };
    let known = value_b > 0.0;
    let relative_interval = match (known, few) {
        (false, _) => None,
        (true, true) => student_relative(a, b, paired, confidence),
        (true, false) => Some(resamples.bca(Contrast::Relative, confidence)),
    };
    let sample = |sample: &SortedSample, value| {
        let (mean, variance) = sample.mean_and_variance();
        Sample {
            count: sample.values().len(),
            mean,
            deviation: variance.sqrt(),
            value,
        }
    };
    Ok(Comparison {
        statistic: statistic.name(),
        a: sample(sample_a, value_a),
        b: sample(sample_b, value_b),
        difference: value_a - value_b,
        difference_interval,
        relative: known.then(|| value_a / value_b - 1.0),
        relative_interval,
        effect: effect_of_sorted(sample_a, sample_b, u_test.statistic),
        tests,
        p,
        test,
        p_adjusted: p,
        alpha: 1.0 - confidence,
        is_equal: a == b,
        threshold: options.threshold,
    })
}

fn check(a: &[f64], b: &[f64], options: &Options) -> Result<()> {
    let refuse = |problem: String, remedy: &str| Err(Error::usage(problem, remedy));
    if a.len() < 2 || b.len() < 2 {
        return refuse(
            format!("samples of {} and {} values", a.len(), b.len()),
            "give at least two values per sample",
        );
    }
    if let Some(value) = a.iter().chain(b).find(|value| !value.is_finite()) {
        return refuse(
            format!("a value of {value}"),
            "omit values that are not finite numbers",
        );
    }
    if options.paired && a.len() != b.len() {
        return refuse(
            format!("pairs of {} and {} values", a.len(), b.len()),
            "give both sides the same values in the same order, or compare without pairs",
        );
    }
    if !(options.confidence > 0.0 && options.confidence < 1.0) {
        return refuse(
            format!("a confidence of {}", options.confidence),
            "give a fraction between 0 and 1, e.g. 0.95",
        );
    }
    if options.resamples < 100 {
        return refuse(
            format!("{} resamples", options.resamples),
            "give at least 100; 10000 is usual",
        );
    }
    Ok(())
}

/// Interval around the difference of means.
fn student_difference(a: &[f64], b: &[f64], paired: bool, confidence: f64) -> Interval {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (middle, error, df, method) = if paired {
        let n = differences.len() as f64;
        let (mean, variance) = mean_and_variance(&differences);
        (mean, (variance / n).sqrt(), n - 1.0, "paired t")
    } else {
        let (error, df) = welch_error(a, b);
        let difference = mean_and_variance(a).0 - mean_and_variance(b).0;
        (difference, error, df, "welch")
    };
    let half = reach(confidence, df) * error;
    Interval {
        low: middle - half,
        high: middle + half,
        method,
    }
}

/// Interval around the ratio of means, minus 1: all ratios that the test of means does not reject (Fieller 1954). It
/// contains 0 exactly if the test finds no significant difference. `None` if the second mean does not differ
/// significantly from 0.
fn student_relative(a: &[f64], b: &[f64], paired: bool, confidence: f64) -> Option<Interval> {
    let ((mean_a, var_a), (mean_b, var_b)) = (mean_and_variance(a), mean_and_variance(b));
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let (common, df, method) = if paired {
        let product = |(a, b): (&f64, &f64)| (a - mean_a) * (b - mean_b);
        let sum: f64 = a.iter().zip(b).map(product).sum();
        (sum / (na - 1.0) / na, na - 1.0, "paired t, fieller")
    } else {
        (0.0, welch_error(a, b).1, "welch, fieller")
    };
    let t = reach(confidence, df);
    // Roots of second r^2 - 2 middle r + first.
    let first = mean_a * mean_a - t * t * var_a / na;
    let middle = mean_a * mean_b - t * t * common;
    let second = mean_b * mean_b - t * t * var_b / nb;
    let root = (middle * middle - first * second).max(0.0).sqrt();
    (second > 0.0).then(|| Interval {
        low: (middle - root) / second - 1.0,
        high: (middle + root) / second - 1.0,
        method,
    })
}

/// Adjusts several p-values by Holm's method (1979), so that the probability of any false positive stays that of one
/// test.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[*index]).min(1.0);
        adjusted[*index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use crate::base::random::stream;
    use crate::metrics::statistics::compare::*;
    use rand_distr::{Distribution, Normal};

    fn normal(seed: u64, name: &str, mean: f64, deviation: f64, n: usize) -> Vec<f64> {
        let mut random = stream(seed, name, 0);
        let normal = Normal::new(mean, deviation).expect("a distribution");
        (0..n).map(|_| normal.sample(&mut random)).collect()
    }

    /// Fraction of 1000 pairs of samples whose difference is significant.
    fn told(effect: f64, n: usize, options: &Options) -> f64 {
        let runs = 1000;
        let found = (0..runs).filter(|run| {
            let a = normal(*run, "a", 10.0 + effect, 1.0, n);
            let mut b = normal(*run, "b", 10.0, 1.0, n);
            if options.paired {
                // Most of the variance is common to both values of a pair.
                let both = normal(*run, "both", 0.0, 5.0, n);
                let a: Vec<f64> = a.iter().zip(&both).map(|(a, c)| a + c).collect();
                b = b.iter().zip(&both).map(|(b, c)| b + c).collect();
                return compare(&a, &b, options).expect("compares").is_significant();
            }
            compare(&a, &b, options).expect("compares").is_significant()
        });
        found.count() as f64 / runs as f64
    }

    #[test]
    fn no_effect_is_found_no_oftener_than_alpha_says_and_large_ones_always() {
        for statistic in [
            Statistic::Mean,
            Statistic::Quantile(0.5),
            Statistic::Quantile(0.9),
        ] {
            for paired in [false, true] {
                let options = Options {
                    statistic,
                    paired,
                    resamples: 300,
                    ..Options::default()
                };
                if paired && matches!(statistic, Statistic::Quantile(q) if q != 0.5) {
                    // The common part of the pairs contributes to the quantile's own error.
                    continue;
                }
                // 5 %, plus three standard errors of 1000 runs.
                let wrong = told(0.0, 40, &options);
                assert!(wrong < 0.05 + 0.021, "{options:?}: {wrong}");
                // d = 2 (1.4 for pairs) is nearly always significant; d = 0.5 is often not.
                let large = told(2.0, 40, &options);
                assert!(large > 0.99, "{options:?}: {large}");
                let small = told(0.5, 40, &options);
                assert!((0.2..0.9).contains(&small), "{options:?}: {small}");
            }
        }
    }

    #[test]
    fn power_is_what_the_formula_says() {
        // d = 0.5 with 64 on each side: power 0.80 (Cohen 1988, table 2.3.5).
        let options = Options {
            resamples: 100,
            ..Options::default()
        };
        let power = told(0.5, 64, &options);
        assert!((power - 0.80).abs() < 0.04, "{power}");
    }

    #[test]
    fn ten_comparisons_err_no_oftener_than_one() {
        let options = Options {
            resamples: 100,
            ..Options::default()
        };
        let wrong = (0..300u64).filter(|run| {
            let base = normal(*run, "base", 10.0, 1.0, 30);
            let p: Vec<f64> = (0..10)
                .map(|other| {
                    let other = normal(*run * 10 + other, "other", 10.0, 1.0, 30);
                    compare(&other, &base, &options).expect("compares").p
                })
                .collect();
            holm(&p).iter().any(|p| *p < 0.05)
        });
        let part = wrong.count() as f64 / 300.0;
        assert!(part < 0.05 + 0.038, "{part}");
    }

    #[test]
    fn holm_by_hand() {
        // 0.01 x 4, 0.02 x 3, max with 0.03 x 2, then 0.5.
        let adjusted = holm(&[0.02, 0.01, 0.5, 0.03]);
        for (found, expected) in adjusted.iter().zip([0.06, 0.04, 0.5, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn few_values_get_students_interval() {
        // Differences 1, 2, 3: mean 2, error 1 / sqrt(3), t(2) at 97.5 % is 4.3027.
        let options = Options {
            paired: true,
            ..Options::default()
        };
        let found = compare(&[11.0, 12.0, 13.0], &[10.0, 10.0, 10.0], &options).expect("compares");
        let half = 4.302_652_729_911_275 / 3f64.sqrt();
        assert!((found.difference_interval.low - (2.0 - half)).abs() < 1e-9);
        // The second sample is constant, so the ratio's interval is the difference's divided by 10.
        let relative = found.relative_interval.expect("is known");
        assert!((relative.high - (0.2 + half / 10.0)).abs() < 1e-9);
    }

    #[test]
    fn the_interval_holds_no_change_exactly_where_none_is_told() {
        let (mut told, mut unknown) = (0, 0);
        for run in 0..500u64 {
            for paired in [false, true] {
                let options = Options {
                    paired,
                    resamples: 100,
                    ..Options::default()
                };
                let a = normal(run, "a", 5.0, 1.5, 5);
                let b = normal(run, "b", 3.5, 1.5, 5);
                let found = compare(&a, &b, &options).expect("compares");
                let Some(interval) = found.relative_interval else {
                    unknown += 1;
                    continue;
                };
                let outside = interval.low > 0.0 || interval.high < 0.0;
                assert_eq!(outside, found.is_significant(), "{run} {paired}: {found:?}");
                told += u32::from(outside);
            }
        }
        assert!(
            (100..900).contains(&told) && unknown < 100,
            "{told} {unknown}"
        );
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let options = Options::default();
        for (a, b, options) in [
            (&[1.0][..], &[1.0, 2.0][..], options),
            (&[1.0, f64::NAN], &[1.0, 2.0], options),
            (
                &[1.0, 2.0],
                &[1.0, 2.0, 3.0],
                Options {
                    paired: true,
                    ..options
                },
            ),
            (
                &[1.0, 2.0],
                &[1.0, 2.0],
                Options {
                    confidence: 1.0,
                    ..options
                },
            ),
            (
                &[1.0, 2.0],
                &[1.0, 2.0],
                Options {
                    resamples: 5,
                    ..options
                },
            ),
        ] {
            assert!(compare(a, b, &options).is_err(), "{a:?} {b:?}");
        }
    }
}
