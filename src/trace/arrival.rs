//! Arrival processes and think times: each distribution by name, each with its own random stream.

use rand_distr::{Distribution, Exp1, Gamma, LogNormal, StandardUniform};
use rand_pcg::Pcg64;

use super::{Nanos, Service, TraceMeta};
use crate::base::error::{Error, Result};
use crate::base::limits::SECONDS;

/// Arrival process of sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArrivalProcess {
    /// Exponential gaps: independent users.
    Poisson,
    /// Gamma-distributed gaps with this coefficient of variation: above 1 is burstier than Poisson.
    Gamma {
        /// Standard deviation divided by the mean.
        cv: f64,
    },
    /// Gaps drawn uniformly between 0 and twice the mean.
    Uniform,
    /// Equal gaps.
    Fixed,
    /// The timestamps of the data.
    Timestamps,
}

/// Names that [`ArrivalProcess::by_name`] accepts.
pub const ARRIVALS: &[&str] = &["poisson", "gamma", "uniform", "fixed", "timestamps"];

impl ArrivalProcess {
    /// The process with this name; only `gamma` uses `cv`.
    ///
    /// # Errors
    /// An unknown name, or a `cv` of 0 or less.
    pub fn by_name(name: &str, cv: f64) -> Result<Self> {
        Ok(match name {
            "poisson" => Self::Poisson,
            "gamma" if cv.is_finite() && cv > 0.0 => Self::Gamma { cv },
            "gamma" => {
                return Err(Error::usage(
                    format!("the coefficient of variation is {cv}"),
                    "give a `cv` above 0",
                ));
            }
            "uniform" => Self::Uniform,
            "fixed" => Self::Fixed,
            "timestamps" => Self::Timestamps,
            _ => return Err(Error::unknown_name("arrival process", name, ARRIVALS)),
        })
    }

    /// Name of the process.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Gamma { .. } => "gamma",
            Self::Uniform => "uniform",
            Self::Fixed => "fixed",
            Self::Timestamps => "timestamps",
        }
    }

    /// Draws a gap in seconds for sessions that arrive at `rate` per second.
    pub fn gap(self, rate: f64, random: &mut Pcg64) -> f64 {
        let mean = 1.0 / rate;
        match self {
            Self::Poisson => mean * exponential(random),
            Self::Gamma { cv } => {
                let shape = 1.0 / (cv * cv);
                // Shape and scale are positive and finite; `by_name` checked this.
                Gamma::new(shape, mean / shape).map_or(mean, |gamma| gamma.sample(random))
            }
            Self::Uniform => {
                let even: f64 = StandardUniform.sample(random);
                even * 2.0 * mean
            }
            Self::Fixed | Self::Timestamps => mean,
        }
    }
}

/// Distribution of a user's think time between a reply and the next question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkTime {
    /// Constant.
    Fixed,
    /// Exponential with the given mean.
    Exponential,
    /// Log-normal with the given mean and a coefficient of variation of 1.
    LogNormal,
}

/// Names that [`ThinkTime::by_name`] accepts.
pub const THINK_TIMES: &[&str] = &["fixed", "exponential", "lognormal"];

impl ThinkTime {
    /// The distribution with this name.
    ///
    /// # Errors
    /// An unknown name.
    pub fn by_name(name: &str) -> Result<Self> {
        Ok(match name {
            "fixed" => Self::Fixed,
            "exponential" => Self::Exponential,
            "lognormal" => Self::LogNormal,
            _ => return Err(Error::unknown_name("think time", name, THINK_TIMES)),
        })
    }

    /// Name of the distribution.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Exponential => "exponential",
            Self::LogNormal => "lognormal",
        }
    }

    /// Draws a time with the given mean, in seconds.
    pub fn draw(self, mean: f64, random: &mut Pcg64) -> f64 {
        match self {
            _ if mean <= 0.0 => 0.0,
            Self::Fixed => mean,
            Self::Exponential => mean * exponential(random),
            Self::LogNormal => {
                // cv 1: sigma^2 = ln(1 + cv^2) = ln 2, and mu = ln(mean) - sigma^2 / 2.
                let variance = std::f64::consts::LN_2;
                let mu = libm_ln(mean) - variance / 2.0;
                LogNormal::new(mu, variance.sqrt()).map_or(mean, |normal| normal.sample(random))
            }
        }
    }
}

fn exponential(random: &mut Pcg64) -> f64 {
    Exp1.sample(random)
}

/// The natural logarithm by `libm`, which gives identical bits on every platform.
fn libm_ln(value: f64) -> f64 {
    libm::log(value)
}

/// Model of a request's service time, which estimates when its reply is complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceTime {
    /// Milliseconds per prompt token.
    pub prefill_ms: f64,
    /// Milliseconds per output token.
    pub decode_ms: f64,
    /// Additional seconds per request.
    pub fixed: f64,
}

impl ServiceTime {
    /// Parses `0`, seconds (`2.5`), or `linear:PREFILL_MS,DECODE_MS`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let number = |text: &str| SECONDS.parse::<f64>(text).ok();
        let parsed = match text.strip_prefix("linear:") {
            Some(rest) => rest.split_once(',').and_then(|(prefill, decode)| {
                Some(Self {
                    prefill_ms: number(prefill)?,
                    decode_ms: number(decode)?,
                    fixed: 0.0,
                })
            }),
            None => number(text).map(|fixed| Self {
                prefill_ms: 0.0,
                decode_ms: 0.0,
                fixed,
            }),
        };
        parsed.ok_or_else(|| {
            Error::usage(
                format!("the service time `{text}` is invalid"),
                "give 0, seconds, or linear:PREFILL_MS,DECODE_MS, e.g. linear:0.1,20",
            )
        })
    }

    /// Service time of a request with these lengths.
    pub fn of(self, input: u32, output: u32) -> Nanos {
        let millis = self.prefill_ms * f64::from(input) + self.decode_ms * f64::from(output);
        Nanos::from_secs_f64(self.fixed + millis / 1e3)
    }

    /// The same, split into prefill and decode; the fixed part belongs to prefill.
    pub fn parts(self, input: u32, output: u32) -> Service {
        let prefill = self.prefill_ms * f64::from(input) / 1e3;
        let decode = self.decode_ms * f64::from(output) / 1e3;
        Service {
            prefill: Nanos::from_secs_f64(self.fixed + prefill),
            decode: Nanos::from_secs_f64(decode),
        }
    }

    /// The service time with which a trace was generated, from its header; `None` if service takes no time in it.
    pub fn of_meta(meta: &TraceMeta) -> Option<Self> {
        let model = meta.arrival.get("service_time")?;
        let number = |key: &str| {
            let number = model.get(key)?.as_f64()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        };
        let model = Self {
            prefill_ms: number("prefill_ms")?,
            decode_ms: number("decode_ms")?,
            fixed: number("fixed_s")?,
        };
        (model.prefill_ms > 0.0 || model.decode_ms > 0.0 || model.fixed > 0.0).then_some(model)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::random::stream;
    use crate::trace::arrival::*;

    fn gaps(process: ArrivalProcess, count: usize) -> Vec<f64> {
        let mut random = stream(0, "arrivals", 0);
        (0..count).map(|_| process.gap(2.0, &mut random)).collect()
    }

    #[test]
    fn means_and_spreads_are_as_asked() {
        for (process, cv) in [
            (ArrivalProcess::Poisson, 1.0),
            (ArrivalProcess::Gamma { cv: 2.0 }, 2.0),
            (ArrivalProcess::Uniform, 1.0 / 3f64.sqrt()),
            (ArrivalProcess::Fixed, 0.0),
        ] {
            let gaps = gaps(process, 200_000);
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance =
                gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((mean - 0.5).abs() < 0.01, "{process:?}: mean {mean}");
            assert!(
                (variance.sqrt() / mean - cv).abs() < 0.03,
                "{process:?}: cv {}",
                variance.sqrt() / mean
            );
        }
        for think in [
            ThinkTime::Fixed,
            ThinkTime::Exponential,
            ThinkTime::LogNormal,
        ] {
            let mut random = stream(0, "think", 0);
            let mean = (0..200_000)
                .map(|_| think.draw(3.0, &mut random))
                .sum::<f64>()
                / 200_000.0;
            assert!((mean - 3.0).abs() < 0.05, "{think:?}: {mean}");
        }
    }

    /// The first draws, exactly: a library version that draws differently would silently change every trace that is
    /// regenerated from its seed.
    #[test]
    fn the_first_draws_are_what_they_were() {
        for (process, expected) in [
            (
                ArrivalProcess::Poisson,
                "[1.5950455247482611, 0.10183257744294724, 0.23954099419097172, 0.048281380793630514, 0.2979969208361366]",
            ),
            (
                ArrivalProcess::Gamma { cv: 2.0 },
                "[0.012519352307754555, 0.0017004991088332888, 0.14594190441903032, 0.014572417553408476, 4.745440380787488e-5]",
            ),
            (
                ArrivalProcess::Uniform,
                "[0.5818264974101671, 0.07392835104095075, 0.5159614780076432, 0.16903253309390487, 0.5527821985642312]",
            ),
            (ArrivalProcess::Fixed, "[0.5, 0.5, 0.5, 0.5, 0.5]"),
        ] {
            let found = format!("{:?}", gaps(process, 5));
            assert_eq!(found, expected, "{process:?}");
        }
        for (think, expected) in [
            (ThinkTime::Fixed, "[3.0, 3.0, 3.0, 3.0, 3.0]"),
            (
                ThinkTime::Exponential,
                "[7.1743170932979, 9.17695251803968, 6.602230103942788, 3.0092005854472017, 10.914434320324135]",
            ),
            (
                ThinkTime::LogNormal,
                "[1.170273345366202, 12.527852248401357, 2.195138428322708, 4.951964463076412, 13.620966449165486]",
            ),
        ] {
            let mut random = stream(0, "think", 0);
            let found: Vec<f64> = (0..5).map(|_| think.draw(3.0, &mut random)).collect();
            assert_eq!(format!("{found:?}"), expected, "{think:?}");
        }
    }

    #[test]
    fn service_times() {
        let linear = ServiceTime::parse("linear:0.1,20").expect("parses");
        assert_eq!(linear.of(1000, 100), Nanos::from_secs_f64(2.1));
        assert_eq!(
            ServiceTime::parse("0").expect("parses").of(7, 7),
            Nanos::ZERO
        );
        for text in ["", "-1", "linear:1", "linear:a,b", "nan"] {
            assert!(ServiceTime::parse(text).is_err(), "{text}");
        }
    }
}
