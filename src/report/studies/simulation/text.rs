//! The tables of the terminal output of `simulate`.

use serde_json::json;

use crate::base::Distribution;
use crate::metrics::Serving;
use crate::report::render::number::{bytes, or_dash, percent, seconds, thousands};
use crate::report::render::table::{pairs, table};
use crate::report::studies::answer;

/// The answer in a sentence.
fn answer(serving: &Serving) -> String {
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

/// The figures as JSON, with the answer.
///
/// # Errors
/// Does not occur for valid figures.
pub fn value(serving: &Serving) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(serving)?;
    value["answer"] = json!(answer(serving));
    Ok(value)
}

/// Formats the results of a simulation for the terminal.
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
    table(&POOL_COLUMNS, &rows)
}

/// Columns of the table of pools.
pub(in crate::report::studies) const POOL_COLUMNS: [&str; 7] = [
    "pool",
    "GPUs",
    "instances",
    "blocks each",
    "busy",
    "KV used, mean",
    "KV used, peak",
];
