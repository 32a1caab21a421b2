//! Comparison of two samples: significance tests, confidence intervals, effect sizes, and a sentence with the result.

mod bootstrap;
mod compare;
mod effect;
mod exact;
mod finding;
mod jackknife;
mod sample;
mod shared;
mod signed_rank;
mod student;
mod u_test;

pub use bootstrap::{
    Contrast, Interval, Resamples, Statistic, bca, draw, percentile_interval, two_sided,
};
pub use compare::{Comparison, Options, Sample, Threshold, compare, compare_resampled, holm};
pub use effect::{Effect, effect};
pub use exact::exact_mean;
pub use finding::{Finding, p_text, sentence};
pub use sample::SortedSample;
pub use shared::{SharedPair, SharedSample, independent_means, shared_means};
pub use signed_rank::signed_rank;
pub use student::{paired_t, welch};
pub use u_test::{mann_whitney, midranks};

use serde::Serialize;

/// Result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Test {
    /// Name of the test.
    pub name: &'static str,
    /// Test statistic: t, U of the first sample, or W.
    pub statistic: f64,
    /// Degrees of freedom; only for tests that have them.
    pub df: Option<f64>,
    /// Two-sided p-value.
    pub p: f64,
}

/// Arithmetic mean, and the sample variance (divided by n - 1).
pub fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    // The second sum corrects the rounding error of the mean (Chan, Golub and LeVeque 1983).
    let (mut squares, mut rest) = (0.0, 0.0);
    for value in values {
        let off = value - mean;
        squares += off * off;
        rest += off;
    }
    (mean, (squares - rest * rest / n) / (n - 1.0))
}
