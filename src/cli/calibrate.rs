//! `replay calibrate`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::model_args::ModelArgs;
use super::trace_input::TraceArgs;
use super::{gpu_name, output};
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cache::BlockTrace;
use crate::cache::capacity::{GPUS, ModelConfig};
use crate::cache::engine::hash_scheme;
use crate::cli::ranges::number;
use crate::report::render::number::{percent, seconds, thousands};
use crate::report::render::table;
use crate::sim::Workload;
use crate::sim::calibrate::{
    Agreement, Beside, Calibration, Comparison, Engine, Single, calibrate, read_measured,
};
use crate::sim::latency::Profile;
use crate::trace::Content;

/// Arguments of `replay calibrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The profile has the durations of kernels; the time that a real engine adds to each step is fitted here. It is fitted on the first \
half of the measured requests, and the errors that count are those on the second half.

Measured timings are JSONL or CSV with request_id, queued_ts or arrival_time, first_token_ts and last_token_ts, in seconds. A \
profile is a folder with dense.csv, per_sequence.csv and attention.csv, as LLMServingSim's profiler writes.

Examples:
  replay calibrate workload.jsonl --measured requests.jsonl --profile profile/ --engine-args meta.json
  replay calibrate trace.jsonl.zst --measured timings.csv --profile profile/ --model llama-3.1-8b \\
      --num-gpu-blocks 2588
  replay calibrate workload.jsonl --measured requests.csv --profile profile/ --gpu h100 --json")]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Measured timings of each request on the real engine, as JSONL or CSV
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    measured: PathBuf,

    /// Folder with the profile of the GPU's kernels
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    profile: PathBuf,

    /// JSON file with the engine's arguments under vLLM's names, at any depth
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    engine_args: Option<PathBuf>,

    /// GPU by name or the beginning of a name, e.g. h100; it gives the number of blocks where nothing else does
    #[arg(long, value_name = "NAME", help_heading = "Engine")]
    gpu: Option<String>,

    /// Number of KV blocks as vLLM counts them, its null block included
    #[arg(long, value_name = "N", help_heading = "Engine", value_parser = number::<u32>(limits::BLOCKS))]
    num_gpu_blocks: Option<u32>,

    /// Tokens per block [default: 16]
    #[arg(long, value_name = "TOKENS", help_heading = "Engine", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,

    /// Most requests of a step [default: 128]
    #[arg(long, value_name = "N", help_heading = "Engine", value_parser = number::<u32>(limits::SEQUENCES))]
    max_num_seqs: Option<u32>,

    /// Most tokens of a step [default: 2048]
    #[arg(long, value_name = "N", help_heading = "Engine", value_parser = number::<u32>(limits::TOKENS))]
    max_num_batched_tokens: Option<u32>,

    /// The engine ran without prefix caching
    #[arg(long, help_heading = "Engine")]
    no_prefix_caching: bool,

    /// The engine ran without asynchronous scheduling
    #[arg(long, help_heading = "Engine")]
    no_async_scheduling: bool,

    #[command(flatten)]
    model: ModelArgs,
}

pub(super) fn run(args: &CalibrateArgs, json: bool) -> anyhow::Result<()> {
    let engine = args.engine()?;
    let model = args.model(&engine)?;
    let profile = Profile::load(&args.profile, &model, 0.0)?;
    let read = args.input.read(Some(engine.block_size), false)?;
    let measured = read_measured(&args.measured, &read.trace)?;
    let blocks = match read.trace.content() {
        Content::Tokens if engine.prefix_caching => Some(BlockTrace::new(
            &read.trace,
            Some(engine.block_size),
            hash_scheme("vllm")?,
        )?),
        Content::HashIds { block_size }
            if engine.prefix_caching && block_size == engine.block_size =>
        {
            Some(BlockTrace::new(&read.trace, None, hash_scheme("vllm")?)?)
        }
        _ => None,
    };
    if engine.prefix_caching && blocks.is_none() {
        output::warn("the trace has no tokens, so no prompt finds a prefix in the cache");
    }
    let folder = args.profile.file_name().and_then(|name| name.to_str());
    let gpu = match &args.gpu {
        Some(name) => Some(gpu_name::resolve(name, &GPUS.map(|(name, _)| name))?),
        None => folder,
    };
    let capacity = engine.blocks_for(&model, gpu)?;
    let workload = Workload::new(&read.trace, blocks.as_ref());
    let single = Single {
        workload: &workload,
        blocks: blocks.as_ref(),
        engine: &engine,
        capacity,
    };
    let found = calibrate(&single, &measured, &profile)?;
    let line = section(
        &args.profile,
        found.host_overhead_ms,
        engine.scheduler.async_scheduling,
    );
    if json {
        let mut value = serde_json::to_value(&found)?;
        if let Some(entries) = value.as_object_mut() {
            entries.insert("config".into(), json!(line));
            entries.insert("model".into(), json!(model.name()));
            entries.insert("kv_blocks".into(), json!(capacity));
            entries.insert("block_size".into(), json!(engine.block_size));
            entries.insert("scheduler".into(), serde_json::to_value(&engine.scheduler)?);
        }
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    output::print(&text(&found, &line))
}

impl CalibrateArgs {
    fn engine(&self) -> Result<Engine> {
        let mut engine = match &self.engine_args {
            Some(path) => Engine::load(path)?,
            None => Engine::new(),
        };
        for (flag, given, place) in [
            ("--block-size", self.block_size, &mut engine.block_size),
            (
                "--max-num-seqs",
                self.max_num_seqs,
                &mut engine.scheduler.max_num_seqs,
            ),
            (
                "--max-num-batched-tokens",
                self.max_num_batched_tokens,
                &mut engine.scheduler.max_num_batched_tokens,
            ),
        ] {
            if given == Some(0) {
                return Err(Error::usage(format!("{flag} 0"), "give 1 or more"));
            }
            *place = given.unwrap_or(*place);
        }
        if let Some(blocks) = self.num_gpu_blocks {
            if blocks < 2 {
                return Err(Error::usage(
                    format!("--num-gpu-blocks {blocks}: one of them is the null block"),
                    "give 2 or more",
                ));
            }
            engine.blocks = Some(blocks - 1);
        }
        engine.prefix_caching &= !self.no_prefix_caching;
        engine.scheduler.async_scheduling &= !self.no_async_scheduling;
        Ok(engine)
    }

    fn model(&self, engine: &Engine) -> Result<ModelConfig> {
        if let Some(model) = self.model.load()? {
            return Ok(model);
        }
        match &engine.model {
            Some(name) => ModelConfig::builtin(name),
            None => Err(Error::usage(
                "no model is named",
                "name it with --model, or give its config.json with --model-config",
            )),
        }
    }
}

/// Returns the keys to copy into a simulation's configuration.
fn section(folder: &Path, overhead: f64, async_scheduling: bool) -> String {
    // A JSON string is a TOML string.
    let folder = json!(folder.display().to_string());
    format!(
        "[scheduler]\nkind = \"vllm-v1\"\nasync_scheduling = {async_scheduling}\n\n[latency]\nkind = \"profile\"\nfolder = {folder}\nhost_overhead_ms = {overhead:?}"
    )
}

fn text(found: &Calibration, line: &str) -> String {
    let header = ["", "measured", "simulated", "error"];
    let mut out = String::new();
    for (title, comparison) in [
        ("fitted on the first half", &found.fitted),
        ("held out: the second half", &found.held_out),
    ] {
        out.push_str(&format!(
            "{title} ({} requests)\n{}\n\n",
            thousands(comparison.requests as u64),
            table::table(&header, &rows(comparison))
        ));
    }
    out.push_str(&format!(
        "{} steps, {} outside of the profile; {} prompt tokens found in the prefix cache\n\nfor the simulation's configuration:\n\n{line}",
        thousands(found.steps),
        thousands(found.clamped_steps),
        thousands(found.cached_tokens)
    ));
    out
}

fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (name, agreement) in [
        ("TTFT", comparison.ttft),
        ("TPOT", comparison.tpot),
        ("E2E", comparison.e2e),
    ] {
        let Agreement {
            mean,
            p50,
            p90,
            p99,
            mape,
        } = agreement;
        for (what, beside) in [("mean", mean), ("p50", p50), ("p90", p90), ("p99", p99)] {
            let Beside {
                measured,
                simulated,
                error,
            } = beside;
            rows.push(vec![
                format!("{name} {what}"),
                seconds(measured),
                seconds(simulated),
                format!("{:+.2} %", 100.0 * error),
            ]);
        }
        rows.push(vec![
            format!("{name} of each request"),
            String::new(),
            String::new(),
            percent(mape),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use crate::cli::calibrate::*;

    #[test]
    fn the_section_is_toml() {
        let text = section(Path::new("a \"b\"/c"), 1.0, true);
        let value: toml::Value = toml::from_str(&text).expect("is TOML");
        assert_eq!(value["latency"]["folder"].as_str(), Some("a \"b\"/c"));
        assert_eq!(value["latency"]["host_overhead_ms"].as_float(), Some(1.0));
    }
}
