//! A cache of blocks without an engine around it: longest resident prefix, then touch or insert in order.
//!
//! No blocks are pinned, none is lost to the last token, and a request never waits. With an unbounded capacity
//! this is what a cache of prompts can save at best, and of prompts and replies where outputs are cached too.

use super::super::eviction::{self, Eviction};
use super::super::{BlockId, BlockTrace, Run};
use super::{CacheEngine, Capacity, EngineOptions, Outcome, Shape, tokens_in};
use crate::error::Result;

/// Resident blocks and the order in which they go.
pub struct Ideal {
    block_size: u32,
    partial_tail: bool,
    cache_output: bool,
    last_token_cap: bool,
    resident: Vec<bool>,
    count: u32,
    /// None: nothing ever goes.
    bounded: Option<(u32, Box<dyn Eviction>)>,
}

impl Ideal {
    /// An empty cache.
    ///
    /// # Errors
    /// An unknown policy.
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Result<Self> {
        let bounded = match options.capacity {
            Capacity::Unbounded => None,
            Capacity::Blocks(blocks) => Some((
                blocks,
                eviction::by_name(&options.policy, trace.distinct())?,
            )),
        };
        Ok(Self {
            block_size: trace.block_size(),
            partial_tail: trace.partial_tail(),
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(trace),
            resident: vec![false; trace.distinct() as usize],
            count: 0,
            bounded,
        })
    }

    fn access(&mut self, block: BlockId, evicted: &mut Vec<BlockId>) {
        let resident = &mut self.resident[block as usize];
        if *resident {
            if let Some((_, policy)) = &mut self.bounded {
                policy.touch(block);
            }
            return;
        }
        *resident = true;
        self.count += 1;
        if let Some((capacity, policy)) = &mut self.bounded {
            if self.count > *capacity
                && let Some(victim) = policy.evict()
            {
                self.resident[victim as usize] = false;
                self.count -= 1;
                evicted.push(victim);
            }
            policy.insert(block);
        }
    }
}

impl CacheEngine for Ideal {
    fn name(&self) -> &'static str {
        "ideal"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        let before = evicted.len();
        let leading = run
            .prompt
            .iter()
            .take_while(|block| self.resident[**block as usize])
            .count() as u32;
        let mut hits = leading;
        if self.last_token_cap {
            hits = hits.min(request.input_length.saturating_sub(1) / self.block_size);
        }
        let blocks = if self.cache_output {
            run.all
        } else {
            run.prompt
        };
        for block in blocks {
            self.access(*block, evicted);
        }
        let needed = if self.partial_tail {
            run.prompt.len() as u32
        } else {
            request.input_length.div_ceil(self.block_size)
        };
        Outcome {
            hit_blocks: hits,
            cached_tokens: tokens_in(hits, self.block_size, request.input_length),
            new_blocks: needed - hits,
            evicted: (evicted.len() - before) as u32,
            rejected: false,
        }
    }

    fn resident(&self) -> u32 {
        self.count
    }
}
