//! Caches of blocks without an engine around them: look the prompt up, then use or insert its blocks one after the other.
//!
//! No blocks are pinned, none is lost to the last token, and a request never waits. `ideal` counts the longest resident
//! prefix; with an unbounded capacity this is what a cache of prompts can save at best, and of prompts and replies where
//! outputs are cached too. `block` counts every resident block, wherever it stands: the accounting of cache studies that
//! know no prefixes (libCacheSim, the tables of the Mooncake paper).

use super::super::eviction::{self, Eviction, Setup, Use};
use super::super::optimal::{NEVER, NextUse};
use super::super::{BlockId, BlockTrace, Run};
use super::{CacheEngine, Capacity, EngineOptions, Outcome, Shape, UseOrder, tokens_in};
use crate::error::Result;

/// Resident blocks and the order in which they go.
pub struct Ideal {
    block_size: u32,
    partial_tail: bool,
    cache_output: bool,
    last_token_cap: bool,
    anywhere: bool,
    order: UseOrder,
    content: Content,
    /// For bounds, which know the future.
    future: Option<NextUse>,
    next: Vec<u32>,
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
                    seed: options.seed,
                };
                Content::Bounded(eviction::by_name(&options.policy, &setup)?)
            }
        };
        let anywhere = options.engine == "block";
        let cache_output = options.caches_output();
        let looks_ahead =
            options.capacity != Capacity::Unbounded && eviction::looks_ahead(&options.policy);
        Ok(Self {
            anywhere,
            order: options.order(),
            future: looks_ahead.then(|| NextUse::new(trace, cache_output)),
            next: Vec::new(),
            block_size: trace.block_size(),
            partial_tail: trace.partial_tail(),
            cache_output,
            last_token_cap: options.caps_last_token(trace) && !anywhere,
            content,
        })
    }
}

impl Ideal {
    fn use_all(&mut self, run: &Run<'_>, evicted: &mut Vec<BlockId>) {
        let blocks = if self.cache_output {
            run.all
        } else {
            run.prompt
        };
        if let Some(future) = &self.future {
            future.of(run.index, blocks.len(), &mut self.next);
        }
        let next = self.future.as_ref().map(|_| &*self.next);
        for step in 0..blocks.len() {
            let depth = match self.order {
                UseOrder::HeadFirst => step,
                UseOrder::TailFirst => blocks.len() - 1 - step,
            };
            let used = Use {
                block: blocks[depth],
                parent: depth.checked_sub(1).map(|above| blocks[above]),
                depth: depth as u32,
                request: run.index as u32,
                session: run.facts.session,
                turns_left: run.facts.turns_left,
                priority: 0,
                now: run.facts.arrival,
                next: next.map_or(NEVER, |next| next[depth]),
            };
            self.content.access(&used, evicted);
        }
    }
}

impl CacheEngine for Ideal {
    fn name(&self) -> &'static str {
        if self.anywhere { "block" } else { "ideal" }
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        let before = evicted.len();
        if let Content::Bounded(policy) = &mut self.content {
            policy.advance(run.facts.arrival, evicted);
        }
        let resident = |block: &&BlockId| self.content.contains(**block);
        let mut hits = if self.anywhere {
            run.prompt.iter().filter(resident).count()
        } else {
            run.prompt.iter().take_while(resident).count()
        } as u32;
        if self.last_token_cap {
            hits = hits.min(request.input_length.saturating_sub(1) / self.block_size);
        }
        let cached_tokens = match run.prompt.last() {
            // The last block may be partial, and hit without those before it.
            Some(last) if self.anywhere && self.content.contains(*last) => {
                let whole = run.prompt.len() as u32 - 1;
                let partial = request.input_length.saturating_sub(whole * self.block_size);
                (hits - 1) * self.block_size + partial.min(self.block_size)
            }
            _ => tokens_in(hits, self.block_size, request.input_length),
        };
        self.use_all(run, evicted);
        let needed = if self.partial_tail {
            run.prompt.len() as u32
        } else {
            request.input_length.div_ceil(self.block_size)
        };
        Outcome {
            hit_blocks: hits,
            cached_tokens,
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
