//! LIRS (Jiang and Zhang, SIGMETRICS 2002): ranks blocks by the time between their last two uses, instead of the time
//! since the last use.
//!
//! Blocks with short gaps are warm and hold 99 % of the capacity; the others are cold and pass through a short queue. A stack
//! orders all by last use and remembers evicted blocks above its lowest warm block: a cold block that is used while it is in
//! the stack has a shorter gap than that warm block, and takes its place.
//!
//! Parameters as `LIRS.c` of libCacheSim: 1 % of the capacity is cold, the stack holds at most twice the capacity.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "lirs",
    "by the gap between the last two uses",
    |context, _| Some(Box::new(Lirs::new(context))),
);

/// The resident cold blocks, in order of insertion.
const COLD: u32 = 0;
/// Evicted blocks that are still in the stack, in order of eviction.
const GONE: u32 = 1;

/// The policy `lirs`: a stack in order of last use, and queues of cold and evicted blocks.
#[derive(Debug)]
pub struct Lirs {
    stack: Queues,
    /// Queues of blocks that are not warm; a block in the stack and in none of these is warm.
    cold: Queues,
    capacity: u32,
    warm: u32,
    most_warm: u32,
    most_cold: u32,
}

impl Lirs {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        let most_cold = (context.capacity / 100).max(1);
        Self {
            stack: Queues::new(context.blocks, 1),
            cold: Queues::new(context.blocks, 2),
            capacity: context.capacity,
            warm: 0,
            most_warm: context.capacity - most_cold,
            most_cold,
        }
    }

    fn in_stack(&self, block: BlockId) -> bool {
        self.stack.queue_of(block) != NONE
    }

    /// Evicts the oldest cold block if there is no room for another.
    fn make_room(&mut self, evicted: &mut Vec<BlockId>) {
        if self.cold.len(COLD) < self.most_cold {
            return;
        }
        if let Some(victim) = self.cold.pop(COLD) {
            if self.in_stack(victim) {
                self.cold.push(GONE, victim);
            }
            evicted.push(victim);
        }
    }

    /// Makes the lowest warm block cold, so that another can become warm.
    fn cool(&mut self, evicted: &mut Vec<BlockId>) {
        if self.warm < self.most_warm {
            return;
        }
        if let Some(lowest) = self.stack.pop(0) {
            self.make_room(evicted);
            self.cold.push(COLD, lowest);
            self.warm -= 1;
            self.prune();
        }
    }

    /// Removes blocks that are not warm from the stack's bottom.
    fn prune(&mut self) {
        while let Some(lowest) = self.stack.front(0)
            && self.stack.len(0) > 1
        {
            match self.cold.queue_of(lowest) {
                NONE => break,
                GONE => self.cold.remove(lowest),
                _ => {}
            }
            self.stack.pop(0);
        }
    }

    /// Removes the oldest evicted blocks from the stack if it is too long.
    fn forget(&mut self) {
        while self.stack.len(0) > self.capacity.saturating_mul(2)
            && let Some(oldest) = self.cold.pop(GONE)
        {
            self.stack.remove(oldest);
        }
    }
}

impl Eviction for Lirs {
    fn contains(&self, block: BlockId) -> bool {
        match self.cold.queue_of(block) {
            COLD => true,
            GONE => false,
            _ => self.in_stack(block),
        }
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let known = self.in_stack(block);
        let queue = self.cold.queue_of(block);
        let hit = queue == COLD || (known && queue == NONE);
        if known && queue == NONE {
            self.stack.move_to(0, block);
            self.prune();
            return true;
        }
        if known {
            // The block was used again while it was in the stack, so it becomes warm.
            self.stack.move_to(0, block);
            self.cold.remove(block);
            self.cool(evicted);
            self.warm += 1;
        } else if !hit && self.warm < self.most_warm {
            self.stack.push(0, block);
            self.warm += 1;
        } else {
            if !hit {
                self.make_room(evicted);
            }
            self.cold.move_to(COLD, block);
            // With a capacity of one block, no block is ever warm.
            if self.most_warm > 0 {
                self.stack.push(0, block);
            }
        }
        self.forget();
        hit
    }

    fn len(&self) -> u32 {
        self.warm + self.cold.len(COLD)
    }

    fn steps(&self) -> u64 {
        self.stack.steps() + self.cold.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::lirs::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn a_cold_block_turns_warm_while_the_stack_knows_it() {
        // 0 and 1 are warm, 2 cold. 3 takes its place; 2 returns while the stack remembers it and becomes warm, and 0,
        // the lowest warm block, becomes cold in the place of 3. Then 0 and 1 are hit, and 3 is not.
        let played = play(
            &mut Lirs::new(&EvictionContext::of(4, 3)),
            &[0, 1, 2, 3, 2, 1, 0, 3],
        );
        assert_eq!(played.hits, ".....hh.");
        assert_eq!(played.evicted, [2, 3, 0]);
    }
}
