//! What a fleet of fixed size carries within its objectives, and what is seen of it then.

use rand_distr::Distribution as _;
use rayon::prelude::*;

use crate::autoscale::signals::{FLEET_SIGNALS, FleetKind, SIGNALS};
use crate::base::error::Result;
use crate::base::random::stream;
use crate::scenario::{Run, RunOptions, Scenario, ScenarioConfig};
use crate::sim::{Role, Workload};
use crate::trace::Nanos;

/// How the service is pressed.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// Requests of one test, from the trace's beginning.
    pub requests: usize,
    /// Part of the requests that must meet the objectives.
    pub attainment: f64,
    /// Prefill and decode instances together.
    pub instances: u32,
    /// Of the arrivals.
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
    /// What is seen then.
    pub seen: Expected,
}

/// Means over the middle of a test at full load: the metrics that policies are tuned by.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Expected {
    signals: Vec<(String, f64)>,
}

impl Expected {
    /// A signal of the cluster by name, or of a fleet as `decode_busy`; 0 of one that there is not.
    pub fn get(&self, name: &str) -> f64 {
        let found = self.signals.iter().find(|(known, _)| known == name);
        found.map_or(0.0, |(_, value)| *value)
    }

    fn of(run: &Run) -> Self {
        let Some(log) = &run.scaling else {
            return Self::default();
        };
        // What fills up and what runs empty is left out.
        let count = log.ticks.len();
        let middle = &log.ticks[count / 4..(count * 3 / 4).max(count / 4 + 1).min(count)];
        let mean = |of: &dyn Fn(&crate::autoscale::Tick) -> f64| {
            middle.iter().map(of).sum::<f64>() / middle.len().max(1) as f64
        };
        let mut signals: Vec<(String, f64)> = SIGNALS
            .iter()
            .enumerate()
            .map(|(index, signal)| (signal.name.to_owned(), mean(&|tick| tick.signals[index])))
            .collect();
        for (fleet, kind) in log.fleets.iter().enumerate() {
            for (index, signal) in FLEET_SIGNALS.iter().enumerate() {
                let name = format!("{}_{}", kind.name(), signal.name);
                signals.push((name, mean(&|tick| tick.fleets[fleet][index])));
            }
        }
        Self { signals }
    }
}

/// The same cluster with so many instances of each role, spread over its pools from the first, and nobody to change it.
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
pub(super) fn gpus(config: &ScenarioConfig) -> u32 {
    config
        .pool
        .iter()
        .map(|pool| pool.instances * pool.gpus)
        .sum()
}

/// The trace's first requests at a constant rate, with exponential gaps.
fn paced<'a>(workload: &Workload<'a>, pressure: &Pressure, rate: f64) -> Workload<'a> {
    let mut random = stream(pressure.seed, "pressure", 0);
    let mut time = 0.0;
    workload.first(pressure.requests, |_| {
        let gap: f64 = rand_distr::Exp1.sample(&mut random);
        time += gap / rate;
        Nanos::from_secs_f64(time)
    })
}

/// Serves the trace's first requests at a rate.
fn test(
    prepared: &Scenario,
    workload: &Workload<'_>,
    pressure: &Pressure,
    rate: f64,
) -> Result<Run> {
    let paced = paced(workload, pressure, rate);
    prepared.run(&paced, pressure.seed, RunOptions::default())
}

/// The highest rate that a cluster carries, to two parts in a hundred.
fn highest_rate(
    config: &ScenarioConfig,
    workload: &Workload<'_>,
    pressure: &Pressure,
) -> Result<(f64, Run)> {
    let mut config = config.clone();
    config.autoscaling.interval_seconds = Some(1.0);
    let prepared = config.prepare()?;
    let carries = |rate: f64| -> Result<Option<Run>> {
        let run = test(&prepared, workload, pressure, rate)?;
        let met = run.serving.slo.attainment >= Some(pressure.attainment);
        Ok(met.then_some(run))
    };
    let (mut low, mut high) = (0.0, 1.0);
    let mut best = None;
    while let Some(records) = carries(high)? {
        best = Some(records);
        low = high;
        high *= 2.0;
        if high > 1e6 {
            break;
        }
    }
    if best.is_none() {
        // Less than a request per second.
        let mut rate = 0.5;
        while rate > 1e-3 {
            if let Some(records) = carries(rate)? {
                (low, high, best) = (rate, rate * 2.0, Some(records));
                break;
            }
            rate /= 2.0;
        }
    }
    let Some(mut best) = best else {
        return Ok((0.0, test(&prepared, workload, pressure, 1e-3)?));
    };
    while high / low > 1.02 {
        let middle = (low * high).sqrt();
        match carries(middle)? {
            Some(records) => (low, best) = (middle, records),
            None => high = middle,
        }
    }
    Ok((low, best))
}

/// Presses every split of so many instances, or so many that serve whole requests; best per GPU first.
///
/// # Errors
/// A configuration that cannot be.
pub(super) fn press(
    config: &ScenarioConfig,
    workload: &Workload<'_>,
    pressure: &Pressure,
    done: impl Fn() + Sync,
) -> Result<Vec<Capacity>> {
    let has = |role: Role| config.pool.iter().any(|pool| pool.role == role);
    let all = pressure.instances;
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
        let config = fixed(config, split);
        let (rate, records) = highest_rate(&config, workload, pressure)?;
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
            seen: Expected::of(&records),
        })
    };
    let mut capacities: Vec<Capacity> = splits.par_iter().map(one).collect::<Result<_>>()?;
    capacities.sort_by(|a, b| b.rate_per_gpu.total_cmp(&a.rate_per_gpu));
    Ok(capacities)
}
