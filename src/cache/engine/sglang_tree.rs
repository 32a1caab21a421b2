//! SGLang's radix tree over pages: `python/sglang/srt/mem_cache/radix_cache.py` (0.5.23).
//!
//! A page's id stands for the whole prefix that ends with it. A page is therefore in at most one node, and the last
//! page of a run identifies the run, so that pages are not hashed or compared one by one.

use super::super::BlockId;
use super::sglang_order::Order;
use crate::cache::eviction::Heap;

/// Index of a node.
pub(super) type NodeId = u32;

/// The root, which is the empty prefix.
pub(super) const ROOT: NodeId = 0;

/// Node index of a page that is not in the tree.
const NONE: u32 = u32::MAX;
/// Marks the end of a node's list of pages.
const END: u32 = u32::MAX - 1;

/// A node: a run of pages without a branch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    pub(super) first: BlockId,
    pub(super) last: BlockId,
    /// Number of pages in the run.
    pub(super) pages: u32,
    /// Pages from the root to the end of the run.
    pub(super) depth: u32,
    /// The greatest depth ever reached below this node; evictions do not reduce it.
    pub(super) history: u32,
    pub(super) children: u32,
    /// Number of running requests that use the node.
    pub(super) locks: u32,
    /// Number of insertions that passed through the node, including the first.
    pub(super) hits: u32,
    pub(super) priority: i32,
    pub(super) used: u64,
    pub(super) created: u64,
}

/// The tree and its pool of pages.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Indices of removed nodes, to be reused.
    spare: Vec<NodeId>,
    /// For each page, the next page in its node.
    next: Vec<BlockId>,
    /// For each page, the node that begins with it.
    starts: Vec<NodeId>,
    leaves: Heap,
    order: Order,
    /// Counts look-ups, insertions and new nodes. A new leaf is therefore younger than the rest of a node that was
    /// split for it, and two leaves never have equal times.
    clock: u64,
    free: u32,
    resident: u32,
    locked: u32,
}

impl Tree {
    /// Creates an empty tree with room for `capacity` pages whose ids are below `pages`.
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

    /// Number of pages in the tree.
    pub(super) fn resident(&self) -> u32 {
        self.resident
    }

    /// Whether a page is in the tree.
    pub(super) fn holds(&self, page: BlockId) -> bool {
        self.next[page as usize] != NONE
    }

    /// Number of pages that are neither in the tree nor held by a request.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Number of pages that no running request needs, including free ones.
    pub(super) fn available(&self) -> u32 {
        self.free + self.resident - self.locked
    }

    /// Finds the longest cached prefix of `pages`; returns its number of pages and the node that ends with it.
    ///
    /// The look-up changes the tree: it refreshes the nodes on the way, and splits a node of which only a part matches.
    pub(super) fn find(&mut self, pages: &[BlockId]) -> (u32, NodeId) {
        self.descend(pages, None)
    }

    /// Adds the missing pages of `pages`, which the caller holds; returns the number of pages that were cached already.
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
                // This node is the only continuation of its first page, so every page of the path that is in the tree
                // at this point is in this node.
                let common = rest[..rest.len().min(run)].partition_point(|page| self.holds(*page));
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

    /// Splits a node behind its first `pages` pages, the last of which is `last`. The node keeps the rest; the front
    /// becomes a new node with the locks and hits of the old one, created now.
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

    /// Creates a node whose creation and last use are now.
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

    /// Locks the prefix that ends with `node`, so that none of it can be evicted.
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

    /// Allocates pages for a request. Evicts whole leaves until enough pages are free; if that cannot free enough,
    /// nothing changes.
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

    /// Frees pages that are not in the tree.
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
