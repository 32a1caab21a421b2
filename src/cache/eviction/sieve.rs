//! SIEVE (Zhang et al., NSDI 2024): a queue in order of insertion, and a hand that moves from old to young and passes
//! over blocks that were used since its last visit.

use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "sieve",
    "a hand that passes over blocks used since its last visit",
    |context, _| Some(Box::new(Sieve::new(context))),
);

/// Marks a position in the queue whose block was evicted (a gap).
const GONE: u32 = u32::MAX;

/// Marks of a block.
const RESIDENT: u8 = 1;
const USED: u8 = 2;

/// The policy `sieve`: a queue and its hand.
///
/// An eviction from the middle leaves a gap; gaps are removed when there are as many as blocks, so each use takes
/// constant time on average.
#[derive(Debug)]
pub struct Sieve {
    /// Blocks from old to young.
    order: Vec<BlockId>,
    marks: Vec<u8>,
    hand: usize,
    room: usize,
    capacity: u32,
    length: u32,
    steps: u64,
}

impl Sieve {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            order: Vec::new(),
            marks: vec![0; context.blocks as usize],
            hand: 0,
            room: 2 * context.capacity as usize,
            capacity: context.capacity,
            length: 0,
            steps: 0,
        }
    }

    fn evict(&mut self) -> BlockId {
        loop {
            let at = self.hand;
            let block = self.order[at];
            // After the youngest, the hand returns to the oldest; the youngest is never a gap when this begins.
            self.hand = if at + 1 == self.order.len() {
                0
            } else {
                at + 1
            };
            self.steps += 1;
            if block == GONE {
                continue;
            }
            let marks = &mut self.marks[block as usize];
            if *marks & USED == 0 {
                *marks = 0;
                self.order[at] = GONE;
                self.length -= 1;
                return block;
            }
            *marks = RESIDENT;
        }
    }

    #[cold]
    fn close_gaps(&mut self) {
        self.steps += self.order.len() as u64;
        let behind = self.order[..self.hand].iter();
        self.hand = behind.filter(|block| **block != GONE).count();
        self.order.retain(|block| *block != GONE);
        // It was before the youngest place, which was a gap.
        if self.hand == self.order.len() {
            self.hand = 0;
        }
    }
}

impl Eviction for Sieve {
    fn contains(&self, block: BlockId) -> bool {
        self.marks[block as usize] != 0
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let marks = &mut self.marks[used.block as usize];
        if *marks != 0 {
            *marks |= USED;
            return true;
        }
        *marks = RESIDENT;
        if self.length == self.capacity {
            evicted.push(self.evict());
        }
        if self.order.len() == self.room {
            self.close_gaps();
        }
        self.order.push(used.block);
        self.length += 1;
        self.steps += 1;
        false
    }

    fn len(&self) -> u32 {
        self.length
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::sieve::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn the_hand_goes_on_where_it_stopped() {
        // 0* 1 2: the hand clears 0, evicts 1, and stops at 2. Then 3 is inserted; 4 evicts 2, 5 evicts 3, and 0 is
        // still resident.
        let played = play(
            &mut Sieve::new(&EvictionContext::of(6, 3)),
            &[0, 1, 2, 0, 3, 4, 5, 0],
        );
        assert_eq!(played.hits, "...h...h");
        assert_eq!(played.evicted, [1, 2, 3]);
    }
}
