//! A cache of blocks without an engine around it: longest resident prefix, then touch or insert in order.
//!
//! No blocks are pinned, none is lost to the last token, and a request never waits. With an unbounded capacity
//! this is what a cache of prompts can save at best, and of prompts and replies where outputs are cached too.

use super::super::eviction::{self, Eviction, Setup, Use};
use super::super::{BlockId, BlockTrace, Run};
use super::{CacheEngine, Capacity, EngineOptions, Outcome, Shape, tokens_in};
use crate::error::Result;

/// Resident blocks and the order in which they go.
pub struct Ideal {
    block_size: u32,
    partial_tail: bool,
    cache_output: bool,
    last_token_cap: bool,
    content: Content,
}

enum Content {
    /// Nothing ever goes.
    Unbounded { resident: Vec<bool>, count: u32 },
    /// As much as a policy keeps.
    Bounded(Box<dyn Eviction>),
}

impl Content {
    fn contains(&self, block: BlockId) -> bool {
        match self {
            Self::Unbounded { resident, .. } => resident[block as usize],
            Self::Bounded(policy) => policy.contains(block),
        }
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) {
        match self {
            Self::Unbounded { resident, count } => {
                let known = std::mem::replace(&mut resident[used.block as usize], true);
                *count += u32::from(!known);
            }
            Self::Bounded(policy) => {
                policy.access(used, evicted);
            }
        }
    }
}

impl Ideal {
    /// An empty cache.
    ///
    /// # Errors
    /// An unknown policy.
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Result<Self> {
        let content = match options.capacity {
            Capacity::Unbounded => Content::Unbounded {
                resident: vec![false; trace.distinct() as usize],
                count: 0,
            },
            Capacity::Blocks(capacity) => {
                let setup = Setup {
                    blocks: trace.distinct(),
                    capacity,
                    block_size: trace.block_size(),
                    seed: 0,
                };
                Content::Bounded(eviction::by_name(&options.policy, &setup)?)
            }
        };
        Ok(Self {
            block_size: trace.block_size(),
            partial_tail: trace.partial_tail(),
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(trace),
            content,
        })
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
            .take_while(|block| self.content.contains(**block))
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
        let mut parent = None;
        for (depth, block) in (0..).zip(blocks) {
            let used = Use {
                block: *block,
                parent,
                depth,
                request: run.index as u32,
                ..Use::default()
            };
            self.content.access(&used, evicted);
            parent = Some(*block);
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
        match &self.content {
            Content::Unbounded { count, .. } => *count,
            Content::Bounded(policy) => policy.len(),
        }
    }
}
