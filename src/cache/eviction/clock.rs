//! CLOCK, or second chance (Corbató, 1968): a queue in which a used block is passed over once.
//!
//! As `Clock.c` of libCacheSim with its default of one bit; `clock:BITS` counts uses up to `2^BITS - 1`.

use super::ring::{Bits, Ring};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard =
    EvictionCard::new("clock", "second chance", |context, bits| {
        let bits = bits.map_or(Some(1), |bits| bits.parse().ok())?;
        Some(Box::new(Clock::new(context, bits)))
    })
    .with_parameter("the BITS of its counter, as clock:2");

/// The policy `clock`: a queue with a small use counter per block.
#[derive(Debug)]
pub struct Clock {
    order: Ring,
    resident: Bits,
    /// Uses of resident blocks since insertion, minus the times they were passed over.
    counts: Vec<u16>,
    most: u16,
    steps: u64,
}

impl Clock {
    /// Creates an empty cache whose counters have this many bits.
    pub fn new(context: &EvictionContext, bits: u32) -> Self {
        Self {
            order: Ring::new(context.capacity),
            resident: Bits::new(context.blocks),
            counts: vec![0; context.blocks as usize],
            most: u16::MAX >> (16 - bits.clamp(1, 16)),
            steps: 0,
        }
    }

    /// Rotates the queue until its oldest block has a count of 0.
    fn find_victim(&mut self) {
        loop {
            let count = &mut self.counts[self.order.oldest() as usize];
            if *count == 0 {
                break;
            }
            *count -= 1;
            self.order.turn();
            self.steps += 1;
        }
    }
}

impl Eviction for Clock {
    fn contains(&self, block: BlockId) -> bool {
        self.resident.get(block)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        if self.contains(block) {
            let count = &mut self.counts[block as usize];
            *count = count.saturating_add(1).min(self.most);
            return true;
        }
        if self.order.is_full() {
            self.find_victim();
        }
        self.steps += 1;
        if let Some(victim) = self.order.push(block) {
            self.steps += 1;
            self.resident.clear(victim);
            evicted.push(victim);
        }
        self.counts[block as usize] = 0;
        self.resident.set(block);
        false
    }

    fn len(&self) -> u32 {
        self.order.len()
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::clock::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn a_used_block_gets_a_second_chance() {
        // 0* 1: 2 passes over 0, evicts 1; 3 then finds 0 unmarked and evicts it.
        let played = play(
            &mut Clock::new(&EvictionContext::of(5, 2), 1),
            &[0, 1, 0, 2, 3, 0],
        );
        assert_eq!(played.hits, "..h...");
        assert_eq!(played.evicted, [1, 0, 2]);
    }
}
