//! Hit-ratio curves: the output of `curve`.

mod page;

pub(super) use page::read_page;

use std::path::Path;

use serde::Serialize;

use super::answer;
use crate::base::error::Result;
use crate::base::io::{StagedFolder, write_json};
use crate::base::table::{CsvFile, float};
use crate::cache::curve::{Curve, Point, Sampled};
use crate::report::render::chart::{
    Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION,
};
use crate::report::render::number::{bytes, percent, thousands};
use crate::report::render::table::table;

/// Fractions of the best token hit ratio for which the required capacity is reported.
pub const TARGETS: &[f64] = &[0.5, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Default number of points in the files and the chart.
pub const POINTS: usize = 400;

/// A point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveRow {
    /// Capacity in blocks.
    pub capacity_blocks: u32,
    /// Capacity in tokens.
    pub capacity_tokens: u64,
    /// Capacity in GiB; `None` without a model.
    pub capacity_gib: Option<f64>,
    /// Look-ups that hit, divided by all look-ups.
    pub block_hit_ratio: f64,
    /// Fraction of prompt tokens that were cached; `None` for a sample.
    pub token_hit_ratio: Option<f64>,
    /// Mean over requests of their cached fraction; `None` for a sample.
    pub mean_request_hit_ratio: Option<f64>,
    /// Error bound of the block hit ratio; only for a sample.
    pub bound: Option<f64>,
}

/// The capacity that is required for a fraction of the best hit ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveTarget {
    /// Fraction of the best token hit ratio (for a sample: block hit ratio).
    pub part_of_best: f64,
    /// The hit ratio at that capacity.
    pub hit_ratio: f64,
    /// The smallest capacity that reaches the fraction.
    pub capacity_blocks: u32,
    /// The same in GiB; `None` without a model.
    pub capacity_gib: Option<f64>,
}

/// The curve at one block size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapacityCurve {
    /// Tokens per block.
    pub block_size: u32,
    /// `one pass`, `replays` or `sample`.
    pub method: &'static str,
    /// Number of distinct blocks.
    pub distinct_blocks: Option<u32>,
    /// Number of block look-ups.
    pub lookups: u64,
    /// Number of look-ups that were followed; a sample follows only some.
    pub followed: u64,
    /// The knee: the capacity beyond which an additional block saves less than the average block.
    pub knee_blocks: Option<u32>,
    /// Capacities for increasing fractions of the best hit ratio.
    pub targets: Vec<CurveTarget>,
    /// Points by increasing capacity.
    pub points: Vec<CurveRow>,
}

/// Converts blocks to GiB if the bytes per token are known.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Tokens per block.
    pub block_size: u32,
    /// Bytes of keys and values per token.
    pub bytes_per_token: Option<u64>,
}

impl Sizes {
    fn gib(self, blocks: u32) -> Option<f64> {
        let bytes = self.bytes_per_token? as f64 * f64::from(self.block_size) * f64::from(blocks);
        Some(bytes / f64::from(1 << 30))
    }

    fn row(self, capacity: u32, block_hit_ratio: f64) -> CurveRow {
        CurveRow {
            capacity_blocks: capacity,
            capacity_tokens: u64::from(capacity) * u64::from(self.block_size),
            capacity_gib: self.gib(capacity),
            block_hit_ratio,
            token_hit_ratio: None,
            mean_request_hit_ratio: None,
            bound: None,
        }
    }

    fn of_point(self, point: &Point) -> CurveRow {
        CurveRow {
            token_hit_ratio: Some(point.token_hit_ratio),
            mean_request_hit_ratio: Some(point.mean_request_hit_ratio),
            ..self.row(point.capacity, point.block_hit_ratio)
        }
    }
}

impl CapacityCurve {
    /// Creates the curve from one pass, with at most about `points` points.
    pub fn exact(curve: &Curve, sizes: Sizes, points: usize) -> Self {
        let targets = TARGETS.iter().map(|part| {
            let capacity = curve.capacity_for(*part);
            CurveTarget {
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

    /// Creates the curve from replays at increasing capacities.
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

    /// Creates the curve from a sample of the sessions.
    pub fn sampled(sample: &Sampled, sizes: Sizes) -> Self {
        let row = |point: &crate::cache::curve::SampledPoint| CurveRow {
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

    /// The hit ratio that the chart shows.
    fn shown(row: &CurveRow) -> f64 {
        row.token_hit_ratio.unwrap_or(row.block_hit_ratio)
    }
}

/// Returns the first point that reaches each fraction of the best.
fn targets(rows: &[CurveRow], ratio: impl Fn(&CurveRow) -> f64) -> Vec<CurveTarget> {
    let best = rows.iter().map(&ratio).fold(0.0, f64::max);
    let reach = |part: &f64| {
        let row = rows.iter().find(|row| ratio(row) >= part * best)?;
        Some(CurveTarget {
            part_of_best: *part,
            hit_ratio: ratio(row),
            capacity_blocks: row.capacity_blocks,
            capacity_gib: row.capacity_gib,
        })
    };
    TARGETS.iter().filter_map(reach).collect()
}

/// The answer in a sentence.
fn answer(curves: &[CapacityCurve], engine: &str) -> String {
    let one = |curve: &CapacityCurve| {
        let enough = curve
            .targets
            .iter()
            .find(|target| target.part_of_best >= 0.95)?;
        let best = curve.targets.last()?;
        Some(answer::Curve {
            block_size: curve.block_size,
            sampled: curve.method == "sample",
            replayed: (curve.method == "replays").then_some(curve.points.len()),
            enough: (
                enough.hit_ratio,
                enough.capacity_blocks,
                enough.capacity_gib.map(|gib| gib * f64::from(1 << 30)),
            ),
            best: (best.hit_ratio, best.capacity_blocks),
        })
    };
    answer::curve(&curves.iter().filter_map(one).collect::<Vec<_>>(), engine)
}

/// Formats the tables for the terminal, one per block size, and the answer.
pub fn text(curves: &[CapacityCurve], engine: &str) -> String {
    let tables: Vec<String> = curves
        .iter()
        .map(|curve| curve_text(curve, engine))
        .collect();
    format!("{}\n{}", tables.join("\n"), answer(curves, engine))
}

fn curve_text(curve: &CapacityCurve, engine: &str) -> String {
    let with_size = curve
        .targets
        .iter()
        .any(|target| target.capacity_gib.is_some());
    let mut header = vec!["of the best hit ratio", "hit ratio", "blocks", "tokens"];
    if with_size {
        header.push("KV cache");
    }
    let rows: Vec<Vec<String>> = curve
        .targets
        .iter()
        .map(|target| {
            let mut row = vec![
                format!("{:.0} %", target.part_of_best * 100.0),
                percent(target.hit_ratio),
                thousands(u64::from(target.capacity_blocks)),
                thousands(u64::from(target.capacity_blocks) * u64::from(curve.block_size)),
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
        "engine {engine}, eviction lru, {} tokens a block, {} look-ups{}{}\n{}\n",
        curve.block_size,
        thousands(curve.lookups),
        match curve.distinct_blocks {
            Some(blocks) => format!(", {} distinct blocks", thousands(u64::from(blocks))),
            None => String::new(),
        },
        match curve.method {
            "sample" => format!(", of which {} followed", thousands(curve.followed)),
            "replays" => format!(", {} replays", curve.points.len()),
            _ => String::new(),
        },
        table(&header, &rows)
    );
    if let Some(knee) = curve.knee_blocks {
        text += &format!(
            "knee at {} blocks: beyond it, a block saves less than on average\n",
            thousands(u64::from(knee))
        );
    }
    if let Some(worst) = curve
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

/// The content of the folder that `curve` writes.
pub struct CurveFiles<'a> {
    /// The curves, one per block size.
    pub curves: &'a [CapacityCurve],
    /// The engine whose rules apply.
    pub engine: &'a str,
    /// The trace.
    pub source: &'a str,
    /// All other settings.
    pub settings: serde_json::Value,
}

impl CurveFiles<'_> {
    /// As JSON: settings and curves.
    pub fn value(&self) -> serde_json::Value {
        serde_json::json!({"trace": self.source, "settings": self.settings, "version": crate::base::version::VERSION,
            "answer": answer(self.curves, self.engine), "curves": self.curves})
    }

    /// Writes `curve.json`, `curve.csv`, `curve.png` and `curve.svg`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let begun = StagedFolder::begin(folder)?;
        let folder = begun.path();
        self.csv(&folder.join("curve.csv"))?;
        self.chart().save(folder)?;
        write_json(folder.join("curve.json"), &self.value())?;
        begun.finish(&["curve.json"])
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
        for curve in self.curves {
            for row in &curve.points {
                csv.row([
                    curve.block_size.to_string(),
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

    /// Chart of the hit ratio over capacity in tokens, which makes block sizes comparable, with each curve's knee.
    pub fn chart(&self) -> Chart {
        const COLORS: &[&str] = &[BLUE, VERMILLION, ORANGE, SKY, GREY];
        let mut series = Vec::new();
        for (curve, color) in self.curves.iter().zip(COLORS.iter().cycle()) {
            let tokens = |row: &CurveRow| row.capacity_tokens as f64;
            let points = curve
                .points
                .iter()
                .map(|row| (tokens(row), CapacityCurve::shown(row)));
            series.push(Series {
                name: format!("{} tokens a block", curve.block_size),
                color,
                dashed: false,
                marks: Marks::Line(points.filter(|point| point.0 > 0.0).collect()),
            });
            let knee = curve.knee_blocks.and_then(|knee| {
                let at = curve
                    .points
                    .iter()
                    .rfind(|row| row.capacity_blocks <= knee)?;
                Some((knee, CapacityCurve::shown(at)))
            });
            if let Some((knee, ratio)) = knee.filter(|(knee, _)| *knee > 0) {
                let x = f64::from(knee) * f64::from(curve.block_size);
                series.push(Series {
                    name: format!("its knee: {} blocks", thousands(u64::from(knee))),
                    color,
                    dashed: true,
                    marks: Marks::Line(vec![(x, 0.0), (x, ratio)]),
                });
            }
        }
        let sampled = self.curves.iter().any(|curve| curve.method == "sample");
        Chart {
            name: "curve",
            title: "Hit ratio by cache size".into(),
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
