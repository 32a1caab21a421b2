//! Predicts the last value.

use super::{LoadPredictor, PredictorCard, Series};

/// Name and summary.
pub(super) const CARD: PredictorCard =
    PredictorCard::new("constant", "the last value", |_| Box::<Constant>::default());

/// The last value.
#[derive(Debug)]
pub struct Constant(Series);

impl Default for Constant {
    fn default() -> Self {
        Self(Series::new(1))
    }
}

impl LoadPredictor for Constant {
    fn observe(&mut self, value: f64) {
        self.0.push(value);
    }

    fn predict(&mut self) -> f64 {
        self.0.last()
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::constant::*;

    #[test]
    fn the_last_value_counts() {
        let mut predictor = Constant::default();
        predictor.observe(3.0);
        assert_eq!(predictor.predict(), 3.0);
        // Nothing measured is nothing that came.
        predictor.observe(f64::NAN);
        assert_eq!(predictor.predict(), 0.0);
    }
}
