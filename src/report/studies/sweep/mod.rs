//! Sweeps over eviction policies, capacities and block sizes: the output of `sweep`.

mod journal;
mod page;

pub use journal::Journal;
pub(super) use page::read_page;

use std::path::Path;

use serde::Serialize;

use super::answer;
use crate::base::error::Result;
use crate::base::io::{StagedFolder, write_json};
use crate::base::table::{CsvFile, float};
use crate::cache::eviction::looks_ahead;
use crate::cache::sweep::Counts;
use crate::report::render::chart::{Axis, Chart, Grid, Marks, Scale, Series, color};
use crate::report::render::number::percent;
use crate::report::render::table::table;

/// One policy at one capacity and block size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepCell {
    /// Tokens per block.
    pub block_size: u32,
    /// Eviction policy.
    pub policy: String,
    /// Capacity as the user gave it.
    pub capacity: String,
    /// Capacity in blocks; `None` for an unbounded cache.
    pub capacity_blocks: Option<u32>,
    /// The counts of the replay.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Cells of one block size, with its policies and capacities in order.
struct Sheet<'a> {
    block_size: u32,
    policies: Vec<&'a str>,
    capacities: Vec<&'a str>,
    cells: Vec<&'a SweepCell>,
}

impl<'a> Sheet<'a> {
    fn all(cells: &'a [SweepCell]) -> Vec<Self> {
        let mut sheets: Vec<Self> = Vec::new();
        for cell in cells {
            let at = sheets.iter().position(|s| s.block_size == cell.block_size);
            let at = at.unwrap_or_else(|| {
                sheets.push(Self {
                    block_size: cell.block_size,
                    policies: Vec::new(),
                    capacities: Vec::new(),
                    cells: Vec::new(),
                });
                sheets.len() - 1
            });
            let sheet = &mut sheets[at];
            if !sheet.policies.contains(&&*cell.policy) {
                sheet.policies.push(&cell.policy);
            }
            if !sheet.capacities.contains(&&*cell.capacity) {
                sheet.capacities.push(&cell.capacity);
            }
            sheet.cells.push(cell);
        }
        sheets
    }

    fn get(&self, policy: &str, capacity: &str) -> Option<&'a SweepCell> {
        let matches = |cell: &&&SweepCell| cell.policy == policy && cell.capacity == capacity;
        self.cells.iter().find(matches).copied()
    }
}

/// The answer in a sentence.
fn answer(cells: &[SweepCell], engine: &str) -> String {
    let cells = cells.iter().map(|cell| answer::Swept {
        block_size: cell.block_size,
        policy: &cell.policy,
        offline: looks_ahead(&cell.policy),
        capacity: &cell.capacity,
        capacity_blocks: cell.capacity_blocks,
        ratio: cell.counts.token_hit_ratio,
    });
    answer::sweep(&cells.collect::<Vec<_>>(), engine)
}

/// Formats the tables for the terminal, with policies as rows and capacities as columns, and the answer.
pub fn text(cells: &[SweepCell], engine: &str) -> String {
    let sheet = |sheet: &Sheet<'_>| {
        let mut header = vec!["token hit ratio"];
        header.extend(&sheet.capacities);
        let rows: Vec<Vec<String>> = sheet
            .policies
            .iter()
            .map(|policy| {
                let ratio = |capacity: &&str| {
                    sheet
                        .get(policy, capacity)
                        .map_or(String::new(), |cell| percent(cell.counts.token_hit_ratio))
                };
                let mut row = vec![(*policy).to_owned()];
                row.extend(sheet.capacities.iter().map(ratio));
                row
            })
            .collect();
        format!(
            "engine {engine}, {} tokens a block\n{}\n",
            sheet.block_size,
            table(&header, &rows)
        )
    };
    let tables: Vec<String> = Sheet::all(cells).iter().map(sheet).collect();
    format!("{}\n{}", tables.join("\n"), answer(cells, engine))
}

/// The content of the folder that `sweep` writes.
pub struct SweepFiles<'a> {
    /// All cells, in order.
    pub cells: &'a [SweepCell],
    /// The engine whose rules apply.
    pub engine: &'a str,
    /// The trace.
    pub source: &'a str,
    /// All other settings.
    pub settings: serde_json::Value,
}

impl SweepFiles<'_> {
    /// As JSON.
    pub fn value(&self) -> serde_json::Value {
        serde_json::json!({"trace": self.source, "settings": self.settings, "version": crate::base::version::VERSION,
            "answer": answer(self.cells, self.engine), "cells": self.cells})
    }

    /// Writes `sweep.json`, `sweep.csv`, and for each block size a heat map and a line chart.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let begun = StagedFolder::begin(folder)?;
        let folder = begun.path();
        self.csv(&folder.join("sweep.csv"))?;
        for sheet in Sheet::all(self.cells) {
            grid(&sheet).save(folder, &format!("heatmap_{}", sheet.block_size))?;
            let name = format!("lines_{}", sheet.block_size);
            lines(&sheet).save_as(folder, &name)?;
        }
        write_json(folder.join("sweep.json"), &self.value())?;
        begun.finish(&["sweep.json"])
    }

    fn csv(&self, path: &Path) -> Result<()> {
        let mut csv = CsvFile::create(
            path,
            &[
                "block_size",
                "policy",
                "capacity",
                "capacity_blocks",
                "block_hit_ratio",
                "token_hit_ratio",
                "mean_request_hit_ratio",
                "evictions",
                "rejected",
                "waiting",
                "preemptions",
                "hit_gap_seconds",
                "steps",
            ],
        )?;
        let optional = |value: Option<f64>| value.map_or(String::new(), float);
        for cell in self.cells {
            let counts = &cell.counts;
            csv.row([
                cell.block_size.to_string(),
                cell.policy.clone(),
                cell.capacity.clone(),
                cell.capacity_blocks
                    .map_or(String::new(), |blocks| blocks.to_string()),
                float(counts.block_hit_ratio),
                float(counts.token_hit_ratio),
                float(counts.mean_request_hit_ratio),
                counts.evictions.to_string(),
                counts.rejected.to_string(),
                counts.waiting.to_string(),
                counts.preemptions.to_string(),
                optional(counts.hit_gap_seconds),
                counts
                    .steps
                    .map_or(String::new(), |steps| steps.to_string()),
            ])?;
        }
        csv.finish()
    }
}

fn grid(sheet: &Sheet<'_>) -> Grid {
    let row = |policy: &&str| {
        let ratio = |capacity: &&str| Some(sheet.get(policy, capacity)?.counts.token_hit_ratio);
        sheet.capacities.iter().map(ratio).collect()
    };
    Grid {
        title: format!("Token hit ratio (%), {} tokens a block", sheet.block_size),
        x_label: "capacity".into(),
        rows: sheet
            .policies
            .iter()
            .map(|policy| (*policy).to_owned())
            .collect(),
        columns: sheet.capacities.iter().map(|c| (*c).to_owned()).collect(),
        values: sheet.policies.iter().map(row).collect(),
    }
}

/// Maximum number of distinguishable lines in a chart.
const MOST_LINES: usize = 8;

/// Policies in the chart: the bound, LRU, and those with the best hit ratios, in the order of the table. Of policies with equal
/// hit ratios only the first in the registry is drawn.
fn drawn<'a>(sheet: &Sheet<'a>) -> Vec<&'a str> {
    let total = |policy: &str| {
        let cells = sheet.cells.iter().filter(|cell| cell.policy == policy);
        cells.map(|cell| cell.counts.token_hit_ratio).sum::<f64>()
    };
    let first = |policy: &str| u8::from(!matches!(policy, "belady" | "lru"));
    let mut ranked = sheet.policies.clone();
    // One bound is enough.
    ranked.retain(|policy| *policy != "belady-leaf" || !sheet.policies.contains(&"belady"));
    ranked.sort_by(|a, b| first(a).cmp(&first(b)).then(total(b).total_cmp(&total(a))));
    let line = |policy: &str| {
        let cells = sheet.cells.iter().filter(|cell| cell.policy == policy);
        cells.map(|cell| cell.counts.token_hit_ratio).collect()
    };
    let mut seen: Vec<Vec<f64>> = Vec::new();
    ranked.retain(|policy| {
        let line = line(policy);
        let fresh = !seen.contains(&line);
        seen.push(line);
        fresh
    });
    ranked.truncate(MOST_LINES);
    let kept = |policy: &&str| ranked.contains(policy);
    sheet.policies.iter().copied().filter(kept).collect()
}

fn lines(sheet: &Sheet<'_>) -> Chart {
    let drawn = drawn(sheet);
    let series = drawn.iter().enumerate().map(|(number, policy)| {
        let cells = sheet.cells.iter().filter(|cell| cell.policy == **policy);
        let point = |cell: &&SweepCell| {
            let tokens = f64::from(cell.capacity_blocks?) * f64::from(cell.block_size);
            Some((tokens, cell.counts.token_hit_ratio))
        };
        let mut points: Vec<_> = cells.filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (color, dashed) = color(number);
        Series {
            name: (*policy).to_owned(),
            color,
            dashed,
            marks: Marks::Line(points),
        }
    });
    let which = if drawn.len() < sheet.policies.len() {
        format!(", best {} of {}", drawn.len(), sheet.policies.len())
    } else {
        String::new()
    };
    Chart {
        name: "lines",
        title: format!(
            "Hit ratio by policy, {} tokens a block{which}",
            sheet.block_size
        ),
        x: Axis::new("capacity (tokens)", Scale::Log),
        y: Axis::new("token hit ratio", Scale::PercentUsed),
        categories: Vec::new(),
        series: series.collect(),
    }
}
