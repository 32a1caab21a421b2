//! Least recently used: the block that was not used for longest goes.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, Setup, Use};

/// The order of last use.
#[derive(Debug)]
pub struct Lru {
    order: Queues,
    capacity: u32,
}

impl Lru {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            order: Queues::new(setup.blocks, 1),
            capacity: setup.capacity,
        }
    }
}

impl Eviction for Lru {
    fn contains(&self, block: BlockId) -> bool {
        self.order.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let hit = self.contains(used.block);
        if !hit && self.order.len(0) == self.capacity {
            evicted.extend(self.order.pop(0));
        }
        self.order.move_to(0, used.block);
        hit
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
    fn the_longest_unused_goes_first() {
        // Oldest first: 0 1 2, then 1 2 0, 2 0 3, 0 3 4, 3 4 0.
        let played = play(&mut Lru::new(&Setup::of(5, 3)), &[0, 1, 2, 0, 3, 4, 0]);
        assert_eq!(played.hits, "...h..h");
        assert_eq!(played.evicted, [1, 2]);
    }
}
