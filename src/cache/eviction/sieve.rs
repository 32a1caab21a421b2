//! SIEVE (Zhang et al., NSDI 2024): a queue that keeps its order, and a hand that walks from old to young, sparing what was
//! used since it last came by.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, Setup, Use};

/// The queue and its hand.
#[derive(Debug)]
pub struct Sieve {
    order: Queues,
    capacity: u32,
    hand: Option<BlockId>,
}

impl Sieve {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            order: Queues::new(setup.blocks, 1),
            capacity: setup.capacity,
            hand: None,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        let mut block = self.hand.or_else(|| self.order.front(0))?;
        while self.order.count(block) > 0 {
            self.order.set_count(block, 0);
            block = match self.order.younger(block) {
                Some(next) => next,
                None => self.order.front(0)?,
            };
        }
        self.hand = self.order.younger(block);
        self.order.remove(block);
        Some(block)
    }
}

impl Eviction for Sieve {
    fn contains(&self, block: BlockId) -> bool {
        self.order.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        if self.contains(block) {
            self.order.set_count(block, 1);
            return true;
        }
        if self.order.len(0) == self.capacity {
            evicted.extend(self.evict());
        }
        self.order.set_count(block, 0);
        self.order.push(0, block);
        false
    }

    fn len(&self) -> u32 {
        self.order.len(0)
    }

    fn steps(&self) -> u64 {
        self.order.steps()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::play;
    use super::*;

    #[test]
    fn the_hand_goes_on_where_it_stopped() {
        // 0* 1 2: the hand clears 0, evicts 1, stands at 2. Then 3 is there; 4 evicts 2, 5 evicts 3, and 0 is still in.
        let played = play(&mut Sieve::new(&Setup::of(6, 3)), &[0, 1, 2, 0, 3, 4, 5, 0]);
        assert_eq!(played.hits, "...h...h");
        assert_eq!(played.evicted, [1, 2, 3]);
    }
}
