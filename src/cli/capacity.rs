//! `replay capacity`

use clap::Args;
use serde_json::json;

use super::model_args::ModelArgs;
use super::{gpu_name, output};
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::base::units::parse_bytes;
use crate::cache::capacity::{Budget, Fit, GPUS, ModelConfig, gpu_memory};
use crate::cli::ranges::number;
use crate::report::render::{number, table};

/// Arguments of `replay capacity`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay capacity --model llama-3-8b --gpu h100
  replay capacity --model llama-3-8b --memory 80GiB
  replay capacity --model llama-3.1-70b --tensor-parallel 4 --gpu h100-80gb --kv-cache-dtype fp8
  replay capacity --model-config config.json --gpu l40s --weights 16GiB --max-model-len 32768 --json

Rules and sources: docs/capacity.md.")]
pub(super) struct CapacityArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// GPU by name or the beginning of a name, e.g. h100: l4-24gb, a10-24gb, rtx4090-24gb, rtxpro6000-96gb, l40s-48gb, a100-40gb,
    /// a100-80gb, h100-80gb, h200-141gb, b200-192gb or mi300x-192gb
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "memory",
        help_heading = "GPU"
    )]
    gpu: Option<String>,

    /// Memory of one GPU, e.g. 80GiB, in place of --gpu
    #[arg(long, value_name = "SIZE", help_heading = "GPU")]
    memory: Option<String>,

    /// Fraction (0..1) of the memory that the engine may use; vLLM's default is 0.92, and was 0.9
    #[arg(
        long,
        default_value_t = 0.92,
        value_name = "FRACTION",
        help_heading = "GPU", value_parser = number::<f64>(limits::SOME_FRACTION))]
    gpu_memory_utilization: f64,

    /// Weights on each GPU, e.g. 16GiB [default: estimated from the shapes of the model's layers]
    #[arg(long, value_name = "SIZE", help_heading = "GPU")]
    weights: Option<String>,

    /// Activations, CUDA graphs and other memory on each GPU; a guess, which vLLM measures when it starts
    #[arg(
        long,
        default_value = "2GiB",
        value_name = "SIZE",
        help_heading = "GPU"
    )]
    overhead: String,

    /// Tokens per block
    #[arg(long, default_value_t = 16, value_name = "TOKENS", help_heading = "Engine", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: u32,

    /// Longest sequence in tokens [default: the model's own limit]
    #[arg(long, value_name = "TOKENS", help_heading = "Engine", value_parser = number::<u64>(limits::TOKENS))]
    max_model_len: Option<u64>,

    /// Most tokens of a step, which sliding-window layers keep beside their window; vLLM's default is 8192 or 2048, by GPU
    #[arg(long, default_value_t = 8192, value_name = "TOKENS", help_heading = "Engine", value_parser = number::<u64>(limits::TOKENS))]
    max_num_batched_tokens: u64,
}

fn size(flag: &str, text: &str) -> Result<u64> {
    let zero = text.trim() == "0";
    let bytes = if zero { Some(0.0) } else { parse_bytes(text) };
    bytes.map(|bytes| bytes.round() as u64).ok_or_else(|| {
        Error::usage(
            format!("{flag} {text}"),
            "give a size such as 40GiB or 512MiB, up to 1e18 bytes",
        )
    })
}

impl CapacityArgs {
    fn budget(&self, model: &ModelConfig) -> Result<Budget> {
        let memory = match (&self.gpu, &self.memory) {
            (Some(name), _) => gpu_memory(gpu_name::resolve(name, &GPUS.map(|(name, _)| name))?)?,
            (None, Some(text)) => size("--memory", text)?,
            (None, None) => {
                let names = GPUS.map(|(name, _)| name).join(", ");
                return Err(Error::usage(
                    "no memory is given",
                    format!("give --memory 80GiB, or --gpu with one of {names}"),
                ));
            }
        };
        let part = self.gpu_memory_utilization;
        let weights = match &self.weights {
            Some(text) => size("--weights", text)?,
            None => model.weight_bytes().ok_or_else(|| {
                Error::usage(
                    format!(
                        "the size of the weights of {} does not follow from its config.json",
                        model.name()
                    ),
                    "give the size on one GPU, e.g. --weights 16GiB",
                )
            })?,
        };
        let max_length = self.max_model_len.or(model.max_length()).ok_or_else(|| {
            Error::usage(
                format!(
                    "the config.json of {} has no maximum sequence length",
                    model.name()
                ),
                "give --max-model-len",
            )
        })?;
        Ok(Budget {
            memory,
            utilization: part,
            weights,
            overhead: size("--overhead", &self.overhead)?,
            block_size: self.block_size,
            max_length,
            max_batched: self.max_num_batched_tokens,
        })
    }
}

pub(super) fn run(args: &CapacityArgs, json: bool) -> anyhow::Result<()> {
    let Some(model) = args.model.load()? else {
        return Err(Error::usage(
            "no model is named",
            "name it with --model, or give its config.json with --model-config",
        )
        .into());
    };
    let budget = args.budget(&model)?;
    let fit = budget.fit(&model)?;
    if json {
        let storage = model.storage();
        let mut value = serde_json::to_value(&fit)?;
        if let Some(entries) = value.as_object_mut() {
            entries.insert("model".into(), json!(model.name()));
            entries.insert("parameters".into(), json!(model.parameters()));
            entries.insert("tensor_parallel".into(), json!(storage.tensor_parallel));
            entries.insert("pipeline_parallel".into(), json!(storage.pipeline_parallel));
            entries.insert("block_size".into(), json!(budget.block_size));
            entries.insert("memory_bytes".into(), json!(budget.memory));
            entries.insert("gpu_memory_utilization".into(), json!(budget.utilization));
            entries.insert("weights_bytes".into(), json!(budget.weights));
            entries.insert("weights_estimated".into(), json!(args.weights.is_none()));
            entries.insert("overhead_bytes".into(), json!(budget.overhead));
            entries.insert("max_model_len".into(), json!(budget.max_length));
        }
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    output::print(&text(args, &model, &budget, &fit))
}

fn text(args: &CapacityArgs, model: &ModelConfig, budget: &Budget, fit: &Fit) -> String {
    let count = number::thousands;
    let bytes = |n: u64| number::bytes(n as f64);
    let storage = model.storage();
    let gpus = storage.tensor_parallel * storage.pipeline_parallel;
    let mut about = model.name().to_owned();
    if let Some(parameters) = model.parameters() {
        about.push_str(&format!(", {:.2} G parameters", parameters as f64 / 1e9));
    }
    if gpus > 1 {
        about.push_str(&format!(
            ", on {gpus} GPUs ({} x {} stages); figures of one",
            storage.tensor_parallel, storage.pipeline_parallel
        ));
    }
    let source = match args.weights {
        Some(_) => "given",
        None => "estimated",
    };
    let mut rows = vec![
        ("model".to_owned(), about),
        (
            "bytes per token".into(),
            format!("{}{}", count(fit.bytes_per_token), kinds(fit)),
        ),
        (
            "bytes per block".into(),
            match fit.groups {
                1 => format!(
                    "{}   ({} tokens)",
                    count(fit.bytes_per_block),
                    budget.block_size
                ),
                groups => format!(
                    "{}   ({} tokens in one of {groups} groups of layers)",
                    count(fit.bytes_per_block),
                    budget.block_size
                ),
            },
        ),
        (
            "memory".into(),
            format!("{} x {}", bytes(budget.memory), budget.utilization),
        ),
        (
            "weights".into(),
            format!("{}   ({source})", bytes(budget.weights)),
        ),
        ("overhead".into(), bytes(budget.overhead)),
        ("left for KV".into(), bytes(fit.kv_cache_bytes)),
        (
            "blocks".into(),
            format!(
                "{}   (num_gpu_blocks; {} usable beside the null block)",
                count(fit.num_gpu_blocks),
                count(fit.usable_blocks)
            ),
        ),
        ("tokens".into(), count(fit.tokens)),
        (
            "sequences at once".into(),
            format!(
                "{:.2}   (of {} tokens, {} blocks each)",
                fit.max_concurrency,
                count(budget.max_length),
                count(fit.blocks_per_sequence)
            ),
        ),
    ];
    if fit.max_concurrency < 1.0 {
        rows.push((
            "too small".into(),
            "not one sequence of that length fits: lower --max-model-len".into(),
        ));
    }
    table::pairs(&rows)
}

/// Describes how the bytes are divided between kinds of layers, for a model with a sliding window.
fn kinds(fit: &Fit) -> String {
    let count = number::thousands;
    match fit.window {
        None => String::new(),
        Some(window) if fit.bytes_per_token_full == 0 => {
            format!("   (all within a window of {} tokens)", count(window))
        }
        Some(window) => format!(
            "   ({} for good, {} within a window of {} tokens)",
            count(fit.bytes_per_token_full),
            count(fit.bytes_per_token_window),
            count(window)
        ),
    }
}
