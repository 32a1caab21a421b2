//! Iteration times measured by the authors of Splitwise (ISCA 2024), interpolated over the tokens of a batch.
//!
//! Rules of `performance_model.py` of Mutinifni/splitwise-sim: x is `prompt_size * batch_size`, y the median of the rows
//! with equal x, linear between two x, evaluated as scipy's `interp1d` does; outside the measured range the first or last
//! segment is extended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use crate::base::error::{Error, Location, Result};
use crate::base::io::{Input, parse_pandas_float};
use crate::base::quantile::median;
use crate::base::table::TableReader;

/// The medians of the published `data/perf_model.csv`: what [`SplitwiseTable::builtin`] reads.
const BUILTIN: &str = include_str!("../../../data/splitwise/iteration_times.csv");

/// Columns of both kinds of tables: the first three, then those of the measurements, with times in milliseconds, or those
/// of the medians.
const COLUMNS: [&str; 10] = [
    "model",
    "hardware",
    "tensor_parallel",
    "prompt_size",
    "batch_size",
    "prompt_time",
    "token_time",
    "batch_tokens",
    "prompt_seconds",
    "token_seconds",
];
const MEASURED: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];
const MEDIANS: [usize; 6] = [0, 1, 2, 7, 8, 9];
const REMEDY: &str = "give a perf_model.csv as SplitwiseSim's, or a table of medians";

/// Duration of an iteration with prompts and decodes, as a multiple of one with the prompts alone.
const MIXED: f64 = 1.1;

/// All measured pairs of model and hardware.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitwiseTable {
    groups: BTreeMap<(String, String, u32), IterationTimes>,
}

/// Iteration times in seconds of one model on one kind of GPU at one degree of tensor parallelism.
#[derive(Debug, Clone, PartialEq)]
pub struct IterationTimes {
    tokens: Vec<f64>,
    prompt: Vec<f64>,
    token: Vec<f64>,
    extrapolate: bool,
}

impl SplitwiseTable {
    /// The table that ships: bloom-176b and llama2-70b on A100, H100 and power-capped H100.
    pub fn builtin() -> &'static Self {
        static TABLE: LazyLock<SplitwiseTable> = LazyLock::new(|| {
            let name = Path::new("data/splitwise/iteration_times.csv");
            // A unit test reads it, so an empty table is never seen.
            let table = Input::from_bytes(name, BUILTIN).and_then(SplitwiseTable::parse);
            table.unwrap_or(SplitwiseTable {
                groups: BTreeMap::new(),
            })
        });
        &TABLE
    }

    /// Reads a `perf_model.csv` of SplitwiseSim, or a table of medians as [`Self::to_csv`] writes it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if a column or a number is missing.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::parse(Input::open(path)?)
    }

    fn parse(input: Input) -> Result<Self> {
        let table = TableReader::open(input, &COLUMNS, 0)?
            .with_full_rows()
            .with_remedy(REMEDY);
        let measured = table.has(MEASURED[3]);
        table.require(if measured { &MEASURED } else { &MEDIANS })?;
        let path = table.path().to_path_buf();
        type Samples = BTreeMap<u64, (Vec<f64>, Vec<f64>)>;
        let mut groups: BTreeMap<(String, String, u32), Samples> = BTreeMap::new();
        table.each_row(|row| {
            let whole = |column: usize| {
                row.parse(column, "a whole number", |text| text.parse::<u32>().ok())
            };
            // An empty cell is a missing value, which a median leaves out.
            let time = |column: usize| match row.text(column)? {
                "" => Ok(None),
                _ if measured => row
                    .parse(column, "milliseconds", parse_pandas_float)
                    .map(|milliseconds| Some(milliseconds / 1000.0)),
                _ => row
                    .parse(column, "seconds", |text| text.parse().ok())
                    .map(Some),
            };
            let (tokens, times) = if measured {
                (u64::from(whole(3)?) * u64::from(whole(4)?), 5)
            } else {
                (u64::from(whole(7)?), 8)
            };
            let key = (row.text(0)?.to_owned(), row.text(1)?.to_owned(), whole(2)?);
            let (prompts, decodes) = groups.entry(key).or_default().entry(tokens).or_default();
            prompts.extend(time(times)?);
            decodes.extend(time(times + 1)?);
            Ok(())
        })?;
        let fault = |problem: String| Error::input(Location::file(&path), problem, REMEDY);
        let mut table = BTreeMap::new();
        for (key, samples) in groups {
            let mut times = IterationTimes {
                tokens: Vec::with_capacity(samples.len()),
                prompt: Vec::with_capacity(samples.len()),
                token: Vec::with_capacity(samples.len()),
                extrapolate: true,
            };
            for (tokens, (mut prompts, mut decodes)) in samples {
                prompts.sort_unstable_by(f64::total_cmp);
                decodes.sort_unstable_by(f64::total_cmp);
                let (Some(prompt), Some(token)) = (median(&prompts), median(&decodes)) else {
                    let (model, hardware, _) = key;
                    return Err(fault(format!(
                        "{model} on {hardware} has no time for {tokens} tokens"
                    )));
                };
                times.tokens.push(tokens as f64);
                times.prompt.push(prompt);
                times.token.push(token);
            }
            if times.tokens.len() < 2 {
                let (model, hardware, _) = key;
                return Err(fault(format!(
                    "{model} on {hardware} has fewer than two batch sizes"
                )));
            }
            table.insert(key, times);
        }
        if table.is_empty() {
            return Err(fault("has no rows".to_owned()));
        }
        Ok(Self { groups: table })
    }

    /// The times of `model` on GPUs named `hardware` at this tensor parallelism; extrapolating.
    ///
    /// # Errors
    /// [`Error::Usage`] for a combination that was not measured; it lists those that were.
    pub fn select(
        &self,
        model: &str,
        hardware: &str,
        tensor_parallel: u32,
    ) -> Result<IterationTimes> {
        let key = (model.to_owned(), hardware.to_owned(), tensor_parallel);
        self.groups.get(&key).cloned().ok_or_else(|| {
            let known: Vec<String> = self
                .groups
                .keys()
                .map(|(model, hardware, tp)| format!("{model} {hardware} TP{tp}"))
                .collect();
            Error::usage(
                format!("no iteration times of {model} on {hardware} at tensor parallelism {tensor_parallel}"),
                format!("measured: {}", known.join(", ")),
            )
        })
    }

    /// The medians as CSV, in seconds; reads back to the same numbers.
    pub fn to_csv(&self) -> String {
        let mut text = MEDIANS.map(|column| COLUMNS[column]).join(",") + "\n";
        for ((model, hardware, tp), times) in &self.groups {
            for index in 0..times.tokens.len() {
                let (x, prompt, token) =
                    (times.tokens[index], times.prompt[index], times.token[index]);
                text += &format!("{model},{hardware},{tp},{x},{prompt},{token}\n");
            }
        }
        text
    }
}

impl IterationTimes {
    /// Outside the measured range: extrapolate the end lines, or keep the end values.
    #[must_use]
    pub fn extrapolate(mut self, extrapolate: bool) -> Self {
        self.extrapolate = extrapolate;
        self
    }

    /// Whether a number of tokens is outside the measured range.
    pub fn is_outside(&self, tokens: f64) -> bool {
        tokens < self.tokens[0] || tokens > self.tokens[self.tokens.len() - 1]
    }

    /// Duration in seconds of an iteration over prompts with this many tokens together.
    pub fn prompt(&self, tokens: f64) -> f64 {
        self.line(&self.prompt, tokens)
    }

    /// Duration in seconds of an iteration in which this many requests decode one token each.
    pub fn token(&self, tokens: f64) -> f64 {
        self.line(&self.token, tokens)
    }

    /// Duration in seconds of an iteration of `prompt_tokens` of whole prompts (`None` without a prompt) and `token_tasks` decodes.
    pub fn iteration(&self, prompt_tokens: Option<u64>, token_tasks: u64) -> f64 {
        match prompt_tokens {
            None => self.token(token_tasks as f64),
            Some(prompts) if token_tasks == 0 => self.prompt(prompts as f64),
            Some(prompts) => self.prompt((prompts + token_tasks) as f64) * MIXED,
        }
    }

    fn line(&self, y: &[f64], tokens: f64) -> f64 {
        let x = &self.tokens;
        let last = x.len() - 1;
        let tokens = if self.extrapolate {
            tokens
        } else {
            tokens.clamp(x[0], x[last])
        };
        let high = x.partition_point(|knot| *knot < tokens).clamp(1, last);
        let low = high - 1;
        let slope = (y[high] - y[low]) / (x[high] - x[low]);
        slope * (tokens - x[low]) + y[low]
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::splitwise_table::*;

    const SMALL: &str = "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,tensor_parallel\n\
        m,g,100,1,8,125,250,8\nm,g,100,1,8,500,250,8\nm,g,50,2,8,250,250,8\nm,g,200,1,8,250,500,8\nm,g,200,1,8,750,500,8\n\
        m,g,400,1,8,1500,1000,8\n";

    fn small() -> IterationTimes {
        parse(SMALL)
            .expect("reads")
            .select("m", "g", 8)
            .expect("is there")
    }

    fn parse(text: &str) -> Result<SplitwiseTable> {
        SplitwiseTable::parse(Input::from_bytes("t", text.to_owned())?)
    }

    /// 100 tokens: the median of 125, 500 and 250 ms (50 * 2 is 100, too); 200: the mean of 250 and 750.
    #[test]
    fn knots_are_medians_and_lines_join_them() {
        let times = small();
        assert_eq!(times.tokens, [100.0, 200.0, 400.0]);
        assert_eq!(times.prompt, [0.25, 0.5, 1.5]);
        assert_eq!(times.token, [0.25, 0.5, 1.0]);
        // 0.5 + 50 * 1.0 / 200; the first segment extended: 0.25 - 100 * 0.25 / 100; the last: 1.5 + 100 * 1.0 / 200.
        assert!((times.prompt(250.0) - 0.75).abs() < 1e-15);
        assert!(times.prompt(0.0).abs() < 1e-15);
        assert!((times.prompt(500.0) - 2.0).abs() < 1e-15);
        let clamped = times.extrapolate(false);
        assert_eq!((clamped.prompt(0.0), clamped.prompt(500.0)), (0.25, 1.5));
        assert!(
            clamped.is_outside(99.0) && clamped.is_outside(401.0) && !clamped.is_outside(400.0)
        );
    }

    #[test]
    fn an_iteration_is_of_prompts_of_tokens_or_mixed() {
        let times = small();
        assert_eq!(times.iteration(Some(200), 0), 0.5);
        assert_eq!(times.iteration(None, 200), 0.5);
        assert_eq!(times.iteration(Some(150), 50), 0.5 * 1.1);
    }

    /// Values of the published measurements on H100: knots, and prompt(1) and token(1), which were not measured.
    #[test]
    fn the_built_in_table() {
        let table = SplitwiseTable::builtin();
        assert_eq!(table.groups.len(), 12);
        let h100 = table.select("bloom-176b", "h100-80gb", 8).expect("H100");
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(h100.prompt(128.0), 0.048_284_4);
        near(h100.prompt(32768.0), 4.996_450_7);
        near(h100.token(512.0), 0.036_166_2);
        near(h100.token(1.0), 0.035_327);
        near(h100.prompt(1.0), 0.045_412);
        let a100 = table.select("bloom-176b", "a100-80gb", 8).expect("A100");
        near(a100.token(64.0), 0.047_564_8);
        let text = table.select("bloom", "h100-80gb", 8).expect_err("unknown");
        assert!(
            text.to_string()
                .contains("measured: bloom-176b a100-80gb TP8")
        );
    }

    #[test]
    fn medians_read_back() {
        let table = SplitwiseTable::builtin();
        let text = table.to_csv();
        assert_eq!(text, BUILTIN);
        assert_eq!(&parse(&text).expect("reads"), table);
    }

    #[test]
    fn bad_tables() {
        for (text, expected) in [
            ("model,hardware\n", "t:1: has no column `tensor_parallel`"),
            ("", "t: is empty; expected the columns model,hardware"),
            (
                "model,hardware,tensor_parallel,batch_tokens,prompt_seconds,token_seconds\nm,g,8,x,1,1\n",
                "t:2: `batch_tokens`: expected a whole number, found `x`",
            ),
            (
                "model,hardware,tensor_parallel,batch_tokens,prompt_seconds,token_seconds\nm,g,8,1,1,1\n",
                "fewer than two batch sizes",
            ),
            (
                "model,hardware,tensor_parallel,batch_tokens,prompt_seconds,token_seconds\n",
                "has no rows",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
