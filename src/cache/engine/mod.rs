//! Cache engines: the rules by which a serving system looks up, keeps and frees KV cache blocks. Each engine is one
//! file with its card; the list in this file registers it.

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
pub use overlap::{CacheChange, EngineEvent, EngineObserver, replay};
pub use sglang::{Running, Sglang, UnboundedSglang};
pub use sglang_order::ORDERS;
pub use tier::{Tier, TierSpec, TierSummary};
pub use tiered::{TierCounts, Tiered};
pub use vllm::{UnboundedVllm, Vllm};

use super::{BlockId, BlockTrace, Facts, HashScheme, Run};
use crate::base::error::{Error, Result};
use crate::base::registry::Registry;
use crate::trace::Nanos;

/// Result of serving one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Prompt blocks that were found in the cache and could be used.
    pub hit_blocks: u32,
    /// Prompt tokens in the hit blocks.
    pub cached_tokens: u32,
    /// Blocks that were stored for this request, cached outputs included: each can be found afterwards and could not before. A
    /// partial last block without an id is never stored, and neither is a second copy of a block. A block that was found, evicted
    /// by the request's own blocks before its use, and stored again is a hit and a new block. The sum of new blocks minus the sum
    /// of evicted ones is what is resident.
    pub new_blocks: u32,
    /// Blocks that were allocated for the rest of the prompt. In engines of a serving system, a partial last block and second
    /// copies of cached blocks are among them, and blocks of outputs are not; in the others, they are the new blocks.
    pub allocated_blocks: u32,
    /// Blocks that were evicted for this request, including for its output: they can no longer be found.
    pub evicted: u32,
    /// Second copies of cached blocks that lost their content to this request, which vLLM also counts as evictions.
    pub evicted_copies: u32,
    /// Whether the request was rejected because it needs more blocks than the cache has.
    pub rejected: bool,
    /// Whether the output was truncated because it needs more blocks than the cache has.
    pub cut: bool,
    /// Time that the request waited for blocks, if it waited; only set where requests overlap.
    pub waited: Option<Nanos>,
}

/// A KV cache that serves requests in order.
pub trait CacheEngine {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// Serves a request; blocks that can no longer be found are appended to `evicted`.
    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome;

    /// Number of cached blocks; a block that is stored twice counts once.
    fn resident(&self) -> u32;

    /// Whether a block is cached.
    fn keeps(&self, block: BlockId) -> bool;

    /// Number of operations of the eviction policy so far; 0 for engines that do not count them.
    fn steps(&self) -> u64 {
        0
    }
}

/// A request's lengths, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Prompt tokens.
    pub input_length: u32,
    /// Output tokens whose ids are known.
    pub output_length: u32,
}

impl Shape {
    /// Lengths from a request's metadata.
    pub fn of(facts: &Facts) -> Self {
        Self {
            input_length: facts.input_length,
            output_length: facts.output_length,
        }
    }
}

/// Number of blocks that fit into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// No limit.
    Unbounded,
    /// This number of blocks.
    Blocks(u32),
}

/// Order in which a request uses its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UseOrder {
    /// First block first, so the head of the prompt is less recently used than its tail.
    HeadFirst,
    #[default]
    /// Last block first, so the head of the prompt stays longest. Engines that free a prompt's blocks from its tail
    /// behave like this.
    TailFirst,
}

/// Options that determine an engine's behaviour.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The engine.
    pub engine: EngineKind,
    /// Eviction policy by the name that the engine gives it, e.g. `lru` or `ttl:300`.
    pub policy: String,
    /// Number of usable blocks.
    pub capacity: Capacity,
    /// Whether the blocks that outputs fill are cached; `None` selects the engine's default.
    pub cache_output: Option<bool>,
    /// Whether a fully cached prompt still computes its last token, as in vLLM; `None` selects the engine's default.
    pub last_token_cap: Option<bool>,
    /// Order in which a request uses its blocks; `None` selects the engine's default.
    pub order: Option<UseOrder>,
    /// How long requests keep their blocks.
    pub hold: Hold,
    /// Order in which vLLM puts freed blocks into its free queue.
    pub free_order: FreeOrder,
    /// Whether engine `block` counts a hit when a block is used, instead of when its request arrives.
    pub count_by_access: bool,
    /// Seed for eviction policies that draw random numbers.
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

/// All engines.
pub static ENGINES: Registry<EngineCard> = Registry::new("engine", "prefix-sharing.md", LIST);

const LIST: &[EngineCard] = &[
    vllm::CARD,
    sglang::CARD,
    ideal::IDEAL,
    ideal::BLOCK,
    naive::CARD,
];

/// Checks that an engine supports an eviction policy.
///
/// # Errors
/// [`Error::Usage`] if it cannot.
pub fn check_policy(engine: &str, policy: &str) -> Result<()> {
    ENGINES.find(engine)?.check_policy(policy)
}

/// Returns what a block's hash covers for an engine.
///
/// # Errors
/// [`Error::Usage`] for a name that is not registered.
pub fn hash_scheme(name: &str) -> Result<HashScheme> {
    ENGINES.find(name).map(EngineCard::hash_scheme)
}

impl EngineOptions {
    /// Whether these options cache outputs.
    pub fn caches_output(&self) -> bool {
        self.cache_output.unwrap_or(self.engine.card().is_server())
    }

    /// Order in which these options use blocks.
    pub fn order(&self) -> UseOrder {
        self.order.unwrap_or(if self.engine.card().hits_anywhere() {
            UseOrder::HeadFirst
        } else {
            UseOrder::TailFirst
        })
    }

    /// Whether these options always compute the last prompt token.
    ///
    /// In a trace whose partial last blocks have hash ids of their own, the ids describe another system's blocks;
    /// there, a fully cached prompt hits completely.
    pub fn caps_last_token(&self, trace: &BlockTrace) -> bool {
        self.last_token_cap
            .unwrap_or(self.engine.card().is_server() && !trace.partial_tail())
    }
}

/// Checks that an engine supports its options, independently of the trace.
///
/// # Errors
/// [`Error::Usage`] with a suggestion of what to use instead.
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

/// Checks that in-flight requests of an engine can hold blocks in the way that the options require.
///
/// # Errors
/// [`Error::Usage`] if they cannot.
pub fn check_hold(options: &EngineOptions) -> Result<()> {
    options.engine.card().check_hold(options.hold)
}

/// Builds an empty engine for the blocks of `trace` that serves one request after the other.
///
/// # Errors
/// [`Error::Usage`] for requests that overlap (see [`replay`]), or for options that the engine does not support.
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
