//! S3-FIFO (Yang et al., SOSP 2023): a small queue that most blocks leave soon, a main queue, and a ghost list of evicted blocks.
//!
//! Parameters as in `S3FIFO.c` of libCacheSim: the small queue has a tenth of the capacity and the ghost list nine
//! tenths; two uses in the small queue promote a block to the main one, where uses count up to 3.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "s3-fifo",
    "a small and a main FIFO queue with a memory of evicted blocks",
    |context, _| Some(Box::new(S3Fifo::new(context))),
);

const SMALL: u32 = 0;
const MAIN: u32 = 1;
const GHOST: u32 = 2;

/// Uses in the small queue after which a block is promoted to the main one.
const PROMOTED: u32 = 2;

/// The policy `s3-fifo`: small queue, main queue and ghost list.
#[derive(Debug)]
pub struct S3Fifo {
    queues: Queues,
    capacity: u32,
    small: u32,
    main: u32,
    ghosts: u32,
    /// Whether any block was ever evicted.
    full: bool,
}

impl S3Fifo {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        let small = (f64::from(context.capacity) * 0.1) as u32;
        Self {
            queues: Queues::new(context.blocks, 3),
            capacity: context.capacity,
            small,
            main: context.capacity - small,
            ghosts: (f64::from(context.capacity) * 0.9) as u32,
            full: false,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        if self.queues.len(MAIN) > self.main || self.queues.len(SMALL) == 0 {
            return self.evict_main();
        }
        while let Some(block) = self.queues.pop(SMALL) {
            if self.queues.count(block) < PROMOTED {
                self.remember(block);
                return Some(block);
            }
            self.queues.set_count(block, 0);
            self.queues.push(MAIN, block);
        }
        // All blocks were promoted to the main queue, and none was evicted.
        self.evict_main()
    }

    fn evict_main(&mut self) -> Option<BlockId> {
        loop {
            let block = self.queues.pop(MAIN)?;
            match self.queues.count(block) {
                0 => return Some(block),
                count => {
                    self.queues.set_count(block, count.min(3) - 1);
                    self.queues.push(MAIN, block);
                }
            }
        }
    }

    fn remember(&mut self, block: BlockId) {
        if self.ghosts == 0 {
            return;
        }
        if self.queues.len(GHOST) == self.ghosts {
            self.queues.pop(GHOST);
        }
        self.queues.push(GHOST, block);
    }
}

impl Eviction for S3Fifo {
    fn contains(&self, block: BlockId) -> bool {
        matches!(self.queues.queue_of(block), SMALL | MAIN)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let queue = self.queues.queue_of(block);
        if matches!(queue, SMALL | MAIN) {
            let count = self.queues.count(block);
            self.queues.set_count(block, count + 1);
            return true;
        }
        if queue != NONE {
            self.queues.remove(block);
        }
        if self.len() == self.capacity {
            self.full = true;
            evicted.extend(self.evict());
        }
        self.queues.set_count(block, 0);
        let warming = !self.full && self.queues.len(SMALL) >= self.small;
        let queue = if queue == GHOST || warming {
            MAIN
        } else {
            SMALL
        };
        self.queues.push(queue, block);
        false
    }

    fn len(&self) -> u32 {
        self.queues.len(SMALL) + self.queues.len(MAIN)
    }

    fn steps(&self) -> u64 {
        self.queues.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::s3_fifo::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn what_comes_back_goes_to_the_main_queue() {
        // Ten fit, one of them small. 0 begins in the small queue, 1 to 9 fill the main one. 10 evicts 0, which is
        // remembered and so returns to the main queue, in place of 10. The main queue then has one block too many: 11
        // takes the place of 1, the oldest. The other blocks pass through the small queue.
        let stream: Vec<u32> = (0..=10).chain([0]).chain(11..20).chain([0]).collect();
        let played = play(&mut S3Fifo::new(&EvictionContext::of(20, 10)), &stream);
        assert_eq!(played.hits, "............".to_owned() + ".........h");
        let gone: Vec<u32> = [0, 10, 1].into_iter().chain(11..19).collect();
        assert_eq!(played.evicted, gone);
    }
}
