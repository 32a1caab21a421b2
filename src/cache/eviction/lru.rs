//! Evicts the least recently used block.
//!
//! The order is a log of uses instead of a linked list: a use appends to the log and stores its position in one word
//! per block, so a hit accesses one cache line, where a list accesses four scattered ones. An entry is stale if its
//! block was used later; stale entries are skipped when a victim is searched, and dropped when the log is full. Both
//! take constant time per use on average.

use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard =
    EvictionCard::new("lru", "least recently used", |context, _| {
        Some(Box::new(Lru::new(context)))
    });

/// Position of a block that is not resident.
const ABSENT: u32 = u32::MAX;

/// Maximum number of log entries per block of capacity: with 4, three quarters of them are stale when the log is full.
const ROOM: usize = 4;

/// Number of log entries that are prefetched during the search for a victim.
const AHEAD: usize = 16;

/// The policy `lru`: blocks in order of last use.
#[derive(Debug)]
pub struct Lru {
    /// Blocks in order of use.
    log: Vec<BlockId>,
    /// Per block, the position of its last use in the log.
    last: Vec<u32>,
    /// All entries before this position are stale.
    oldest: usize,
    room: usize,
    capacity: u32,
    length: u32,
    steps: u64,
}

impl Lru {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        let places = context.capacity.min(context.blocks) as usize;
        Self {
            log: Vec::new(),
            last: vec![ABSENT; context.blocks as usize],
            oldest: 0,
            room: (ROOM * places.max(4)).min(ABSENT as usize),
            capacity: context.capacity,
            length: 0,
            steps: 0,
        }
    }

    /// Reads the words that the next searches will need together, so that their cache misses overlap.
    fn look_ahead(&self, at: usize) {
        let next = (at + AHEAD).min(self.log.len())..(at + 2 * AHEAD).min(self.log.len());
        let words = self.log[next]
            .iter()
            .map(|block| self.last[*block as usize]);
        std::hint::black_box(words.fold(0, |all, word| all ^ word));
    }

    fn evict(&mut self) -> Option<BlockId> {
        for (at, block) in (self.oldest..).zip(&self.log[self.oldest..]) {
            if at.is_multiple_of(AHEAD) {
                self.look_ahead(at);
            }
            let last = &mut self.last[*block as usize];
            if *last == at as u32 {
                *last = ABSENT;
                self.length -= 1;
                self.steps += (at + 1 - self.oldest) as u64;
                self.oldest = at + 1;
                return Some(*block);
            }
        }
        None
    }

    /// Drops stale entries.
    #[cold]
    fn compact(&mut self) {
        self.steps += (self.log.len() - self.oldest) as u64;
        let mut kept = 0;
        for at in self.oldest..self.log.len() {
            let block = self.log[at];
            let last = &mut self.last[block as usize];
            if *last == at as u32 {
                *last = kept as u32;
                self.log[kept] = block;
                kept += 1;
            }
        }
        self.log.truncate(kept);
        self.oldest = 0;
    }
}

impl Eviction for Lru {
    fn contains(&self, block: BlockId) -> bool {
        self.last[block as usize] != ABSENT
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let hit = self.contains(used.block);
        if !hit {
            if self.length == self.capacity {
                evicted.extend(self.evict());
            }
            self.length += 1;
        }
        if self.log.len() == self.room {
            self.compact();
        }
        self.last[used.block as usize] = self.log.len() as u32;
        self.log.push(used.block);
        self.steps += 1;
        hit
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
    use crate::cache::eviction::lru::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn the_longest_unused_goes_first() {
        // Oldest first: 0 1 2, then 1 2 0, 2 0 3, 0 3 4, 3 4 0.
        let played = play(
            &mut Lru::new(&EvictionContext::of(5, 3)),
            &[0, 1, 2, 0, 3, 4, 0],
        );
        assert_eq!(played.hits, "...h..h");
        assert_eq!(played.evicted, [1, 2]);
    }

    #[test]
    fn a_full_log_forgets_what_is_stale() {
        // Room for 16 entries. Uses of 0 fill it behind 1 and 2: it is compacted to 1 2 0, and 1 is still the next
        // victim.
        let stream: Vec<u32> = [1, 2].into_iter().chain([0; 30]).chain([3, 1]).collect();
        let played = play(&mut Lru::new(&EvictionContext::of(4, 3)), &stream);
        assert_eq!(played.hits, format!("...{}..", "h".repeat(29)));
        assert_eq!(played.evicted, [1, 2]);
    }
}
