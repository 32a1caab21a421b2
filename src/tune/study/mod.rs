//! Chooses the autoscaling policy for a workload: load-tests the cluster, tunes every policy by the result, simulates each
//! setting, and selects the cheapest that meets the objectives (HeteroScale, arXiv 2508.19559, Algorithm 1).

mod candidates;
mod ceiling;
mod load_test;
mod signals;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::autoscale::planner::profile::Profile;
use crate::autoscale::policy::POLICIES;
use crate::base::error::{Error, Result};
use crate::metrics::Serving;
use crate::scenario::{RunOptions, ScenarioConfig};
use crate::sim::{Role, Workload};

pub use candidates::{COOLDOWNS, Candidate, HEADROOMS, policies};
pub use load_test::{Capacity, LONGEST_HOLD, LoadTest, SHORTEST_HOLD, STATIONARY_GROWTH};
pub use signals::FullLoadSignals;

use candidates::StudyContext;

/// The result of one setting of a policy on the trace.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// The policy.
    pub policy: String,
    /// Its setting in words.
    pub setting: String,
    /// Fraction of the requests that arrived which finished and met all objectives; `None` where none arrived.
    pub attainment: Option<f64>,
    /// GPU-hours.
    pub gpu_hours: f64,
    /// Cost in dollars, if prices are known.
    pub dollars: Option<f64>,
    /// 90th percentile of TTFT of the requests that finished, in seconds.
    pub ttft_p90: Option<f64>,
    /// 90th percentile of TBT of the requests that finished, in seconds.
    pub tbt_p90: Option<f64>,
    /// Number of times at which the cluster changed its size.
    pub scaling_events: u64,
    /// Number of times that a fleet reversed its scaling direction within 300 seconds.
    pub flaps: u64,
}

impl Trial {
    /// Creates the result from the figures of a run.
    pub fn new(policy: &str, setting: &str, serving: &Serving) -> Self {
        let scaling = &serving.scaling.figures;
        Self {
            policy: policy.to_owned(),
            setting: setting.to_owned(),
            attainment: serving.slo.attainment,
            // A prepared scenario has the GPU count of all its pools.
            gpu_hours: serving.cost.gpu_hours.unwrap_or(f64::NAN),
            dollars: serving.cost.dollars,
            ttft_p90: serving.ttft.p90,
            tbt_p90: serving.tbt.p90,
            scaling_events: scaling.scaling_events,
            flaps: scaling.changes.flaps,
        }
    }
}

/// The best setting of a policy.
#[derive(Debug)]
pub struct Choice {
    /// Its result on the trace.
    pub trial: Trial,
    /// Whether it meets the objectives; if not, no setting of the policy does, and this one has the highest attainment.
    pub keeps: bool,
    /// The whole configuration.
    pub config: ScenarioConfig,
}

/// The results of a study.
#[derive(Debug)]
pub struct PolicyStudy {
    /// Splits of the tested instances, sorted by rate per GPU, best first.
    pub capacities: Vec<Capacity>,
    /// Every tried setting, in order.
    pub trials: Vec<Trial>,
    /// The best setting of each policy, sorted by cost; those that meet the objectives come first.
    pub choices: Vec<Choice>,
}

/// Options of a study.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Options of the load test.
    pub load_test: LoadTest,
    /// The profile of the cluster's instances, which bounds the rates of the load test.
    pub instances: Option<Profile>,
    /// Policies to try. `no_autoscaling` is always tried, at the smallest size that meets the objectives.
    pub policies: Vec<String>,
    /// Folder of the same profile, to which configurations of the SLA planner refer.
    pub profile: Option<std::path::PathBuf>,
}

/// Number of steps of a study, for a progress bar.
pub fn steps(config: &ScenarioConfig, options: &StudyOptions) -> u64 {
    let splits = if is_split(config) {
        u64::from(options.load_test.instances.saturating_sub(1))
    } else {
        1
    };
    splits * load_test::STEPS_OF_A_SPLIT
        + options.policies.len() as u64 * (HEADROOMS.len() * COOLDOWNS.len()) as u64
}

fn is_split(config: &ScenarioConfig) -> bool {
    config.pool.iter().any(|pool| pool.role == Role::Prefill)
}

/// Runs a study. `done` is called after each step.
///
/// # Errors
/// Unknown policies, or a cluster that sustains no rate within the objectives.
pub fn study(
    config: &ScenarioConfig,
    workload: &Workload<'_>,
    options: &StudyOptions,
    done: &AtomicU64,
) -> Result<PolicyStudy> {
    let known = candidates::policies();
    let mut policies = Vec::new();
    for name in &options.policies {
        let wanted = name.replace('-', "_");
        match known.iter().find(|known| **known == wanted) {
            Some(known) => policies.push(*known),
            None => return Err(Error::unknown_name("scaling policy", name, &known)),
        }
    }
    let profile = options.instances.as_ref();
    let capacities =
        load_test::capacities(config, workload, &options.load_test, profile, |steps| {
            done.fetch_add(steps, Ordering::Relaxed);
        })?;
    let best = &capacities[0];
    if best.rate <= 0.0 {
        return Err(Error::usage(
            format!(
                "{} instances do not meet the objectives even at one request per thousand seconds",
                options.load_test.instances
            ),
            "give larger [slo] times, larger GPUs, or more instances to test",
        ));
    }
    let context = StudyContext {
        config,
        capacity: best,
        hours: hours(workload),
        profile: options.profile.as_deref(),
        span: span(workload),
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for policy in &policies {
        candidates.extend(context.candidates(POLICIES.find(policy)?)?);
    }
    // Policies that need both roles do not apply to a cluster with one.
    candidates.retain(|candidate| candidate.config.prepare().is_ok());
    let runs: Vec<Trial> = candidates
        .par_iter()
        .map(|candidate| {
            let trial = run(candidate, workload, options.load_test.seed);
            done.fetch_add(1, Ordering::Relaxed);
            trial
        })
        .collect::<Result<_>>()?;
    let mut trials = Vec::new();
    let mut choices = Vec::new();
    let fixed = smallest(&context, workload, options)?;
    trials.push(fixed.trial.clone());
    choices.push(fixed);
    for policy in &policies {
        let own = candidates
            .iter()
            .zip(&runs)
            .filter(|(c, _)| c.policy == *policy);
        let best = own.min_by(|(_, a), (_, b)| rank(a, options).total_cmp(&rank(b, options)));
        if let Some((candidate, trial)) = best {
            choices.push(Choice {
                trial: trial.clone(),
                keeps: trial.attainment >= Some(options.load_test.attainment),
                config: candidate.config.clone(),
            });
        }
    }
    trials.extend(runs);
    choices.sort_by(|a, b| rank(&a.trial, options).total_cmp(&rank(&b.trial, options)));
    Ok(PolicyStudy {
        capacities,
        trials,
        choices,
    })
}

/// Sort order: settings that meet the objectives come first, by GPU-hours; the others follow by attainment, highest first.
fn rank(trial: &Trial, options: &StudyOptions) -> f64 {
    if trial.attainment >= Some(options.load_test.attainment) {
        trial.gpu_hours
    } else {
        1e12 * (2.0 - trial.attainment.unwrap_or(0.0))
    }
}

fn run(candidate: &Candidate, workload: &Workload<'_>, seed: u64) -> Result<Trial> {
    let prepared = candidate.config.prepare()?;
    let run = prepared.run(workload, seed, RunOptions::default())?;
    Ok(Trial::new(
        candidate.policy,
        &candidate.setting,
        &run.serving,
    ))
}

/// Simulates fleets of fixed size at the best ratio, from the size that the busiest hour needs upwards, until one meets the
/// objectives.
fn smallest(
    context: &StudyContext<'_>,
    workload: &Workload<'_>,
    options: &StudyOptions,
) -> Result<Choice> {
    use crate::autoscale::signals::FleetKind;
    let peak = context.hours.iter().copied().fold(0.0, f64::max);
    let mut best: Option<(Trial, ScenarioConfig)> = None;
    for headroom in [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3] {
        let (prefill, decode) = context.sizes(peak, headroom);
        let sizes = [
            (FleetKind::Prefill, prefill),
            (FleetKind::Decode, decode),
            (FleetKind::Aggregated, decode),
        ];
        let mut config = load_test::fixed(context.config, &sizes);
        config.autoscaling.interval_seconds = None;
        let setting = match is_split(&config) {
            true => format!("{prefill} prefill and {decode} decode instances"),
            false => format!("{decode} instances"),
        };
        let candidate = Candidate {
            policy: "no_autoscaling",
            setting,
            config,
        };
        let trial = run(&candidate, workload, options.load_test.seed)?;
        let keeps = trial.attainment >= Some(options.load_test.attainment);
        let better =
            |best: &(Trial, ScenarioConfig)| rank(&trial, options) < rank(&best.0, options);
        if best.as_ref().is_none_or(better) {
            best = Some((trial, candidate.config));
        }
        if keeps {
            break;
        }
    }
    let Some((trial, config)) = best else {
        return Err(Error::usage("nothing was tried", "report this"));
    };
    Ok(Choice {
        keeps: trial.attainment >= Some(options.load_test.attainment),
        trial,
        config,
    })
}

fn span(workload: &Workload<'_>) -> f64 {
    workload
        .items()
        .last()
        .map_or(0.0, |item| item.arrival.as_secs_f64())
}

/// Requests per second in each of 24 equal intervals of the trace.
fn hours(workload: &Workload<'_>) -> [f64; 24] {
    let span = span(workload).max(1e-9);
    let mut rates = [0.0; 24];
    for item in workload.items() {
        let hour = (item.arrival.as_secs_f64() / span * 24.0) as usize;
        rates[hour.min(23)] += 24.0 / span;
    }
    rates
}
