//! Selects the minimum chunk size (`min_chunk_threshold`) with the best score over several runs, by the rule of
//! `select_threshold.py` of Charmstok/sarathi-serve at a8b2e3d. Numbers are equal to the last digit, and the text is the same.
//!
//! Each run is a folder with one folder per threshold, which holds a file for each of [`METRICS`]. In each run, the metrics of
//! every threshold are divided by those of a baseline. The ratios are aggregated over the runs and weighted into a score; the
//! lowest score is best.

mod read;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::quantile::{median, ranks};
use crate::metrics::statistics::exact_mean;

pub use read::{read_column, read_runs};
pub use text::text;

/// Metrics in the order in which they are read and shown; each is a column in a file of the same name.
pub const METRICS: [&str; 5] = [
    "request_execution_time",
    "request_execution_time_normalized",
    "prefill_e2e_time",
    "prefill_time_execution_plus_preemption_normalized",
    "decode_time_execution_plus_preemption_normalized",
];

/// Whether each of [`METRICS`] is summarised by its 95th percentile; the others are summarised by their mean.
pub(super) const BY_TAIL: [bool; 5] = [true, false, true, false, false];

/// Names of the ratios, in the order of [`METRICS`].
pub const RATIOS: [&str; 5] = [
    "request_ratio",
    "request_exec_norm_ratio",
    "prefill_ratio",
    "prefill_exec_norm_ratio",
    "decode_ratio",
];

/// The order in which the weighted ratios are added; it affects the last bit of a score.
const ADDED: [usize; 5] = [0, 2, 3, 1, 4];

/// Values of one metric, with their request ids if the file has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Values.
    pub values: Vec<f64>,
    /// Request ids, one per value; empty if the file has none.
    pub ids: Vec<String>,
}

/// One run: its thresholds, each with its values in the order of [`METRICS`].
#[derive(Debug, Clone, PartialEq)]
pub struct ThresholdRun {
    /// Name of the run's folder.
    pub name: String,
    /// Values of each threshold.
    pub thresholds: BTreeMap<i128, [Column; 5]>,
}

/// How the ratios of several runs are aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Arithmetic mean.
    Mean,
    /// Median.
    Median,
    /// 90th percentile.
    P90,
    /// Largest.
    Max,
}

impl Aggregate {
    /// Aggregates one or more ratios.
    pub(super) fn of(self, ratios: &[f64], mean: impl Fn(&[f64]) -> f64) -> f64 {
        match self {
            Self::Mean => mean(ratios),
            Self::Median => {
                let mut sorted = ratios.to_vec();
                sorted.sort_by(f64::total_cmp);
                median(&sorted).unwrap_or(f64::NAN)
            }
            Self::P90 => quantile(ratios, 0.9),
            Self::Max => ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Weights of the ratios, in the order of [`METRICS`]; their sum need not be 1.
pub type Weights = [f64; 5];

/// Options of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SelectOptions {
    /// The baseline threshold; a run without it uses its lowest threshold.
    pub baseline: i128,
    /// Weights of the ratios.
    pub weights: Weights,
    /// How the ratios of several runs are aggregated.
    pub aggregate: Aggregate,
}

impl Default for SelectOptions {
    fn default() -> Self {
        Self {
            baseline: 0,
            weights: [0.35, 0.05, 0.35, 0.2, 0.05],
            aggregate: Aggregate::Mean,
        }
    }
}

impl SelectOptions {
    /// Weighted sum of the ratios.
    pub(super) fn score(&self, ratios: [f64; 5]) -> f64 {
        let weighted = ADDED.map(|metric| self.weights[metric] * ratios[metric]);
        weighted[1..]
            .iter()
            .fold(weighted[0], |sum, part| sum + part)
    }
}

/// Results of one threshold over all runs that have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// The threshold.
    pub threshold: i128,
    /// Number of runs that have it.
    pub runs: usize,
    /// Ratios to the baseline, in the order of [`RATIOS`].
    pub ratios: [f64; 5],
    /// Weighted sum of the ratios; lower is better.
    pub score: f64,
}

/// The result of a selection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// The threshold with the lowest score; the lowest threshold among equal scores.
    pub best: i128,
    /// Results by rising threshold.
    pub rows: Vec<Row>,
    /// Number of runs.
    pub runs: usize,
}

/// A percentile with linear interpolation between ranks. The order of its operations is that of `select_threshold.py`; the last
/// digit may differ from numpy's and so from [`crate::base::quantile`]'s.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (low, high, fraction) = ranks(values.len(), q);
    values[low] + (values[high] - values[low]) * fraction
}

impl ThresholdRun {
    /// The baseline threshold of one run.
    pub(super) fn baseline(&self, preferred: i128) -> i128 {
        if self.thresholds.contains_key(&preferred) {
            return preferred;
        }
        self.thresholds.keys().next().copied().unwrap_or(preferred)
    }
}

/// Scores all thresholds and selects the best.
///
/// # Errors
/// An empty list of runs, or a baseline of 0 seconds, which cannot be a divisor.
pub fn select(runs: &[ThresholdRun], options: &SelectOptions) -> Result<Selection> {
    let mut ratios: BTreeMap<i128, Vec<[f64; 5]>> = BTreeMap::new();
    for run in runs {
        let metrics: BTreeMap<i128, [f64; 5]> = run
            .thresholds
            .iter()
            .map(|(threshold, columns)| (*threshold, summarise(columns)))
            .collect();
        let baseline = run.baseline(options.baseline);
        let Some(base) = metrics.get(&baseline).copied() else {
            continue;
        };
        if let Some(metric) = base.iter().position(|value| *value == 0.0) {
            return Err(Error::usage(
                format!(
                    "run `{}`: {} of the baseline {baseline} is 0",
                    run.name, METRICS[metric]
                ),
                "set another `baseline`",
            ));
        }
        for (threshold, values) in metrics {
            let mut one = values;
            for (ratio, base) in one.iter_mut().zip(base) {
                *ratio /= base;
            }
            ratios.entry(threshold).or_default().push(one);
        }
    }
    let rows: Vec<Row> = ratios
        .iter()
        .map(|(threshold, ratios)| {
            let of = |metric: usize| {
                let all: Vec<f64> = ratios.iter().map(|run| run[metric]).collect();
                options.aggregate.of(&all, exact_mean)
            };
            let aggregated = [of(0), of(1), of(2), of(3), of(4)];
            Row {
                threshold: *threshold,
                runs: ratios.len(),
                ratios: aggregated,
                score: options.score(aggregated),
            }
        })
        .collect();
    let Some(first) = rows.first() else {
        return Err(Error::usage("no runs to select from", "give at least one"));
    };
    // Thresholds are in rising order, so the lowest of those with equal scores is selected.
    let best = rows.iter().fold(
        first,
        |best, row| {
            if row.score < best.score { row } else { best }
        },
    );
    Ok(Selection {
        best: best.threshold,
        rows: rows.clone(),
        runs: runs.len(),
    })
}

fn summarise(columns: &[Column; 5]) -> [f64; 5] {
    std::array::from_fn(|metric| {
        let values = &columns[metric].values;
        if BY_TAIL[metric] {
            quantile(values, 0.95)
        } else {
            exact_mean(values)
        }
    })
}
