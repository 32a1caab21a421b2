//! The options that set a cache's rules and its capacity.

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};

use super::model_args::ModelArgs;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cache::BlockTrace;
use crate::cache::capacity::{Asked, ModelConfig};
use crate::cache::engine::{self, EngineOptions, FreeOrder, Hold, UseOrder};
use crate::cli::ranges::number;
use crate::trace::Trace;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FreeOrderArg {
    /// To the head of the free queue, as vLLM does now
    Current,
    /// To its tail, as vLLM did before pull request 42656
    Legacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CountArg {
    /// When the request is looked up
    Lookup,
    /// When each block is used; the request's own blocks may have evicted it by then
    Access,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArg {
    /// First block first
    HeadFirst,
    /// Last block first, which keeps the beginnings of prompts longer
    TailFirst,
}

/// Rules that hold at every capacity, for every policy and block size.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache rules")]
pub(super) struct CacheArgs {
    /// Cache prompts only, not the blocks that outputs fill
    #[arg(long)]
    no_cache_output: bool,

    /// Cache the blocks that outputs fill, even with engines that do not
    #[arg(long, conflicts_with = "no_cache_output")]
    cache_output: bool,

    /// Serve a fully cached prompt without recomputing its last token (real engines always recompute it)
    #[arg(long)]
    no_last_token_cap: bool,

    /// How long a request holds its blocks: none, requests:K, trace (service times from the trace) or
    /// linear:PREFILL_MS,DECODE_MS (per uncached prompt token and per output token). With trace and linear, requests overlap
    #[arg(long, default_value = "none", value_name = "MODEL")]
    hold: String,

    /// Order in which a request uses its blocks (engines ideal and block) [default: tail-first; engine block: head-first]
    #[arg(long, value_enum)]
    order: Option<OrderArg>,

    /// When a hit is counted (engine block)
    #[arg(long, value_enum, default_value = "lookup")]
    count: CountArg,

    /// Where freed blocks without a hash go in vLLM's free queue
    #[arg(long, value_enum, default_value = "current")]
    free_order: FreeOrderArg,

    #[command(flatten)]
    model: ModelArgs,
}

impl CacheArgs {
    /// The model, if the options name one.
    pub(super) fn model(&self) -> Result<Option<ModelConfig>> {
        self.model.load()
    }

    /// Options of an unbounded cache with LRU under these rules.
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

/// The seed of eviction policies that draw at random.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub(super) struct EvictionSeedArgs {
    /// Seed of eviction policies that draw at random
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::<u64>(limits::ANY))]
    pub(super) seed: u64,
}

/// A cache: its rules and its capacity.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub(super) struct EngineArgs {
    /// Rules to cache by: vllm and sglang (both exact), ideal (longest cached prefix, no engine around it), block (each block on
    /// its own, as studies without prefixes count) or naive (blocks hashed alone; for comparison only)
    #[arg(
        long,
        default_value = "vllm",
        default_value_ifs([
            ("tier", ArgPredicate::IsPresent, "ideal"),
            ("preset", ArgPredicate::IsPresent, "naive"),
        ]),
        value_name = "NAME"
    )]
    pub(super) engine: String,

    /// Capacity: inf, a number of blocks, a size such as 40GiB (needs --model) or a percentage of the distinct blocks such as 10%
    #[arg(
        long,
        default_value = "inf",
        value_name = "SIZE",
        allow_negative_numbers = true
    )]
    capacity: String,

    /// Capacity as vLLM's own count of blocks, which includes its null block: N blocks are a capacity of N-1
    #[arg(long, conflicts_with = "capacity", value_name = "N", value_parser = number::<u32>(limits::BLOCKS))]
    num_gpu_blocks: Option<u32>,

    /// Eviction policy; vllm has its own (lru), sglang has six, ideal and block have all of docs/eviction-policies.md
    #[arg(long, default_value = "lru", value_name = "NAME")]
    eviction: String,

    #[command(flatten)]
    cache: CacheArgs,
}

impl EngineArgs {
    /// The model, if the options name one.
    pub(super) fn model(&self) -> Result<Option<ModelConfig>> {
        self.cache.model()
    }

    /// The model's name as given, even if it is not a built-in model.
    pub(super) fn model_name(&self) -> Option<&str> {
        self.cache.model.name()
    }

    /// Splits the trace into blocks of `block_size` tokens, or of its own block size.
    pub(super) fn blocks(&self, trace: &Trace, block_size: Option<u32>) -> Result<BlockTrace> {
        BlockTrace::new(trace, block_size, engine::hash_scheme(&self.engine)?)
    }

    /// The engine's options for a trace.
    pub(super) fn options(
        &self,
        blocks: &BlockTrace,
        model: Option<&ModelConfig>,
        seed: u64,
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
        engine::check_policy(&self.engine, &self.eviction)?;
        let distinct = match capacity {
            Asked::Fraction(_) => blocks.distinct_in_prompts(),
            _ => 0,
        };
        Ok(EngineOptions {
            policy: self.eviction.clone(),
            seed,
            capacity: capacity.resolve(blocks.block_size(), distinct, model)?,
            ..self.cache.options(&self.engine)?
        })
    }
}
