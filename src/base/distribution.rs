//! A distribution of values in eleven numbers.

use serde::{Deserialize, Serialize};

pub use super::quantile::percentile_sorted;
use super::quantile::{between, ranks};
use super::sorting::sort_floats;

/// Count, mean, extremes and percentiles of a set of values. For an empty set the count is 0 and every figure is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Distribution {
    /// Number of values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// 5th percentile.
    pub p5: Option<f64>,
    /// 25th percentile.
    pub p25: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 75th percentile.
    pub p75: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
}

impl Distribution {
    /// Computes the distribution of values, which are sorted in place. Quantiles are numpy's, see [`super::quantile`].
    pub fn from_values(values: &mut [f64]) -> Self {
        sort_floats(values);
        let count = values.len() as u64;
        Self::build(count, values.iter().sum(), |q| percentile_sorted(values, q))
    }

    /// Computes the distribution of weighted values, given as pairs of value and count, which are sorted in place.
    pub fn from_weighted(pairs: &mut [(f64, u64)]) -> Self {
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut ends = Vec::with_capacity(pairs.len());
        let mut count = 0;
        let mut sum = 0.0;
        for (value, weight) in pairs.iter() {
            count += weight;
            sum += value * *weight as f64;
            ends.push(count);
        }
        let value_at = |rank: u64| pairs[ends.partition_point(|end| *end <= rank)].0;
        Self::build(count, sum, |q: f64| {
            (count > 0).then(|| {
                let (low, high, fraction) = ranks(count as usize, q);
                between(value_at(low as u64), value_at(high as u64), fraction)
            })
        })
    }

    fn build(count: u64, sum: f64, at: impl Fn(f64) -> Option<f64>) -> Self {
        Self {
            count,
            mean: (count > 0).then(|| sum / count as f64),
            min: at(0.0),
            p5: at(0.05),
            p25: at(0.25),
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::distribution::*;
    use proptest::prelude::*;

    #[test]
    fn as_numpy() {
        // numpy.percentile([1, 2, 4, 8], [25, 50, 90]) = 1.75, 3.0, 6.8
        let found = Distribution::from_values(&mut [8.0, 1.0, 4.0, 2.0]);
        assert_eq!(
            [found.p25, found.p50, found.min, found.max],
            [1.75, 3.0, 1.0, 8.0].map(Some)
        );
        assert!((found.p90.expect("four values") - 6.8).abs() < 1e-12);
    }

    #[test]
    fn no_values_have_no_figures() {
        for found in [
            Distribution::from_values(&mut []),
            Distribution::from_weighted(&mut []),
            Distribution::from_weighted(&mut [(3.0, 0)]),
        ] {
            assert_eq!(found, Distribution::default());
            let json = serde_json::to_value(found).expect("JSON");
            assert_eq!(json["count"], 0);
            for name in [
                "mean", "min", "p5", "p25", "p50", "p75", "p90", "p95", "p99", "max",
            ] {
                assert_eq!(json[name], serde_json::Value::Null, "{name}");
            }
        }
        assert_eq!(percentile_sorted(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn weights_stand_for_repeats(pairs in prop::collection::vec((0u32..50, 1u64..5), 1..40)) {
            let mut flat = Vec::new();
            for (value, weight) in &pairs {
                flat.extend(std::iter::repeat_n(f64::from(*value), *weight as usize));
            }
            let mut pairs: Vec<_> = pairs.into_iter().map(|(v, w)| (f64::from(v), w)).collect();
            let (a, b) = (Distribution::from_weighted(&mut pairs), Distribution::from_values(&mut flat));
            prop_assert_eq!(a.count, b.count);
            for (x, y) in [(a.mean, b.mean), (a.p5, b.p5), (a.p50, b.p50), (a.p99, b.p99), (a.max, b.max)] {
                let (x, y) = (x.expect("values"), y.expect("values"));
                prop_assert!((x - y).abs() < 1e-9, "{} {}", x, y);
            }
        }
    }
}
