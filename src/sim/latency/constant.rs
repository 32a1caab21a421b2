//! Times that do not depend on the batch: the servers of queueing theory.

use rand_distr::{Distribution, Exp};
use rand_pcg::Pcg64;

use super::{LatencyModel, Step};

/// Every step takes the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Seconds.
    pub seconds: f64,
}

impl LatencyModel for Constant {
    fn seconds(&mut self, _: &Step) -> f64 {
        self.seconds
    }
}

/// Every step takes an exponential time of a given mean.
#[derive(Debug, Clone)]
pub struct Exponential {
    distribution: Exp<f64>,
    random: Pcg64,
}

impl Exponential {
    /// `mean` in seconds; `None` if it is not positive and finite. Each instance draws from a stream of its own.
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
