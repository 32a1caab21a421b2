//! A profile of kernels: the duration of each layer on one machine, in the form of LLMServingSim's `profiler/perf`.
//!
//! A folder of CSV files, plain or compressed, times in microseconds:
//!
//! | file | columns | what |
//! |---|---|---|
//! | `dense.csv` | `layer, tokens, time_us` | layers whose time depends on the step's tokens |
//! | `per_sequence.csv` | `layer, sequences, time_us` | output head and sampler |
//! | `attention.csv` | `prefill_chunk, kv_prefill, n_decode, kv_decode, time_us` | attention of one layer, prefills and decodes together |
//! | `moe.csv` | `tokens, activated_experts, time_us` | experts, if the model has them |
//!
//! A step takes: embedding, final norm, output head and sampler once; the norm and all-reduce of each layer twice; its
//! other parts once; and the host overhead, the only number that is not in the profile (`replay calibrate` fits it; a
//! negative one means that the engine runs kernels faster than they were timed). Prefills count by the sums of their tokens
//! and of their contexts, decodes by their number and mean context, as they were measured. The number of experts that a
//! batch uses is the expected one, if each token chose at random.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grid::{Grid, file_in};
use super::{Clamped, LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::base::table::TableReader;
use crate::cache::capacity::ModelConfig;

/// Number of times that a part of the model runs in a step.
#[derive(Clone, Copy)]
enum Place {
    Once,
    EachLayer(f64),
    FeedForward,
}

/// The parts that a profile can have.
const PARTS: [(&str, Place); 12] = [
    ("embedding", Place::Once),
    ("final_layernorm", Place::Once),
    ("layernorm", Place::EachLayer(2.0)),
    ("qkv_proj", Place::EachLayer(1.0)),
    ("qk_norm", Place::EachLayer(1.0)),
    ("rotary_emb", Place::EachLayer(1.0)),
    ("o_proj", Place::EachLayer(1.0)),
    ("all_reduce", Place::EachLayer(2.0)),
    ("gate_up_proj", Place::FeedForward),
    ("act_fn", Place::FeedForward),
    ("down_proj", Place::FeedForward),
    ("mlp", Place::FeedForward),
];

/// Experts of a model.
#[derive(Debug, Clone)]
struct Experts {
    layers: f64,
    /// Time by tokens and experts used, in microseconds.
    time: Grid<2>,
    count: f64,
    /// Fraction of the experts that a token does not use.
    missed: f64,
}

/// The measured tables.
#[derive(Debug)]
struct Tables {
    layers: f64,
    /// All parts that depend on tokens alone, of the whole model.
    tokens: Grid<1>,
    /// Output head and sampler.
    sequences: Grid<1>,
    /// Attention of one layer in steps without decodes, by tokens and context of prefills.
    prefill: Option<Grid<2>>,
    /// Attention of one layer in other steps, by tokens and context of prefills, decodes and their mean context.
    mixed: Option<Grid<4>>,
    experts: Option<Experts>,
}

/// Durations from a profile of kernels.
#[derive(Debug, Clone)]
pub struct Profile {
    tables: Arc<Tables>,
    host_overhead: f64,
    clamped: Clamped,
}

/// Measured points of a curve.
type Points = Vec<([f64; 1], f64)>;

/// Adds up curves, each with a factor.
fn sum(curves: &[(f64, Grid<1>)]) -> Option<Grid<1>> {
    let mut knots: Vec<f64> = curves
        .iter()
        .flat_map(|(_, curve)| curve.knots())
        .copied()
        .collect();
    knots.sort_by(f64::total_cmp);
    knots.dedup();
    let total = |knot: f64| {
        let parts = curves.iter();
        parts
            .map(|(factor, curve)| factor * curve.at(&[knot], &mut false))
            .sum()
    };
    Grid::new(
        knots
            .into_iter()
            .map(|knot| ([knot], total(knot)))
            .collect(),
    )
}

/// The curves of a file with a column of layers, in the order of their names.
fn curves(path: &Path, axis: &str) -> Result<Vec<(String, Grid<1>)>> {
    let mut rows: Vec<(String, Points)> = Vec::new();
    TableReader::open(Input::open(path)?, &["layer", axis, "time_us"], 3)?.each_row(|row| {
        let point = ([row.number(1)?], row.number(2)?);
        let name = row.text(0)?;
        // Rows of a layer are adjacent.
        match rows.iter_mut().rfind(|(known, _)| known == name) {
            Some((_, points)) => points.push(point),
            None => rows.push((name.to_owned(), vec![point])),
        }
        Ok(())
    })?;
    Ok(rows
        .into_iter()
        .filter_map(|(name, points)| Grid::new(points).map(|grid| (name, grid)))
        .collect())
}

/// An error for a file without rows.
fn empty(path: &Path) -> Error {
    Error::input(
        Location::file(path),
        "has no rows",
        "check how the profile was made",
    )
}

/// Location of the profile of a GPU's kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// Folder with dense.csv, per_sequence.csv and attention.csv.
    pub folder: PathBuf,
    /// Milliseconds per step in which no kernel runs; `replay calibrate` fits them.
    #[serde(default)]
    pub host_overhead_ms: f64,
}

impl LatencyParameters for ProfileConfig {
    const CARD: Card = Card::new("profile", "a profile of kernels");
    const NEEDS_MODEL: bool = true;

    fn prepare(&self, context: &LatencyContext<'_>) -> Result<LatencyFactory> {
        let model = context.model(Self::CARD.name)?;
        let profile = Profile::load(&self.folder, model, self.host_overhead_ms)?;
        Ok(LatencyFactory::copies_of(profile))
    }
}

impl Profile {
    /// Reads the profile in a folder, for a model of `layers`.
    ///
    /// # Errors
    /// Files that are missing or malformed, unknown layer names, or experts in only one of model and profile.
    pub fn load(folder: &Path, model: &ModelConfig, host_overhead_ms: f64) -> Result<Self> {
        if !host_overhead_ms.is_finite() {
            return Err(Error::usage(
                format!("the host overhead is {host_overhead_ms} ms"),
                "give a finite number of milliseconds; `replay calibrate` fits it",
            ));
        }
        let Some(shapes) = model.shapes() else {
            return Err(Error::usage(
                format!("{} does not contain the sizes of its layers", model.name()),
                "give the complete config.json",
            ));
        };
        let needed = |name: &str| {
            file_in(folder, name).ok_or_else(|| {
                Error::input(
                    Location::file(folder),
                    format!("has no {name}"),
                    "give a folder with dense.csv, per_sequence.csv and attention.csv",
                )
            })
        };
        let layers = shapes.layers as f64;
        let sparse = shapes.experts.map_or(0.0, |experts| experts.layers as f64);
        let path = needed("dense.csv")?;
        let mut parts = Vec::new();
        for (name, curve) in curves(&path, "tokens")? {
            let Some((_, place)) = PARTS.iter().find(|(known, _)| *known == name) else {
                return Err(Error::input(
                    Location::file(&path),
                    format!("has an unknown layer `{name}`"),
                    format!("known: {}", PARTS.map(|(name, _)| name).join(", ")),
                ));
            };
            let times = match place {
                Place::Once => 1.0,
                Place::EachLayer(times) => layers * times,
                Place::FeedForward => layers - sparse,
            };
            parts.push((times, curve));
        }
        let tokens = sum(&parts).ok_or_else(|| empty(&path))?;
        let path = needed("per_sequence.csv")?;
        let parts: Vec<_> = curves(&path, "sequences")?
            .into_iter()
            .map(|(_, curve)| (1.0, curve))
            .collect();
        let sequences = sum(&parts).ok_or_else(|| empty(&path))?;
        let path = needed("attention.csv")?;
        let (mut prefill, mut mixed) = (Vec::new(), Vec::new());
        let names = [
            "prefill_chunk",
            "kv_prefill",
            "n_decode",
            "kv_decode",
            "time_us",
        ];
        TableReader::open(Input::open(&path)?, &names, 5)?.each_row(|row| {
            let [chunk, past, decodes, context] = [
                row.number(0)?,
                row.number(1)?,
                row.number(2)?,
                row.number(3)?,
            ];
            let time = row.number(4)?;
            // A chunk that was measured only without decodes gives no time for steps with decodes.
            if decodes == 0.0 {
                prefill.push(([chunk, past], time));
            } else {
                mixed.push(([chunk, past, decodes, context], time));
            }
            Ok(())
        })?;
        if prefill.is_empty() && mixed.is_empty() {
            return Err(empty(&path));
        }
        let experts = match (shapes.experts, file_in(folder, "moe.csv")) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(Error::input(
                    Location::file(folder),
                    format!("has no moe.csv, although {} has experts", model.name()),
                    "give the profile of the same model",
                ));
            }
            (Some(experts), Some(path)) => {
                let mut rows = Vec::new();
                let names = ["tokens", "activated_experts", "time_us"];
                TableReader::open(Input::open(&path)?, &names, 3)?.each_row(|row| {
                    rows.push(([row.number(0)?, row.number(1)?], row.number(2)?));
                    Ok(())
                })?;
                Some(Experts {
                    layers: sparse,
                    time: Grid::new(rows).ok_or_else(|| empty(&path))?,
                    count: experts.count as f64,
                    missed: 1.0 - experts.active as f64 / experts.count as f64,
                })
            }
        };
        Ok(Self {
            tables: Arc::new(Tables {
                layers,
                tokens,
                sequences,
                prefill: Grid::new(prefill),
                mixed: Grid::new(mixed),
                experts,
            }),
            host_overhead: host_overhead_ms / 1e3,
            clamped: Clamped::default(),
        })
    }

    /// The same profile with another overhead, without reading it again.
    pub fn with_host_overhead(&self, milliseconds: f64) -> Self {
        Self {
            tables: Arc::clone(&self.tables),
            host_overhead: milliseconds / 1e3,
            clamped: Clamped::default(),
        }
    }
}

impl Tables {
    /// Duration on the GPU in microseconds.
    fn microseconds(&self, step: &Step, outside: &mut bool) -> f64 {
        let tokens = step.tokens() as f64;
        let mut time = self.tokens.at(&[tokens], outside)
            + self.sequences.at(&[f64::from(step.requests())], outside);
        let chunk = step.prefill_tokens() as f64;
        let past: u64 = step
            .prefills
            .iter()
            .map(|chunk| u64::from(chunk.past))
            .sum();
        let decodes = f64::from(step.decodes);
        time += self.layers
            * match (&self.prefill, &self.mixed) {
                (Some(prefill), mixed) if step.decodes == 0 || mixed.is_none() => {
                    *outside |= step.decodes > 0;
                    prefill.at(&[chunk, past as f64], outside)
                }
                (_, Some(mixed)) => {
                    let context = step.mean_decode_context();
                    mixed.at(&[chunk, past as f64, decodes, context], outside)
                }
                _ => 0.0,
            };
        if let Some(experts) = &self.experts {
            let touched = experts.count * (1.0 - experts.missed.powf(tokens));
            time += experts.layers * experts.time.at(&[tokens, touched], outside);
        }
        time
    }
}

impl LatencyModel for Profile {
    fn seconds(&mut self, step: &Step) -> f64 {
        let mut outside = false;
        let time = self.tables.microseconds(step, &mut outside);
        self.clamped.of += 1;
        self.clamped.steps += u64::from(outside);
        (time / 1e6 + self.host_overhead).max(0.0)
    }

    fn clamped(&self) -> Clamped {
        self.clamped
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::Chunk;
    use crate::sim::latency::profile::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("writes");
    }

    /// Two of the model's 32 layers' parts, with round figures.
    fn sample(folder: &Path) {
        write(
            folder,
            "dense.csv",
            "layer,tokens,time_us\nlayernorm,1,1\nlayernorm,101,2\nqkv_proj,1,10\nqkv_proj,101,60\nembedding,1,5\n",
        );
        write(
            folder,
            "per_sequence.csv",
            "layer,sequences,time_us\nlm_head,1,100\nsampler,1,10\nlm_head,3,120\n",
        );
        write(
            folder,
            "attention.csv",
            "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,100,2\n0,0,1,200,4\n0,0,3,100,6\n0,0,3,200,8\n\
             50,0,0,0,10\n100,0,0,0,20\n100,100,0,0,30\n100,0,1,100,23\n",
        );
    }

    fn step(prefills: &[(u32, u32)], decodes: u32, context: u64) -> Step {
        Step {
            prefills: prefills
                .iter()
                .map(|(tokens, past)| Chunk {
                    tokens: *tokens,
                    past: *past,
                })
                .collect(),
            decodes,
            decode_context: context,
            sampled: decodes,
        }
    }

    #[test]
    fn parts_add_up() {
        let folder = tempfile::tempdir().expect("folder");
        sample(folder.path());
        let model = ModelConfig::builtin("llama-3-8b").expect("built in");
        let mut profile = Profile::load(folder.path(), &model, 1.5).expect("loads");
        let mut time = |step| profile.seconds(&step) * 1e6;
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        // Two decodes of 150 tokens: 32 x (2 x 1.01 + 10.5) + 5; head 110 + sampler 10; attention 32 x (3 + 7) / 2; host 1500.
        near(
            time(step(&[], 2, 300)),
            32.0 * (2.02 + 10.5) + 5.0 + 120.0 + 32.0 * 5.0 + 1500.0,
        );
        // One chunk of 75: 32 x (2 x 1.74 + 47) + 5; 110; 32 x 15.
        near(
            time(step(&[(75, 0)], 0, 0)),
            32.0 * (3.48 + 47.0) + 5.0 + 110.0 + 32.0 * 15.0 + 1500.0,
        );
        // Chunks of 60 and 40, the second with 50 tokens before it: 32 x (2 x 1.99 + 59.5) + 5; 120; 32 x 25.
        near(
            time(step(&[(60, 0), (40, 50)], 0, 0)),
            32.0 * (3.98 + 59.5) + 5.0 + 120.0 + 32.0 * 25.0 + 1500.0,
        );
        // 100 and a decode: 101 tokens, 2 sequences, a measured point.
        near(
            time(step(&[(100, 0)], 1, 100)),
            32.0 * (4.0 + 60.0) + 5.0 + 120.0 + 32.0 * 23.0 + 1500.0,
        );
        assert_eq!(profile.clamped(), Clamped { steps: 0, of: 4 });
        // Beyond 101 tokens and 3 sequences: at the edge, and counted.
        profile.seconds(&step(&[(200, 0)], 0, 0));
        profile.seconds(&step(&[], 4, 400));
        assert_eq!(profile.clamped(), Clamped { steps: 2, of: 6 });
        assert_eq!(profile.with_host_overhead(0.0).clamped().of, 0);
    }

    #[test]
    fn what_is_wrong_with_a_profile() {
        let model = ModelConfig::builtin("llama-3-8b").expect("built in");
        let told = |change: &dyn Fn(&Path), model: &ModelConfig| {
            let folder = tempfile::tempdir().expect("folder");
            sample(folder.path());
            change(folder.path());
            let error = Profile::load(folder.path(), model, 0.0).expect_err("refused");
            error.to_string()
        };
        let text = told(
            &|folder| write(folder, "dense.csv", "layer,tokens,time_us\nx,1,1\n"),
            &model,
        );
        assert!(text.contains("unknown layer `x`"), "{text}");
        let text = told(
            &|folder| write(folder, "dense.csv", "layer,tokens\nx,1\n"),
            &model,
        );
        assert!(
            text.contains("dense.csv:1: has no column `time_us`"),
            "{text}"
        );
        let text = told(
            &|folder| {
                write(
                    folder,
                    "per_sequence.csv",
                    "layer,sequences,time_us\nlm_head,1,-4\n",
                )
            },
            &model,
        );
        assert!(text.contains("per_sequence.csv:2: `time_us`"), "{text}");
        let text = told(
            &|folder| {
                write(
                    folder,
                    "attention.csv",
                    "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n",
                )
            },
            &model,
        );
        assert!(text.contains("has no rows"), "{text}");
        let experts = ModelConfig::builtin("qwen3-30b-a3b").expect("built in");
        let text = told(&|_| (), &experts);
        assert!(text.contains("has no moe.csv"), "{text}");
    }

    #[test]
    fn experts_by_the_number_touched() {
        let folder = tempfile::tempdir().expect("folder");
        sample(folder.path());
        write(
            folder.path(),
            "moe.csv",
            "tokens,activated_experts,time_us\n1,8,50\n2,8,60\n2,16,68\n",
        );
        let model = ModelConfig::builtin("qwen3-30b-a3b").expect("built in");
        let mut profile = Profile::load(folder.path(), &model, 0.0).expect("loads");
        // 48 layers; two tokens touch 128 x (1 - (120/128)^2) = 15.5 experts: 60 + 7.5.
        let time = profile.seconds(&step(&[], 2, 300)) * 1e6;
        let expected = 48.0 * (2.02 + 10.5) + 5.0 + 120.0 + 48.0 * 5.0 + 48.0 * 67.5;
        assert!((time - expected).abs() < 1e-6, "{time} {expected}");
    }
}
