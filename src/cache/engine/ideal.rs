//! Caches of blocks without the rules of a serving system: they look the prompt up, then use or insert its blocks one
//! by one.
//!
//! Blocks are never pinned, the last token need not be recomputed, and a request never waits. A request with more blocks than the
//! cache has is served, too: its blocks evict each other, and those used last stay. `ideal` counts the
//! longest resident prefix; with unbounded capacity, this is the most that a cache of prompts can save, or of prompts
//! and replies where outputs are cached too. `block` counts every resident block at any position, as studies of block
//! caches do (libCacheSim, tables on Mooncake's traces). It counts a block either when its request arrives, or when the
//! block is used; by then, an earlier block of the same request may have evicted it.

use super::super::{BlockId, BlockTrace, Run};
use super::content::{Content, Uses};
use super::rules::Rules;
use super::{CacheEngine, EngineCard, EngineOptions, Outcome, Shape, tokens_in};
use crate::base::error::Result;

/// The card of `ideal`.
pub(super) const IDEAL: EngineCard = EngineCard::block_cache(
    "ideal",
    "the longest resident prefix, without an engine around it",
    false,
    |trace, options| Ok(Box::new(Ideal::new(trace, options)?)),
);

/// The card of `block`.
pub(super) const BLOCK: EngineCard = EngineCard::block_cache(
    "block",
    "every resident block by itself, as studies without prefixes count",
    true,
    |trace, options| Ok(Box::new(Ideal::new(trace, options)?)),
);

/// A cache of blocks under an eviction policy.
pub struct Ideal {
    rules: Rules,
    anywhere: bool,
    /// Whether blocks are counted when they are used, instead of when their request arrives.
    by_access: bool,
    content: Content,
    uses: Uses,
}

impl Ideal {
    /// Creates an empty cache.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for an unknown policy.
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Result<Self> {
        let anywhere = options.engine.card().hits_anywhere();
        let mut rules = Rules::new(trace, options);
        rules.last_token_cap &= !anywhere;
        Ok(Self {
            rules,
            anywhere,
            by_access: options.count_by_access,
            content: Content::new(trace, options.capacity, options)?,
            uses: Uses::new(trace, options),
        })
    }

    /// Counts hits at any position; the last block may be partial, and may be a hit without those before it.
    fn count_anywhere(&self, run: &Run<'_>, request: Shape) -> (u32, u32) {
        let resident = |block: &&BlockId| self.content.contains(**block);
        let hits = run.prompt.iter().filter(resident).count() as u32;
        let size = self.rules.block_size;
        let full = match run.prompt.last() {
            Some(last) if self.content.contains(*last) => {
                let whole = run.prompt.len() as u32 - 1;
                let partial = request.input_length.saturating_sub(whole * size);
                (hits - 1) * size + partial.min(size)
            }
            _ => hits * size,
        };
        (hits, full)
    }
}

impl CacheEngine for Ideal {
    fn name(&self) -> &'static str {
        if self.anywhere { "block" } else { "ideal" }
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        let before = evicted.len();
        self.content.advance(run.facts.arrival, evicted);
        let (hits, cached_tokens) = if self.anywhere {
            self.count_anywhere(run, request)
        } else {
            let hits = run.prompt[..self.rules.lookups(run, request)]
                .iter()
                .take_while(|block| self.content.contains(**block))
                .count() as u32;
            let tokens = tokens_in(hits, self.rules.block_size, request.input_length);
            (hits, tokens)
        };
        let size = self.rules.block_size;
        let (mut used_hits, mut used_tokens, mut stored) = (0, 0, 0);
        self.uses.each(run, |used| {
            let hit = self.content.access(used, evicted);
            stored += u32::from(!hit);
            if hit && (used.depth as usize) < run.prompt.len() {
                used_hits += 1;
                used_tokens += (request.input_length - used.depth * size).min(size);
            }
        });
        let (hits, cached_tokens) = if self.by_access {
            (used_hits, used_tokens)
        } else {
            (hits, cached_tokens)
        };
        Outcome {
            hit_blocks: hits,
            cached_tokens,
            new_blocks: stored,
            allocated_blocks: stored,
            evicted: (evicted.len() - before) as u32,
            ..Outcome::default()
        }
    }

    fn resident(&self) -> u32 {
        self.content.len()
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.content.contains(block)
    }

    fn steps(&self) -> u64 {
        self.content.steps()
    }
}
