//! First in, first out: evicts the block that was inserted first, regardless of its uses.

use super::ring::{Bits, Ring};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard =
    EvictionCard::new("fifo", "first in, first out", |context, _| {
        Some(Box::new(Fifo::new(context)))
    });

/// The policy `fifo`: blocks in order of insertion.
#[derive(Debug)]
pub struct Fifo {
    order: Ring,
    resident: Bits,
    steps: u64,
}

impl Fifo {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            order: Ring::new(context.capacity),
            resident: Bits::new(context.blocks),
            steps: 0,
        }
    }
}

impl Eviction for Fifo {
    fn contains(&self, block: BlockId) -> bool {
        self.resident.get(block)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        if self.contains(used.block) {
            return true;
        }
        self.steps += 1;
        if let Some(oldest) = self.order.push(used.block) {
            self.steps += 1;
            self.resident.clear(oldest);
            evicted.push(oldest);
        }
        self.resident.set(used.block);
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
    use crate::cache::eviction::fifo::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn use_does_not_help() {
        // 0 is the oldest and is evicted for 2, although it was used again; it returns and evicts 1, then the oldest.
        let played = play(&mut Fifo::new(&EvictionContext::of(5, 2)), &[0, 1, 0, 2, 0]);
        assert_eq!(played.hits, "..h..");
        assert_eq!(played.evicted, [0, 1]);
    }
}
