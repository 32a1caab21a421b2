//! The least budget of a prompt's piece (`min_chunk_threshold`) that served best over several runs, by the rule of
//! `select_threshold.py` of Charmstok/sarathi-serve at a8b2e3d: the same numbers to the last digit, and the same text.
//!
//! Each run is a folder, with a folder for each threshold, with a file for each of [`METRICS`]. In each run every threshold is
//! divided by a baseline; the ratios are put together over the runs, and weighted into a score, of which the lowest wins.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::python::{parse_float, parse_int};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::quantile::{median, ranks};
use crate::base::table::TableReader;
use crate::metrics::statistics::exact_mean;

/// Metrics, which are columns in files of the same name, in the order in which they are read and shown.
pub const METRICS: [&str; 5] = [
    "request_execution_time",
    "request_execution_time_normalized",
    "prefill_e2e_time",
    "prefill_time_execution_plus_preemption_normalized",
    "decode_time_execution_plus_preemption_normalized",
];

/// Which of [`METRICS`] count by their 95th percentile; the others count by their mean.
pub(super) const BY_TAIL: [bool; 5] = [true, false, true, false, false];

/// What the ratios are called, in the order of [`METRICS`].
pub const RATIOS: [&str; 5] = [
    "request_ratio",
    "request_exec_norm_ratio",
    "prefill_ratio",
    "prefill_exec_norm_ratio",
    "decode_ratio",
];

/// The order in which the weighted ratios are added, which decides the last bit of a score.
const ADDED: [usize; 5] = [0, 2, 3, 1, 4];

/// Values of one metric, with the request each belongs to where the file says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Values.
    pub values: Vec<f64>,
    /// Request ids, as many; or none at all.
    pub ids: Vec<String>,
}

/// One run: its thresholds, each with its values in the order of [`METRICS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// By threshold.
    pub thresholds: BTreeMap<i128, [Column; 5]>,
}

/// How ratios of several runs become one.
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
    /// Of one or more ratios.
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

/// Weights of the ratios, in the order of [`METRICS`]; they need not add up to 1.
pub type Weights = [f64; 5];

/// How to select.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Options {
    /// Threshold that the others are divided by; a run that does not have it takes its lowest.
    pub baseline: i128,
    /// Of the ratios.
    pub weights: Weights,
    /// How ratios of several runs become one.
    pub aggregate: Aggregate,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            baseline: 0,
            weights: [0.35, 0.05, 0.35, 0.2, 0.05],
            aggregate: Aggregate::Mean,
        }
    }
}

impl Options {
    /// Ratios, weighted and added.
    pub(super) fn score(&self, ratios: [f64; 5]) -> f64 {
        let weighted = ADDED.map(|metric| self.weights[metric] * ratios[metric]);
        weighted[1..]
            .iter()
            .fold(weighted[0], |sum, part| sum + part)
    }
}

/// One threshold over all runs that have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// Which.
    pub threshold: i128,
    /// Runs that have it.
    pub runs: usize,
    /// Against the baseline, in the order of [`RATIOS`].
    pub ratios: [f64; 5],
    /// Weighted; the lower the better.
    pub score: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// The threshold with the lowest score; of equal ones the lowest.
    pub best: i128,
    /// Rising by threshold.
    pub rows: Vec<Row>,
    /// Number of runs.
    pub runs: usize,
}

/// Linear between ranks. The script whose rules these are computes it in this order, whose last digit may differ from
/// numpy's and so from [`crate::base::quantile`]'s.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (low, high, fraction) = ranks(values.len(), q);
    values[low] + (values[high] - values[low]) * fraction
}

/// Reads all runs below `root`; a threshold without all its files is left out, and so is a run without any threshold.
///
/// # Errors
/// A file without its column or without values in it, a value that is no number, or no data at all.
pub fn read_runs(root: &Path) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for (name, folder) in folders(root)? {
        let mut thresholds = BTreeMap::new();
        for (name, folder) in folders(&folder)? {
            if let Some(threshold) = parse_int(&name)
                && let Some(columns) = read_columns(&folder)?
            {
                thresholds.insert(threshold, columns);
            }
        }
        if !thresholds.is_empty() {
            runs.push(Run { name, thresholds });
        }
    }
    if runs.is_empty() {
        return Err(Error::input(
            Location::file(root),
            "holds no data of any threshold",
            "name the folder above the runs: RUN/THRESHOLD/request_execution_time.csv and so on",
        ));
    }
    Ok(runs)
}

/// Folders in a folder, by name; none of a folder that does not exist.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| Error::read(root, source))?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::read(root, source))?;
        if entry.path().is_dir() {
            folders.push((
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            ));
        }
    }
    folders.sort();
    Ok(folders)
}

/// All columns of one threshold, or `None` where one's file is missing.
fn read_columns(folder: &Path) -> Result<Option<[Column; 5]>> {
    let mut columns: [Column; 5] = Default::default();
    for (column, metric) in columns.iter_mut().zip(METRICS) {
        let path = folder.join(format!("{metric}.csv"));
        if !path.exists() {
            return Ok(None);
        }
        *column = read_column(&path, metric)?;
    }
    Ok(Some(columns))
}

/// The values of a column, empty cells left out, as Python's `csv.DictReader` has them.
///
/// # Errors
/// A file that cannot be read, without the column, without values in it, or with one that is no number.
pub fn read_column(path: &Path, name: &str) -> Result<Column> {
    let mut input = Input::open(path)?;
    // Python takes an empty first line for a header without columns; the table would skip it.
    let headless = input.peek()?.starts_with(b"\n") || input.peek()?.starts_with(b"\r");
    let by_place: [&str; 0] = [];
    let table = TableReader::open(input, &by_place, 0)?.with_remedy("repair the file");
    // Of columns of the same name the last counts, as in a Python dictionary.
    let last = |name: &str| table.header().iter().rposition(|column| column == name);
    let Some(at) = last(name).filter(|_| !headless) else {
        return Err(Error::input(
            Location::file(path),
            format!("has no column `{name}`"),
            "give the file as the metrics writer made it",
        ));
    };
    let id = last("Request Id");
    let mut column = Column::default();
    table.each_row(|row| {
        let Some(cell) = row.cell(at).filter(|cell| !cell.is_empty()) else {
            return Ok(());
        };
        let number = parse_float(&cell)
            .ok_or_else(|| row.fault(format!("`{cell}` in column `{name}` is no number")))?;
        column.values.push(number);
        column
            .ids
            .extend(id.and_then(|id| row.cell(id)).map(Cow::into_owned));
        Ok(())
    })?;
    if column.values.is_empty() {
        return Err(Error::input(
            Location::file(path),
            format!("has no values in column `{name}`"),
            "leave out thresholds that were not measured",
        ));
    }
    if column.ids.len() != column.values.len() {
        column.ids.clear();
    }
    Ok(column)
}

impl Run {
    /// The threshold that the others of this run are divided by.
    pub(super) fn baseline(&self, preferred: i128) -> i128 {
        if self.thresholds.contains_key(&preferred) {
            return preferred;
        }
        self.thresholds.keys().next().copied().unwrap_or(preferred)
    }
}

/// Scores all thresholds and takes the best.
///
/// # Errors
/// No runs, or a baseline of 0 seconds, by which nothing can be divided.
pub fn select(runs: &[Run], options: &Options) -> Result<Selection> {
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
                "take another --baseline",
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
    // Rising by threshold, so that of equal scores the lowest threshold stays.
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

/// A ratio as Python's `%.4f`.
fn fixed(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:.4}")
}

/// A path as Python's `pathlib` prints it.
fn python_path(path: &Path) -> String {
    let parts: PathBuf = path
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect();
    let text = parts.display().to_string();
    if text.is_empty() {
        ".".to_owned()
    } else {
        text
    }
}

/// The original's output, to the byte.
pub fn text(selection: &Selection, root: &Path) -> String {
    let mut header = vec!["threshold", "runs"];
    header.extend(RATIOS);
    header.push("score");
    let rows: Vec<Vec<String>> = selection
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.threshold.to_string(), row.runs.to_string()];
            cells.extend(row.ratios.iter().map(|ratio| fixed(*ratio)));
            cells.push(fixed(row.score));
            cells
        })
        .collect();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().map(|row| row[column].len());
            cells.fold(name.len(), usize::max)
        })
        .collect();
    let line = |cells: Vec<String>| cells.join("  ");
    let mut lines = vec![
        format!(
            "Found runs: {} (from {})",
            selection.runs,
            python_path(root)
        ),
        line(
            header
                .iter()
                .zip(&widths)
                .map(|(name, width)| format!("{name:<width$}"))
                .collect(),
        ),
    ];
    for row in &rows {
        lines.push(line(
            row.iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect(),
        ));
    }
    format!(
        "{}\n\nRecommended min_chunk_threshold = {}\n",
        lines.join("\n"),
        selection.best
    )
}

#[cfg(test)]
mod tests {
    use crate::tune::select::*;

    fn column(values: &[f64]) -> Column {
        Column {
            values: values.to_vec(),
            ids: Vec::new(),
        }
    }

    fn run(name: &str, thresholds: &[(i128, f64)]) -> Run {
        let columns =
            |factor: f64| std::array::from_fn(|_| column(&[factor, 2.0 * factor, 4.0 * factor]));
        Run {
            name: name.into(),
            thresholds: thresholds
                .iter()
                .map(|(threshold, factor)| (*threshold, columns(*factor)))
                .collect(),
        }
    }

    #[test]
    fn quantiles_by_hand() {
        assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[4.0, 1.0], 0.9), 1.0 + 3.0 * 0.9);
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }

    #[test]
    fn ratios_are_to_each_runs_own_baseline() {
        // The second run has no 0, so it is divided by its lowest, 1.
        let runs = [
            run("a", &[(0, 4.0), (1, 2.0)]),
            run("b", &[(1, 4.0), (2, 2.0)]),
        ];
        let found = select(&runs, &Options::default()).expect("selects");
        let rows = found.rows.iter();
        let ratios: Vec<(i128, usize, f64)> = rows
            .map(|row| (row.threshold, row.runs, row.ratios[0]))
            .collect();
        assert_eq!(ratios, [(0, 1, 1.0), (1, 2, 0.75), (2, 1, 0.5)]);
        assert_eq!(found.best, 2);
        let most = Options {
            aggregate: Aggregate::Max,
            ..Options::default()
        };
        let found = select(&runs, &most).expect("selects");
        assert_eq!(found.rows[1].ratios, [1.0; 5]);
        let equal = [run("c", &[(0, 2.0), (5, 1.0), (4, 1.0)])];
        let found = select(&equal, &Options::default()).expect("selects");
        assert_eq!(found.best, 4, "of equal scores the lower threshold");
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let error = select(&[run("a", &[(0, 0.0), (1, 1.0)])], &Options::default());
        let text = error.expect_err("is refused").to_string();
        assert!(
            text.starts_with("run `a`: request_execution_time of the baseline 0 is 0"),
            "{text}"
        );
        assert!(select(&[], &Options::default()).is_err());
    }

    #[test]
    fn paths_as_python_prints_them() {
        for (path, expected) in [
            ("a/", "a"),
            ("./a//b/.", "a/b"),
            (".", "."),
            ("", "."),
            ("/a", "/a"),
            ("../a", "../a"),
        ] {
            assert_eq!(python_path(Path::new(path)), expected, "{path}");
        }
    }

    fn read(content: &str) -> Result<Column> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.csv");
        std::fs::write(&path, content).expect("writes");
        read_column(&path, "m")
    }

    #[test]
    fn cells_as_python_reads_them() {
        let found =
            read("\"\",Request Id,m,cdf\n3,r3,1.5,0.1\n\n4,r4,,0.2\n5,r5\n6,r6, 2e0 ,0.3\n")
                .expect("reads");
        assert_eq!(found.values, [1.5, 2.0]);
        assert_eq!(found.ids, ["r3", "r6"]);
        assert_eq!(read("m,m\n1,2\n").expect("reads").values, [2.0]);
        for (content, expected) in [
            ("", "has no column `m`"),
            ("\nm\n1\n", "has no column `m`"),
            ("a\n1\n", "has no column `m`"),
            ("m\n\n", "has no values in column `m`"),
            ("m\n1\nx\n", "m.csv:3: `x` in column `m` is no number"),
        ] {
            let error = read(content).expect_err(content).to_string();
            assert!(error.contains(expected), "{content:?}: {error}");
        }
    }
}
