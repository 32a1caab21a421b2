//! Effect sizes, which measure a difference independently of the number of values.

use serde::Serialize;
use statrs::function::gamma::ln_gamma;

use super::sample::SortedSample;
use super::u_test::mann_whitney_sorted;

/// Effect sizes of a first sample against a second; they are below 0 if the first has the smaller values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// Difference of means / pooled standard deviation (Cohen's d).
    pub cohens_d: f64,
    /// Cohen's d with a correction for its bias in small samples (Hedges' g).
    pub hedges_g: f64,
    /// Fraction of pairs with the larger value in the first sample, minus the fraction with it in the second (Cliff's
    /// delta).
    pub cliffs_delta: f64,
    /// Difference of means / second mean.
    pub relative: f64,
}

/// Computes the effect sizes; each sample needs two values.
pub fn effect(a: &[f64], b: &[f64]) -> Effect {
    let (a, b) = (SortedSample::new(a.to_vec()), SortedSample::new(b.to_vec()));
    effect_of_sorted(
        &a,
        &b,
        mann_whitney_sorted(a.sorted(), b.sorted()).statistic,
    )
}

/// The same of samples whose U is known.
pub(super) fn effect_of_sorted(a: &SortedSample, b: &SortedSample, u: f64) -> Effect {
    let (na, nb) = (a.values().len() as f64, b.values().len() as f64);
    let ((mean_a, var_a), (mean_b, var_b)) = (a.mean_and_variance(), b.mean_and_variance());
    let df = na + nb - 2.0;
    let pooled = (((na - 1.0) * var_a + (nb - 1.0) * var_b) / df).sqrt();
    let difference = mean_a - mean_b;
    let cohens_d = if difference == 0.0 {
        0.0
    } else {
        difference / pooled
    };
    let correction = (ln_gamma(df / 2.0) - ln_gamma((df - 1.0) / 2.0)).exp() / (df / 2.0).sqrt();
    Effect {
        cohens_d,
        hedges_g: cohens_d * correction,
        cliffs_delta: 2.0 * u / (na * nb) - 1.0,
        relative: difference / mean_b,
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::effect::*;

    #[test]
    fn by_hand() {
        // Means 2 and 4, variances 1 and 1: d = -2, and J(4) = gamma(2) / (sqrt(2) gamma(1.5)) = 0.797885.
        let found = effect(&[1.0, 2.0, 3.0], &[3.0, 4.0, 5.0]);
        assert!((found.cohens_d + 2.0).abs() < 1e-12);
        assert!((found.hedges_g + 1.595_769_121_605_731).abs() < 1e-12);
        // Of nine pairs, eight have the larger value in the second sample, and one is equal.
        assert!((found.cliffs_delta + 8.0 / 9.0).abs() < 1e-12);
        assert!((found.relative + 0.5).abs() < 1e-12);
    }
}
