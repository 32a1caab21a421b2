//! vLLM's block pool: `vllm/v1/core/block_pool.py` and the free queue of `kv_cache_utils.py` (0.33).
//!
//! A freed block keeps its hash while it waits in the free queue and can be found there; it loses it only when it is taken
//! from the queue's head for something else. The same content may stand in several blocks; the one cached first is found.

use super::super::BlockId;
use super::super::eviction::Links;
use super::FreeOrder;

/// No block, or no content.
const NONE: u32 = u32::MAX;

/// A physical block.
pub(crate) type Slot = u32;

#[derive(Debug)]
pub(crate) struct Pool {
    free: Links,
    references: Vec<u32>,
    content: Vec<BlockId>,
    /// Slots with the same content, in the order in which they were cached.
    first: Vec<Slot>,
    last: Vec<Slot>,
    next_copy: Vec<Slot>,
    previous_copy: Vec<Slot>,
    cached_contents: u32,
    order: FreeOrder,
}

impl Pool {
    /// `slots` usable blocks (vLLM's null block is not among them) for contents below `contents`.
    pub(crate) fn new(slots: u32, contents: u32, order: FreeOrder) -> Self {
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
            order,
        }
    }

    pub(crate) fn free_slots(&self) -> u32 {
        self.free.len()
    }

    #[cfg(test)]
    pub(super) fn references(&self) -> &[u32] {
        &self.references
    }

    pub(crate) fn cached_contents(&self) -> u32 {
        self.cached_contents
    }

    /// The slot that holds `content`, if any does.
    pub(crate) fn find(&self, content: BlockId) -> Option<Slot> {
        let slot = self.first[content as usize];
        (slot != NONE).then_some(slot)
    }

    pub(crate) fn is_free(&self, slot: Slot) -> bool {
        self.references[slot as usize] == 0
    }

    /// A request uses a slot that it found.
    pub(crate) fn touch(&mut self, slot: Slot) {
        if self.references[slot as usize] == 0 {
            self.free.remove(slot);
        }
        self.references[slot as usize] += 1;
    }

    /// Takes the head of the free queue; what it held is forgotten.
    pub(crate) fn take(&mut self, evicted: &mut Vec<BlockId>) -> Option<Slot> {
        let (slot, content) = self.take_head()?;
        if content != NONE {
            evicted.push(content);
        }
        Some(slot)
    }

    /// As [`Pool::take`], where nobody asks what was evicted.
    pub(crate) fn take_quietly(&mut self) -> Option<Slot> {
        self.take_head().map(|(slot, _)| slot)
    }

    fn take_head(&mut self) -> Option<(Slot, BlockId)> {
        let slot = self.free.pop_front()?;
        let content = self.content[slot as usize];
        if content != NONE {
            self.forget(slot, content);
        }
        self.references[slot as usize] = 1;
        Some((slot, content))
    }

    /// The slot's block is full: from now on it can be found.
    pub(crate) fn cache(&mut self, slot: Slot, content: BlockId) {
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

    /// A request gives its blocks back, last block first, so that the head of a prompt stays longest.
    pub(crate) fn release(&mut self, slots: &[Slot]) {
        for slot in slots.iter().rev() {
            let references = &mut self.references[*slot as usize];
            *references -= 1;
            if *references > 0 {
                continue;
            }
            // A block without hash can never be found again, so it is the first to be taken (vLLM PR 42656).
            if self.content[*slot as usize] == NONE && self.order == FreeOrder::Current {
                self.free.push_front(*slot);
            } else {
                self.free.push_back(*slot);
            }
        }
    }
}
