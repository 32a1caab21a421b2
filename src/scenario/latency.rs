//! Latency models by name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::random::stream;
use crate::cache::capacity::ModelConfig;
use crate::sim::latency::{
    BatchingOverhead, Constant, ContextTable, Exponential, Gpu, LatencyModel, Linear, Profile,
    Roofline, RooflineConfig, SplitwiseTable, SplitwiseTimes, VidurTable,
};

/// How long a step takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatencyConfig {
    /// From the model's sizes and the GPU's data sheet.
    Roofline(RooflineConfig),
    /// Linear in tokens, as vLLM's simulator.
    Linear(Linear),
    /// The same for every step.
    Constant {
        /// Seconds of a step.
        seconds: f64,
    },
    /// Drawn from an exponential distribution.
    Exponential {
        /// Mean seconds of a step.
        mean_seconds: f64,
    },
    /// Iteration times as the Splitwise authors measured them.
    SplitwiseTable {
        /// Model in the table.
        model: String,
        /// GPUs in the table.
        hardware: String,
        /// GPUs of an instance, in the table.
        tensor_parallel: u32,
        /// Another file of the same form than the one that ships.
        file: Option<PathBuf>,
    },
    /// Vidur's tables of operations.
    VidurTable {
        /// One that ships, or the beginning of the files' names.
        table: String,
        /// Folder of the files.
        folder: Option<PathBuf>,
        /// Part that attention takes longer where several prompts share a step.
        #[serde(default = "tenth")]
        prefill_batching_overhead: f64,
        /// The same for decodes.
        #[serde(default = "tenth")]
        decode_batching_overhead: f64,
    },
    /// A profile of kernels.
    Profile {
        /// Folder with dense.csv, per_sequence.csv and attention.csv.
        folder: PathBuf,
        /// Milliseconds per step that no kernel takes; `replay calibrate` finds them.
        #[serde(default)]
        host_overhead_ms: f64,
    },
    /// A table of whole steps that somebody measured.
    ContextTable {
        /// The file.
        file: PathBuf,
    },
}

fn tenth() -> f64 {
    0.1
}

impl Default for LatencyConfig {
    fn default() -> Self {
        Self::Roofline(RooflineConfig::default())
    }
}

/// A model that was read once; instances get copies.
#[derive(Debug, Clone)]
pub(super) enum Prototype {
    Roofline(Roofline),
    Linear(Linear),
    Constant(Constant),
    Exponential(f64, u64),
    Splitwise(SplitwiseTimes),
    Vidur(VidurTable),
    Profile(Profile),
    Context(ContextTable),
}

impl LatencyConfig {
    /// Reads what it needs: for a model (where the rule asks for one) on GPUs of a kind.
    pub(super) fn prepare(
        &self,
        model: Option<&ModelConfig>,
        gpu: &str,
        seed: u64,
    ) -> Result<Prototype> {
        let wants_model = |what: &str| {
            model.ok_or_else(|| {
                Error::usage(
                    format!("latency `{what}` needs a model's sizes"),
                    "name a built-in model under [model], or give its config.json there",
                )
            })
        };
        Ok(match self {
            Self::Roofline(config) => {
                let model = wants_model("roofline")?;
                Prototype::Roofline(Roofline::new(&Gpu::by_name(gpu)?, model, *config)?)
            }
            Self::Linear(linear) => {
                let numbers = [
                    linear.base_ms,
                    linear.prefill_ms_per_token,
                    linear.decode_ms_per_request,
                    linear.context_ms_per_token,
                ];
                for number in numbers {
                    at_least_0("latency `linear`", number)?;
                }
                Prototype::Linear(*linear)
            }
            Self::Constant { seconds } => {
                at_least_0("latency `constant`", *seconds)?;
                Prototype::Constant(Constant { seconds: *seconds })
            }
            Self::Exponential { mean_seconds } => {
                if Exponential::new(*mean_seconds, stream(0, "check", 0)).is_none() {
                    return Err(Error::usage(
                        format!("latency `exponential` with a mean of {mean_seconds} s"),
                        "give a mean above 0",
                    ));
                }
                Prototype::Exponential(*mean_seconds, seed)
            }
            Self::SplitwiseTable {
                model,
                hardware,
                tensor_parallel,
                file,
            } => {
                let select =
                    |table: &SplitwiseTable| table.select(model, hardware, *tensor_parallel);
                let times = match file {
                    Some(file) => select(&SplitwiseTable::read(file)?)?,
                    None => select(SplitwiseTable::builtin())?,
                };
                Prototype::Splitwise(SplitwiseTimes::new(times))
            }
            Self::VidurTable {
                table,
                folder,
                prefill_batching_overhead,
                decode_batching_overhead,
            } => Prototype::Vidur(match folder {
                None => VidurTable::preset(table)?,
                Some(folder) => {
                    let overhead = BatchingOverhead {
                        prefill: *prefill_batching_overhead,
                        decode: *decode_batching_overhead,
                    };
                    VidurTable::read(folder, table, overhead)?
                }
            }),
            Self::Profile {
                folder,
                host_overhead_ms,
            } => {
                let model = wants_model("profile")?;
                Prototype::Profile(Profile::load(folder, model, *host_overhead_ms)?)
            }
            Self::ContextTable { file } => Prototype::Context(ContextTable::load(file)?),
        })
    }
}

fn at_least_0(what: &str, number: f64) -> Result<()> {
    if number.is_finite() && number >= 0.0 {
        return Ok(());
    }
    Err(Error::usage(
        format!("{what} has {number}"),
        "give numbers of 0 or more",
    ))
}

impl Prototype {
    /// For one instance.
    pub(super) fn make(&self, instance: u32) -> Box<dyn LatencyModel> {
        match self {
            Self::Roofline(model) => Box::new(model.clone()),
            Self::Linear(model) => Box::new(*model),
            Self::Constant(model) => Box::new(*model),
            Self::Exponential(mean, seed) => {
                let random = stream(*seed, "service", u64::from(instance));
                match Exponential::new(*mean, random) {
                    Some(model) => Box::new(model),
                    // The mean was checked.
                    None => Box::new(Constant { seconds: *mean }),
                }
            }
            Self::Splitwise(model) => Box::new(model.clone()),
            Self::Vidur(model) => Box::new(model.clone()),
            Self::Profile(model) => Box::new(model.clone()),
            Self::Context(model) => Box::new(model.clone()),
        }
    }
}
