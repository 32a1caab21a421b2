//! A run's folder as the rows that [`crate::metrics::serving`] computes figures from. The files are this program's or
//! SplitwiseSim's; what a file does not tell is left out, and what is broken is an error.

use std::path::Path;

use serde_json::Value;

use super::{Grid, PERCENTILES};
use crate::autoscale::signals::FleetKind;
use crate::autoscale::{Action, Move, ScalingCounts, ScalingLog, Tick};
use crate::base::error::{Error, Location, Result};
use crate::base::table::Columns;
use crate::metrics::RequestRow;
use crate::metrics::serving::state_changes;
use crate::report::studies::simulation::state_of_name;
use crate::sim::{InstanceRecord, Outcome, PoolResources, Role, StateChange};
use crate::trace::Nanos;

/// Requests of a run.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report::studies::compare) struct Requests {
    /// A row for each request that the file has.
    pub(in crate::report::studies::compare) rows: Vec<RequestRow>,
    /// Whether the file has every request of the trace, in its order. SplitwiseSim's `detailed/0.csv` has those that
    /// finished, in the order in which they did.
    pub(in crate::report::studies::compare) is_whole: bool,
}

/// Reads requests from `request.csv`, or else from SplitwiseSim's `detailed/0.csv`; `None` where there is neither.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::report::studies::compare) fn requests(folder: &Path) -> Result<Option<Requests>> {
    let own = folder.join("request.csv");
    let foreign = folder.join("detailed/0.csv");
    let (path, is_whole) = match (own.is_file(), foreign.is_file()) {
        (true, _) => (own, true),
        (false, true) => (foreign, false),
        (false, false) => return Ok(None),
    };
    let table = Columns::read(
        &path,
        &[
            &["text:outcome"],
            &["arrival_time", "arrival_timestamp"],
            &["prompt_tokens", "prompt_sizes"],
            &["output_tokens", "token_sizes"],
            &["cached_tokens"],
            &["queue_time", "queue_times"],
            &["ttft", "ttft_times"],
            &["tbt", "tbt_times"],
            &["e2e", "response_times"],
        ],
    )?;
    let row = |row: usize| {
        let time = |column| Some(table.number(column, row)).filter(|time| time.is_finite());
        let count = |column| table.number(column, row) as u32;
        let e2e = time(8);
        RequestRow {
            outcome: outcome(table.text(0, row), e2e.is_some()),
            arrival: time(1),
            prompt: count(2),
            output: count(3),
            cached: count(4),
            queue: time(5),
            ttft: time(6),
            tbt: time(7),
            e2e,
        }
    };
    Ok(Some(Requests {
        rows: (0..table.rows).map(row).collect(),
        is_whole,
    }))
}

/// An outcome by its name; where a file has no such column, a request with an end-to-end time finished.
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

/// Reads the lives of instances from `instances.csv`; `None` where there is no such file.
///
/// # Errors
/// A file that cannot be read, or a life that ends before it begins.
pub(super) fn instances(folder: &Path) -> Result<Option<Vec<InstanceRecord>>> {
    let path = folder.join("instances.csv");
    if !path.is_file() {
        return Ok(None);
    }
    let names: [&[&str]; 6] = [
        &["text:pool"],
        &["text:role"],
        &["text:created"],
        &["text:ready"],
        &["text:draining"],
        &["text:gone"],
    ];
    let table = Columns::read(&path, &names)?;
    let life = |row: usize| {
        let time = |column| Nanos::parse_secs(table.text(column, row));
        let life = InstanceRecord {
            pool: table.text(0, row).to_owned(),
            role: role(table.text(1, row), table.text(0, row)),
            instance: row as u32,
            created: time(2)?,
            ready: time(3)?,
            draining: time(4),
            gone: time(5)?,
            ..InstanceRecord::default()
        };
        (life.created <= life.gone).then_some(life)
    };
    let lives = (0..table.rows).map(|row| {
        life(row).ok_or_else(|| {
            Error::input(
                Location::line(&path, row as u64 + 2),
                "has no times `created` and `gone` that follow each other",
                "run it again",
            )
        })
    });
    lives.collect::<Result<_>>().map(Some)
}

/// What an instance is for: by its role, or by its pool's name as SplitwiseSim has it.
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

/// Reads changes of state from `scaling/instances.csv`, which runs with an autoscaler have; others are told by lives.
///
/// # Errors
/// A file that cannot be read, or that does not fit the instances.
pub(super) fn changes(
    folder: &Path,
    instances: &[InstanceRecord],
    end: Nanos,
) -> Result<Vec<StateChange>> {
    let path = folder.join("scaling/instances.csv");
    if !path.is_file() {
        return Ok(state_changes(instances, end));
    }
    let table = Columns::read(&path, &[&["text:time"], &["instance"], &["text:state"]])?;
    let change = |row: usize| {
        let instance = table.number(1, row);
        Some(StateChange {
            time: Nanos::parse_secs(table.text(0, row))?,
            instance: (instance >= 0.0 && instance < instances.len() as f64)
                .then_some(instance as u32)?,
            state: state_of_name(table.text(2, row))?,
        })
    };
    let changes = (0..table.rows).map(|row| {
        change(row).ok_or_else(|| {
            Error::input(
                Location::line(&path, row as u64 + 2),
                "does not say when an instance of instances.csv changed to which state",
                "run it again",
            )
        })
    });
    changes.collect()
}

/// Reads an autoscaler's decisions from `scaling/0.csv`; `None` where there is no such file. Signals are left out.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn decisions(folder: &Path) -> Result<Option<ScalingLog>> {
    let path = folder.join("scaling/0.csv");
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
    let one: Vec<[&str; 1]> = std::iter::once(["time"])
        .chain(names.iter().map(|name| [name.as_str()]))
        .collect();
    let wanted: Vec<&[&str]> = one.iter().map(|name| &name[..]).collect();
    let table = Columns::read(&path, &wanted)?;
    let known: Vec<(usize, FleetKind)> = KINDS
        .into_iter()
        .enumerate()
        .map(|(place, kind)| (place * 2 + 1, kind))
        .filter(|(column, _)| table.has(*column))
        .collect();
    let tick = |row: usize| {
        let size = |column| table.number(column, row) as u32;
        let moves = known.iter().map(|(column, kind)| Move {
            kind: *kind,
            from: size(*column),
            wanted: size(column + 1),
            to: size(column + 1),
        });
        Tick {
            time: table.number(0, row),
            action: Action::Hold,
            moves: moves.collect(),
            reason: String::new(),
            signals: Vec::new(),
            fleets: Vec::new(),
        }
    };
    Ok(Some(ScalingLog {
        policy: String::new(),
        fleets: known.iter().map(|(_, kind)| *kind).collect(),
        ticks: (0..table.rows).map(tick).collect(),
        counts: ScalingCounts::default(),
    }))
}

/// GPUs and prices of pools, as `summary.json` has them; none of a foreign folder.
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

/// Reads `summary.json`; `None` where there is no such file.
///
/// # Errors
/// A file that cannot be read, or is no JSON.
pub(super) fn summary(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join("summary.json");
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|source| Error::read(&path, source))?;
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        Error::input(
            Location::line(&path, error.line() as u64),
            format!("is no JSON: {error}"),
            "run it again",
        )
    })?;
    Ok(Some(value))
}

/// Reads TTFT, TBT and E2E at three percentiles from SplitwiseSim's `summary.csv`.
///
/// # Errors
/// A file that cannot be read, or without such columns.
pub(super) fn summary_times(folder: &Path) -> Result<Grid> {
    let path = folder.join("summary.csv");
    let columns: Vec<[String; 1]> = ["ttft_times", "tbt_times", "response_times"]
        .iter()
        .flat_map(|name| PERCENTILES.map(|percentile| [format!("{name}_p{percentile}")]))
        .collect();
    let wanted: Vec<Vec<&str>> = columns.iter().map(|c| vec![c[0].as_str()]).collect();
    let wanted: Vec<&[&str]> = wanted.iter().map(Vec::as_slice).collect();
    let table = Columns::read(&path, &wanted)?;
    if table.rows == 0 || !(0..9).any(|column| table.has(column)) {
        return Err(Error::input(
            Location::file(&path),
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
