//! Computes one run's figures from its folder, by the same functions as `simulate`.

mod folder;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::base::Distribution;
use crate::base::error::{Error, Location, Result};
use crate::base::io::FolderLock;
use crate::base::quantile::{percentile_sorted, percentiles};
use crate::base::sorting::sort_floats;
use crate::metrics::RequestRow;
use crate::metrics::serving::{
    Attainment, Cost, Fleet, LIMITED, LIMITED_AT, ScalingFigures, Steps, Unfinished, arrived,
    changes_so_far, finished, per_second, slowdowns,
};
use crate::scenario::record::check_results;
use crate::sim::latency::SplitwiseTable;
use crate::sim::{InstanceRecord, Objectives, Outcome};
use crate::trace::Nanos;

use folder::Requests;
pub(super) use folder::{RequestTimes, request_times};
pub(in crate::report::studies) use folder::{instance_lines, requests};

/// The three compared times, as named in columns.
pub const METRICS: [&str; 3] = LIMITED;

/// The same times, as named in text.
pub const METRIC_NAMES: [&str; 3] = ["TTFT", "TBT", "E2E"];

/// The compared percentiles.
pub const PERCENTILES: [u32; 3] = LIMITED_AT;

/// Values by metric and percentile.
pub(super) type Grid = [[Option<f64>; 3]; 3];

/// The figures of one run; `None` for data that its folder lacks. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// TTFT, TBT, E2E of finished requests at p50, p90, p99.
    pub times: Grid,
    /// The same as multiples of the time on an idle reference instance.
    pub slowdowns: Grid,
    /// Whether a request needed more memory than any instance has.
    pub oom: bool,
    /// Requests that arrived.
    pub arrived: Option<u64>,
    /// Requests that finished.
    pub finished: Option<u64>,
    /// Finished requests per second.
    pub requests_per_second: Option<f64>,
    /// Requests per second that finished and met all objectives.
    pub goodput: Option<f64>,
    /// Fraction of the requests that arrived which finished and met all objectives.
    pub attainment: Option<f64>,
    /// The objectives by which attainment is counted.
    pub objectives: Option<Objectives>,
    /// Instance-hours.
    pub instance_hours: Option<f64>,
    /// GPU-hours.
    pub gpu_hours: Option<f64>,
    /// Cost in dollars.
    pub dollars: Option<f64>,
    /// Scaling metrics of the cluster.
    pub scaling: Option<ScalingFigures>,
    /// Number of instances over time.
    #[serde(skip)]
    pub fleet: Option<Fleet>,
    /// Cumulative number of started and drained instances over time.
    #[serde(skip)]
    pub changes: Steps,
    /// Arrivals per second over time, in bins of equal length.
    #[serde(skip)]
    pub load: Steps,
    /// Cumulative distributions of TTFT, TBT and E2E of finished requests; empty if they were not asked for.
    #[serde(skip)]
    pub distributions: [Shares; 3],
    /// A hash of all requests' outcomes and times; runs with equal results have equal hashes.
    #[serde(skip)]
    pub digest: Option<u64>,
    /// The command line of the run.
    #[serde(skip)]
    pub command: Option<String>,
}

/// A cumulative distribution, thinned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shares {
    /// A value and the fraction of all values up to it, at even fractions.
    pub points: Vec<(f64, f64)>,
    /// Number of values before thinning.
    pub count: usize,
}

impl Shares {
    /// Thins the distribution of values in ascending order to at most `most` points (at least two).
    fn of(values: &[f64], most: usize) -> Self {
        let count = values.len();
        let kept = count.min(most.max(2));
        let point = |n: usize| {
            let index = match kept {
                1 => 0,
                _ => n * (count - 1) / (kept - 1),
            };
            (values[index], (index + 1) as f64 / count as f64)
        };
        let mut points: Vec<(f64, f64)> = (0..kept).map(point).collect();
        points.dedup();
        Self { points, count }
    }
}

/// Number of bins of the arrival rate.
const BINS: usize = 80;

/// Arrivals per second in bins of equal length; empty if there are none after time 0.
fn load(arrivals: impl Iterator<Item = f64> + Clone) -> Steps {
    let last = arrivals.clone().fold(0.0, f64::max);
    if last <= 0.0 {
        return Steps::new();
    }
    let width = last / BINS as f64;
    let mut counts = vec![0u32; BINS];
    for time in arrivals {
        counts[((time / width) as usize).min(BINS - 1)] += 1;
    }
    let bins = counts.iter().enumerate();
    let mut steps: Steps = bins
        .map(|(bin, count)| (bin as f64 * width, f64::from(*count) / width))
        .collect();
    steps.push((last, 0.0));
    steps
}

/// Options for reading a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Whether only `summary.csv` is read.
    pub quick: bool,
    /// TTFT objective in seconds. If any of the three objectives is given, the three replace all of the run's own.
    pub ttft_slo: Option<f64>,
    /// TBT objective in seconds.
    pub tbt_slo: Option<f64>,
    /// E2E objective in seconds.
    pub e2e_slo: Option<f64>,
}

impl Reading {
    /// The given objectives, if any; a time without an objective has no limit.
    fn objectives(&self) -> Option<Objectives> {
        let given = [self.ttft_slo, self.tbt_slo, self.e2e_slo];
        given.iter().any(Option::is_some).then(|| Objectives {
            ttft_seconds: self.ttft_slo.unwrap_or(f64::INFINITY),
            tbt_seconds: self.tbt_slo.unwrap_or(f64::INFINITY),
            e2e_seconds: self.e2e_slo,
        })
    }
}

impl Figures {
    /// Reads a run's folder; `points` is the number of points to which distributions are thinned, 0 for none.
    ///
    /// # Errors
    /// A malformed file, or an incomplete run.
    pub fn read(folder: &Path, how: Reading, points: usize) -> Result<Self> {
        let mut figures = Self::default();
        let _lock = FolderLock::to_read(folder);
        check_results(folder, &folder::files(folder, how.quick))?;
        let has = |name: &str| folder.join(name).is_file();
        if !has("summary.json") && has("config.toml") {
            return Err(Error::input(
                Location::file(folder),
                "was not finished: it has config.toml and no summary.json",
                "run it again",
            ));
        }
        if how.quick {
            figures.times = folder::summary_times(folder)?;
            return Ok(figures);
        }
        if !has("summary.json") && !has("summary.csv") {
            return Err(Error::input(
                Location::file(folder),
                "holds neither summary.csv nor summary.json",
                "run it again, or remove the folder",
            ));
        }
        if has("summary.csv") {
            figures.times = folder::summary_times(folder)?;
        }
        let summary = folder::summary(folder)?;
        let requests = requests(folder)?;
        let instances = folder::instances(folder)?;
        let end = end(summary.as_ref(), requests.as_ref(), instances.as_deref());
        if let Some(requests) = &requests {
            figures.take_times(&requests.rows, points);
            figures.take_requests(requests, &objectives(summary.as_ref(), how), end);
        }
        if let Some(instances) = &instances {
            let end = end.unwrap_or_default();
            let changes = folder::changes(folder, instances, end)?;
            let log = folder::decisions(folder)?;
            let fleet = Fleet::of(&changes, instances, end);
            let cost = Cost::of(instances, &folder::resources(summary.as_ref()));
            figures.instance_hours = Some(cost.instance_hours);
            figures.gpu_hours = cost.gpu_hours;
            figures.dollars = cost.dollars;
            figures.scaling = Some(ScalingFigures::of(instances, &fleet, log.as_ref(), end));
            figures.fleet = Some(fleet);
            figures.changes = changes_so_far(instances, end);
        }
        match &summary {
            // Slowdowns are relative to the reference instance of the run itself, which only its summary records.
            Some(summary) => figures.take_summary(summary),
            None => {
                let slow = requests.and_then(|requests| study_slowdowns(&requests.rows));
                figures.slowdowns = slow.unwrap_or_default();
            }
        }
        figures.oom |= has("oom.csv");
        Ok(figures)
    }

    fn take_summary(&mut self, summary: &Value) {
        for (metric, name) in METRICS.iter().enumerate() {
            for (place, percentile) in PERCENTILES.iter().enumerate() {
                let path = format!("/slowdown/{name}/p{percentile}");
                self.slowdowns[metric][place] = summary.pointer(&path).and_then(Value::as_f64);
            }
        }
        self.command = summary["command"].as_str().map(str::to_owned);
    }

    /// Takes the percentiles of the times, and their distributions if `points` is not 0.
    fn take_times(&mut self, rows: &[RequestRow], points: usize) {
        for metric in 0..METRICS.len() {
            let finished = rows.iter().filter(|row| row.is_finished());
            let mut values: Vec<f64> = finished.filter_map(|row| times(row)[metric]).collect();
            self.times[metric] = if points > 0 {
                sort_floats(&mut values);
                self.distributions[metric] = Shares::of(&values, points);
                PERCENTILES.map(|percentile| percentile_sorted(&values, fraction(percentile)))
            } else {
                percentiles(&mut values, PERCENTILES.map(fraction))
            };
        }
    }

    fn take_requests(&mut self, requests: &Requests, objectives: &Objectives, end: Option<Nanos>) {
        let rows = &requests.rows;
        let done = finished(rows);
        self.finished = Some(done);
        self.oom = Unfinished::of(rows).too_large > 0;
        self.digest = requests.is_whole.then(|| digest(rows));
        let arrived_rows = rows.iter().filter(|row| row.outcome != Outcome::NotArrived);
        self.load = load(arrived_rows.filter_map(|row| row.arrival));
        let rate = |count| per_second(count, end?.as_secs_f64());
        self.requests_per_second = rate(done);
        // SplitwiseSim's files lack requests that did not finish, so the number of requests that arrived is unknown.
        if requests.is_whole {
            let attainment = Attainment::of(rows, objectives);
            self.arrived = Some(arrived(rows));
            self.attainment = attainment.all;
            self.goodput = rate(attainment.requests);
            self.objectives = Some(*objectives);
        }
    }

    /// Fraction of the requests that arrived which did not finish or missed an objective.
    pub fn missed(&self) -> Option<f64> {
        self.attainment.map(|met| 1.0 - met)
    }
}

/// A percentile as a fraction, exactly as [`Distribution`] has it.
fn fraction(percentile: u32) -> f64 {
    f64::from(percentile) / 100.0
}

fn at_percentiles(values: &Distribution) -> [Option<f64>; 3] {
    [values.p50, values.p90, values.p99]
}

/// The objectives of a run: the given ones, else its own, else the defaults.
fn objectives(summary: Option<&Value>, how: Reading) -> Objectives {
    let own = || Objectives::deserialize(summary?.pointer("/slo/objectives")?).ok();
    how.objectives().or_else(own).unwrap_or_default()
}

/// End time of a run: from its summary, else from its last instance or last token; `None` if no file has it.
fn end(
    summary: Option<&Value>,
    requests: Option<&Requests>,
    instances: Option<&[InstanceRecord]>,
) -> Option<Nanos> {
    if let Some(seconds) = summary.and_then(|summary| summary["end_seconds"].as_f64()) {
        return Some(Nanos::from_secs_f64(seconds));
    }
    let ended = |row: &RequestRow| Some(Nanos::from_secs_f64(row.arrival? + row.e2e?));
    let tokens = requests
        .iter()
        .flat_map(|all| all.rows.iter().filter_map(ended));
    let lives = instances.into_iter().flatten().map(|life| life.gone);
    tokens.chain(lives).max()
}

/// A hash of outcomes and times, bit by bit.
fn digest(rows: &[RequestRow]) -> u64 {
    let mut digest = Xxh3::new();
    for row in rows {
        // A time that a row does not have has bits that no finite number has.
        let time = |time: Option<f64>| time.map_or(u64::MAX, f64::to_bits);
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let words = [
            pair(row.outcome as u32, row.prompt),
            pair(row.output, row.cached),
            time(row.arrival),
            time(row.queue),
            time(row.ttft),
            time(row.tbt),
            time(row.e2e),
        ];
        digest.update(words.map(u64::to_le_bytes).as_flattened());
    }
    digest.digest()
}

/// Slowdowns relative to bloom-176b on a DGX-A100, as in the Splitwise study, for runs without their own reference.
fn study_slowdowns(rows: &[RequestRow]) -> Option<Grid> {
    let known = SplitwiseTable::builtin().select("bloom-176b", "a100-80gb", 8);
    let reference = known.ok()?;
    let (slow, _) = slowdowns(rows, |prompt| {
        let tokens = f64::from(prompt);
        (reference.prompt(tokens), reference.token(tokens))
    });
    Some([&slow.ttft, &slow.tbt, &slow.e2e].map(at_percentiles))
}

/// TTFT, TBT and E2E of a row.
fn times(row: &RequestRow) -> [Option<f64>; 3] {
    [row.ttft, row.tbt, row.e2e]
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::read::*;

    #[test]
    fn given_objectives_stand_for_all_of_the_runs_own() {
        let summary = serde_json::json!({"slo": {"objectives": {
            "ttft_seconds": 1.0, "tbt_seconds": 0.05, "e2e_seconds": null
        }}});
        let own = objectives(Some(&summary), Reading::default());
        assert_eq!((own.ttft_seconds, own.tbt_seconds), (1.0, 0.05));
        assert_eq!(objectives(None, Reading::default()), Objectives::default());
        let strict = Reading {
            e2e_slo: Some(15.0),
            ..Reading::default()
        };
        let given = objectives(Some(&summary), strict);
        assert_eq!(given.to_string(), "E2E <= 15 s");
    }

    #[test]
    fn a_run_without_a_summary_ends_with_its_last_token_or_instance() {
        let row = RequestRow {
            arrival: Some(2.0),
            e2e: Some(3.5),
            ..RequestRow::default()
        };
        let requests = Requests {
            rows: vec![row],
            is_whole: true,
        };
        let life = InstanceRecord {
            gone: Nanos::from_secs_f64(4.0),
            ..InstanceRecord::default()
        };
        let seconds = |end: Option<Nanos>| end.map(Nanos::as_secs_f64);
        assert_eq!(
            seconds(end(
                None,
                Some(&requests),
                Some(std::slice::from_ref(&life))
            )),
            Some(5.5)
        );
        assert_eq!(seconds(end(None, None, Some(&[life]))), Some(4.0));
        assert_eq!(end(None, None, None), None);
        let told = serde_json::json!({"end_seconds": 9.0});
        assert_eq!(seconds(end(Some(&told), Some(&requests), None)), Some(9.0));
    }

    #[test]
    fn distributions_keep_their_ends_and_stay_short() {
        let values: Vec<f64> = (1..=100_000).map(f64::from).collect();
        let shares = Shares::of(&values, 200);
        assert_eq!((shares.points.len(), shares.count), (200, 100_000));
        assert_eq!(shares.points[0], (1.0, 1e-5));
        assert_eq!(shares.points[199], (100_000.0, 1.0));
        assert_eq!(Shares::of(&[2.0], 200).points, [(2.0, 1.0)]);
        assert_eq!(Shares::of(&[], 200).points, []);
    }

    #[test]
    fn load_counts_every_arrival_once() {
        let times = [0.0, 3.0, 3.0, 160.0];
        let steps = load(times.into_iter());
        assert_eq!(steps.len(), BINS + 1);
        assert_eq!(steps[..3], [(0.0, 0.5), (2.0, 1.0), (4.0, 0.0)]);
        assert_eq!(steps[79..], [(158.0, 0.5), (160.0, 0.0)]);
        assert_eq!(load([0.0].into_iter()), []);
    }

    #[test]
    fn equal_requests_have_equal_digests() {
        let row = RequestRow {
            ttft: Some(0.5),
            ..RequestRow::default()
        };
        let other = RequestRow {
            ttft: Some(0.5 + f64::EPSILON),
            ..row
        };
        assert_eq!(digest(&[row]), digest(&[row]));
        assert_ne!(digest(&[row]), digest(&[other]));
        assert_ne!(digest(&[row]), digest(&[row, row]));
    }
}
