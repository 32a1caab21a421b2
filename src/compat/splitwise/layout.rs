//! SplitwiseSim's result files: `summary.csv`, `detailed/{application}.csv`, `detailed/{application}_alloc.csv` and
//! `request_nodes.csv`. Both runs by its rules and runs of this program's own simulator are written as these rows.

use std::fmt::Write as _;
use std::path::Path;

use super::report::{InstanceRecord, Report, RequestRecord};
use super::statistics::{Statistics, statistics};
use crate::base::error::Result;
use crate::base::io::{PythonFloat, write_file};

/// Properties of a run that the files need besides their rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// Number of the application.
    pub application_id: u64,
    /// Whether all numbers of the trace are integers, see [`super::Arrivals`]: ids and sizes are then written as
    /// integers.
    pub integral: bool,
}

/// An instance in these files.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRow {
    /// Name of the instance.
    pub name: String,
    /// Fraction of the time in which it was busy.
    pub utilization: f64,
}

impl From<&InstanceRecord> for InstanceRow {
    fn from(record: &InstanceRecord) -> Self {
        Self {
            name: record.name.clone(),
            utilization: record.utilization,
        }
    }
}

/// Writes the files of a run by SplitwiseSim's rules into `folder`.
///
/// # Errors
/// [`crate::Error::Io`] for a file that cannot be written.
pub fn write_report(report: &Report, options: WriteOptions, folder: &Path) -> Result<()> {
    let instances: Vec<InstanceRow> = report.instances.iter().map(Into::into).collect();
    write_rows(&report.requests, &instances, options, folder)
}

/// Writes all files into `folder`: requests in the order in which they finished, instances by number. Without requests,
/// the files have only headers, and a summary without figures.
///
/// # Errors
/// [`crate::Error::Io`] for a file that cannot be written.
pub fn write_rows(
    requests: &[RequestRecord],
    instances: &[InstanceRow],
    options: WriteOptions,
    folder: &Path,
) -> Result<()> {
    let application = options.application_id;
    let columns = columns(requests, options.integral);
    write_file(
        folder.join("summary.csv"),
        summary(&columns, application).as_bytes(),
    )?;
    let detailed = folder.join("detailed");
    write_file(
        detailed.join(format!("{application}.csv")),
        detail(&columns).as_bytes(),
    )?;
    let mut alloc = "instance_names,utilizations\n".to_owned();
    for instance in instances {
        let utilization = PandasFloat(instance.utilization);
        let _ = writeln!(alloc, "{},{utilization}", instance.name);
    }
    write_file(
        detailed.join(format!("{application}_alloc.csv")),
        alloc.as_bytes(),
    )?;
    write_file(
        folder.join("request_nodes.csv"),
        nodes(requests, instances, options.integral).as_bytes(),
    )
}

/// A column of the detailed file.
struct Column {
    name: &'static str,
    values: Vec<f64>,
    /// Whether pandas keeps the column as integers.
    whole: bool,
}

fn columns(requests: &[RequestRecord], integral: bool) -> [Column; 8] {
    let column = |name, whole, value: fn(&RequestRecord) -> f64| Column {
        name,
        values: requests.iter().map(value).collect(),
        whole,
    };
    // Differences of two times are integers if both times are arrivals.
    let whole_queue = integral && requests.iter().all(|request| request.started_on_arrival);
    [
        column("request_ids", integral, |r| r.id as f64),
        column("response_times", false, |r| r.response),
        column("queue_times", whole_queue, |r| r.queue),
        column("ttft_times", false, |r| r.ttft),
        column("tbt_times", false, |r| r.tbt),
        column("nth_token_overheads", false, |r| r.nth_token_overhead),
        column("prompt_sizes", integral, |r| r.prompt.into()),
        column("token_sizes", integral, |r| r.output.into()),
    ]
}

fn detail(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let mut text = names.join(",") + "\n";
    for row in 0..columns[0].values.len() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            push(&mut text, column.values[row], column.whole);
        }
        text.push('\n');
    }
    text
}

fn summary(columns: &[Column], application: u64) -> String {
    let mut header = "application_id".to_owned();
    let mut row = application.to_string();
    for column in columns {
        let values = statistics(&column.values).values();
        for (name, value) in Statistics::NAMES.iter().zip(values) {
            let _ = write!(header, ",{}_{name}", column.name);
            row.push(',');
            push(
                &mut row,
                value,
                column.whole && matches!(*name, "min" | "max"),
            );
        }
    }
    format!("{header}\n{row}\n")
}

fn nodes(requests: &[RequestRecord], instances: &[InstanceRow], integral: bool) -> String {
    let mut text =
        "request_id,request_type,node_id,node_type,runner,start_timestamp,completion_timestamp\n"
            .to_owned();
    for request in requests {
        let mut node = |number: u8, kind: &str, instance: Option<u32>, span: (f64, f64)| {
            push(&mut text, request.id as f64, integral);
            text.push_str(if integral { ",2," } else { ",2.0," });
            let _ = match instance {
                Some(instance) => {
                    let name = &instances[instance as usize].name;
                    write!(text, "{number},{kind},{name}_{instance}")
                }
                None => write!(text, "{number},{kind},DummyLink"),
            };
            let _ = writeln!(text, ",{},{}", PandasFloat(span.0), PandasFloat(span.1));
        };
        node(
            0,
            "PROMPT",
            Some(request.prompt_instance),
            request.prompt_span,
        );
        node(1, "TOKEN", Some(request.token_instance), request.token_span);
        if let Some(span) = request.flow_span {
            node(2, "KVCacheTransfer", None, span);
        }
    }
    text
}

fn push(text: &mut String, value: f64, whole: bool) {
    let _ = if whole && value.is_finite() {
        write!(text, "{value}")
    } else {
        write!(text, "{}", PandasFloat(value))
    };
}

/// Formats a double as pandas does: empty for NaN.
struct PandasFloat(f64);

impl std::fmt::Display for PandasFloat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_nan() {
            return Ok(());
        }
        PythonFloat(self.0).fmt(f)
    }
}
