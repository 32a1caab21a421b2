//! What vLLM's KV cache manager does for one request, operation by operation: `get_computed_blocks`, `allocate_slots` and
//! `free` of `vllm/v1/core/kv_cache_manager.py` (0.33).
//!
//! Time, queues and lengths are the caller's. The blocks of a request stand in its [`Held`], whose room is used again.

use super::super::BlockId;
use super::FreeOrder;
use super::vllm_pool::{Pool, Slot};

/// The blocks of a running request, in order.
#[derive(Debug, Default)]
pub(crate) struct Held {
    slots: Vec<Slot>,
    /// So many of them are full and were made findable, or were found.
    full: u32,
}

impl Held {
    /// How many blocks.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

/// A pool of blocks, and what requests do with it.
#[derive(Debug)]
pub(crate) struct VllmManager {
    pool: Pool,
    blocks: u32,
    block_size: u32,
}

impl VllmManager {
    /// An empty pool of `blocks` usable blocks (vLLM's null block is not among them), for contents below `contents`.
    pub(crate) fn new(blocks: u32, contents: u32, block_size: u32, order: FreeOrder) -> Self {
        Self {
            pool: Pool::new(blocks, contents, order),
            blocks,
            block_size,
        }
    }

    /// Usable blocks.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Blocks that no request holds, cached ones included.
    pub(crate) fn free_blocks(&self) -> u32 {
        self.pool.free_slots()
    }

    /// Different contents that can be found.
    pub(crate) fn cached(&self) -> u32 {
        self.pool.cached_contents()
    }

    /// How many requests hold each block.
    #[cfg(test)]
    pub(super) fn references(&self) -> &[u32] {
        self.pool.references()
    }

    /// The longest prefix of `path` that is there, into an empty `held`; nothing changes. How many of the blocks found no
    /// request holds, so that holding them costs a free one each.
    pub(crate) fn lookup(&self, path: &[BlockId], held: &mut Held) -> u32 {
        let mut unheld = 0;
        held.slots.clear();
        for content in path {
            let Some(slot) = self.pool.find(*content) else {
                break;
            };
            unheld += u32::from(self.pool.is_free(slot));
            held.slots.push(slot);
        }
        held.full = held.slots.len() as u32;
        unheld
    }

    /// Holds what [`VllmManager::lookup`] found and takes blocks up to `needed` in all; those that `path` fills can be found
    /// from now on, before anything is computed. False, and nothing changes, if there are not enough free ones.
    pub(crate) fn allocate(
        &mut self,
        held: &mut Held,
        unheld: u32,
        needed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let hits = held.full;
        if needed - hits + unheld > self.pool.free_slots() {
            return false;
        }
        for slot in &held.slots {
            self.pool.touch(*slot);
        }
        for _ in hits..needed {
            if let Some(slot) = self.pool.take(evicted) {
                held.slots.push(slot);
            }
        }
        for (slot, content) in held.slots.iter().zip(path).skip(hits as usize) {
            self.pool.cache(*slot, *content);
        }
        held.full = path.len().max(hits as usize) as u32;
        true
    }

    /// Decoding goes on until `computed` tokens in all: a block is taken when the first token falls into it, and can be found
    /// once it is full. False if there was no free block; what came before it has happened.
    pub(crate) fn grow(
        &mut self,
        held: &mut Held,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let size = self.block_size;
        // The prompt's partial block fills first, if there is one; it is there already.
        let mut index = held.full;
        while index * size < computed {
            if index as usize >= held.slots.len() {
                match self.pool.take(evicted) {
                    Some(slot) => held.slots.push(slot),
                    None => return false,
                }
            }
            if (index + 1) * size > computed {
                break;
            }
            if let Some(content) = path.get(index as usize) {
                self.pool.cache(held.slots[index as usize], *content);
            }
            index += 1;
            held.full = index;
        }
        true
    }

    /// The request ends, or is preempted: its blocks are free, and can be found until they are taken.
    pub(crate) fn free(&mut self, held: &mut Held) {
        self.pool.release(&held.slots);
        held.slots.clear();
        held.full = 0;
    }
}
