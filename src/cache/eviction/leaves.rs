//! Policies that evict only leaves: a block with resident successors is kept, because they could not be found without
//! it.
//!
//! `leaf-lru` evicts the least recently used leaf, as radix caches do with nodes (SGLang's `radix_cache.py`).
//! `belady-leaf` evicts the leaf whose next use is furthest in the future: the bound under that constraint. A block is
//! not admitted if only its own predecessor could be evicted for it; the later blocks of its prompt are then not
//! admitted either.
//!
//! The order is not updated on each use. Entries are checked when a victim is searched, and stale ones (the block was
//! used since, or is not a leaf) are dropped; so a use costs little more than recording it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::belady::{Unused, next_use};
use super::queues::NONE;
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of `leaf-lru`.
pub(super) const LEAF_LRU: EvictionCard = EvictionCard::new(
    "leaf-lru",
    "LRU among blocks without resident successors",
    |context, _| Some(Box::new(Leaves::new(context, false))),
);

/// The card of `belady-leaf`.
pub(super) const BELADY_LEAF: EvictionCard = EvictionCard::new(
    "belady-leaf",
    "bound: furthest next use among leaves",
    |context, _| Some(Box::new(Leaves::new(context, true))),
)
.that_looks_ahead();

/// The key of a block that is not resident.
const ABSENT: u64 = u64::MAX;

/// Keys of blocks without a next use are from here on, by depth.
const UNUSED: u64 = (u32::MAX as u64) << 32;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Time of its last or next use; [`ABSENT`] if it is not resident.
    key: u64,
    parent: u32,
    /// Number of resident successors.
    children: u32,
}

impl Node {
    /// Whether it is a leaf and an entry with this key is up to date.
    fn is_leaf_at(&self, key: u64) -> bool {
        self.key == key && self.children == 0
    }
}

/// Rule by which the leaf to evict is chosen.
#[derive(Debug)]
enum Order {
    /// The least recently used leaf.
    LastUse {
        clock: u64,
        /// Uses in order, after the last one that was examined.
        log: VecDeque<(u64, BlockId)>,
        /// Time of the last use that was examined; blocks that were not leaves then were passed over.
        passed: u64,
        /// Blocks that were passed over and became leaves later; all are older than the rest of the log.
        late: BinaryHeap<Reverse<(u64, BlockId)>>,
    },
    /// The leaf whose next use is furthest in the future; of several, the deepest. Stale entries lie in the past, so
    /// they stay at the bottom of the heap.
    NextUse {
        leaves: BinaryHeap<(u64, Reverse<BlockId>)>,
        unused: Unused,
        /// The block used last, which will usually soon have a successor; it has no entry yet.
        tip: u32,
    },
}

/// Stale entries are dropped when there are this many entries per resident block.
const ROOM: usize = 4;

impl Order {
    /// Records the use of a block.
    fn touch(&mut self, nodes: &mut [Node], used: &Use, room: usize) {
        let node = &mut nodes[used.block as usize];
        match self {
            Self::LastUse { clock, log, .. } => {
                *clock += 1;
                node.key = *clock;
                log.push_back((*clock, used.block));
                if log.len() > room {
                    log.retain(|(key, block)| nodes[*block as usize].key == *key);
                }
            }
            Self::NextUse { tip, .. } => {
                node.key = next_use(used);
                *tip = used.block;
            }
        }
    }

    /// Records that a block lost its last successor, or is still a leaf when another block is used.
    fn add_leaf(&mut self, nodes: &[Node], block: BlockId, room: usize) {
        let key = nodes[block as usize].key;
        match self {
            Self::LastUse { passed, late, .. } => {
                if key <= *passed {
                    late.push(Reverse((key, block)));
                }
            }
            Self::NextUse {
                leaves,
                unused,
                tip,
            } => {
                if block == *tip {
                    return;
                }
                if key >= UNUSED {
                    return unused.push(key as u32, block);
                }
                leaves.push((key, Reverse(block)));
                if leaves.len() > room {
                    let mut entries = std::mem::take(leaves).into_vec();
                    entries.retain(|(key, Reverse(block))| nodes[*block as usize].is_leaf_at(*key));
                    entries.sort_unstable();
                    entries.dedup();
                    *leaves = entries.into();
                }
            }
        }
    }

    /// Removes the entry of the leaf to evict first.
    fn pop(&mut self, nodes: &[Node]) -> Option<BlockId> {
        match self {
            Self::LastUse {
                log, passed, late, ..
            } => loop {
                let (key, block) = match late.pop() {
                    Some(Reverse(entry)) => entry,
                    None => {
                        let entry = log.pop_front()?;
                        *passed = entry.0;
                        entry
                    }
                };
                if nodes[block as usize].is_leaf_at(key) {
                    return Some(block);
                }
            },
            Self::NextUse { leaves, unused, .. } => loop {
                let (key, block) = match unused.pop() {
                    Some(block) => (nodes[block as usize].key, block),
                    None => {
                        let (key, Reverse(block)) = leaves.pop()?;
                        (key, block)
                    }
                };
                if key != ABSENT && nodes[block as usize].is_leaf_at(key) {
                    return Some(block);
                }
            },
        }
    }
}

/// The policies `leaf-lru` and `belady-leaf`: a forest of blocks, and the order of its leaves.
#[derive(Debug)]
pub struct Leaves {
    nodes: Vec<Node>,
    order: Order,
    /// The last block that was refused, until it is admitted.
    refused: u32,
    capacity: u32,
    length: u32,
    /// Maximum number of entries in the order.
    room: usize,
    steps: u64,
}

impl Leaves {
    /// Creates an empty cache that evicts by last use, or by next use.
    pub fn new(context: &EvictionContext, looks_ahead: bool) -> Self {
        let node = Node {
            key: ABSENT,
            parent: NONE,
            children: 0,
        };
        let order = if looks_ahead {
            Order::NextUse {
                leaves: BinaryHeap::new(),
                unused: Unused::default(),
                tip: NONE,
            }
        } else {
            Order::LastUse {
                clock: 0,
                log: VecDeque::new(),
                passed: 0,
                late: BinaryHeap::new(),
            }
        };
        Self {
            nodes: vec![node; context.blocks as usize],
            order,
            refused: NONE,
            capacity: context.capacity,
            length: 0,
            room: ROOM * context.capacity.min(context.blocks).max(16) as usize,
            steps: 0,
        }
    }

    /// Adds the entry of the block used last, unless this block is its successor.
    fn settle_tip(&mut self, parent: u32) {
        if let Order::NextUse { tip, .. } = &mut self.order
            && *tip != NONE
            && *tip != parent
        {
            let block = std::mem::replace(tip, NONE);
            let node = &self.nodes[block as usize];
            if node.key != ABSENT && node.children == 0 {
                self.order.add_leaf(&self.nodes, block, self.room);
            }
        }
    }

    /// Evicts a leaf other than the predecessor of the new block.
    fn evict(&mut self, spared: u32) -> Option<BlockId> {
        let mut victim = self.order.pop(&self.nodes)?;
        if victim == spared {
            let other = self.order.pop(&self.nodes);
            self.order.add_leaf(&self.nodes, spared, self.room);
            victim = other?;
        }
        self.steps += 1;
        self.length -= 1;
        let node = &mut self.nodes[victim as usize];
        node.key = ABSENT;
        let parent = node.parent;
        if parent != NONE {
            let above = &mut self.nodes[parent as usize];
            above.children -= 1;
            if above.children == 0 && above.key != ABSENT {
                self.order.add_leaf(&self.nodes, parent, self.room);
                self.steps += 1;
            }
        }
        Some(victim)
    }
}

impl Eviction for Leaves {
    fn contains(&self, block: BlockId) -> bool {
        self.nodes[block as usize].key != ABSENT
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        self.steps += 1;
        let block = used.block;
        let hit = self.contains(block);
        let parent = used.parent.unwrap_or(NONE);
        self.settle_tip(parent);
        if !hit {
            if self.length == self.capacity {
                let unreachable = parent != NONE && parent == self.refused;
                let victim = if unreachable {
                    None
                } else {
                    self.evict(parent)
                };
                let Some(victim) = victim else {
                    self.refused = block;
                    self.settle_tip(NONE);
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
            }
            self.nodes[block as usize].parent = parent;
        }
        self.order.touch(&mut self.nodes, used, self.room);
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
    use crate::cache::eviction::leaves::*;
    use crate::cache::eviction::testing::play_uses;

    #[test]
    fn a_parent_stays_while_its_child_does() {
        let used = |block, parent| Use {
            block,
            parent,
            ..Use::default()
        };
        // 0 - 1, then 2 alone: 0 is the oldest, but 1 is its successor, so 1 is evicted for 3, then 0 for 4.
        let uses = [
            used(0, None),
            used(1, Some(0)),
            used(2, None),
            used(3, None),
            used(4, None),
        ];
        let played = play_uses(&mut Leaves::new(&EvictionContext::of(5, 3), false), uses);
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
        // Two fit. 0 is used later than 1, but 1 is its successor, so 1 is evicted for 2, then 0 for 3. Only 3 could be
        // evicted for 4, which is its successor, so 4 is not admitted, and neither is 5, the successor of 4.
        let uses = [
            used(0, None, 9),
            used(1, Some(0), 5),
            used(2, None, 3),
            used(3, Some(2), 4),
            used(4, Some(3), 6),
            used(5, Some(4), 7),
        ];
        let played = play_uses(&mut Leaves::new(&EvictionContext::of(6, 2), true), uses);
        assert_eq!(played.evicted, [1, 0, 4, 5]);
    }
}
