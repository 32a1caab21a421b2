//! Hit ratios of LRU at every capacity, from one pass over a trace.
//!
//! Under LRU a block is resident if fewer than `capacity` other blocks were used since its last use (Mattson et al.,
//! "Evaluation techniques for storage hierarchies", 1970). So each look-up has one number, the smallest capacity at which
//! it hits, and the distribution of these numbers is the whole curve.

mod exact;
mod points;
mod sampled;
mod stack;

pub use exact::exact;
pub use points::{Curve, Point, spread as capacities};
pub use sampled::{Sampled, SampledPoint, sampled};
pub(crate) use stack::StackDistances;

use super::BlockTrace;
use super::Run;
use super::engine::{EngineOptions, UseOrder};

/// The rules of the engines `ideal` and `block` that affect a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Order in which a request uses its blocks.
    pub order: UseOrder,
    /// Whether every resident block counts, not only the leading ones.
    pub anywhere: bool,
    /// Whether the blocks that outputs fill are used too.
    pub cache_output: bool,
    /// Whether the last prompt token is always recomputed.
    pub last_token_cap: bool,
    /// Tokens per block.
    pub block_size: u32,
}

impl Rules {
    /// The rules of [`super::engine::Ideal`] with these options.
    pub fn new(options: &EngineOptions, blocks: &BlockTrace) -> Self {
        Self {
            order: options.order(),
            anywhere: options.engine.card().hits_anywhere(),
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(blocks)
                && !options.engine.card().hits_anywhere(),
            block_size: blocks.block_size(),
        }
    }

    /// The blocks that a request uses.
    fn used<'a>(&self, run: &Run<'a>) -> &'a [u32] {
        if self.cache_output {
            run.all
        } else {
            run.prompt
        }
    }

    /// Number of its blocks that can hit.
    fn countable(&self, run: &Run<'_>) -> u32 {
        let most = run.prompt.len() as u32;
        if self.last_token_cap {
            most.min(run.facts.input_length.saturating_sub(1) / self.block_size)
        } else {
            most
        }
    }
}
