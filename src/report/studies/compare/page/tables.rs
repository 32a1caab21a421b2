//! Tables of a page: policies, policies against each other, and every run.

use crate::report::render::html::{Cell, Table};
use crate::report::render::number::percent;
use crate::report::studies::compare::charts::counted;
use crate::report::studies::compare::pairs::Pair;
use crate::report::studies::compare::{ComparedRun, PolicyComparison, ScenarioGroup, text};

/// The table of the terminal output: one row per policy.
pub(super) fn overview(scenario: &ScenarioGroup<'_>) -> Table {
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

/// One row per pair of policies.
pub(super) fn pair_table(scenario: &ScenarioGroup<'_>, pairs: &[Pair]) -> Table {
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

/// Maximum number of rows in the table of runs.
const MOST_RUNS: usize = 2000;

/// One row per run.
pub(super) fn runs(comparison: &PolicyComparison) -> Table {
    let number = |value: Option<f64>, digits: usize| Cell {
        text: value.map_or("-".into(), |value| format!("{value:.digits$}")),
        value,
    };
    let row = |run: &ComparedRun| {
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
            number(f.missed().map(|rate| rate * 100.0), 2),
            number(f.gpu_hours, 3),
            number(f.dollars, 2),
            number(f.scaling.as_ref().map(|s| s.scaling_events as f64), 0),
            number(f.scaling.as_ref().and_then(|s| s.pd_ratio_mean), 2),
            number(f.arrived.map(|n| n as f64), 0),
        ]
    };
    let shown = comparison.runs.len().min(MOST_RUNS);
    let of = match comparison.runs.len() {
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
            "missed SLO (%)",
            "GPU-hours",
            "cost ($)",
            "scaling events",
            "P/D mean",
            "requests",
        ]
        .map(Into::into)
        .to_vec(),
        rows: comparison.runs.iter().take(shown).map(row).collect(),
    }
}
