//! The one number of the `aging` policy: how many prompt tokens weigh as much as a second of waiting.
//!
//! Priority is `time_weight * wait + prompt_weight * remaining prompt`, and only the ratio of the weights decides an order. A
//! large ratio is first come first served, a small one shortest remaining prompt first. The fork's own rule takes it from a
//! run: a token weighs what it takes to compute, by the mean or median of
//! `prefill_time_execution_plus_preemption_normalized` (a8b2e3d), or by its 80th percentile, times 0.3 for throughput (6d016a7).

use std::sync::atomic::AtomicU64;

use rayon::prelude::*;
use serde::Serialize;

use super::bench::{Bench, with_opt_sarathi};
use crate::base::distribution::percentile_sorted;
use crate::base::error::{Error, Result};
use crate::metrics::alone;
use crate::metrics::serving::request_times::{TIMES, times};
use crate::metrics::statistics::{Comparison, Interval, Options, compare, holm};
use crate::scenario::{Scenario, ScenarioConfig};
use crate::sim::RequestRecord;
use crate::sim::replica::{OptSarathiConfig, Policy};

/// Seconds that a prompt token takes, waiting between its pieces included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TokenTime {
    /// Mean over requests.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 80th percentile.
    pub p80: f64,
}

/// An order of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// First come first served: an endless ratio.
    Fcfs,
    /// Shortest remaining prompt first: a ratio of 0.
    Srtf,
    /// Aging with so many tokens per second.
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

    /// Tokens per second of the aging policy; endless for first come first served.
    pub fn ratio(self) -> f64 {
        match self {
            Self::Fcfs => f64::INFINITY,
            Self::Srtf => 0.0,
            Self::Aging(ratio) => ratio,
        }
    }
}

/// Slowdowns of the time to first token, of requests with prompts of like length.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Class {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// What one order did, in one run or as a mean over several.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measures {
    /// Time to first token in seconds: median, 90th and 99th percentile.
    pub ttft: [f64; 3],
    /// Jain's index of the slowdowns of the time to first token: 1 where all are equal, 1/n where one has all.
    pub jain: f64,
    /// Longest wait in seconds: time to first token less what the prompt takes alone.
    pub max_wait: f64,
    /// Short, middle and long prompts: thirds of the requests.
    pub classes: [Class; 3],
}

/// Percentiles of [`Measures::ttft`], by name.
pub const TTFT: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// What counts as fair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fairness {
    /// Jain's index.
    Jain,
    /// The longest wait.
    MaxWait,
    /// The 99th percentile of the slowdown in the class that fares worst.
    WorstClass,
}

impl Fairness {
    /// As a loss: the less the fairer.
    fn loss(self, measures: &Measures) -> f64 {
        match self {
            Self::Jain => 1.0 - measures.jain,
            Self::MaxWait => measures.max_wait,
            Self::WorstClass => measures
                .classes
                .iter()
                .map(|class| class.p99)
                .fold(0.0, f64::max),
        }
    }
}

/// One order over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Which.
    pub order: Order,
    /// Where the ratio comes from.
    pub origin: String,
    /// Means over the seeds.
    pub mean: Measures,
    /// By seed.
    pub runs: Vec<Measures>,
    /// Whether no other order has both a lower time to first token and more fairness.
    pub on_front: bool,
    /// Time to first token against first come first served, by seeds; none of one seed.
    pub against_fcfs: Option<Comparison>,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// Of a run without priorities.
    pub token_time: TokenTime,
    /// Rising by ratio: from shortest remaining prompt first to first come first served.
    pub points: Vec<Point>,
}

/// What is swept, and judged by what.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Ratios besides those derived, in tokens per second.
    pub ratios: Vec<f64>,
    /// Which of [`TTFT`] the front and the comparison are of.
    pub ttft: usize,
    /// What it is set against.
    pub fairness: Fairness,
    /// Of the comparison.
    pub confidence: f64,
}

/// Ratios in tokens per second that are tried where none are given; 100 is the fork's first default, 37.5 its second.
pub const RATIOS: [f64; 7] = [10.0, 37.5, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];

impl TokenTime {
    /// Of the values of requests that finished.
    fn of(records: &[Vec<RequestRecord>]) -> Option<Self> {
        let name = "prefill_time_execution_plus_preemption_normalized";
        let at = TIMES.iter().position(|time| *time == name)?;
        let mut values: Vec<f64> = records
            .iter()
            .flatten()
            .filter_map(times)
            .map(|times| times[at])
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean > 0.0).then(|| Self {
            mean,
            median: percentile_sorted(&values, 0.5),
            p80: percentile_sorted(&values, 0.8),
        })
    }

    /// The ratios that follow from it, with where they come from.
    pub fn ratios(&self) -> Vec<(f64, &'static str)> {
        [
            (1.0 / self.mean, "1 / mean token time"),
            (1.0 / self.median, "1 / median token time"),
            (1.0 / self.p80, "1 / P80 of token time"),
            (0.3 / self.p80, "0.3 / P80 of token time"),
        ]
        .into_iter()
        .filter(|(ratio, _)| ratio.is_finite())
        .collect()
    }
}

impl Measures {
    /// Of one run; `alone` has what each request's prompt takes on an instance of its own.
    fn of(records: &[RequestRecord], alone: &[f64]) -> Option<Self> {
        let mut finished: Vec<(u32, f64, f64)> = records
            .iter()
            .zip(alone)
            .filter(|(record, _)| record.is_finished())
            .filter_map(|(record, alone)| Some((record.prompt, record.ttft()?, *alone)))
            .collect();
        if finished.is_empty() {
            return None;
        }
        let mut ttft: Vec<f64> = finished.iter().map(|one| one.1).collect();
        ttft.sort_unstable_by(f64::total_cmp);
        let slow = |one: &(u32, f64, f64)| if one.2 > 0.0 { one.1 / one.2 } else { 1.0 };
        let (sum, squares) = finished
            .iter()
            .map(slow)
            .fold((0.0, 0.0), |(sum, squares), slow| {
                (sum + slow, squares + slow * slow)
            });
        // Thirds by length, ties by order.
        finished.sort_by_key(|one| one.0);
        let n = finished.len();
        let classes = std::array::from_fn(|class| {
            let mut values: Vec<f64> = finished[n * class / 3..n * (class + 1) / 3]
                .iter()
                .map(slow)
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            Class {
                p50: percentile_sorted(&values, 0.5),
                p99: percentile_sorted(&values, 0.99),
            }
        });
        Some(Self {
            ttft: TTFT.map(|(_, q)| percentile_sorted(&ttft, q)),
            jain: sum * sum / (n as f64 * squares),
            max_wait: finished.iter().map(|one| one.1 - one.2).fold(0.0, f64::max),
            classes,
        })
    }

    fn mean(runs: &[Self]) -> Self {
        let of =
            |value: &dyn Fn(&Self) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        Self {
            ttft: std::array::from_fn(|at| of(&|run| run.ttft[at])),
            jain: of(&|run| run.jain),
            max_wait: of(&|run| run.max_wait),
            classes: std::array::from_fn(|at| Class {
                p50: of(&|run| run.classes[at].p50),
                p99: of(&|run| run.classes[at].p99),
            }),
        }
    }
}

/// Serves the trace with each ratio that was asked for and with those that follow from a run first come first served.
///
/// # Errors
/// A ratio that is not above 0, runs in which no request finished, or runs in which orders cannot differ.
pub fn study(
    bench: &Bench,
    config: &ScenarioConfig,
    sweep: &Sweep,
    done: &AtomicU64,
) -> Result<Study> {
    if let Some(ratio) = sweep
        .ratios
        .iter()
        .find(|ratio| !(ratio.is_finite() && **ratio > 0.0))
    {
        return Err(Error::usage(
            format!("a ratio of {ratio} tokens per second"),
            "give numbers above 0; srtf and fcfs are its ends, and run in any case",
        ));
    }
    let prepare = |order: Order| with_opt_sarathi(config, |own| order.set(own)).prepare();
    let first = prepare(Order::Fcfs)?;
    let all: Vec<usize> = (0..bench.seeds().len()).collect();
    let served: Vec<Vec<RequestRecord>> = all
        .par_iter()
        .map(|seed| bench.serve(&first, *seed, done))
        .collect::<Result<_>>()?;
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

    let fcfs: Vec<Measures> = served
        .iter()
        .map(|run| Measures::of(run, &times))
        .collect::<Option<_>>()
        .ok_or_else(nothing)?;
    // The other end. All other orders lie between these two.
    let other_end = prepare(Order::Srtf)?;
    let srtf: Vec<Measures> = all
        .par_iter()
        .map(|seed| {
            let records = bench.serve(&other_end, *seed, done)?;
            Measures::of(&records, &times).ok_or_else(nothing)
        })
        .collect::<Result<_>>()?;
    if srtf == fcfs {
        return Err(Error::usage(
            "all orders give the same result: waiting requests are admitted by arrival, and at most one prompt was partly \
             computed at a time, so there is nothing to order",
            "set the scheduler's key enable_dynamic_chunking_schedule to true, or serve a higher load",
        ));
    }

    let mut orders: Vec<(Order, String)> = Vec::new();
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
        let records = bench.serve(&prepared[order], seed, done)?;
        Measures::of(&records, &times).ok_or_else(nothing)
    };
    let measured: Vec<Measures> = pairs.into_par_iter().map(measure).collect::<Result<_>>()?;
    let mut runs: Vec<Vec<Measures>> = measured.chunks(all.len()).map(<[_]>::to_vec).collect();
    orders.insert(
        0,
        (Order::Srtf, "shortest remaining prompt first".to_owned()),
    );
    runs.insert(0, srtf);
    orders.push((Order::Fcfs, "first come first served".to_owned()));
    runs.push(fcfs);

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
    Ok(Study { token_time, points })
}

/// Marks the orders that no other beats in one of both without losing in the other.
fn mark_front(points: &mut [Point], sweep: &Sweep) {
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

/// Sets every order against first come first served, which stands last: seeds are pairs, what is compared is the geometric
/// mean of their ratios, since loads differ much between seeds, and p is Holm's.
fn judge(points: &mut [Point], sweep: &Sweep) -> Result<()> {
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
        // From differences of logarithms to ratios.
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

#[cfg(test)]
mod tests {
    use crate::sim::Outcome;
    use crate::trace::Nanos;
    use crate::tune::aging::*;
    use crate::tune::bench::testing::{config, trace};

    fn record(prompt: u32, ttft: f64) -> RequestRecord {
        RequestRecord {
            prompt,
            output: 2,
            outcome: Outcome::Finished,
            scheduled: Some(Nanos::ZERO),
            first_token: Some(Nanos::from_secs_f64(ttft)),
            ended: Nanos::from_secs_f64(ttft + 1.0),
            last_prompt: prompt,
            ..RequestRecord::default()
        }
    }

    #[test]
    fn measures_by_hand() {
        let records = [record(10, 1.0), record(20, 2.0), record(30, 6.0)];
        let found = Measures::of(&records, &[1.0, 1.0, 2.0]).expect("finished");
        assert_eq!(found.ttft[0], 2.0);
        // Slowdowns 1, 2 and 3: 36 / (3 x 14).
        assert!((found.jain - 36.0 / 42.0).abs() < 1e-12);
        assert_eq!(found.max_wait, 4.0);
        assert_eq!(found.classes.map(|class| class.p99), [1.0, 2.0, 3.0]);
        assert!(Measures::of(&[RequestRecord::default()], &[1.0]).is_none());
    }

    #[test]
    fn token_times_by_hand() {
        let records = vec![vec![record(10, 1.0), record(10, 2.0), record(10, 6.0)]];
        let found = TokenTime::of(&records).expect("finished");
        assert!((found.mean - 0.3).abs() < 1e-12 && (found.median - 0.2).abs() < 1e-12);
        // Between 0.2 and 0.6, at 1.6 of 2.
        assert!((found.p80 - 0.44).abs() < 1e-12);
        assert!((found.ratios()[1].0 - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_front_by_hand() {
        let point = |ttft: f64, jain: f64| Point {
            order: Order::Fcfs,
            origin: String::new(),
            mean: Measures {
                ttft: [ttft; 3],
                jain,
                ..Measures::default()
            },
            runs: Vec::new(),
            on_front: false,
            against_fcfs: None,
        };
        let mut points = [
            point(1.0, 0.5),
            point(2.0, 0.5),
            point(3.0, 0.9),
            point(3.0, 0.9),
            point(4.0, 0.8),
        ];
        let sweep = Sweep {
            ratios: Vec::new(),
            ttft: 1,
            fairness: Fairness::Jain,
            confidence: 0.95,
        };
        mark_front(&mut points, &sweep);
        assert_eq!(
            points.map(|point| point.on_front),
            [true, false, true, true, false]
        );
    }

    #[test]
    fn a_study_has_both_ends_and_what_was_derived() {
        let bench = Bench::new(&trace(60), 0.3, &[0, 1, 2], true).expect("is made");
        // Steps grow smaller as a prompt goes on, so that several are in pieces at a time.
        let config = with_opt_sarathi(&config(), |own| {
            own.enable_dynamic_chunking_schedule = true;
            own.low_chunk_size = 64;
            own.high_chunk_size = 512;
            own.chunk_schedule_max_tokens = 1024;
            own.chunk_schedule_stages = 8;
        });
        let sweep = Sweep {
            ratios: vec![100.0, 1e9],
            ttft: 0,
            fairness: Fairness::MaxWait,
            confidence: 0.95,
        };
        let run = || study(&bench, &config, &sweep, &AtomicU64::new(0)).expect("runs");
        let found = run();
        assert_eq!(found.points.len(), 8, "two ends, two given, four derived");
        assert!(
            found
                .points
                .is_sorted_by(|a, b| a.order.ratio() < b.order.ratio())
        );
        let (fcfs, endless) = (&found.points[7], &found.points[6]);
        assert_eq!(
            fcfs.runs, endless.runs,
            "an endless ratio is first come first served"
        );
        assert_ne!(fcfs.runs, found.points[0].runs, "the other end is not");
        assert!(found.points.iter().any(|point| point.on_front));
        assert!(fcfs.against_fcfs.is_none() && found.points[0].against_fcfs.is_some());
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a pool");
        assert_eq!(alone.install(run), found);
        let bad = Sweep {
            ratios: vec![-1.0],
            ..sweep
        };
        assert!(study(&bench, &config, &bad, &AtomicU64::new(0)).is_err());
    }

    #[test]
    fn orders_that_cannot_differ_are_refused() {
        let bench = Bench::new(&trace(20), 1.0, &[0], true).expect("is made");
        // Every prompt fits a step, so none is ever partly computed.
        let config = with_opt_sarathi(&config(), |own| own.chunk_size = 1 << 20);
        let sweep = Sweep {
            ratios: vec![100.0],
            ttft: 0,
            fairness: Fairness::Jain,
            confidence: 0.95,
        };
        let error = study(&bench, &config, &sweep, &AtomicU64::new(0)).expect_err("is refused");
        assert!(
            error
                .to_string()
                .starts_with("all orders give the same result"),
            "{error}"
        );
    }
}
