//! How often a series must be differenced: the test of Kwiatkowski, Phillips, Schmidt and Shin (J. Econometrics 54, 1992) for a
//! steady level.

/// The statistic's value that a steady series exceeds in 5 % of all cases (their table 1).
const CRITICAL: f64 = 0.463;

/// Times to difference, at most 2.
pub(super) fn differences(values: &[f64]) -> usize {
    let mut series = values.to_vec();
    for d in 0..2 {
        if is_constant(&series) || statistic(&series) <= CRITICAL {
            return d;
        }
        series = difference(&series);
    }
    2
}

/// The steps from each value to the next.
pub(super) fn difference(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Squared partial sums of the residuals, over their long-run variance with a Bartlett window.
fn statistic(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let residuals: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let mut sum = 0.0;
    let mut squares = 0.0;
    for residual in &residuals {
        sum += residual;
        squares += sum * sum;
    }
    // The short lag of R's tseries, which pmdarima takes, too.
    let lags = (3.0 * count.sqrt() / 13.0) as usize;
    let covariance = |lag: usize| -> f64 {
        residuals[lag..]
            .iter()
            .zip(&residuals)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            / count
    };
    let mut variance = covariance(0);
    for lag in 1..=lags.min(values.len() - 1) {
        variance += 2.0 * (1.0 - lag as f64 / (lags as f64 + 1.0)) * covariance(lag);
    }
    squares / (count * count * variance)
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::arima::kpss::*;

    #[test]
    fn by_hand() {
        // Residuals -1, 0, 1: partial sums -1, -1, 0, squares 2; variance 2/3; 2 / (9 x 2/3).
        assert!((statistic(&[1.0, 2.0, 3.0]) - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn a_steady_series_is_left_and_a_line_is_differenced() {
        let steady: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 13)).collect();
        assert_eq!(differences(&steady), 0);
        let line: Vec<f64> = (0..40)
            .map(|i| f64::from(i) + f64::from(i * 7 % 13))
            .collect();
        assert_eq!(differences(&line), 1);
        let exact: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(differences(&exact), 1);
    }
}
