//! Vidur's execution times: a sum of tables by tokens of the step, by prompt attention and by decode attention, with the
//! look-up of `vidur/execution_time_predictor/sklearn_execution_time_predictor.py` at 7d47513.
//!
//! Two forms of the tables are read. The *exact* one is the complete output of a trained predictor, with its rounding of
//! contexts to 64 tokens and of steps to 8. The *compact* one has a few hundred points, between which it is interpolated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Clamped, LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::Fault;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::base::table::{Row, TableReader};

/// Tokens of context in one step of the exact tables.
const CONTEXT: u32 = 64;
/// Tokens of a step in one row of the exact linear table.
const ROUND: u32 = 8;

/// Fraction by which attention takes longer where several requests of a kind share a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchingOverhead {
    /// For prompts.
    pub prefill: f64,
    /// For decodes.
    pub decode: f64,
}

impl BatchingOverhead {
    /// No overhead: models in which each query head has a KV head.
    pub const NONE: Self = Self {
        prefill: 0.0,
        decode: 0.0,
    };
    /// Vidur's default for grouped-query attention.
    pub const GROUPED: Self = Self {
        prefill: 0.1,
        decode: 0.1,
    };
}

/// Times in milliseconds over all layers.
#[derive(Debug)]
enum Tables {
    Exact(Exact),
    Compact(Compact),
}

/// Dense tables.
#[derive(Debug)]
struct Exact {
    /// By tokens / 8, rounded up, less 1.
    linear: Vec<f64>,
    /// By tokens, less 1.
    kv_save: Vec<f64>,
    /// By batch, less 1, and context / 64, rounded up.
    decode: Dense,
    /// By context / 64, rounded up, and tokens, less 1.
    prefill: Dense,
}

/// Rows of equal length.
#[derive(Debug, Default)]
struct Dense {
    width: usize,
    values: Vec<f64>,
}

/// Points between which values are interpolated.
#[derive(Debug)]
struct Compact {
    linear: Grid,
    prefill: Grid,
    decode: Grid,
}

/// A table over two axes; bilinear between its points.
#[derive(Debug)]
struct Grid {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Row by row: one row per `x`.
    values: Vec<f64>,
}

/// Vidur's model of a step's time for one model on one device. Copies share the tables.
#[derive(Debug, Clone)]
pub struct VidurTable {
    tables: Arc<Tables>,
    overhead: BatchingOverhead,
    clamped: Clamped,
}

/// The properties of a step that its duration depends on.
#[derive(Debug, Clone, Copy)]
struct StepFeatures {
    tokens: u32,
    prefills: usize,
    /// Root of the sum of squares of the chunks' tokens.
    piece: f64,
    /// Context of those chunks, each rounded up to 64, and not rounded.
    rounded_past: u64,
    past: u64,
    decodes: u32,
    /// Sum of the decodes' tokens, the one being decoded included.
    context: u64,
}

impl StepFeatures {
    fn of(step: &Step) -> Self {
        let mut shape = Self {
            tokens: step.tokens() as u32,
            prefills: step.prefills.len(),
            piece: 0.0,
            rounded_past: 0,
            past: 0,
            decodes: step.decodes,
            context: step.decode_context + u64::from(step.decodes),
        };
        let mut squares = 0u64;
        for chunk in &step.prefills {
            squares += u64::from(chunk.tokens).pow(2);
            shape.past += u64::from(chunk.past);
            shape.rounded_past += u64::from(chunk.past.next_multiple_of(CONTEXT));
        }
        shape.piece = (squares as f64).sqrt();
        shape
    }
}

/// Selects one of Vidur's tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VidurTableConfig {
    /// Name of a built-in table (see [`VidurTable::presets`]), or with `folder` the beginning of the files' names.
    pub table: String,
    /// Folder of the files.
    pub folder: Option<PathBuf>,
    /// Fraction by which attention takes longer where several prompts share a step.
    #[serde(default = "tenth")]
    pub prefill_batching_overhead: f64,
    /// The same for decodes.
    #[serde(default = "tenth")]
    pub decode_batching_overhead: f64,
}

fn tenth() -> f64 {
    0.1
}

impl LatencyParameters for VidurTableConfig {
    const CARD: Card = Card::new("vidur-table", "Vidur's tables of operations");

    fn prepare(&self, _: &LatencyContext<'_>) -> Result<LatencyFactory> {
        let table = match &self.folder {
            None => VidurTable::preset(&self.table)?,
            Some(folder) => {
                let overhead = BatchingOverhead {
                    prefill: self.prefill_batching_overhead,
                    decode: self.decode_batching_overhead,
                };
                VidurTable::read(folder, &self.table, overhead)?
            }
        };
        Ok(LatencyFactory::copies_of(table))
    }
}

impl VidurTable {
    /// Reads `<prefix>_exact_{linear,kvsave,decode,prefill}_ms*.csv`, compressed or not, from a folder, or if there are
    /// none, `<prefix>_compact_components.csv`.
    ///
    /// # Errors
    /// [`Error::Input`] if no such file exists or one is malformed; [`Error::Io`] if one cannot be read.
    pub fn read(folder: &Path, prefix: &str, overhead: BatchingOverhead) -> Result<Self> {
        let file = |name: &str| {
            ["csv", "csv.gz", "csv.zst"]
                .iter()
                .map(|ending| folder.join(format!("{prefix}_{name}.{ending}")))
                .find(|path| path.exists())
        };
        let tables = if let Some(linear) = file("exact_linear_ms") {
            let part = |name: &str| {
                file(name).ok_or_else(|| {
                    Error::input(
                        Location::file(folder),
                        format!("has {prefix}_exact_linear_ms but no {prefix}_{name}.csv"),
                        "add all four tables to the folder",
                    )
                })
            };
            Tables::Exact(Exact::read(
                &linear,
                &part("exact_kvsave_ms")?,
                &part("exact_decode_ms")?,
                &part("exact_prefill_ms_rle")?,
            )?)
        } else if let Some(path) = file("compact_components") {
            Tables::Compact(Compact::read(Input::open(&path)?)?)
        } else {
            return Err(Error::input(
                Location::file(folder),
                format!("has no tables whose names begin with {prefix}"),
                "give the folder, and the part of the file names before _exact_ or _compact_",
            ));
        };
        Ok(Self::new(tables, overhead))
    }

    /// A model and device whose compact table ships with the program; see [`Self::presets`].
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let Some((_, text, overhead)) = PRESETS.iter().find(|preset| preset.0 == name) else {
            let known: Vec<&str> = Self::presets().collect();
            return Err(Error::unknown_name("latency table", name, &known));
        };
        let path = PathBuf::from(format!("{name}_compact_components.csv"));
        let tables = Tables::Compact(Compact::read(Input::from_bytes(path, *text)?)?);
        Ok(Self::new(tables, *overhead))
    }

    /// Names that [`Self::preset`] knows: device, model, tensor parallelism.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|preset| preset.0)
    }

    fn new(tables: Tables, overhead: BatchingOverhead) -> Self {
        Self {
            tables: Arc::new(tables),
            overhead,
            clamped: Clamped::default(),
        }
    }
}

/// Names, tables, and whether attention is grouped. See `data/README.md` for the tables' origin.
const PRESETS: [(&str, &str, BatchingOverhead); 3] = [
    (
        "a100_llama2-7b_tp1",
        include_str!("../../../data/vidur/a100_llama2-7b_tp1_compact_components.csv"),
        BatchingOverhead::NONE,
    ),
    (
        "a100_llama3-8b_tp1",
        include_str!("../../../data/vidur/a100_llama3-8b_tp1_compact_components.csv"),
        BatchingOverhead::GROUPED,
    ),
    (
        "a100_llama3-70b_tp4",
        include_str!("../../../data/vidur/a100_llama3-70b_tp4_compact_components.csv"),
        BatchingOverhead::GROUPED,
    ),
];

impl LatencyModel for VidurTable {
    fn seconds(&mut self, step: &Step) -> f64 {
        let shape = StepFeatures::of(step);
        let mut outside = false;
        let (linear, prefill, decode) = match &*self.tables {
            Tables::Exact(exact) => exact.parts(&shape, &mut outside),
            Tables::Compact(compact) => compact.parts(&shape, &mut outside),
        };
        let longer = |several: bool, part: f64| if several { 1.0 + part } else { 1.0 };
        let ms = linear
            + prefill * longer(shape.prefills > 1, self.overhead.prefill)
            + decode * longer(shape.decodes > 1, self.overhead.decode);
        self.clamped.of += 1;
        self.clamped.steps += u64::from(outside);
        ms * 1e-3
    }

    fn clamped(&self) -> Clamped {
        self.clamped
    }
}

impl Exact {
    fn read(linear: &Path, kv_save: &Path, decode: &Path, prefill: &Path) -> Result<Self> {
        let table = Self {
            linear: column(linear, ROUND)?,
            kv_save: column(kv_save, 1)?,
            decode: matrix(decode)?,
            prefill: runs(prefill, kv_save)?,
        };
        Ok(table)
    }

    /// Milliseconds of everything but attention, of prompts' attention and of decodes'.
    fn parts(&self, shape: &StepFeatures, outside: &mut bool) -> (f64, f64, f64) {
        let mut at = |index: u64, count: usize| {
            let most = count as u64 - 1;
            *outside |= index > most;
            index.min(most) as usize
        };
        let tokens = shape.tokens.max(1);
        let row = u64::from(tokens.div_ceil(ROUND) - 1);
        let linear = self.linear[at(row, self.linear.len())]
            + self.kv_save[at(u64::from(tokens - 1), self.kv_save.len())];
        let mut prefill = 0.0;
        if shape.prefills > 0 {
            let row = at(shape.rounded_past / u64::from(CONTEXT), self.prefill.rows());
            let piece = (shape.piece.round_ties_even() as u64).max(1);
            prefill = self.prefill.get(row, at(piece - 1, self.prefill.width));
        }
        let mut decode = 0.0;
        if shape.decodes > 0 {
            let row = at(u64::from(shape.decodes - 1), self.decode.rows());
            let mean = shape.context / u64::from(shape.decodes);
            let place = mean.div_ceil(u64::from(CONTEXT));
            decode = self.decode.get(row, at(place, self.decode.width));
        }
        (linear, prefill, decode)
    }
}

impl Dense {
    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn get(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.width + column]
    }
}

impl Compact {
    fn read(input: Input) -> Result<Self> {
        let path = input.path().to_path_buf();
        let path = path.as_path();
        let mut parts: [Vec<(f64, f64, f64)>; 3] = Default::default();
        let names = ["linear", "prefill_attn", "decode_attn"];
        rows(input)?.each_row(|row| {
            let name = row.text_at(0)?;
            let Some(part) = names.iter().position(|known| *known == name) else {
                return Err(row.fault(format!(
                    "component {name:?}, expected one of {}",
                    names.join(", ")
                )));
            };
            let y = if part == 0 { 0.0 } else { row.number_at(2)? };
            parts[part].push((row.number_at(1)?, y, row.number_at(3)?));
            Ok(())
        })?;
        let [linear, prefill, decode] = parts;
        Ok(Self {
            linear: Grid::new(path, names[0], linear)?,
            prefill: Grid::new(path, names[1], prefill)?,
            decode: Grid::new(path, names[2], decode)?,
        })
    }

    fn parts(&self, shape: &StepFeatures, outside: &mut bool) -> (f64, f64, f64) {
        let linear = self.linear.at(f64::from(shape.tokens), 0.0, outside);
        let mut prefill = 0.0;
        if shape.prefills > 0 {
            prefill = self.prefill.at(shape.piece, shape.past as f64, outside);
        }
        let mut decode = 0.0;
        if shape.decodes > 0 {
            let batch = f64::from(shape.decodes);
            decode = self.decode.at(batch, shape.context as f64 / batch, outside);
        }
        (linear, prefill, decode)
    }
}

impl Grid {
    fn new(path: &Path, name: &str, mut points: Vec<(f64, f64, f64)>) -> Result<Self> {
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut x: Vec<f64> = points.iter().map(|point| point.0).collect();
        x.dedup();
        let mut y: Vec<f64> = points.iter().map(|point| point.1).collect();
        y.sort_by(f64::total_cmp);
        y.dedup();
        let expected = x.iter().flat_map(|x| y.iter().map(move |y| (*x, *y)));
        if points.is_empty()
            || points.len() != x.len() * y.len()
            || !points.iter().map(|point| (point.0, point.1)).eq(expected)
        {
            return Err(Error::input(
                Location::file(path),
                format!("component {name} is not a full grid: each x needs each y once"),
                REMEDY,
            ));
        }
        let values = points.into_iter().map(|point| point.2).collect();
        Ok(Self { x, y, values })
    }

    /// The value at a point. Below the first point of an axis it is that point's, as steps have a minimum cost; beyond the
    /// last one it is the last point's, and `outside` is set.
    fn at(&self, x: f64, y: f64, outside: &mut bool) -> f64 {
        let (row, across) = place(&self.x, x, outside);
        let (column, along) = place(&self.y, y, outside);
        let width = self.y.len();
        let value = |row: usize, column: usize| {
            self.values[row.min(self.x.len() - 1) * width + column.min(width - 1)]
        };
        let mix = |a: f64, b: f64, part: f64| a + (b - a) * part;
        let here = mix(value(row, column), value(row, column + 1), along);
        let next = mix(value(row + 1, column), value(row + 1, column + 1), along);
        mix(here, next, across)
    }
}

/// The interval of an axis that contains a value, and the value's relative position in it.
fn place(axis: &[f64], value: f64, outside: &mut bool) -> (usize, f64) {
    let last = axis.len() - 1;
    *outside |= value > axis[last] && last > 0;
    let above = axis.partition_point(|point| *point <= value);
    if above == 0 {
        (0, 0.0)
    } else if above > last {
        (last, 0.0)
    } else {
        let (low, high) = (axis[above - 1], axis[above]);
        (above - 1, (value - low) / (high - low))
    }
}

/// Remedy in errors: these tables are not meant to be edited.
const REMEDY: &str = "take the file as it was written";

/// Columns of these tables are identified by position, because a matrix has one for each context length.
fn rows(input: Input) -> Result<TableReader> {
    let by_place: [&str; 0] = [];
    Ok(TableReader::open(input, &by_place, 0)?
        .with_full_rows()
        .with_remedy(REMEDY))
}

/// The fault of a row that does not follow the row before it as it should.
fn gap(row: &Row<'_>, found: f64, expected: f64) -> Fault {
    row.fault(format!("first column is {found}, expected {expected}"))
}

/// A table of one value by `unit`, `2 unit`, ...
fn column(path: &Path, unit: u32) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    rows(Input::open(path)?)?.each_row(|row| {
        let key = row.number_at(0)?;
        let expected = f64::from(unit) * (values.len() + 1) as f64;
        if key != expected {
            return Err(gap(row, key, expected));
        }
        values.push(row.number_at(1)?);
        Ok(())
    })?;
    filled(path, values)
}

fn filled(path: &Path, values: Vec<f64>) -> Result<Vec<f64>> {
    if values.is_empty() {
        return Err(Error::input(Location::file(path), "has no rows", REMEDY));
    }
    Ok(values)
}

/// A table by batch, row by row, and context in steps of 64.
fn matrix(path: &Path) -> Result<Dense> {
    let mut values = Vec::new();
    let (mut width, mut count) = (0, 0.0);
    rows(Input::open(path)?)?.each_row(|row| {
        count += 1.0;
        let key = row.number_at(0)?;
        if key != count {
            return Err(gap(row, key, count));
        }
        width = row.len() - 1;
        for column in 1..=width {
            values.push(row.number_at(column)?);
        }
        Ok(())
    })?;
    let values = filled(path, values)?;
    Ok(Dense { width, values })
}

/// A table by context in steps of 64 and tokens, in which each row gives the number of tokens from which its value holds. `widths`
/// is the table that has one row for each number of tokens.
fn runs(path: &Path, widths: &Path) -> Result<Dense> {
    let width = column(widths, 1)?.len();
    let mut values = Vec::new();
    let mut last: Option<f64> = None;
    rows(Input::open(path)?)?.each_row(|line| {
        let context = line.number_at(0)?;
        let from = line.number_at(1)?;
        let value = line.number_at(2)?;
        let done = values.len() / width;
        let inside = values.len() % width;
        if inside > 0 && context / f64::from(CONTEXT) != done as f64 {
            // The previous row is complete.
            values.resize((done + 1) * width, last.unwrap_or(value));
        }
        let row = values.len() / width;
        if context != f64::from(CONTEXT) * row as f64 {
            return Err(gap(line, context, f64::from(CONTEXT) * row as f64));
        }
        let begins = values.len() % width == 0;
        let upto = row * width + (from as usize).saturating_sub(1);
        if from < 1.0 || from > width as f64 || upto < values.len() || begins != (from == 1.0) {
            let problem = format!("chunk_from {from} does not rise within 1 to {width}");
            return Err(line.fault(problem));
        }
        values.resize(upto, last.unwrap_or(value));
        values.push(value);
        last = Some(value);
        Ok(())
    })?;
    let mut values = filled(path, values)?;
    let rows = values.len().div_ceil(width);
    values.resize(rows * width, last.unwrap_or_default());
    Ok(Dense { width, values })
}

#[cfg(test)]
#[path = "vidur_table_tests.rs"]
mod tests;
