//! Cost against the requests that missed the SLO.

use super::{kept, spread};
use crate::report::render::chart::{Axis, Chart, Look, Marks, Panels, Scale, Series, Sign};
use crate::report::studies::compare::ScenarioGroup;
use crate::report::studies::compare::read::Figures;

/// Selects a figure of a run.
type Get = fn(&Figures) -> Option<f64>;

/// The measure of cost and its label: dollars if all runs have them, else GPU-hours, else instance-hours.
fn cost(scenario: &ScenarioGroup<'_>) -> (&'static str, Get) {
    let choices: [(&str, Get); 3] = [
        ("cost (dollars)", |figures| figures.dollars),
        ("GPU-hours", |figures| figures.gpu_hours),
        ("instance-hours", |figures| figures.instance_hours),
    ];
    let all = |of: &Get| scenario.runs.iter().all(|run| of(&run.figures).is_some());
    choices
        .into_iter()
        .find(|(_, of)| all(of))
        .unwrap_or(choices[2])
}

/// The Pareto front of points of cost and loss, by increasing cost: a point is on it unless another point is at least as good
/// in both.
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

/// Cost against missed requests on one trace.
pub(in crate::report::studies::compare) fn cost_of_trace(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
) -> Chart {
    let (label, cost) = cost(scenario);
    let styles = &scenario.comparison.styles;
    let mut series = Vec::new();
    let mut points = Vec::new();
    for policy in scenario.policies() {
        let paid = scenario.cell(policy, trace, cost);
        let violated = scenario.cell(policy, trace, |figures| figures.missed());
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
        y: Axis::new(&scenario.missed_label(), Scale::PercentUsed),
        categories: Vec::new(),
        series,
    }
}

/// Cost against missed requests, a panel for each of up to six traces.
pub(super) fn cost_vs_slo(scenario: &ScenarioGroup<'_>) -> Panels {
    let chart = |trace: &&str| cost_of_trace(scenario, trace);
    let charts: Vec<Chart> = spread(&scenario.traces(), 6).iter().map(chart).collect();
    Panels {
        name: "cost_vs_slo",
        title: "Cost against requests that missed the SLO".into(),
        columns: 3,
        charts: kept(charts),
    }
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
}
