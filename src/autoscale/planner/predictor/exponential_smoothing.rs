//! Exponential smoothing: a mean in which older values weigh less.

use super::{LoadPredictor, PredictorCard, PredictorOptions, Series};

/// Name and summary.
pub(super) const CARD: PredictorCard = PredictorCard::new(
    "exponential_smoothing",
    "a mean in which the newest value weighs most",
    |options| Box::new(ExponentialSmoothing::new(options)),
);

/// s = v0, then s = alpha v + (1 - alpha) s over the window.
#[derive(Debug)]
pub struct ExponentialSmoothing {
    series: Series,
    alpha: f64,
}

impl ExponentialSmoothing {
    /// Creates the predictor, with `alpha` over `window` values.
    pub fn new(options: &PredictorOptions) -> Self {
        Self {
            series: Series::new(options.window),
            alpha: options.alpha,
        }
    }
}

impl LoadPredictor for ExponentialSmoothing {
    fn observe(&mut self, value: f64) {
        self.series.push(value);
    }

    fn predict(&mut self) -> f64 {
        let alpha = self.alpha;
        self.series
            .values()
            .iter()
            .copied()
            .reduce(|smooth, value| alpha * value + (1.0 - alpha) * smooth)
            .unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::exponential_smoothing::*;

    #[test]
    fn by_hand() {
        let mut predictor = ExponentialSmoothing::new(&PredictorOptions {
            window: 3,
            alpha: 0.5,
            ..PredictorOptions::default()
        });
        let mut next = Vec::new();
        for value in [8.0, 4.0, 2.0, 6.0] {
            predictor.observe(value);
            next.push(predictor.predict());
        }
        // 8; 4/2 + 8/2; 2/2 + 6/2; without the 8: 4, then 2/2 + 4/2, then 6/2 + 3/2.
        assert_eq!(next, [8.0, 6.0, 4.0, 4.5]);
    }
}
