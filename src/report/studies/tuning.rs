//! Results of tuning: tables, files and charts.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::error::{Error, Location, Result};
use crate::base::io::{StagedFolder, write_json};
use crate::base::table::{CsvFile, float};
use crate::compat::vidur::write_ranked;
use crate::metrics::statistics::{p_text, sentence};
use crate::report::render::chart::{
    self, Axis, BLUE, Chart, GREY, Marks, Scale, Series, VERMILLION, color,
};
use crate::report::render::number::seconds;
use crate::report::render::table::table;
use crate::report::studies::answer;
use crate::tune::aging::{AgingStudy, AgingSweep, Fairness, Measures, Order, Point, TTFT};
use crate::tune::select::{METRICS, ThresholdRun};
use crate::tune::significance::Finding;

/// Formats a comparison of each threshold with the baseline: the change, its confidence interval, and whether it is
/// significant.
pub fn significance(findings: &[Finding], confidence: f64) -> String {
    let interval = format!("{:.0} % interval", confidence * 100.0);
    let header = [
        "threshold",
        "score against baseline",
        &interval,
        "p (Holm)",
        "verdict",
    ];
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let verdict = match (finding.significant, finding.change < 0.0) {
                (false, _) => "no significant difference",
                (true, true) => "better",
                (true, false) => "worse",
            };
            vec![
                finding.threshold.to_string(),
                format!("{:+.2} %", finding.change * 100.0),
                format!(
                    "[{:+.2}, {:+.2}]",
                    finding.interval.low * 100.0,
                    finding.interval.high * 100.0
                ),
                p_text(finding.p_adjusted),
                verdict.to_owned(),
            ]
        })
        .collect();
    table(&header, &rows)
}

/// Writes the metrics of runs as `ROOT/RUN/THRESHOLD/METRIC.csv`. A run's folder that exists already, as a stopped process leaves it,
/// must hold the same files.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written; [`Error::Input`] for an existing folder that holds anything else. Nothing is written
/// then.
pub fn write_runs(runs: &[ThresholdRun], root: &Path) -> Result<()> {
    let begun: Vec<StagedFolder> = runs
        .iter()
        .map(|run| begin_run(run, root))
        .collect::<Result<_>>()?;
    let mut missing = Vec::new();
    for (run, begun) in runs.iter().zip(begun) {
        let place = root.join(&run.name);
        if !place.exists() {
            missing.push(begun);
        } else if !begun.equals_target()? {
            return Err(Error::input(
                Location::file(place),
                "exists already, with other results",
                "name another folder or time for the runs, or remove it",
            ));
        }
    }
    missing.into_iter().try_for_each(|begun| begun.finish(&[]))
}

/// Writes a run under a temporary name.
fn begin_run(run: &ThresholdRun, root: &Path) -> Result<StagedFolder> {
    let begun = StagedFolder::begin(root.join(&run.name))?;
    for (threshold, columns) in &run.thresholds {
        let folder = begun.path().join(threshold.to_string());
        for (metric, column) in METRICS.iter().zip(columns) {
            let ids = column.ids.iter().map(|id| id.parse().unwrap_or_default());
            write_ranked(&folder, metric, ids.zip(column.values.iter().copied()))?;
        }
    }
    Ok(begun)
}

/// Name of an order in tables.
fn name(order: Order) -> String {
    match order {
        Order::Fcfs => "fcfs".to_owned(),
        Order::Srtf => "srtf".to_owned(),
        Order::Aging(ratio) if ratio < 100.0 => format!("aging {ratio:.1}"),
        Order::Aging(ratio) => format!("aging {ratio:.0}"),
    }
}

/// Name of the measure on the front's other axis, in words.
fn fairness_name(fairness: Fairness) -> &'static str {
    match fairness {
        Fairness::Jain => "Jain's index of slowdowns",
        Fairness::MaxWait => "longest wait",
        Fairness::WorstClass => "P99 slowdown of the worst length",
    }
}

fn fairness(measures: &Measures, fairness: Fairness) -> f64 {
    match fairness {
        Fairness::Jain => measures.jain,
        Fairness::MaxWait => measures.max_wait,
        Fairness::WorstClass => measures
            .classes
            .iter()
            .map(|class| class.p99)
            .fold(0.0, f64::max),
    }
}

/// Formats the sweep as a table, followed by its conclusions.
pub fn aging_text(study: &AgingStudy, sweep: &AgingSweep) -> String {
    let header = [
        "order",
        "TTFT P50",
        "P90",
        "P99",
        "Jain's index",
        "longest wait",
        "P99 slowdown: short",
        "middle",
        "long prompts",
        "front",
    ];
    let rows: Vec<Vec<String>> = study
        .points
        .iter()
        .map(|point| {
            let mean = &point.mean;
            let mut row = vec![name(point.order)];
            row.extend(mean.ttft.iter().map(|time| seconds(*time)));
            row.push(format!("{:.4}", mean.jain));
            row.push(seconds(mean.max_wait));
            row.extend(mean.classes.iter().map(|class| format!("{:.2}", class.p99)));
            row.push(if point.on_front { "yes" } else { "" }.to_owned());
            row
        })
        .collect();
    let time = study.token_time;
    let mut lines = vec![
        format!(
            "a prompt token takes {:.3e} s (mean), {:.3e} s (median), {:.3e} s (P80); prompt_weight is that, negated, at a time_weight of 1",
            time.mean, time.median, time.p80
        ),
        "orders from shortest remaining prompt first to first come first served; aging with its tokens per second".to_owned(),
        table(&header, &rows),
    ];
    let derived = study.points.iter().filter(|point| is_derived(point));
    lines.extend(derived.map(|point| format!("{} is {}", name(point.order), point.origin)));
    let front: Vec<String> = study
        .points
        .iter()
        .filter(|point| point.on_front)
        .map(|point| name(point.order))
        .collect();
    let (percentile, _) = TTFT[sweep.ttft];
    lines.push(format!(
        "on the front of TTFT {} against {}: {}",
        percentile.to_uppercase(),
        fairness_name(sweep.fairness),
        front.join(", ")
    ));
    if study
        .points
        .iter()
        .any(|point| point.against_fcfs.is_some())
    {
        lines.push(
            "intervals are of each order alone; p is corrected for all of them (Holm)".to_owned(),
        );
    }
    for point in &study.points {
        if let Some(comparison) = &point.against_fcfs {
            lines.push(format!(
                "TTFT {}: {}",
                percentile.to_uppercase(),
                sentence(&name(point.order), "fcfs", comparison, true)
            ));
        }
    }
    if study
        .points
        .iter()
        .all(|point| point.against_fcfs.is_none())
    {
        lines.push(
            "with one seed, a difference cannot be told from chance: give several".to_owned(),
        );
    }
    lines.push(format!("\n{}", aging_answer(study, sweep)));
    lines.join("\n")
}

/// The answer in a sentence: compares the order on the front with the shortest TTFT to first come first served.
pub fn aging_answer(study: &AgingStudy, sweep: &AgingSweep) -> String {
    let (percentile, _) = TTFT[sweep.ttft];
    let ttft = |point: &Point| point.mean.ttft[sweep.ttft];
    let front = study.points.iter().filter(|point| point.on_front);
    let best = front.min_by(|a, b| ttft(a).total_cmp(&ttft(b)));
    let (Some(best), Some(fcfs)) = (best, study.points.last()) else {
        return "No order was tried.".into();
    };
    answer::aging(&answer::Ordered {
        name: name(best.order),
        percentile: percentile.to_uppercase(),
        ttft: ttft(best),
        fcfs_ttft: ttft(fcfs),
        p: best.against_fcfs.as_ref().map(|found| found.p_adjusted),
        confidence: sweep.confidence,
        fairness: fairness_name(sweep.fairness),
        fair: fairness(&best.mean, sweep.fairness),
        fcfs_fair: fairness(&fcfs.mean, sweep.fairness),
    })
}

fn is_derived(point: &Point) -> bool {
    point.origin.contains("token time")
}

/// Returns all figures as JSON.
pub fn aging_json(study: &AgingStudy, sweep: &AgingSweep, seeds: &[u64]) -> Value {
    let points: Vec<Value> = study
        .points
        .iter()
        .map(|point| {
            let mut value = json!(point);
            value["name"] = json!(name(point.order));
            value["aging_tokens_per_second"] = json!(match point.order {
                Order::Aging(ratio) => Some(ratio),
                _ => None,
            });
            if let Some(value) = value.as_object_mut() {
                value.remove("order");
            }
            value
        })
        .collect();
    json!({"seeds": seeds, "token_time_seconds": study.token_time, "orders": points,
        "answer": aging_answer(study, sweep)})
}

/// Writes `aging.json`, the charts, and `aging.csv` with one line for each order and seed.
///
/// # Errors
/// [`crate::base::error::Error::Io`] if the file cannot be written.
pub fn write_aging(
    study: &AgingStudy,
    sweep: &AgingSweep,
    seeds: &[u64],
    folder: &Path,
) -> Result<()> {
    let begun = StagedFolder::begin(folder)?;
    let folder = begun.path();
    let header = [
        "order",
        "tokens_per_second",
        "origin",
        "seed",
        "ttft_p50",
        "ttft_p90",
        "ttft_p99",
        "jain",
        "max_wait",
        "short_p50_slowdown",
        "short_p99_slowdown",
        "middle_p50_slowdown",
        "middle_p99_slowdown",
        "long_p50_slowdown",
        "long_p99_slowdown",
        "on_front",
    ];
    let mut csv = CsvFile::create(&folder.join("aging.csv"), &header)?;
    for point in &study.points {
        for (seed, run) in seeds.iter().zip(&point.runs) {
            let mut row = vec![
                match point.order {
                    Order::Fcfs => "fcfs",
                    Order::Srtf => "srtf",
                    Order::Aging(_) => "aging",
                }
                .to_owned(),
                match point.order {
                    Order::Aging(ratio) => float(ratio),
                    _ => String::new(),
                },
                point.origin.clone(),
                seed.to_string(),
            ];
            row.extend(run.ttft.iter().map(|time| float(*time)));
            row.extend([float(run.jain), float(run.max_wait)]);
            row.extend(
                run.classes
                    .iter()
                    .flat_map(|class| [float(class.p50), float(class.p99)]),
            );
            row.push(point.on_front.to_string());
            csv.row(row)?;
        }
    }
    csv.finish()?;
    write_json(folder.join("aging.json"), &aging_json(study, sweep, seeds))?;
    chart::save_all(&aging_charts(study, sweep), folder)?;
    begun.finish(&["aging.json"])
}

/// Charts of TTFT by ratio, and of the Pareto front.
pub fn aging_charts(study: &AgingStudy, sweep: &AgingSweep) -> Vec<Chart> {
    let aging: Vec<(f64, &Measures)> = study
        .points
        .iter()
        .filter_map(|point| match point.order {
            Order::Aging(ratio) => Some((ratio, &point.mean)),
            _ => None,
        })
        .collect();
    let mut times = Vec::new();
    for (at, (percentile, _)) in TTFT.iter().enumerate() {
        let (own, _) = color(at);
        let line = |name: String, dashed, points| Series {
            name,
            color: own,
            dashed,
            marks: Marks::Line(points),
        };
        let label = percentile.to_uppercase();
        times.push(line(
            label.clone(),
            false,
            aging
                .iter()
                .map(|(ratio, mean)| (*ratio, mean.ttft[at]))
                .collect(),
        ));
        // First come first served has no ratio, so it is drawn as a horizontal line.
        if let (Some((first, _)), Some((last, _)), Some(fcfs)) =
            (aging.first(), aging.last(), study.points.last())
        {
            let level = fcfs.mean.ttft[at];
            times.push(line(
                format!("{label}, fcfs"),
                true,
                vec![(*first, level), (*last, level)],
            ));
        }
    }
    let place = |point: &Point| {
        (
            point.mean.ttft[sweep.ttft],
            fairness(&point.mean, sweep.fairness),
        )
    };
    let mut front: Vec<(f64, f64)> = study
        .points
        .iter()
        .filter(|point| point.on_front)
        .map(place)
        .collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let percentile = TTFT[sweep.ttft].0.to_uppercase();
    vec![
        Chart {
            name: "aging_ttft",
            title: "Time to first token by the ratio of aging".into(),
            x: Axis::new("prompt tokens that weigh as much as a second", Scale::Log),
            y: Axis::new("TTFT (s)", Scale::Log),
            categories: Vec::new(),
            series: times,
        },
        Chart {
            name: "aging_front",
            title: format!(
                "TTFT {percentile} against {}",
                fairness_name(sweep.fairness)
            ),
            x: Axis::new(&format!("TTFT {percentile} (s)"), Scale::Linear),
            y: Axis::new(fairness_name(sweep.fairness), Scale::Linear),
            categories: Vec::new(),
            series: vec![
                Series {
                    name: "srtf to fcfs, by ratio".into(),
                    color: GREY,
                    dashed: true,
                    marks: Marks::Line(study.points.iter().map(place).collect()),
                },
                Series {
                    name: "front".into(),
                    color: VERMILLION,
                    dashed: false,
                    marks: Marks::Line(front),
                },
                Series {
                    name: "derived from token time".into(),
                    color: BLUE,
                    dashed: false,
                    marks: Marks::Line(
                        study
                            .points
                            .iter()
                            .filter(|point| is_derived(point))
                            .map(place)
                            .collect(),
                    ),
                },
            ],
        },
    ]
}
