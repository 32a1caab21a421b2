//! Engines: by which rule a serving system looks blocks up, keeps them and gives them back.

mod content;
mod hold;
mod ideal;
mod naive;
mod overlap;
#[cfg(test)]
mod overlap_tests;
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
pub(crate) mod vllm_manager;
pub(crate) mod vllm_pool;

pub use hold::Hold;
pub use ideal::Ideal;
pub use naive::Naive;
pub use overlap::{Happening, Watch, replay};
pub use sglang::{Running, Sglang, UnboundedSglang};
pub use sglang_order::ORDERS;
pub use tier::{Tier, TierSpec, TierSummary};
pub use tiered::{TierCounts, Tiered};
pub use vllm::{FreeOrder, UnboundedVllm, Vllm};

use super::{BlockId, BlockTrace, Facts, HashScheme, Run};
use crate::base::error::{Error, Result};
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
    /// The request needs more blocks than there are, and was turned away.
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
    /// Registered name.
    pub engine: String,
    /// Registered eviction policy.
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
            engine: "vllm".into(),
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

/// Names that [`build`] knows.
pub const NAMES: &[&str] = &["vllm", "sglang", "ideal", "block", "naive"];

/// Whether an engine knows a policy.
///
/// # Errors
/// [`Error::Usage`] if it does not.
pub fn check_policy(engine: &str, policy: &str) -> Result<()> {
    match engine {
        "sglang" => sglang_order::Order::parse(policy, 1).map(drop),
        "ideal" | "block" => super::eviction::check(policy),
        _ if policy == "lru" => Ok(()),
        _ => {
            let sglang = sglang_order::Order::parse(policy, 1).is_ok();
            let engines = match (super::eviction::check(policy), sglang) {
                (Ok(()), true) => "sglang, ideal or block",
                (Ok(()), false) => "ideal or block",
                (Err(_), true) => "sglang",
                // An unknown name comes with a guess.
                (Err(unknown), false) => return Err(unknown),
            };
            Err(Error::usage(
                format!("engine `{engine}` has its own eviction policy, lru, and not `{policy}`"),
                format!("set `engine` to {engines} for it"),
            ))
        }
    }
}

/// Which blocks an engine hashes, and how.
///
/// # Errors
/// [`Error::Usage`] for a name that is not registered.
pub fn hash_scheme(name: &str) -> Result<HashScheme> {
    match name {
        "vllm" | "sglang" | "ideal" | "block" => Ok(HashScheme::Chained),
        "naive" => Ok(HashScheme::Alone),
        _ => Err(Error::unknown_name("engine", name, NAMES)),
    }
}

impl EngineOptions {
    fn is_a_server(&self) -> bool {
        matches!(self.engine.as_str(), "vllm" | "sglang")
    }

    /// Whether outputs are cached by these options.
    pub fn caches_output(&self) -> bool {
        self.cache_output.unwrap_or(self.is_a_server())
    }

    /// In which order blocks are used by these options.
    pub fn order(&self) -> UseOrder {
        self.order.unwrap_or(if self.engine == "block" {
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
            .unwrap_or(self.is_a_server() && !trace.partial_tail())
    }
}

/// Whether an engine can honour its options, whatever the trace.
///
/// # Errors
/// [`Error::Usage`] that says what to take instead.
pub fn check(options: &EngineOptions) -> Result<()> {
    let refuse = |what: &str, remedy: &str| {
        Err(Error::usage(
            format!("engine `{}` {what}", options.engine),
            remedy,
        ))
    };
    check_policy(&options.engine, &options.policy)?;
    if options.capacity == Capacity::Blocks(0) {
        return Err(Error::usage(
            "a capacity of 0 blocks",
            "give at least 1, or `inf`",
        ));
    }
    check_hold(options)?;
    if options.order.is_some() && !matches!(options.engine.as_str(), "ideal" | "block") {
        return refuse(
            "has an order of its own",
            "leave --order away, or take --engine ideal",
        );
    }
    if options.count_by_access && options.engine != "block" {
        return refuse(
            "counts prefixes when a request comes",
            "take --engine block",
        );
    }
    Ok(())
}

/// Whether an engine has running requests of this kind.
///
/// # Errors
/// [`Error::Usage`] if not.
pub fn check_hold(options: &EngineOptions) -> Result<()> {
    match (options.engine.as_str(), options.hold) {
        (_, Hold::None) | ("vllm", _) | ("sglang", Hold::Trace | Hold::Linear { .. }) => Ok(()),
        ("sglang", hold) => Err(Error::usage(
            format!("engine `sglang` with --hold {hold}"),
            "take --hold linear:PREFILL_MS,DECODE_MS, or --engine vllm",
        )),
        (engine, _) => Err(Error::usage(
            format!("engine `{engine}` has no running requests to hold blocks"),
            "take --engine vllm or sglang, or --hold none",
        )),
    }
}

/// An engine for the blocks of `trace`, that serves one request after the other.
///
/// # Errors
/// [`Error::Usage`] for requests that overlap (see [`replay`]), an unknown name, or options that the engine cannot honour.
pub fn build(options: &EngineOptions, trace: &BlockTrace) -> Result<Box<dyn CacheEngine>> {
    check(options)?;
    if options.hold.overlaps() {
        return Err(Error::usage(
            format!("--hold {} serves no request before the next", options.hold),
            "replay it with `replay`",
        ));
    }
    match options.engine.as_str() {
        "vllm" => Ok(match options.capacity {
            Capacity::Unbounded => Box::new(UnboundedVllm::new(trace, options)),
            Capacity::Blocks(blocks) => Box::new(Vllm::new(trace, blocks, options)),
        }),
        "sglang" => Ok(match options.capacity {
            Capacity::Unbounded => Box::new(UnboundedSglang::new(trace, options)?),
            Capacity::Blocks(pages) => Box::new(Sglang::new(trace, pages, options)?),
        }),
        "ideal" | "block" => Ok(Box::new(Ideal::new(trace, options)?)),
        "naive" => match options.capacity {
            Capacity::Unbounded => Ok(Box::new(Naive::new(trace))),
            Capacity::Blocks(_) => Err(Error::usage(
                "engine `naive` has no capacity: it keeps everything for ever, which is the point of it",
                "leave --capacity away, or take --engine vllm",
            )),
        },
        name => Err(Error::unknown_name("engine", name, NAMES)),
    }
}

/// Tokens in the first `blocks` blocks of a prompt; the last one may be partial.
fn tokens_in(blocks: u32, block_size: u32, input_length: u32) -> u32 {
    blocks.saturating_mul(block_size).min(input_length)
}
