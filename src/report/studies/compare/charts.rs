//! The pictures of a comparison.

use std::path::Path;

use super::read::{Figures, METRIC_NAMES, METRICS, PERCENTILES};
use super::scaling::Steps;
use super::{Run, Scenario, arrivals};
use crate::base::error::Result;
use crate::report::render::chart::{Axis, Chart, GREY, Look, Marks, Panels, Scale, Series, Sign};

/// Of what an objective allows.
const RED: &str = "#D00000";

/// What the Splitwise study allows, by metric and percentile.
pub const SLOWDOWN_LIMITS: [[f64; 3]; 3] = [[2.0, 3.0, 6.0], [1.25, 1.5, 5.0], [1.25, 1.5, 5.0]];

/// Values further apart than this are drawn by magnitude.
const WIDE: f64 = 30.0;

/// Points of a line over time; more cannot be told apart.
const MOST_STEPS: usize = 600;

/// Traces that are drawn over time.
const MOST_TRACES: usize = 3;

/// Bins of the load.
const BINS: usize = 80;

/// All pictures of a scenario, or those that `summary.csv` is enough for.
///
/// # Errors
/// Arrival times that cannot be read.
pub fn all(scenario: &Scenario<'_>, quick: bool) -> Result<Vec<Panels>> {
    let mut panels: Vec<Panels> = (0..3).map(|metric| times(scenario, metric)).collect();
    if !quick {
        panels.extend((0..3).map(|metric| slowdowns(scenario, metric)));
        panels.push(metrics_grid(scenario));
        panels.push(bars(scenario));
        panels.push(cost_vs_slo(scenario));
        panels.push(pd_ratio(scenario));
        panels.push(instances(scenario)?);
        panels.push(events(scenario));
    }
    panels.retain(|panels| !panels.is_empty());
    Ok(panels)
}

/// Writes them.
///
/// # Errors
/// A file that cannot be written.
pub fn save(panels: &[Panels], folder: &Path) -> Result<()> {
    use rayon::prelude::*;
    panels.par_iter().try_for_each(|panels| panels.save(folder))
}

/// A value of a cell.
pub(super) type Of<'a> = &'a dyn Fn(&Figures) -> Option<f64>;

/// TTFT, TBT or E2E in seconds at three percentiles.
fn times(scenario: &Scenario<'_>, metric: usize) -> Panels {
    let name = ["ttft_comparison", "tbt_comparison", "e2e_comparison"][metric];
    let label = format!("{} (s)", METRIC_NAMES[metric]);
    let charts = percentiles(scenario, &label, &[None; 3], &|figures, place| {
        figures.times[metric][place]
    });
    Panels {
        name,
        title: format!("{} by policy", METRIC_NAMES[metric]),
        columns: 3,
        charts,
    }
}

/// The same as multiples of an unloaded instance's.
fn slowdowns(scenario: &Scenario<'_>, metric: usize) -> Panels {
    let name = [
        "ttft_slowdown_comparison",
        "tbt_slowdown_comparison",
        "e2e_slowdown_comparison",
    ][metric];
    let label = format!("{} slowdown (x)", METRIC_NAMES[metric]);
    let limits = SLOWDOWN_LIMITS[metric].map(Some);
    let charts = percentiles(scenario, &label, &limits, &|figures, place| {
        figures.slowdowns[metric][place]
    });
    Panels {
        name,
        title: format!("{} slowdown by policy", METRIC_NAMES[metric]),
        columns: 3,
        charts,
    }
}

/// P50, P90 and P99 side by side on one scale.
fn percentiles(
    scenario: &Scenario<'_>,
    label: &str,
    limits: &[Option<f64>; 3],
    of: &dyn Fn(&Figures, usize) -> Option<f64>,
) -> Vec<Chart> {
    let one = |place: usize| {
        let title = format!("P{}", PERCENTILES[place]);
        by_rate(scenario, &title, label, limits[place], &|figures| {
            of(figures, place)
        })
    };
    let mut charts: Vec<Chart> = (0..3).map(one).collect();
    if charts.iter().all(|chart| lines(chart).is_empty()) {
        return Vec::new();
    }
    let scale = scale(charts.iter().flat_map(lines));
    for chart in &mut charts {
        chart.y.scale = scale;
    }
    same_height(&mut charts);
    charts
}

/// A line per policy over the rates, or bars over the traces.
pub(super) fn by_rate(
    scenario: &Scenario<'_>,
    title: &str,
    label: &str,
    limit: Option<f64>,
    of: Of<'_>,
) -> Chart {
    let traces = scenario.traces();
    let rated = scenario.rated();
    let styles = &scenario.study.styles;
    let mut series: Vec<Series> = scenario
        .policies()
        .into_iter()
        .map(|policy| {
            let values: Vec<Option<f64>> = traces
                .iter()
                .map(|trace| scenario.cell(policy, trace, of))
                .collect();
            let rates = traces
                .iter()
                .map(|trace| super::key::rate(trace).unwrap_or_default());
            let points = rates
                .zip(&values)
                .filter_map(|(rate, value)| Some((rate, (*value)?)));
            Series {
                name: policy.to_owned(),
                color: styles.color(policy),
                dashed: false,
                marks: if rated {
                    Marks::Styled(points.collect(), styles.look(policy))
                } else {
                    Marks::Bars(values)
                },
            }
        })
        .collect();
    if let Some(at) = limit
        && series.iter().any(|series| !points_of(series).is_empty())
    {
        series.push(Series {
            name: "SLO".into(),
            color: RED,
            dashed: true,
            marks: Marks::Limit(at),
        });
    }
    Chart {
        name: "panel",
        title: title.to_owned(),
        x: Axis::new(
            if rated { "request rate (1/s)" } else { "trace" },
            Scale::Linear,
        ),
        y: Axis::new(label, Scale::Linear),
        categories: if rated {
            Vec::new()
        } else {
            traces.iter().map(|t| (*t).to_owned()).collect()
        },
        series,
    }
}

fn points_of(series: &Series) -> Vec<f64> {
    match &series.marks {
        Marks::Styled(points, _) | Marks::Line(points) | Marks::Step(points) => {
            points.iter().map(|point| point.1).collect()
        }
        Marks::Bars(values) => values.iter().flatten().copied().collect(),
        _ => Vec::new(),
    }
}

/// All values of a chart that are no limits.
pub(super) fn lines(chart: &Chart) -> Vec<f64> {
    chart.series.iter().flat_map(points_of).collect()
}

pub(super) fn scale(values: impl Iterator<Item = f64>) -> Scale {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > 0.0 && high / low > WIDE {
        Scale::Log
    } else {
        Scale::Linear
    }
}

/// Lets charts side by side have one height.
fn same_height(charts: &mut [Chart]) {
    let all = charts.iter().flat_map(|chart| {
        let limits = chart.series.iter().filter_map(|series| match series.marks {
            Marks::Limit(at) => Some(at),
            _ => None,
        });
        lines(chart).into_iter().chain(limits)
    });
    let (low, high) = all.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return;
    }
    for chart in charts {
        // Where points are anyway, or between the bars.
        let x = first_place(chart).unwrap_or(1.0);
        chart.series.push(Series {
            name: String::new(),
            color: GREY,
            dashed: false,
            marks: Marks::Room(vec![(x, low), (x, high)]),
        });
    }
}

fn first_place(chart: &Chart) -> Option<f64> {
    chart.series.iter().find_map(|series| match &series.marks {
        Marks::Styled(points, _) => points.first().map(|point| point.0),
        _ => None,
    })
}

/// The three slowdowns at P90.
fn metrics_grid(scenario: &Scenario<'_>) -> Panels {
    let charts = (0..3).map(|metric| {
        let title = format!("{} slowdown (P90)", METRIC_NAMES[metric]);
        let limit = Some(SLOWDOWN_LIMITS[metric][1]);
        let mut chart = by_rate(scenario, &title, "slowdown (x)", limit, &|f| {
            f.slowdowns[metric][1]
        });
        chart.y.scale = scale(lines(&chart).into_iter());
        chart
    });
    let charts: Vec<Chart> = charts.collect();
    let empty = charts.iter().all(|chart| lines(chart).is_empty());
    Panels {
        name: "metrics_grid_p90",
        title: "Slowdowns at the 90th percentile".into(),
        columns: 3,
        charts: if empty { Vec::new() } else { charts },
    }
}

/// A bar for each policy, in its colour and with its value.
fn policy_bars(scenario: &Scenario<'_>, title: &str, label: &str, of: Of<'_>) -> Chart {
    let policies = scenario.policies();
    let one = |(place, policy): (usize, &&str)| {
        let color = scenario.study.styles.color(policy);
        let mut values = vec![(None, color); policies.len()];
        values[place].0 = scenario.mean(policy, of);
        Series {
            name: (*policy).to_owned(),
            color,
            dashed: false,
            marks: Marks::Tagged(values),
        }
    };
    Chart {
        name: "panel",
        title: title.to_owned(),
        x: Axis::new("policy", Scale::Linear),
        y: Axis::new(label, Scale::Linear),
        categories: policies.iter().map(|policy| (*policy).to_owned()).collect(),
        series: policies.iter().enumerate().map(one).collect(),
    }
}

/// TBT slowdown at P90, mean over all traces.
fn bars(scenario: &Scenario<'_>) -> Panels {
    let title = format!("mean over {}", counted(scenario));
    let of = |figures: &Figures| figures.slowdowns[1][1];
    let mut chart = policy_bars(scenario, &title, "TBT slowdown (x), P90", &of);
    let empty = chart.is_empty();
    chart.series.push(Series {
        name: "SLO".into(),
        color: RED,
        dashed: true,
        marks: Marks::Limit(SLOWDOWN_LIMITS[1][1]),
    });
    Panels {
        name: "bar_comparison_tbt_p90",
        title: "TBT slowdown by policy".into(),
        columns: 1,
        charts: if empty { Vec::new() } else { vec![chart] },
    }
}

/// `3 traces, 2 seeds`
pub(super) fn counted(scenario: &Scenario<'_>) -> String {
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (traces, seeds) = (scenario.traces().len(), scenario.seeds().len());
    format!("{}, {}", many(traces, "trace"), many(seeds, "seed"))
}

/// A figure of a run.
type Get = fn(&Figures) -> Option<f64>;

/// What was paid, by which name: dollars where all runs have them, else hours.
fn cost(scenario: &Scenario<'_>) -> (&'static str, Get) {
    let choices: [(&str, Get); 3] = [
        ("cost (dollars)", |figures| figures.cost),
        ("GPU-hours", |figures| figures.gpu_hours),
        ("instance-hours", |figures| figures.instance_hours),
    ];
    let all = |of: &Get| scenario.runs.iter().all(|run| of(&run.figures).is_some());
    choices
        .into_iter()
        .find(|(_, of)| all(of))
        .unwrap_or(choices[2])
}

/// Those that no other beats in one without losing in the other, by rising cost.
pub fn pareto(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut front: Vec<(f64, f64)> = Vec::new();
    for point in sorted {
        match front.last() {
            Some(last) if point.1 >= last.1 => {}
            _ => front.push(point),
        }
    }
    front
}

/// Cost against violations on one trace.
pub(super) fn cost_of_trace(scenario: &Scenario<'_>, trace: &str) -> Chart {
    let (label, cost) = cost(scenario);
    let styles = &scenario.study.styles;
    let mut series = Vec::new();
    let mut points = Vec::new();
    for policy in scenario.policies() {
        let paid = scenario.cell(policy, trace, cost);
        let violated = scenario.cell(policy, trace, |figures| figures.slo_violation_rate);
        let Some(point) = paid.zip(violated) else {
            continue;
        };
        points.push(point);
        series.push(Series {
            name: policy.to_owned(),
            color: styles.color(policy),
            dashed: false,
            marks: Marks::Styled(vec![point], styles.look(policy).alone()),
        });
    }
    if !points.is_empty() {
        series.insert(
            0,
            Series {
                name: "Pareto front".into(),
                color: "#555555",
                dashed: true,
                marks: Marks::Styled(
                    pareto(&points),
                    Look {
                        sign: Some(Sign::Halo),
                        dash: Some("6 6"),
                        step: true,
                    },
                ),
            },
        );
    }
    Chart {
        name: "panel",
        title: trace.to_owned(),
        x: Axis::new(label, Scale::Linear),
        y: Axis::new("requests that missed the SLO", Scale::PercentUsed),
        categories: Vec::new(),
        series,
    }
}

/// The same, a panel per trace, up to six.
fn cost_vs_slo(scenario: &Scenario<'_>) -> Panels {
    let chart = |trace: &&str| cost_of_trace(scenario, trace);
    let charts: Vec<Chart> = spread(&scenario.traces(), 6).iter().map(chart).collect();
    Panels {
        name: "cost_vs_slo",
        title: "Cost against missed objectives".into(),
        columns: 3,
        charts: kept(charts),
    }
}

/// Charts with something in them.
fn kept(charts: Vec<Chart>) -> Vec<Chart> {
    charts
        .into_iter()
        .filter(|chart| !chart.is_empty())
        .collect()
}

/// The first, the last, and those evenly between.
pub(super) fn spread<'a>(names: &[&'a str], most: usize) -> Vec<&'a str> {
    if names.len() <= most {
        return names.to_vec();
    }
    let last = names.len() - 1;
    (0..most).map(|n| names[n * last / (most - 1)]).collect()
}

/// Of a policy on a trace, the first seed's run.
pub(super) fn first<'a>(scenario: &Scenario<'a>, policy: &str, trace: &str) -> Option<&'a Run> {
    scenario
        .of_policy(policy)
        .find(|run| run.key.trace == trace)
}

/// Lines of steps over time, one per policy.
pub(super) fn over_time(
    scenario: &Scenario<'_>,
    trace: &str,
    label: &str,
    steps: &dyn Fn(&Run) -> Option<Steps>,
) -> Chart {
    let styles = &scenario.study.styles;
    let series = scenario.policies().into_iter().filter_map(|policy| {
        let steps = steps(first(scenario, policy, trace)?)?;
        let look = Look {
            sign: None,
            ..styles.look(policy).stepped()
        };
        (!steps.is_empty()).then(|| Series {
            name: policy.to_owned(),
            color: styles.color(policy),
            dashed: false,
            marks: Marks::Styled(thin(steps), look),
        })
    });
    Chart {
        name: "panel",
        title: trace.to_owned(),
        x: Axis::new("time (s)", Scale::Linear),
        y: Axis::new(label, Scale::Linear),
        categories: Vec::new(),
        series: series.collect(),
    }
}

/// Of many steps the lowest and the highest of each piece of time, so that no peak is lost.
fn thin(steps: Steps) -> Steps {
    if steps.len() <= MOST_STEPS {
        return steps;
    }
    let piece = steps.len().div_ceil(MOST_STEPS / 4);
    let mut thinned = Vec::with_capacity(MOST_STEPS);
    for part in steps.chunks(piece) {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mut kept = [
            part.first(),
            part.iter().min_by(by),
            part.iter().max_by(by),
            part.last(),
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect::<Vec<_>>();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        thinned.extend(kept);
    }
    thinned
}

fn seed_note(scenario: &Scenario<'_>) -> String {
    match scenario.seeds().as_slice() {
        [] | [_] => String::new(),
        [first, ..] => format!(" (seed {first})"),
    }
}

/// Prefill by decode instances.
fn pd_ratio(scenario: &Scenario<'_>) -> Panels {
    let chart = |trace: &&str| {
        over_time(
            scenario,
            trace,
            "prefill / decode instances in service",
            &|run| Some(run.figures.scaling.as_ref()?.ratio.clone()),
        )
    };
    Panels {
        name: "pd_ratio_over_time",
        title: format!("P/D ratio over time{}", seed_note(scenario)),
        columns: 3,
        charts: kept(
            spread(&scenario.traces(), MOST_TRACES)
                .iter()
                .map(chart)
                .collect(),
        ),
    }
}

/// Load above, instances below, a column per trace.
fn instances(scenario: &Scenario<'_>) -> Result<Panels> {
    let traces: Vec<&str> = spread(&scenario.traces(), MOST_TRACES);
    let mut rows: [Vec<Chart>; 4] = Default::default();
    for trace in &traces {
        let all = over_time(scenario, trace, "instances in service", &|run| {
            Some(run.figures.scaling.as_ref()?.instances.clone())
        });
        if all.is_empty() {
            continue;
        }
        let some = |steps: &Steps| steps.iter().any(|step| step.1 > 0.0);
        rows[0].push(load(scenario, trace)?);
        rows[1].push(over_time(scenario, trace, "prefill instances", &|run| {
            let scaling = run.figures.scaling.as_ref()?;
            some(&scaling.prefill).then(|| scaling.prefill.clone())
        }));
        rows[2].push(over_time(scenario, trace, "decode instances", &|run| {
            let scaling = run.figures.scaling.as_ref()?;
            some(&scaling.decode).then(|| scaling.decode.clone())
        }));
        rows[3].push(all);
    }
    let columns = rows[3].len();
    let full = |row: &Vec<Chart>| row.iter().any(|chart| !chart.is_empty());
    let split = full(&rows[1]) || full(&rows[2]);
    let [load, prefill, decode, all] = rows;
    let rows = if split {
        vec![load, prefill, decode]
    } else {
        vec![load, all]
    };
    Ok(Panels {
        name: "instances_over_time",
        title: format!("Load and instances over time{}", seed_note(scenario)),
        columns,
        charts: rows.into_iter().filter(full).flatten().collect(),
    })
}

/// Arrivals per second in equal pieces of time.
pub(super) fn load(scenario: &Scenario<'_>, trace: &str) -> Result<Chart> {
    let mut times = Vec::new();
    for run in scenario.runs.iter().filter(|run| run.key.trace == trace) {
        times = arrivals(&run.folder)?;
        if !times.is_empty() {
            break;
        }
    }
    let last = times.last().copied().unwrap_or(0.0);
    let mut series = Vec::new();
    if last > 0.0 {
        let width = last / BINS as f64;
        let mut counts = vec![0u32; BINS];
        for time in &times {
            counts[((time / width) as usize).min(BINS - 1)] += 1;
        }
        let mut steps: Steps = counts
            .iter()
            .enumerate()
            .map(|(bin, count)| (bin as f64 * width, f64::from(*count) / width))
            .collect();
        steps.push((last, 0.0));
        // As far as the instances below.
        let ends = scenario.runs.iter().filter(|run| run.key.trace == trace);
        let ends = ends.filter_map(|run| Some(run.figures.scaling.as_ref()?.end));
        steps.push((ends.fold(last, f64::max), 0.0));
        series.push(Series {
            name: "arrivals".into(),
            color: "#1F1F1F",
            dashed: false,
            marks: Marks::Step(steps),
        });
    }
    Ok(Chart {
        name: "panel",
        title: trace.to_owned(),
        x: Axis::new("time (s)", Scale::Linear),
        y: Axis::new("arrivals (1/s)", Scale::Linear),
        categories: Vec::new(),
        series,
    })
}

/// How often policies acted, and when.
fn events(scenario: &Scenario<'_>) -> Panels {
    let count = |of: fn(&super::Scaling) -> u64, title: &str| {
        let of = |figures: &Figures| Some(of(figures.scaling.as_ref()?) as f64);
        policy_bars(scenario, title, "events a run", &of)
    };
    let mut charts = kept(vec![
        count(|scaling| scaling.scale_out, "Scale-out events"),
        count(|scaling| scaling.scale_in, "Scale-in events"),
        count(|scaling| scaling.flaps, "Flaps (turns within 300 s)"),
    ]);
    let traces = spread(&scenario.traces(), MOST_TRACES);
    let so_far = traces.iter().map(|trace| {
        over_time(
            scenario,
            trace,
            "instances started and drained so far",
            &|run| Some(run.figures.scaling.as_ref()?.changes.clone()),
        )
    });
    charts.extend(kept(so_far.collect()));
    Panels {
        name: "scaling_events",
        title: format!("Scaling events{}", seed_note(scenario)),
        columns: 3,
        charts,
    }
}

/// Names of all pictures, in order, for documentation and tests.
pub fn names() -> Vec<String> {
    let times = METRICS.map(|metric| format!("{metric}_comparison"));
    let slow = METRICS.map(|metric| format!("{metric}_slowdown_comparison"));
    let others = [
        "metrics_grid_p90",
        "bar_comparison_tbt_p90",
        "cost_vs_slo",
        "pd_ratio_over_time",
        "instances_over_time",
        "scaling_events",
    ];
    times
        .into_iter()
        .chain(slow)
        .chain(others.map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::charts::*;

    #[test]
    fn the_front_has_who_is_not_beaten() {
        let points = [
            (3.0, 0.1),
            (1.0, 0.5),
            (2.0, 0.5),
            (2.0, 0.2),
            (4.0, 0.1),
            (5.0, 0.0),
        ];
        assert_eq!(
            pareto(&points),
            [(1.0, 0.5), (2.0, 0.2), (3.0, 0.1), (5.0, 0.0)]
        );
    }

    #[test]
    fn traces_are_spread_with_both_ends() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(spread(&names, 3), ["a", "d", "g"]);
        assert_eq!(spread(&names[..2], 3), ["a", "b"]);
    }

    #[test]
    fn thinned_steps_keep_their_peaks() {
        let mut steps: Steps = (0..100_000).map(|n| (f64::from(n), 1.0)).collect();
        steps[77_777].1 = 9.0;
        steps[12_345].1 = 0.0;
        let thinned = thin(steps.clone());
        assert!(thinned.len() <= MOST_STEPS, "{}", thinned.len());
        assert!(thinned.contains(&(77_777.0, 9.0)) && thinned.contains(&(12_345.0, 0.0)));
        assert_eq!(
            (thinned.first(), thinned.last()),
            (steps.first(), steps.last())
        );
    }
}
