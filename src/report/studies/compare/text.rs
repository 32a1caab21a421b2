//! A comparison as text and as JSON.

use serde_json::{Value, json};

use super::pairs::{self, Pair};
use super::read::{Figures, METRICS, PERCENTILES};
use super::{PolicyComparison, ScenarioGroup};
use crate::base::io::ShownPath;
use crate::report::render::number::{percent, seconds};
use crate::report::render::table::table;
use crate::report::studies::answer::{self, Candidate};

/// A column of the table; lower values are better in all columns.
struct Column {
    name: &'static str,
    of: fn(&Figures) -> Option<f64>,
    show: fn(f64) -> String,
}

const COLUMNS: [Column; 8] = [
    Column {
        name: "TTFT P90",
        of: |f| f.times[0][1],
        show: seconds,
    },
    Column {
        name: "TBT P90",
        of: |f| f.times[1][1],
        show: seconds,
    },
    Column {
        name: "E2E P90",
        of: |f| f.times[2][1],
        show: seconds,
    },
    Column {
        name: "missed SLO",
        of: Figures::missed,
        show: percent,
    },
    Column {
        name: "GPU-hours",
        of: |f| f.gpu_hours,
        show: |hours| format!("{hours:.2}"),
    },
    Column {
        name: "cost",
        of: |f| f.dollars,
        show: |dollars| format!("${dollars:.2}"),
    },
    Column {
        name: "scaling events",
        of: |f| Some(f.scaling.as_ref()?.scaling_events as f64),
        show: |events| format!("{events:.1}"),
    },
    Column {
        name: "P/D variance",
        of: |f| f.scaling.as_ref()?.pd_ratio_variance,
        show: |variance| format!("{variance:.3}"),
    },
];

/// A cell's text and its value.
pub type Shown = (String, Option<f64>);

/// Header and rows, each cell with its value; the best value of a column is marked with `*`.
pub fn rows(scenario: &ScenarioGroup<'_>) -> (Vec<String>, Vec<Vec<Shown>>) {
    let policies = scenario.policies();
    let mut header = vec!["policy".to_owned(), "runs".to_owned()];
    let all = scenario.traces().len() * scenario.seeds().len();
    let mut rows: Vec<Vec<Shown>> = policies
        .iter()
        .map(|policy| {
            let runs = scenario.of_policy(policy).count();
            vec![
                ((*policy).to_owned(), None),
                (format!("{runs}/{all}"), Some(runs as f64)),
            ]
        })
        .collect();
    for column in &COLUMNS {
        let values: Vec<Option<f64>> = policies
            .iter()
            .map(|policy| scenario.mean(policy, column.of))
            .collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        header.push(column.name.to_owned());
        let shown: Vec<String> = values
            .iter()
            .map(|v| v.map_or("-".into(), column.show))
            .collect();
        let least = values
            .iter()
            .flatten()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let best = values.iter().position(|value| *value == Some(least));
        // No cell is marked if all have the same text; all cells with the same text as the best one are marked.
        let tie = shown.iter().all(|text| *text == shown[0]);
        for ((row, value), text) in rows.iter_mut().zip(&values).zip(&shown) {
            let mark = if !tie && best.is_some_and(|best| *text == shown[best]) {
                " *"
            } else {
                ""
            };
            row.push((format!("{text}{mark}"), *value));
        }
    }
    (header, rows)
}

/// The answer, one sentence for each scenario. Policies with missing runs are omitted, because their means would be over other
/// traces and seeds.
pub fn answer(comparison: &PolicyComparison) -> String {
    let scenarios = comparison.scenarios();
    let one = |scenario: &ScenarioGroup<'_>| {
        let all = scenario.traces().len() * scenario.seeds().len();
        let policies = scenario.policies();
        let whole = policies
            .iter()
            .filter(|policy| scenario.of_policy(policy).count() == all);
        let candidates: Vec<Candidate<'_>> = whole
            .map(|policy| Candidate {
                name: policy,
                attainment: scenario.mean(policy, |figures| figures.attainment),
                dollars: scenario.mean(policy, |figures| figures.dollars),
                gpu_hours: scenario.mean(policy, |figures| figures.gpu_hours),
            })
            .collect();
        let text = answer::comparison(&candidates, policies.len() - candidates.len());
        match scenarios.len() {
            1 => text,
            _ => format!("{}: {text}", scenario.title()),
        }
    };
    scenarios.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The text for the terminal: a table and findings for each scenario.
pub fn text(comparison: &PolicyComparison, pairs: &[Vec<Pair>]) -> String {
    let mut out = Vec::new();
    for (scenario, pairs) in comparison.scenarios().into_iter().zip(pairs) {
        let (header, rows) = rows(&scenario);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let aligned = |cell: String| match cell.strip_suffix(" *") {
            Some(best) => format!("{best} *"),
            None => format!("{cell}  "),
        };
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| {
                let cells = row.into_iter().enumerate();
                cells
                    .map(|(n, (text, _))| if n < 2 { text } else { aligned(text) })
                    .collect()
            })
            .collect();
        out.push(format!(
            "{}: {}\n{}\n{}",
            scenario.title(),
            super::charts::counted(&scenario),
            table(&header, &rows),
            note(&scenario)
        ));
        if !pairs.is_empty() {
            out.push(pairs::text(&scenario, pairs));
        }
    }
    out.push(answer(comparison));
    out.join("\n\n")
}

/// The line below a table that defines its columns.
fn note(scenario: &ScenarioGroup<'_>) -> String {
    let missed = match scenario
        .runs
        .iter()
        .any(|run| run.figures.attainment.is_some())
    {
        true => format!("; missed SLO: {}", scenario.missed_label()),
        false => String::new(),
    };
    format!("means over traces of means over seeds; * is the best of its column{missed}")
}

/// The comparison as JSON.
pub fn json(comparison: &PolicyComparison, pairs: &[Vec<Pair>], command: &str) -> Value {
    let scenario = |(scenario, pairs): (&ScenarioGroup<'_>, &Vec<Pair>)| {
        let policy = |policy: &&str| {
            let mean = |of: fn(&Figures) -> Option<f64>| scenario.mean(policy, of);
            let mut value = json!({
                "policy": policy,
                "runs": scenario.of_policy(policy).count(),
                "attainment": mean(|f| f.attainment),
                "requests_per_second": mean(|f| f.requests_per_second),
                "goodput": mean(|f| f.goodput),
                "instance_hours": mean(|f| f.instance_hours),
                "gpu_hours": mean(|f| f.gpu_hours),
                "dollars": mean(|f| f.dollars),
                "scaling_events": mean(|f| Some(f.scaling.as_ref()?.scaling_events as f64)),
                "flaps": mean(|f| Some(f.scaling.as_ref()?.changes.flaps as f64)),
                "most_instances": mean(|f| Some(f.scaling.as_ref()?.most_instances as f64)),
                "pd_ratio_mean": mean(|f| f.scaling.as_ref()?.pd_ratio_mean),
                "pd_ratio_variance": mean(|f| f.scaling.as_ref()?.pd_ratio_variance),
            });
            for (metric, name) in METRICS.iter().enumerate() {
                for (place, percentile) in PERCENTILES.iter().enumerate() {
                    let times = scenario.mean(policy, |f| f.times[metric][place]);
                    let slow = scenario.mean(policy, |f| f.slowdowns[metric][place]);
                    value[format!("{name}_times_p{percentile}")] = json!(times);
                    value[format!("{name}_slowdown_p{percentile}")] = json!(slow);
                }
            }
            value
        };
        json!({
            "label": scenario.label,
            "title": scenario.title(),
            "slo": scenario.slo(),
            "policies_with_equal_seeds": scenario.policies_without_chance(),
            "traces": scenario.traces(),
            "seeds": scenario.seeds(),
            "policies": scenario.policies().iter().map(policy).collect::<Vec<_>>(),
            "pairs": pairs,
        })
    };
    let scenarios = comparison.scenarios();
    json!({
        "version": crate::base::version::VERSION,
        "command": command,
        "results": ShownPath(&comparison.root),
        "reading": comparison.reading,
        "scenarios": scenarios.iter().zip(pairs).map(scenario).collect::<Vec<_>>(),
        "runs": comparison.runs,
        "missing": comparison.missing,
        "skipped": comparison.skipped,
        "answer": answer(comparison),
    })
}
