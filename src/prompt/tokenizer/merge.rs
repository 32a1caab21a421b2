//! Byte pair encoding by search: of all neighbouring symbols, those that rank first are merged, the leftmost first among
//! equals, until none is left. tiktoken, sentencepiece and Hugging Face define their models by this procedure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Symbols of one text, with the buffers of the merging, which are reused.
pub(super) struct Symbols<K> {
    nodes: Vec<Node>,
    candidates: BinaryHeap<Reverse<Candidate<K>>>,
}

/// Neighbours that can be merged, ordered by rank and position.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<K> {
    rank: K,
    left: u32,
    /// The byte at which the pair ends.
    end: u32,
    /// The id of the merged symbol.
    product: u32,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    previous: u32,
    next: u32,
    id: u32,
    /// Whether the symbol is never merged.
    fixed: bool,
}

/// Two neighbouring symbols.
pub(super) struct Pair {
    pub(super) left: u32,
    pub(super) right: u32,
    /// The bytes of both.
    pub(super) range: Range<usize>,
}

const NONE: u32 = u32::MAX;

impl<K: Ord + Copy> Symbols<K> {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            candidates: BinaryHeap::new(),
        }
    }

    /// Removes all symbols.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.candidates.clear();
    }

    /// Appends the symbol that ends before byte `end`.
    pub(super) fn push(&mut self, end: usize, id: u32, fixed: bool) {
        let index = self.nodes.len() as u32;
        let start = self.nodes.last().map_or(0, |last| last.end);
        if let Some(last) = self.nodes.last_mut() {
            last.next = index;
        }
        self.nodes.push(Node {
            start,
            end: end as u32,
            previous: index.checked_sub(1).unwrap_or(NONE),
            next: NONE,
            id,
            fixed,
        });
    }

    /// Merges; `rule` gives the rank of a pair and the id of what it becomes, or `None` if it is never merged.
    pub(super) fn merge(&mut self, rule: impl Fn(Pair) -> Option<(K, u32)>) {
        for left in 0..self.nodes.len() as u32 {
            self.consider(left, &rule);
        }
        while let Some(Reverse(candidate)) = self.candidates.pop() {
            let left = candidate.left;
            let node = self.nodes[left as usize];
            // The pair may have changed since it became a candidate.
            if node.end <= node.start || node.next == NONE {
                continue;
            }
            let right = self.nodes[node.next as usize];
            if right.end != candidate.end {
                continue;
            }
            self.nodes[node.next as usize].end = right.start;
            let merged = &mut self.nodes[left as usize];
            merged.end = right.end;
            merged.next = right.next;
            merged.id = candidate.product;
            if right.next != NONE {
                self.nodes[right.next as usize].previous = left;
            }
            self.consider(left, &rule);
            if node.previous != NONE {
                self.consider(node.previous, &rule);
            }
        }
    }

    fn consider(&mut self, left: u32, rule: &impl Fn(Pair) -> Option<(K, u32)>) {
        let node = self.nodes[left as usize];
        if node.next == NONE {
            return;
        }
        let right = self.nodes[node.next as usize];
        if node.fixed || right.fixed {
            return;
        }
        let pair = Pair {
            left: node.id,
            right: right.id,
            range: node.start as usize..right.end as usize,
        };
        if let Some((rank, product)) = rule(pair) {
            self.candidates.push(Reverse(Candidate {
                rank,
                left,
                end: right.end,
                product,
            }));
        }
    }

    /// The byte ranges and ids of the symbols that are left.
    pub(super) fn each(&self) -> impl Iterator<Item = (Range<usize>, u32)> {
        let alive = self.nodes.iter().filter(|node| node.end > node.start);
        alive.map(|node| (node.start as usize..node.end as usize, node.id))
    }
}
