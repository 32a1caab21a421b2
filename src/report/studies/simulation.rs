//! Results of a simulation: files in the layout of the field, and a table for people.

use std::path::Path;

use serde_json::json;

use crate::autoscale::ScalingLog;
use crate::autoscale::signals::FleetKind;
use crate::base::Distribution;
use crate::base::error::Result;
use crate::base::io::write_json;
use crate::base::io::{OutputFile, write_file};
use crate::base::table::{CsvFile, float};
use crate::compat::splitwise::{InstanceRow, RequestRow, WriteOptions, write_rows};
use crate::metrics::Serving;
use crate::report::render::number::{bytes, or_dash, percent, seconds, thousands};
use crate::report::render::table::{pairs, table};
use crate::report::studies::answer;
use crate::sim::{InstanceRecord, Records, RequestRecord};
use crate::trace::{Nanos, Trace};

/// A finished run and all that its files name.
#[derive(Debug)]
pub struct RunFiles<'a> {
    /// What was served.
    pub trace: &'a Trace,
    /// What became of it.
    pub records: &'a Records,
    /// What the autoscaler saw and decided, if there was one.
    pub scaling: Option<&'a ScalingLog>,
    /// In figures.
    pub serving: &'a Serving,
    /// The effective configuration.
    pub config: &'a str,
    /// The command.
    pub command: &'a str,
    /// The seed of this run.
    pub seed: u64,
}

/// Writes all files of a run into `folder`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(run: &RunFiles<'_>, folder: &Path) -> Result<()> {
    splitwise_files(run.records, folder)?;
    requests(run, &folder.join("request.csv"))?;
    instances(&run.records.instances, &folder.join("instances.csv"))?;
    if let Some(log) = run.scaling {
        super::scaling::write(run.records, log, &run.serving.scaling.figures, folder)?;
    }
    write_file(folder.join("config.toml"), run.config.as_bytes())?;
    let mut summary = json!({
        "version": crate::base::version::VERSION,
        "generator": "rand_pcg::Pcg64, one stream per entity",
        "seed": run.seed,
        "command": run.command,
    });
    if let (Some(all), Ok(serde_json::Value::Object(figures))) =
        (summary.as_object_mut(), value(run.serving))
    {
        all.extend(figures);
    }
    // Last: where it is, the run is whole.
    write_json(&folder.join("summary.json"), &summary)
}

/// A request a line, in order of the trace; empty where there is no such time.
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

/// Writes SplitwiseSim's files: finished requests in the order in which they ended.
fn splitwise_files(records: &Records, folder: &Path) -> Result<()> {
    let mut finished: Vec<(u32, &RequestRecord)> = (0..)
        .zip(&records.requests)
        .filter(|(_, record)| record.is_finished())
        .collect();
    finished.sort_by_key(|(_, record)| record.ended);
    let requests: Vec<RequestRow> = finished.into_iter().map(request_row).collect();
    let instances: Vec<InstanceRow> = records
        .instances
        .iter()
        .map(|instance| InstanceRow {
            name: format!("{}_{}", instance.pool, instance.instance),
            utilization: instance.utilisation().unwrap_or_default(),
        })
        .collect();
    write_rows(&requests, &instances, WriteOptions::default(), folder)
}

fn request_row((index, r): (u32, &RequestRecord)) -> RequestRow {
    let secs = Nanos::as_secs_f64;
    let first = r.first_token.unwrap_or(r.ended);
    let moved = r.prefill_instance != r.decode_instance;
    let token_start = if moved { r.transfer_end } else { first };
    RequestRow {
        id: u64::from(index),
        response: secs(r.ended - r.arrival),
        queue: r.queued().unwrap_or_default(),
        ttft: r.ttft().unwrap_or_default(),
        tbt: r.tbt().unwrap_or_default(),
        nth_token_overhead: secs(token_start - first),
        prompt: r.prompt,
        output: r.output,
        prompt_span: (secs(r.scheduled.unwrap_or(r.arrival)), secs(first)),
        flow_span: moved.then(|| (secs(r.transfer_start), secs(r.transfer_end))),
        token_span: (secs(token_start), secs(r.ended)),
        prompt_instance: r.prefill_instance,
        token_instance: r.decode_instance,
        started_on_arrival: false,
    }
}

/// Steps and requests for `chrome://tracing` and Perfetto: an instance is a process, with its steps as spans; requests are
/// asynchronous spans from arrival to end.
///
/// # Errors
/// A file that cannot be written.
pub fn chrome_trace(records: &Records, path: &Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = OutputFile::create(path)?;
    let fail = |error| crate::Error::write(path, error);
    let micros = |time: Nanos| time.0 as f64 / 1e3;
    file.write_all(b"[\n").map_err(fail)?;
    for instance in &records.instances {
        let name = format!("{} {}", instance.pool, instance.instance);
        let event = json!({"ph": "M", "name": "process_name", "pid": instance.instance, "args": {"name": name}});
        writeln!(file, "{event},").map_err(fail)?;
    }
    for step in &records.step_log {
        let name = match (step.prefill_tokens, step.decodes) {
            (0, _) => "decode",
            (_, 0) => "prefill",
            _ => "mixed",
        };
        let event = json!({
            "ph": "X", "name": name, "pid": step.instance, "tid": 0,
            "ts": micros(step.started), "dur": micros(step.ended - step.started),
            "args": {
                "requests": step.requests, "prefill_tokens": step.prefill_tokens, "decodes": step.decodes,
                "kv_usage": step.usage_before,
            },
        });
        writeln!(file, "{event},").map_err(fail)?;
    }
    for (index, request) in records.requests.iter().enumerate() {
        if !request.is_finished() {
            continue;
        }
        for (phase, time) in [("b", request.arrival), ("e", request.ended)] {
            let event = json!({
                "ph": phase, "cat": "request", "name": "request", "id": index, "pid": request.prefill_instance,
                "tid": 1, "ts": micros(time),
                "args": {"prompt": request.prompt, "output": request.output, "cached": request.cached},
            });
            writeln!(file, "{event},").map_err(fail)?;
        }
    }
    let last = json!({"ph": "M", "name": "trace_end", "pid": 0, "args": {}});
    writeln!(file, "{last}\n]").map_err(fail)?;
    file.finish()
}

/// The answer in a sentence.
pub fn answer(serving: &Serving) -> String {
    answer::simulation(&answer::Served {
        arrived: serving.arrived,
        finished: serving.finished,
        attainment: serving.slo.attainment,
        goodput: serving.goodput,
        objectives: serving.slo.objectives.to_string(),
        gpu_hours: serving.cost.gpu_hours,
        dollars: serving.cost.dollars,
    })
}

/// The figures for programs, with the answer.
///
/// # Errors
/// None that figures can cause.
pub fn value(serving: &Serving) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(serving)?;
    value["answer"] = json!(answer(serving));
    Ok(value)
}

/// What people read.
pub fn text(serving: &Serving) -> String {
    let mut rows = vec![
        ("arrived".to_owned(), thousands(serving.arrived)),
        ("finished".to_owned(), thousands(serving.finished)),
    ];
    let unfinished = &serving.unfinished;
    let reasons = [
        (
            unfinished.too_large,
            "need more memory than an instance has",
        ),
        (unfinished.no_instance, "found no instance"),
        (unfinished.end_of_time, "were not done at the end"),
    ];
    let reasons: Vec<String> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", thousands(*count)))
        .collect();
    if !reasons.is_empty() {
        rows.push(("UNFINISHED".to_owned(), reasons.join(", ")));
    }
    let two = |value: f64| format!("{value:.2}");
    rows.push((
        "throughput".to_owned(),
        format!("{} requests/s", or_dash(serving.requests_per_second, two)),
    ));
    rows.push((
        "goodput".to_owned(),
        format!(
            "{} requests/s within the SLO",
            or_dash(serving.goodput, two)
        ),
    ));
    rows.push((
        "SLO".to_owned(),
        match serving.slo.attainment {
            Some(met) => format!(
                "met by {} of the requests that arrived ({})",
                percent(met),
                serving.slo.objectives
            ),
            None => format!("- (no request arrived; {})", serving.slo.objectives),
        },
    ));
    let limits = &serving.slo.slowdowns;
    let kept = limits.iter().filter(|limit| limit.met == Some(true));
    let valued = limits.iter().filter(|limit| limit.met.is_some());
    rows.push((
        "slowdown limits".to_owned(),
        match (kept.count(), valued.count()) {
            (_, 0) => "- (no request finished)".to_owned(),
            (kept, all) => format!("{kept} of {all} kept (those of the Splitwise study)"),
        },
    ));
    rows.push((
        "prompt tokens".to_owned(),
        format!(
            "{}, of which cached {} ({})",
            thousands(serving.prompt_tokens),
            thousands(serving.cached_tokens),
            or_dash(serving.token_hit_ratio, percent)
        ),
    ));
    rows.push(("output tokens".to_owned(), thousands(serving.output_tokens)));
    if serving.moved_bytes > 0 {
        rows.push(("KV moved".to_owned(), bytes(serving.moved_bytes as f64)));
    }
    if serving.preemptions > 0 {
        rows.push(("preemptions".to_owned(), thousands(serving.preemptions)));
    }
    let mut cost = format!(
        "{:.2} instance-hours, {} GPU-hours",
        serving.cost.instance_hours,
        or_dash(serving.cost.gpu_hours, two)
    );
    if let Some(dollars) = serving.cost.dollars {
        cost += &format!(", ${dollars:.2}");
    }
    if let Some(watt_hours) = serving.cost.gpu_watt_hours {
        cost += &format!(", {:.1} kWh of GPUs", watt_hours / 1e3);
    }
    rows.push(("cost".to_owned(), cost));
    let scaling = &serving.scaling;
    let events = scaling.figures.scaling_events;
    if scaling.policy.is_some() || events > 0 {
        let changes = scaling.figures.changes;
        let intervals = scaling.counts.map_or(String::new(), |counts| {
            format!(" in {} control intervals", thousands(counts.ticks))
        });
        rows.push((
            "scaling".to_owned(),
            format!(
                "{}: {events} scaling events{intervals} ({} out, {} in, {} both), {} flaps, at most {} instances",
                scaling.policy.as_deref().unwrap_or("resize"),
                changes.scale_out,
                changes.scale_in,
                changes.rebalance,
                changes.flaps,
                scaling.figures.most_instances
            ),
        ));
    }
    let clamped = serving.clamped;
    if clamped.steps > 0 {
        rows.push((
            "outside the table".to_owned(),
            format!(
                "{} of {} steps, timed at its edge",
                thousands(clamped.steps),
                thousands(clamped.of)
            ),
        ));
    }
    [
        pairs(&rows),
        latencies(serving),
        pools(serving),
        answer(serving),
    ]
    .join("\n\n")
}

fn latencies(serving: &Serving) -> String {
    let row = |name: &str, d: &Distribution, show: fn(f64) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend([d.mean, d.p50, d.p90, d.p95, d.p99, d.max].map(|v| or_dash(v, show)));
        row
    };
    let times = |value: f64| format!("{value:.2}x");
    let slow = &serving.slowdown;
    table(
        &["", "mean", "p50", "p90", "p95", "p99", "max"],
        &[
            row("queue time", &serving.queue, seconds),
            row("TTFT", &serving.ttft, seconds),
            row("TBT (mean of a request)", &serving.tbt, seconds),
            row("ITL (single gaps)", &serving.itl, seconds),
            row("E2E", &serving.e2e, seconds),
            row("TTFT slowdown", &slow.ttft, times),
            row("TBT slowdown", &slow.tbt, times),
            row("E2E slowdown", &slow.e2e, times),
        ],
    )
}

fn pools(serving: &Serving) -> String {
    let rows: Vec<Vec<String>> = serving
        .pools
        .iter()
        .map(|pool| {
            vec![
                pool.pool.clone(),
                format!("{} x {}", pool.gpus, pool.sku),
                pool.instances.to_string(),
                thousands(u64::from(pool.blocks)),
                or_dash(pool.utilisation, percent),
                or_dash(pool.mean_kv_usage, percent),
                or_dash(pool.peak_kv_usage, percent),
            ]
        })
        .collect();
    table(
        &[
            "pool",
            "GPUs",
            "instances",
            "blocks each",
            "busy",
            "KV used, mean",
            "KV used, peak",
        ],
        &rows,
    )
}
