//! ARC (Megiddo and Modha, FAST 2003): an LRU list of blocks used once and one of blocks used again, each with a ghost
//! list of the blocks it evicted. A hit in a ghost list increases the target size of that list.
//!
//! Agrees with `ARC.c` of libCacheSim in every miss.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "arc",
    "recency and frequency, balanced by hits on evicted blocks",
    |context, _| Some(Box::new(Arc::new(context))),
);

const ONCE: u32 = 0;
const AGAIN: u32 = 1;
const ONCE_GONE: u32 = 2;
const AGAIN_GONE: u32 = 3;

/// The policy `arc`: two lists of resident blocks and their ghost lists.
#[derive(Debug)]
pub struct Arc {
    lists: Queues,
    capacity: u32,
    /// Target number of resident blocks that were used once.
    target: f64,
}

impl Arc {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            lists: Queues::new(context.blocks, 4),
            capacity: context.capacity,
            target: 0.0,
        }
    }

    /// Distance by which the target moves for a hit in one ghost list; it grows with the size of the other ghost list.
    fn stride(&self, found: u32, other: u32) -> f64 {
        (f64::from(self.lists.len(other)) / f64::from(self.lists.len(found))).max(1.0)
    }

    /// Makes room: evicts the oldest block of the list that exceeds its target and remembers it in the ghost list.
    fn replace(&mut self, asked_again: bool) -> Option<BlockId> {
        let once = f64::from(self.lists.len(ONCE));
        let too_many = once > self.target || (asked_again && once == self.target);
        let (from, memory) = if (once > 0.0 && too_many) || self.lists.len(AGAIN) == 0 {
            (ONCE, ONCE_GONE)
        } else {
            (AGAIN, AGAIN_GONE)
        };
        let victim = self.lists.pop(from)?;
        self.lists.push(memory, victim);
        Some(victim)
    }

    /// Makes room for a block that is in no list; ghost entries are dropped first.
    fn replace_for_new(&mut self) -> Option<BlockId> {
        let seen_once = self.lists.len(ONCE) + self.lists.len(ONCE_GONE);
        if seen_once >= self.capacity {
            if self.lists.pop(ONCE_GONE).is_none() {
                return self.lists.pop(ONCE);
            }
        } else {
            let seen_again = self.lists.len(AGAIN) + self.lists.len(AGAIN_GONE);
            if u64::from(seen_once) + u64::from(seen_again) >= 2 * u64::from(self.capacity) {
                self.lists.pop(AGAIN_GONE);
            }
        }
        self.replace(false)
    }
}

impl Eviction for Arc {
    fn contains(&self, block: BlockId) -> bool {
        matches!(self.lists.queue_of(block), ONCE | AGAIN)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let list = self.lists.queue_of(block);
        match list {
            ONCE | AGAIN => {
                self.lists.move_to(AGAIN, block);
                return true;
            }
            ONCE_GONE => {
                let stride = self.stride(ONCE_GONE, AGAIN_GONE);
                self.target = (self.target + stride).min(f64::from(self.capacity));
            }
            AGAIN_GONE => {
                let stride = self.stride(AGAIN_GONE, ONCE_GONE);
                self.target = (self.target - stride).max(0.0);
            }
            _ => {}
        }
        if list != NONE {
            self.lists.remove(block);
        }
        if self.len() == self.capacity {
            evicted.extend(if list == NONE {
                self.replace_for_new()
            } else {
                self.replace(list == AGAIN_GONE)
            });
        }
        self.lists
            .push(if list == NONE { ONCE } else { AGAIN }, block);
        false
    }

    fn len(&self) -> u32 {
        self.lists.len(ONCE) + self.lists.len(AGAIN)
    }

    fn steps(&self) -> u64 {
        self.lists.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::arc::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn what_comes_back_counts_as_used_again() {
        // 0 is used twice, so it is in the second list; of 1 and 2, used once, 1 is evicted for 3. It returns and
        // enters the list of blocks used again; the border moves to 1, so of 2 and 3 the older is evicted.
        let played = play(
            &mut Arc::new(&EvictionContext::of(5, 3)),
            &[0, 0, 1, 2, 3, 1, 0, 1, 3],
        );
        assert_eq!(played.hits, ".h....hhh");
        assert_eq!(played.evicted, [1, 2]);
    }
}
