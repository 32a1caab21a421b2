//! The page of one run: a folder that `simulate --output-dir` wrote, by this program's rules, SplitwiseSim's or Vidur's.

use std::path::Path;

use serde_json::{Value, json};

use super::compare::{DEFINITIONS, Figures, Reading, requests};
use super::json_file;
use super::simulation::POOL_COLUMNS;
use crate::base::Distribution;
use crate::base::error::{Error, Location, Result};
use crate::base::quantile::percentile_sorted;
use crate::metrics::RequestRow;
use crate::metrics::serving::Steps;
use crate::report::render::chart::{
    Axis, BLUE, Chart, GREY, Marks, Scale, Series, VERMILLION, cumulative,
};
use crate::report::render::html::{Cell, Page, Table};
use crate::report::render::number::{or_dash, percent, seconds, thousands};

/// Number of intervals of the run in charts of latency over time.
const INTERVALS: usize = 80;

/// Maximum number of instances in their table.
const MOST_INSTANCES: usize = 500;

/// Whether a folder holds one run: its summary and its requests.
pub(super) fn is_run(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has("summary.json") && (has("request.csv") || has("detailed/0.csv"))
}

/// Builds the page of a run's folder.
///
/// # Errors
/// Files that cannot be read.
pub(super) fn read_page(folder: &Path, command: &str) -> Result<Page> {
    let path = folder.join("summary.json");
    let summary = json_file::read(&path)?;
    if !summary["arrived"].is_u64() {
        return Err(Error::input(
            Location::file(&path),
            "is not the summary of a simulated run: it has no number `arrived`",
            "run `replay simulate` again",
        ));
    }
    let figures = Figures::read(folder, Reading::default(), 0)?;
    let requests = requests(folder)?.map_or_else(Vec::new, |requests| requests.rows);
    let mut tables = vec![latencies(&summary), outcomes(&summary, &figures)];
    tables.extend(pools(&summary));
    tables.extend(limits(&summary));
    let (instances, note) = instances(folder)?;
    tables.extend(instances);
    let config = folder.join("config.toml");
    Ok(Page {
        title: "One simulated run".into(),
        lead: lead(&summary),
        answer: json_file::answer(&summary),
        tiles: tiles(&summary, &figures),
        warning: "",
        tables,
        charts: charts(&figures, &requests),
        variants: Vec::new(),
        notes: note.into_iter().collect(),
        definitions: DEFINITIONS,
        configuration: json!({
            "seed": summary["seed"],
            "configuration": std::fs::read_to_string(config).unwrap_or_default(),
        }),
        command: json_file::commands(&summary, command),
    })
}

/// The pools, the autoscaler and the seed.
fn lead(summary: &Value) -> String {
    let policy = summary["scaling"]["policy"].as_str();
    // With an autoscaler, the number of a pool counts every instance that existed.
    let over = match policy {
        Some(_) => " over the run",
        None => "",
    };
    let pools = summary["pools"].as_array().into_iter().flatten();
    let mut parts: Vec<String> = pools
        .map(|pool| {
            format!(
                "{}: {} instances{over}, each {} x {}",
                json_file::shown(&pool["pool"]),
                pool["instances"],
                pool["gpus"],
                json_file::shown(&pool["sku"])
            )
        })
        .collect();
    if let Some(policy) = policy {
        parts.push(format!("autoscaler {policy}"));
    }
    if let Some(seed) = summary["seed"].as_u64() {
        parts.push(format!("seed {seed}"));
    }
    parts.join("; ")
}

fn tiles(summary: &Value, figures: &Figures) -> Vec<(String, String)> {
    let count = |name: &str| summary[name].as_u64().map_or("-".into(), thousands);
    let p90 = |name: &str| or_dash(summary[name]["p90"].as_f64(), seconds);
    let mut tiles = vec![
        (count("arrived"), "requests arrived".to_owned()),
        (count("finished"), "finished".to_owned()),
        (
            or_dash(summary["slo"]["attainment"].as_f64(), percent),
            figures.objectives.map_or("met the SLO".into(), |limits| {
                format!("met the SLO ({limits})")
            }),
        ),
        (p90("ttft"), "TTFT, P90".to_owned()),
        (p90("tbt"), "TBT, P90".to_owned()),
        (p90("e2e"), "E2E, P90".to_owned()),
    ];
    if let Some(hours) = figures.gpu_hours {
        let dollars = figures.dollars.map(|dollars| format!(", ${dollars:.2}"));
        let name = format!("GPU-hours{}", dollars.unwrap_or_default());
        tiles.push((format!("{hours:.2}"), name));
    }
    tiles
}

/// Distributions of the times of requests.
fn latencies(summary: &Value) -> Table {
    let times = |value: f64| format!("{value:.2}x");
    type Show = fn(f64) -> String;
    let names: [(&str, &str, Show); 8] = [
        ("queue time", "/queue", seconds),
        ("TTFT", "/ttft", seconds),
        ("TBT (mean of a request)", "/tbt", seconds),
        ("ITL (single gaps)", "/itl", seconds),
        ("E2E", "/e2e", seconds),
        ("TTFT slowdown", "/slowdown/ttft", times),
        ("TBT slowdown", "/slowdown/tbt", times),
        ("E2E slowdown", "/slowdown/e2e", times),
    ];
    let row = |(name, path, show): &(&str, &str, Show)| {
        let value = summary.pointer(path)?;
        let found: Distribution = serde_json::from_value(value.clone()).ok()?;
        let mut cells = vec![Cell::from(*name)];
        let values = [
            found.mean, found.p50, found.p90, found.p95, found.p99, found.max,
        ];
        cells.extend(values.map(|value| Cell {
            text: or_dash(value, show),
            value,
        }));
        Some(cells)
    };
    let header = ["", "mean", "P50", "P90", "P95", "P99", "max"];
    Table {
        caption: "Times of finished requests".into(),
        header: header.map(Into::into).to_vec(),
        rows: names.iter().filter_map(row).collect(),
    }
}

/// Numbers of requests, tokens, cost and scaling; rows that the summary lacks are left out.
fn outcomes(summary: &Value, figures: &Figures) -> Table {
    let rows: [(&str, &str); 24] = [
        ("requests that arrived", "/arrived"),
        ("finished", "/finished"),
        (
            "not finished: larger than any instance",
            "/unfinished/too_large",
        ),
        ("not finished: no instance", "/unfinished/no_instance"),
        (
            "not finished at the end of the run",
            "/unfinished/end_of_time",
        ),
        ("not arrived", "/unfinished/not_arrived"),
        ("duration (s)", "/end_seconds"),
        ("finished requests per second", "/requests_per_second"),
        ("goodput (requests within the SLO per second)", "/goodput"),
        ("share within the TTFT objective", "/slo/ttft_attainment"),
        ("share within the TBT objective", "/slo/tbt_attainment"),
        ("share within the E2E objective", "/slo/e2e_attainment"),
        ("prompt tokens", "/prompt_tokens"),
        ("cached prompt tokens", "/cached_tokens"),
        ("output tokens", "/output_tokens"),
        ("bytes of KV cache moved", "/moved_bytes"),
        ("preemptions", "/preemptions"),
        ("instance-hours", "/cost/instance_hours"),
        ("GPU-hours", "/cost/gpu_hours"),
        ("energy of the GPUs (Wh)", "/cost/gpu_watt_hours"),
        ("scaling events", "/scaling/scaling_events"),
        ("flaps", "/scaling/flaps"),
        ("most instances at once", "/scaling/most_instances"),
        ("mean P/D ratio", "/scaling/pd_ratio_mean"),
    ];
    let row = |(name, path): &(&str, &str)| {
        let value = summary.pointer(path).filter(|value| value.is_number())?;
        let cell = match path.ends_with("attainment") {
            true => json_file::ratio_cell(value),
            false => json_file::number_cell(value),
        };
        Some(vec![Cell::from(*name), cell])
    };
    let mut rows: Vec<Vec<Cell>> = rows.iter().filter_map(row).collect();
    if let Some(dollars) = figures.dollars {
        let cost = Cell {
            text: format!("{dollars:.2}"),
            value: Some(dollars),
        };
        rows.push(vec!["cost (dollars)".into(), cost]);
    }
    Table {
        caption: "Requests, tokens and cost".into(),
        header: ["figure", "value"].map(Into::into).to_vec(),
        rows,
    }
}

fn pools(summary: &Value) -> Option<Table> {
    let pools = summary["pools"].as_array().filter(|all| !all.is_empty())?;
    let row = |pool: &Value| {
        let name = json_file::shown(&pool["pool"]);
        let gpus = format!("{} x {}", pool["gpus"], json_file::shown(&pool["sku"]));
        vec![
            Cell::from(name.as_str()),
            Cell::from(gpus.as_str()),
            json_file::number_cell(&pool["instances"]),
            json_file::number_cell(&pool["blocks"]),
            json_file::ratio_cell(&pool["utilisation"]),
            json_file::ratio_cell(&pool["mean_kv_usage"]),
            json_file::ratio_cell(&pool["peak_kv_usage"]),
        ]
    };
    Some(Table {
        caption: "Pools".into(),
        header: POOL_COLUMNS.map(Into::into).to_vec(),
        rows: pools.iter().map(row).collect(),
    })
}

/// The slowdown limits of the Splitwise study.
fn limits(summary: &Value) -> Option<Table> {
    let limits = summary["slo"]["slowdowns"].as_array()?;
    let row = |limit: &Value| {
        let name = json_file::shown(&limit["metric"]).to_uppercase();
        let times = |value: &Value| Cell {
            text: or_dash(value.as_f64(), |value| format!("{value:.2}x")),
            value: value.as_f64(),
        };
        let met = match limit["met"].as_bool() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        vec![
            Cell::from(format!("{name} P{}", limit["percentile"]).as_str()),
            times(&limit["value"]),
            times(&limit["limit"]),
            Cell::from(met),
        ]
    };
    let header = ["slowdown", "value", "limit", "kept"];
    Some(Table {
        caption: "Slowdowns beside the limits of the Splitwise study".into(),
        header: header.map(Into::into).to_vec(),
        rows: limits.iter().map(row).collect(),
    })
}

/// The lines of `instances.csv`, and a note if there are too many.
fn instances(folder: &Path) -> Result<(Option<Table>, Option<String>)> {
    const COLUMNS: [(&str, &str); 9] = [
        ("instance", "instance"),
        ("pool", "pool"),
        ("created", "created (s)"),
        ("ready", "ready (s)"),
        ("draining", "draining from (s)"),
        ("gone", "gone (s)"),
        ("utilisation", "busy"),
        ("mean_kv_usage", "KV used, mean"),
        ("output_tokens", "output tokens"),
    ];
    let Some(lines) = super::compare::instance_lines(folder, &COLUMNS.map(|column| column.0))?
    else {
        return Ok((None, None));
    };
    let count = lines.len();
    let cell = |(text, (name, _)): (String, &(&str, &str))| {
        let value: Option<f64> = text.parse().ok();
        let text = match (value, *name) {
            (None, "pool") => text,
            (None, _) => "-".to_owned(),
            (Some(share), "utilisation" | "mean_kv_usage") => percent(share),
            (Some(number), "output_tokens") => thousands(number as u64),
            (Some(time), "created" | "ready" | "draining" | "gone") => format!("{time:.1}"),
            (Some(_), _) => text,
        };
        Cell { text, value }
    };
    let row = |line: Vec<String>| line.into_iter().zip(&COLUMNS).map(cell).collect();
    let table = Table {
        caption: "Instances".into(),
        header: COLUMNS.map(|column| column.1.to_owned()).to_vec(),
        rows: lines.into_iter().take(MOST_INSTANCES).map(row).collect(),
    };
    let note = (count > MOST_INSTANCES).then(|| {
        format!("The table has {MOST_INSTANCES} of {count} instances; all are in instances.csv.")
    });
    Ok((Some(table), note))
}

fn charts(figures: &Figures, requests: &[RequestRow]) -> Vec<Chart> {
    let finished: Vec<&RequestRow> = requests.iter().filter(|row| row.is_finished()).collect();
    let limits = figures.objectives.map(|limits| {
        let known = [
            Some(limits.ttft_seconds),
            Some(limits.tbt_seconds),
            limits.e2e_seconds,
        ];
        known.map(|limit| limit.filter(|limit| limit.is_finite()))
    });
    let limits = limits.unwrap_or_default();
    type Of = fn(&RequestRow) -> Option<f64>;
    let metrics: [(&str, [&'static str; 2], Of, Option<f64>); 4] = [
        ("TTFT", ["ttft_cdf", "ttft_time"], |r| r.ttft, limits[0]),
        ("TBT", ["tbt_cdf", "tbt_time"], |r| r.tbt, limits[1]),
        ("E2E", ["e2e_cdf", "e2e_time"], |r| r.e2e, limits[2]),
        ("Queue time", ["queue_cdf", "queue_time"], |r| r.queue, None),
    ];
    let mut all = vec![load(figures, &finished), fleet(figures), pd_ratio(figures)];
    for (title, [_, name], of, limit) in &metrics {
        all.push(over_time(title, name, &finished, *of, *limit));
    }
    for (title, [name, _], of, _) in &metrics {
        let values = finished.iter().filter_map(|row| of(row));
        let points = cumulative(values.map(|value| (value, 1)).collect());
        all.push(Chart {
            name,
            title: format!("{title} of requests"),
            x: Axis::new(&format!("{title} (s)"), Scale::Log),
            y: Axis::new("share of finished requests", Scale::Percent),
            categories: Vec::new(),
            series: vec![line(title, BLUE, Marks::Step(points))],
        });
    }
    all.retain(|chart| !chart.cleaned().is_empty());
    all
}

fn line(name: &str, color: &'static str, marks: Marks) -> Series {
    Series {
        name: name.to_owned(),
        color,
        dashed: false,
        marks,
    }
}

fn time_chart(name: &'static str, title: String, label: &str, series: Vec<Series>) -> Chart {
    Chart {
        name,
        title,
        x: Axis::new("time (s)", Scale::Linear),
        y: Axis::new(label, Scale::Linear),
        categories: Vec::new(),
        series,
    }
}

/// Arrivals and completions per second.
fn load(figures: &Figures, finished: &[&RequestRow]) -> Chart {
    let mut series = vec![line("arrived", GREY, Marks::Step(figures.load.clone()))];
    let ended = || {
        let times = finished.iter().map(|row| Some(row.arrival? + row.e2e?));
        times.flatten()
    };
    let last = ended().fold(0.0, f64::max);
    if last > 0.0 {
        let width = last / INTERVALS as f64;
        let mut counts = vec![0u32; INTERVALS];
        for time in ended() {
            counts[interval(time, width)] += 1;
        }
        let steps = counts.iter().enumerate();
        let mut steps: Steps = steps
            .map(|(number, count)| (number as f64 * width, f64::from(*count) / width))
            .collect();
        steps.push((last, 0.0));
        series.push(line("finished", BLUE, Marks::Step(steps)));
    }
    time_chart(
        "load",
        "Requests per second".into(),
        "requests (1/s)",
        series,
    )
}

fn interval(time: f64, width: f64) -> usize {
    ((time / width) as usize).min(INTERVALS - 1)
}

/// Instances in service, by role if there are several.
fn fleet(figures: &Figures) -> Chart {
    let mut series = Vec::new();
    if let Some(fleet) = &figures.fleet {
        let roles = [
            ("prefill", VERMILLION, &fleet.prefill),
            ("decode", BLUE, &fleet.decode),
            ("all", GREY, &fleet.ready),
        ];
        for (name, color, steps) in roles {
            if steps.iter().any(|step| step.1 > 0.0) {
                let mut steps = steps.clone();
                // The level at the end lasts until the end.
                steps.extend(steps.last().map(|last| (fleet.end, last.1)));
                series.push(line(name, color, Marks::Step(steps)));
            }
        }
    }
    time_chart(
        "instances",
        "Instances in service".into(),
        "instances",
        series,
    )
}

/// The P/D ratio of a run in which it changes.
fn pd_ratio(figures: &Figures) -> Chart {
    let steps = figures.fleet.as_ref().map(|fleet| fleet.pd_ratio.clone());
    let steps = steps.filter(|steps| steps.iter().any(|step| step.1 != steps[0].1));
    let series = steps.map(|steps| line("P/D ratio", BLUE, Marks::Step(steps)));
    time_chart(
        "pd_ratio",
        "P/D ratio".into(),
        "prefill / decode instances",
        series.into_iter().collect(),
    )
}

/// Median and P90 of a time by the arrival of requests, in equal intervals, with its objective.
fn over_time(
    title: &str,
    name: &'static str,
    finished: &[&RequestRow],
    of: fn(&RequestRow) -> Option<f64>,
    limit: Option<f64>,
) -> Chart {
    let values = || finished.iter().filter_map(|row| row.arrival.zip(of(row)));
    let last = values().map(|value| value.0).fold(0.0, f64::max);
    let width = (last / INTERVALS as f64).max(f64::MIN_POSITIVE);
    let mut bins = vec![Vec::new(); INTERVALS];
    for (arrival, value) in values() {
        bins[interval(arrival, width)].push(value);
    }
    for bin in &mut bins {
        bin.sort_unstable_by(f64::total_cmp);
    }
    let quantile = |q: f64| -> Steps {
        let bins = bins.iter().enumerate();
        bins.filter_map(|(number, bin)| {
            Some(((number as f64 + 0.5) * width, percentile_sorted(bin, q)?))
        })
        .collect()
    };
    let mut series = vec![
        line("P50", BLUE, Marks::Line(quantile(0.5))),
        line("P90", VERMILLION, Marks::Line(quantile(0.9))),
    ];
    if let Some(limit) = limit {
        series.push(Series {
            dashed: true,
            ..line("objective", GREY, Marks::Limit(limit))
        });
    }
    let mut chart = time_chart(
        name,
        format!("{title} by time of arrival"),
        &format!("{title} (s)"),
        series,
    );
    chart.x.label = "arrival (s)".into();
    chart.y.scale = Scale::Log;
    chart
}
