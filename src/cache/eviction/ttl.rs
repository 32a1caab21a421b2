//! Time to live: a block is evicted when it has not been used for a fixed time, as documented by hosted prompt caches.
//! If the cache is full before that, the least recently used block is evicted.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};
use crate::trace::Nanos;

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "ttl",
    "evicted a fixed time after the last use, else LRU",
    |context, seconds| {
        let lifetime = Nanos::parse_secs(seconds?)?;
        Some(Box::new(Ttl::new(context, lifetime)))
    },
)
.with_parameter("SECONDS since the last use, as ttl:300")
.that_expires();

/// The policy `ttl`: blocks in order of last use, with the times.
#[derive(Debug)]
pub struct Ttl {
    order: Queues,
    used: Vec<Nanos>,
    capacity: u32,
    lifetime: Nanos,
}

impl Ttl {
    /// Creates an empty cache that keeps blocks for `lifetime` after their last use.
    pub fn new(context: &EvictionContext, lifetime: Nanos) -> Self {
        Self {
            order: Queues::new(context.blocks, 1),
            used: vec![Nanos(0); context.blocks as usize],
            capacity: context.capacity,
            lifetime,
        }
    }
}

impl Eviction for Ttl {
    fn contains(&self, block: BlockId) -> bool {
        self.order.queue_of(block) != NONE
    }

    fn advance(&mut self, now: Nanos, evicted: &mut Vec<BlockId>) {
        while let Some(block) = self.order.front(0)
            && self.used[block as usize] + self.lifetime < now
        {
            self.order.remove(block);
            evicted.push(block);
        }
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let hit = self.contains(used.block);
        if !hit && self.order.len(0) == self.capacity {
            evicted.extend(self.order.pop(0));
        }
        self.used[used.block as usize] = used.now;
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
    use crate::cache::eviction::ttl::*;

    #[test]
    fn what_is_not_used_in_time_is_gone() {
        let mut ttl = Ttl::new(&EvictionContext::of(3, 3), Nanos(10));
        let mut evicted = Vec::new();
        for (block, now) in [(0, 0), (1, 5), (0, 8)] {
            let now = Nanos(now);
            ttl.advance(now, &mut evicted);
            let used = Use {
                block,
                now,
                ..Use::default()
            };
            ttl.access(&used, &mut evicted);
        }
        // 1 expires after 15, 0 after 18; both are still cached at those times.
        ttl.advance(Nanos(15), &mut evicted);
        assert_eq!((ttl.len(), evicted.len()), (2, 0));
        ttl.advance(Nanos(18), &mut evicted);
        assert_eq!(evicted, [1]);
    }
}
