//! The flags that say by which rules blocks are cached, and how much fits.

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};

use super::model_args::ModelArgs;
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;
use crate::cache::capacity::{Asked, ModelConfig};
use crate::cache::engine::{self, EngineOptions, FreeOrder, Hold, UseOrder};
use crate::trace::Trace;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FreeOrderArg {
    Current,
    Legacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CountArg {
    Lookup,
    Access,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArg {
    HeadFirst,
    TailFirst,
}

/// What holds at every capacity, for every policy and block size.
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
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

    /// How long requests keep their blocks: none, requests:K, trace (service times that the trace has), or
    /// linear:PREFILL_MS,DECODE_MS (per uncached prompt token, per output token); with the last two, requests overlap
    #[arg(long, default_value = "none", value_name = "MODEL")]
    hold: String,

    /// In which order a request uses its blocks: tail-first keeps the heads of prompts longer [default: tail-first, for
    /// block head-first]
    #[arg(long, value_enum)]
    order: Option<OrderArg>,

    /// When engine block counts hits: as the request is looked up, or as each block is used, when the request's own blocks
    /// may have pushed it out
    #[arg(long, value_enum, default_value = "lookup")]
    count: CountArg,

    /// Where freed blocks without hash go in vLLM's free queue: its head, or (before PR 42656) its tail
    #[arg(long, value_enum, default_value = "current")]
    free_order: FreeOrderArg,
}

impl CacheArgs {
    /// The model, if one is named.
    pub(super) fn model(&self) -> Result<Option<ModelConfig>> {
        self.model.load()
    }

    /// What the flags say, for an unbounded cache under LRU.
    pub(super) fn options(&self, engine: &str) -> Result<EngineOptions> {
        let options = EngineOptions {
            engine: engine.parse()?,
            cache_output: match (self.cache_output, self.no_cache_output) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            last_token_cap: self.no_last_token_cap.then_some(false),
            order: self.order.map(|order| match order {
                OrderArg::HeadFirst => UseOrder::HeadFirst,
                OrderArg::TailFirst => UseOrder::TailFirst,
            }),
            hold: Hold::parse(&self.hold)?,
            count_by_access: self.count == CountArg::Access,
            free_order: match self.free_order {
                FreeOrderArg::Current => FreeOrder::Current,
                FreeOrderArg::Legacy => FreeOrder::Legacy,
            },
            ..EngineOptions::default()
        };
        engine::check_hold(&options)?;
        Ok(options)
    }
}

/// By which rules blocks are cached.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Tokens per block [default: 16, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,

    /// Rules: vllm, sglang (both exact), ideal (longest resident prefix, no engine around), block (every block for itself, as
    /// studies without prefixes count), naive (unchained, for comparison)
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

    /// For policies that draw
    #[arg(long, default_value_t = 0, value_name = "N")]
    policy_seed: u64,

    #[command(flatten)]
    cache: CacheArgs,
}

impl EngineArgs {
    /// The model, if one is named.
    pub(super) fn model(&self) -> Result<Option<ModelConfig>> {
        self.cache.model()
    }

    /// What the model is called, whoever knows that name.
    pub(super) fn model_name(&self) -> Option<&str> {
        self.cache.model.name()
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
        engine::check_policy(&self.engine, &self.policy)?;
        let distinct = match capacity {
            Asked::Fraction(_) => blocks.distinct_in_prompts(),
            _ => 0,
        };
        Ok(EngineOptions {
            policy: self.policy.clone(),
            seed: self.policy_seed,
            capacity: capacity.resolve(blocks.block_size(), distinct, model)?,
            ..self.cache.options(&self.engine)?
        })
    }
}
