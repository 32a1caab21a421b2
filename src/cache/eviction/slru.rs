//! Segmented LRU (Karedla et al., 1994): each use promotes a block by one segment, and blocks that no longer fit are demoted.
//!
//! Four equal segments, as `SLRU.c` of libCacheSim; a new block enters the lowest segment with room.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard =
    EvictionCard::new("slru", "four segments of LRU", |context, _| {
        Some(Box::new(Slru::new(context)))
    });

const SEGMENTS: u32 = 4;

/// The policy `slru`: LRU segments, the lowest first.
#[derive(Debug)]
pub struct Slru {
    segments: Queues,
    capacity: u32,
    each: u32,
    length: u32,
}

impl Slru {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            segments: Queues::new(context.blocks, SEGMENTS as usize),
            capacity: context.capacity,
            each: context.capacity / SEGMENTS,
            length: 0,
        }
    }

    /// Demotes the oldest blocks of segments that exceed their size.
    fn settle(&mut self, from: u32, evicted: &mut Vec<BlockId>) {
        for segment in (0..=from).rev() {
            while self.segments.len(segment) > self.each {
                let Some(block) = self.segments.pop(segment) else {
                    break;
                };
                if segment == 0 {
                    self.length -= 1;
                    evicted.push(block);
                } else {
                    self.segments.push(segment - 1, block);
                }
            }
        }
    }
}

impl Eviction for Slru {
    fn contains(&self, block: BlockId) -> bool {
        self.segments.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let segment = self.segments.queue_of(block);
        if segment != NONE {
            let above = (segment + 1).min(SEGMENTS - 1);
            self.segments.move_to(above, block);
            if above != segment && self.segments.len(above) > self.each {
                self.settle(above, evicted);
            }
            return true;
        }
        if self.length == self.capacity {
            let lowest = (0..SEGMENTS).find(|segment| self.segments.len(*segment) > 0);
            if let Some(victim) = lowest.and_then(|segment| self.segments.pop(segment)) {
                self.length -= 1;
                evicted.push(victim);
            }
        }
        let room = (0..SEGMENTS).find(|segment| self.segments.len(*segment) < self.each);
        self.segments.push(room.unwrap_or(0), block);
        self.length += 1;
        false
    }

    fn len(&self) -> u32 {
        self.length
    }

    fn steps(&self) -> u64 {
        self.segments.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::slru::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn each_use_lifts_one_segment() {
        // Four segments of one: 0 1 2 3 fill them from below. Using 0 promotes it to 1's segment, and 1 is demoted. So
        // 4 evicts 1, and 5 evicts 4.
        let played = play(
            &mut Slru::new(&EvictionContext::of(6, 4)),
            &[0, 1, 2, 3, 0, 4, 5, 0],
        );
        assert_eq!(played.hits, "....h..h");
        assert_eq!(played.evicted, [1, 4]);
    }
}
