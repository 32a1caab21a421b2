//! A sample with what several comparisons of it need, computed once.

use super::mean_and_variance;
use crate::base::sorting::sort_floats;

/// A sample, its values in ascending order, and their mean and variance.
#[derive(Debug, Clone, PartialEq)]
pub struct SortedSample {
    values: Vec<f64>,
    sorted: Vec<f64>,
    mean: f64,
    variance: f64,
}

impl SortedSample {
    /// Sorts a copy of the values.
    pub fn new(values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sort_floats(&mut sorted);
        Self::of_sorted(values, sorted)
    }

    /// Takes values and the same values in ascending order.
    pub(super) fn of_sorted(values: Vec<f64>, sorted: Vec<f64>) -> Self {
        let (mean, variance) = mean_and_variance(&values);
        Self {
            values,
            sorted,
            mean,
            variance,
        }
    }

    /// The values in their own order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values in ascending order.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Arithmetic mean, and the sample variance.
    pub fn mean_and_variance(&self) -> (f64, f64) {
        (self.mean, self.variance)
    }
}
