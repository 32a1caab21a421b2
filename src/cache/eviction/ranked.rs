//! Policies that give each block a rank and evict the lowest. They share one heap; each defines its rank in a line.

use super::heap::{Heap, Key};
use super::queues::NONE;
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of `gdsf`.
pub(super) const GDSF: EvictionCard = EvictionCard::new(
    "gdsf",
    "fewest uses since insertion, with aging by the last victim",
    |context, _| Some(Box::new(Ranked::new(context, Rank::GreedyDual))),
);

/// The card of `priority`.
pub(super) const PRIORITY: EvictionCard = EvictionCard::new(
    "priority",
    "lowest priority first, then LRU",
    |context, _| Some(Box::new(Ranked::new(context, Rank::Priority))),
);

/// The card of `session-aware`.
pub(super) const SESSION_AWARE: EvictionCard = EvictionCard::new(
    "session-aware",
    "blocks of finished sessions first, then LRU",
    |context, _| Some(Box::new(Ranked::new(context, Rank::SessionAware))),
);

/// The card of `cost-aware`.
pub(super) const COST_AWARE: EvictionCard = EvictionCard::new(
    "cost-aware",
    "lowest uses times recompute cost, with aging",
    |context, _| Some(Box::new(Ranked::new(context, Rank::CostAware))),
);

/// The card of `length-aware`.
pub(super) const LENGTH_AWARE: EvictionCard = EvictionCard::new(
    "length-aware",
    "least used first, the deepest of those",
    |context, _| Some(Box::new(Ranked::new(context, Rank::LengthAware))),
);

/// The rank of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The request's priority, then last use: SGLang's `priority` for blocks.
    Priority,
    /// Uses since insertion; among the least used, the deepest block first, then by last use: Mooncake's length-aware
    /// order (Qin et al., FAST 2025), which keeps the heads of prompts.
    LengthAware,
    /// Uses times the cost of recomputing the block, plus the last victim's rank: Greedy-Dual with frequency (Cherkasova,
    /// 1998). The cost is attention over the blocks before it, so it grows with depth.
    CostAware,
    /// Uses plus the last victim's rank: Greedy-Dual with frequency where all blocks have the same cost and size, which is LFU
    /// with dynamic aging. As `GDSF.cpp` of libCacheSim.
    GreedyDual,
    /// Blocks of finished sessions first, then by last use. The trace provides whether a session has more turns; a real
    /// server would have to predict it.
    SessionAware,
}

/// A policy that evicts the block with the lowest [`Rank`].
#[derive(Debug)]
pub struct Ranked {
    rank: Rank,
    heap: Heap,
    uses: Vec<u32>,
    capacity: u32,
    clock: u64,
    /// Under [`Rank::CostAware`] and [`Rank::GreedyDual`], the last victim's rank.
    inflation: i64,
    steps: u64,
}

impl Ranked {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext, rank: Rank) -> Self {
        Self {
            rank,
            heap: Heap::default(),
            uses: vec![NONE; context.blocks as usize],
            capacity: context.capacity,
            clock: 0,
            inflation: 0,
            steps: 0,
        }
    }

    fn key(&self, used: &Use, uses: u32) -> Key {
        match self.rank {
            Rank::Priority => (i64::from(used.priority), self.clock),
            Rank::LengthAware => {
                let deepest = i64::from(u32::MAX - used.depth);
                (i64::from(uses) << 32 | deepest, self.clock)
            }
            Rank::CostAware => {
                let worth = i64::from(uses) * (i64::from(used.depth) + 1);
                (self.inflation + worth, self.clock)
            }
            Rank::GreedyDual => (self.inflation + i64::from(uses), self.clock),
            Rank::SessionAware => (i64::from(used.turns_left > 0), self.clock),
        }
    }
}

impl Eviction for Ranked {
    fn contains(&self, block: BlockId) -> bool {
        self.uses[block as usize] != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        self.clock += 1;
        self.steps += 1;
        let block = used.block;
        let hit = self.contains(block);
        if !hit && self.heap.len() == self.capacity {
            if let Some((worth, _)) = self.heap.lowest() {
                self.inflation = worth;
            }
            if let Some(victim) = self.heap.pop() {
                self.uses[victim as usize] = NONE;
                evicted.push(victim);
                self.steps += 1;
            }
        }
        let uses = &mut self.uses[block as usize];
        *uses = if hit { *uses + 1 } else { 1 };
        let uses = *uses;
        self.heap.put(block, self.key(used, uses));
        hit
    }

    fn len(&self) -> u32 {
        self.heap.len()
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::ranked::*;
    use crate::cache::eviction::testing::play_uses;

    /// Three blocks fit; each use is block, depth, priority, turns left.
    fn evicted(rank: Rank, uses: &[(u32, u32, i32, u32)]) -> Vec<u32> {
        let uses = uses
            .iter()
            .map(|&(block, depth, priority, turns_left)| Use {
                block,
                depth,
                priority,
                turns_left,
                ..Use::default()
            });
        let mut cache = Ranked::new(&EvictionContext::of(9, 3), rank);
        play_uses(&mut cache, uses).evicted
    }

    #[test]
    fn each_rank_by_hand() {
        // 1 has the lowest priority of the three.
        let priorities = [(0, 0, 2, 0), (1, 0, 1, 0), (2, 0, 2, 0), (3, 0, 0, 0)];
        assert_eq!(evicted(Rank::Priority, &priorities), [1]);
        // All were used once except 0: of 1 and 2 the deeper is evicted, although it was inserted later.
        let depths = [
            (0, 0, 0, 0),
            (0, 0, 0, 0),
            (1, 1, 0, 0),
            (2, 2, 0, 0),
            (3, 0, 0, 0),
        ];
        assert_eq!(evicted(Rank::LengthAware, &depths), [2]);
        // Ranks 2, 2 and 3: of 0 and 1 the older is evicted at 2, so 3 enters at 2 + 1, and 1 at 2 is the next victim.
        let costs = [
            (0, 0, 0, 0),
            (0, 0, 0, 0),
            (1, 1, 0, 0),
            (2, 2, 0, 0),
            (3, 0, 0, 0),
            (4, 0, 0, 0),
        ];
        assert_eq!(evicted(Rank::CostAware, &costs), [0, 1]);
        // Ranks 2, 1 and 1: of 1 and 2 the older is evicted at 1, so 3 enters at 1 + 1; 2 is evicted at 1, and 4 also
        // enters at 2; now 0 is the oldest at 2 and is evicted, although LFU would keep it.
        let worths = [0, 0, 1, 2, 3, 4, 5].map(|block| (block, 0, 0, 0));
        assert_eq!(evicted(Rank::GreedyDual, &worths), [1, 2, 0]);
        // 1's session is over; of the blocks whose sessions continue, 0 is the oldest.
        let sessions = [
            (0, 0, 0, 1),
            (1, 0, 0, 0),
            (2, 0, 0, 1),
            (3, 0, 0, 1),
            (4, 0, 0, 1),
        ];
        assert_eq!(evicted(Rank::SessionAware, &sessions), [1, 0]);
    }
}
