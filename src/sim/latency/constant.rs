//! Durations that do not depend on the batch, as in queueing theory.

use rand_distr::{Distribution, Exp};
use rand_pcg::Pcg64;

use serde::{Deserialize, Serialize};

use super::{LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::random::stream;
use crate::base::registry::Card;

/// Every step takes the same time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Duration of a step in seconds.
    pub seconds: f64,
}

impl LatencyParameters for Constant {
    const CARD: Card = Card::new("constant", "the same time for every step");

    fn prepare(&self, _: &LatencyContext<'_>) -> Result<LatencyFactory> {
        positive("latency.seconds", self.seconds, true)?;
        Ok(LatencyFactory::copies_of(*self))
    }
}

impl LatencyModel for Constant {
    fn seconds(&mut self, _: &Step) -> f64 {
        self.seconds
    }
}

/// Parameters of [`Exponential`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialConfig {
    /// Mean duration of a step in seconds.
    pub mean_seconds: f64,
}

impl LatencyParameters for ExponentialConfig {
    const CARD: Card = Card::new(
        "exponential",
        "a time drawn from an exponential distribution",
    );

    fn prepare(&self, context: &LatencyContext<'_>) -> Result<LatencyFactory> {
        positive("latency.mean_seconds", self.mean_seconds, false)?;
        let (mean, seed) = (self.mean_seconds, context.seed);
        Ok(LatencyFactory::new(move |instance| {
            match Exponential::new(mean, stream(seed, "service", u64::from(instance))) {
                Some(model) => Box::new(model),
                // The mean is so small that its inverse overflows.
                None => Box::new(Constant { seconds: mean }),
            }
        }))
    }
}

/// Every step takes a time drawn from an exponential distribution.
#[derive(Debug, Clone)]
pub struct Exponential {
    distribution: Exp<f64>,
    random: Pcg64,
}

impl Exponential {
    /// Mean in seconds; `None` if it is not positive and finite. Each instance draws from its own random stream.
    pub fn new(mean: f64, random: Pcg64) -> Option<Self> {
        let distribution = Exp::new(1.0 / mean).ok()?;
        (mean > 0.0 && mean.is_finite()).then_some(Self {
            distribution,
            random,
        })
    }
}

impl LatencyModel for Exponential {
    fn seconds(&mut self, _: &Step) -> f64 {
        self.distribution.sample(&mut self.random)
    }
}
