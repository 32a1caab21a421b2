//! The one parameter of the `aging` policy: the number of prompt tokens that weigh as much as one second of waiting.
//!
//! Priority is `time_weight * wait + prompt_weight * remaining prompt`, and only the ratio of the weights affects the order. A
//! large ratio approaches first come first served, a small one shortest remaining prompt first. The fork derives the ratio from
//! a run: the time per prompt token is the mean or median of `prefill_time_execution_plus_preemption_normalized` (a8b2e3d), or
//! its 80th percentile, times 0.3 for throughput (6d016a7).

mod measures;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;

use rayon::prelude::*;
use serde::Serialize;

use super::trace_variants::{TraceVariants, with_opt_sarathi};
use crate::base::error::{Error, Result};
use crate::metrics::alone;
use crate::metrics::statistics::{Comparison, Interval, Options, compare, holm};
use crate::scenario::{Scenario, ScenarioConfig};
use crate::sim::RequestRecord;
use crate::sim::replica::{OptSarathiConfig, Policy};

pub use measures::{Fairness, LengthClass, Measures, TTFT, TokenTime};

/// An order in which requests are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// First come first served: an infinite ratio.
    Fcfs,
    /// Shortest remaining prompt first: a ratio of 0.
    Srtf,
    /// Aging with this ratio in tokens per second.
    Aging(f64),
}

impl Order {
    fn set(self, config: &mut OptSarathiConfig) {
        config.policy = match self {
            Self::Fcfs => Policy::Fcfs,
            Self::Srtf => Policy::Srtf,
            Self::Aging(_) => Policy::Aging,
        };
        if let Self::Aging(ratio) = self {
            config.aging_tokens_per_second = Some(ratio);
        }
    }

    /// The ratio of the aging policy in tokens per second; infinite for first come first served.
    pub fn ratio(self) -> f64 {
        match self {
            Self::Fcfs => f64::INFINITY,
            Self::Srtf => 0.0,
            Self::Aging(ratio) => ratio,
        }
    }
}

/// Results of one order over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The order.
    pub order: Order,
    /// The origin of its ratio.
    pub origin: String,
    /// Means over the seeds.
    pub mean: Measures,
    /// Measurements of each seed.
    pub runs: Vec<Measures>,
    /// Whether the order is on the Pareto front: no other order has both a lower TTFT and more fairness.
    pub on_front: bool,
    /// Paired comparison of TTFT with first come first served over seeds; `None` with one seed.
    pub against_fcfs: Option<Comparison>,
}

/// Results of a sweep over orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgingStudy {
    /// Time per prompt token in a run without priorities.
    pub token_time: TokenTime,
    /// Results by rising ratio, from shortest remaining prompt first to first come first served.
    pub points: Vec<Point>,
}

/// Options of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct AgingSweep {
    /// Additional ratios to try, in tokens per second.
    pub ratios: Vec<f64>,
    /// Index into [`TTFT`] of the percentile by which the front and the comparison are made.
    pub ttft: usize,
    /// The measure of fairness that is weighed against TTFT.
    pub fairness: Fairness,
    /// Confidence level of the comparison.
    pub confidence: f64,
}

/// Default ratios in tokens per second; 100 is the fork's first default, 37.5 its second.
pub const RATIOS: [f64; 7] = [10.0, 37.5, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];

/// Derives ratios from a run with first come first served, and simulates the trace with each of them and with the given ratios.
///
/// # Errors
/// A ratio that is not a number above 0, runs in which no request finished, or a load at which all orders are equal.
pub fn study(
    variants: &TraceVariants,
    config: &ScenarioConfig,
    sweep: &AgingSweep,
    done: &AtomicU64,
) -> Result<AgingStudy> {
    if let Some(ratio) = sweep
        .ratios
        .iter()
        .find(|ratio| !(ratio.is_finite() && **ratio > 0.0))
    {
        return Err(Error::usage(
            format!("a ratio of {ratio} tokens per second"),
            "give numbers above 0; srtf and fcfs are the two extremes and are always run",
        ));
    }
    let prepare = |order: Order| with_opt_sarathi(config, |own| order.set(own)).prepare();
    let first = prepare(Order::Fcfs)?;
    let all: Vec<usize> = (0..variants.seeds().len()).collect();
    let serve = |scenario: &Scenario| -> Result<Vec<Vec<RequestRecord>>> {
        let one = |seed: &usize| variants.serve(scenario, *seed, done);
        all.par_iter().map(one).collect()
    };
    let served = serve(&first)?;
    // The two extreme orders: if their results are equal, those of all orders between them are equal, too.
    if serve(&prepare(Order::Srtf)?)? == served {
        return Err(Error::usage(
            "all orders give the same run: requests are admitted by arrival, and at most one prompt is in chunks at a time, so there is nothing to order",
            "set scheduler.enable_dynamic_chunking_schedule=true, with which several prompts are in chunks at a time, or use a heavier load",
        ));
    }
    let nothing = || {
        Error::usage(
            "no request finished",
            "give instances enough blocks for a request, and an end_seconds that is late enough",
        )
    };
    let token_time = TokenTime::of(&served).ok_or_else(nothing)?;
    let mut reference = first.reference();
    let times: Vec<f64> = served[0]
        .iter()
        .map(|record| alone(record.prompt, reference.as_mut()).0)
        .collect();

    let mut orders = vec![(Order::Srtf, "shortest remaining prompt first".to_owned())];
    orders.extend(
        sweep
            .ratios
            .iter()
            .map(|ratio| (Order::Aging(*ratio), "given".to_owned())),
    );
    let derived = token_time.ratios();
    orders.extend(
        derived
            .iter()
            .map(|(ratio, origin)| (Order::Aging(*ratio), (*origin).to_owned())),
    );
    orders.sort_by(|a, b| a.0.ratio().total_cmp(&b.0.ratio()));
    orders.dedup_by(|a, b| a.0 == b.0);
    let prepared: Vec<Scenario> = orders
        .iter()
        .map(|(order, _)| prepare(*order))
        .collect::<Result<_>>()?;
    let pairs: Vec<(usize, usize)> = (0..orders.len())
        .flat_map(|order| all.iter().map(move |seed| (order, *seed)))
        .collect();
    let measure = |(order, seed): (usize, usize)| {
        let records = variants.serve(&prepared[order], seed, done)?;
        Measures::of(&records, &times).ok_or_else(nothing)
    };
    let measured: Vec<Measures> = pairs.into_par_iter().map(measure).collect::<Result<_>>()?;
    let mut runs: Vec<Vec<Measures>> = measured.chunks(all.len()).map(<[_]>::to_vec).collect();
    orders.push((Order::Fcfs, "first come first served".to_owned()));
    runs.push(
        served
            .iter()
            .map(|run| Measures::of(run, &times))
            .collect::<Option<_>>()
            .ok_or_else(nothing)?,
    );

    let mut points: Vec<Point> = orders
        .into_iter()
        .zip(runs)
        .map(|((order, origin), runs)| Point {
            order,
            origin,
            mean: Measures::mean(&runs),
            runs,
            on_front: false,
            against_fcfs: None,
        })
        .collect();
    mark_front(&mut points, sweep);
    if all.len() > 1 {
        judge(&mut points, sweep)?;
    }
    Ok(AgingStudy { token_time, points })
}

/// Marks the orders on the Pareto front: no other order is better in one measure without being worse in the other.
fn mark_front(points: &mut [Point], sweep: &AgingSweep) {
    let places: Vec<(f64, f64)> = points
        .iter()
        .map(|point| {
            (
                point.mean.ttft[sweep.ttft],
                sweep.fairness.loss(&point.mean),
            )
        })
        .collect();
    for (point, own) in points.iter_mut().zip(&places) {
        let beaten = |other: &(f64, f64)| other.0 <= own.0 && other.1 <= own.1 && other != own;
        point.on_front = !places.iter().any(beaten);
    }
}

/// Compares every order with first come first served, which is last in the list. Runs of the same seed are paired. The compared
/// figure is the geometric mean of their ratios, because loads differ between seeds; p-values are Holm-corrected.
fn judge(points: &mut [Point], sweep: &AgingSweep) -> Result<()> {
    let Some((fcfs, others)) = points.split_last_mut() else {
        return Ok(());
    };
    let values =
        |point: &Point| -> Vec<f64> { point.runs.iter().map(|run| run.ttft[sweep.ttft]).collect() };
    let base = values(fcfs);
    let options = Options {
        paired: true,
        confidence: sweep.confidence,
        resamples: 100,
        ..Options::default()
    };
    let mut found: Vec<Comparison> = others
        .iter()
        .map(|point| compare(&values(point), &base, &options))
        .collect::<Result<_>>()?;
    let p: Vec<f64> = found.iter().map(|comparison| comparison.p).collect();
    for (comparison, p) in found.iter_mut().zip(holm(&p)) {
        comparison.p_adjusted = p;
        // Converts differences of logarithms to ratios.
        let interval = comparison.difference_interval;
        comparison.statistic = "geometric mean".to_owned();
        comparison.relative = Some(comparison.difference.exp_m1());
        comparison.relative_interval = Some(Interval {
            low: interval.low.exp_m1(),
            high: interval.high.exp_m1(),
            ..interval
        });
    }
    for (point, comparison) in others.iter_mut().zip(found) {
        point.against_fcfs = Some(comparison);
    }
    Ok(())
}
