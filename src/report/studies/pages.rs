//! Pages of results that lie in a folder: a sharing study, a sweep or a curve, each told by its files.

use std::path::Path;

use serde_json::{Value, json};

use super::answer;
use super::sharing::page as sharing_page;
use crate::base::error::{Error, Location, Result};
use crate::base::table::Columns;
use crate::report::render::chart::{Axis, Chart, Marks, Scale, Series, color, cumulative};
use crate::report::render::html::{Cell, Page, Table, Variant};
use crate::report::render::number::{percent, thousands};

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of `sweep --output-dir`.
    Sweep,
    /// Of `curve --output-dir`.
    Curve,
    /// Of `experiment`.
    Experiment,
    /// Of `analyze --output-dir`.
    Analysis,
    /// Anything else; runs of policies lie deeper.
    Other,
}

impl Kind {
    /// By the names of files.
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

    /// The page.
    ///
    /// # Errors
    /// Files that are not what they should be.
    pub fn page(self, folder: &Path, command: &str) -> Result<Page> {
        match self {
            Self::Sweep => sweep(folder, command),
            Self::Curve => curve(folder, command),
            Self::Experiment => sharing(
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
            Self::Analysis => super::sharing::read_page(folder),
            Self::Other => Err(Error::input(
                Location::file(folder),
                "holds nothing that a report is known for",
                "give a folder that `experiment`, `analyze`, `sweep` or `curve` wrote, or the results folder of `simulate`",
            )),
        }
    }
}

fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|source| Error::read(path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let at = Location::line(path, error.line() as u64);
        Error::input(at, format!("is no JSON: {error}"), "make it again")
    })
}

/// An entry that has to be there.
fn entry<'a>(value: &'a Value, name: &str, path: &Path) -> Result<&'a Vec<Value>> {
    value[name]
        .as_array()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| {
            let problem = format!("has no list `{name}`");
            Error::input(Location::file(path), problem, "make it again")
        })
}

/// Names in the order in which they come.
fn distinct(all: &[Value], name: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for value in all {
        let name = shown(&value[name]);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn ratio_cell(value: &Value) -> Cell {
    let ratio = value.as_f64();
    Cell {
        text: ratio.map_or("-".into(), percent),
        value: ratio,
    }
}

fn number_cell(value: &Value) -> Cell {
    Cell {
        text: match (value.as_u64(), value.as_f64()) {
            (Some(whole), _) => thousands(whole),
            (None, Some(number)) => format!("{number:.4}"),
            _ => "-".into(),
        },
        value: value.as_f64(),
    }
}

/// The command of the files, where they have it, and this one.
fn commands(made: &Value, command: &str) -> String {
    match made["command"].as_str() {
        Some(made) => format!("{made}\n{command}"),
        None => command.to_owned(),
    }
}

/// Policies over capacities, for each block size.
fn sweep(folder: &Path, command: &str) -> Result<Page> {
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
    // The token hit ratio is what one came for, and choices begin with the last.
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
        tiles: answer::tile(&value)
            .into_iter()
            .chain([
                (policies.len().to_string(), "policies".into()),
                (sizes.len().to_string(), "block sizes".into()),
                (cells.len().to_string(), "cells".into()),
            ])
            .collect(),
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
        definitions: sharing_page::DEFINITIONS,
        command: commands(&value["settings"], command),
        configuration: json!({"trace": value["trace"], "settings": value["settings"], "version": value["version"]}),
    })
}

/// Hit ratio over capacity.
fn curve(folder: &Path, command: &str) -> Result<Page> {
    let path = folder.join("curve.json");
    let value = read(&path)?;
    let studies = entry(&value, "curves", &path)?;
    let mut charts = Vec::new();
    let ratios = [
        ("curve", "token_hit_ratio", "token hit ratio"),
        ("curve_blocks", "block_hit_ratio", "block hit ratio"),
        (
            "curve_requests",
            "mean_request_hit_ratio",
            "mean request hit ratio",
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
            title: format!("{label} at every cache size"),
            x: Axis::new("cache size (tokens)", Scale::Log),
            y: Axis::new(label, Scale::PercentUsed),
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
                number_cell(&target["capacity_gib"]),
            ]
        })
    };
    Ok(Page {
        title: "Hit ratio at every cache size".into(),
        lead: shown(&value["trace"]),
        tiles: answer::tile(&value)
            .into_iter()
            .chain(studies.iter().filter_map(|study| {
                let knee = study["knee_blocks"].as_u64()?;
                Some((
                    thousands(knee),
                    format!("blocks at the knee, {} tokens a block", study["block_size"]),
                ))
            }))
            .collect(),
        warning: "",
        tables: vec![Table {
            caption: "What it takes to reach a part of the best".into(),
            header: [
                "tokens a block",
                "of the best",
                "hit ratio",
                "blocks",
                "GiB",
            ]
            .map(Into::into)
            .to_vec(),
            rows: studies.iter().flat_map(rows).collect(),
        }],
        charts,
        variants: Vec::new(),
        notes: Vec::new(),
        definitions: sharing_page::DEFINITIONS,
        command: commands(&value["settings"], command),
        configuration: json!({"trace": value["trace"], "settings": value["settings"], "version": value["version"]}),
    })
}

/// Sharing of one trace or of several, from the files of requests and blocks.
fn sharing(folder: &Path, parts: &[(&'static str, &str, &str)], command: &str) -> Result<Page> {
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
    let tiles = answer::tile(&summary).into_iter().chain(tiles).collect();
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
