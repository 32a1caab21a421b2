//! The charts of a comparison.

mod by_rate;
mod cost;
mod over_time;

use std::path::Path;

use super::ScenarioGroup;
use super::read::METRICS;
use crate::base::error::Result;
use crate::report::render::chart::{Chart, Panels};

pub(super) use by_rate::{by_rate, lines, scale};
pub(super) use cost::cost_of_trace;
pub use cost::pareto;
pub(super) use over_time::{first, load, over_time};

/// Maximum number of traces in charts over time.
const MOST_TRACES: usize = 3;

/// Returns all charts of a scenario; for a quick comparison only those that need no more than `summary.csv`.
pub fn all(scenario: &ScenarioGroup<'_>, quick: bool) -> Vec<Panels> {
    let mut panels: Vec<Panels> = (0..3)
        .map(|metric| by_rate::times(scenario, metric))
        .collect();
    if !quick {
        panels.extend((0..3).map(|metric| by_rate::slowdowns(scenario, metric)));
        panels.push(by_rate::metrics_grid(scenario));
        panels.push(by_rate::bars(scenario));
        panels.push(cost::cost_vs_slo(scenario));
        panels.push(over_time::pd_ratio(scenario));
        panels.push(over_time::instances(scenario));
        panels.push(over_time::events(scenario));
    }
    panels.retain(|panels| !panels.is_empty());
    panels
}

/// Writes charts into a folder.
///
/// # Errors
/// A file that cannot be written.
pub fn save(panels: &[Panels], folder: &Path) -> Result<()> {
    use rayon::prelude::*;
    panels.par_iter().try_for_each(|panels| panels.save(folder))
}

/// `3 traces, 2 seeds`
pub(super) fn counted(scenario: &ScenarioGroup<'_>) -> String {
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (traces, seeds) = (scenario.traces().len(), scenario.seeds().len());
    format!("{}, {}", many(traces, "trace"), many(seeds, "seed"))
}

/// Removes empty charts.
fn kept(charts: Vec<Chart>) -> Vec<Chart> {
    charts
        .into_iter()
        .filter(|chart| !chart.is_empty())
        .collect()
}

/// Selects at most `most` of the names: the first, the last, and others at even distances between them.
pub(super) fn spread<'a>(names: &[&'a str], most: usize) -> Vec<&'a str> {
    if names.len() <= most {
        return names.to_vec();
    }
    let last = names.len() - 1;
    (0..most).map(|n| names[n * last / (most - 1)]).collect()
}

/// Names of all charts, in order.
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
    fn traces_are_spread_with_both_ends() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(spread(&names, 3), ["a", "d", "g"]);
        assert_eq!(spread(&names[..2], 3), ["a", "b"]);
    }
}
