//! `report.html` of a comparison.

mod definitions;
mod distributions;
mod interactive;
mod tables;

use serde_json::json;

use super::charts::{counted, spread};
use super::pairs::Pair;
use super::text::answer;
use super::{ComparedRun, PolicyComparison, ScenarioGroup};
use crate::base::io::ShownPath;
use crate::report::render::chart::Chart;
use crate::report::render::html::{Page, Variant};
use crate::report::render::number::thousands;
pub(in crate::report::studies) use definitions::DEFINITIONS;
use distributions::Thinning;
use interactive::{by_rate, of_trace};
use tables::{overview, pair_table, runs};

/// Maximum number of scenarios with charts and tables of their own, so that a browser can show the page.
const MOST_SCENARIOS: usize = 12;

/// Maximum number of traces of a scenario with charts of their own.
const MOST_TRACES: usize = 12;

/// Builds the page of a comparison.
pub fn page(comparison: &PolicyComparison, pairs: &[Vec<Pair>], command: &str) -> Page {
    let scenarios = comparison.scenarios();
    let (mut variants, mut tables) = (Vec::new(), Vec::new());
    let mut thinning = Thinning::default();
    let shown = scenarios.iter().zip(pairs).take(MOST_SCENARIOS);
    for (scenario, pairs) in shown {
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
        if !comparison.reading.quick {
            for trace in spread(&scenario.traces(), MOST_TRACES) {
                for chart in of_trace(scenario, trace, &mut thinning) {
                    add(chart, vec![("trace", trace.to_owned())]);
                }
            }
        }
        tables.push(overview(scenario));
        if !pairs.is_empty() {
            tables.push(pair_table(scenario, pairs));
        }
    }
    tables.push(runs(comparison));
    let policies: Vec<&str> = scenarios.iter().flat_map(ScenarioGroup::policies).collect();
    let mut names = policies.clone();
    names.sort_unstable();
    names.dedup();
    let tiles = vec![
        (names.len().to_string(), "policies".to_owned()),
        (thousands(comparison.runs.len() as u64), "runs".to_owned()),
        (
            thousands(comparison.missing.len() as u64),
            "cells missing".to_owned(),
        ),
        (
            thousands(
                comparison
                    .runs
                    .iter()
                    .filter_map(|run| run.figures.arrived)
                    .sum(),
            ),
            "requests simulated".to_owned(),
        ),
    ];
    let mut notes = left_out(&scenarios);
    notes.extend(thinning.notes());
    notes.extend(
        comparison
            .skipped
            .iter()
            .map(|skipped| format!("Left out: {}", skipped.why)),
    );
    notes.extend(comparison.missing.iter().take(50).map(|missing| {
        format!(
            "Missing: {}; to make it: {}",
            missing.folder.display(),
            missing.command
        )
    }));
    let commands: Vec<&str> = comparison
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
    Page {
        title: "Autoscaling policies side by side".into(),
        lead,
        answer: answer(comparison),
        tiles,
        warning: "",
        tables,
        charts: Vec::new(),
        variants,
        notes,
        definitions: DEFINITIONS,
        configuration: json!({
            "results": ShownPath(&comparison.root),
            "reading": comparison.reading,
            "scenarios": scenarios.iter().map(ScenarioGroup::title).collect::<Vec<_>>(),
            "commands of runs": made,
            "configuration of a run": comparison.runs.first().and_then(configuration),
        }),
        command: command.into(),
    }
}

/// Notes on scenarios, traces and pairs that the page does not show.
fn left_out(scenarios: &[ScenarioGroup<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    if scenarios.len() > MOST_SCENARIOS {
        notes.push(format!(
            "Charts and tables of policies are those of the first {MOST_SCENARIOS} of {} scenarios; select others by trace, cluster, start state, scheduler or model. The answer and the table of runs cover all.",
            scenarios.len()
        ));
    }
    let most = scenarios.iter().map(|scenario| scenario.traces().len());
    if let Some(most) = most.max().filter(|most| *most > MOST_TRACES) {
        notes.push(format!(
            "Charts of single traces are those of {MOST_TRACES} of up to {most} traces; select others by trace."
        ));
    }
    let pairs: usize = scenarios.iter().map(super::pairs::left_out).sum();
    if pairs > 0 {
        notes.push(format!(
            "{} pairs of policies are not compared with each other, because they are too many; each policy is compared with the first. Select fewer policies to compare all.",
            thousands(pairs as u64)
        ));
    }
    notes
}

/// A run's effective configuration, from its folder.
fn configuration(run: &ComparedRun) -> Option<String> {
    crate::base::io::read_configuration_text(run.folder.join("config.toml")).ok()
}
