//! Engines: the rules by which a serving system looks up, keeps and frees blocks. One engine is one file with its card; the
//! list in this file registers it.

mod card;
mod content;
mod hold;
mod ideal;
mod naive;
mod overlap;
#[cfg(test)]
pub(crate) mod overlap_tests;
mod rules;
mod server;
mod sglang;
mod sglang_order;
mod sglang_tree;
mod tier;
mod tiered;
#[cfg(test)]
mod tiered_tests;
mod vllm;

pub use super::block_manager::FreeOrder;
pub use card::{EngineCard, EngineKind};
pub use hold::Hold;
pub use ideal::Ideal;
pub use naive::Naive;
pub use overlap::{EngineEvent, EngineObserver, replay};
pub use sglang::{Running, Sglang, UnboundedSglang};
pub use sglang_order::ORDERS;
pub use tier::{Tier, TierSpec, TierSummary};
pub use tiered::{TierCounts, Tiered};
pub use vllm::{UnboundedVllm, Vllm};

use super::{BlockId, BlockTrace, Facts, HashScheme, Run};
use crate::base::error::{Error, Result};
use crate::base::registry::Registry;
use crate::trace::Nanos;

/// What one request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Blocks of the prompt that were found and could be used.
    pub hit_blocks: u32,
    /// Prompt tokens in them.
    pub cached_tokens: u32,
    /// Blocks that were taken for the rest of the prompt.
    pub new_blocks: u32,
    /// Cached blocks that had to go for this request, its output included.
    pub evicted: u32,
    /// The request needs more blocks than the cache has, and was rejected.
    pub rejected: bool,
    /// Its output ended early, because it needs more blocks than there are.
    pub cut: bool,
    /// How long it waited for blocks, if it did; only where requests overlap.
    pub waited: Option<Nanos>,
}

/// A KV cache that serves requests in order.
pub trait CacheEngine {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// Serves a request; blocks that lose their content on the way are appended to `evicted`.
    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome;

    /// Blocks that are cached now; a block that is stored twice counts once.
    fn resident(&self) -> u32;

    /// Operations of the eviction policy so far, where it counts them.
    fn steps(&self) -> u64 {
        0
    }
}

/// A request's lengths, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Prompt.
    pub input_length: u32,
    /// Output, as far as its tokens are known.
    pub output_length: u32,
}

impl Shape {
    /// Of a request of which this is known.
    pub fn of(facts: &Facts) -> Self {
        Self {
            input_length: facts.input_length,
            output_length: facts.output_length,
        }
    }
}

/// How many blocks fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// As many as come.
    Unbounded,
    /// This many.
    Blocks(u32),
}

/// In which order a request uses its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UseOrder {
    /// First block first, so the prompt's head is the older part of it.
    HeadFirst,
    #[default]
    /// Last block first, so the head stays longest: as engines that free a prompt's blocks from its tail.
    TailFirst,
}

/// Everything that decides an engine's behaviour.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The engine.
    pub engine: EngineKind,
    /// Eviction policy, as the engine names it: `lru`, `ttl:300`.
    pub policy: String,
    /// Usable blocks.
    pub capacity: Capacity,
    /// Whether the blocks that outputs fill are cached; `None` is the engine's own habit.
    pub cache_output: Option<bool>,
    /// Whether a wholly cached prompt still computes its last token, as vLLM does; `None` is the engine's own habit.
    pub last_token_cap: Option<bool>,
    /// In which order a request uses its blocks; `None` is the engine's own habit.
    pub order: Option<UseOrder>,
    /// How long requests keep their blocks.
    pub hold: Hold,
    /// In which order vLLM gives blocks back.
    pub free_order: FreeOrder,
    /// Engine `block` counts each block when it is used, not when the request comes.
    pub count_by_access: bool,
    /// For policies that draw.
    pub seed: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            engine: EngineKind::VLLM,
            policy: "lru".into(),
            capacity: Capacity::Unbounded,
            cache_output: None,
            last_token_cap: None,
            order: None,
            hold: Hold::None,
            free_order: FreeOrder::Current,
            count_by_access: false,
            seed: 0,
        }
    }
}

/// Every engine.
pub static ENGINES: Registry<EngineCard> = Registry::new("engine", "prefix-sharing.md", LIST);

const LIST: &[EngineCard] = &[
    vllm::CARD,
    sglang::CARD,
    ideal::IDEAL,
    ideal::BLOCK,
    naive::CARD,
];

/// Checks that an engine can use an eviction policy.
///
/// # Errors
/// [`Error::Usage`] if it cannot.
pub fn check_policy(engine: &str, policy: &str) -> Result<()> {
    ENGINES.find(engine)?.check_policy(policy)
}

/// What a block's hash covers for an engine.
///
/// # Errors
/// [`Error::Usage`] for a name that is not registered.
pub fn hash_scheme(name: &str) -> Result<HashScheme> {
    ENGINES.find(name).map(EngineCard::hash_scheme)
}

impl EngineOptions {
    /// Whether outputs are cached by these options.
    pub fn caches_output(&self) -> bool {
        self.cache_output.unwrap_or(self.engine.card().is_server())
    }

    /// In which order blocks are used by these options.
    pub fn order(&self) -> UseOrder {
        self.order.unwrap_or(if self.engine.card().hits_anywhere() {
            UseOrder::HeadFirst
        } else {
            UseOrder::TailFirst
        })
    }

    /// Whether the last prompt token is always computed by these options.
    ///
    /// Hash ids with one for a partial last block describe another system's blocks, which hit wholly if they are there.
    pub fn caps_last_token(&self, trace: &BlockTrace) -> bool {
        self.last_token_cap
            .unwrap_or(self.engine.card().is_server() && !trace.partial_tail())
    }
}

/// Checks that an engine can honour its options, whatever the trace.
///
/// # Errors
/// [`Error::Usage`] that says what to use instead.
pub fn check(options: &EngineOptions) -> Result<()> {
    let engine = options.engine.card();
    engine.check_policy(&options.policy)?;
    if options.capacity == Capacity::Blocks(0) {
        return Err(Error::usage(
            "the capacity is 0 blocks",
            "give at least 1, or `inf`",
        ));
    }
    check_hold(options)?;
    if options.order.is_some() && !engine.is_block_cache() {
        return Err(Error::usage(
            format!("engine `{}` has its own order of use", options.engine),
            "leave the order of use to the engine, or use engine `ideal`",
        ));
    }
    if options.count_by_access && !engine.hits_anywhere() {
        return Err(Error::usage(
            format!(
                "engine `{}` counts the prefix that is resident when a request arrives",
                options.engine
            ),
            "use engine `block` to count each block when it is used",
        ));
    }
    Ok(())
}

/// Checks that running requests of an engine can hold blocks as the options say.
///
/// # Errors
/// [`Error::Usage`] if they cannot.
pub fn check_hold(options: &EngineOptions) -> Result<()> {
    options.engine.card().check_hold(options.hold)
}

/// Builds an empty engine for the blocks of `trace`, which serves one request after the other.
///
/// # Errors
/// [`Error::Usage`] for requests that overlap (see [`replay`]), or options that the engine cannot honour.
pub fn build(options: &EngineOptions, trace: &BlockTrace) -> Result<Box<dyn CacheEngine>> {
    check(options)?;
    if options.hold.overlaps() {
        return Err(Error::usage(
            format!("with hold `{}`, requests overlap", options.hold),
            "replay them with `engine::replay`",
        ));
    }
    options.engine.card().build(trace, options)
}

/// Tokens in the first `blocks` blocks of a prompt; the last one may be partial.
fn tokens_in(blocks: u32, block_size: u32, input_length: u32) -> u32 {
    blocks.saturating_mul(block_size).min(input_length)
}
