//! A prefix cache in several tiers of memory: blocks are used in the first tier, and blocks evicted from a tier are
//! written to the next.
//!
//! The cache is inclusive: a block that is read from a lower tier also stays there. A request finds its leading blocks
//! in any tier. First, the blocks found below the first tier are read, which refreshes them in their tier; then the
//! request's blocks are used in the first tier, as in engine `ideal`. Both follow the order of use. A block evicted from a tier is written
//! to the next one unless it is there already, and a block evicted from the last tier is lost. The first tier therefore
//! always holds what it would hold alone. Each tier has its own instance of the same eviction policy.

use super::super::eviction::{self, Use};
use super::super::{BlockId, BlockTrace, Run};
use super::content::{Content, Uses};
use super::rules::Rules;
use super::{CacheEngine, EngineKind, EngineOptions, Hold, Outcome, Shape, Tier, tokens_in};
use crate::base::error::{Error, Result};

/// Counts of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierCounts {
    /// Prompt blocks that were found in this tier and in no tier above.
    pub hits: u64,
    /// Prompt tokens in the hit blocks.
    pub hit_tokens: u64,
    /// Blocks that were added: computed or read into the first tier, or written into another tier.
    pub blocks_in: u64,
    /// Blocks that were evicted.
    pub blocks_out: u64,
    /// Blocks that were read from this tier into the first tier.
    pub blocks_read: u64,
    /// Blocks in this tier at the end.
    pub resident: u64,
}

/// A prefix cache in several tiers of memory.
pub struct Tiered {
    rules: Rules,
    order: Uses,
    tiers: Vec<Content>,
    counts: Vec<TierCounts>,
    /// Last access of each block, for the policies of the lower tiers.
    uses: Vec<Use>,
    /// Buffers for the blocks evicted from the tier above and from this one.
    falling: [Vec<BlockId>; 2],
    resident: u32,
}

impl Tiered {
    /// Creates empty tiers; blocks are used in the first.
    ///
    /// # Errors
    /// [`Error::Usage`] for no tiers, an unknown policy, or an engine that does not support tiers.
    pub fn new(trace: &BlockTrace, tiers: &[Tier], options: &EngineOptions) -> Result<Self> {
        if options.engine != EngineKind::IDEAL {
            return Err(Error::usage(
                format!("engine `{}` has no tiers", options.engine),
                "use engine `ideal`, which looks for the longest prefix in any tier",
            ));
        }
        if options.hold != Hold::None {
            return Err(Error::usage(
                "a tiered cache has no running requests that hold blocks",
                "set `hold` to none",
            ));
        }
        if eviction::expires(&options.policy) || eviction::looks_ahead(&options.policy) {
            return Err(Error::usage(
                format!("policy `{}` does not work with tiers", options.policy),
                "use one that evicts by use alone, e.g. `lru`",
            ));
        }
        if tiers.is_empty() {
            return Err(Error::usage("the cache has no tiers", "give at least one"));
        }
        let content = |tier: &Tier| Content::new(trace, tier.capacity, options);
        let used = if tiers.len() > 1 { trace.distinct() } else { 0 };
        Ok(Self {
            rules: Rules::new(trace, options),
            order: Uses::new(trace, options),
            tiers: tiers.iter().map(content).collect::<Result<_>>()?,
            counts: vec![TierCounts::default(); tiers.len()],
            uses: vec![Use::default(); used as usize],
            falling: [Vec::new(), Vec::new()],
            resident: 0,
        })
    }

    /// Counts of each tier so far.
    pub fn counts(&self) -> Vec<TierCounts> {
        let with_resident = |(counts, content): (&TierCounts, &Content)| TierCounts {
            resident: u64::from(content.len()),
            ..*counts
        };
        self.counts
            .iter()
            .zip(&self.tiers)
            .map(with_resident)
            .collect()
    }

    /// The first tier that holds the block.
    fn find(&self, block: BlockId) -> Option<usize> {
        self.tiers.iter().position(|tier| tier.contains(block))
    }

    /// Reads the blocks that are found, the last of which may be partial.
    fn read(&mut self, hits: &[BlockId], request: &Shape, index: u32) {
        for depth in self.order.positions(hits.len()) {
            let (depth, block) = (depth as u32, &hits[depth]);
            let Some(tier) = self.find(*block) else {
                continue;
            };
            let counts = &mut self.counts[tier];
            counts.hits += 1;
            counts.hit_tokens += u64::from(
                tokens_in(depth + 1, self.rules.block_size, request.input_length)
                    - tokens_in(depth, self.rules.block_size, request.input_length),
            );
            if tier > 0 {
                counts.blocks_read += 1;
                let used = Use {
                    request: index,
                    ..self.uses[*block as usize]
                };
                // The block is resident, so the access evicts nothing.
                self.tiers[tier].access(&used, &mut self.falling[0]);
            }
        }
        self.falling[0].clear();
    }

    /// Uses a block in the first tier and passes evicted blocks down; blocks that leave the last tier are added to
    /// `lost`. Returns whether the block was in no tier before.
    fn bring(&mut self, used: &Use, lost: &mut Vec<BlockId>) -> bool {
        let several = self.tiers.len() > 1;
        if several {
            self.uses[used.block as usize] = *used;
        }
        let fresh = self.find(used.block).is_none();
        let before = lost.len();
        let [mut above, mut below] = std::mem::take(&mut self.falling);
        self.enter(0, used, &mut above);
        for tier in 1..self.tiers.len() {
            for block in above.drain(..) {
                if !self.tiers[tier].contains(block) {
                    let used = self.uses[block as usize];
                    self.enter(tier, &used, &mut below);
                }
            }
            std::mem::swap(&mut above, &mut below);
        }
        for block in above.drain(..) {
            if !several || self.find(block).is_none() {
                lost.push(block);
            }
        }
        self.falling = [above, below];
        self.resident += u32::from(fresh);
        self.resident -= (lost.len() - before) as u32;
        fresh
    }

    fn enter(&mut self, tier: usize, used: &Use, gone: &mut Vec<BlockId>) {
        let before = gone.len();
        let known = self.tiers[tier].access(used, gone);
        let counts = &mut self.counts[tier];
        counts.blocks_in += u64::from(!known);
        counts.blocks_out += (gone.len() - before) as u64;
    }
}

impl CacheEngine for Tiered {
    fn name(&self) -> &'static str {
        "ideal"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        let before = evicted.len();
        let hits = run.prompt[..self.rules.lookups(run, request)]
            .iter()
            .take_while(|block| self.find(**block).is_some())
            .count() as u32;
        self.read(&run.prompt[..hits as usize], &request, run.index as u32);
        let mut order = std::mem::take(&mut self.order);
        let mut stored = 0;
        order.each(run, |used| stored += u32::from(self.bring(used, evicted)));
        self.order = order;
        Outcome {
            hit_blocks: hits,
            cached_tokens: tokens_in(hits, self.rules.block_size, request.input_length),
            new_blocks: stored,
            allocated_blocks: stored,
            evicted: (evicted.len() - before) as u32,
            ..Outcome::default()
        }
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.find(block).is_some()
    }

    fn resident(&self) -> u32 {
        self.resident
    }
}
