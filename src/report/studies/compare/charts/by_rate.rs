//! Figures over the request rate, or side by side over traces.

use super::counted;
use crate::metrics::serving::SLOWDOWN_LIMITS;
use crate::report::render::chart::{Axis, Chart, GREY, Marks, Panels, Scale, Series};
use crate::report::studies::compare::read::{Figures, METRIC_NAMES, PERCENTILES};
use crate::report::studies::compare::{ScenarioGroup, key};

/// Colour of limit lines.
const RED: &str = "#D00000";

/// Name of the limit lines, which are the maximum slowdowns of the Splitwise study.
const LIMIT: &str = "slowdown limit";

/// Ratio of largest to smallest value above which an axis is logarithmic.
const WIDE: f64 = 30.0;

/// Selects a figure of a run.
pub(in crate::report::studies::compare) type Of<'a> = &'a dyn Fn(&Figures) -> Option<f64>;

/// TTFT, TBT or E2E in seconds at three percentiles.
pub(super) fn times(scenario: &ScenarioGroup<'_>, metric: usize) -> Panels {
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

/// Slowdowns of TTFT, TBT or E2E at three percentiles, with the slowdown limits.
pub(super) fn slowdowns(scenario: &ScenarioGroup<'_>, metric: usize) -> Panels {
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

/// Charts of P50, P90 and P99 with the same vertical axis.
fn percentiles(
    scenario: &ScenarioGroup<'_>,
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

/// A line for each policy over the request rate; bars if traces have no rates.
pub(in crate::report::studies::compare) fn by_rate(
    scenario: &ScenarioGroup<'_>,
    title: &str,
    label: &str,
    limit: Option<f64>,
    of: Of<'_>,
) -> Chart {
    let traces = scenario.traces();
    let rated = scenario.rated();
    let styles = &scenario.comparison.styles;
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
                .map(|trace| key::rate(trace).unwrap_or_default());
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
            name: LIMIT.into(),
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

/// All values of a chart but its limits.
pub(in crate::report::studies::compare) fn lines(chart: &Chart) -> Vec<f64> {
    chart.series.iter().flat_map(points_of).collect()
}

pub(in crate::report::studies::compare) fn scale(values: impl Iterator<Item = f64>) -> Scale {
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

/// Gives charts the same vertical range.
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
        // Placed at a category that has points already, or between the bars.
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

/// Slowdowns of TTFT, TBT and E2E at P90.
pub(super) fn metrics_grid(scenario: &ScenarioGroup<'_>) -> Panels {
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

/// A bar for each policy, in its colour and labelled with its value.
pub(super) fn policy_bars(
    scenario: &ScenarioGroup<'_>,
    title: &str,
    label: &str,
    of: Of<'_>,
) -> Chart {
    let policies = scenario.policies();
    let one = |(place, policy): (usize, &&str)| {
        let color = scenario.comparison.styles.color(policy);
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

/// Bars of the mean TBT slowdown at P90 over all traces.
pub(super) fn bars(scenario: &ScenarioGroup<'_>) -> Panels {
    let title = format!("mean over {}", counted(scenario));
    let of = |figures: &Figures| figures.slowdowns[1][1];
    let mut chart = policy_bars(scenario, &title, "TBT slowdown (x), P90", &of);
    let empty = chart.is_empty();
    chart.series.push(Series {
        name: LIMIT.into(),
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
