//! Byte pair encoding by search: of all neighbouring symbols, those whose joint text ranks first are merged, the leftmost
//! first among equals, until none is left. tiktoken and sentencepiece define their models by this procedure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Symbols of one text, with the buffers of the merging, which are reused.
pub(super) struct Symbols<K> {
    nodes: Vec<Node>,
    /// Candidates: rank, left symbol, and the byte at which the pair ends.
    candidates: BinaryHeap<Reverse<(K, u32, u32)>>,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    previous: u32,
    next: u32,
    /// Whether the symbol is never merged.
    fixed: bool,
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
    pub(super) fn push(&mut self, end: usize, fixed: bool) {
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
            fixed,
        });
    }

    /// Merges; `rank` gives the rank of the text of a pair, or `None` if it is not in the vocabulary.
    pub(super) fn merge(&mut self, rank: impl Fn(Range<usize>) -> Option<K>) {
        for left in 0..self.nodes.len() as u32 {
            self.consider(left, &rank);
        }
        while let Some(Reverse((_, left, end))) = self.candidates.pop() {
            let node = self.nodes[left as usize];
            // The pair may have changed since it became a candidate.
            if node.end <= node.start || node.next == NONE {
                continue;
            }
            let right = self.nodes[node.next as usize];
            if right.end != end {
                continue;
            }
            self.nodes[node.next as usize].end = right.start;
            let merged = &mut self.nodes[left as usize];
            merged.end = right.end;
            merged.next = right.next;
            if right.next != NONE {
                self.nodes[right.next as usize].previous = left;
            }
            self.consider(left, &rank);
            if node.previous != NONE {
                self.consider(node.previous, &rank);
            }
        }
    }

    fn consider(&mut self, left: u32, rank: &impl Fn(Range<usize>) -> Option<K>) {
        let node = self.nodes[left as usize];
        if node.next == NONE {
            return;
        }
        let right = self.nodes[node.next as usize];
        if node.fixed || right.fixed {
            return;
        }
        if let Some(rank) = rank(node.start as usize..right.end as usize) {
            self.candidates.push(Reverse((rank, left, right.end)));
        }
    }

    /// The byte ranges of the symbols that are left.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let alive = self.nodes.iter().filter(|node| node.end > node.start);
        alive.map(|node| node.start as usize..node.end as usize)
    }
}
