//! Cumulative histograms as engines export them: the number of values up to each of several fixed bounds.

use serde::{Deserialize, Serialize};

/// vLLM's bounds for the times of its KV blocks, in seconds (`vllm/v1/metrics/loggers.py`, 0.33).
pub const BLOCK_SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 1200.0, 1800.0,
];

/// A Prometheus histogram of all values, without sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Pairs of an upper bound and the number of values up to it; values above the last bound count in `count` only.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}

impl Histogram {
    /// Creates a histogram of pairs of a value and its number of occurrences.
    pub fn new(bounds: &[f64], values: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let mut buckets: Vec<(f64, u64)> = bounds.iter().map(|bound| (*bound, 0)).collect();
        let (mut sum, mut count) = (0.0, 0);
        for (value, weight) in values {
            let first = bounds.partition_point(|bound| *bound < value);
            if let Some((_, number)) = buckets.get_mut(first) {
                *number += weight;
            }
            sum += value * weight as f64;
            count += weight;
        }
        let mut below = 0;
        for (_, number) in &mut buckets {
            below += *number;
            *number = below;
        }
        Self {
            buckets,
            sum,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::histogram::*;

    #[test]
    fn bounds_belong_to_their_bucket() {
        let histogram = Histogram::new(&[1.0, 2.0], [(1.0, 3), (1.5, 1), (2.0, 1), (9.0, 2)]);
        assert_eq!(histogram.buckets, [(1.0, 3), (2.0, 5)]);
        assert_eq!((histogram.count, histogram.sum), (7, 24.5));
        assert_eq!(Histogram::new(BLOCK_SECONDS, []).buckets.len(), 21);
    }
}
