//! Reads a run's folder as the rows from which [`crate::metrics::serving`] computes figures. The files are this program's or
//! SplitwiseSim's. Data that a file does not contain is omitted; malformed data is an error.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Grid, PERCENTILES};
use crate::autoscale::signals::FleetKind;
use crate::autoscale::{Action, Move, ScalingCounts, ScalingLog, Tick};
use crate::base::error::{Error, Fault, Location, Result};
use crate::base::io::Input;
use crate::base::table::{ColumnNames, TableReader};
use crate::metrics::RequestRow;
use crate::metrics::serving::state_changes;
use crate::report::studies::json_file;
use crate::report::studies::simulation::state_of_name;
use crate::scenario::layout::{SUMMARY, SUMMARY_CSV};
use crate::sim::{InstanceRecord, Outcome, PoolResources, Role, StateChange};
use crate::trace::Nanos;

/// The files from which figures and comparisons are computed; `quick` as [`super::Reading::quick`].
pub(super) fn files(folder: &Path, quick: bool) -> Vec<&'static str> {
    if quick {
        return vec![SUMMARY_CSV];
    }
    let requests = match folder.join(REQUESTS).is_file() {
        true => REQUESTS,
        false => FOREIGN_REQUESTS,
    };
    vec![
        SUMMARY,
        SUMMARY_CSV,
        requests,
        INSTANCES,
        CHANGES,
        DECISIONS,
    ]
}

const REQUESTS: &str = "request.csv";
const FOREIGN_REQUESTS: &str = "detailed/0.csv";
const INSTANCES: &str = "instances.csv";
const CHANGES: &str = "scaling/instances.csv";
const DECISIONS: &str = "scaling/0.csv";

/// The requests of a run.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report::studies) struct Requests {
    /// One row for each request in the file.
    pub(in crate::report::studies) rows: Vec<RequestRow>,
    /// Whether the file has every request of the trace, in trace order. SplitwiseSim's `detailed/0.csv` has only the finished
    /// requests, in order of completion.
    pub(in crate::report::studies::compare) is_whole: bool,
}

/// Reads requests from `request.csv`, or else from SplitwiseSim's `detailed/0.csv`; `None` if neither exists.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::report::studies) fn requests(folder: &Path) -> Result<Option<Requests>> {
    let Some((path, is_whole)) = request_file(folder) else {
        return Ok(None);
    };
    const COLUMNS: [&[&str]; 9] = [
        OUTCOME,
        &["arrival_time", "arrival_timestamp"],
        &["prompt_tokens", "prompt_sizes"],
        &["output_tokens", "token_sizes"],
        &["cached_tokens"],
        &["queue_time", "queue_times"],
        TTFT,
        TBT,
        E2E,
    ];
    let mut rows = Vec::new();
    table(&path, &COLUMNS)?.each_row(|row| {
        let count = |column| row.finite(column).map_or(0, |count| count as u32);
        let e2e = row.finite(8);
        rows.push(RequestRow {
            outcome: outcome(row.text(0)?, e2e.is_some()),
            arrival: row.finite(1),
            prompt: count(2),
            output: count(3),
            cached: count(4),
            queue: row.finite(5),
            ttft: row.finite(6),
            tbt: row.finite(7),
            e2e,
        });
        Ok(())
    })?;
    Ok(Some(Requests { rows, is_whole }))
}

/// The times of a run's requests, without the other columns.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report::studies::compare) struct RequestTimes {
    /// TTFT, TBT and E2E of each request in the file, in seconds; NaN for a time that the request does not have, and for requests
    /// that did not finish.
    pub(in crate::report::studies::compare) times: [Vec<f64>; 3],
    /// As [`Requests::is_whole`].
    pub(in crate::report::studies::compare) is_whole: bool,
}

/// Reads the times of requests from the same file as [`requests`].
///
/// # Errors
/// A file that cannot be read.
pub(in crate::report::studies::compare) fn request_times(
    folder: &Path,
) -> Result<Option<RequestTimes>> {
    let Some((path, is_whole)) = request_file(folder) else {
        return Ok(None);
    };
    const COLUMNS: [&[&str]; 4] = [OUTCOME, TTFT, TBT, E2E];
    let mut times: [Vec<f64>; 3] = Default::default();
    table(&path, &COLUMNS)?.each_row(|row| {
        let found: [Option<f64>; 3] = std::array::from_fn(|metric| row.finite(metric + 1));
        let is_finished = outcome(row.text(0)?, found[2].is_some()) == Outcome::Finished;
        for (times, time) in times.iter_mut().zip(found) {
            times.push(time.filter(|_| is_finished).unwrap_or(f64::NAN));
        }
        Ok(())
    })?;
    Ok(Some(RequestTimes { times, is_whole }))
}

const OUTCOME: &[&str] = &["outcome"];
const TTFT: &[&str] = &["ttft", "ttft_times"];
const TBT: &[&str] = &["tbt", "tbt_times"];
const E2E: &[&str] = &["e2e", "response_times"];

/// The file with a run's requests, and whether it has every request of the trace.
fn request_file(folder: &Path) -> Option<(PathBuf, bool)> {
    let own = folder.join(REQUESTS);
    let foreign = folder.join(FOREIGN_REQUESTS);
    match (own.is_file(), foreign.is_file()) {
        (true, _) => Some((own, true)),
        (false, true) => Some((foreign, false)),
        (false, false) => None,
    }
}

/// Opens a CSV file of a run.
fn table<N: ColumnNames>(path: &Path, columns: &[N]) -> Result<TableReader> {
    let table = TableReader::open(Input::open(path)?, columns, 0)?;
    Ok(table
        .with_full_rows()
        .with_remedy("run it again, or remove the folder"))
}

/// Parses an outcome by its name; in a file without such a column, a request with an end-to-end time finished.
fn outcome(name: &str, has_ended: bool) -> Outcome {
    match name {
        "finished" => Outcome::Finished,
        "too-large" => Outcome::TooLarge,
        "no-instance" => Outcome::NoInstance,
        "not-arrived" => Outcome::NotArrived,
        "" if has_ended => Outcome::Finished,
        _ => Outcome::EndOfTime,
    }
}

/// Reads the lifetimes of instances from `instances.csv`; `None` if the file does not exist.
///
/// # Errors
/// A file that cannot be read, or a lifetime that ends before it begins.
pub(super) fn instances(folder: &Path) -> Result<Option<Vec<InstanceRecord>>> {
    let path = folder.join(INSTANCES);
    if !path.is_file() {
        return Ok(None);
    }
    let columns = ["pool", "role", "created", "ready", "draining", "gone"];
    let mut lives = Vec::new();
    table(&path, &columns)?.each_row(|row| {
        let time =
            |column| -> Result<Option<Nanos>, Fault> { Ok(Nanos::parse_secs(row.text(column)?)) };
        let pool = row.text(0)?;
        let life = match (time(2)?, time(3)?, time(5)?) {
            (Some(created), Some(ready), Some(gone)) if created <= gone => InstanceRecord {
                pool: pool.to_owned(),
                role: role(row.text(1)?, pool),
                instance: lives.len() as u32,
                created,
                ready,
                draining: time(4)?,
                gone,
                ..InstanceRecord::default()
            },
            _ => {
                let problem = "has no times `created` and `gone` that follow each other";
                return Err(row.fault(problem));
            }
        };
        lives.push(life);
        Ok(())
    })?;
    Ok(Some(lives))
}

/// Cells of `instances.csv` as text, a line for each instance; cells of columns that the file lacks are empty. `None` if the file
/// does not exist.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::report::studies) fn instance_lines(
    folder: &Path,
    columns: &[&str],
) -> Result<Option<Vec<Vec<String>>>> {
    let path = folder.join(INSTANCES);
    if !path.is_file() {
        return Ok(None);
    }
    let mut lines = Vec::new();
    table(&path, columns)?.each_row(|row| {
        let cells = (0..columns.len()).map(|column| row.text(column).map(str::to_owned));
        lines.push(cells.collect::<Result<_, Fault>>()?);
        Ok(())
    })?;
    Ok(Some(lines))
}

/// The role of an instance, from its role column or from its pool's name in SplitwiseSim's files.
fn role(name: &str, pool: &str) -> Role {
    match name {
        "prefill" => return Role::Prefill,
        "decode" => return Role::Decode,
        "mixed" => return Role::Mixed,
        "aggregated" => return Role::Aggregated,
        _ => {}
    }
    let pool = pool.to_ascii_lowercase();
    if pool.contains("prefill") || pool.contains("prompt") {
        Role::Prefill
    } else if pool.contains("decode") || pool.contains("token") {
        Role::Decode
    } else {
        Role::Aggregated
    }
}

/// Reads changes of state from `scaling/instances.csv`, which runs with an autoscaler have; for other runs they follow from
/// lifetimes.
///
/// # Errors
/// A file that cannot be read, or that does not match the instances.
pub(super) fn changes(
    folder: &Path,
    instances: &[InstanceRecord],
    end: Nanos,
) -> Result<Vec<StateChange>> {
    let path = folder.join(CHANGES);
    if !path.is_file() {
        return Ok(state_changes(instances, end));
    }
    let mut changes = Vec::new();
    table(&path, &["time", "instance", "state"])?.each_row(|row| {
        let instance = row.text(1)?.parse().ok();
        let instance = instance.filter(|instance: &u32| (*instance as usize) < instances.len());
        let time = Nanos::parse_secs(row.text(0)?);
        let (Some(time), Some(instance), Some(state)) =
            (time, instance, state_of_name(row.text(2)?))
        else {
            let problem = "does not say when an instance of instances.csv changed to which state";
            return Err(row.fault(problem));
        };
        changes.push(StateChange {
            time,
            instance,
            state,
        });
        Ok(())
    })?;
    Ok(changes)
}

/// Reads an autoscaler's decisions from `scaling/0.csv`, without signals; `None` if the file does not exist.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn decisions(folder: &Path) -> Result<Option<ScalingLog>> {
    let path = folder.join(DECISIONS);
    if !path.is_file() {
        return Ok(None);
    }
    const KINDS: [FleetKind; 4] = [
        FleetKind::Prefill,
        FleetKind::Decode,
        FleetKind::Mixed,
        FleetKind::Aggregated,
    ];
    let names: Vec<String> = KINDS
        .iter()
        .flat_map(|kind| ["current", "target"].map(|what| format!("{}_{what}", kind.name())))
        .collect();
    let wanted: Vec<&str> = std::iter::once("time")
        .chain(names.iter().map(String::as_str))
        .collect();
    let table = table(&path, &wanted)?;
    let known: Vec<(usize, FleetKind)> = KINDS
        .into_iter()
        .enumerate()
        .map(|(place, kind)| (place * 2 + 1, kind))
        .filter(|(column, _)| table.has(*column))
        .collect();
    let mut ticks = Vec::new();
    table.each_row(|row| {
        let size = |column| row.finite(column).map_or(0, |size| size as u32);
        let moves = known.iter().map(|(column, kind)| Move {
            kind: *kind,
            from: size(*column),
            wanted: size(column + 1),
            to: size(column + 1),
        });
        ticks.push(Tick {
            time: row.number(0)?,
            action: Action::Hold,
            moves: moves.collect(),
            reason: String::new(),
            signals: Vec::new(),
            fleets: Vec::new(),
        });
        Ok(())
    })?;
    Ok(Some(ScalingLog {
        policy: String::new(),
        fleets: known.iter().map(|(_, kind)| *kind).collect(),
        ticks,
        counts: ScalingCounts::default(),
    }))
}

/// GPUs and prices of pools from `summary.json`; empty for a folder of another simulator.
pub(super) fn resources(summary: Option<&Value>) -> Vec<PoolResources> {
    let pools = summary.and_then(|summary| summary["pools"].as_array());
    let pool = |pool: &Value| {
        Some(PoolResources {
            pool: pool["pool"].as_str()?.to_owned(),
            sku: pool["sku"].as_str().unwrap_or_default().to_owned(),
            gpus: u32::try_from(pool["gpus"].as_u64()?).ok()?,
            blocks: u32::try_from(pool["blocks"].as_u64().unwrap_or_default()).ok()?,
            hour_cost: pool["gpu_hour_cost"].as_f64(),
            watts: None,
        })
    };
    pools.into_iter().flatten().filter_map(pool).collect()
}

/// Reads `summary.json`; `None` if the file does not exist.
///
/// # Errors
/// A file that cannot be read or is not JSON.
pub(super) fn summary(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join(SUMMARY);
    if !path.is_file() {
        return Ok(None);
    }
    json_file::read(&path).map(Some)
}

/// Reads TTFT, TBT and E2E at three percentiles from SplitwiseSim's `summary.csv`.
///
/// # Errors
/// A file that cannot be read or lacks these columns.
pub(super) fn summary_times(folder: &Path) -> Result<Grid> {
    let path = folder.join(SUMMARY_CSV);
    let columns: Vec<String> = ["ttft_times", "tbt_times", "response_times"]
        .iter()
        .flat_map(|name| PERCENTILES.map(|percentile| format!("{name}_p{percentile}")))
        .collect();
    let wanted: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = table(&path, &wanted)?;
    let known = (0..columns.len()).any(|column| table.has(column));
    let row = table.next_row()?;
    let Some(row) = row.filter(|_| known) else {
        return Err(Error::input(
            Location::file(&path),
            "lacks rows such as ttft_times_p50",
            "run it again, or remove the folder",
        ));
    };
    let metric = |metric: usize| std::array::from_fn(|place| row.finite(metric * 3 + place));
    Ok(std::array::from_fn(metric))
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::read::folder::*;

    #[test]
    fn roles_go_by_column_and_then_by_name() {
        for (column, pool, expected) in [
            ("decode", "prompt", Role::Decode),
            ("", "Prompt-A100", Role::Prefill),
            ("", "token", Role::Decode),
            ("", "replicas", Role::Aggregated),
        ] {
            assert_eq!(role(column, pool), expected, "{column} {pool}");
        }
    }

    #[test]
    fn outcomes_go_by_name_and_then_by_time() {
        assert_eq!(outcome("finished", true), Outcome::Finished);
        assert_eq!(outcome("", true), Outcome::Finished);
        assert_eq!(outcome("", false), Outcome::EndOfTime);
        assert_eq!(outcome("unfinished-queued", false), Outcome::EndOfTime);
        assert_eq!(outcome("not-arrived", false), Outcome::NotArrived);
    }
}
