//! Belady's bound (1966): evicts the block whose next use is furthest in the future; of several, the deepest.
//!
//! Stale entries stay in the heap: their next use lies in the past, so they remain at its bottom. Blocks that are not used
//! again need no heap, only their depths.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "belady",
    "bound: furthest next use, block by block",
    |context, _| Some(Box::new(Belady::new(context))),
)
.that_looks_ahead();

/// The key of a block that is not resident.
const ABSENT: u64 = u64::MAX;

/// Stale entries are dropped when there are this many entries per resident block.
const ROOM: usize = 4;

/// Blocks that are not used again, by depth; of equal depth, the last one added first.
#[derive(Debug, Default)]
pub(super) struct Unused {
    by_depth: Vec<Vec<BlockId>>,
    /// Deepest level that is not empty.
    end: usize,
}

impl Unused {
    pub(super) fn push(&mut self, depth: u32, block: BlockId) {
        let depth = depth as usize;
        if self.by_depth.len() <= depth {
            self.by_depth.resize_with(depth + 1, Vec::new);
        }
        self.by_depth[depth].push(block);
        self.end = self.end.max(depth + 1);
    }

    /// Removes the deepest block.
    pub(super) fn pop(&mut self) -> Option<BlockId> {
        while self.end > 0 {
            if let Some(block) = self.by_depth[self.end - 1].pop() {
                return Some(block);
            }
            self.end -= 1;
        }
        None
    }
}

/// The bound `belady`: blocks in order of their next use.
#[derive(Debug)]
pub struct Belady {
    unused: Unused,
    /// Heap with the furthest next use on top.
    heap: BinaryHeap<(u64, Reverse<BlockId>)>,
    /// Per block, its next use in the upper bits and its depth in the lower.
    keys: Vec<u64>,
    capacity: u32,
    length: u32,
    room: usize,
    steps: u64,
}

impl Belady {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            unused: Unused::default(),
            heap: BinaryHeap::new(),
            keys: vec![ABSENT; context.blocks as usize],
            capacity: context.capacity,
            length: 0,
            room: ROOM * context.capacity.min(context.blocks).max(16) as usize,
            steps: 0,
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        loop {
            let (key, block) = match self.unused.pop() {
                Some(block) => (None, block),
                None => {
                    let (key, Reverse(block)) = self.heap.pop()?;
                    (Some(key), block)
                }
            };
            let known = &mut self.keys[block as usize];
            if *known != ABSENT && key.unwrap_or(*known) == *known {
                *known = ABSENT;
                self.length -= 1;
                self.steps += 1;
                return Some(block);
            }
        }
    }

    #[cold]
    fn drop_stale(&mut self) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain(|(key, Reverse(block))| self.keys[*block as usize] == *key);
        self.heap = entries.into();
    }
}

/// Sort key: later next uses are higher, then deeper blocks.
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
        if used.next == u32::MAX {
            self.unused.push(used.depth, used.block);
        } else {
            self.heap.push((key, Reverse(used.block)));
        }
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
    use crate::cache::eviction::belady::*;
    use crate::cache::eviction::testing::play_uses;

    #[test]
    fn the_furthest_goes_and_of_several_the_deepest() {
        // 0 and 2 are used last, at 9, and 2 is deeper and is evicted; then 0, used at 9, is evicted before 1, used at
        // 5.
        let uses = [(0, 0, 9), (1, 0, 5), (2, 1, 9), (3, 0, 4), (4, 0, 4)];
        let uses = uses.map(|(block, depth, next)| Use {
            block,
            depth,
            next,
            ..Use::default()
        });
        let played = play_uses(&mut Belady::new(&EvictionContext::of(5, 3)), uses);
        assert_eq!(played.evicted, [2, 0]);
    }
}
