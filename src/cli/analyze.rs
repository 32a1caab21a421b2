//! `replay analyze`

use std::path::PathBuf;

use clap::Args;

use super::engine_args::{EngineArgs, EvictionSeedArgs};
use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cache::engine::{self, Tier, TierSpec, TierSummary, Tiered};
use crate::cache::{HashAlgorithm, published_hashes};
use crate::cli::ranges::number;
use crate::metrics::{Settings, Summary, analyze, analyze_with};
use crate::report::studies::sharing;
use crate::trace::Content;

/// Arguments of `replay analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay analyze trace.jsonl.zst --block-size 16
  replay analyze trace.jsonl.zst --capacity 10% --output-dir output/tenth
  replay analyze trace.jsonl.zst --capacity 40GiB --model llama-3-8b
  replay analyze trace.jsonl.zst --model llama-3-8b --tier hbm:40GiB --tier dram:200GiB@64GB/s
  replay analyze mooncake.jsonl --engine ideal --json | jq .token_hit_ratio

What each figure means: docs/prefix-sharing.md.")]
pub(super) struct AnalyzeArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per block [default: 16, or the block size of the trace's hash ids]
    #[arg(long, value_name = "TOKENS", help_heading = "Cache", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    seed: EvictionSeedArgs,

    /// One tier of the cache, fastest first, e.g. hbm:40GiB, hbm:2048 (blocks) or dram:200GiB@64GB/s; engine ideal only
    #[arg(long, value_name = "NAME:SIZE", help_heading = "Cache", conflicts_with_all = ["capacity", "num_gpu_blocks"])]
    tier: Vec<String>,

    /// Write summary.json, CSV files of requests and blocks, charts and report.html into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Add vLLM's own block hashes to blocks.csv, to join it with KV events: sha256_cbor or xxhash_cbor
    #[arg(
        long,
        value_name = "ALGORITHM",
        requires = "output_dir",
        help_heading = "Output"
    )]
    hash: Option<String>,

    /// PYTHONHASHSEED of the engine, if it ran with one
    #[arg(long, value_name = "SEED", requires = "hash", help_heading = "Output")]
    hash_seed: Option<String>,
}

pub(super) fn run(args: &AnalyzeArgs, json: bool) -> anyhow::Result<()> {
    engine::hash_scheme(&args.engine.engine)?;
    let model = args.engine.model()?;
    let read = args.input.read(args.block_size, false)?;
    if read.trace.content() == Content::Lengths {
        return Err(Error::usage(
            format!(
                "{}: a {} trace has lengths only, so the prefixes that its requests share are unknown",
                args.input.trace.display(),
                read.format
            ),
            "analyze a trace with token ids or hash ids; `replay simulate` serves this one without prefix caches",
        )
        .into());
    }
    let blocks = args.engine.blocks(&read.trace, args.block_size)?;
    let mut options = args
        .engine
        .options(&blocks, model.as_ref(), args.seed.seed)?;
    let specs = args.tier.iter().map(|text| TierSpec::parse(text));
    let specs = specs.collect::<Result<Vec<_>>>()?;
    let distinct = if specs.is_empty() {
        0
    } else {
        blocks.distinct_in_prompts()
    };
    let tiers = TierSpec::resolve(&specs, blocks.block_size(), distinct, model.as_ref())?;
    let (analysis, tiers) = if tiers.is_empty() {
        (analyze(&read.trace, &blocks, &options)?, None)
    } else {
        options.capacity = Tier::together(&tiers);
        let mut engine = Tiered::new(&blocks, &tiers, &options)?;
        let analysis = analyze_with(&read.trace, &blocks, &options, &mut engine);
        let size = model.as_ref().map(|model| {
            let tokens = u64::from(blocks.block_size());
            model.bytes_per_token().saturating_mul(tokens)
        });
        (analysis, Some(TierSummary::of(&tiers, &engine, size)))
    };
    let settings = Settings::new(&options, &blocks);
    let mut summary = Summary::new(&read.trace, &analysis, settings, model.as_ref());
    summary.tiers = tiers;
    if let Some(folder) = &args.output_dir {
        let hash = |name: &String| {
            let algorithm = HashAlgorithm::by_name(name)?;
            published_hashes(&read.trace, &blocks, algorithm, args.hash_seed.as_deref())
        };
        let hashes = args.hash.as_ref().map(hash).transpose()?;
        let run = sharing::AnalyzedTrace {
            hashes: hashes.as_deref(),
            trace: &read.trace,
            analysis: &analysis,
            summary: &summary,
        };
        sharing::write(
            &run,
            folder,
            &args.input.trace.display().to_string(),
            &super::typed_command(),
        )?;
    }
    output::result(
        json,
        || sharing::value(&summary),
        || sharing::text(&summary),
    )?;
    if let Some(folder) = &args.output_dir {
        output::wrote(folder);
    }
    Ok(())
}
