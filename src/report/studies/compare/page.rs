//! `report.html` of a comparison.

use rayon::prelude::*;
use serde_json::json;

use super::charts::{self, counted};
use super::pairs::Pair;
use super::read::{Figures, METRIC_NAMES, PERCENTILES, request_times};
use super::{Run, Scenario, Study, text};
use crate::base::error::Result;
use crate::report::render::chart::{Axis, Chart, Look, Marks, Scale, Series};
use crate::report::render::html::{Cell, Page, Table, Variant};
use crate::report::render::number::{percent, thousands};
use crate::report::studies::answer::ANSWER;

/// Points that all distributions of a page may have together; about a third of its size.
const ALL_POINTS: usize = 90_000;

/// Points that one of them keeps at most, and at least.
const POINTS: (usize, usize) = (400, 12);

/// The page of a study.
///
/// # Errors
/// A file that cannot be read.
pub fn page(study: &Study, pairs: &[Vec<Pair>], command: &str) -> Result<Page> {
    let scenarios = study.scenarios();
    let (mut variants, mut tables) = (Vec::new(), Vec::new());
    let mut thinning = Thinning::new(&scenarios, study.reading.quick);
    for (scenario, pairs) in scenarios.iter().zip(pairs) {
        let label = scenario.label.clone();
        let mut add = |chart: Chart, mut choices: Vec<(&'static str, String)>| {
            if !label.is_empty() {
                choices.insert(0, ("scenario", label.clone()));
            }
            variants.push(Variant { chart, choices });
        };
        for (chart, choices) in by_rate(scenario) {
            add(chart, choices);
        }
        if !study.reading.quick {
            for trace in scenario.traces() {
                for chart in of_trace(scenario, trace, &mut thinning)? {
                    add(chart, vec![("trace", trace.to_owned())]);
                }
            }
        }
        tables.push(overview(scenario));
        if !pairs.is_empty() {
            tables.push(pair_table(scenario, pairs));
        }
    }
    tables.push(runs(study));
    let policies: Vec<&str> = scenarios.iter().flat_map(Scenario::policies).collect();
    let mut names = policies.clone();
    names.sort_unstable();
    names.dedup();
    let tiles = vec![
        (text::answer(study), ANSWER.to_owned()),
        (names.len().to_string(), "policies".to_owned()),
        (thousands(study.runs.len() as u64), "runs".to_owned()),
        (
            thousands(study.missing.len() as u64),
            "cells missing".to_owned(),
        ),
        (
            thousands(
                study
                    .runs
                    .iter()
                    .filter_map(|run| run.figures.total_requests)
                    .sum(),
            ),
            "requests simulated".to_owned(),
        ),
    ];
    let mut notes = thinning.notes();
    notes.extend(
        study
            .skipped
            .iter()
            .map(|skipped| format!("Left out: {}", skipped.why)),
    );
    notes.extend(study.missing.iter().take(50).map(|missing| {
        format!(
            "Missing: {}; to make it: {}",
            missing.folder.display(),
            missing.command
        )
    }));
    let commands: Vec<&str> = study
        .runs
        .iter()
        .filter_map(|run| run.figures.command.as_deref())
        .collect();
    let mut made: Vec<&str> = commands.clone();
    made.dedup();
    let lead = match scenarios.as_slice() {
        [one] => format!("{}: {}", one.title(), counted(one)),
        several => format!("{} scenarios", several.len()),
    };
    Ok(Page {
        title: "Autoscaling policies side by side".into(),
        lead,
        tiles,
        warning: "",
        tables,
        charts: Vec::new(),
        variants,
        notes,
        definitions: DEFINITIONS,
        configuration: json!({
            "results": study.root,
            "reading": study.reading,
            "scenarios": scenarios.iter().map(Scenario::title).collect::<Vec<_>>(),
            "commands of runs": made,
            "configuration of a run": study.runs.first().and_then(configuration),
        }),
        command: command.into(),
    })
}

/// Of one run, as it lies beside its results.
fn configuration(run: &Run) -> Option<String> {
    std::fs::read_to_string(run.folder.join("config.toml")).ok()
}

/// Charts over the request rate, with the choices under which they are shown.
fn by_rate(scenario: &Scenario<'_>) -> Vec<(Chart, Vec<(&'static str, String)>)> {
    let mut all = Vec::new();
    for (metric, ids) in [
        ["ttft", "ttft_slowdown"],
        ["tbt", "tbt_slowdown"],
        ["e2e", "e2e_slowdown"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = METRIC_NAMES[metric];
        for (place, percentile) in PERCENTILES.iter().enumerate() {
            let choice = vec![("percentile", format!("P{percentile}"))];
            let mut times = charts::by_rate(
                scenario,
                &format!("{name}, P{percentile}"),
                &format!("{name} (s)"),
                None,
                &|figures| figures.times[metric][place],
            );
            times.name = ids[0];
            all.push((times, choice.clone()));
            let mut slow = charts::by_rate(
                scenario,
                &format!("{name} slowdown, P{percentile}"),
                &format!("{name} slowdown (x)"),
                Some(charts::SLOWDOWN_LIMITS[metric][place]),
                &|figures| figures.slowdowns[metric][place],
            );
            slow.name = ids[1];
            all.push((slow, choice));
        }
    }
    type Of = fn(&Figures) -> Option<f64>;
    let others: [(&'static str, &str, &str, Scale, Of); 5] = [
        (
            "slo_missed",
            "Requests that missed the SLO",
            "share of requests",
            Scale::PercentUsed,
            |f| f.slo_violation_rate,
        ),
        (
            "gpu_hours",
            "GPU-hours",
            "GPU-hours of a run",
            Scale::Linear,
            |f| f.gpu_hours.or(f.instance_hours),
        ),
        (
            "throughput",
            "Throughput",
            "finished requests (1/s)",
            Scale::Linear,
            |f| f.throughput,
        ),
        (
            "scale_events",
            "Scale events",
            "events of a run",
            Scale::Linear,
            |f| Some(f.scaling.as_ref()?.events() as f64),
        ),
        (
            "pd_variance",
            "Variance of the P/D ratio",
            "variance over time",
            Scale::Linear,
            |f| f.scaling.as_ref()?.pd_variance,
        ),
    ];
    for (name, title, label, scale, of) in others {
        let mut chart = charts::by_rate(scenario, title, label, None, &of);
        chart.name = name;
        chart.y.scale = scale;
        all.push((chart, Vec::new()));
    }
    // Charts that only some runs have figures for stay, empty ones go.
    all.retain(|(chart, _)| !chart.is_empty());
    all
}

/// Charts of one trace.
fn of_trace(scenario: &Scenario<'_>, trace: &str, thinning: &mut Thinning) -> Result<Vec<Chart>> {
    let mut all = Vec::new();
    let name = |mut chart: Chart, name: &'static str, title: &str| {
        chart.name = name;
        chart.title = format!("{title}, {trace}");
        chart
    };
    let cost = charts::cost_of_trace(scenario, trace);
    all.push(name(cost, "cost_vs_slo", "Cost against missed objectives"));
    all.extend(distributions(scenario, trace, thinning));
    let load = charts::load(scenario, trace)?;
    all.push(name(load, "load", "Arrivals"));
    type Steps = fn(&super::Scaling) -> &Vec<(f64, f64)>;
    let over_time: [(&'static str, &str, &str, Steps); 4] = [
        ("instances", "Instances in service", "instances", |s| {
            &s.instances
        }),
        (
            "prefill_instances",
            "Prefill instances in service",
            "instances",
            |s| &s.prefill,
        ),
        (
            "decode_instances",
            "Decode instances in service",
            "instances",
            |s| &s.decode,
        ),
        ("pd_ratio", "P/D ratio", "prefill / decode instances", |s| {
            &s.ratio
        }),
    ];
    for (id, title, label, steps) in over_time {
        let chart = charts::over_time(scenario, trace, label, &|run| {
            let steps = steps(run.figures.scaling.as_ref()?);
            steps.iter().any(|step| step.1 > 0.0).then(|| steps.clone())
        });
        all.push(name(chart, id, title));
    }
    all.retain(|chart| !chart.is_empty());
    Ok(all)
}

/// How much distributions are thinned, and how much they were.
struct Thinning {
    points: usize,
    most: usize,
    kept: usize,
}

impl Thinning {
    fn new(scenarios: &[Scenario<'_>], quick: bool) -> Self {
        let curves =
            |scenario: &Scenario<'_>| 3 * scenario.policies().len() * scenario.traces().len();
        let curves: usize = scenarios.iter().map(curves).sum();
        let points = if quick { 0 } else { ALL_POINTS / curves.max(1) };
        Self {
            points: points.clamp(POINTS.1, POINTS.0),
            most: 0,
            kept: 0,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.kept > 0 {
            notes.push(format!(
                "Distributions keep up to {} points each of up to {} requests, evenly over the shares, with the smallest and the largest; percentiles in tables are of all requests.",
                self.kept,
                thousands(self.most as u64)
            ));
        }
        notes
    }
}

/// Cumulative distributions of the three times, of the first seed's runs.
fn distributions(scenario: &Scenario<'_>, trace: &str, thinning: &mut Thinning) -> Vec<Chart> {
    let policies = scenario.policies();
    let read: Vec<Option<[Vec<f64>; 3]>> = policies
        .par_iter()
        .map(|policy| {
            let run = charts::first(scenario, policy, trace)?;
            let mut times = request_times(&run.folder).ok().flatten()?;
            for values in &mut times {
                values.retain(|value| value.is_finite());
                values.sort_unstable_by(f64::total_cmp);
            }
            Some(times)
        })
        .collect();
    let names = ["ttft_cdf", "tbt_cdf", "e2e_cdf"];
    let mut all = Vec::new();
    for metric in 0..METRIC_NAMES.len() {
        let mut series = Vec::new();
        for (policy, times) in policies.iter().zip(&read) {
            let Some(times) = times else { continue };
            let values = &times[metric];
            let points = shares(values, thinning.points);
            thinning.most = thinning.most.max(values.len());
            if points.len() < values.len() {
                thinning.kept = thinning.kept.max(points.len());
            }
            let look = Look {
                sign: None,
                ..scenario.study.styles.look(policy)
            };
            series.push(Series {
                name: (*policy).to_owned(),
                color: scenario.study.styles.color(policy),
                dashed: false,
                marks: Marks::Styled(points, look),
            });
        }
        all.push(Chart {
            name: names[metric],
            title: format!("{} of requests, {trace}", METRIC_NAMES[metric]),
            x: Axis::new(&format!("{} (s)", METRIC_NAMES[metric]), Scale::Log),
            y: Axis::new("share of finished requests", Scale::Percent),
            categories: Vec::new(),
            series,
        });
    }
    all
}

/// Of sorted values, points of value and share of all up to it, at even shares.
fn shares(sorted: &[f64], most: usize) -> Vec<(f64, f64)> {
    let count = sorted.len();
    if count == 0 {
        return Vec::new();
    }
    let kept = count.min(most.max(2));
    let mut points: Vec<(f64, f64)> = (0..kept)
        .map(|n| {
            let index = if kept == 1 {
                0
            } else {
                n * (count - 1) / (kept - 1)
            };
            (sorted[index], (index + 1) as f64 / count as f64)
        })
        .collect();
    points.dedup();
    points
}

/// The terminal's table.
fn overview(scenario: &Scenario<'_>) -> Table {
    let (header, rows) = text::rows(scenario);
    let cells = |row: Vec<(String, Option<f64>)>| {
        row.into_iter()
            .map(|(text, value)| Cell { text, value })
            .collect()
    };
    Table {
        caption: format!(
            "Policies on {} (means over {}; * is the best)",
            scenario.title(),
            counted(scenario)
        ),
        header,
        rows: rows.into_iter().map(cells).collect(),
    }
}

/// Policies against each other.
fn pair_table(scenario: &Scenario<'_>, pairs: &[Pair]) -> Table {
    let number = |value: f64, text: String| Cell {
        text,
        value: Some(value),
    };
    let row = |pair: &Pair| {
        let change = pair.comparison.relative.unwrap_or(f64::NAN);
        vec![
            Cell::from(pair.policy.as_str()),
            Cell::from(pair.baseline.as_str()),
            Cell::from(pair.trace.as_str()),
            Cell::from(pair.metric),
            number(change, percent(change)),
            number(
                pair.comparison.p_adjusted,
                format!("{:.3}", pair.comparison.p_adjusted),
            ),
            Cell::from(pair.sentence.as_str()),
        ]
    };
    let over = pairs.first().map_or("", |pair| pair.over);
    Table {
        caption: format!(
            "Policies against each other on {}, over {over}; p after Holm",
            scenario.title()
        ),
        header: [
            "policy", "against", "trace", "metric", "change", "p", "in words",
        ]
        .map(Into::into)
        .to_vec(),
        rows: pairs.iter().map(row).collect(),
    }
}

/// Every run.
fn runs(study: &Study) -> Table {
    let number = |value: Option<f64>, digits: usize| Cell {
        text: value.map_or("-".into(), |value| format!("{value:.digits$}")),
        value,
    };
    let row = |run: &Run| {
        let f = &run.figures;
        vec![
            Cell::from(run.key.policy.as_str()),
            Cell::from(run.key.trace.as_str()),
            Cell::from(run.key.seed.as_str()),
            Cell::from(run.key.start_state.as_str()),
            Cell::from(run.key.cluster.as_str()),
            number(f.times[0][1], 4),
            number(f.times[1][1], 5),
            number(f.times[2][1], 3),
            number(f.slo_violation_rate.map(|rate| rate * 100.0), 2),
            number(f.gpu_hours, 3),
            number(f.cost, 2),
            number(f.scaling.as_ref().map(|s| s.events() as f64), 0),
            number(f.scaling.as_ref().and_then(|s| s.pd_mean), 2),
            number(f.total_requests.map(|n| n as f64), 0),
        ]
    };
    let shown = study.runs.len().min(MOST_RUNS);
    let of = match study.runs.len() {
        all if all > shown => format!(" (first {shown} of {all}; all are in results_summary.csv)"),
        _ => String::new(),
    };
    Table {
        caption: format!("Runs{of}"),
        header: [
            "policy",
            "trace",
            "seed",
            "start state",
            "cluster",
            "TTFT P90 (s)",
            "TBT P90 (s)",
            "E2E P90 (s)",
            "SLO missed (%)",
            "GPU-hours",
            "cost ($)",
            "scale events",
            "P/D mean",
            "requests",
        ]
        .map(Into::into)
        .to_vec(),
        rows: study.runs.iter().take(shown).map(row).collect(),
    }
}

/// Rows of the table of runs.
const MOST_RUNS: usize = 2000;

/// What the figures mean.
const DEFINITIONS: &str = "\
<h2>How it was counted</h2>
<details>
<summary>Definitions of the figures</summary>
<dl>
<dt>TTFT, TBT, E2E</dt><dd>Of a finished request: seconds from its arrival to the first token; mean seconds between its tokens;
seconds from its arrival to the last token.</dd>
<dt>P50, P90, P99</dt><dd>Percentiles over the finished requests of a run, linear between the two nearest ranks, as numpy has
them. Means over traces are means of these.</dd>
<dt>slowdown</dt><dd>The same times as multiples of what the request would take on an unloaded instance. The red lines are what
the Splitwise study allows.</dd>
<dt>SLO missed</dt><dd>Requests that did not finish, or missed one of the run's objectives for TTFT, TBT and E2E, by all that
arrived. A run that loses requests cannot look good by it.</dd>
<dt>throughput</dt><dd>Finished requests by the time from the first arrival to the last token.</dd>
<dt>instance-hours, GPU-hours, cost</dt><dd>From asking for an instance until it was given back, so start and drain are paid.</dd>
<dt>scale events</dt><dd>Times at which instances were asked for or taken out of service, whatever their number.</dd>
<dt>flaps</dt><dd>A pool that turns from growing to shrinking, or back, within 300 seconds.</dd>
<dt>P/D ratio</dt><dd>Prefill instances in service by decode instances in service. Its mean and variance weigh each value by how
long it held; times without a decode instance count for nothing.</dd>
<dt>in service</dt><dd>Ready, and not yet draining.</dd>
<dt>Pareto front</dt><dd>Policies that no other beats both in cost and in missed objectives.</dd>
<dt>change, p, in words</dt><dd>Against the first policy, with 95 % intervals in brackets: over the P90 of several seeds
(paired), or over single requests where there is one seed. p is corrected for the number of comparisons (Holm). Requests wait
for each other, so comparisons over requests look surer than they are.</dd>
</dl>
</details>
";

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::page::*;

    #[test]
    fn distributions_keep_their_ends_and_stay_short() {
        let values: Vec<f64> = (1..=100_000).map(f64::from).collect();
        let points = shares(&values, 200);
        assert_eq!(points.len(), 200);
        assert_eq!(points[0], (1.0, 1e-5));
        assert_eq!(points[199], (100_000.0, 1.0));
        assert_eq!(shares(&[2.0], 200), [(2.0, 1.0)]);
        assert_eq!(shares(&[], 200), []);
    }
}
