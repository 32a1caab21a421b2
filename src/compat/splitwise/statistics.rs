//! The eleven statistics of `utils.py`, with the summation and interpolation of numpy.

use serde::Serialize;

use crate::base::quantile::{median, percentile_sorted};

/// Statistics of one metric over all completed requests; NaN if no request completed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistics {
    /// Arithmetic mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Median.
    pub median: f64,
    /// 50th percentile, linear between ranks.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Geometric mean; 0 if any value is 0.
    pub geomean: f64,
}

impl Statistics {
    /// Names in the order of the columns.
    pub const NAMES: [&str; 11] = [
        "mean", "std", "min", "max", "median", "p50", "p90", "p95", "p99", "p999", "geomean",
    ];

    /// Values in the order of [`Self::NAMES`].
    pub fn values(&self) -> [f64; 11] {
        [
            self.mean,
            self.std,
            self.min,
            self.max,
            self.median,
            self.p50,
            self.p90,
            self.p95,
            self.p99,
            self.p999,
            self.geomean,
        ]
    }
}

/// Computes the statistics of `values`.
pub fn statistics(values: &[f64]) -> Statistics {
    let count = values.len() as f64;
    let mean = sum(values) / count;
    let squares: Vec<f64> = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .collect();
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let percentile = |percent: f64| percentile_sorted(&sorted, percent / 100.0).unwrap_or(f64::NAN);
    Statistics {
        mean,
        std: (sum(&squares) / count).sqrt(),
        min: sorted.first().copied().unwrap_or(f64::NAN),
        max: sorted.last().copied().unwrap_or(f64::NAN),
        median: median(&sorted).unwrap_or(f64::NAN),
        p50: percentile(50.0),
        p90: percentile(90.0),
        p95: percentile(95.0),
        p99: percentile(99.0),
        p999: percentile(99.9),
        geomean: (sum(&logarithms) / count).exp(),
    }
}

/// Sums as numpy does: buffers of 8192 values, one after the other.
fn sum(values: &[f64]) -> f64 {
    values
        .chunks(8192)
        .fold(0.0, |total, chunk| total + pairwise(chunk))
}

/// Splits a range in half down to blocks of 128 values, which are summed in eight lanes.
fn pairwise(values: &[f64]) -> f64 {
    match values.len() {
        0..8 => values.iter().sum(),
        8..=128 => {
            let (chunks, rest) = values.as_chunks::<8>();
            let mut lanes = [0.0; 8];
            for (index, chunk) in chunks.iter().enumerate() {
                for (lane, value) in lanes.iter_mut().zip(chunk) {
                    *lane = if index == 0 { *value } else { *lane + value };
                }
            }
            let [a, b, c, d, e, f, g, h] = lanes;
            let total = ((a + b) + (c + d)) + ((e + f) + (g + h));
            rest.iter().fold(total, |total, value| total + value)
        }
        long => {
            let half = long / 2;
            let (first, second) = values.split_at(half - half % 8);
            pairwise(first) + pairwise(second)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::statistics::*;

    /// Figures that numpy 1.26 and scipy print for 0.1, 0.2, ... 1.0.
    #[test]
    fn of_ten_values() {
        let values: Vec<f64> = (1..=10).map(|tenth| f64::from(tenth) / 10.0).collect();
        let found = statistics(&values);
        assert_eq!(found.mean, 0.55);
        assert_eq!((found.min, found.max, found.median), (0.1, 1.0, 0.55));
        assert!((found.std - 0.287_228_132_326_901_4).abs() < 1e-15);
        assert!((found.p90 - 0.91).abs() < 1e-15);
        assert!((found.p999 - 0.9991).abs() < 1e-15);
        assert!((found.geomean - 0.452_872_868_811_677_4).abs() < 1e-12);
    }

    #[test]
    fn of_none_and_of_zeros() {
        assert!(statistics(&[]).values().iter().all(|value| value.is_nan()));
        assert_eq!(statistics(&[0.0, 1.0]).geomean, 0.0);
    }

    /// 2^53 and ones: a plain sum from the left would lose every one.
    #[test]
    fn sums_in_lanes() {
        let mut values = vec![1.0; 129];
        values[0] = 9_007_199_254_740_992.0;
        assert!(sum(&values) > 9_007_199_254_741_000.0);
    }
}
