//! 2Q (Johnson and Shasha, VLDB 1994): new blocks pass through a queue; only blocks that are used again after they left
//! the queue enter the LRU list.
//!
//! Parameters as in `TwoQ.c` of libCacheSim: a quarter of the capacity for the queue, and half of it for the ghost
//! list.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "2q",
    "a FIFO queue in front of an LRU list",
    |context, _| Some(Box::new(TwoQ::new(context))),
);

const IN: u32 = 0;
const OUT: u32 = 1;
const MAIN: u32 = 2;

/// The policy `2q`: a queue, its ghost list, and an LRU list.
#[derive(Debug)]
pub struct TwoQ {
    queues: Queues,
    capacity: u32,
    inward: u32,
    ghosts: u32,
}

impl TwoQ {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            queues: Queues::new(context.blocks, 3),
            capacity: context.capacity,
            inward: context.capacity / 4,
            ghosts: context.capacity / 2,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        if self.queues.len(IN) <= self.inward
            && let Some(block) = self.queues.pop(MAIN)
        {
            return Some(block);
        }
        let block = self.queues.pop(IN)?;
        if self.ghosts > 0 {
            if self.queues.len(OUT) == self.ghosts {
                self.queues.pop(OUT);
            }
            self.queues.push(OUT, block);
        }
        Some(block)
    }
}

impl Eviction for TwoQ {
    fn contains(&self, block: BlockId) -> bool {
        matches!(self.queues.queue_of(block), IN | MAIN)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let queue = self.queues.queue_of(block);
        match queue {
            IN => return true,
            MAIN => {
                self.queues.move_to(MAIN, block);
                return true;
            }
            NONE => {}
            _ => self.queues.remove(block),
        }
        if self.len() == self.capacity {
            evicted.extend(self.evict());
        }
        self.queues
            .push(if queue == OUT { MAIN } else { IN }, block);
        false
    }

    fn len(&self) -> u32 {
        self.queues.len(IN) + self.queues.len(MAIN)
    }

    fn steps(&self) -> u64 {
        self.queues.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::testing::play;
    use crate::cache::eviction::two_q::*;

    #[test]
    fn only_what_comes_back_enters_the_lru() {
        // Four fit; one place is for the queue, and two evicted blocks are remembered. 4 evicts 0 from the queue; 0
        // returns into the LRU list and evicts 1; 5 and 6 evict 2 and 3; 0 stays.
        let played = play(
            &mut TwoQ::new(&EvictionContext::of(8, 4)),
            &[0, 1, 2, 3, 4, 0, 5, 6, 0],
        );
        assert_eq!(played.hits, "........h");
        assert_eq!(played.evicted, [0, 1, 2, 3]);
    }
}
