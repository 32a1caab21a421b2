//! Whether policies differ from each other by more than chance.

use rayon::prelude::*;
use serde::Serialize;

use super::charts::spread;
use super::read::{METRIC_NAMES, request_times};
use super::{Run, Scenario};
use crate::metrics::statistics::{Comparison, Options, Statistic, compare, holm, sentence};

/// Traces on which single requests are compared; each costs a bootstrap over all of them.
const MOST_TRACES: usize = 3;

/// Resamples over requests; their intervals are narrow anyway.
const RESAMPLES: usize = 400;

/// The same for pairs without the baseline, of which there are many.
const FEW_RESAMPLES: usize = 100;

/// A policy against another on a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The trace.
    pub trace: String,
    /// Which time.
    pub metric: &'static str,
    /// What its values are.
    pub over: &'static str,
    /// The policy.
    pub policy: String,
    /// What it is compared with: the first of all, or one that comes before it.
    pub baseline: String,
    /// What was found.
    pub comparison: Comparison,
    /// The same in a sentence.
    pub sentence: String,
}

/// All policies against each other, those against the first one first: over the P90 of seeds, or over requests where there is one
/// seed; single requests of pairs without the first policy on the last trace only. Corrected for their number. Where samples are too small, or files do not tell, there is no pair.
pub fn pairs(scenario: &Scenario<'_>) -> Vec<Pair> {
    let policies = scenario.policies();
    if policies.len() < 2 {
        return Vec::new();
    }
    // Seeds that change nothing are one run told twice.
    let seeds = scenario.seeds().len() > 1 && policies.iter().any(|policy| vary(scenario, policy));
    let traces = scenario.traces();
    let traces = if seeds {
        traces
    } else {
        spread(&traces, MOST_TRACES)
    };
    let mut pairs: Vec<Pair> = traces
        .par_iter()
        .map(|trace| {
            if seeds {
                let firsts = (0..policies.len() - 1).into_par_iter();
                firsts
                    .map(|first| {
                        over_seeds(scenario, trace, policies[first], &policies[first + 1..])
                    })
                    .flatten()
                    .collect::<Vec<_>>()
            } else {
                let all = traces.last() == Some(trace);
                over_requests(scenario, trace, &policies, all)
            }
        })
        .flatten()
        .collect();
    let adjusted = holm(
        &pairs
            .iter()
            .map(|pair| pair.comparison.p)
            .collect::<Vec<_>>(),
    );
    for (pair, p) in pairs.iter_mut().zip(adjusted) {
        pair.comparison.p_adjusted = p;
        pair.sentence = sentence(&pair.policy, &pair.baseline, &pair.comparison, true);
    }
    pairs
}

/// Whether a policy's runs of a trace differ by seed.
fn vary(scenario: &Scenario<'_>, policy: &str) -> bool {
    let all: Vec<&Run> = scenario.of_policy(policy).collect();
    let differ = |pair: &[&Run]| {
        pair[0].key.trace == pair[1].key.trace && pair[0].figures.times != pair[1].figures.times
    };
    all.windows(2).any(differ)
}

fn runs<'a>(scenario: &Scenario<'a>, policy: &str, trace: &str) -> Vec<&'a Run> {
    let all = scenario.of_policy(policy);
    all.filter(|run| run.key.trace == trace).collect()
}

fn over_seeds(scenario: &Scenario<'_>, trace: &str, baseline: &str, others: &[&str]) -> Vec<Pair> {
    let base = runs(scenario, baseline, trace);
    let mut pairs = Vec::new();
    for policy in others {
        let own = runs(scenario, policy, trace);
        for metric in 0..METRIC_NAMES.len() {
            // The same seed has the same draws, so seeds that both have belong together.
            let both = own.iter().filter_map(|run| {
                let other = base.iter().find(|base| base.key.seed == run.key.seed)?;
                run.figures.times[metric][1].zip(other.figures.times[metric][1])
            });
            let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
            let options = Options {
                paired: true,
                // Few values have Student's intervals.
                resamples: 1000,
                ..Options::default()
            };
            pairs.extend(pair(
                trace,
                metric,
                "P90 by seed",
                (policy, &a),
                (baseline, &b),
                &options,
            ));
        }
    }
    pairs
}

fn over_requests(scenario: &Scenario<'_>, trace: &str, policies: &[&str], all: bool) -> Vec<Pair> {
    let times = |policy: &str| {
        let run = runs(scenario, policy, trace).first().copied()?;
        request_times(&run.folder).ok().flatten()
    };
    let times: Vec<_> = policies.par_iter().map(|policy| times(policy)).collect();
    let firsts = if all { policies.len() - 1 } else { 1 };
    let both: Vec<(usize, usize)> = (0..firsts)
        .flat_map(|first| (first + 1..policies.len()).map(move |second| (first, second)))
        .collect();
    let one = |(first, second): &(usize, usize)| {
        let (base, own) = (times[*first].as_ref()?, times[*second].as_ref()?);
        let found = (0..METRIC_NAMES.len()).filter_map(|metric| {
            let finite = |values: &[f64]| {
                values
                    .iter()
                    .copied()
                    .filter(|v| v.is_finite())
                    .collect::<Vec<_>>()
            };
            let (a, b) = (finite(&own[metric]), finite(&base[metric]));
            let options = Options {
                statistic: Statistic::Mean,
                // All requests ended in both, so each is there twice.
                paired: a.len() == b.len() && own[2].len() == base[2].len(),
                resamples: if *first == 0 {
                    RESAMPLES
                } else {
                    FEW_RESAMPLES
                },
                ..Options::default()
            };
            pair(
                trace,
                metric,
                "requests",
                (policies[*second], &a),
                (policies[*first], &b),
                &options,
            )
        });
        Some(found.collect::<Vec<_>>())
    };
    let found: Vec<Option<Vec<Pair>>> = both.par_iter().map(one).collect();
    found.into_iter().flatten().flatten().collect()
}

fn pair(
    trace: &str,
    metric: usize,
    over: &'static str,
    (policy, a): (&str, &[f64]),
    (baseline, b): (&str, &[f64]),
    options: &Options,
) -> Option<Pair> {
    let comparison = compare(a, b, options).ok()?;
    Some(Pair {
        trace: trace.to_owned(),
        metric: METRIC_NAMES[metric],
        over,
        policy: policy.to_owned(),
        baseline: baseline.to_owned(),
        comparison,
        sentence: String::new(),
    })
}

/// What is to be said of the trace with the highest rate: a line for each metric and policy against the first policy, and where
/// the others are.
pub fn text(pairs: &[Pair]) -> String {
    let Some(last) = pairs.last() else {
        return String::new();
    };
    let mut lines = vec![format!(
        "on {}, over {} ({} values each):",
        last.trace, last.over, last.comparison.a.count
    )];
    let baseline = &pairs[0].baseline;
    let of_trace = |pair: &&Pair| pair.trace == last.trace;
    let (first, others): (Vec<&Pair>, Vec<&Pair>) = pairs
        .iter()
        .filter(of_trace)
        .partition(|pair| pair.baseline == *baseline);
    for pair in first {
        lines.push(format!("  {}: {}", pair.metric, pair.sentence));
    }
    if !others.is_empty() {
        let count = others.len();
        lines.push(format!("  and {count} comparisons of the others with each other, in comparison.json and the report"));
    }
    if last.over == "requests" {
        lines.push("  (requests wait for each other, so single runs look surer than they are: take several seeds)".into());
    }
    lines.join("\n")
}
