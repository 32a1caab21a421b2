//! CLOCK, or second chance (Corbató, 1968): a queue in which a used block is passed over once.
//!
//! As `Clock.c` of libCacheSim with its default of one bit; `clock:BITS` counts uses up to `2^BITS - 1`.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, Setup, Use};

/// A queue with a small count of uses.
#[derive(Debug)]
pub struct Clock {
    order: Queues,
    capacity: u32,
    most: u32,
}

impl Clock {
    /// An empty cache that counts with so many bits.
    pub fn new(setup: &Setup, bits: u32) -> Self {
        Self {
            order: Queues::new(setup.blocks, 1),
            capacity: setup.capacity,
            most: (1 << bits.clamp(1, 16)) - 1,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        loop {
            let block = self.order.pop(0)?;
            match self.order.count(block) {
                0 => return Some(block),
                count => {
                    self.order.set_count(block, count - 1);
                    self.order.push(0, block);
                }
            }
        }
    }
}

impl Eviction for Clock {
    fn contains(&self, block: BlockId) -> bool {
        self.order.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        if self.contains(block) {
            let count = (self.order.count(block) + 1).min(self.most);
            self.order.set_count(block, count);
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
    fn a_used_block_gets_a_second_chance() {
        // 0* 1: 2 passes over 0, evicts 1; 3 then finds 0 unmarked and evicts it.
        let played = play(&mut Clock::new(&Setup::of(5, 2), 1), &[0, 1, 0, 2, 3, 0]);
        assert_eq!(played.hits, "..h...");
        assert_eq!(played.evicted, [1, 0, 2]);
    }
}
