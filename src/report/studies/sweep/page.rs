//! The page of a sweep.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::report::render::chart::{Axis, Chart, Marks, Scale, Series, color};
use crate::report::render::html::{Cell, Page, Table, Variant};
use crate::report::studies::json_file::{
    answer, commands, distinct, entry, number_cell, ratio_cell, read, shown,
};
use crate::report::studies::sharing::page::DEFINITIONS;

/// Builds the page of a folder that `sweep` wrote: hit ratios by policy and capacity, for each block size.
///
/// # Errors
/// A `sweep.json` that cannot be read.
pub(in crate::report::studies) fn read_page(folder: &Path, command: &str) -> Result<Page> {
    let path = folder.join("sweep.json");
    let value = read(&path)?;
    let cells = entry(&value, "cells", &path)?;
    let (policies, sizes) = (distinct(cells, "policy"), distinct(cells, "block_size"));
    let mut variants = Vec::new();
    let ratios = [
        ("token_hit_ratio", "token hit ratio"),
        ("block_hit_ratio", "block hit ratio"),
        ("mean_request_hit_ratio", "mean request hit ratio"),
    ];
    for size in &sizes {
        for (key, label) in ratios {
            let line = |(number, policy): (usize, &String)| {
                let own = cells
                    .iter()
                    .filter(|c| shown(&c["policy"]) == *policy && shown(&c["block_size"]) == *size);
                let point = |cell: &Value| {
                    let tokens = cell["capacity_blocks"].as_f64()? * cell["block_size"].as_f64()?;
                    Some((tokens, cell[key].as_f64()?))
                };
                let mut points: Vec<(f64, f64)> = own.filter_map(point).collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let (color, dashed) = color(number);
                Series {
                    name: policy.clone(),
                    color,
                    dashed,
                    marks: Marks::Line(points),
                }
            };
            variants.push(Variant {
                chart: Chart {
                    name: "hit_ratio",
                    title: format!("Hit ratio by policy, {size} tokens a block"),
                    x: Axis::new("capacity (tokens)", Scale::Log),
                    y: Axis::new(label, Scale::PercentUsed),
                    categories: Vec::new(),
                    series: policies.iter().enumerate().map(line).collect(),
                },
                choices: vec![("ratio", label.to_owned()), ("block size", size.clone())],
            });
        }
    }
    // The last choice is selected first: the token hit ratio.
    variants.reverse();
    let row = |cell: &Value| {
        vec![
            Cell::from(shown(&cell["policy"]).as_str()),
            number_cell(&cell["block_size"]),
            Cell {
                text: shown(&cell["capacity"]),
                value: cell["capacity_blocks"].as_f64().or(Some(f64::MAX)),
            },
            ratio_cell(&cell["token_hit_ratio"]),
            ratio_cell(&cell["block_hit_ratio"]),
            ratio_cell(&cell["mean_request_hit_ratio"]),
            number_cell(&cell["evictions"]),
        ]
    };
    Ok(Page {
        title: "Eviction policies and capacities".into(),
        lead: shown(&value["trace"]),
        answer: answer(&value),
        tiles: vec![
            (policies.len().to_string(), "policies".into()),
            (sizes.len().to_string(), "block sizes".into()),
            (cells.len().to_string(), "cells".into()),
        ],
        warning: "",
        tables: vec![Table {
            caption: "All cells".into(),
            header: [
                "policy",
                "tokens a block",
                "capacity",
                "token hit ratio",
                "block hit ratio",
                "mean request hit ratio",
                "evictions",
            ]
            .map(Into::into)
            .to_vec(),
            rows: cells.iter().map(row).collect(),
        }],
        charts: Vec::new(),
        variants,
        notes: Vec::new(),
        definitions: DEFINITIONS,
        command: commands(&value["settings"], command),
        configuration: json!({"trace": value["trace"], "settings": value["settings"], "version": value["version"]}),
    })
}
