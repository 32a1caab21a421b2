//! Charts that a page shows according to the chosen percentile and trace.

use super::distributions::{Thinning, distributions};
use crate::metrics::serving::{Fleet, SLOWDOWN_LIMITS};
use crate::report::render::chart::{Chart, Scale};
use crate::report::studies::compare::read::{Figures, METRIC_NAMES, PERCENTILES};
use crate::report::studies::compare::{ScenarioGroup, charts};

/// Charts over the request rate, each with the choices under which the page shows it.
pub(super) fn by_rate(scenario: &ScenarioGroup<'_>) -> Vec<(Chart, Vec<(&'static str, String)>)> {
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
                Some(SLOWDOWN_LIMITS[metric][place]),
                &|figures| figures.slowdowns[metric][place],
            );
            slow.name = ids[1];
            all.push((slow, choice));
        }
    }
    type Of = fn(&Figures) -> Option<f64>;
    let missed = scenario.missed_label();
    let others: [(&'static str, &str, &str, Scale, Of); 6] = [
        (
            "slo_missed",
            "Requests that missed the SLO",
            &missed,
            Scale::PercentUsed,
            |f| f.missed(),
        ),
        (
            "gpu_hours",
            "GPU-hours",
            "GPU-hours of a run",
            Scale::Linear,
            |f| f.gpu_hours,
        ),
        (
            "instance_hours",
            "Instance-hours",
            "instance-hours of a run",
            Scale::Linear,
            |f| f.instance_hours,
        ),
        (
            "throughput",
            "Throughput",
            "finished requests (1/s)",
            Scale::Linear,
            |f| f.requests_per_second,
        ),
        (
            "scale_events",
            "Scaling events",
            "events of a run",
            Scale::Linear,
            |f| Some(f.scaling.as_ref()?.scaling_events as f64),
        ),
        (
            "pd_variance",
            "Variance of the P/D ratio",
            "variance over time",
            Scale::Linear,
            |f| f.scaling.as_ref()?.pd_ratio_variance,
        ),
    ];
    for (name, title, label, scale, of) in others {
        let mut chart = charts::by_rate(scenario, title, label, None, &of);
        chart.name = name;
        chart.y.scale = scale;
        all.push((chart, Vec::new()));
    }
    // Empty charts are omitted, and instance-hours are shown only if GPU-hours are unknown.
    let has_gpu_hours = scenario
        .runs
        .iter()
        .any(|run| run.figures.gpu_hours.is_some());
    all.retain(|(chart, _)| {
        let repeats_gpu_hours = has_gpu_hours && chart.name == "instance_hours";
        !chart.is_empty() && !repeats_gpu_hours
    });
    all
}

/// Charts of one trace.
pub(super) fn of_trace(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
    thinning: &mut Thinning,
) -> Vec<Chart> {
    let mut all = Vec::new();
    let name = |mut chart: Chart, name: &'static str, title: &str| {
        chart.name = name;
        chart.title = format!("{title}, {trace}");
        chart
    };
    let cost = charts::cost_of_trace(scenario, trace);
    all.push(name(
        cost,
        "cost_vs_slo",
        "Cost against requests that missed the SLO",
    ));
    all.extend(distributions(scenario, trace, thinning));
    let load = charts::load(scenario, trace);
    all.push(name(load, "load", "Arrivals"));
    type Steps = fn(&Fleet) -> &Vec<(f64, f64)>;
    let over_time: [(&'static str, &str, &str, Steps); 4] = [
        ("instances", "Instances in service", "instances", |s| {
            &s.ready
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
            &s.pd_ratio
        }),
    ];
    for (id, title, label, steps) in over_time {
        let chart = charts::over_time(scenario, trace, label, &|run| {
            let steps = steps(run.figures.fleet.as_ref()?);
            steps.iter().any(|step| step.1 > 0.0).then(|| steps.clone())
        });
        all.push(name(chart, id, title));
    }
    all.retain(|chart| !chart.is_empty());
    all
}
