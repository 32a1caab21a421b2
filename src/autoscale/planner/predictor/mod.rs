//! What the next interval will bring: load predictors, one a file.
//!
//! The rules are those of Dynamo's planner (`planner/core/load/predictors.py`, newest 1.6) and of sageLLM's control plane. Each
//! predictor follows one series. A value that is no finite number counts as 0, and zeros before the first load are skipped: a
//! cluster that nobody has used yet says nothing about its load. Zeros after that are load like any other.

mod arima;
mod constant;
mod exponential_smoothing;
mod kalman;
mod moving_average;
mod prophet;
mod series;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};

pub use arima::Arima;
pub use constant::Constant;
pub use exponential_smoothing::ExponentialSmoothing;
pub use kalman::Kalman;
pub use moving_average::MovingAverage;
pub use prophet::Prophet;
pub use series::Series;

/// Follows one series and foretells its next value.
pub trait LoadPredictor: Send + std::fmt::Debug {
    /// The value of the interval that is over.
    fn observe(&mut self, value: f64);

    /// The value of the next interval, never negative; 0 before anything was seen. Asking twice gives the same answer.
    fn predict(&mut self) -> f64;
}

/// What predictors can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorOptions {
    /// How many of the last values count. The Kalman filter has all of them in its state.
    pub window: usize,
    /// Seconds between two values.
    pub interval_sec: f64,
    /// Weight of the newest value in exponential smoothing, in (0, 1].
    pub alpha: f64,
    /// Fit ARIMA, Prophet and the Kalman filter to log(1 + value) from the start.
    pub log1p: bool,
    /// Choose ARIMA's order once and keep it, as Dynamo does, instead of with every value.
    pub arima_frozen_order: bool,
    /// With fewer values Prophet is not asked.
    pub prophet_minimum_points: usize,
    /// What Prophet's stand-in is below that: the mean of the window, or the last value, as in Dynamo.
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
    /// Says what makes no sense.
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

/// What is known of a predictor.
pub struct Entry {
    /// As users write it.
    pub name: &'static str,
    /// In a few words.
    pub summary: &'static str,
    make: fn(&PredictorOptions) -> Box<dyn LoadPredictor>,
}

/// All predictors.
pub const PREDICTORS: &[Entry] = &[
    Entry {
        name: "constant",
        summary: "the last value",
        make: |_| Box::<Constant>::default(),
    },
    Entry {
        name: "moving_average",
        summary: "the mean of the window",
        make: |o| Box::new(MovingAverage::new(o)),
    },
    Entry {
        name: "exponential_smoothing",
        summary: "a mean in which the newest value counts most",
        make: |o| Box::new(ExponentialSmoothing::new(o)),
    },
    Entry {
        name: "arima",
        summary: "ARIMA of the order that fits best",
        make: |o| Box::new(Arima::automatic(o)),
    },
    Entry {
        name: "arima111",
        summary: "ARIMA(1,1,1)",
        make: |o| Box::new(Arima::fixed(o, (1, 1, 1))),
    },
    Entry {
        name: "prophet",
        summary: "a trend with bends, and days and weeks where the window holds two of them",
        make: |o| Box::new(Prophet::new(o)),
    },
    Entry {
        name: "kalman",
        summary: "a Kalman filter for level and trend",
        make: |o| Box::new(Kalman::new(o)),
    },
];

/// A predictor by its name.
///
/// # Errors
/// [`Error::Usage`] for a name that is not known, or options that make no sense.
pub fn by_name(name: &str, options: &PredictorOptions) -> Result<Box<dyn LoadPredictor>> {
    options.check()?;
    let plain = name.replace('-', "_");
    match PREDICTORS.iter().find(|entry| entry.name == plain) {
        Some(entry) => Ok((entry.make)(options)),
        None => {
            let names: Vec<_> = PREDICTORS.iter().map(|entry| entry.name).collect();
            Err(Error::unknown_name("load predictor", name, &names))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::predictor::*;
    use proptest::prelude::*;

    fn all() -> Vec<Box<dyn LoadPredictor>> {
        let options = PredictorOptions::default();
        PREDICTORS.iter().map(|e| (e.make)(&options)).collect()
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
        for ((mut with, mut without), entry) in all().into_iter().zip(all()).zip(PREDICTORS) {
            for _ in 0..7 {
                with.observe(0.0);
            }
            for value in [5.0, 9.0, 4.0, 8.0, 6.0, 7.0, 5.0, 9.0, 6.0, 4.0, 7.0] {
                with.observe(value);
                without.observe(value);
                assert_eq!(with.predict(), without.predict(), "{}", entry.name);
            }
        }
    }

    proptest! {
        #[test]
        fn forecasts_are_finite_and_never_negative(
            values in prop::collection::vec(prop_oneof![Just(f64::NAN), 0.0..1e6, Just(0.0)], 0..24),
        ) {
            for (mut predictor, entry) in all().into_iter().zip(PREDICTORS) {
                for value in &values {
                    predictor.observe(*value);
                }
                let first = predictor.predict();
                prop_assert!(first.is_finite() && first >= 0.0, "{} {first}", entry.name);
                prop_assert_eq!(first, predictor.predict(), "{}", entry.name);
            }
        }

        #[test]
        fn a_constant_series_goes_on(value in 1.0..1e6, count in 1_usize..30) {
            for (mut predictor, entry) in all().into_iter().zip(PREDICTORS) {
                for _ in 0..count {
                    predictor.observe(value);
                }
                let next = predictor.predict();
                prop_assert!((next - value).abs() <= 1e-6 * value, "{} {next} {value}", entry.name);
            }
        }
    }
}
