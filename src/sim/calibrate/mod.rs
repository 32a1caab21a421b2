//! Fits the simulator to measured timings of a real engine, by one parameter: the host overhead of each step.
//!
//! The overhead can be negative: kernels that were timed one by one, outside a CUDA graph, can take longer than in the
//! engine.
//!
//! All requests are simulated. The overhead is fitted to the first half of them in order of arrival: it minimises the sum
//! of squared errors of mean TTFT, TPOT and E2E (see `badness`). The reported errors are those of the second half, which
//! the fit does not use. Errors of means and quantiles compare two distributions; MAPE compares each request with itself.

mod engine;
mod measured;

use serde::Serialize;

pub use engine::Engine;
pub use measured::{Measured, read as read_measured};

use super::latency::Profile;
use super::replica::VllmV1;
use super::{Cluster, InstanceSpec, Kv, Records, Simulation, Workload};
use crate::base::Distribution;
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;

/// Largest overhead that is tried, in milliseconds.
const LARGEST: f64 = 64.0;

/// One instance of an engine, with its number of blocks.
#[derive(Debug)]
pub struct Single<'a> {
    /// Requests that it serves.
    pub workload: &'a Workload<'a>,
    /// Blocks of the workload, if prefixes are cached.
    pub blocks: Option<&'a BlockTrace>,
    /// Settings of the engine.
    pub engine: &'a Engine,
    /// Blocks available to requests.
    pub capacity: u32,
}

impl Single<'_> {
    /// Simulates the requests with a latency model.
    ///
    /// # Errors
    /// None that depend on the input.
    pub fn run(&self, latency: &Profile) -> Result<Records> {
        let engine = self.engine;
        let make = |_| InstanceSpec {
            kv: match self.blocks.filter(|_| engine.prefix_caching) {
                Some(blocks) => Kv::cached(engine.block_size, self.capacity, blocks.distinct()),
                None => Kv::counted(engine.block_size, self.capacity),
            },
            scheduler: Box::new(VllmV1::new(engine.scheduler.clone())),
            latency: Box::new(latency.clone()),
        };
        let cluster = Cluster::aggregated("engine", 1, Box::new(make));
        Ok(Simulation::new(self.workload, cluster).run())
    }
}

/// A simulated figure and the measured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beside {
    /// Measured seconds.
    pub measured: f64,
    /// Simulated seconds.
    pub simulated: f64,
    /// Simulated divided by measured, minus 1.
    pub error: f64,
}

impl Beside {
    fn new(measured: f64, simulated: f64) -> Self {
        let error = if measured == simulated {
            0.0
        } else {
            simulated / measured - 1.0
        };
        Self {
            measured,
            simulated,
            error,
        }
    }
}

/// Agreement of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Its mean.
    pub mean: Beside,
    /// Its median.
    pub p50: Beside,
    /// 90th percentile.
    pub p90: Beside,
    /// 99th percentile.
    pub p99: Beside,
    /// Mean absolute percentage error of single requests, as a fraction of the measured value.
    pub mape: f64,
}

impl Agreement {
    fn new(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut measured, mut simulated): (Vec<_>, Vec<_>) = pairs.unzip();
        let known = measured.iter().zip(&simulated).filter(|(m, _)| **m > 0.0);
        let errors: Vec<f64> = known.map(|(m, s)| (s - m).abs() / m).collect();
        let mape = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        let m = Distribution::from_values(&mut measured);
        let s = Distribution::from_values(&mut simulated);
        let beside = |measured: Option<f64>, simulated: Option<f64>| {
            Beside::new(measured.unwrap_or_default(), simulated.unwrap_or_default())
        };
        Self {
            mean: beside(m.mean, s.mean),
            p50: beside(m.p50, s.p50),
            p90: beside(m.p90, s.p90),
            p99: beside(m.p99, s.p99),
            mape,
        }
    }
}

/// Agreement of a set of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Requests compared.
    pub requests: usize,
    /// Time to first token.
    pub ttft: Agreement,
    /// Time per output token after the first.
    pub tpot: Agreement,
    /// End to end.
    pub e2e: Agreement,
}

impl Comparison {
    /// Compares the requests whose indices are in `part`; those that were not measured, or did not finish, are left out.
    pub fn new(
        records: &Records,
        measured: &[Option<Measured>],
        part: std::ops::Range<usize>,
    ) -> Self {
        let pairs: Vec<_> = records.requests[part.clone()]
            .iter()
            .zip(&measured[part])
            .filter_map(|(record, measured)| Some((record, (*measured)?)))
            .filter(|(record, _)| record.is_finished())
            .collect();
        let of = |pick: fn(&Measured) -> Option<f64>,
                  simulated: fn(&super::RequestRecord) -> Option<f64>| {
            Agreement::new(
                pairs
                    .iter()
                    .filter_map(|(record, measured)| Some((pick(measured)?, simulated(record)?))),
            )
        };
        Self {
            requests: pairs.len(),
            ttft: of(|m| Some(m.ttft), super::RequestRecord::ttft),
            tpot: of(|m| m.tpot, super::RequestRecord::tbt),
            e2e: of(|m| Some(m.e2e), super::RequestRecord::e2e),
        }
    }

    /// Objective of the fit: squared relative errors of the means; TPOT relative to itself, TTFT and E2E relative to E2E.
    /// When requests queue, TTFT is what remains of the E2E of others after waiting, and would count their errors many
    /// times.
    fn badness(&self) -> f64 {
        let whole = self.e2e.mean.measured;
        let part = |beside: Beside| (beside.simulated - beside.measured) / whole;
        self.tpot.mean.error.powi(2) + part(self.ttft.mean).powi(2) + part(self.e2e.mean).powi(2)
    }
}

/// Result of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The best overhead, in milliseconds.
    pub host_overhead_ms: f64,
    /// The first half, to which it was fitted.
    pub fitted: Comparison,
    /// The second half.
    pub held_out: Comparison,
    /// All requests.
    pub all: Comparison,
    /// Prompt tokens that were found in the prefix cache.
    pub cached_tokens: u64,
    /// Steps of the engine.
    pub steps: u64,
    /// Steps outside the measured range of the profile.
    pub clamped_steps: u64,
}

/// Fits the overhead.
///
/// # Errors
/// Fewer than two measured requests, or none that finishes.
pub fn calibrate(
    single: &Single<'_>,
    measured: &[Option<Measured>],
    profile: &Profile,
) -> Result<Calibration> {
    let known: Vec<usize> = (0..measured.len())
        .filter(|index| measured[*index].is_some())
        .collect();
    let Some(half) = known
        .get(known.len() / 2)
        .copied()
        .filter(|_| known.len() > 1)
    else {
        return Err(Error::usage(
            "fewer than two requests were measured",
            "give the timings of more requests",
        ));
    };
    let overhead = fit(|overhead| {
        let records = single.run(&profile.with_host_overhead(overhead))?;
        let comparison = Comparison::new(&records, measured, 0..half);
        if comparison.requests == 0 {
            return Err(Error::usage(
                "no measured request of the first half finishes in the simulation",
                "check the number of blocks",
            ));
        }
        Ok(comparison.badness())
    })?;
    let records = single.run(&profile.with_host_overhead(overhead))?;
    Ok(Calibration {
        host_overhead_ms: overhead,
        fitted: Comparison::new(&records, measured, 0..half),
        held_out: Comparison::new(&records, measured, half..measured.len()),
        all: Comparison::new(&records, measured, 0..measured.len()),
        cached_tokens: records.instances.iter().map(|i| i.cached_tokens).sum(),
        steps: records.steps,
        clamped_steps: records.instances.iter().map(|i| i.clamped.steps).sum(),
    })
}

/// The best overhead to a hundredth of a millisecond. One step more or less shifts whole requests, so the error is not
/// smooth: a scan from 0 that ends well beyond the best value so far, below 0 only if that is best, and then two finer
/// scans around it.
fn fit(mut badness: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    let mut best = (badness(0.0)?, 0.0);
    for direction in [1.0, -1.0] {
        let mut at: f64 = 0.5;
        while at <= LARGEST && at <= 2.0 * f64::abs(best.1) + 2.0 {
            best = better(best, (badness(direction * at)?, direction * at));
            at += 0.5;
        }
        if best.1 != 0.0 {
            break;
        }
    }
    for (step, count) in [(0.1, 4), (0.02, 4)] {
        let middle = best.1;
        for index in -count..=count {
            if index != 0 {
                // Whole hundredths, as printed.
                let at = ((middle + f64::from(index) * step) * 100.0).round() / 100.0;
                best = better(best, (badness(at)?, at));
            }
        }
    }
    Ok(best.1)
}

/// The one with the smaller error; ties: the one nearer to 0.
fn better(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    if (b.0, b.1.abs()) < (a.0, a.1.abs()) {
        b
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::calibrate::*;

    #[test]
    fn the_fit_finds_the_least() {
        for truth in [-1.32, -0.2, 0.0, 0.37, 1.5, 7.84] {
            let found = fit(|at| Ok((at - truth).powi(2))).expect("fits");
            assert!((found - truth).abs() < 0.011, "{truth}: {found}");
        }
    }

    #[test]
    fn errors_by_hand() {
        // Means 3 and 3.3: 10 % too large. Single requests: 50 % and 10 %.
        let agreement = Agreement::new([(2.0, 3.0), (4.0, 3.6)].into_iter());
        assert!((agreement.mean.error - 0.1).abs() < 1e-12);
        assert!((agreement.mape - (0.5 + 0.1) / 2.0).abs() < 1e-12);
        assert_eq!(
            (agreement.p50.measured, agreement.p50.simulated),
            (3.0, 3.3)
        );
    }
}
