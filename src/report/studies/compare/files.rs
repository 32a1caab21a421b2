//! A comparison's files for programs: CSV under the names of the scripts that people know.

use std::path::Path;

use super::charts;
use super::read::{METRICS, PERCENTILES};
use super::{Run, Scenario, Study};
use crate::base::error::Result;
use crate::base::io::write_json;
use crate::base::table::{CsvFile, float};

/// Writes `results_summary.csv` and `comparison.json`, and for each scenario `summary_table.csv` and the pictures; where
/// there are several scenarios, each has a folder.
///
/// # Errors
/// A file that cannot be written, or arrival times that cannot be read.
pub fn write(study: &Study, json: &serde_json::Value, folder: &Path) -> Result<()> {
    if !study.reading.quick {
        results_summary(study, &folder.join("results_summary.csv"))?;
    }
    for scenario in study.scenarios() {
        let own = match scenario.label.as_str() {
            "" => folder.to_path_buf(),
            label => folder.join(label),
        };
        summary_table(&scenario, &own.join("summary_table.csv"))?;
        charts::save(&charts::all(&scenario, study.reading.quick)?, &own)?;
    }
    write_json(&folder.join("comparison.json"), json)
}

/// Policy and the means of TTFT, TBT and E2E at P90, to four digits.
fn summary_table(scenario: &Scenario<'_>, path: &Path) -> Result<()> {
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

/// A run a line.
fn results_summary(study: &Study, path: &Path) -> Result<()> {
    let mut header: Vec<String> = ["policy", "trace", "seed", "oom"].map(Into::into).to_vec();
    // As the script orders them: for each percentile the slowdowns, then the times.
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
    study.runs.iter().try_for_each(|run| csv.row(row(run)))?;
    csv.finish()
}

fn row(run: &Run) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), float);
    let count = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    let (key, figures) = (&run.key, &run.figures);
    let scaling = figures.scaling.as_ref();
    let mut row = vec![
        key.policy.clone(),
        key.trace.clone(),
        key.seed.clone(),
        // As pandas writes it.
        if figures.oom { "True" } else { "False" }.to_owned(),
    ];
    for place in 0..PERCENTILES.len() {
        row.extend((0..3).map(|metric| number(figures.slowdowns[metric][place])));
        row.extend((0..3).map(|metric| number(figures.times[metric][place])));
    }
    row.extend([
        number(figures.throughput),
        count(figures.total_requests),
        count(figures.finished),
        number(figures.instance_hours),
        number(figures.gpu_hours),
        number(figures.cost),
        number(figures.slo_violation_rate),
        count(scaling.map(super::Scaling::events)),
        count(scaling.map(|scaling| scaling.scale_out)),
        count(scaling.map(|scaling| scaling.scale_in)),
        count(scaling.map(|scaling| scaling.flaps)),
        count(scaling.map(|scaling| scaling.most_instances)),
        number(scaling.and_then(|scaling| scaling.pd_mean)),
        number(scaling.and_then(|scaling| scaling.pd_variance)),
        number(run.rate),
        key.start_state.clone(),
        key.cluster.clone(),
        key.model.clone(),
        key.scheduler.clone(),
    ]);
    row
}
