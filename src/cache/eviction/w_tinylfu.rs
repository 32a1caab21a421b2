//! W-TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017): new blocks enter through a small LRU window; what leaves it must
//! have been used more often than what the main part, a segmented LRU, would evict for it.
//!
//! As `WTinyLFU.c` of libCacheSim: a window of one in 100, a fifth of the main part on probation; the window is filled to
//! the capacity before the main part is, uses are counted on entry, in the main part and when leaving the window, and
//! several blocks may be let in, each for another, before one is not, which goes too. Block ids being dense, counts need no
//! sketch: they are exact, where libCacheSim's are 14 shared counters a block that may be a little too high. All counts are
//! halved after 32 uses of the main part per place in it.

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, Setup, Use};

const WINDOW: u32 = 0;
const PROBATION: u32 = 1;
const PROTECTED: u32 = 2;

/// A count and the halvings that it has seen, so that all are halved without a walk over them.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    uses: u32,
    halvings: u32,
}

/// Window, main part and counts.
#[derive(Debug)]
pub struct WTinyLfu {
    parts: Queues,
    counts: Vec<Count>,
    capacity: u32,
    main: u32,
    probation: u32,
    protected: u32,
    halvings: u32,
    /// Uses of the main part since the last halving.
    since: u64,
}

impl WTinyLfu {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        let main = setup.capacity - (setup.capacity / 100).max(1);
        Self {
            parts: Queues::new(setup.blocks, 3),
            counts: vec![Count::default(); setup.blocks as usize],
            capacity: setup.capacity,
            main,
            probation: main / 5,
            protected: (f64::from(main) * 0.8) as u32,
            halvings: 0,
            since: 0,
        }
    }

    fn uses(&self, block: BlockId) -> u32 {
        let Count { uses, halvings } = self.counts[block as usize];
        uses.checked_shr(self.halvings - halvings).unwrap_or(0)
    }

    fn count(&mut self, block: BlockId) {
        self.counts[block as usize] = Count {
            uses: self.uses(block).saturating_add(1),
            halvings: self.halvings,
        };
    }

    /// The main part's next victim.
    fn weakest(&self) -> Option<BlockId> {
        self.parts
            .front(PROBATION)
            .or_else(|| self.parts.front(PROTECTED))
    }

    /// Lets a block into the main part, into the lowest segment with room.
    fn admit(&mut self, block: BlockId) {
        let protected = self.parts.len(PROBATION) >= self.probation
            && self.parts.len(PROTECTED) < self.protected;
        self.parts
            .move_to(if protected { PROTECTED } else { PROBATION }, block);
    }

    fn evict(&mut self, evicted: &mut Vec<BlockId>) {
        while let Some(candidate) = self.parts.front(WINDOW) {
            let mut refused = false;
            if self.parts.len(PROBATION) + self.parts.len(PROTECTED) < self.main {
                self.admit(candidate);
            } else if let Some(weakest) = self.weakest()
                && self.uses(candidate) > self.uses(weakest)
            {
                self.parts.remove(weakest);
                evicted.push(weakest);
                self.admit(candidate);
            } else {
                self.parts.remove(candidate);
                evicted.push(candidate);
                refused = true;
            }
            self.count(candidate);
            if refused {
                return;
            }
        }
        if self.len() == self.capacity
            && let Some(weakest) = self.weakest()
        {
            self.parts.remove(weakest);
            evicted.push(weakest);
        }
    }

    fn hit(&mut self, block: BlockId, part: u32) {
        if part == WINDOW {
            self.parts.move_to(WINDOW, block);
            return;
        }
        self.parts.move_to(PROTECTED, block);
        if self.parts.len(PROTECTED) > self.protected
            && let Some(oldest) = self.parts.pop(PROTECTED)
        {
            self.parts.push(PROBATION, oldest);
        }
        self.count(block);
        self.since += 1;
        if self.since >= 32 * u64::from(self.main) {
            self.since = 0;
            self.halvings += 1;
        }
    }
}

impl Eviction for WTinyLfu {
    fn contains(&self, block: BlockId) -> bool {
        self.parts.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let part = self.parts.queue_of(block);
        if part != NONE {
            self.hit(block, part);
            return true;
        }
        if self.len() == self.capacity {
            self.evict(evicted);
        }
        self.parts.push(WINDOW, block);
        self.count(block);
        false
    }

    fn len(&self) -> u32 {
        self.parts.len(WINDOW) + self.parts.len(PROBATION) + self.parts.len(PROTECTED)
    }

    fn steps(&self) -> u64 {
        self.parts.steps()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::play;
    use super::*;

    #[test]
    fn what_was_used_less_is_not_let_in() {
        // The window fills all three places. For 3, the older two move to the main part, each counted once more, and 2 in
        // the window, counted once, is refused; so is 3 for 4.
        let played = play(&mut WTinyLfu::new(&Setup::of(5, 3)), &[0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(played.hits, ".....hh");
        assert_eq!(played.evicted, [2, 3]);
    }
}
