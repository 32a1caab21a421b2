//! The count of a notebook: blocks hashed on their own, hits at any position, partial last blocks shared, and no
//! evictions.
//!
//! Kept for comparison only: it reports sharing that no engine could use.

use super::super::{BlockId, BlockTrace, Run};
use super::{CacheEngine, Capacity, EngineCard, Outcome, Shape};
use crate::base::error::Error;

/// The card of the engine.
pub(super) const CARD: EngineCard = EngineCard::accounting(
    "naive",
    "unchained blocks that are kept for ever, for comparison",
    |trace, options| match options.capacity {
        Capacity::Unbounded => Ok(Box::new(Naive::new(trace))),
        Capacity::Blocks(_) => Err(Error::usage(
            "engine `naive` has no capacity: it keeps every block for ever",
            "omit the capacity, or use engine `vllm`",
        )),
    },
);

/// The set of all blocks seen so far.
#[derive(Debug)]
pub struct Naive {
    block_size: u32,
    seen: Vec<bool>,
    resident: u32,
}

impl Naive {
    /// Creates an empty cache for the blocks of `trace`.
    pub fn new(trace: &BlockTrace) -> Self {
        Self {
            block_size: trace.block_size(),
            seen: vec![false; trace.distinct() as usize],
            resident: 0,
        }
    }
}

impl CacheEngine for Naive {
    fn name(&self) -> &'static str {
        "naive"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, _: &mut Vec<BlockId>) -> Outcome {
        let mut outcome = Outcome::default();
        for (position, block) in run.prompt.iter().enumerate() {
            // A block that occurs twice in one prompt is a hit the second time.
            if std::mem::replace(&mut self.seen[*block as usize], true) {
                outcome.hit_blocks += 1;
                let before = position as u32 * self.block_size;
                outcome.cached_tokens += self.block_size.min(request.input_length - before);
            } else {
                outcome.new_blocks += 1;
            }
        }
        outcome.allocated_blocks = outcome.new_blocks;
        self.resident += outcome.new_blocks;
        outcome
    }

    fn resident(&self) -> u32 {
        self.resident
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.seen[block as usize]
    }
}
