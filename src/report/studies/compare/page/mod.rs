//! `report.html` of a comparison.

mod definitions;
mod distributions;
mod interactive;
mod tables;

use serde_json::json;

use super::charts::counted;
use super::pairs::Pair;
use super::text::answer;
use super::{ComparedRun, PolicyComparison, ScenarioGroup};
use crate::base::error::Result;
use crate::base::io::ShownPath;
use crate::report::render::chart::Chart;
use crate::report::render::html::{Page, Variant};
use crate::report::render::number::thousands;
use definitions::DEFINITIONS;
use distributions::Thinning;
use interactive::{by_rate, of_trace};
use tables::{overview, pair_table, runs};

/// Builds the page of a comparison.
///
/// # Errors
/// A file that cannot be read.
pub fn page(comparison: &PolicyComparison, pairs: &[Vec<Pair>], command: &str) -> Result<Page> {
    let scenarios = comparison.scenarios();
    let (mut variants, mut tables) = (Vec::new(), Vec::new());
    let mut thinning = Thinning::new(&scenarios, comparison.reading.quick);
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
        if !comparison.reading.quick {
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
    let mut notes = thinning.notes();
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
    Ok(Page {
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
    })
}

/// A run's effective configuration, from its folder.
fn configuration(run: &ComparedRun) -> Option<String> {
    crate::base::io::read_configuration_text(run.folder.join("config.toml")).ok()
}
