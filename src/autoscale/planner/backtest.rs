//! Errors that predictors would have had on a series.

use serde::Serialize;

use super::predictor::{self, PredictorOptions};
use crate::base::error::Result;
use crate::base::registry::Named;

/// Number of first intervals whose predictions are not counted, because predictors have no history yet.
pub const WARM_UP: usize = 5;

/// Errors of one predictor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Name of the predictor.
    pub predictor: String,
    /// Number of predictions that count.
    pub predictions: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean of prediction minus value: above 0 it predicts too much.
    pub bias: f64,
}

/// One-step predictions of a series, from the second value on.
///
/// # Errors
/// As [`predictor::by_name`].
pub fn predictions(name: &str, options: &PredictorOptions, series: &[f64]) -> Result<Vec<f64>> {
    let mut predictor = predictor::by_name(name, options)?;
    let mut out = Vec::with_capacity(series.len());
    for value in series {
        predictor.observe(*value);
        out.push(predictor.predict());
    }
    out.pop();
    Ok(out)
}

/// Errors of one predictor on the values from [`WARM_UP`] on.
///
/// # Errors
/// As [`predictor::by_name`].
pub fn score(name: &str, options: &PredictorOptions, series: &[f64]) -> Result<Score> {
    let foretold = predictions(name, options, series)?;
    let errors: Vec<f64> = foretold
        .iter()
        .zip(series.iter().skip(1))
        .skip(WARM_UP - 1)
        .map(|(foretold, value)| foretold - value)
        .collect();
    let count = errors.len().max(1) as f64;
    let mean = |f: fn(f64) -> f64| errors.iter().map(|e| f(*e)).sum::<f64>() / count;
    Ok(Score {
        predictor: name.to_owned(),
        predictions: errors.len(),
        mae: mean(f64::abs),
        rmse: mean(|e| e * e).sqrt(),
        bias: mean(|e| e),
    })
}

/// Errors of all predictors, and of the variants that follow Dynamo's rules.
///
/// # Errors
/// As [`predictor::by_name`].
pub fn scores(options: &PredictorOptions, series: &[f64]) -> Result<Vec<Score>> {
    let mut out = Vec::new();
    for entry in &predictor::PREDICTORS {
        out.push(score(entry.name(), options, series)?);
    }
    let dynamo = PredictorOptions {
        arima_frozen_order: true,
        prophet_minimum_points: 5,
        prophet_falls_back_to_last: true,
        ..options.clone()
    };
    for name in ["arima", "prophet"] {
        out.push(Score {
            predictor: format!("{name} (dynamo)"),
            ..score(name, &dynamo, series)?
        });
    }
    Ok(out)
}

/// Requests per interval. Only complete intervals count; the trace ends within the last one.
pub fn counts(arrivals_sec: impl IntoIterator<Item = f64>, interval_sec: f64) -> Vec<f64> {
    let mut out: Vec<f64> = Vec::new();
    for arrival in arrivals_sec {
        let bin = (arrival / interval_sec).max(0.0) as usize;
        if out.len() <= bin {
            out.resize(bin + 1, 0.0);
        }
        out[bin] += 1.0;
    }
    out.pop();
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::backtest::*;

    #[test]
    fn by_hand() {
        let series = [9.0, 9.0, 9.0, 9.0, 4.0, 6.0, 3.0, 3.0];
        let score = score("constant", &PredictorOptions::default(), &series).unwrap();
        // For 6, 3, 3 it predicts 4, 6, 3: errors -2, 3, 0.
        assert_eq!(score.predictions, 3);
        assert!((score.mae - 5.0 / 3.0).abs() < 1e-12);
        assert!((score.rmse - (13.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((score.bias - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn empty_intervals_are_intervals() {
        let counts = counts([0.0, 1.0, 59.0, 185.0, 200.0, 241.0], 60.0);
        assert_eq!(counts, [3.0, 0.0, 0.0, 2.0]);
        assert!(super::counts([], 60.0).is_empty());
    }

    #[test]
    fn short_series_have_no_errors() {
        let options = PredictorOptions::default();
        for score in scores(&options, &[3.0, 4.0]).unwrap() {
            assert_eq!((score.predictions, score.mae), (0, 0.0));
        }
    }
}
