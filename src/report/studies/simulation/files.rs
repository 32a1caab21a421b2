//! The results folder of a simulation.

use std::path::Path;

use serde_json::json;

use super::{scaling_files, splitwise_files};
use crate::autoscale::ScalingLog;
use crate::autoscale::signals::FleetKind;
use crate::base::error::Result;
use crate::base::io::{write_file, write_json};
use crate::base::table::{CsvFile, float};
use crate::metrics::Serving;
use crate::sim::{InstanceRecord, Records};
use crate::trace::Trace;
use crate::trace::format::FAILURES;

/// A finished run, with the other data that its files contain.
#[derive(Debug)]
pub struct RunFiles<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// Records of requests and instances.
    pub records: &'a Records,
    /// Log of the autoscaler, if the run had one.
    pub scaling: Option<&'a ScalingLog>,
    /// The figures of the run.
    pub serving: &'a Serving,
    /// The effective configuration.
    pub config: &'a str,
    /// The command line.
    pub command: &'a str,
    /// The seed of this run.
    pub seed: u64,
}

/// Writes all files of a run into `folder`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(run: &RunFiles<'_>, folder: &Path) -> Result<()> {
    // Written first: a folder with this file and without a summary is not complete.
    write_file(folder.join("config.toml"), run.config.as_bytes())?;
    splitwise_files::write(run.records, folder)?;
    requests(run, &folder.join("request.csv"))?;
    instances(&run.records.instances, &folder.join("instances.csv"))?;
    if let Some(log) = run.scaling {
        scaling_files::write(run.records, log, &run.serving.scaling.figures, folder)?;
    }
    let mut summary = json!({
        "version": crate::base::version::VERSION,
        "generator": "rand_pcg::Pcg64, one stream per entity",
        "seed": run.seed,
        "command": run.command,
    });
    if let (Some(all), Ok(serde_json::Value::Object(figures))) =
        (summary.as_object_mut(), super::value(run.serving))
    {
        all.extend(figures);
        if let Some(count) = run.trace.meta.counts.get(FAILURES) {
            all.insert(format!("trace_{FAILURES}"), count.clone());
        }
    }
    // Written last: a folder with this file is complete.
    write_json(folder.join("summary.json"), &summary)
}

/// Writes one line per request, in trace order. Missing times are empty.
fn requests(run: &RunFiles<'_>, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(
        path,
        &[
            "request_id",
            "session_id",
            "turn",
            "outcome",
            "arrival_time",
            "prompt_tokens",
            "output_tokens",
            "cached_tokens",
            "queue_time",
            "ttft",
            "tbt",
            "e2e",
            "max_itl",
            "execution_time",
            "stalled_time",
            "transfer_time",
            "transferred_tokens",
            "preemptions",
            "prefill_instance",
            "decode_instance",
        ],
    )?;
    let time = |value: Option<f64>| value.map_or(String::new(), float);
    let place = |instance: u32| {
        if instance == crate::sim::record::NOWHERE {
            String::new()
        } else {
            instance.to_string()
        }
    };
    for (request, record) in run.trace.requests().iter().zip(&run.records.requests) {
        let outcome = serde_json::to_value(record.outcome).unwrap_or_default();
        csv.row([
            request.id.to_string(),
            run.trace.sessions()[request.session as usize].to_string(),
            request.turn.to_string(),
            outcome.as_str().unwrap_or_default().to_owned(),
            record.arrival.to_string(),
            record.prompt.to_string(),
            record.generated.to_string(),
            record.cached.to_string(),
            time(record.queued()),
            time(record.ttft()),
            time(record.tbt()),
            time(record.e2e()),
            float(record.longest_gap.as_secs_f64()),
            float(record.executed.as_secs_f64()),
            float(record.stalled.as_secs_f64()),
            float((record.transfer_end - record.transfer_start).as_secs_f64()),
            record.transferred_tokens.to_string(),
            record.preemptions.to_string(),
            place(record.prefill_instance),
            place(record.decode_instance),
        ])?;
    }
    csv.finish()
}

/// Writes one line per instance.
fn instances(instances: &[InstanceRecord], path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(
        path,
        &[
            "instance",
            "pool",
            "role",
            "created",
            "ready",
            "draining",
            "gone",
            "busy",
            "busy_prefill",
            "utilisation",
            "steps",
            "prefill_tokens",
            "output_tokens",
            "cached_tokens",
            "preemptions",
            "mean_kv_usage",
            "peak_kv_usage",
            "clamped_steps",
        ],
    )?;
    for instance in instances {
        csv.row([
            instance.instance.to_string(),
            instance.pool.clone(),
            FleetKind::from(instance.role).name().to_owned(),
            instance.created.to_string(),
            instance.ready.to_string(),
            instance
                .draining
                .map_or(String::new(), |time| time.to_string()),
            instance.gone.to_string(),
            instance.busy.to_string(),
            instance.busy_prefill.to_string(),
            instance.utilisation().map_or(String::new(), float),
            instance.steps.to_string(),
            instance.prefill_tokens.to_string(),
            instance.output_tokens.to_string(),
            instance.cached_tokens.to_string(),
            instance.preemptions.to_string(),
            instance
                .utilisation()
                .map_or(String::new(), |_| float(instance.mean_kv_usage)),
            float(instance.peak_kv_usage),
            instance.clamped.steps.to_string(),
        ])?;
    }
    csv.finish()
}
