//! The load test: the highest request rate at which a fleet of fixed size meets the objectives, and the metrics there.
//!
//! Each rate is held until the number of requests in flight is stationary. A rate at which it grows without end is not carried,
//! however long the objectives are met meanwhile: a burst that is over before the queue has grown says nothing.

use rand_distr::Distribution as _;
use rayon::prelude::*;

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

/// How long a rate is held at most, as a multiple of [`LoadTest::requests`].
pub const LONGEST_HOLD: usize = 32;

/// Growth of the number of requests in flight, as a fraction of the request rate, up to which it counts as stationary: at most
/// so much of what arrives is not served.
pub const STATIONARY_GROWTH: f64 = 0.02;

/// How the load test is made.
#[derive(Debug, Clone, Copy)]
pub struct LoadTest {
    /// Requests that a rate is held for at first: those of the trace, from its beginning on and again. While the number in
    /// flight is not stationary the hold is doubled, up to [`LONGEST_HOLD`] times.
    pub requests: usize,
    /// Fraction of the requests that must meet the objectives.
    pub attainment: f64,
    /// Prefill and decode instances together.
    pub instances: u32,
    /// Seed of the arrival times.
    pub seed: u64,
}

/// A fleet of fixed size at the highest rate that it carries.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Capacity {
    /// Prefill instances; 0 where instances serve whole requests.
    pub prefill: u32,
    /// Decode instances, or those that serve whole requests.
    pub decode: u32,
    /// GPUs of all.
    pub gpus: u32,
    /// Requests per second.
    pub rate: f64,
    /// The same for each GPU.
    pub rate_per_gpu: f64,
    /// Seconds for which this rate was held.
    pub held_seconds: f64,
    /// Requests that arrived meanwhile.
    pub held_requests: usize,
    /// Requests per second that the instances' profile allows at most; `None` where no profile was measured.
    pub ceiling: Option<f64>,
    /// Metrics at this rate.
    pub seen: FullLoadSignals,
}

/// A rate that was held.
struct Held {
    /// Whether the objectives were met and the number in flight was stationary.
    carried: bool,
    seconds: f64,
    requests: usize,
    run: Run,
}

/// What requests did in the middle of a hold, and how the number in flight grew towards its end.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Steadiness {
    /// Fraction of the requests of the second and third quarter that met the objectives: not those of the first, which find
    /// an empty cluster, nor those of the last, after which nothing arrives.
    attainment: f64,
    /// Mean number in flight in the last quarter less that in the third, per second, as a fraction of the rate.
    growth: f64,
}

impl Steadiness {
    fn of(
        requests: &[RequestRecord],
        rate: f64,
        attained: &dyn Fn(&[RequestRecord]) -> f64,
    ) -> Self {
        let end = requests
            .last()
            .map_or(0.0, |last| last.arrival.as_secs_f64());
        let quarter = end / 4.0;
        let from = |time: f64| requests.partition_point(|r| r.arrival.as_secs_f64() < time);
        let middle = &requests[from(quarter)..from(3.0 * quarter)];
        let mean = |number: f64| {
            let (start, stop) = (number * quarter, (number + 1.0) * quarter);
            in_flight_seconds(requests, start, stop) / quarter
        };
        let growth = (mean(3.0) - mean(2.0)) / (quarter * rate);
        Self {
            attainment: attained(middle),
            growth: if quarter > 0.0 { growth } else { 0.0 },
        }
    }

    fn is_stationary(self) -> bool {
        self.growth <= STATIONARY_GROWTH
    }
}

/// Seconds that all requests together were in flight between two times.
fn in_flight_seconds(requests: &[RequestRecord], start: f64, stop: f64) -> f64 {
    let inside = |request: &RequestRecord| {
        let (arrival, ended) = (request.arrival.as_secs_f64(), request.ended.as_secs_f64());
        (ended.min(stop) - arrival.max(start)).max(0.0)
    };
    requests.iter().map(inside).sum()
}

/// The same cluster with these numbers of instances of each role, in the role's first pool, and no autoscaling.
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

/// GPUs of a fleet of fixed size.
fn gpus(config: &ScenarioConfig) -> u32 {
    config
        .pool
        .iter()
        .map(|pool| pool.instances * pool.gpus)
        .sum()
}

/// One fleet under test.
struct TestedFleet<'a> {
    scenario: Scenario,
    workload: &'a Workload<'a>,
    test: &'a LoadTest,
}

impl TestedFleet<'_> {
    /// Serves a number of requests at a constant rate with exponential gaps.
    fn serve(&self, rate: f64, requests: usize) -> Result<Run> {
        let mut random = stream(self.test.seed, "load test", 0);
        let mut time = 0.0;
        let blocks = self.workload.blocks();
        let blocks = blocks.map(|blocks| blocks.repeated(requests));
        let paced = self.workload.repeated(requests, blocks.as_ref(), || {
            let gap: f64 = rand_distr::Exp1.sample(&mut random);
            time += gap / rate;
            Nanos::from_secs_f64(time)
        });
        self.scenario
            .run(&paced, self.test.seed, RunOptions::default())
    }

    /// Holds a rate until it is known whether it is carried.
    fn hold(&self, rate: f64) -> Result<Held> {
        let objectives = self.scenario.config().slo.objectives();
        let attained = |requests: &[RequestRecord]| {
            let attainment = Attainment::of(&rows(requests), &objectives);
            attainment.all.unwrap_or(0.0)
        };
        let longest = self.test.requests.saturating_mul(LONGEST_HOLD);
        let mut requests = self.test.requests;
        loop {
            let run = self.serve(rate, requests)?;
            let steadiness = Steadiness::of(&run.records.requests, rate, &attained);
            let good = steadiness.attainment >= self.test.attainment;
            if !good || steadiness.is_stationary() || requests >= longest {
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

    /// The highest rate that is carried, to two percent, and not above a ceiling, which the first run tells; 0 where less than
    /// one request in a thousand seconds is.
    fn highest(&self, ceiling: &dyn Fn(&Run) -> Option<f64>) -> Result<(f64, Option<f64>, Held)> {
        let mut rate = 1.0;
        let mut first = self.hold(rate)?;
        let ceiling = ceiling(&first.run);
        let most = ceiling.unwrap_or(f64::INFINITY).min(1e6);
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

/// Tests every split of the instances into prefill and decode, or all instances where they serve whole requests. Best per
/// GPU first. `done` is called after each.
///
/// # Errors
/// A configuration that cannot be prepared.
pub(super) fn capacities(
    config: &ScenarioConfig,
    workload: &Workload<'_>,
    test: &LoadTest,
    profile: Option<&Profile>,
    done: impl Fn() + Sync,
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
        let fleet = TestedFleet {
            scenario: config.prepare()?,
            workload,
            test,
        };
        let ceiling = profile.map(|profile| Ceiling::new(profile, &config));
        let (rate, ceiling, held) = fleet.highest(&|run| ceiling.as_ref()?.rate(run))?;
        let gpus = gpus(&config);
        let of = |kind| {
            let found = split.iter().find(|(known, _)| *known == kind);
            found.map_or(0, |(_, size)| *size)
        };
        done();
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

#[cfg(test)]
mod tests {
    use crate::sim::Outcome;
    use crate::tune::study::load_test::*;

    /// Requests at one per second from 1 s on, each in flight for a number of seconds.
    fn requests(count: u32, in_flight: impl Fn(u32) -> u32) -> Vec<RequestRecord> {
        let seconds = |time: u32| Nanos(u64::from(time) * 1_000_000_000);
        (1..=count)
            .map(|at| RequestRecord {
                arrival: seconds(at),
                ended: seconds(at + in_flight(at)),
                outcome: Outcome::Finished,
                ..RequestRecord::default()
            })
            .collect()
    }

    #[test]
    fn a_queue_is_stationary_if_it_does_not_grow() {
        let all = |requests: &[RequestRecord]| requests.len() as f64;
        // Always five in flight; 40 s are four quarters of 10 s. Arrivals from 10 s to below 30 s are 20.
        let steady = Steadiness::of(&requests(40, |_| 5), 1.0, &all);
        assert_eq!(steady.attainment, 20.0);
        assert_eq!(steady.growth, 0.0);
        assert!(steady.is_stationary());
        // Nobody leaves: the mean in flight is 25 and 35 in the last two quarters, ten more in 10 s at 1 request/s.
        let growing = Steadiness::of(&requests(40, |_| 100), 1.0, &all);
        assert!((growing.growth - 1.0).abs() < 0.06, "{growing:?}");
        assert!(!growing.is_stationary());
        // One request in ten more than is served: each waits a tenth of its arrival time longer.
        let overload = Steadiness::of(&requests(400, |at| at / 10), 1.0, &all);
        assert!((overload.growth - 0.1).abs() < 0.02, "{overload:?}");
        assert!(!overload.is_stationary());
    }

    /// One instance whose steps take 10 ms and hold four requests at most.
    const FOUR_AT_A_TIME: &str = r#"
[[pool]]
name = "all"
blocks = 10000
[latency]
kind = "constant"
seconds = 0.01
[scheduler]
kind = "vllm-v1"
max_num_seqs = 4
"#;

    #[test]
    fn a_burst_is_no_capacity() {
        let config: ScenarioConfig = toml::from_str(FOUR_AT_A_TIME).expect("TOML");
        let item = |session| crate::sim::Item {
            arrival: Nanos::ZERO,
            session,
            prompt: 50,
            output: 10,
        };
        let workload = Workload::of_items((0..100).map(item).collect());
        let test = LoadTest {
            requests: 100,
            attainment: 0.99,
            instances: 1,
            seed: 0,
        };
        let measured = crate::scenario::profiler::measure(
            &config,
            &crate::scenario::profiler::Grid::of(&workload),
        );
        let profile = measured.expect("is measured").profile;
        for profile in [None, Some(&profile)] {
            let found = capacities(&config, &workload, &test, profile, || {}).expect("is carried");
            let [found] = found.as_slice() else {
                panic!("one fleet: {found:?}");
            };
            // A request takes 10 steps, so 4 / 0.1 s = 40 requests/s is the most. As a burst, 100 requests at 200 requests/s
            // would meet the TTFT of 2 s: they are computed in 100 / 40 = 2.5 s and arrive within 0.5 s.
            assert!(found.rate > 37.0 && found.rate <= 40.0, "{found:?}");
            // Held until the queue was stationary: longer than 100 requests.
            assert!(found.held_requests > 100, "{found:?}");
            assert!(found.held_seconds > 2.5, "{found:?}");
            // By the profile 400 tokens/s, of which a request has 9 after its first.
            let ceiling = found.ceiling.map(|ceiling| (ceiling * 9.0).round());
            assert_eq!(ceiling, profile.map(|_| 400.0));
        }
    }

    #[test]
    fn seconds_in_flight_by_hand() {
        // In flight from 1 to 6, 2 to 7 and 3 to 8 s; of [4, 7): 2, 3 and 3 s.
        assert_eq!(in_flight_seconds(&requests(3, |_| 5), 4.0, 7.0), 8.0);
        assert_eq!(in_flight_seconds(&requests(3, |_| 5), 0.0, 1.0), 0.0);
    }
}
