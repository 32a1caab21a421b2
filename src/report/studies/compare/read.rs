//! One run's folder, read into figures. What is not there is left out; what is broken is told.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::scaling::{Life, Phase, Scaling};
use crate::base::Distribution;
use crate::base::error::{Error, Location, Result};
use crate::base::table::Columns;
use crate::metrics::{Times, slowdowns};
use crate::sim::Objectives;
use crate::sim::latency::SplitwiseTable;

/// The three times that are compared, as columns name them.
pub const METRICS: [&str; 3] = ["ttft", "tbt", "e2e"];

/// As people name them.
pub const METRIC_NAMES: [&str; 3] = ["TTFT", "TBT", "E2E"];

/// The percentiles that are compared.
pub const PERCENTILES: [u32; 3] = [50, 90, 99];

/// By metric and percentile.
pub(super) type Grid = [[Option<f64>; 3]; 3];

/// What one run achieved. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// TTFT, TBT, E2E at p50, p90, p99.
    pub times: Grid,
    /// The same as multiples of what an unloaded instance needs.
    pub slowdowns: Grid,
    /// Whether requests found no memory.
    pub oom: bool,
    /// Requests that came.
    pub total_requests: Option<u64>,
    /// Requests that got all their tokens.
    pub finished: Option<u64>,
    /// Finished requests per second, from the first arrival to the last token.
    pub throughput: Option<f64>,
    /// Part of all requests that did not finish, or missed an objective.
    pub slo_violation_rate: Option<f64>,
    /// Hours of instances.
    pub instance_hours: Option<f64>,
    /// Hours of GPUs.
    pub gpu_hours: Option<f64>,
    /// Dollars.
    pub cost: Option<f64>,
    /// What the autoscaler did.
    pub scaling: Option<Scaling>,
    /// Flaps as the autoscaler counted them.
    #[serde(skip)]
    flaps: Option<u64>,
    /// The command that made the run.
    #[serde(skip)]
    pub command: Option<String>,
}

/// How a run is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Only `summary.csv`.
    pub quick: bool,
    /// Objective for the time to first token, in place of the run's own.
    pub ttft_slo: Option<f64>,
    /// Objective for the time between tokens.
    pub tbt_slo: Option<f64>,
    /// Objective for the whole time.
    pub e2e_slo: Option<f64>,
}

impl Figures {
    /// Of a run's folder.
    ///
    /// # Errors
    /// A file that cannot be read as what it should be, or a run that was not finished.
    pub fn read(folder: &Path, how: Reading) -> Result<Self> {
        let mut figures = Self::default();
        let summary_csv = folder.join("summary.csv");
        if how.quick {
            figures.times = summary_times(&summary_csv)?;
            return Ok(figures);
        }
        let summary_json = folder.join("summary.json");
        let there = |name: &str| folder.join(name).is_file();
        if !there("summary.json") && there("config.toml") {
            return Err(Error::input(
                Location::file(folder),
                "was not finished: it has config.toml and no summary.json",
                "run it again",
            ));
        }
        if !there("summary.json") && !there("summary.csv") {
            return Err(Error::input(
                Location::file(folder),
                "holds neither summary.csv nor summary.json",
                "run it again, or remove the folder",
            ));
        }
        if there("summary.csv") {
            figures.times = summary_times(&summary_csv)?;
        }
        let summary = there("summary.json")
            .then(|| json(&summary_json))
            .transpose()?;
        if let Some(summary) = &summary {
            figures.take_summary(summary);
        }
        if let Some(requests) = Requests::of_run(folder)? {
            figures.take_requests(requests, how, summary.is_none());
        }
        if there("instances.csv") {
            figures.take_instances(folder)?;
        }
        figures.oom |= there("oom.csv");
        Ok(figures)
    }

    fn take_summary(&mut self, summary: &Value) {
        let number = |path: &str| summary.pointer(path).and_then(Value::as_f64);
        let count = |path: &str| summary.pointer(path).and_then(Value::as_u64);
        for (metric, name) in METRICS.iter().enumerate() {
            for (place, percentile) in PERCENTILES.iter().enumerate() {
                let some = |path: &str| count(&format!("{path}/count")).is_none_or(|n| n > 0);
                if some(&format!("/{name}")) && self.times[metric][place].is_none() {
                    self.times[metric][place] = number(&format!("/{name}/p{percentile}"));
                }
                let slow = format!("/slowdown/{name}");
                if some(&slow) {
                    self.slowdowns[metric][place] = number(&format!("{slow}/p{percentile}"));
                }
            }
        }
        self.total_requests = count("/arrived");
        self.finished = count("/finished");
        self.throughput = number("/requests_per_second");
        self.oom = count("/unfinished/too_large").is_some_and(|n| n > 0);
        if let (Some(kept), Some(finished), Some(all)) = (
            number("/slo/attainment"),
            self.finished,
            self.total_requests,
        ) && all > 0
        {
            let good = (kept * finished as f64).round();
            self.slo_violation_rate = Some(1.0 - good / all as f64);
        }
        self.instance_hours = number("/cost/instance_hours");
        self.gpu_hours = number("/cost/gpu_hours");
        self.cost = number("/cost/dollars");
        self.flaps = count("/scaling/flaps");
        self.command = summary["command"].as_str().map(str::to_owned);
    }

    fn take_requests(&mut self, requests: Requests, how: Reading, foreign: bool) {
        let finished = requests.times[2].len();
        let all = self.total_requests.unwrap_or(0).max(requests.total);
        self.total_requests = Some(all);
        self.finished = Some(finished as u64);
        if let Some((first, last)) = requests.span
            && last > first
        {
            self.throughput = Some(finished as f64 / (last - first));
        }
        let own = [how.ttft_slo, how.tbt_slo, how.e2e_slo];
        if (own.iter().any(Option::is_some) || self.slo_violation_rate.is_none()) && all > 0 {
            let usual = Objectives::default();
            let usual = [Some(usual.ttft_seconds), Some(usual.tbt_seconds), None];
            let limits = if own.iter().any(Option::is_some) {
                own
            } else {
                usual
            };
            let good = (0..finished).filter(|request| {
                let kept = |(times, limit): (&Vec<f64>, &Option<f64>)| {
                    // A single token has no time between tokens.
                    limit.is_none_or(|limit| times[*request].is_nan() || times[*request] <= limit)
                };
                requests.times.iter().zip(&limits).all(kept)
            });
            self.slo_violation_rate = Some(1.0 - good.count() as f64 / all as f64);
        }
        if foreign && let Some(slow) = requests.study_slowdowns() {
            self.slowdowns = slow;
        }
    }

    fn take_instances(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("instances.csv");
        let table = Columns::read(
            &path,
            &[
                &["text:pool"],
                &["created"],
                &["ready"],
                &["draining"],
                &["gone"],
            ],
        )?;
        let end = table.numbers(4).iter().copied().fold(0.0, f64::max);
        let lives: Vec<Life> = (0..table.rows)
            .map(|row| {
                let gone = table.number(4, row);
                let draining = if table.has(3) {
                    Some(table.number(3, row)).filter(|time| time.is_finite())
                } else {
                    // Runs without that column: who goes before the end was sent.
                    Some(gone).filter(|gone| *gone < end)
                };
                Life {
                    pool: table.text(0, row).to_owned(),
                    created: table.number(1, row),
                    ready: table.number(2, row),
                    draining,
                    gone,
                }
            })
            .collect();
        let sound = |life: &Life| life.created <= life.gone && life.ready.is_finite();
        if let Some(bad) = lives.iter().position(|life| !sound(life)) {
            return Err(Error::input(
                Location::line(&path, bad as u64 + 2),
                "has no times `created` and `gone` that follow each other",
                "run it again",
            ));
        }
        let roles = pool_roles(&folder.join("config.toml"));
        let phase = |pool: &str| {
            let role = roles.iter().find(|(name, _)| name == pool);
            role.map_or_else(|| Phase::of(pool), |(_, phase)| *phase)
        };
        let mut scaling = Scaling::new(&lives, phase);
        self.instance_hours.get_or_insert(scaling.instance_hours);
        // The autoscaler knows of instances that were put aside and taken back.
        scaling.flaps = self.flaps.unwrap_or(scaling.flaps);
        self.scaling = Some(scaling);
        Ok(())
    }
}

/// What the configuration says of pools; nothing where it cannot be read.
fn pool_roles(path: &Path) -> Vec<(String, Phase)> {
    let table = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok());
    let pools = table
        .as_ref()
        .and_then(|table| table.get("pool")?.as_array());
    let role = |pool: &toml::Value| {
        let name = pool.get("name")?.as_str()?.to_owned();
        let phase = match pool.get("role")?.as_str()? {
            "prefill" => Phase::Prefill,
            "decode" => Phase::Decode,
            _ => Phase::Both,
        };
        Some((name, phase))
    };
    pools.into_iter().flatten().filter_map(role).collect()
}

fn json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|source| Error::read(path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::input(
            Location::line(path, error.line() as u64),
            format!("is no JSON: {error}"),
            "run it again",
        )
    })
}

/// The percentiles of SplitwiseSim's `summary.csv`.
fn summary_times(path: &Path) -> Result<Grid> {
    let columns: Vec<[String; 1]> = ["ttft_times", "tbt_times", "response_times"]
        .iter()
        .flat_map(|name| PERCENTILES.map(|percentile| [format!("{name}_p{percentile}")]))
        .collect();
    let wanted: Vec<Vec<&str>> = columns.iter().map(|c| vec![c[0].as_str()]).collect();
    let wanted: Vec<&[&str]> = wanted.iter().map(Vec::as_slice).collect();
    let table = Columns::read(path, &wanted)?;
    if table.rows == 0 || !(0..9).any(|column| table.has(column)) {
        return Err(Error::input(
            Location::file(path),
            "has no row with ttft_times_p50 and the like",
            "run it again, or remove the folder",
        ));
    }
    let mut grid = Grid::default();
    for (metric, row) in grid.iter_mut().enumerate() {
        for (place, cell) in row.iter_mut().enumerate() {
            let value = table.number(metric * 3 + place, 0);
            *cell = Some(value).filter(|value| value.is_finite());
        }
    }
    Ok(grid)
}

/// Arrival times of a run's requests, rising; none where no file tells them.
///
/// # Errors
/// A file that cannot be read.
pub fn arrivals(folder: &Path) -> Result<Vec<f64>> {
    let path = folder.join("request.csv");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let table = Columns::read(&path, &[&["arrival_time", "arrival_timestamp"]])?;
    let mut times: Vec<f64> = table.numbers(0).to_vec();
    times.retain(|time| time.is_finite());
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// TTFT, TBT and E2E of each finished request; none where no file tells them.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn request_times(folder: &Path) -> Result<Option<[Vec<f64>; 3]>> {
    Ok(Requests::of_run(folder)?.map(|requests| requests.times))
}

/// Requests of a run.
struct Requests {
    /// All that the file has.
    total: u64,
    /// First arrival and last token.
    span: Option<(f64, f64)>,
    /// TTFT, TBT, E2E of those that finished; a time that there is not is no number.
    times: [Vec<f64>; 3],
    /// Their prompts and outputs.
    tokens: Vec<(u32, u32)>,
}

impl Requests {
    /// Ours are in `request.csv`, SplitwiseSim's in `detailed/0.csv`.
    fn of_run(folder: &Path) -> Result<Option<Self>> {
        let paths = ["request.csv", "detailed/0.csv"].map(|name| folder.join(name));
        let Some(path) = paths.iter().find(|path| path.is_file()) else {
            return Ok(None);
        };
        let table = Columns::read(
            path,
            &[
                &["ttft", "ttft_times"],
                &["tbt", "tbt_times"],
                &["e2e", "response_times"],
                &["arrival_time", "arrival_timestamp"],
                &["prompt_tokens", "prompt_sizes"],
                &["output_tokens", "token_sizes"],
            ],
        )?;
        let mut requests = Self {
            total: table.rows as u64,
            span: None,
            times: Default::default(),
            tokens: Vec::new(),
        };
        for row in 0..table.rows {
            let (e2e, arrival) = (table.number(2, row), table.number(3, row));
            if !e2e.is_finite() {
                continue;
            }
            for (metric, times) in requests.times.iter_mut().enumerate() {
                times.push(table.number(metric, row));
            }
            requests
                .tokens
                .push((table.number(4, row) as u32, table.number(5, row) as u32));
            if arrival.is_finite() {
                let (first, last) = requests.span.unwrap_or((arrival, arrival + e2e));
                requests.span = Some((first.min(arrival), last.max(arrival + e2e)));
            }
        }
        Ok(Some(requests))
    }

    /// Against bloom-176b on a DGX-A100, as the Splitwise study has them; for runs that do not bring their own.
    fn study_slowdowns(&self) -> Option<Grid> {
        let known = SplitwiseTable::builtin().select("bloom-176b", "a100-80gb", 8);
        let reference = known.ok()?;
        let [ttft, tbt, e2e] = &self.times;
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let all = self
            .tokens
            .iter()
            .enumerate()
            .map(|(row, (prompt, output))| Times {
                prompt: *prompt,
                output: (*output).max(1),
                ttft: finite(ttft[row]),
                tbt: finite(tbt[row]),
                e2e: finite(e2e[row]),
            });
        let (slow, _) = slowdowns(all, |prompt| {
            let tokens = f64::from(prompt);
            (reference.prompt(tokens), reference.token(tokens))
        });
        let three = |d: &Distribution| [d.p50, d.p90, d.p99].map(|v| (d.count > 0).then_some(v));
        Some([three(&slow.ttft), three(&slow.tbt), three(&slow.e2e)])
    }
}
