//! First in, first out: the block that came first goes, whatever its use.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, Setup, Use};

/// The order of arrival.
#[derive(Debug)]
pub struct Fifo {
    order: Queues,
    capacity: u32,
}

impl Fifo {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            order: Queues::new(setup.blocks, 1),
            capacity: setup.capacity,
        }
    }
}

impl Eviction for Fifo {
    fn contains(&self, block: BlockId) -> bool {
        self.order.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        if self.contains(used.block) {
            return true;
        }
        if self.order.len(0) == self.capacity {
            evicted.extend(self.order.pop(0));
        }
        self.order.push(0, used.block);
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
    fn use_does_not_help() {
        let played = play(&mut Fifo::new(&Setup::of(5, 2)), &[0, 1, 0, 2, 0]);
        assert_eq!(played.hits, "..h..");
        assert_eq!(played.evicted, [0, 1]);
    }
}
