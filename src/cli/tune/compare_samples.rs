//! `replay tune compare-samples`

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::output;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::limits;
use crate::base::table::TableReader;
use crate::cli::ranges::number;
use crate::metrics::statistics::{Comparison, Options, Statistic, compare, p_text, sentence};
use crate::report::render::table::{pairs, table};
use crate::tune::select::{Column, read_column};

/// Columns of metric files that are not measurements.
const NOT_MEASURED: [&str; 3] = ["", "Request Id", "cdf"];

/// Arguments of `replay tune compare-samples`.
#[derive(Debug, Args)]
#[command(after_help = "\
Files are CSV with a header, or one number a line. Means are tested by Welch's test (paired: Student's), medians by the Mann-Whitney \
test (paired: Wilcoxon's), other percentiles by the bootstrap. Intervals are BCa bootstrap intervals; for means of fewer than 20 \
values, Student's.

Examples:
  replay tune compare-samples before.csv after.csv
  replay tune compare-samples a/metrics.csv b/metrics.csv --column prefill_e2e_time --statistic p95
  replay tune compare-samples a.csv b.csv --column request_e2e_time --paired --json")]
pub(super) struct CompareSamplesArgs {
    /// File of the first sample
    a: PathBuf,

    /// File of the second sample, which the first is compared with
    b: PathBuf,

    /// Column to compare [default: the only one with measurements]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// What to compare: mean, median or a percentile such as p95
    #[arg(long, default_value = "mean", value_name = "NAME")]
    statistic: String,

    /// Pair the values: by `Request Id` where both files have it, and else by their order
    #[arg(long)]
    paired: bool,

    /// Higher is better, as for throughput
    #[arg(long)]
    higher_is_better: bool,

    /// Confidence level of the intervals; the significance level is 1 minus this
    #[arg(long, default_value_t = 0.95, value_name = "FRACTION", value_parser = number::<f64>(limits::CONFIDENCE))]
    confidence: f64,

    /// Number of bootstrap resamples
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = number::<usize>(limits::RESAMPLES))]
    resamples: usize,

    /// Seed of the resamples
    #[arg(long, default_value_t = 0, value_parser = number::<u64>(limits::ANY))]
    seed: u64,
}

pub(super) fn run(args: &CompareSamplesArgs, json: bool) -> anyhow::Result<()> {
    let statistic = Statistic::parse(&args.statistic)?;
    let mut a = read(&args.a, args.column.as_deref())?;
    let mut b = read(&args.b, args.column.as_deref())?;
    if args.paired && !a.ids.is_empty() && !b.ids.is_empty() {
        pair(&mut a, &mut b)?;
    }
    let options = Options {
        statistic,
        paired: args.paired,
        confidence: args.confidence,
        resamples: args.resamples,
        seed: args.seed,
        threshold: None,
    };
    let found = compare(&a.values, &b.values, &options)?;
    let (name_a, name_b) = names(&args.a, &args.b);
    let says = sentence(&name_a, &name_b, &found, !args.higher_is_better);
    if json {
        let mut value = serde_json::to_value(&found)?;
        value["sentence"] = json!(says);
        value["answer"] = json!(says);
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    output::print(&text(&found, &name_a, &name_b, &says, args.confidence))
}

/// Reads a column by name, the only column of measurements, or a file that contains nothing but numbers.
fn read(path: &Path, column: Option<&str>) -> Result<Column> {
    if let Some(column) = column {
        return read_column(path, column);
    }
    let bytes = Input::open(path)?.read_to_end()?;
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().next().unwrap_or_default();
    if first.trim().parse::<f64>().is_ok() {
        let number = |(index, line): (usize, &str)| {
            line.trim().parse::<f64>().map_err(|_| {
                Error::input(
                    Location::line(path, index as u64 + 1),
                    format!("`{line}` is not a number"),
                    "give one number per line, or name a --column of a CSV file",
                )
            })
        };
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        return Ok(Column {
            values: lines.map(number).collect::<Result<_>>()?,
            ids: Vec::new(),
        });
    }
    let by_place: [&str; 0] = [];
    let table = TableReader::open(Input::from_bytes(path, bytes.clone())?, &by_place, 0)?;
    let measured: Vec<&str> = table
        .header()
        .iter()
        .map(String::as_str)
        .filter(|name| !NOT_MEASURED.contains(name))
        .collect();
    match measured.as_slice() {
        [only] => read_column(path, only),
        several => Err(Error::input(
            Location::file(path),
            format!("has {} columns of measurements", several.len()),
            format!("name one with --column: {}", several.join(", ")),
        )),
    }
}

/// Restricts both samples to the requests that both have, in the order of the first.
fn pair(a: &mut Column, b: &mut Column) -> Result<()> {
    let known: HashMap<&str, f64> = b
        .ids
        .iter()
        .map(String::as_str)
        .zip(b.values.iter().copied())
        .collect();
    let mut both = (Column::default(), Column::default());
    for (id, value) in a.ids.iter().zip(&a.values) {
        if let Some(other) = known.get(id.as_str()) {
            both.0.values.push(*value);
            both.1.values.push(*other);
        }
    }
    if both.0.values.is_empty() {
        return Err(Error::usage(
            "no request is in both files",
            "compare them without --paired",
        ));
    }
    let left = a.values.len().max(b.values.len()) - both.0.values.len();
    if left > 0 {
        output::warn(&format!(
            "{left} requests are in one file only and are left out"
        ));
    }
    (*a, *b) = both;
    Ok(())
}

/// The files' names, with as many parent folders as are needed to distinguish them.
fn names(a: &Path, b: &Path) -> (String, String) {
    let parts = |path: &Path| -> Vec<String> {
        path.components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let (a, b) = (parts(a), parts(b));
    let tail =
        |parts: &[String], count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let most = a.len().max(b.len());
    let count = (1..=most)
        .find(|count| tail(&a, *count) != tail(&b, *count))
        .unwrap_or(most);
    (tail(&a, count), tail(&b, count))
}

fn text(found: &Comparison, name_a: &str, name_b: &str, says: &str, confidence: f64) -> String {
    let row = |name: &str, sample: &crate::metrics::statistics::Sample| {
        vec![
            name.to_owned(),
            sample.count.to_string(),
            format!("{:.6}", sample.mean),
            format!("{:.6}", sample.deviation),
            format!("{:.6}", sample.value),
        ]
    };
    let mut header = vec!["sample", "values", "mean", "deviation"];
    if found.statistic != "mean" {
        header.push(&found.statistic);
    }
    let mut rows = vec![row(name_a, &found.a), row(name_b, &found.b)];
    for row in &mut rows {
        row.truncate(header.len());
    }
    let interval = found.difference_interval;
    let mut lines = vec![(
        "difference".to_owned(),
        format!(
            "{:.6} [{:.6}, {:.6}] ({:.0} %, {})",
            found.difference,
            interval.low,
            interval.high,
            confidence * 100.0,
            interval.method
        ),
    )];
    for test in &found.tests {
        let df = test
            .df
            .map_or_else(String::new, |df| format!(", {df:.1} degrees of freedom"));
        lines.push((
            test.name.to_owned(),
            format!("{:.4}{df}, {}", test.statistic, p_text(test.p)),
        ));
    }
    if found.test == "bootstrap" {
        lines.push((found.test.to_owned(), p_text(found.p)));
    }
    lines.push((
        "Cohen's d, Hedges' g".to_owned(),
        format!("{:.3}, {:.3}", found.effect.cohens_d, found.effect.hedges_g),
    ));
    lines.push((
        "Cliff's delta".to_owned(),
        format!("{:.3}", found.effect.cliffs_delta),
    ));
    format!("{}\n{}\n\n{says}", table(&header, &rows), pairs(&lines))
}
