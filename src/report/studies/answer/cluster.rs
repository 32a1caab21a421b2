//! Answers about clusters and schedulers: `simulate`, `compare`, `plan` and `tune aging`.

use super::{count, share};
use crate::metrics::statistics::p_text;
use crate::report::render::number::{seconds, thousands};

/// The figures of a simulated cluster that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Requests that arrived.
    pub arrived: u64,
    /// Requests that finished.
    pub finished: u64,
    /// Fraction (0..1) of the requests that arrived which met every objective; `None` if none arrived.
    pub attainment: Option<f64>,
    /// Requests per second that met every objective; `None` if no time passed.
    pub goodput: Option<f64>,
    /// The objectives in words, e.g. "TTFT <= 2 s, TBT <= 100 ms".
    pub objectives: String,
    /// GPU-hours, including start-up times; `None` if the GPUs of an instance are unknown.
    pub gpu_hours: Option<f64>,
    /// Cost in dollars, if the price of every GPU is known.
    pub dollars: Option<f64>,
}

impl Served {
    /// The cost of the cluster as a clause; empty if it is unknown.
    fn cost(&self) -> String {
        let Some(hours) = self.gpu_hours else {
            return String::new();
        };
        let dollars = self
            .dollars
            .map_or(String::new(), |d| format!(" (${d:.2})"));
        format!("; the cluster took {hours:.2} GPU-hours{dollars}")
    }
}

/// The answer of `simulate`: how many requests met the objectives, and at what cost.
pub fn simulation(s: &Served) -> String {
    let Some(attainment) = s.attainment.filter(|_| s.arrived > 0) else {
        return "No request arrived.".into();
    };
    if s.finished == 0 && s.arrived == 1 {
        return format!(
            "The only request did not finish and did not meet the SLO{}.",
            s.cost()
        );
    }
    if s.finished == 0 {
        return format!(
            "None of the {} finished, so none met the SLO{}.",
            count(s.arrived, "request", "requests"),
            s.cost()
        );
    }
    let goodput = s
        .goodput
        .map_or(String::new(), |rate| format!(", {rate:.2} a second"));
    let unfinished = match s.arrived - s.finished {
        0 => String::new(),
        missing => format!(", {} did not finish", thousands(missing)),
    };
    format!(
        "{} of the {} that arrived met the SLO ({}){goodput}{unfinished}{}.",
        share(attainment),
        count(s.arrived, "request", "requests"),
        s.objectives,
        s.cost()
    )
}

/// The figures of one policy of a comparison that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The policy.
    pub name: &'a str,
    /// Fraction (0..1) of the requests that arrived which met the SLO.
    pub attainment: Option<f64>,
    /// Cost in dollars, if the price of every GPU is known.
    pub dollars: Option<f64>,
    /// GPU-hours.
    pub gpu_hours: Option<f64>,
}

/// Fraction of the requests that must meet the SLO for a policy to count as meeting it.
pub const KEPT: f64 = 0.99;

/// The answer of `compare`: the cheapest policy that meets the SLO, and what it saves against the fixed fleet. `left_out` is
/// the number of policies that cannot be compared because some of their runs are missing.
pub fn comparison(candidates: &[Candidate<'_>], left_out: usize) -> String {
    if candidates.is_empty() {
        return "Runs of every policy are missing, so none can be chosen.".into();
    }
    let left = match left_out {
        0 => String::new(),
        1 => " 1 policy with missing runs is left out.".into(),
        several => format!(" {several} policies with missing runs are left out."),
    };
    cheapest(candidates) + left.as_str()
}

fn cheapest(candidates: &[Candidate<'_>]) -> String {
    let all_priced = candidates
        .iter()
        .all(|candidate| candidate.dollars.is_some());
    let cost = |candidate: &Candidate<'_>| match all_priced {
        true => candidate.dollars,
        false => candidate.gpu_hours,
    };
    let shown = |cost: f64| match all_priced {
        true => format!("${cost:.2}"),
        false => format!("{cost:.2} GPU-hours"),
    };
    let known: Vec<(&Candidate<'_>, f64)> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate, candidate.attainment?)))
        .collect();
    if known.is_empty() {
        return "No run tells how many requests met the SLO.".into();
    }
    let kept: Vec<(&Candidate<'_>, f64)> = known
        .iter()
        .filter(|(_, attainment)| *attainment >= KEPT)
        .filter_map(|(candidate, _)| Some((*candidate, cost(candidate)?)))
        .collect();
    let cheapest = kept.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((best, price)) = cheapest else {
        let mut nearest = &known[0];
        for one in &known {
            if one.1 > nearest.1 {
                nearest = one;
            }
        }
        if nearest.1 >= KEPT {
            return format!(
                "{} keeps the SLO for {} of the requests, and no run tells what that cost.",
                nearest.0.name,
                share(nearest.1)
            );
        }
        let price = cost(nearest.0).map_or(String::new(), |cost| format!(", at {}", shown(cost)));
        return format!(
            "No policy keeps the SLO for 99 % of the requests; {} comes nearest with {}{price}.",
            nearest.0.name,
            share(nearest.1)
        );
    };
    if known.len() == 1 {
        return format!(
            "{}, the only policy, keeps the SLO for {} of the requests, at {}.",
            best.name,
            share(best.attainment.unwrap_or_default()),
            shown(*price)
        );
    }
    // Costs that print the same text count as equal.
    let as_cheap: Vec<&str> = kept
        .iter()
        .filter(|(_, cost)| shown(*cost) == shown(*price))
        .map(|(candidate, _)| candidate.name)
        .collect();
    if as_cheap.len() == known.len() {
        return format!(
            "All {} policies keep the SLO for at least 99 % of the requests and cost the same, {}.",
            as_cheap.len(),
            shown(*price)
        );
    }
    let fixed = known
        .iter()
        .find(|(candidate, _)| candidate.name == "no_autoscaling");
    let against = match fixed {
        Some((fixed, _)) if !as_cheap.contains(&fixed.name) => cost(fixed)
            .filter(|cost| *cost > 0.0)
            .map_or(String::new(), |fixed_cost| {
                let saved = 1.0 - price / fixed_cost;
                let much = share(saved.abs());
                match saved {
                    0.0 => ", as much as the fixed fleet, which misses it".into(),
                    saved if saved > 0.0 => format!(", {much} less than the fixed fleet"),
                    _ => format!(", {much} more than the fixed fleet, which misses it"),
                }
            }),
        _ => String::new(),
    };
    let which = match kept.len() {
        1 => "The only policy that keeps".to_owned(),
        several => format!("The cheapest of the {several} policies that keep"),
    };
    format!(
        "{which} the SLO for at least 99 % of the requests: {}, {}{against}.",
        named(&as_cheap),
        shown(*price)
    )
}

/// Maximum number of policies that an answer names one by one.
const MOST_NAMED: usize = 3;

fn named(names: &[&str]) -> String {
    match names.split_at_checked(MOST_NAMED) {
        Some((first, others)) if others.len() > 1 => {
            format!(
                "{} and {} others",
                first.join(", "),
                thousands(others.len() as u64)
            )
        }
        _ => names.join(" and "),
    }
}

/// The figures of a plan that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Length of an interval in seconds.
    pub interval_sec: f64,
    /// Prefill instances, decode instances and GPUs of each interval.
    pub decided: Vec<(u32, u32, u64)>,
    /// TTFT objective in milliseconds.
    pub ttft_ms: f64,
    /// ITL objective in milliseconds.
    pub itl_ms: f64,
    /// Intervals with requests in which the performance model's TTFT or ITL is above its objective.
    pub missed: usize,
}

/// The answer of `plan`: numbers of instances, and GPU-hours.
pub fn plan(plan: &Planned) -> String {
    let range = |of: &dyn Fn(&(u32, u32, u64)) -> u32| {
        let values = || plan.decided.iter().map(of);
        let (low, high) = (values().min()?, values().max()?);
        Some(match low == high {
            true => low.to_string(),
            false => format!("{low} to {high}"),
        })
    };
    let (Some(prefill), Some(decode)) = (range(&|d| d.0), range(&|d| d.1)) else {
        return "No interval was planned.".into();
    };
    let hours: f64 = plan
        .decided
        .iter()
        .map(|decided| decided.2 as f64 * plan.interval_sec / 3600.0)
        .sum();
    let most = plan
        .decided
        .iter()
        .map(|decided| decided.2)
        .max()
        .unwrap_or_default();
    let kept = match plan.missed {
        0 => "by the performance model, every interval keeps both".to_owned(),
        missed => format!(
            "by the performance model, {} of {} miss one of them",
            thousands(missed as u64),
            count(plan.decided.len() as u64, "interval", "intervals")
        ),
    };
    format!(
        "For TTFT within {} and ITL within {}, the planner asks for {prefill} prefill and {decode} decode instances: {hours:.1} GPU-hours over {}, at most {} at once; {kept}.",
        seconds(plan.ttft_ms / 1e3),
        seconds(plan.itl_ms / 1e3),
        seconds(plan.decided.len() as f64 * plan.interval_sec),
        count(most, "GPU", "GPUs"),
    )
}

/// The figures of the best order of a sweep that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    /// The order on the Pareto front with the shortest TTFT.
    pub name: String,
    /// Which statistic of TTFT, e.g. "P90".
    pub percentile: String,
    /// Its TTFT in seconds.
    pub ttft: f64,
    /// TTFT of first come first served in seconds.
    pub fcfs_ttft: f64,
    /// Adjusted p-value of the difference; `None` with one seed.
    pub p: Option<f64>,
    /// Confidence level of the comparison.
    pub confidence: f64,
    /// Name of the measure that is weighed against TTFT.
    pub fairness: &'static str,
    /// Value of that measure for the order.
    pub fair: f64,
    /// Value of that measure for first come first served.
    pub fcfs_fair: f64,
}

/// The answer of `tune aging`: whether an order is better than first come first served.
pub fn aging(o: &Ordered) -> String {
    if o.name == "fcfs" {
        return format!(
            "No order has a shorter TTFT {} than first come first served ({}).",
            o.percentile,
            seconds(o.fcfs_ttft)
        );
    }
    let change = 1.0 - o.ttft / o.fcfs_ttft;
    let sure = match o.p {
        None => "which one seed cannot tell from chance".to_owned(),
        Some(p) if p < 1.0 - o.confidence => p_text(p),
        Some(p) => format!("which cannot be told from chance, {}", p_text(p)),
    };
    format!(
        "{} has the shortest TTFT {}, {}, {} {} than first come first served ({sure}), and {} {:.3} against {:.3}.",
        o.name,
        o.percentile,
        seconds(o.ttft),
        share(change.abs()),
        if change >= 0.0 { "less" } else { "more" },
        o.fairness,
        o.fair,
        o.fcfs_fair
    )
}
