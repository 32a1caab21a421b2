//! The page of hit-ratio curves.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::report::render::chart::{Axis, Chart, Marks, Scale, Series, color};
use crate::report::render::html::{Cell, Page, Table};
use crate::report::render::number::{bytes, thousands};
use crate::report::studies::json_file::{
    answer, commands, entry, number_cell, ratio_cell, read, shown,
};
use crate::report::studies::sharing::page::DEFINITIONS;

/// Builds the page of a folder that `curve` wrote: hit ratios by cache size.
///
/// # Errors
/// A `curve.json` that cannot be read.
pub(in crate::report::studies) fn read_page(folder: &Path, command: &str) -> Result<Page> {
    let path = folder.join("curve.json");
    let value = read(&path)?;
    let studies = entry(&value, "curves", &path)?;
    let mut charts = Vec::new();
    let ratios = [
        ("curve", "token_hit_ratio", "Token hit ratio"),
        ("curve_blocks", "block_hit_ratio", "Block hit ratio"),
        (
            "curve_requests",
            "mean_request_hit_ratio",
            "Mean request hit ratio",
        ),
    ];
    for (name, key, label) in ratios {
        let line = |(number, study): (usize, &Value)| {
            let points = study["points"]
                .as_array()
                .map_or([].as_slice(), Vec::as_slice);
            let point = |row: &Value| Some((row["capacity_tokens"].as_f64()?, row[key].as_f64()?));
            let (color, dashed) = color(number);
            Series {
                name: format!("{} tokens a block", study["block_size"]),
                color,
                dashed,
                marks: Marks::Line(
                    points
                        .iter()
                        .filter_map(point)
                        .filter(|p| p.0 > 0.0)
                        .collect(),
                ),
            }
        };
        charts.push(Chart {
            name,
            title: format!("{label} by cache size"),
            x: Axis::new("cache size (tokens)", Scale::Log),
            y: Axis::new(&label.to_lowercase(), Scale::PercentUsed),
            categories: Vec::new(),
            series: studies.iter().enumerate().map(line).collect(),
        });
    }
    charts.retain(|chart| !chart.is_empty());
    let rows = |study: &Value| {
        let size = study["block_size"].clone();
        let targets = study["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| {
            vec![
                number_cell(&size),
                ratio_cell(&target["part_of_best"]),
                ratio_cell(&target["hit_ratio"]),
                number_cell(&target["capacity_blocks"]),
                size_cell(&target["capacity_gib"]),
            ]
        })
    };
    Ok(Page {
        title: "Hit ratio by cache size".into(),
        lead: shown(&value["trace"]),
        answer: answer(&value),
        tiles: studies
            .iter()
            .filter_map(|study| {
                let knee = study["knee_blocks"].as_u64()?;
                Some((
                    thousands(knee),
                    format!("blocks at the knee, {} tokens a block", study["block_size"]),
                ))
            })
            .collect(),
        warning: "",
        tables: vec![Table {
            caption: "Cache size for a fraction of the best hit ratio".into(),
            header: [
                "tokens a block",
                "of the best ratio",
                "hit ratio",
                "blocks",
                "KV cache",
            ]
            .map(Into::into)
            .to_vec(),
            rows: studies.iter().flat_map(rows).collect(),
        }],
        charts,
        variants: Vec::new(),
        notes: Vec::new(),
        definitions: DEFINITIONS,
        command: commands(&value["settings"], command),
        configuration: json!({"trace": value["trace"], "settings": value["settings"], "version": value["version"]}),
    })
}

/// A size in GiB as a cell.
fn size_cell(gib: &Value) -> Cell {
    let value = gib.as_f64();
    Cell {
        text: value.map_or("-".into(), |gib| bytes(gib * f64::from(1 << 30))),
        value,
    }
}
