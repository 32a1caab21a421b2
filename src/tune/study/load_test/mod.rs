//! The load test: finds the highest request rate at which a fleet of fixed size meets the objectives, and the metrics at that
//! rate.
//!
//! Each rate is held until the number of in-flight requests is stationary. A rate at which that number keeps growing is not
//! sustained, even if all requests meet the objectives so far: a short burst can end before its queue has grown.

mod steadiness;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use rand_distr::Distribution as _;
use rayon::prelude::*;

use self::steadiness::Steadiness;
use super::ceiling::Ceiling;
use super::signals::FullLoadSignals;
use crate::autoscale::planner::profile::Profile;
use crate::autoscale::signals::FleetKind;
use crate::base::error::Result;
use crate::base::random::stream;
use crate::metrics::serving::{Attainment, rows};
use crate::scenario::{Run, RunOptions, Scenario, ScenarioConfig};
use crate::sim::{RequestRecord, Role, Workload};
use crate::trace::Nanos;

/// Maximum length of a hold, as a multiple of [`LoadTest::requests`].
pub const LONGEST_HOLD: usize = 32;

/// Maximum growth of the number of in-flight requests that counts as stationary, as a fraction of the request rate: at most
/// this fraction of the arriving requests is not served.
pub const STATIONARY_GROWTH: f64 = 0.01;

/// Number of requests that arrive in exactly their proportion of the time. Gaps within such a group are exponential, and random
/// deviations do not accumulate over a hold. With independent gaps, 40,000 requests would be needed to detect an overload of 1
/// %.
const EVEN: usize = 100;

/// Minimum number of requests of a hold: four times [`EVEN`] in each quarter, so that randomness changes the growth by 0.5 %
/// (one standard deviation).
pub const SHORTEST_HOLD: usize = 1_600;

/// Maximum number of control intervals of a hold. An interval is one second, or longer where a low rate is held for so long that there
/// would be more: the signals are means over all of them.
const MOST_INTERVALS: f64 = 10_000.0;

/// Maximum number of requests in flight per instance at the first rate that is tried, if each took as long as it takes alone.
const IN_FLIGHT_AT_FIRST: f64 = 16.0;

/// Number of steps that a split counts for in a progress bar: about that many rates are held for each.
pub(super) const STEPS_OF_A_SPLIT: u64 = 16;

/// Options of the load test.
#[derive(Debug, Clone, Copy)]
pub struct LoadTest {
    /// Number of requests of the first hold of a rate, at least 1,600. They are those of the trace, repeated from its beginning
    /// as needed. The hold is doubled until the number of in-flight requests is stationary, up to [`LONGEST_HOLD`] times this
    /// number.
    pub requests: usize,
    /// Fraction of the requests that must meet the objectives.
    pub attainment: f64,
    /// Total number of prefill and decode instances.
    pub instances: u32,
    /// Seed of the arrival times.
    pub seed: u64,
}

/// A fleet of fixed size at the highest rate that it sustains.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Capacity {
    /// Prefill instances; 0 for aggregated instances.
    pub prefill: u32,
    /// Decode instances, or aggregated instances.
    pub decode: u32,
    /// Total number of GPUs.
    pub gpus: u32,
    /// The rate, in requests per second.
    pub rate: f64,
    /// Requests per second and GPU.
    pub rate_per_gpu: f64,
    /// Seconds for which this rate was held.
    pub held_seconds: f64,
    /// Requests that arrived during the hold.
    pub held_requests: usize,
    /// Upper bound on the rate by the instances' profile, in requests per second; `None` without a measured profile.
    pub ceiling: Option<f64>,
    /// Metrics at this rate.
    pub seen: FullLoadSignals,
}

/// The outcome of holding a rate.
struct Held {
    /// Whether the objectives were met and the number of in-flight requests was stationary.
    carried: bool,
    seconds: f64,
    requests: usize,
    run: Run,
}

/// Arrival times at a constant rate: exponential gaps, scaled so that every [`EVEN`] requests take their proportion of the
/// time.
fn arrivals(seed: u64, rate: f64, requests: usize) -> Vec<Nanos> {
    let mut random = stream(seed, "load test", 0);
    let mut times = Vec::with_capacity(requests);
    let mut start = 0.0;
    while times.len() < requests {
        let count = EVEN.min(requests - times.len());
        let gaps: Vec<f64> = (0..count)
            .map(|_| rand_distr::Exp1.sample(&mut random))
            .collect();
        let share = count as f64 / rate;
        let scale = share / gaps.iter().sum::<f64>();
        let mut time = start;
        for gap in gaps {
            time += gap * scale;
            times.push(Nanos::from_secs_f64(time));
        }
        start += share;
    }
    times
}

/// Returns the same cluster with these numbers of instances of each role, in the role's first pool, and no autoscaling.
pub(super) fn fixed(config: &ScenarioConfig, sizes: &[(FleetKind, u32)]) -> ScenarioConfig {
    let mut config = config.clone();
    config.autoscaling.policy = "no_autoscaling".into();
    config.resize.clear();
    for (kind, size) in sizes {
        let mut left = *size;
        for pool in &mut config.pool {
            if FleetKind::from(pool.role) == *kind {
                pool.instances = std::mem::take(&mut left);
            }
        }
    }
    config
}

/// Total GPUs of a fleet of fixed size.
fn gpus(config: &ScenarioConfig) -> u32 {
    config
        .pool
        .iter()
        .map(|pool| pool.instances * pool.gpus)
        .sum()
}

/// A fleet under test.
struct TestedFleet<'a> {
    config: ScenarioConfig,
    /// The configuration, prepared, with an interval of one second.
    scenario: Scenario,
    workload: &'a Workload<'a>,
    test: &'a LoadTest,
    /// Called after each hold.
    held: &'a (dyn Fn() + Sync),
}

impl TestedFleet<'_> {
    /// Simulates a number of requests at a constant rate.
    fn serve(&self, rate: f64, requests: usize) -> Result<Run> {
        let blocks = self.workload.blocks();
        let blocks = blocks.map(|blocks| blocks.repeated(requests));
        let mut arrivals = arrivals(self.test.seed, rate, requests).into_iter();
        let next = || arrivals.next().unwrap_or_default();
        let paced = self.workload.repeated(requests, blocks.as_ref(), next);
        let interval = requests as f64 / rate / MOST_INTERVALS;
        if interval <= 1.0 {
            return self
                .scenario
                .run(&paced, self.test.seed, RunOptions::default());
        }
        let mut config = self.config.clone();
        config.autoscaling.interval_seconds = Some(interval);
        config
            .prepare()?
            .run(&paced, self.test.seed, RunOptions::default())
    }

    /// Holds a rate until it is certain whether the fleet sustains it.
    fn hold(&self, rate: f64) -> Result<Held> {
        let objectives = self.scenario.config().slo.objectives();
        let attained = |requests: &[RequestRecord]| {
            let attainment = Attainment::of(&rows(requests), &objectives);
            attainment.all.unwrap_or(0.0)
        };
        let mut requests = self.test.requests.max(SHORTEST_HOLD);
        let longest = requests.saturating_mul(LONGEST_HOLD);
        loop {
            let run = self.serve(rate, requests)?;
            let steadiness = Steadiness::of(&run.records.requests, rate, &attained);
            let good = steadiness.attainment >= self.test.attainment;
            if !good || steadiness.is_stationary() || requests >= longest {
                (self.held)();
                let last = run.records.requests.last();
                return Ok(Held {
                    carried: good && steadiness.is_stationary(),
                    seconds: last.map_or(0.0, |last| last.arrival.as_secs_f64()),
                    requests,
                    run,
                });
            }
            requests = requests.saturating_mul(2).min(longest);
        }
    }

    /// Whether requests that arrive a thousand seconds apart meet the objectives, and the mean seconds that they take.
    fn alone(&self) -> Result<(bool, f64)> {
        const REQUESTS: usize = 20;
        let run = self.serve(1e-3, REQUESTS)?;
        let requests = &run.records.requests;
        let objectives = self.scenario.config().slo.objectives();
        let attainment = Attainment::of(&rows(requests), &objectives);
        let meets = attainment
            .all
            .is_some_and(|all| all >= self.test.attainment);
        let seconds = requests
            .iter()
            .map(|r| (r.ended.as_secs_f64() - r.arrival.as_secs_f64()).max(0.0));
        Ok((meets, seconds.sum::<f64>() / REQUESTS as f64))
    }

    /// Finds the highest sustained rate, to two percent, and not above an upper bound that the first run gives. Returns 0 if
    /// the fleet sustains less than one request per thousand seconds.
    fn highest(&self, ceiling: &dyn Fn(&Run) -> Option<f64>) -> Result<(f64, Option<f64>, Held)> {
        let (meets_alone, seconds) = self.alone()?;
        let mut rate = 1.0;
        // A rate far above what the fleet sustains takes long to simulate, because all its requests are served in the end.
        while rate * seconds > IN_FLIGHT_AT_FIRST * f64::from(self.test.instances) && rate > 1e-3 {
            rate /= 2.0;
        }
        let mut first = self.hold(rate)?;
        let ceiling = ceiling(&first.run);
        let most = ceiling.unwrap_or(f64::INFINITY).min(1e6);
        // If even requests on an empty cluster miss the objectives, no rate is sustained.
        if !first.carried && !meets_alone {
            return Ok((0.0, ceiling, first));
        }
        while !first.carried || rate > most {
            rate /= 2.0;
            if rate < 1e-3 {
                return Ok((0.0, ceiling, first));
            }
            first = self.hold(rate)?;
        }
        let (mut low, mut best) = (rate, first);
        let mut high = None;
        while high.is_none() && low < most {
            let next = (2.0 * low).min(most);
            let held = self.hold(next)?;
            if held.carried {
                (low, best) = (next, held);
            } else {
                high = Some(next);
            }
        }
        let mut high = high.unwrap_or(low);
        while high / low > 1.02 {
            let middle = (low * high).sqrt();
            let held = self.hold(middle)?;
            if held.carried {
                (low, best) = (middle, held);
            } else {
                high = middle;
            }
        }
        Ok((low, ceiling, best))
    }
}

/// Tests every split of the instances into prefill and decode, or all instances if they are aggregated. Results are sorted by
/// rate per GPU, best first. `done` is called with the number of steps that were done since; a split has [`STEPS_OF_A_SPLIT`].
///
/// # Errors
/// A configuration that cannot be prepared.
pub(super) fn capacities(
    config: &ScenarioConfig,
    workload: &Workload<'_>,
    test: &LoadTest,
    profile: Option<&Profile>,
    done: impl Fn(u64) + Sync,
) -> Result<Vec<Capacity>> {
    let has = |role: Role| config.pool.iter().any(|pool| pool.role == role);
    let all = test.instances;
    let splits: Vec<Vec<(FleetKind, u32)>> = if has(Role::Prefill) {
        (1..all)
            .map(|prefill| {
                vec![
                    (FleetKind::Prefill, prefill),
                    (FleetKind::Decode, all - prefill),
                ]
            })
            .collect()
    } else {
        vec![vec![(FleetKind::Aggregated, all)]]
    };
    let one = |split: &Vec<(FleetKind, u32)>| -> Result<Capacity> {
        let mut config = fixed(config, split);
        config.autoscaling.interval_seconds = Some(1.0);
        let steps = AtomicU64::new(0);
        let held = || {
            // The last step is that of the split's end.
            if steps.fetch_add(1, Ordering::Relaxed) + 1 < STEPS_OF_A_SPLIT {
                done(1);
            }
        };
        let fleet = TestedFleet {
            scenario: config.prepare()?,
            config: config.clone(),
            workload,
            test,
            held: &held,
        };
        let ceiling = profile.map(|profile| Ceiling::new(profile, &config));
        let (rate, ceiling, held) = fleet.highest(&|run| ceiling.as_ref()?.rate(run))?;
        let gpus = gpus(&config);
        let of = |kind| {
            let found = split.iter().find(|(known, _)| *known == kind);
            found.map_or(0, |(_, size)| *size)
        };
        let told = steps.load(Ordering::Relaxed).min(STEPS_OF_A_SPLIT - 1);
        done(STEPS_OF_A_SPLIT - told);
        Ok(Capacity {
            prefill: of(FleetKind::Prefill),
            decode: of(FleetKind::Decode).max(of(FleetKind::Aggregated)),
            gpus,
            rate,
            rate_per_gpu: rate / f64::from(gpus.max(1)),
            held_seconds: held.seconds,
            held_requests: held.requests,
            ceiling,
            seen: FullLoadSignals::of(&held.run, held.seconds),
        })
    };
    let mut capacities: Vec<Capacity> = splits.par_iter().map(one).collect::<Result<_>>()?;
    capacities.sort_by(|a, b| b.rate_per_gpu.total_cmp(&a.rate_per_gpu));
    Ok(capacities)
}
