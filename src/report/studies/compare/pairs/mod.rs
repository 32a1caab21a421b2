//! Statistical comparison of policies with each other.

mod requests;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use self::requests::RequestSamples;
use super::charts::spread;
use super::read::METRIC_NAMES;
use super::{ComparedRun, ScenarioGroup};
use crate::metrics::statistics::{
    Comparison, Finding, Options, Threshold, compare, holm, sentence,
};

/// Maximum number of traces on which single requests are compared; each takes a bootstrap over all requests.
const MOST_TRACES: usize = 3;

/// Maximum number of pairs without the first policy that are compared over requests. With more, a reader would not find the
/// pair that matters, and files would grow with the square of the policies.
const MOST_OVER_REQUESTS: usize = 500;

/// The same over seeds.
const MOST_OVER_SEEDS: usize = 2000;

/// Resamples over seeds, for statistics to which Student's intervals do not apply.
const SEED_RESAMPLES: usize = 1000;

/// The comparison of two policies on a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The trace.
    pub trace: String,
    /// `TTFT`, `TBT` or `E2E`.
    pub metric: &'static str,
    /// The values of its samples: `P90 by seed` or `requests`.
    pub over: &'static str,
    /// The first policy.
    pub policy: String,
    /// The policy with which it is compared.
    pub baseline: String,
    /// Samples, difference and tests.
    pub comparison: Comparison,
    /// The verdict.
    pub finding: Finding,
    /// The verdict in a sentence.
    pub sentence: String,
}

/// Two policies that are compared on a trace, by their indices in the order of the scenario.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    trace: &'a str,
    /// The baseline.
    first: usize,
    second: usize,
    /// Whether the values are those of seeds, not of requests.
    over_seeds: bool,
}

/// The comparisons of a scenario.
struct Plan<'a> {
    wanted: Vec<Wanted<'a>>,
    /// Number of pairs without the first policy that are left out, because there are too many.
    left_out: usize,
}

impl<'a> Plan<'a> {
    fn of(scenario: &ScenarioGroup<'a>) -> Self {
        let policies = scenario.policies();
        // Seeds that change nothing repeat the same run, which must not count as another observation.
        let fixed = scenario.policies_without_chance();
        let varies = |policy: &str| scenario.seeds().len() > 1 && !fixed.contains(&policy);
        let varying: Vec<bool> = policies.iter().map(|policy| varies(policy)).collect();
        let all = scenario.traces();
        let some = spread(&all, MOST_TRACES);
        let mut wanted = Vec::new();
        for trace in &all {
            for first in 0..policies.len() {
                for second in first + 1..policies.len() {
                    let over_seeds = varying[first] || varying[second];
                    let is_shown = first == 0 && some.contains(trace) || all.last() == Some(trace);
                    if over_seeds || is_shown {
                        wanted.push(Wanted {
                            trace,
                            first,
                            second,
                            over_seeds,
                        });
                    }
                }
            }
        }
        let mut left_out = 0;
        for (over_seeds, most) in [(false, MOST_OVER_REQUESTS), (true, MOST_OVER_SEEDS)] {
            let is_other = |one: &Wanted<'_>| one.first != 0 && one.over_seeds == over_seeds;
            let count = wanted.iter().filter(|one| is_other(one)).count();
            if count > most {
                wanted.retain(|one| !is_other(one));
                left_out += count;
            }
        }
        Self { wanted, left_out }
    }
}

/// Number of pairs of policies that [`pairs`] compares, for a progress bar.
pub fn count(scenario: &ScenarioGroup<'_>) -> usize {
    Plan::of(scenario).wanted.len()
}

/// Number of pairs without the first policy that [`pairs`] leaves out, because there are too many.
pub fn left_out(scenario: &ScenarioGroup<'_>) -> usize {
    Plan::of(scenario).left_out
}

/// Compares all policies with each other; pairs with the first policy come first. The values are the P90 of each seed if runs
/// of different seeds differ, and else those of single requests (pairs without the first policy on the last trace only).
/// p-values are corrected for the number of comparisons. A pair is omitted if a sample has fewer than two values or the files
/// lack them. If the pairs without the first policy are more than 500 over requests, or 2,000 over seeds, none of them is
/// compared.
///
/// `done` counts the pairs that are compared, for a progress bar.
pub fn pairs(scenario: &ScenarioGroup<'_>, done: &AtomicU64) -> Vec<Pair> {
    let policies = scenario.policies();
    let plan = Plan::of(scenario);
    let mut pairs = Vec::new();
    for wanted in plan.wanted.chunk_by(|a, b| a.trace == b.trace) {
        let trace = wanted[0].trace;
        // The requests of only one trace are in memory at a time.
        let over_requests = RequestSamples::read(scenario, &policies, wanted);
        let one = |(place, one): (usize, &Wanted<'_>)| {
            let names = (policies[one.second], policies[one.first]);
            let found = match one.over_seeds {
                true => over_seeds(scenario, trace, names),
                false => over_requests.compare(trace, names, place),
            };
            done.fetch_add(1, Ordering::Relaxed);
            found
        };
        pairs.par_extend(wanted.par_iter().enumerate().flat_map_iter(one));
    }
    let p: Vec<f64> = pairs.iter().map(|pair| pair.comparison.p).collect();
    for (pair, p) in pairs.iter_mut().zip(holm(&p)) {
        pair.comparison.p_adjusted = p;
        pair.finding = pair.comparison.finding();
        pair.sentence = sentence(&pair.policy, &pair.baseline, &pair.comparison, true);
    }
    pairs
}

fn runs<'a>(scenario: &ScenarioGroup<'a>, policy: &str, trace: &str) -> Vec<&'a ComparedRun> {
    let all = scenario.of_policy(policy);
    all.filter(|run| run.key.trace == trace).collect()
}

fn over_seeds(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
    (policy, baseline): (&str, &str),
) -> Vec<Pair> {
    let base = runs(scenario, baseline, trace);
    let own = runs(scenario, policy, trace);
    let one = |metric: usize| {
        // The same seed gives the same random draws, so runs of one seed are paired.
        let both = own.iter().filter_map(|run| {
            let other = base.iter().find(|base| base.key.seed == run.key.seed)?;
            run.figures.times[metric][1].zip(other.figures.times[metric][1])
        });
        let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
        let options = Options {
            paired: true,
            resamples: SEED_RESAMPLES,
            threshold: Some(Threshold::TIMES),
            ..Options::default()
        };
        let comparison = compare(&a, &b, &options).ok()?;
        Some(pair(
            (trace, metric, "P90 by seed"),
            (policy, baseline),
            comparison,
        ))
    };
    (0..METRIC_NAMES.len()).filter_map(one).collect()
}

/// A pair before the correction for the number of comparisons.
fn pair(
    (trace, metric, over): (&str, usize, &'static str),
    (policy, baseline): (&str, &str),
    comparison: Comparison,
) -> Pair {
    Pair {
        trace: trace.to_owned(),
        metric: METRIC_NAMES[metric],
        over,
        policy: policy.to_owned(),
        baseline: baseline.to_owned(),
        finding: comparison.finding(),
        comparison,
        sentence: String::new(),
    }
}

/// The findings on the trace with the highest rate, one line for each policy and metric against the first policy. They are
/// preceded by the policies whose seeds all give equal runs.
pub fn text(scenario: &ScenarioGroup<'_>, pairs: &[Pair]) -> String {
    let mut lines = Vec::new();
    let fixed = scenario.policies_without_chance();
    if !fixed.is_empty() {
        lines.push(format!(
            "the seeds of {} are equal, request by request: nothing in these runs is random, and they count once",
            fixed.join(", ")
        ));
    }
    let Some(last) = pairs.last() else {
        return lines.join("\n");
    };
    let baseline = &pairs[0].baseline;
    let of_trace = |pair: &&Pair| pair.trace == last.trace;
    let (first, others): (Vec<&Pair>, Vec<&Pair>) = pairs
        .iter()
        .filter(of_trace)
        .partition(|pair| pair.baseline == *baseline);
    for same in first.chunk_by(|a, b| a.over == b.over) {
        lines.push(format!(
            "on {}, over {} ({} values each):",
            last.trace, same[0].over, same[0].comparison.a.count
        ));
        for pair in same {
            lines.push(format!("  {}: {}", pair.metric, pair.sentence));
        }
    }
    let left_out = left_out(scenario);
    if left_out > 0 {
        lines.push(format!("  ({left_out} pairs of the others are not compared with each other, because they are too many)"));
    }
    if !others.is_empty() {
        let count = others.len();
        lines.push(format!("  and {count} comparisons of the others with each other, in comparison.json and the report"));
    }
    lines.push(format!(
        "  (a difference {} is not told as one)",
        Threshold::TIMES
    ));
    if first.iter().any(|pair| pair.over == "requests") {
        lines.push("  (requests wait for each other, so single runs look surer than they are: take several seeds)".into());
    }
    lines.join("\n")
}
