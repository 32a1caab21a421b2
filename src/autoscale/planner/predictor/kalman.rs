//! A Kalman filter for level and trend (Dynamo's `KalmanPredictor`; the local linear trend model of Harvey, 1989).

use super::{LoadPredictor, PredictorCard, PredictorOptions, Series};

/// Name and summary.
pub(super) const CARD: PredictorCard =
    PredictorCard::new("kalman", "a Kalman filter for level and trend", |options| {
        Box::new(Kalman::new(options))
    });

/// State x = [level, trend] with F = [[1, 1], [0, 1]] and H = [1, 0]: each interval is predicted, then updated.
#[derive(Debug)]
pub struct Kalman {
    level: f64,
    trend: f64,
    /// Covariance: of the level, of both, of the trend.
    covariance: [f64; 3],
    q_level: f64,
    q_trend: f64,
    r: f64,
    log1p: bool,
    started: bool,
    /// Whether the state has been advanced to the next interval already.
    ahead: bool,
    /// Skips the zeros before the first load; the filter itself needs no history.
    series: Series,
}

/// Variance of the state before the first value.
const P0: f64 = 1000.0;

impl Kalman {
    /// Creates the filter with the variances of the options.
    pub fn new(options: &PredictorOptions) -> Self {
        Self {
            level: 0.0,
            trend: 0.0,
            covariance: [P0, 0.0, P0],
            // A filter whose variances are all 0 would divide by 0.
            q_level: options.kalman_q_level.max(1e-12),
            q_trend: options.kalman_q_trend.max(1e-12),
            r: options.kalman_r.max(1e-9),
            log1p: options.log1p,
            started: false,
            ahead: false,
            series: Series::new(1),
        }
    }

    fn step(&mut self) {
        if self.ahead {
            return;
        }
        self.level += self.trend;
        let [a, b, c] = self.covariance;
        // F P F' + Q
        self.covariance = [a + b + b + c + self.q_level, b + c, c + self.q_trend];
        self.ahead = true;
    }
}

impl LoadPredictor for Kalman {
    fn observe(&mut self, value: f64) {
        if !self.series.push(value) {
            return;
        }
        let value = self.series.last();
        let value = if self.log1p { value.ln_1p() } else { value };
        if !self.started {
            self.level = value;
            self.started = true;
            return;
        }
        self.step();
        let [a, b, c] = self.covariance;
        let (gain_level, gain_trend) = (a / (a + self.r), b / (a + self.r));
        let surprise = value - self.level;
        self.level += gain_level * surprise;
        self.trend += gain_trend * surprise;
        self.covariance = [
            (1.0 - gain_level) * a,
            (1.0 - gain_level) * b,
            c - gain_trend * b,
        ];
        self.ahead = false;
    }

    fn predict(&mut self) -> f64 {
        if !self.started {
            return 0.0;
        }
        self.step();
        let level = if self.log1p {
            self.level.exp_m1()
        } else {
            self.level
        };
        level.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::kalman::*;

    #[test]
    fn two_values_by_hand() {
        let mut filter = Kalman::new(&PredictorOptions::default());
        filter.observe(162.0);
        assert_eq!(filter.predict(), 162.0);
        filter.observe(177.0);
        // P = [[2001, 1000], [1000, 1000.1]]; gains 2001/2011 and 1000/2011; the level 162 + 15 x 2001/2011, and the trend
        // 15 x 1000/2011 on top of it.
        let expected = 162.0 + 15.0 * 2001.0 / 2011.0 + 15.0 * 1000.0 / 2011.0;
        assert!((filter.predict() - expected).abs() < 1e-12);
    }

    #[test]
    fn mooncakes_first_minutes_as_dynamo_predicts_them() {
        let mut filter = Kalman::new(&PredictorOptions::default());
        let mut next = Vec::new();
        for value in [162.0, 177.0, 217.0, 175.0, 187.0, 164.0, 144.0, 183.0] {
            filter.observe(value);
            next.push((filter.predict() * 1000.0).round() / 1000.0);
        }
        assert_eq!(
            next,
            [
                162.0, 184.384, 254.879, 187.63, 186.228, 166.835, 144.989, 160.257
            ]
        );
    }

    #[test]
    fn a_falling_load_never_goes_below_nothing() {
        let mut filter = Kalman::new(&PredictorOptions::default());
        for value in [300.0, 200.0, 100.0, 0.0] {
            filter.observe(value);
        }
        assert_eq!(filter.predict(), 0.0);
    }
}
