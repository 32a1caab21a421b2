//! vLLM's block pool: `vllm/v1/core/block_pool.py` and the free queue of `kv_cache_utils.py` (0.33).
//!
//! A freed block keeps its hash while it is in the free queue and can be found there; it loses the hash only when it is
//! taken from the queue's head for other content. Several blocks may hold the same content; the one cached first is
//! found.

use crate::cache::BlockId;
use crate::cache::eviction::Links;

/// Position in the free queue of a freed block without hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreeOrder {
    /// At the head.
    Current,
    /// At the tail, like all other blocks: vLLM before its pull request 42656.
    Legacy,
}

/// Receives the contents that are evicted.
pub trait EvictionSink {
    /// `content` can no longer be found: the last block that held it was taken for other content.
    fn evicted(&mut self, content: BlockId);
}

impl EvictionSink for Vec<BlockId> {
    fn evicted(&mut self, content: BlockId) {
        self.push(content);
    }
}

/// Ignores evictions.
impl EvictionSink for () {
    fn evicted(&mut self, _: BlockId) {}
}

/// Marks the absence of a block or of a content.
const NONE: u32 = u32::MAX;

/// A physical block.
pub(super) type Slot = u32;

/// Blocks, their contents, and the queue of blocks that no request holds.
#[derive(Debug)]
pub(super) struct Pool {
    free: Links,
    references: Vec<u32>,
    content: Vec<BlockId>,
    /// Slots with the same content, in the order in which they were cached.
    first: Vec<Slot>,
    last: Vec<Slot>,
    next_copy: Vec<Slot>,
    previous_copy: Vec<Slot>,
    cached_contents: u32,
    evicted_copies: u64,
    order: FreeOrder,
}

impl Pool {
    /// Creates a pool of `slots` usable blocks (without vLLM's null block) for contents numbered below `contents`.
    pub(super) fn new(slots: u32, contents: u32, order: FreeOrder) -> Self {
        let mut free = Links::new(slots);
        for slot in 0..slots {
            free.push_back(slot);
        }
        Self {
            free,
            references: vec![0; slots as usize],
            content: vec![NONE; slots as usize],
            first: vec![NONE; contents as usize],
            last: vec![NONE; contents as usize],
            next_copy: vec![NONE; slots as usize],
            previous_copy: vec![NONE; slots as usize],
            cached_contents: 0,
            evicted_copies: 0,
            order,
        }
    }

    pub(super) fn free_slots(&self) -> u32 {
        self.free.len()
    }

    /// Number of distinct contents that the pool supports.
    pub(super) fn contents(&self) -> usize {
        self.first.len()
    }

    /// Number of requests that hold each slot.
    pub(super) fn references(&self) -> &[u32] {
        &self.references
    }

    pub(super) fn cached_contents(&self) -> u32 {
        self.cached_contents
    }

    /// Number of slots that were taken for other content while another slot held the same content.
    pub(super) fn evicted_copies(&self) -> u64 {
        self.evicted_copies
    }

    /// The slot that holds `content`, if any.
    pub(super) fn find(&self, content: BlockId) -> Option<Slot> {
        let slot = self.first[content as usize];
        (slot != NONE).then_some(slot)
    }

    pub(super) fn is_free(&self, slot: Slot) -> bool {
        self.references[slot as usize] == 0
    }

    /// Adds a reference to a slot that a request found.
    pub(super) fn touch(&mut self, slot: Slot) {
        if self.references[slot as usize] == 0 {
            self.free.remove(slot);
        }
        self.references[slot as usize] += 1;
    }

    /// Takes the head of the free queue; its former content can no longer be found there.
    pub(super) fn take(&mut self, evicted: &mut impl EvictionSink) -> Option<Slot> {
        let slot = self.free.pop_front()?;
        let content = self.content[slot as usize];
        if content != NONE {
            self.forget(slot, content);
            match self.find(content) {
                None => evicted.evicted(content),
                Some(_) => self.evicted_copies += 1,
            }
        }
        self.references[slot as usize] = 1;
        Some(slot)
    }

    /// Records that the slot's block is full, so that it can be found from now on.
    pub(super) fn cache(&mut self, slot: Slot, content: BlockId) {
        let last = self.last[content as usize];
        self.content[slot as usize] = content;
        self.previous_copy[slot as usize] = last;
        self.next_copy[slot as usize] = NONE;
        if last == NONE {
            self.first[content as usize] = slot;
            self.cached_contents += 1;
        } else {
            self.next_copy[last as usize] = slot;
        }
        self.last[content as usize] = slot;
    }

    fn forget(&mut self, slot: Slot, content: BlockId) {
        let (before, after) = (
            self.previous_copy[slot as usize],
            self.next_copy[slot as usize],
        );
        match before {
            NONE => self.first[content as usize] = after,
            before => self.next_copy[before as usize] = after,
        }
        match after {
            NONE => self.last[content as usize] = before,
            after => self.previous_copy[after as usize] = before,
        }
        if before == NONE && after == NONE {
            self.cached_contents -= 1;
        }
        self.content[slot as usize] = NONE;
    }

    /// Frees a request's blocks, last block first, so that the head of a prompt stays longest.
    pub(super) fn release(&mut self, slots: &[Slot]) {
        for slot in slots.iter().rev() {
            let references = &mut self.references[*slot as usize];
            *references -= 1;
            if *references > 0 {
                continue;
            }
            // A block without hash can never be found again, so it is the first to be reused (vLLM PR 42656).
            if self.content[*slot as usize] == NONE && self.order == FreeOrder::Current {
                self.free.push_front(*slot);
            } else {
                self.free.push_back(*slot);
            }
        }
    }

    /// Asserts that the free queue holds each slot without references exactly once, and that every list of copies is
    /// intact.
    pub(super) fn assert_consistent(&self) {
        let mut queued = vec![false; self.references.len()];
        for slot in self.free.iter() {
            let twice = std::mem::replace(&mut queued[slot as usize], true);
            assert!(!twice, "block {slot} is in the free queue twice");
            let references = self.references[slot as usize];
            assert_eq!(references, 0, "free block {slot} is held");
        }
        let unheld = self.references.iter().filter(|count| **count == 0).count();
        assert_eq!(unheld, self.free.len() as usize, "free + held = all");
        let mut contents = 0;
        let mut copies = 0;
        for (content, first) in self.first.iter().enumerate() {
            let mut previous = NONE;
            let mut slot = *first;
            contents += u32::from(slot != NONE);
            while slot != NONE {
                let index = slot as usize;
                assert_eq!(self.content[index], content as BlockId, "block {slot}");
                assert_eq!(self.previous_copy[index], previous, "block {slot}");
                (previous, slot) = (slot, self.next_copy[index]);
                copies += 1;
            }
            assert_eq!(self.last[content], previous, "copies of content {content}");
        }
        assert_eq!(contents, self.cached_contents, "contents that can be found");
        let filled = self.content.iter().filter(|content| **content != NONE);
        assert_eq!(filled.count(), copies, "blocks with content");
    }
}
