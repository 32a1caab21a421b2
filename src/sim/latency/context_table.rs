//! A table of measured steps, in the user's own CSV.
//!
//! A header names the columns, in any order; names of Vidur's and LLMServingSim's tables are understood too:
//!
//! | column | or | what |
//! |---|---|---|
//! | `tokens` | | all tokens computed in the step, one for each decode included |
//! | `prefill_tokens` | `num_prefill_tokens`, `prefill_chunk` | prompt tokens computed; without this column, `tokens` less `decodes` |
//! | `prefill_context` | `prefill_kv`, `kv_prefill` | tokens of these prompts whose KV cache existed before, summed |
//! | `decodes` | `num_decode`, `n_decode` | requests that decode one token |
//! | `context` | `decode_kv_avg`, `kv_decode` | their mean context in tokens |
//! | `ms` | `total_ms`, `time_ms`; `us`, `time_us`; `seconds` | duration of the step |
//!
//! A missing column has no influence. Times are interpolated on the measured grid (see `grid.rs`); outside it, the edge is used
//! and the step is counted. Steps without prefills, without decodes, and with both are three tables; if steps with both were not
//! measured, decodes are assumed to add as much as they add to the cheapest decode step, and the step counts as outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::{Clamped, LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::base::table::TableReader;

/// Columns, each with its other names.
const COLUMNS: [&[&str]; 8] = [
    &["tokens"],
    &["prefill_tokens", "num_prefill_tokens", "prefill_chunk"],
    &["prefill_context", "prefill_kv", "kv_prefill"],
    &["decodes", "num_decode", "n_decode"],
    &["context", "decode_kv_avg", "kv_decode"],
    &["ms", "total_ms", "time_ms"],
    &["us", "time_us"],
    &["seconds"],
];
const TOKENS: usize = 0;
const PREFILL: usize = 1;
const PAST: usize = 2;
const DECODES: usize = 3;
const CONTEXT: usize = 4;
/// Columns of times, with what makes them milliseconds.
const TIMES: [(usize, f64); 3] = [(5, 1.0), (6, 1e-3), (7, 1e3)];

/// The measured steps.
#[derive(Debug)]
struct Tables {
    /// Prefill steps, by prompt tokens and their context.
    prefill: Option<Grid<2>>,
    /// Decode steps, by decodes and their mean context.
    decode: Option<Grid<2>>,
    /// Steps with both, by all four.
    mixed: Option<Grid<4>>,
}

/// Durations from a table of measured steps.
#[derive(Debug, Clone)]
pub struct ContextTable {
    tables: Arc<Tables>,
    clamped: Clamped,
}

/// Location of the table of measured steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextTableConfig {
    /// The file.
    pub file: PathBuf,
}

impl LatencyParameters for ContextTableConfig {
    const CARD: Card = Card::new("context-table", "a table of measured whole steps");

    fn prepare(&self, _: &LatencyContext<'_>) -> Result<LatencyFactory> {
        Ok(LatencyFactory::copies_of(ContextTable::load(&self.file)?))
    }
}

impl ContextTable {
    /// Reads a table.
    ///
    /// # Errors
    /// A file that cannot be read, or that has no rows, no times, or no column that the time depends on.
    pub fn load(path: &Path) -> Result<Self> {
        let (mut prefill, mut decode, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let expected =
            "expected the columns prefill_tokens, prefill_context, decodes, context and ms";
        let refuse = |problem: &str| Err(Error::input(Location::line(path, 1), problem, expected));
        let table = TableReader::open(Input::open(path)?, &COLUMNS, 0)?;
        let has = std::array::from_fn::<bool, { COLUMNS.len() }, _>(|column| table.has(column));
        if ![TOKENS, PREFILL, DECODES].iter().any(|column| has[*column]) {
            return refuse("has no column of tokens or decodes");
        }
        let Some((time, factor)) = TIMES.iter().find(|(column, _)| has[*column]) else {
            return refuse("has no column `ms`");
        };
        table.each_row(|row| {
            let number = |column: usize| match has[column] {
                true => row.number(column),
                false => Ok(0.0),
            };
            let time = row.number(*time)? * factor;
            let decodes = number(DECODES)?;
            let chunk = if has[PREFILL] {
                number(PREFILL)?
            } else {
                (number(TOKENS)? - decodes).max(0.0)
            };
            let (past, context) = (number(PAST)?, number(CONTEXT)?);
            match (chunk > 0.0, decodes > 0.0) {
                (true, false) => prefill.push(([chunk, past], time)),
                (false, true) => decode.push(([decodes, context], time)),
                (true, true) => mixed.push(([chunk, past, decodes, context], time)),
                (false, false) => {}
            }
            Ok(())
        })?;
        if prefill.is_empty() && decode.is_empty() && mixed.is_empty() {
            return refuse("has no rows with tokens");
        }
        if !mixed.is_empty() {
            // Fewer decodes than measured add between nothing and as much as the fewest measured ones add, if both are
            // known.
            let known: Vec<[f64; 2]> = mixed.iter().map(|(keys, _)| [keys[0], keys[1]]).collect();
            let alone = prefill.iter().filter(|(keys, _)| known.contains(keys));
            let alone = alone.map(|([chunk, past], time)| ([*chunk, *past, 0.0, 0.0], *time));
            mixed.extend(alone.collect::<Vec<_>>());
            let without = decode
                .iter()
                .map(|([decodes, context], time)| ([0.0, 0.0, *decodes, *context], *time));
            mixed.extend(without);
        }
        Ok(Self {
            tables: Arc::new(Tables {
                prefill: Grid::new(prefill),
                decode: Grid::new(decode),
                mixed: Grid::new(mixed),
            }),
            clamped: Clamped::default(),
        })
    }
}

impl Tables {
    fn milliseconds(&self, step: &Step, outside: &mut bool) -> f64 {
        let chunk = step.prefill_tokens() as f64;
        let past: u64 = step
            .prefills
            .iter()
            .map(|chunk| u64::from(chunk.past))
            .sum();
        let past = past as f64;
        let (decodes, context) = (f64::from(step.decodes), step.mean_decode_context());
        match (self, step.prefills.is_empty(), step.decodes == 0) {
            (_, true, true) => 0.0,
            (
                Self {
                    prefill: Some(prefill),
                    ..
                },
                false,
                true,
            ) => prefill.at(&[chunk, past], outside),
            (
                Self {
                    decode: Some(decode),
                    ..
                },
                true,
                false,
            ) => decode.at(&[decodes, context], outside),
            (
                Self {
                    mixed: Some(mixed), ..
                },
                ..,
            ) => mixed.at(&[chunk, past, decodes, context], outside),
            (
                Self {
                    prefill, decode, ..
                },
                ..,
            ) => {
                *outside = true;
                let alone = prefill
                    .as_ref()
                    .map(|table| table.at(&[chunk, past], outside));
                let with = decode
                    .as_ref()
                    .map(|table| (table.at(&[decodes, context], outside), table.smallest()));
                match (alone, with) {
                    (Some(alone), Some((with, least))) => alone + with - least,
                    (Some(time), None) | (None, Some((time, _))) => time,
                    (None, None) => 0.0,
                }
            }
        }
    }
}

impl LatencyModel for ContextTable {
    fn seconds(&mut self, step: &Step) -> f64 {
        let mut outside = false;
        let time = self.tables.milliseconds(step, &mut outside);
        self.clamped.of += 1;
        self.clamped.steps += u64::from(outside);
        time / 1e3
    }

    fn clamped(&self) -> Clamped {
        self.clamped
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::Chunk;
    use crate::sim::latency::context_table::*;
    use proptest::prelude::*;

    fn table(text: &str) -> Result<ContextTable> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("writes");
        ContextTable::load(file.path())
    }

    fn step(tokens: u32, past: u32, decodes: u32, context: u64) -> Step {
        Step {
            prefills: (tokens > 0)
                .then_some(Chunk { tokens, past })
                .into_iter()
                .collect(),
            decodes,
            decode_context: context * u64::from(decodes),
            sampled: decodes,
        }
    }

    #[test]
    fn three_tables_of_one_file() {
        let text = "decodes,context,prefill_tokens,prefill_context,ms\n\
            0,0,100,0,10\n0,0,200,0,20\n0,0,200,100,24\n1,100,0,0,5\n1,200,0,0,6\n3,100,0,0,7\n3,200,0,0,8\n\
            2,100,100,0,13\n";
        let mut table = table(text).expect("reads");
        let mut ms = |step| (table.seconds(&step) * 1e3, table.clamped().steps);
        // Half of the way between 100 (10) and 200 (20), whose context has no part at 100.
        assert_eq!(ms(step(150, 0, 0, 0)), (15.0, 0));
        assert_eq!(ms(step(200, 50, 0, 0)), (22.0, 0));
        // Between 1 and 3 decodes, at 150: (5.5 + 7.5) / 2.
        assert_eq!(ms(step(0, 0, 2, 150)), (6.5, 0));
        // A prefill with one decode: between 10 without and 13 with two.
        assert_eq!(ms(step(100, 0, 1, 100)), (11.5, 0));
        assert_eq!(ms(step(400, 0, 0, 0)), (20.0, 1));
        assert_eq!(ms(step(0, 0, 9, 100)), (7.0, 2));
        assert_eq!(ms(step(0, 0, 0, 0)), (0.0, 2));
    }

    #[test]
    fn names_units_and_what_was_not_measured() {
        // Vidur's names; the total of decodes and unknown columns are ignored.
        let text = "num_prefill_tokens,prefill_kv,num_decode,decode_kv_avg,decode_kv_total,total_ms\n\
            100,0,0,0,0,10\n0,0,1,64,64,4\n0,0,2,64,128,5\n";
        let mut vidur = table(text).expect("reads");
        assert_eq!(vidur.seconds(&step(0, 0, 2, 64)), 0.005);
        // Both at once were not measured: 10 + (5 - 4), and counted.
        assert_eq!(vidur.seconds(&step(100, 0, 2, 64)), 0.011);
        assert_eq!(vidur.clamped(), Clamped { steps: 1, of: 2 });
        // All tokens, one of them a decode's, in microseconds.
        let mut total = table("tokens,decodes,time_us\n101,1,4000\n51,1,2000\n").expect("reads");
        assert_eq!(total.seconds(&step(75, 9, 1, 64)), 0.003);
        assert_eq!(total.clamped().steps, 0);
        for (text, expected) in [
            ("tokens\n1\n", "has no column `ms`"),
            ("context,ms\n1,1\n", "no column of tokens"),
            ("tokens,ms\n", "no rows"),
            ("tokens,ms\n1,x\n", ":2: `ms`: expected a number, found `x`"),
            ("tokens,ms\n1,inf\n", "found `inf`"),
        ] {
            let told = table(text).expect_err("refused").to_string();
            assert!(told.contains(expected), "{told}");
        }
    }

    proptest! {
        /// A table that grows along every axis gives times that do.
        #[test]
        fn grows_with_the_table(
            tokens in 0u32..600, past in 0u32..600, decodes in 0u32..40, context in 0u64..600, axis in 0usize..4,
        ) {
            let mut text = String::from("prefill_tokens,prefill_context,decodes,context,ms\n");
            for t in [0, 16, 64, 512] {
                for p in if t == 0 { &[0][..] } else { &[0, 128, 512] } {
                    for d in [0, 1, 8, 32] {
                        for c in [16, 512] {
                            let ms = 1.0 + f64::from(t) * 0.1 + f64::from(*p) * 0.01 + f64::from(d) * (0.2 + f64::from(c) * 0.001);
                            text.push_str(&format!("{t},{p},{d},{c},{ms}\n"));
                        }
                    }
                }
            }
            let mut table = table(&text).expect("reads");
            let (tokens, decodes) = (tokens.max(1), decodes.max(1));
            let less = table.seconds(&step(tokens, past, decodes, context));
            let add = |index: usize| u32::from(index == axis) * 50;
            let more = table.seconds(&step(tokens + add(0), past + add(1), decodes + add(2), context + u64::from(add(3))));
            prop_assert!(less.is_finite() && less >= 0.0 && more >= less - 1e-12, "{less} {more}");
        }
    }
}
