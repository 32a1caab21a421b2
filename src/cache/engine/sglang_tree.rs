//! SGLang's radix tree over pages: `python/sglang/srt/mem_cache/radix_cache.py` (0.5.23).
//!
//! A page's id stands for the whole prefix that ends with it, so a page is in at most one node, and a run of pages in the
//! tree is known by its last page. Nothing is hashed or compared page by page.

use super::super::BlockId;
use super::sglang_order::Order;
use crate::cache::eviction::Heap;

/// Index of a node.
pub(super) type NodeId = u32;

/// The empty prefix.
pub(super) const ROOT: NodeId = 0;

/// Of a page that is not in the tree; no node.
const NONE: u32 = u32::MAX;
/// After the last page of a node.
const END: u32 = u32::MAX - 1;

/// A run of pages without a branch in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    pub(super) first: BlockId,
    pub(super) last: BlockId,
    /// Length of the run.
    pub(super) pages: u32,
    /// Pages from the root to the end of the run.
    pub(super) depth: u32,
    /// The greatest depth ever reached below; stays when what was below goes.
    pub(super) history: u32,
    pub(super) children: u32,
    /// Running requests that use it.
    pub(super) locks: u32,
    /// Insertions along it, the first included.
    pub(super) hits: u32,
    pub(super) priority: i32,
    pub(super) used: u64,
    pub(super) created: u64,
}

/// The tree, and the pool that its pages are taken from.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Nodes that are gone, to be used again.
    spare: Vec<NodeId>,
    /// Per page, the next one in its node.
    next: Vec<BlockId>,
    /// Per page, the node that begins with it.
    starts: Vec<NodeId>,
    leaves: Heap,
    order: Order,
    /// Counts look-ups, insertions and new nodes: a new leaf is younger than the rest of a node that was split for it, and
    /// leaves never tie.
    clock: u64,
    free: u32,
    resident: u32,
    locked: u32,
}

impl Tree {
    /// An empty tree, with room for `capacity` pages whose ids are below `pages`.
    pub(super) fn new(capacity: u32, pages: u32, order: Order) -> Self {
        Self {
            nodes: vec![Node::default()],
            spare: Vec::new(),
            next: vec![NONE; pages as usize],
            starts: vec![NONE; pages as usize],
            leaves: Heap::default(),
            order,
            clock: 0,
            free: capacity,
            resident: 0,
            locked: 0,
        }
    }

    /// Pages in the tree.
    pub(super) fn resident(&self) -> u32 {
        self.resident
    }

    /// Pages that are neither in the tree nor held by a request.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Pages that no running request needs, free ones included.
    pub(super) fn available(&self) -> u32 {
        self.free + self.resident - self.locked
    }

    /// The longest prefix of `pages` that is there: how many pages, and the node that ends with it.
    ///
    /// Looking changes the tree: nodes on the way are used, and one that goes on differently is split.
    pub(super) fn find(&mut self, pages: &[BlockId]) -> (u32, NodeId) {
        self.descend(pages, None)
    }

    /// Adds what is missing of `pages`, which the caller holds; how many were there already.
    pub(super) fn insert(&mut self, pages: &[BlockId], priority: i32) -> u32 {
        let (found, parent) = self.descend(pages, Some(priority));
        let rest = &pages[found as usize..];
        let (Some(first), Some(last)) = (rest.first(), rest.last()) else {
            return found;
        };
        for pair in rest.windows(2) {
            self.next[pair[0] as usize] = pair[1];
        }
        self.next[*last as usize] = END;
        let depth = pages.len() as u32;
        let leaf = self.add(Node {
            parent,
            first: *first,
            last: *last,
            pages: rest.len() as u32,
            depth,
            history: depth,
            hits: 1,
            priority,
            ..Node::default()
        });
        self.starts[*first as usize] = leaf;
        self.resident += rest.len() as u32;
        self.nodes[parent as usize].children += 1;
        self.leaves.remove(parent);
        self.rank(leaf);
        if matches!(self.order, Order::Tlru { .. }) {
            let mut above = parent;
            while above != ROOT {
                let node = &mut self.nodes[above as usize];
                node.history = node.history.max(depth);
                above = node.parent;
            }
        }
        found
    }

    fn descend(&mut self, pages: &[BlockId], inserting: Option<i32>) -> (u32, NodeId) {
        self.clock += 1;
        let now = self.clock;
        let (mut found, mut end) = (0, ROOT);
        while let Some(page) = pages.get(found) {
            let child = self.starts[*page as usize];
            if child == NONE {
                break;
            }
            let run = self.nodes[child as usize].pages as usize;
            let rest = &pages[found..];
            let whole = rest
                .get(run - 1)
                .is_some_and(|page| *page == self.nodes[child as usize].last);
            self.nodes[child as usize].used = now;
            end = if whole {
                found += run;
                child
            } else {
                // Below this node's first page only this node goes on, as far as it reaches: what is in the tree is in it.
                let common = rest[..rest.len().min(run)]
                    .partition_point(|page| self.next[*page as usize] != NONE);
                found += common;
                self.split(child, common as u32, rest[common - 1])
            };
            if let Some(priority) = inserting {
                let node = &mut self.nodes[end as usize];
                node.hits += 1;
                node.priority = node.priority.max(priority);
            }
            if self.leaves.contains(child) {
                self.rank(child);
            }
            if !whole {
                break;
            }
        }
        (found as u32, end)
    }

    /// Cuts a node behind its first `pages` pages, the last of which is `last`. The node keeps the rest; the front is a new
    /// one, with the locks and hits of the old, but created now.
    fn split(&mut self, lower: NodeId, pages: u32, last: BlockId) -> NodeId {
        let old = self.nodes[lower as usize];
        let second = std::mem::replace(&mut self.next[last as usize], END);
        let upper = self.add(Node {
            last,
            pages,
            depth: old.depth - old.pages + pages,
            children: 1,
            ..old
        });
        let node = &mut self.nodes[lower as usize];
        node.parent = upper;
        node.first = second;
        node.pages -= pages;
        self.starts[old.first as usize] = upper;
        self.starts[second as usize] = lower;
        upper
    }

    /// A node that is created and used now.
    fn add(&mut self, node: Node) -> NodeId {
        self.clock += 1;
        let node = Node {
            used: self.clock,
            created: self.clock,
            ..node
        };
        if let Some(id) = self.spare.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        self.nodes.push(node);
        self.nodes.len() as NodeId - 1
    }

    fn rank(&mut self, leaf: NodeId) {
        self.leaves
            .put(leaf, self.order.key(&self.nodes[leaf as usize]));
    }

    /// A request uses the prefix that ends with `node`: nothing of it may go.
    pub(super) fn lock(&mut self, mut node: NodeId) {
        while node != ROOT {
            let locked = &mut self.nodes[node as usize];
            locked.locks += 1;
            if locked.locks == 1 {
                self.locked += locked.pages;
                self.leaves.remove(node);
            }
            node = locked.parent;
        }
    }

    /// The reverse of [`Tree::lock`].
    pub(super) fn unlock(&mut self, mut node: NodeId) {
        while node != ROOT {
            let Node {
                parent, children, ..
            } = self.nodes[node as usize];
            let unlocked = &mut self.nodes[node as usize];
            unlocked.locks -= 1;
            if unlocked.locks == 0 {
                self.locked -= unlocked.pages;
                if children == 0 {
                    self.rank(node);
                }
            }
            node = parent;
        }
    }

    /// Takes pages for a request. Leaves go, each as a whole, until there is room; if there cannot be, nothing changes.
    pub(super) fn take(&mut self, pages: u32, evicted: &mut Vec<BlockId>) -> bool {
        if pages > self.available() {
            return false;
        }
        while self.free < pages {
            let Some(leaf) = self.leaves.pop() else {
                return false;
            };
            self.evict(leaf, evicted);
        }
        self.free -= pages;
        true
    }

    /// Gives pages back that are not in the tree.
    pub(super) fn give_back(&mut self, pages: u32) {
        self.free += pages;
    }

    fn evict(&mut self, leaf: NodeId, evicted: &mut Vec<BlockId>) {
        let node = self.nodes[leaf as usize];
        self.starts[node.first as usize] = NONE;
        let mut page = node.first;
        while page != END {
            evicted.push(page);
            page = std::mem::replace(&mut self.next[page as usize], NONE);
        }
        self.free += node.pages;
        self.resident -= node.pages;
        self.spare.push(leaf);
        let parent = &mut self.nodes[node.parent as usize];
        parent.children -= 1;
        if node.parent != ROOT && parent.children == 0 && parent.locks == 0 {
            self.rank(node.parent);
        }
    }
}
