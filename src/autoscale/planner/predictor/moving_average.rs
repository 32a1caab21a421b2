//! Predicts the mean of the last values.

use super::{LoadPredictor, PredictorCard, PredictorOptions, Series};

/// Name and summary.
pub(super) const CARD: PredictorCard =
    PredictorCard::new("moving_average", "the mean of the window", |options| {
        Box::new(MovingAverage::new(options))
    });

/// The mean of the window.
#[derive(Debug)]
pub struct MovingAverage(Series);

impl MovingAverage {
    /// Creates the predictor over `window` values.
    pub fn new(options: &PredictorOptions) -> Self {
        Self(Series::new(options.window))
    }
}

impl LoadPredictor for MovingAverage {
    fn observe(&mut self, value: f64) {
        self.0.push(value);
    }

    fn predict(&mut self) -> f64 {
        self.0.mean()
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::moving_average::*;

    #[test]
    fn old_values_leave() {
        let mut predictor = MovingAverage::new(&PredictorOptions {
            window: 3,
            ..PredictorOptions::default()
        });
        let mut next = Vec::new();
        for value in [6.0, 0.0, 3.0, 9.0] {
            predictor.observe(value);
            next.push(predictor.predict());
        }
        // 6, (6 + 0) / 2, (6 + 0 + 3) / 3, (0 + 3 + 9) / 3
        assert_eq!(next, [6.0, 3.0, 3.0, 4.0]);
    }
}
