//! Student's t tests: of two samples with unequal variances (Welch 1947), and of pairs.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::beta_reg;

use super::{Test, mean_and_variance};

/// Two-sided probability of a t at least this far from 0.
fn two_sided(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    if !(t.is_finite() && df > 0.0) {
        return 1.0;
    }
    let part = df / (df + t * t);
    // Computes the smaller tail of the beta distribution directly, so that it is not lost in rounding.
    if part > 0.0 {
        beta_reg(df / 2.0, 0.5, part)
    } else {
        0.0
    }
}

/// A difference divided by its standard error; 0 for equal constants.
fn ratio(difference: f64, error: f64) -> f64 {
    if difference == 0.0 {
        0.0
    } else {
        difference / error
    }
}

/// Standard error of the difference of means, and Welch's degrees of freedom (Satterthwaite 1946).
pub(super) fn welch_error(a: &[f64], b: &[f64]) -> (f64, f64) {
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let (a, b) = (mean_and_variance(a).1 / na, mean_and_variance(b).1 / nb);
    let both = a + b;
    let df = both * both / (a * a / (na - 1.0) + b * b / (nb - 1.0));
    let most = na + nb - 2.0;
    (both.sqrt(), if df.is_finite() { df } else { most })
}

/// Welch's test of two means; each sample needs two values.
pub fn welch(a: &[f64], b: &[f64]) -> Test {
    let (error, df) = welch_error(a, b);
    let t = ratio(mean_and_variance(a).0 - mean_and_variance(b).0, error);
    Test {
        name: "welch",
        statistic: t,
        df: Some(df),
        p: two_sided(t, df),
    }
}

/// Student's t test of the differences of pairs; needs at least two pairs.
pub fn paired_t(a: &[f64], b: &[f64]) -> Test {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let n = differences.len() as f64;
    let (mean, variance) = mean_and_variance(&differences);
    let t = ratio(mean, (variance / n).sqrt());
    Test {
        name: "paired t",
        statistic: t,
        df: Some(n - 1.0),
        p: two_sided(t, n - 1.0),
    }
}

/// Half-width of a confidence interval, in standard errors.
pub(super) fn reach(confidence: f64, df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |t| t.inverse_cdf(f64::midpoint(1.0, confidence)))
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::student::*;

    /// Values of scipy 1.17: `ttest_ind(a, b, equal_var=False)`, `ttest_rel(a, b)`.
    #[test]
    fn as_scipy() {
        let a = [3.1, 2.4, 5.6, 4.4, 3.9];
        let b = [2.0, 2.2, 4.9, 3.0, 3.5];
        let test = welch(&a, &b);
        assert!(
            (test.statistic - 1.004_181_202_905_210_6).abs() < 1e-12,
            "{test:?}"
        );
        assert!(
            (test.p - 0.344_772_082_094_011_45).abs() < 1e-12,
            "{test:?}"
        );
        let test = paired_t(&a, &b);
        assert!(
            (test.statistic - 3.447_430_008_361_508).abs() < 1e-12,
            "{test:?}"
        );
        assert!(
            (test.p - 0.026_115_711_656_460_15).abs() < 1e-12,
            "{test:?}"
        );
    }

    #[test]
    fn constants() {
        assert_eq!(welch(&[1.0, 1.0], &[1.0, 1.0]).p, 1.0);
        assert_eq!(welch(&[1.0, 1.0], &[2.0, 2.0]).p, 0.0);
        assert_eq!(paired_t(&[1.0, 2.0], &[1.0, 2.0]).p, 1.0);
    }
}
