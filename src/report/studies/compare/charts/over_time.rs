//! Load, instances and changes over time.

use super::by_rate::policy_bars;
use super::{MOST_TRACES, kept, spread};
use crate::metrics::serving::{ScalingFigures, Steps};
use crate::report::render::chart::{Axis, Chart, Look, Marks, Panels, Scale, Series};
use crate::report::studies::compare::read::Figures;
use crate::report::studies::compare::{ComparedRun, ScenarioGroup};

/// Maximum number of points of a line over time; more cannot be distinguished.
const MOST_STEPS: usize = 600;

/// The first seed's run of a policy on a trace.
pub(in crate::report::studies::compare) fn first<'a>(
    scenario: &ScenarioGroup<'a>,
    policy: &str,
    trace: &str,
) -> Option<&'a ComparedRun> {
    scenario
        .of_policy(policy)
        .find(|run| run.key.trace == trace)
}

/// A stepped line over time for each policy.
pub(in crate::report::studies::compare) fn over_time(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
    label: &str,
    steps: &dyn Fn(&ComparedRun) -> Option<Steps>,
) -> Chart {
    let styles = &scenario.comparison.styles;
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

/// Thins steps to the lowest and the highest of each interval, so that every peak remains.
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

fn seed_note(scenario: &ScenarioGroup<'_>) -> String {
    match scenario.seeds().as_slice() {
        [] | [_] => String::new(),
        [first, ..] => format!(" (seed {first})"),
    }
}

/// Number of ready prefill instances per ready decode instance.
pub(super) fn pd_ratio(scenario: &ScenarioGroup<'_>) -> Panels {
    let chart = |trace: &&str| {
        over_time(
            scenario,
            trace,
            "prefill / decode instances in service",
            &|run| Some(run.figures.fleet.as_ref()?.pd_ratio.clone()),
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

/// The arrival rate above the ready instances, one column per trace.
pub(super) fn instances(scenario: &ScenarioGroup<'_>) -> Panels {
    let traces: Vec<&str> = spread(&scenario.traces(), MOST_TRACES);
    let mut rows: [Vec<Chart>; 4] = Default::default();
    for trace in &traces {
        let all = over_time(scenario, trace, "instances in service", &|run| {
            Some(run.figures.fleet.as_ref()?.ready.clone())
        });
        if all.is_empty() {
            continue;
        }
        let some = |steps: &Steps| steps.iter().any(|step| step.1 > 0.0);
        rows[0].push(load(scenario, trace));
        rows[1].push(over_time(scenario, trace, "prefill instances", &|run| {
            let fleet = run.figures.fleet.as_ref()?;
            some(&fleet.prefill).then(|| fleet.prefill.clone())
        }));
        rows[2].push(over_time(scenario, trace, "decode instances", &|run| {
            let fleet = run.figures.fleet.as_ref()?;
            some(&fleet.decode).then(|| fleet.decode.clone())
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
    Panels {
        name: "instances_over_time",
        title: format!("Load and instances over time{}", seed_note(scenario)),
        columns,
        charts: rows.into_iter().filter(full).flatten().collect(),
    }
}

/// Arrivals per second in bins of equal length.
pub(in crate::report::studies::compare) fn load(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
) -> Chart {
    let of_trace = || scenario.runs.iter().filter(|run| run.key.trace == trace);
    let known = of_trace().find(|run| !run.figures.load.is_empty());
    let mut series = Vec::new();
    if let Some(run) = known {
        let mut steps = run.figures.load.clone();
        let last = steps.last().map_or(0.0, |step| step.0);
        // The time axis has the same end as that of the instances below.
        let ends = of_trace().filter_map(|run| Some(run.figures.fleet.as_ref()?.end));
        steps.push((ends.fold(last, f64::max), 0.0));
        series.push(Series {
            name: "arrivals".into(),
            color: "#1F1F1F",
            dashed: false,
            marks: Marks::Step(steps),
        });
    }
    Chart {
        name: "panel",
        title: trace.to_owned(),
        x: Axis::new("time (s)", Scale::Linear),
        y: Axis::new("arrivals (1/s)", Scale::Linear),
        categories: Vec::new(),
        series,
    }
}

/// Numbers of scaling events and flaps, and changes over time.
pub(super) fn events(scenario: &ScenarioGroup<'_>) -> Panels {
    let count = |of: fn(&ScalingFigures) -> u64, title: &str| {
        let of = |figures: &Figures| Some(of(figures.scaling.as_ref()?) as f64);
        policy_bars(scenario, title, "events a run", &of)
    };
    let mut charts = kept(vec![
        count(
            |scaling| scaling.changes.scale_out + scaling.changes.rebalance,
            "Scale-out events",
        ),
        count(
            |scaling| scaling.changes.scale_in + scaling.changes.rebalance,
            "Scale-in events",
        ),
        count(
            |scaling| scaling.changes.flaps,
            "Flaps (turns within 300 s)",
        ),
    ]);
    let traces = spread(&scenario.traces(), MOST_TRACES);
    let so_far = traces.iter().map(|trace| {
        over_time(
            scenario,
            trace,
            "instances started and drained so far",
            &|run| Some(run.figures.changes.clone()),
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
#[cfg(test)]
mod tests {
    use crate::report::studies::compare::charts::over_time::*;

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
