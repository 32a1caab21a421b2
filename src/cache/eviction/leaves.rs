//! Only leaves may go: a block whose successors are in the cache is kept, because they could not be found without it.
//!
//! `leaf-lru` evicts the leaf that was not used for longest, as radix caches do with nodes (SGLang's `radix_cache.py`).
//! `belady-leaf` evicts the leaf whose next use is furthest: the bound under that constraint. A block for which nothing but
//! its own predecessor could go is not let in, and neither is what comes behind it.

use super::heap::{Heap, Key};
use super::queues::NONE;
use super::ranked::next_use;
use super::{BlockId, Eviction, Setup, Use};

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    /// Successors in the cache.
    children: u32,
    resident: bool,
    key: Key,
}

/// A forest of blocks, and a heap of its leaves.
#[derive(Debug)]
pub struct Leaves {
    nodes: Vec<Node>,
    leaves: Heap,
    looks_ahead: bool,
    /// The last block that was not let in, until it is.
    refused: u32,
    capacity: u32,
    length: u32,
    clock: u64,
    steps: u64,
}

impl Leaves {
    /// An empty cache, by last use, or by next use.
    pub fn new(setup: &Setup, looks_ahead: bool) -> Self {
        let node = Node {
            parent: NONE,
            children: 0,
            resident: false,
            key: (0, 0),
        };
        Self {
            nodes: vec![node; setup.blocks as usize],
            leaves: Heap::default(),
            looks_ahead,
            refused: NONE,
            capacity: setup.capacity,
            length: 0,
            clock: 0,
            steps: 0,
        }
    }

    /// Lets a leaf go, other than the predecessor of what comes.
    fn evict(&mut self, spared: u32) -> Option<BlockId> {
        let mut victim = self.leaves.pop()?;
        if victim == spared {
            let other = self.leaves.pop();
            self.leaves.put(spared, self.nodes[spared as usize].key);
            victim = other?;
        }
        self.steps += 1;
        self.length -= 1;
        let node = &mut self.nodes[victim as usize];
        node.resident = false;
        let parent = node.parent;
        if parent != NONE {
            let above = &mut self.nodes[parent as usize];
            above.children -= 1;
            if above.children == 0 && above.resident {
                self.leaves.put(parent, above.key);
                self.steps += 1;
            }
        }
        Some(victim)
    }
}

impl Eviction for Leaves {
    fn contains(&self, block: BlockId) -> bool {
        self.nodes[block as usize].resident
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        self.clock += 1;
        self.steps += 1;
        let block = used.block;
        let hit = self.contains(block);
        if !hit {
            let parent = used.parent.unwrap_or(NONE);
            if self.length == self.capacity {
                let unreachable = parent != NONE && parent == self.refused;
                let victim = if unreachable {
                    None
                } else {
                    self.evict(parent)
                };
                let Some(victim) = victim else {
                    self.refused = block;
                    evicted.push(block);
                    return false;
                };
                evicted.push(victim);
            }
            if self.refused == block {
                self.refused = NONE;
            }
            self.length += 1;
            if parent != NONE {
                self.nodes[parent as usize].children += 1;
                self.leaves.remove(parent);
            }
            let node = &mut self.nodes[block as usize];
            node.resident = true;
            node.parent = parent;
        }
        let node = &mut self.nodes[block as usize];
        node.key = if self.looks_ahead {
            next_use(used)
        } else {
            (0, self.clock)
        };
        if node.children == 0 {
            self.leaves.put(block, node.key);
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
    fn a_parent_stays_while_its_child_does() {
        let used = |block, parent| Use {
            block,
            parent,
            ..Use::default()
        };
        // 0 - 1, then 2 alone: 0 is the oldest, but 1 stands on it, so 1 goes for 3, then 0 for 4.
        let uses = [
            used(0, None),
            used(1, Some(0)),
            used(2, None),
            used(3, None),
            used(4, None),
        ];
        let played = play_uses(&mut Leaves::new(&Setup::of(5, 3), false), uses);
        assert_eq!(played.evicted, [1, 0]);
    }

    #[test]
    fn the_bound_refuses_what_nothing_could_go_for() {
        let used = |block, parent, next| Use {
            block,
            parent,
            next,
            ..Use::default()
        };
        // Two fit. 0 is used later than 1, but 1 stands on it, so 1 goes for 2, then 0 for 3. Nothing stands free but 3 when
        // 4 comes on top of it, so 4 is not let in, and 5, which stands on 4, is not either.
        let uses = [
            used(0, None, 9),
            used(1, Some(0), 5),
            used(2, None, 3),
            used(3, Some(2), 4),
            used(4, Some(3), 6),
            used(5, Some(4), 7),
        ];
        let played = play_uses(&mut Leaves::new(&Setup::of(6, 2), true), uses);
        assert_eq!(played.evicted, [1, 0, 4, 5]);
    }
}
