//! Least frequently used: evicts the block with the fewest uses since insertion; of several, the least recently used.
//!
//! `lfu-aging` adds the last victim's count to every new count, so that old counts fade (LFU-DA, Arlitt et al., 1999).

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of `lfu`.
pub(super) const LFU: EvictionCard =
    EvictionCard::new("lfu", "least frequently used", |context, _| {
        Some(Box::new(Lfu::new(context, false)))
    });

/// The card of `lfu-aging`.
pub(super) const LFU_AGING: EvictionCard =
    EvictionCard::new("lfu-aging", "LFU in which old counts fade", |context, _| {
        Some(Box::new(Lfu::new(context, true)))
    });

/// The policies `lfu` and `lfu-aging`: one queue of blocks per use count.
#[derive(Debug)]
pub struct Lfu {
    /// Offset of the counts in the queues' numbers.
    base: u32,
    counts: Queues,
    lowest: u32,
    ages: bool,
    capacity: u32,
    length: u32,
}

impl Lfu {
    /// Creates an empty cache; with `ages`, counts start at the last victim's.
    pub fn new(context: &EvictionContext, ages: bool) -> Self {
        Self {
            base: 0,
            counts: Queues::new(context.blocks, 2),
            lowest: 1,
            ages,
            capacity: context.capacity,
            length: 0,
        }
    }

    /// The number of uses is stored in the block's record; the rank is the number of its queue.
    fn rank(&mut self, block: BlockId, uses: u32) {
        let rank = self.base + uses;
        self.counts.set_count(block, uses);
        self.counts.grow(rank as usize + 1);
        self.counts.move_to(rank, block);
        self.lowest = self.lowest.min(rank);
    }

    fn evict(&mut self) -> Option<BlockId> {
        if self.length == 0 {
            return None;
        }
        while self.counts.len(self.lowest) == 0 {
            self.lowest += 1;
        }
        if self.ages {
            self.base = self.lowest;
        }
        self.length -= 1;
        self.counts.pop(self.lowest)
    }
}

impl Eviction for Lfu {
    fn contains(&self, block: BlockId) -> bool {
        self.counts.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        if self.contains(block) {
            let uses = self.counts.count(block) + 1;
            self.rank(block, uses);
            return true;
        }
        if self.length == self.capacity {
            evicted.extend(self.evict());
        }
        self.rank(block, 1);
        self.length += 1;
        false
    }

    fn len(&self) -> u32 {
        self.length
    }

    fn steps(&self) -> u64 {
        self.counts.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::lfu::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn the_least_used_goes_first() {
        let stream = [0, 0, 0, 1, 2, 1, 3, 4, 5, 0];
        // 0 was used three times, 1 twice by then; 2, then 3, then 4 have one use.
        let played = play(&mut Lfu::new(&EvictionContext::of(6, 3), false), &stream);
        assert_eq!(played.hits, ".hh..h...h");
        assert_eq!(played.evicted, [2, 3, 4]);
        // With ageing: 2 is evicted at 1, so 3 enters at 2, like 1, which is older and is evicted at 2; 4 enters at 3,
        // like 0, which is older than 4; 3 is evicted at 2, and 0 stays.
        let played = play(&mut Lfu::new(&EvictionContext::of(6, 3), true), &stream);
        assert_eq!(played.evicted, [2, 1, 3]);
    }
}
