//! Results of a run by SplitwiseSim's rules: SplitwiseSim's files, and the files that this program writes for every run.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::Distribution;
use crate::base::error::Result;
use crate::base::io::write_json;
use crate::base::table::{CsvFile, float};
use crate::compat::splitwise::{Report, WriteOptions, write_report};
use crate::metrics::serving::{
    Attainment, Latencies, RequestRow, SlowdownLimit, Slowdowns, arrived, limits_met, per_second,
    slowdowns,
};
use crate::report::render::number::{or_dash, seconds, thousands};
use crate::report::render::table::{pairs, table};
use crate::sim::latency::SplitwiseTable;
use crate::sim::{Objectives, Outcome};

/// Slowdowns by the study's definition: relative to bloom-176b on a DGX-A100, with the reference's own times.
///
/// # Errors
/// A performance table that lacks that reference.
pub fn study_slowdowns(
    report: &Report,
    table: &SplitwiseTable,
) -> Result<(Slowdowns, Vec<SlowdownLimit>)> {
    let reference = table.select("bloom-176b", "a100-80gb", 8)?;
    Ok(slowdowns(&rows(report), |prompt| {
        let tokens = f64::from(prompt);
        (reference.prompt(tokens), reference.token(tokens))
    }))
}

/// The figures of a run, for `summary.json`.
pub fn figures(report: &Report, table: &SplitwiseTable) -> Value {
    let requests = rows(report);
    let objectives = Objectives::default();
    let attainment = Attainment::of(&requests, &objectives);
    let latencies = Latencies::of(&requests);
    let finished = report.requests.len() as u64;
    let mut figures = json!({
        "arrived": arrived(&requests),
        "finished": finished,
        "unfinished": {"total": report.unfinished.len(), "requests": report.unfinished},
        "end_seconds": report.end,
        "outside_table": report.outside_table,
        "ttft": latencies.ttft,
        "tbt": latencies.tbt,
        "e2e": latencies.e2e,
        "queue": latencies.queue,
        "requests_per_second": per_second(finished, report.end),
        "goodput": per_second(attainment.requests, report.end),
        "slo": {
            "objectives": objectives,
            "attainment": attainment.all,
            "ttft_attainment": attainment.ttft,
            "tbt_attainment": attainment.tbt,
            "e2e_attainment": attainment.e2e,
        },
    });
    if let Ok((slowdown, limits)) = study_slowdowns(report, table) {
        figures["slowdown"] = json!(slowdown);
        figures["slo"]["slowdowns_met"] = json!(limits_met(&limits));
        figures["slo"]["slowdowns"] = json!(limits);
    }
    figures
}

/// Returns the requests as the input of the metrics. Each time equals the reference's to the last bit.
fn rows(report: &Report) -> Vec<RequestRow> {
    let finished = report.requests.iter().map(|r| RequestRow {
        outcome: Outcome::Finished,
        arrival: Some(r.arrival),
        prompt: r.prompt,
        output: r.output,
        cached: 0,
        queue: Some(r.queue),
        ttft: Some(r.ttft),
        tbt: Some(r.tbt),
        e2e: Some(r.response),
    });
    let unfinished = report.unfinished.iter().map(|r| RequestRow {
        outcome: Outcome::EndOfTime,
        arrival: Some(r.arrival),
        ..RequestRow::default()
    });
    finished.chain(unfinished).collect()
}

/// Writes the reference's files, `request.csv` in the order of the trace, and `summary.json`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    report: &Report,
    options: WriteOptions,
    figures: &Value,
    config: &str,
    folder: &Path,
) -> Result<()> {
    // A folder with this file and without a summary is not complete.
    crate::base::io::write_file(folder.join("config.toml"), config.as_bytes())?;
    write_report(report, options, folder)?;
    requests(report, &folder.join("request.csv"))?;
    write_json(folder.join("summary.json"), figures)
}

fn requests(report: &Report, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(
        path,
        &[
            "request_id",
            "outcome",
            "arrival_time",
            "prompt_tokens",
            "output_tokens",
            "queue_time",
            "ttft",
            "tbt",
            "e2e",
            "prefill_instance",
            "decode_instance",
        ],
    )?;
    let finished = report.requests.iter().map(|r| {
        let row = [
            r.id.to_string(),
            "finished".to_owned(),
            float(r.arrival),
            r.prompt.to_string(),
            r.output.to_string(),
            float(r.queue),
            float(r.ttft),
            float(r.tbt),
            float(r.response),
            r.prompt_instance.to_string(),
            r.token_instance.to_string(),
        ];
        (r.index, row)
    });
    let unfinished = report.unfinished.iter().map(|r| {
        let mut row: [String; 11] = std::array::from_fn(|_| String::new());
        row[0] = r.id.to_string();
        row[1] = format!("unfinished-{}", json!(r.stage).as_str().unwrap_or_default());
        row[2] = float(r.arrival);
        (r.index, row)
    });
    let mut rows: Vec<_> = finished.chain(unfinished).collect();
    rows.sort_by_key(|(index, _)| *index);
    for (_, row) in rows {
        csv.row(row)?;
    }
    csv.finish()
}

/// Formats the results for the terminal.
pub fn text(report: &Report, table_of_times: &SplitwiseTable) -> String {
    let mut facts = vec![
        ("rules".to_owned(), "SplitwiseSim's".to_owned()),
        (
            "arrived".to_owned(),
            thousands((report.requests.len() + report.unfinished.len()) as u64),
        ),
        (
            "finished".to_owned(),
            thousands(report.requests.len() as u64),
        ),
    ];
    if !report.unfinished.is_empty() {
        let left = thousands(report.unfinished.len() as u64);
        facts.push(("UNFINISHED".to_owned(), left));
    }
    if report.outside_table > 0 {
        let steps = thousands(report.outside_table);
        let what = format!("{steps} iterations, prolonged as there");
        facts.push(("outside the table".to_owned(), what));
    }
    let row = |name: String, d: Distribution, show: fn(f64) -> String| {
        let mut row = vec![name];
        row.extend([d.mean, d.p50, d.p90, d.p95, d.p99, d.max].map(|v| or_dash(v, show)));
        row
    };
    let mut rows = Vec::new();
    let latencies = Latencies::of(&self::rows(report));
    for (name, distribution) in [
        ("QUEUE", latencies.queue),
        ("TTFT", latencies.ttft),
        ("TBT", latencies.tbt),
        ("E2E", latencies.e2e),
    ] {
        rows.push(row(name.to_owned(), distribution, seconds));
    }
    if let Ok((slowdown, _)) = study_slowdowns(report, table_of_times) {
        let times = |value: f64| format!("{value:.2}x");
        for (name, d) in [
            ("TTFT slowdown", slowdown.ttft),
            ("TBT slowdown", slowdown.tbt),
            ("E2E slowdown", slowdown.e2e),
        ] {
            rows.push(row(name.to_owned(), d, times));
        }
    }
    let times = table(&["", "mean", "p50", "p90", "p95", "p99", "max"], &rows);
    [pairs(&facts), times].join("\n\n")
}
