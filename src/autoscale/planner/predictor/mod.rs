//! Load predictors: the load of the next interval. One predictor is one file with its card; the list in this file registers
//! it.
//!
//! The rules are those of Dynamo's planner (`planner/core/load/predictors.py`, newest 1.6) and of sageLLM's control plane. Each
//! predictor follows one time series. A value that is no finite number counts as 0, and zeros before the first load are skipped: a
//! cluster without any traffic yet says nothing about its load. Later zeros are load like any other.

mod arima;
mod constant;
mod exponential_smoothing;
mod kalman;
mod moving_average;
mod prophet;
mod series;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::registry::{Card, Named, Registry};

pub use arima::Arima;
pub use constant::Constant;
pub use exponential_smoothing::ExponentialSmoothing;
pub use kalman::Kalman;
pub use moving_average::MovingAverage;
pub use prophet::Prophet;
pub use series::Series;

/// Follows one time series and predicts its next value.
pub trait LoadPredictor: Send + std::fmt::Debug {
    /// Adds the value of the interval that has ended.
    fn observe(&mut self, value: f64);

    /// Predicts the value of the next interval: never negative, 0 before the first value. Two calls give the same answer.
    fn predict(&mut self) -> f64;
}

/// Options of all predictors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorOptions {
    /// Number of recent values that count. The Kalman filter has all values in its state.
    pub window: usize,
    /// Seconds between two values.
    pub interval_sec: f64,
    /// Weight of the newest value in exponential smoothing, in (0, 1].
    pub alpha: f64,
    /// Fit ARIMA, Prophet and the Kalman filter to log(1 + value) from the start.
    pub log1p: bool,
    /// Choose ARIMA's order once and keep it, as Dynamo does, instead of with every value.
    pub arima_frozen_order: bool,
    /// With fewer values, Prophet is replaced by a simpler prediction.
    pub prophet_minimum_points: usize,
    /// Below that, predict the last value, as in Dynamo, instead of the mean of the window.
    pub prophet_falls_back_to_last: bool,
    /// Variance by which the Kalman filter's level wanders in an interval.
    pub kalman_q_level: f64,
    /// Variance by which its trend wanders in an interval.
    pub kalman_q_trend: f64,
    /// Variance of a measurement around the level.
    pub kalman_r: f64,
}

impl Default for PredictorOptions {
    fn default() -> Self {
        Self {
            window: 10,
            interval_sec: 60.0,
            alpha: 0.3,
            log1p: false,
            arima_frozen_order: false,
            prophet_minimum_points: 6,
            prophet_falls_back_to_last: false,
            kalman_q_level: 1.0,
            kalman_q_trend: 0.1,
            kalman_r: 10.0,
        }
    }
}

impl PredictorOptions {
    /// Checks that every option is in range.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the option.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: f64, remedy: &str| {
            Err(Error::usage(format!("predictor: {name} = {value}"), remedy))
        };
        if self.window == 0 {
            return refuse("window", 0.0, "give 1 or more");
        }
        if !(self.interval_sec.is_finite() && self.interval_sec > 0.0) {
            return refuse("interval_sec", self.interval_sec, "give seconds above 0");
        }
        if !(self.alpha > 0.0 && self.alpha <= 1.0) {
            return refuse("alpha", self.alpha, "give a number above 0 and up to 1");
        }
        for (name, value) in [
            ("kalman_q_level", self.kalman_q_level),
            ("kalman_q_trend", self.kalman_q_trend),
            ("kalman_r", self.kalman_r),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(name, value, "give a variance, 0 or more");
            }
        }
        Ok(())
    }
}

/// A registered predictor.
#[derive(Debug, Clone, Copy)]
pub struct PredictorCard {
    card: Card,
    build: fn(&PredictorOptions) -> Box<dyn LoadPredictor>,
}

impl Named for PredictorCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl PredictorCard {
    /// A predictor that is built from the options.
    pub const fn new(
        name: &'static str,
        summary: &'static str,
        build: fn(&PredictorOptions) -> Box<dyn LoadPredictor>,
    ) -> Self {
        Self {
            card: Card::new(name, summary),
            build,
        }
    }
}

/// Every predictor.
pub static PREDICTORS: Registry<PredictorCard> =
    Registry::new("load predictor", "sla-planner.md", LIST);

const LIST: &[PredictorCard] = &[
    constant::CARD,
    moving_average::CARD,
    exponential_smoothing::CARD,
    arima::AUTOMATIC,
    arima::FIXED,
    prophet::CARD,
    kalman::CARD,
];

/// The predictor of a name.
///
/// # Errors
/// [`Error::Usage`] for an unknown name, or an option that is out of range.
pub fn by_name(name: &str, options: &PredictorOptions) -> Result<Box<dyn LoadPredictor>> {
    options.check()?;
    Ok((PREDICTORS.find(name)?.build)(options))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::predictor::*;
    use proptest::prelude::*;

    fn all() -> Vec<Box<dyn LoadPredictor>> {
        let options = PredictorOptions::default();
        PREDICTORS
            .iter()
            .map(|card| (card.build)(&options))
            .collect()
    }

    #[test]
    fn unknown_names_get_a_guess() {
        let error = by_name("arma", &PredictorOptions::default()).unwrap_err();
        assert!(error.to_string().contains("did you mean `arima`?"));
        assert!(by_name("moving-average", &PredictorOptions::default()).is_ok());
        let bad = PredictorOptions {
            alpha: 0.0,
            ..PredictorOptions::default()
        };
        assert!(by_name("constant", &bad).is_err());
    }

    #[test]
    fn nothing_seen_is_nothing_foretold() {
        for mut predictor in all() {
            assert_eq!(predictor.predict(), 0.0, "{predictor:?}");
            predictor.observe(0.0);
            predictor.observe(f64::NAN);
            assert_eq!(predictor.predict(), 0.0, "{predictor:?}");
        }
    }

    #[test]
    fn leading_zeros_say_nothing() {
        for ((mut with, mut without), entry) in all().into_iter().zip(all()).zip(&PREDICTORS) {
            for _ in 0..7 {
                with.observe(0.0);
            }
            for value in [5.0, 9.0, 4.0, 8.0, 6.0, 7.0, 5.0, 9.0, 6.0, 4.0, 7.0] {
                with.observe(value);
                without.observe(value);
                assert_eq!(with.predict(), without.predict(), "{}", entry.name());
            }
        }
    }

    proptest! {
        #[test]
        fn forecasts_are_finite_and_never_negative(
            values in prop::collection::vec(prop_oneof![Just(f64::NAN), 0.0..1e6, Just(0.0)], 0..24),
        ) {
            for (mut predictor, entry) in all().into_iter().zip(&PREDICTORS) {
                for value in &values {
                    predictor.observe(*value);
                }
                let first = predictor.predict();
                prop_assert!(first.is_finite() && first >= 0.0, "{} {first}", entry.name());
                prop_assert_eq!(first, predictor.predict(), "{}", entry.name());
            }
        }

        #[test]
        fn a_constant_series_goes_on(value in 1.0..1e6, count in 1_usize..30) {
            for (mut predictor, entry) in all().into_iter().zip(&PREDICTORS) {
                for _ in 0..count {
                    predictor.observe(value);
                }
                let next = predictor.predict();
                prop_assert!((next - value).abs() <= 1e-6 * value, "{} {next} {value}", entry.name());
            }
        }
    }
}
