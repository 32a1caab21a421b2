//! Result files in Vidur's format, for scripts that read its folders: `request_metrics.csv`, `batch_metrics.csv` and
//! `plots/`, with its names, columns and quirks (`vidur/metrics/metrics_store.py` at 7d47513).
//!
//! Files that Vidur writes only on request (operations, single tokens) and images (histograms) are not written.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::write_file;
use crate::base::table::{CsvFile, float};
use crate::compat::vidur::meter::Meter;
use crate::compat::vidur::sketch::Sketch;
use crate::metrics::serving::request_times::{TIMES, completion_order, times};
use crate::sim::{Records, RequestRecord};
use crate::trace::Nanos;

/// Parameters and speed of a device, for its utilisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelWork {
    /// Number of parameters on one device.
    pub parameters: f64,
    /// Layers times query heads times head size, on one device.
    pub attention_width: f64,
    /// Operations of the device per second.
    pub flops: f64,
}

/// One request's figures.
#[derive(Debug)]
struct Figures {
    id: usize,
    /// Times in the order of [`TIMES`]; `None` for a request that did not finish.
    times: Option<[f64; 14]>,
    /// Seconds since the previous arrival.
    since_last: Option<f64>,
    prompt: f64,
    output: f64,
    restarts: u32,
}

/// The other columns of a request.
const COUNTS: [&str; 6] = [
    "request_inter_arrival_delay",
    "request_num_tokens",
    "request_num_prefill_tokens",
    "request_num_decode_tokens",
    "request_pd_ratio",
    "request_num_restarts",
];

/// Columns of a batch.
const BATCH: [&str; 5] = [
    "batch_num_tokens",
    "batch_num_prefill_tokens",
    "batch_num_decode_tokens",
    "batch_size",
    "batch_execution_time",
];

/// Writes all files into a folder. Batch files are written if the simulation logged its steps; `work` is needed for the
/// `mfu` files.
///
/// # Errors
/// [`crate::base::error::Error::Io`] for a file that cannot be written.
pub fn write(folder: &Path, records: &Records, work: Option<ModelWork>) -> Result<()> {
    let plots = folder.join("plots");
    let figures = figures(&records.requests);
    requests(&folder.join("request_metrics.csv"), &figures)?;
    let ended = completion_order(&records.requests);
    for (column, name) in TIMES.iter().enumerate() {
        ranked(&plots, name, column, &figures, &ended)?;
    }
    let arrivals = records.requests.iter().map(|request| request.arrival);
    series(&plots, "request_arrival", arrivals)?;
    let completions = ended.iter().map(|id| records.requests[*id].ended);
    series(&plots, "request_completion", completions)?;
    if !records.step_log.is_empty() {
        batches(folder, &plots, records)?;
        utilisation(&plots, records, work)?;
    }
    Ok(())
}

fn figures(requests: &[RequestRecord]) -> Vec<Figures> {
    let mut last: Option<Nanos> = None;
    let mut all = Vec::with_capacity(requests.len());
    for (id, request) in requests.iter().enumerate() {
        let before = last.replace(request.arrival);
        all.push(Figures {
            id,
            times: times(request),
            since_last: before.map(|before| (request.arrival - before).as_secs_f64()),
            prompt: f64::from(request.prompt),
            output: f64::from(request.output),
            restarts: request.preemptions,
        });
    }
    all
}

fn requests(path: &Path, figures: &[Figures]) -> Result<()> {
    let header: Vec<&str> = std::iter::once("Request Id")
        .chain(TIMES)
        .chain(COUNTS)
        .collect();
    let mut csv = CsvFile::create(path, &header)?;
    for request in figures {
        let mut row = vec![request.id.to_string()];
        match &request.times {
            Some(times) => row.extend(times.iter().map(|time| float(*time))),
            None => row.resize(TIMES.len() + 1, String::new()),
        }
        row.push(request.since_last.map_or_else(String::new, float));
        row.push(float(request.prompt + request.output));
        row.push(float(request.prompt));
        row.push(float(request.output));
        row.push(float(request.prompt / request.output));
        row.push(match request.times {
            Some(_) => request.restarts.to_string(),
            None => String::new(),
        });
        csv.row(row)?;
    }
    csv.finish()
}

/// Distribution of a metric over the finished requests.
fn ranked(
    plots: &Path,
    name: &str,
    column: usize,
    figures: &[Figures],
    ended: &[usize],
) -> Result<()> {
    let values = ended
        .iter()
        .filter_map(|id| Some((*id, figures[*id].times?[column])));
    write_ranked(plots, name, values)
}

/// Writes a distribution as `name.csv`: rows in ascending order of value, equal values in order of completion, each
/// with its rank as a fraction of all. `values` are pairs of a request's number and its value, in order of completion.
///
/// # Errors
/// [`crate::base::error::Error::Io`] for a file that cannot be written.
pub fn write_ranked(
    plots: &Path,
    name: &str,
    values: impl Iterator<Item = (usize, f64)>,
) -> Result<()> {
    let mut rows: Vec<(usize, (usize, f64))> = values.enumerate().collect();
    rows.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
    if rows.is_empty() {
        return Ok(());
    }
    let header = ["", "Request Id", name, "cdf"];
    let mut csv = CsvFile::create(&plots.join(format!("{name}.csv")), &header)?;
    for (rank, (index, (id, value))) in rows.iter().enumerate() {
        let part = (rank + 1) as f64 / rows.len() as f64;
        csv.row([
            index.to_string(),
            id.to_string(),
            float(*value),
            float(part),
        ])?;
    }
    csv.finish()
}

/// Cumulative count over time.
fn series(plots: &Path, name: &str, times: impl Iterator<Item = Nanos>) -> Result<()> {
    let path = plots.join(format!("{name}_time_series.csv"));
    let mut csv = CsvFile::create(&path, &["", "Time (sec)", name])?;
    for (index, time) in times.enumerate() {
        csv.row([
            index.to_string(),
            float(time.as_secs_f64()),
            (index + 1).to_string(),
        ])?;
    }
    csv.finish()
}

/// Figures of every batch, as one line per batch and as quantiles.
fn batches(folder: &Path, plots: &Path, records: &Records) -> Result<()> {
    let mut sketches: [Sketch; 5] = Default::default();
    let header: Vec<&str> = std::iter::once("Batch Id").chain(BATCH).collect();
    let mut csv = CsvFile::create(&folder.join("batch_metrics.csv"), &header)?;
    for (id, step) in records.step_log.iter().enumerate() {
        let seconds = (step.ended - step.started).as_secs_f64();
        let tokens = step.prefill_tokens + step.decodes;
        let counts = [tokens, step.prefill_tokens, step.decodes];
        for (sketch, count) in sketches.iter_mut().zip(counts) {
            sketch.add(f64::from(count));
        }
        sketches[3].add(f64::from(step.requests));
        sketches[4].add(seconds);
        let [all, prefill, decode] = counts.map(|count| float(f64::from(count)));
        let size = step.requests.to_string();
        csv.row([id.to_string(), all, prefill, decode, size, float(seconds)])?;
    }
    csv.finish()?;
    for (name, sketch) in BATCH.iter().zip(&sketches) {
        debug_assert!(sketch.count() > 0);
        let mut csv = CsvFile::create(&plots.join(format!("{name}.csv")), &["", "cdf", name])?;
        for (index, (part, value)) in sketch.percentiles().into_iter().enumerate() {
            csv.row([index.to_string(), float(part), float(value)])?;
        }
        csv.finish()?;
    }
    Ok(())
}

/// Memory use, busy time and utilisation of the arithmetic units of each replica.
fn utilisation(plots: &Path, records: &Records, work: Option<ModelWork>) -> Result<()> {
    let count = records.instances.len();
    // Vidur's name for this mean also says weighted, but Vidur passes another flag in the place of the one that would
    // weight it.
    let mut memory = vec![Meter::over_values(); count];
    let mut busy = vec![Meter::over_time(); count];
    let mut used = vec![Meter::over_time(); count];
    for step in &records.step_log {
        let (begin, end) = (step.started.as_secs_f64(), step.ended.as_secs_f64());
        let replica = step.instance as usize;
        memory[replica].put(begin, step.usage_before * 100.0);
        memory[replica].put(end, step.usage_after * 100.0);
        busy[replica].put(begin, 100.0);
        busy[replica].put(end, 0.0);
        if let Some(work) = work {
            let tokens = f64::from(step.prefill_tokens + step.decodes);
            let done =
                2.0 * tokens * work.parameters + 4.0 * work.attention_width * step.attended as f64;
            used[replica].put(begin, done / (end - begin) * 100.0 / work.flops);
            used[replica].put(end, 0.0);
        }
    }
    for replica in 0..count {
        // Replica 0 is last, because Vidur stores its figures under index -1 of a list.
        let number = if replica == 0 { count } else { replica };
        let stage = format!("replica_{number}_stage_1");
        let mut files = vec![
            (format!("replica_{number}_memory_usage"), &memory[replica]),
            (format!("{stage}_busy_time_percent"), &busy[replica]),
        ];
        if work.is_some() {
            files.push((format!("{stage}_mfu"), &used[replica]));
        }
        for (name, meter) in files {
            if let Some(text) = meter.json(&name) {
                write_file(plots.join(format!("{name}.json")), text.as_bytes())?;
            }
        }
    }
    Ok(())
}
