//! `replay analyze`

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};

use super::model_args::ModelArgs;
use super::output;
use super::trace_input::TraceArgs;
use crate::cache::capacity::{Asked, ModelConfig};
use crate::cache::engine::{
    self, EngineOptions, FreeOrder, Hold, Tier, TierSpec, TierSummary, Tiered,
};
use crate::cache::{BlockTrace, HashAlgorithm, eviction, published_hashes};
use crate::error::{Error, Result};
use crate::metrics::{Settings, Summary, analyze, analyze_with};
use crate::report::sharing;
use crate::trace::{Content, Trace};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FreeOrderArg {
    Current,
    Legacy,
}

/// By which rules blocks are cached.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Tokens per block [default: 16, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,

    /// Rules: vllm (exact), ideal (longest resident prefix, no engine around), naive (unchained, for comparison)
    #[arg(
        long,
        default_value = "vllm",
        default_value_if("tier", ArgPredicate::IsPresent, "ideal"),
        value_name = "NAME"
    )]
    pub(super) engine: String,

    /// Eviction policy
    #[arg(long, default_value = "lru", value_name = "NAME")]
    policy: String,

    /// How much fits: inf, a number of blocks, a size as 40GiB (with --model), or 50% of the distinct blocks
    #[arg(
        long,
        default_value = "inf",
        value_name = "SIZE",
        allow_negative_numbers = true
    )]
    capacity: String,

    /// vLLM's own count of blocks, of which its null block takes one: N here is a capacity of N-1
    #[arg(long, conflicts_with = "capacity", value_name = "N")]
    num_gpu_blocks: Option<u32>,

    #[command(flatten)]
    model: ModelArgs,

    /// Cache prompts only, not the blocks that outputs fill
    #[arg(long)]
    no_cache_output: bool,

    /// Cache the blocks that outputs fill, also where the engine would not
    #[arg(long, conflicts_with = "no_cache_output")]
    cache_output: bool,

    /// Let a wholly cached prompt hit wholly; engines compute at least its last token
    #[arg(long)]
    no_last_token_cap: bool,

    /// How long requests keep their blocks: none, or requests:K
    #[arg(long, default_value = "none", value_name = "MODEL")]
    hold: String,

    /// Where freed blocks without hash go in vLLM's free queue: its head, or (before PR 42656) its tail
    #[arg(long, value_enum, default_value = "current")]
    free_order: FreeOrderArg,
}

/// Arguments of `replay analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay analyze trace.jsonl.zst --block-size 16
  replay analyze trace.jsonl.zst --capacity 50% --output-dir output/half
  replay analyze trace.jsonl.zst --capacity 40GiB --model llama-3-8b
  replay analyze trace.jsonl.zst --model llama-3-8b --tier hbm:40GiB --tier dram:200GiB@64GB/s --tier ssd:inf@7GB/s
  replay analyze mooncake.jsonl --engine ideal --json | jq .token_hit_ratio")]
pub(super) struct AnalyzeArgs {
    #[command(flatten)]
    input: TraceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// A tier of the cache, the fastest first: hbm:40GiB, hbm:2048 (blocks) or dram:200GiB@64GB/s; needs engine ideal
    #[arg(long, value_name = "NAME:SIZE", conflicts_with_all = ["capacity", "num_gpu_blocks"])]
    tier: Vec<String>,

    /// Add vLLM's own block hashes to blocks.csv, to join it with KV events: sha256_cbor, or xxhash_cbor
    #[arg(long, value_name = "ALGORITHM", requires = "output_dir")]
    hash: Option<String>,

    /// The engine's PYTHONHASHSEED, if it ran with one
    #[arg(long, value_name = "SEED", requires = "hash")]
    hash_seed: Option<String>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,

    /// Write summary.json, CSV of requests and blocks, pictures and report.html there
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl EngineArgs {
    /// The model, if one is named.
    pub(super) fn model(&self) -> Result<Option<ModelConfig>> {
        self.model.load()
    }

    /// Cuts the trace into blocks.
    pub(super) fn blocks(&self, trace: &Trace) -> Result<BlockTrace> {
        BlockTrace::new(trace, self.block_size, engine::hash_scheme(&self.engine)?)
    }

    /// What the flags say, for a trace.
    pub(super) fn options(
        &self,
        blocks: &BlockTrace,
        model: Option<&ModelConfig>,
    ) -> Result<EngineOptions> {
        let capacity = match self.num_gpu_blocks {
            Some(blocks @ 0..=1) => {
                return Err(Error::usage(
                    format!("--num-gpu-blocks {blocks} leaves no usable block"),
                    "give 2 or more; the null block takes one",
                ));
            }
            Some(blocks) => Asked::Blocks(blocks - 1),
            None => Asked::parse(&self.capacity)?,
        };
        if !eviction::NAMES.contains(&self.policy.as_str()) {
            return Err(Error::unknown_name("policy", &self.policy, eviction::NAMES));
        }
        let distinct = match capacity {
            Asked::Fraction(_) => blocks.distinct_in_prompts(),
            _ => 0,
        };
        Ok(EngineOptions {
            engine: self.engine.clone(),
            policy: self.policy.clone(),
            capacity: capacity.resolve(blocks.block_size(), distinct, model)?,
            cache_output: match (self.cache_output, self.no_cache_output) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            last_token_cap: self.no_last_token_cap.then_some(false),
            hold: hold(&self.hold)?,
            free_order: match self.free_order {
                FreeOrderArg::Current => FreeOrder::Current,
                FreeOrderArg::Legacy => FreeOrder::Legacy,
            },
        })
    }
}

fn hold(text: &str) -> Result<Hold> {
    if text == "none" {
        return Ok(Hold::None);
    }
    let requests = text
        .strip_prefix("requests:")
        .and_then(|count| count.parse().ok());
    requests.map(Hold::Requests).ok_or_else(|| {
        Error::usage(
            format!("--hold {text}"),
            "give none, or requests:K as requests:8",
        )
    })
}

pub(super) fn run(args: &AnalyzeArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
    engine::hash_scheme(&args.engine.engine)?;
    let model = args.engine.model()?;
    let read = args.input.read(args.engine.block_size, false)?;
    if read.trace.content() == Content::Lengths {
        return Err(Error::usage(
            format!(
                "{}: a {} trace has lengths only, so nobody can tell what its requests share",
                args.input.trace.display(),
                read.format
            ),
            "analyze a trace with token ids or hash ids; this one can only be simulated",
        )
        .into());
    }
    let blocks = args.engine.blocks(&read.trace)?;
    let mut options = args.engine.options(&blocks, model.as_ref())?;
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
        let run = sharing::Run {
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
    if args.json {
        return output::print(&serde_json::to_string_pretty(&summary)?);
    }
    output::print(&sharing::text(&summary))?;
    if let Some(folder) = &args.output_dir {
        output::print(&format!("wrote {}", folder.display()))?;
    }
    Ok(())
}
