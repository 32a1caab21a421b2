//! Which results a folder holds, and the page of them.

use std::path::Path;

use serde_json::Value;

use super::json_file::{commands, number_cell, read};
use super::{curve, sharing, sweep};
use crate::base::error::{Error, Location, Result};
use crate::base::table::Columns;
use crate::report::render::chart::{Axis, Chart, Marks, Scale, Series, color, cumulative};
use crate::report::render::html::{Cell, Page, Table};
use crate::report::render::number::{percent, thousands};
use crate::report::studies::sharing::page as sharing_page;

/// The command whose results a folder holds, as far as `report` knows a page for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// Of `sweep --output-dir`.
    Sweep,
    /// Of `curve --output-dir`.
    Curve,
    /// Of `experiment`.
    Experiment,
    /// Of `analyze --output-dir`.
    Analysis,
    /// Anything else; `simulate --results` writes runs in folders below.
    Other,
}

impl ResultKind {
    /// Detects the kind by the names of files.
    pub fn of(folder: &Path) -> Self {
        let has = |name: &str| folder.join(name).is_file();
        if has("sweep.json") {
            Self::Sweep
        } else if has("curve.json") {
            Self::Curve
        } else if has("multi_turn_request_metrics.csv") {
            Self::Experiment
        } else if has("requests.csv") && has("summary.json") {
            Self::Analysis
        } else {
            Self::Other
        }
    }

    /// Makes the page of a folder.
    ///
    /// # Errors
    /// Files that are not what they should be.
    pub fn page(self, folder: &Path, command: &str) -> Result<Page> {
        match self {
            Self::Sweep => sweep::read_page(folder, command),
            Self::Curve => curve::read_page(folder, command),
            Self::Experiment => experiment(
                folder,
                &[
                    (
                        "single-turn",
                        "single_turn_request_metrics.csv",
                        "single_turn_block_metrics.csv",
                    ),
                    (
                        "multi-turn",
                        "multi_turn_request_metrics.csv",
                        "multi_turn_block_metrics.csv",
                    ),
                ],
                command,
            ),
            Self::Analysis => sharing::read_page(folder),
            Self::Other => Err(Error::input(
                Location::file(folder),
                "holds no results that `report` has a page for",
                "give a folder that `experiment`, `analyze`, `sweep` or `curve` wrote with --output-dir, or that `simulate` wrote with --results",
            )),
        }
    }
}

/// Sharing of one trace or of several, from the files of requests and blocks.
fn experiment(folder: &Path, parts: &[(&'static str, &str, &str)], command: &str) -> Result<Page> {
    let summary = read(&folder.join("summary.json"))?;
    let (mut fractions, mut hits, mut turns, mut gaps) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut tiles, mut most) = (Vec::new(), 0);
    let mut read_parts = Vec::new();
    for (name, requests, blocks) in parts {
        let wanted: &[&[&str]] = &[
            &["sharing_fraction"],
            &["total_tokens"],
            &["shared_tokens"],
            &["turn"],
        ];
        let requests = Columns::read(&folder.join(requests), wanted)?;
        let blocks = Columns::read(&folder.join(blocks), &[&["hit_count"], &["avg_reuse_gap"]])?;
        read_parts.push((*name, requests, blocks));
    }
    let longest = |requests: &Columns| {
        requests
            .numbers(3)
            .iter()
            .copied()
            .filter(|t| t.is_finite())
            .fold(0.0, f64::max)
    };
    let last_turn = read_parts
        .iter()
        .map(|(_, requests, _)| longest(requests))
        .fold(0.0, f64::max);
    let last_turn = (last_turn as usize).min(MOST_TURNS);
    for (number, (name, requests, blocks)) in read_parts.iter().enumerate() {
        let (color, dashed) = color(number);
        let series = |marks| Series {
            name: (*name).to_owned(),
            color,
            dashed,
            marks,
        };
        let once = |values: &[f64]| cumulative(values.iter().map(|value| (*value, 1)).collect());
        most = most.max(requests.rows).max(blocks.rows);
        fractions.push(series(Marks::Step(once(requests.numbers(0)))));
        hits.push(series(Marks::Step(once(blocks.numbers(0)))));
        let again: Vec<f64> = blocks
            .numbers(1)
            .iter()
            .copied()
            .filter(|gap| *gap > 0.0)
            .collect();
        gaps.push(series(Marks::Step(once(&again))));
        let ratio = |turn: usize| {
            let of = (0..requests.rows).filter(|row| requests.number(3, *row) == turn as f64);
            let (all, shared) = of.fold((0.0, 0.0), |(all, shared), row| {
                (
                    all + requests.number(1, row),
                    shared + requests.number(2, row),
                )
            });
            (all > 0.0).then(|| shared / all)
        };
        // Turns are counted from one or from nought, as the trace has it.
        turns.push(series(Marks::Bars((0..=last_turn).map(ratio).collect())));
        let (all, shared): (f64, f64) = (
            requests.numbers(1).iter().sum(),
            requests.numbers(2).iter().sum(),
        );
        tiles.push((thousands(requests.rows as u64), format!("requests, {name}")));
        tiles.push((
            percent(shared / all.max(1.0)),
            format!("token hit ratio, {name}"),
        ));
    }
    let chart = |name, title: &str, x: Axis, y: &str, series| Chart {
        name,
        title: title.into(),
        x,
        y: Axis::new(y, Scale::Percent),
        categories: Vec::new(),
        series,
    };
    let charts = vec![
        chart(
            "sharing_fraction_cdf",
            "How much of each prompt was already cached",
            Axis::new("sharing fraction of the request", Scale::Percent),
            "share of requests",
            fractions,
        ),
        chart(
            "block_hit_cdf",
            "How often each block was used",
            Axis::new("accesses of the block", Scale::Log),
            "share of blocks",
            hits,
        ),
        chart(
            "mean_gap_cdf",
            "Time between uses of a block, mean of each",
            Axis::new("seconds of trace time", Scale::Log),
            "share of reused blocks",
            gaps,
        ),
        Chart {
            categories: (0..=last_turn).map(|turn| turn.to_string()).collect(),
            ..chart(
                "sharing_by_turn",
                "Prompt tokens found in the cache, by turn",
                Axis::new("turn of the conversation", Scale::Linear),
                "token hit ratio",
                turns,
            )
        },
    ];
    let mut rows = Vec::new();
    leaves(&summary, "", &mut rows);
    Ok(Page {
        title: "Prefix sharing".into(),
        lead: folder.display().to_string(),
        tiles,
        warning: rows
            .iter()
            .find(|(name, _)| name.ends_with("settings.engine"))
            .map_or("", |(_, engine)| {
                sharing_page::warning(engine.as_str().unwrap_or_default())
            }),
        tables: vec![Table {
            caption: "Figures of summary.json".into(),
            header: vec!["figure".into(), "value".into()],
            rows: rows
                .iter()
                .filter(|(_, value)| value.is_number())
                .map(|(name, value)| vec![Cell::from(name.as_str()), number_cell(value)])
                .collect(),
        }],
        charts,
        variants: Vec::new(),
        notes: vec![format!(
            "Curves keep up to a thousand points each of up to {} values, evenly over the shares, with both ends.",
            thousands(most as u64)
        )],
        definitions: sharing_page::DEFINITIONS,
        command: commands(&summary, command),
        configuration: summary
            .get("settings")
            .or_else(|| summary.pointer("/multi_turn/settings"))
            .cloned()
            .unwrap_or_default(),
    })
}

/// Turns that are shown.
const MOST_TURNS: usize = 20;

/// All values of a tree that have none below them, with their paths; lists are left out.
fn leaves(value: &Value, path: &str, rows: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(value, &path, rows);
            }
        }
        Value::Array(_) | Value::Null => {}
        leaf => rows.push((path.to_owned(), leaf.clone())),
    }
}
