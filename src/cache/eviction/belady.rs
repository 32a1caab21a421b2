//! Belady's bound (1966): the block whose next use is furthest goes, of several the deepest. Knows the future.
//!
//! Entries of blocks that were used since are left in the heap: they speak of the past, so they stay at its bottom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{BlockId, Eviction, Setup, Use};

/// The key of a block that is not resident.
const ABSENT: u64 = u64::MAX;

/// Entries per place of the cache from which on stale ones are dropped.
const ROOM: usize = 4;

/// Blocks by next use.
#[derive(Debug)]
pub struct Belady {
    /// Furthest on top.
    heap: BinaryHeap<(u64, Reverse<BlockId>)>,
    /// Per block, its next use and below that its depth.
    keys: Vec<u64>,
    capacity: u32,
    length: u32,
    room: usize,
    steps: u64,
}

impl Belady {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            heap: BinaryHeap::new(),
            keys: vec![ABSENT; setup.blocks as usize],
            capacity: setup.capacity,
            length: 0,
            room: ROOM * setup.capacity.min(setup.blocks).max(16) as usize,
            steps: 0,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        while let Some((key, Reverse(block))) = self.heap.pop() {
            let known = &mut self.keys[block as usize];
            if *known == key {
                *known = ABSENT;
                self.length -= 1;
                self.steps += 1;
                return Some(block);
            }
        }
        None
    }

    #[cold]
    fn drop_stale(&mut self) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain(|(key, Reverse(block))| self.keys[*block as usize] == *key);
        // A block that is used no more may have been used twice by its last request.
        entries.sort_unstable();
        entries.dedup();
        self.heap = entries.into();
    }
}

/// The later, the deeper, the higher.
pub(super) fn next_use(used: &Use) -> u64 {
    (u64::from(used.next) << 32 | u64::from(used.depth)).min(ABSENT - 1)
}

impl Eviction for Belady {
    fn contains(&self, block: BlockId) -> bool {
        self.keys[block as usize] != ABSENT
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        self.steps += 1;
        let hit = self.contains(used.block);
        if !hit {
            if self.length == self.capacity {
                evicted.extend(self.evict());
            }
            self.length += 1;
        }
        let key = next_use(used);
        self.keys[used.block as usize] = key;
        self.heap.push((key, Reverse(used.block)));
        if self.heap.len() > self.room {
            self.drop_stale();
        }
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
    use super::super::testing::play_uses;
    use super::*;

    #[test]
    fn the_furthest_goes_and_of_several_the_deepest() {
        // 0 and 2 are used last, at 9, and 2 is deeper; then 0, at 9, goes before 1, at 5.
        let uses = [(0, 0, 9), (1, 0, 5), (2, 1, 9), (3, 0, 4), (4, 0, 4)];
        let uses = uses.map(|(block, depth, next)| Use {
            block,
            depth,
            next,
            ..Use::default()
        });
        let played = play_uses(&mut Belady::new(&Setup::of(5, 3)), uses);
        assert_eq!(played.evicted, [2, 0]);
    }
}
