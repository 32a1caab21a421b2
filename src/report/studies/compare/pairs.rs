//! Statistical comparison of policies with each other.

use rayon::prelude::*;
use serde::Serialize;

use super::charts::spread;
use super::read::{METRIC_NAMES, Requests, requests, times};
use super::{ComparedRun, ScenarioGroup};
use crate::metrics::statistics::{
    Comparison, Finding, Options, Statistic, Threshold, compare, holm, sentence,
};

/// Maximum number of traces on which single requests are compared; each takes a bootstrap over all requests.
const MOST_TRACES: usize = 3;

/// Resamples over requests, for pairs with the first policy; their intervals are narrow at this number.
const RESAMPLES: usize = 400;

/// Resamples for the other, more numerous pairs.
const FEW_RESAMPLES: usize = 100;

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

/// Compares all policies with each other; pairs with the first policy come first. The values are the P90 of each seed if runs
/// of different seeds differ, and else those of single requests (pairs without the first policy on the last trace only).
/// p-values are corrected for the number of comparisons. A pair is omitted if a sample has fewer than two values or the files
/// lack them.
pub fn pairs(scenario: &ScenarioGroup<'_>) -> Vec<Pair> {
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
                    wanted.push((*trace, first, second, over_seeds));
                }
            }
        }
    }
    let read = |trace: &str| -> Vec<Option<Requests>> {
        let is_needed = |place: usize| {
            let wanted = wanted.iter().filter(|one| one.0 == trace && !one.3);
            wanted
                .into_iter()
                .any(|one| one.1 == place || one.2 == place)
        };
        let one = |(place, policy): (usize, &&str)| {
            let run = is_needed(place).then(|| runs(scenario, policy, trace).first().copied())?;
            requests(&run?.folder).ok().flatten()
        };
        policies.par_iter().enumerate().map(one).collect()
    };
    // The requests of only one trace are in memory at a time.
    let of_trace = |trace: &&str| {
        let rows = read(trace);
        let one = |(_, first, second, over_seeds): &&(&str, usize, usize, bool)| {
            let (baseline, policy) = (policies[*first], policies[*second]);
            match over_seeds {
                true => over_seeds_of(scenario, trace, baseline, policy),
                false => {
                    let rows = rows[*first].as_ref().zip(rows[*second].as_ref());
                    rows.map_or_else(Vec::new, |(base, own)| {
                        let resamples = if *first == 0 {
                            RESAMPLES
                        } else {
                            FEW_RESAMPLES
                        };
                        over_requests(trace, (policy, own), (baseline, base), resamples)
                    })
                }
            }
        };
        let of_this: Vec<_> = wanted.iter().filter(|one| one.0 == *trace).collect();
        of_this.par_iter().flat_map(one).collect::<Vec<Pair>>()
    };
    let mut pairs: Vec<Pair> = all.iter().flat_map(of_trace).collect();
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

fn over_seeds_of(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
    baseline: &str,
    policy: &str,
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
            ..Options::default()
        };
        pair(
            trace,
            metric,
            "P90 by seed",
            (policy, &a),
            (baseline, &b),
            options,
        )
    };
    (0..METRIC_NAMES.len()).filter_map(one).collect()
}

fn over_requests(
    trace: &str,
    (policy, own): (&str, &Requests),
    (baseline, base): (&str, &Requests),
    resamples: usize,
) -> Vec<Pair> {
    // Both files list requests in the order of the trace, so rows are paired if both runs have the time.
    let is_paired = own.is_whole && base.is_whole && own.rows.len() == base.rows.len();
    let one = |metric: usize| {
        let of = |requests: &Requests| -> Vec<Option<f64>> {
            let rows = requests.rows.iter();
            rows.map(|row| row.is_finished().then(|| times(row)[metric]).flatten())
                .collect()
        };
        let (a, b) = (of(own), of(base));
        let (a, b): (Vec<f64>, Vec<f64>) = match is_paired {
            true => a.into_iter().zip(b).filter_map(|(a, b)| a.zip(b)).unzip(),
            false => (
                a.into_iter().flatten().collect(),
                b.into_iter().flatten().collect(),
            ),
        };
        let options = Options {
            statistic: Statistic::Mean,
            paired: is_paired,
            resamples,
            ..Options::default()
        };
        pair(
            trace,
            metric,
            "requests",
            (policy, &a),
            (baseline, &b),
            options,
        )
    };
    (0..METRIC_NAMES.len()).filter_map(one).collect()
}

fn pair(
    trace: &str,
    metric: usize,
    over: &'static str,
    (policy, a): (&str, &[f64]),
    (baseline, b): (&str, &[f64]),
    options: Options,
) -> Option<Pair> {
    let options = Options {
        threshold: Some(Threshold::TIMES),
        ..options
    };
    let comparison = compare(a, b, &options).ok()?;
    Some(Pair {
        trace: trace.to_owned(),
        metric: METRIC_NAMES[metric],
        over,
        policy: policy.to_owned(),
        baseline: baseline.to_owned(),
        finding: comparison.finding(),
        comparison,
        sentence: String::new(),
    })
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
