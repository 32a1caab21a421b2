//! The report of a miss-ratio curve: how much to buy, as a table, files and a picture.

mod page;

pub(super) use page::read_page;

use std::path::Path;

use serde::Serialize;

use crate::base::error::Result;
use crate::base::io::write_json;
use crate::base::table::{CsvFile, float};
use crate::cache::curve::{Curve, Point, Sampled};
use crate::report::render::chart::{
    Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION,
};
use crate::report::render::number::{bytes, percent, thousands};
use crate::report::render::table::table;

/// Parts of the best token hit ratio that are reported.
pub const TARGETS: &[f64] = &[0.5, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Points in the files and the picture, unless more are asked for.
pub const POINTS: usize = 400;

/// One row of the curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// In blocks.
    pub capacity_blocks: u32,
    /// In tokens.
    pub capacity_tokens: u64,
    /// In GiB; only with a model.
    pub capacity_gib: Option<f64>,
    /// Look-ups that hit by all look-ups.
    pub block_hit_ratio: f64,
    /// Cached by all prompt tokens; not of a sample.
    pub token_hit_ratio: Option<f64>,
    /// Mean over requests; not of a sample.
    pub mean_request_hit_ratio: Option<f64>,
    /// How far the block hit ratio may be off; only of a sample.
    pub bound: Option<f64>,
}

/// What it takes to reach a part of the best.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Of the best token hit ratio (of a sample: block hit ratio).
    pub part_of_best: f64,
    /// The ratio there.
    pub hit_ratio: f64,
    /// The least capacity that reaches it.
    pub capacity_blocks: u32,
    /// The same in GiB; only with a model.
    pub capacity_gib: Option<f64>,
}

/// The curve at one block size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// Tokens per block.
    pub block_size: u32,
    /// `one pass`, `replays` or `sample`.
    pub method: &'static str,
    /// Different blocks used.
    pub distinct_blocks: Option<u32>,
    /// Block look-ups.
    pub lookups: u64,
    /// Look-ups that were followed; fewer of a sample.
    pub followed: u64,
    /// Where more capacity begins to save less than average.
    pub knee_blocks: Option<u32>,
    /// Rising parts of the best.
    pub targets: Vec<Target>,
    /// Rising by capacity.
    pub points: Vec<Row>,
}

/// Turns blocks into GiB where the bytes per token are known.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Tokens per block.
    pub block_size: u32,
    /// Of keys and values.
    pub bytes_per_token: Option<u64>,
}

impl Sizes {
    fn gib(self, blocks: u32) -> Option<f64> {
        let bytes = self.bytes_per_token? as f64 * f64::from(self.block_size) * f64::from(blocks);
        Some(bytes / f64::from(1 << 30))
    }

    fn row(self, capacity: u32, block_hit_ratio: f64) -> Row {
        Row {
            capacity_blocks: capacity,
            capacity_tokens: u64::from(capacity) * u64::from(self.block_size),
            capacity_gib: self.gib(capacity),
            block_hit_ratio,
            token_hit_ratio: None,
            mean_request_hit_ratio: None,
            bound: None,
        }
    }

    fn of_point(self, point: &Point) -> Row {
        Row {
            token_hit_ratio: Some(point.token_hit_ratio),
            mean_request_hit_ratio: Some(point.mean_request_hit_ratio),
            ..self.row(point.capacity, point.block_hit_ratio)
        }
    }
}

impl Study {
    /// Of an exact curve, with at most about `points` points.
    pub fn exact(curve: &Curve, sizes: Sizes, points: usize) -> Self {
        let targets = TARGETS.iter().map(|part| {
            let capacity = curve.capacity_for(*part);
            Target {
                part_of_best: *part,
                hit_ratio: curve.at(capacity).token_hit_ratio,
                capacity_blocks: capacity,
                capacity_gib: sizes.gib(capacity),
            }
        });
        Self {
            block_size: sizes.block_size,
            method: "one pass",
            distinct_blocks: Some(curve.distinct),
            lookups: curve.lookups,
            followed: curve.lookups,
            knee_blocks: Some(curve.knee()),
            targets: targets.collect(),
            points: curve
                .points(points)
                .iter()
                .map(|point| sizes.of_point(point))
                .collect(),
        }
    }

    /// Of replays at some capacities, rising.
    pub fn replayed(points: &[Point], lookups: u64, sizes: Sizes) -> Self {
        let rows: Vec<_> = points.iter().map(|point| sizes.of_point(point)).collect();
        let targets = targets(&rows, |row| row.token_hit_ratio.unwrap_or_default());
        Self {
            block_size: sizes.block_size,
            method: "replays",
            distinct_blocks: None,
            lookups,
            followed: lookups,
            knee_blocks: None,
            targets,
            points: rows,
        }
    }

    /// Of a sample.
    pub fn sampled(sample: &Sampled, sizes: Sizes) -> Self {
        let row = |point: &crate::cache::curve::SampledPoint| Row {
            bound: Some(point.bound),
            ..sizes.row(point.capacity, point.block_hit_ratio)
        };
        let points: Vec<_> = sample.points.iter().map(row).collect();
        Self {
            block_size: sizes.block_size,
            method: "sample",
            distinct_blocks: None,
            lookups: sample.lookups,
            followed: sample.followed,
            knee_blocks: None,
            targets: targets(&points, |row| row.block_hit_ratio),
            points,
        }
    }

    /// The ratio that the picture shows.
    fn shown(row: &Row) -> f64 {
        row.token_hit_ratio.unwrap_or(row.block_hit_ratio)
    }
}

/// From points alone: the first that reaches each part.
fn targets(rows: &[Row], ratio: impl Fn(&Row) -> f64) -> Vec<Target> {
    let best = rows.iter().map(&ratio).fold(0.0, f64::max);
    let reach = |part: &f64| {
        let row = rows.iter().find(|row| ratio(row) >= part * best)?;
        Some(Target {
            part_of_best: *part,
            hit_ratio: ratio(row),
            capacity_blocks: row.capacity_blocks,
            capacity_gib: row.capacity_gib,
        })
    };
    TARGETS.iter().filter_map(reach).collect()
}

/// The tables for the terminal, one per block size.
pub fn text(studies: &[Study]) -> String {
    studies
        .iter()
        .map(study_text)
        .collect::<Vec<_>>()
        .join("\n")
}

fn study_text(study: &Study) -> String {
    let with_size = study
        .targets
        .iter()
        .any(|target| target.capacity_gib.is_some());
    let mut header = vec!["of the best hit ratio", "hit ratio", "blocks", "tokens"];
    if with_size {
        header.push("KV cache");
    }
    let rows: Vec<Vec<String>> = study
        .targets
        .iter()
        .map(|target| {
            let mut row = vec![
                format!("{:.0} %", target.part_of_best * 100.0),
                percent(target.hit_ratio),
                thousands(u64::from(target.capacity_blocks)),
                thousands(u64::from(target.capacity_blocks) * u64::from(study.block_size)),
            ];
            row.extend(
                target
                    .capacity_gib
                    .map(|gib| bytes(gib * f64::from(1 << 30))),
            );
            row
        })
        .collect();
    let mut text = format!(
        "{} tokens a block, {} look-ups{}{}\n{}\n",
        study.block_size,
        thousands(study.lookups),
        match study.distinct_blocks {
            Some(blocks) => format!(", {} distinct blocks", thousands(u64::from(blocks))),
            None => String::new(),
        },
        match study.method {
            "sample" => format!(", of which {} followed", thousands(study.followed)),
            "replays" => format!(", {} replays", study.points.len()),
            _ => String::new(),
        },
        table(&header, &rows)
    );
    if let Some(knee) = study.knee_blocks {
        text += &format!(
            "knee at {} blocks: beyond it, a block saves less than on average\n",
            thousands(u64::from(knee))
        );
    }
    if let Some(worst) = study
        .points
        .iter()
        .filter_map(|row| row.bound)
        .reduce(f64::max)
    {
        text += &format!(
            "sampled: exact block hit ratios are within {} of these\n",
            percent(worst)
        );
    }
    text
}

/// What is written to a folder.
pub struct Files<'a> {
    /// One per block size.
    pub studies: &'a [Study],
    /// The trace, for the title.
    pub source: &'a str,
    /// What else was in force.
    pub settings: serde_json::Value,
}

impl Files<'_> {
    /// As JSON: settings and studies.
    pub fn value(&self) -> serde_json::Value {
        serde_json::json!({"trace": self.source, "settings": self.settings, "version": crate::base::version::VERSION,
            "curves": self.studies})
    }

    /// Writes `curve.json`, `curve.csv`, `curve.png` and `curve.svg`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join("curve.json"), &self.value())?;
        self.csv(&folder.join("curve.csv"))?;
        self.chart().save(folder)
    }

    fn csv(&self, path: &Path) -> Result<()> {
        let mut csv = CsvFile::create(
            path,
            &[
                "block_size",
                "capacity_blocks",
                "capacity_tokens",
                "capacity_gib",
                "block_hit_ratio",
                "token_hit_ratio",
                "mean_request_hit_ratio",
                "bound",
            ],
        )?;
        let optional = |value: Option<f64>| value.map_or(String::new(), float);
        for study in self.studies {
            for row in &study.points {
                csv.row([
                    study.block_size.to_string(),
                    row.capacity_blocks.to_string(),
                    row.capacity_tokens.to_string(),
                    optional(row.capacity_gib),
                    float(row.block_hit_ratio),
                    optional(row.token_hit_ratio),
                    optional(row.mean_request_hit_ratio),
                    optional(row.bound),
                ])?;
            }
        }
        csv.finish()
    }

    /// Hit ratio over capacity in tokens, so that block sizes can be compared, with each knee.
    pub fn chart(&self) -> Chart {
        const COLORS: &[&str] = &[BLUE, VERMILLION, ORANGE, SKY, GREY];
        let mut series = Vec::new();
        for (study, color) in self.studies.iter().zip(COLORS.iter().cycle()) {
            let tokens = |row: &Row| row.capacity_tokens as f64;
            let points = study
                .points
                .iter()
                .map(|row| (tokens(row), Study::shown(row)));
            series.push(Series {
                name: format!("{} tokens a block", study.block_size),
                color,
                dashed: false,
                marks: Marks::Line(points.filter(|point| point.0 > 0.0).collect()),
            });
            let knee = study.knee_blocks.and_then(|knee| {
                let at = study
                    .points
                    .iter()
                    .rfind(|row| row.capacity_blocks <= knee)?;
                Some((knee, Study::shown(at)))
            });
            if let Some((knee, ratio)) = knee.filter(|(knee, _)| *knee > 0) {
                let x = f64::from(knee) * f64::from(study.block_size);
                series.push(Series {
                    name: format!("its knee: {} blocks", thousands(u64::from(knee))),
                    color,
                    dashed: true,
                    marks: Marks::Line(vec![(x, 0.0), (x, ratio)]),
                });
            }
        }
        let sampled = self.studies.iter().any(|study| study.method == "sample");
        Chart {
            name: "curve",
            title: "Hit ratio at every cache size".into(),
            x: Axis::new("cache size (tokens)", Scale::Log),
            y: Axis::new(
                if sampled {
                    "block hit ratio"
                } else {
                    "token hit ratio"
                },
                Scale::PercentUsed,
            ),
            categories: Vec::new(),
            series,
        }
    }
}
