//! The files of a comparison: charts, JSON, and CSV with the column names of SplitwiseSim's scripts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::charts;
use super::read::{METRICS, PERCENTILES};
use super::{ComparedRun, PolicyComparison, ScenarioGroup};
use crate::base::error::{Error, Location, Result};
use crate::base::io::{StagedFolder, write_json};
use crate::base::table::{CsvFile, float};

/// The default output folder of a comparison. A quick comparison has its own, so that it never replaces the full one.
pub fn folder(results: &Path, quick: bool) -> PathBuf {
    results.join(if quick {
        "comparison-quick"
    } else {
        "comparison"
    })
}

/// Returns an error if a quick comparison would replace a full one.
fn spare_full_comparison(folder: &Path) -> Result<()> {
    let path = folder.join("comparison.json");
    let Ok(bytes) = std::fs::read(&path) else {
        return Ok(());
    };
    let known: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    match known.and_then(|known| known.pointer("/reading/quick")?.as_bool()) {
        Some(true) => Ok(()),
        _ => Err(Error::input(
            Location::file(&path),
            "is from a full comparison, which a quick one would replace",
            "give another output folder, or run a full comparison",
        )),
    }
}

/// Maximum number of scenarios whose charts are all drawn.
const MOST_DRAWN: usize = 12;

/// Number of scenarios whose charts are drawn if there are more than [`MOST_DRAWN`]: drawing would take most of the time.
const DRAWN_OF_MANY: usize = 2;

/// How many of `scenarios` have their charts drawn, counted from the first.
pub fn drawn(scenarios: usize) -> usize {
    match scenarios > MOST_DRAWN {
        true => DRAWN_OF_MANY,
        false => scenarios,
    }
}

/// Writes `results_summary.csv` and `comparison.json`, and for each scenario `summary_table.csv` and, for those
/// of [`drawn`], the charts. If there are several scenarios, each has its own folder. `done` counts the scenarios, for a
/// progress bar.
///
/// # Errors
/// A file that cannot be written, or a quick comparison that would replace a full one.
pub fn write(
    comparison: &PolicyComparison,
    json: &serde_json::Value,
    folder: &Path,
    done: &AtomicU64,
) -> Result<()> {
    if comparison.reading.quick {
        spare_full_comparison(folder)?;
    }
    let begun = StagedFolder::begin(folder)?;
    let folder = begun.path();
    if !comparison.reading.quick {
        results_summary(comparison, &folder.join("results_summary.csv"))?;
    }
    let scenarios = comparison.scenarios();
    let drawn = drawn(scenarios.len());
    for (number, scenario) in scenarios.iter().enumerate() {
        let own = match scenario.label.as_str() {
            "" => folder.to_path_buf(),
            label => folder.join(label),
        };
        summary_table(scenario, &own.join("summary_table.csv"))?;
        if number < drawn {
            charts::save(&charts::all(scenario, comparison.reading.quick), &own)?;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    write_json(folder.join("comparison.json"), json)?;
    begun.finish(&["comparison.json"])
}

/// Writes each policy's mean TTFT, TBT and E2E at P90, to four digits.
fn summary_table(scenario: &ScenarioGroup<'_>, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(path, &["Policy", "TTFT P90", "TBT P90", "E2E P90"])?;
    for policy in scenario.policies() {
        let mean = |metric: usize| {
            let mean = scenario.mean(policy, |figures| figures.times[metric][1]);
            mean.map_or(String::new(), |mean| format!("{mean:.4}"))
        };
        csv.row([policy.to_owned(), mean(0), mean(1), mean(2)])?;
    }
    csv.finish()
}

/// Writes a line for each run.
fn results_summary(comparison: &PolicyComparison, path: &Path) -> Result<()> {
    let mut header: Vec<String> = ["policy", "trace", "seed", "oom"].map(Into::into).to_vec();
    // The script's column order: for each percentile the slowdowns, then the times.
    for percentile in PERCENTILES {
        for kind in ["slowdown", "times"] {
            header.extend(METRICS.map(|metric| format!("{metric}_{kind}_p{percentile}")));
        }
    }
    header.extend(
        [
            "avg_throughput",
            "total_requests",
            "finished_requests",
            "instance_hours",
            "gpu_hours",
            "cost",
            "slo_violation_rate",
            "scale_events",
            "scale_out",
            "scale_in",
            "flaps",
            "most_instances",
            "pd_ratio_mean",
            "pd_ratio_variance",
            "rate",
            "start_state",
            "cluster",
            "model",
            "scheduler",
        ]
        .map(Into::into),
    );
    let names: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut csv = CsvFile::create(path, &names)?;
    comparison
        .runs
        .iter()
        .try_for_each(|run| csv.row(row(run)))?;
    csv.finish()
}

fn row(run: &ComparedRun) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), float);
    let count = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    let (key, figures) = (&run.key, &run.figures);
    let scaling = figures.scaling.as_ref();
    let mut row = vec![
        key.policy.clone(),
        key.trace.clone(),
        key.seed.clone(),
        // The format in which pandas writes the value.
        if figures.oom { "True" } else { "False" }.to_owned(),
    ];
    for place in 0..PERCENTILES.len() {
        row.extend((0..3).map(|metric| number(figures.slowdowns[metric][place])));
        row.extend((0..3).map(|metric| number(figures.times[metric][place])));
    }
    row.extend([
        number(figures.requests_per_second),
        count(figures.arrived),
        count(figures.finished),
        number(figures.instance_hours),
        number(figures.gpu_hours),
        number(figures.dollars),
        number(figures.missed()),
        count(scaling.map(|scaling| scaling.scaling_events)),
        count(scaling.map(|scaling| scaling.changes.scale_out + scaling.changes.rebalance)),
        count(scaling.map(|scaling| scaling.changes.scale_in + scaling.changes.rebalance)),
        count(scaling.map(|scaling| scaling.changes.flaps)),
        count(scaling.map(|scaling| scaling.most_instances)),
        number(scaling.and_then(|scaling| scaling.pd_ratio_mean)),
        number(scaling.and_then(|scaling| scaling.pd_ratio_variance)),
        number(run.rate),
        key.start_state.clone(),
        key.cluster.clone(),
        key.model.clone(),
        key.scheduler.clone(),
    ]);
    row
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::files::drawn;

    #[test]
    fn charts_of_up_to_twelve_scenarios_are_drawn() {
        assert_eq!([1, 6, 12, 13, 100].map(drawn), [1, 6, 12, 2, 2]);
    }
}
