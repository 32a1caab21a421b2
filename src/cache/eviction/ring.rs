//! A queue in a ring buffer, and marks of blocks as bits. FIFO and CLOCK use them because they need little memory,
//! which fits into the processor's caches.

use super::BlockId;

/// A queue of fixed capacity; once it is full, its oldest entry is at the hand.
#[derive(Debug)]
pub(super) struct Ring {
    places: Vec<BlockId>,
    capacity: u32,
    hand: u32,
}

impl Ring {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            places: Vec::new(),
            capacity,
            hand: 0,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    /// The oldest entry of a full queue.
    pub(super) fn oldest(&self) -> BlockId {
        self.places[self.hand as usize]
    }

    /// Makes the oldest entry of a full queue the youngest.
    pub(super) fn turn(&mut self) {
        self.hand += 1;
        if self.hand == self.capacity {
            self.hand = 0;
        }
    }

    /// Adds an entry; returns the oldest one, which it replaces, if the queue is full.
    pub(super) fn push(&mut self, block: BlockId) -> Option<BlockId> {
        if !self.is_full() {
            self.places.push(block);
            return None;
        }
        let oldest = std::mem::replace(&mut self.places[self.hand as usize], block);
        self.turn();
        Some(oldest)
    }
}

/// One bit per block.
#[derive(Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(blocks: u32) -> Self {
        Self(vec![0; (blocks as usize).div_ceil(64)])
    }

    pub(super) fn get(&self, block: BlockId) -> bool {
        self.0[block as usize / 64] >> (block % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, block: BlockId) {
        self.0[block as usize / 64] |= 1 << (block % 64);
    }

    pub(super) fn clear(&mut self, block: BlockId) {
        self.0[block as usize / 64] &= !(1 << (block % 64));
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::ring::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn a_ring_behaves_as_a_queue(capacity in 1u32..6, steps in prop::collection::vec((any::<bool>(), 0u32..200), 0..60)) {
            let (mut ring, mut bits) = (Ring::new(capacity), Bits::new(200));
            let mut model = VecDeque::new();
            for (turn, block) in steps {
                if turn && ring.is_full() {
                    prop_assert_eq!(ring.oldest(), model[0]);
                    ring.turn();
                    model.rotate_left(1);
                } else if !bits.get(block) {
                    let gone = (model.len() as u32 == capacity).then(|| model.pop_front()).flatten();
                    model.push_back(block);
                    prop_assert_eq!(ring.push(block), gone);
                    bits.set(block);
                    if let Some(gone) = gone {
                        bits.clear(gone);
                    }
                }
                prop_assert_eq!(ring.len() as usize, model.len());
                prop_assert!((0..200).all(|block| bits.get(block) == model.contains(&block)));
            }
        }
    }
}
