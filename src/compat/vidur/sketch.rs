//! Quantiles of one column in Vidur's format, from a DDSketch (Masson, Rim, Lee, VLDB 2019) with logarithmic buckets.

use std::collections::BTreeMap;

/// Relative error of a quantile, as in Vidur.
const ACCURACY: f64 = 0.001;

/// Counts of values by bucket; values must not be negative.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    zeros: u64,
    buckets: BTreeMap<i64, u64>,
    count: u64,
}

/// Ratio of the upper to the lower bound of a bucket.
fn gamma() -> f64 {
    1.0 + 2.0 * ACCURACY / (1.0 - ACCURACY)
}

/// Number of buckets per doubling of the value.
fn per_doubling() -> f64 {
    libm::log(2.0) / libm::log1p(2.0 * ACCURACY / (1.0 - ACCURACY))
}

impl Sketch {
    /// Counts a value.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        if value > f64::MIN_POSITIVE * gamma() {
            let key = (libm::log(value) / libm::log(2.0) * per_doubling()).ceil();
            *self.buckets.entry(key as i64).or_default() += 1;
        } else {
            self.zeros += 1;
        }
    }

    /// Number of values counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Quantiles 0.00 to 1.00, each the middle of the bucket that holds the value of that rank.
    pub(super) fn percentiles(&self) -> Vec<(f64, f64)> {
        let last = self.count.saturating_sub(1) as f64;
        let quantile = |index: u32| {
            let part = f64::from(index) * 0.01;
            (part, self.at(part * last))
        };
        (0..=100).map(quantile).collect()
    }

    fn at(&self, rank: f64) -> f64 {
        if rank < self.zeros as f64 {
            return 0.0;
        }
        let mut below = self.zeros as f64;
        let mut found = 0;
        for (key, count) in &self.buckets {
            below += *count as f64;
            found = *key;
            if below > rank {
                break;
            }
        }
        libm::pow(2.0, found as f64 / per_doubling()) * (2.0 / (1.0 + gamma()))
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::vidur::sketch::*;

    #[test]
    fn quantiles_are_middles_of_buckets() {
        let mut sketch = Sketch::default();
        // Two zeros, one 1, one 4: ranks 0 to 3, and quantile q is at rank 3 q.
        for value in [4.0, 0.0, 1.0, 0.0] {
            sketch.add(value);
        }
        let got = sketch.percentiles();
        assert_eq!(got.len(), 101);
        // Rank 1.98 is below 2 and still a zero. Rank 2.01 is the 1, and rank 3 the 4.
        assert_eq!(got[66].1, 0.0);
        // 1 is the upper bound of bucket 0, whose middle is 2 / (1 + gamma) = 0.999.
        assert!((got[67].1 - 0.999).abs() < 1e-12);
        assert!((got[100].1 / 4.0 - 1.0).abs() <= ACCURACY);
    }
}
