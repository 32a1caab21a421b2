//! The manager of KV cache blocks: which blocks a request holds, which contents can be found, and what is evicted.
//!
//! `analyze`, `--hold` and `simulate` use it. With contents it follows vLLM 0.33 operation by operation:
//! `get_computed_blocks`, `allocate_slots` and `free` of `vllm/v1/core/kv_cache_manager.py` on the block pool of
//! `block_pool.py`. Without contents it only counts blocks. The caller keeps time, queues, request lengths and each
//! request's [`HeldBlocks`], whose memory is reused for the next request.

mod pool;

#[cfg(test)]
mod tests;

use super::BlockId;
pub use pool::{EvictionSink, FreeOrder};
use pool::{Pool, Slot};

/// In builds with debug assertions, pools of up to this many blocks and [`FULL_CHECK_CONTENTS`] contents are fully
/// checked after every change. Larger pools are checked by their counts only, because a full check takes time
/// proportional to both.
const FULL_CHECK_BLOCKS: u32 = 64;
/// See [`FULL_CHECK_BLOCKS`].
const FULL_CHECK_CONTENTS: usize = 1024;

/// The blocks that one request holds, in the order of its tokens.
#[derive(Debug, Default, Clone)]
pub struct HeldBlocks {
    /// Physical blocks; empty where blocks are only counted.
    slots: Vec<Slot>,
    /// How many blocks the request holds.
    count: u32,
    /// Number of leading blocks that are full and can be found by other requests.
    findable: u32,
}

impl HeldBlocks {
    /// Number of blocks.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether the request holds no blocks.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of leading blocks that are full and can be found by other requests.
    pub fn findable(&self) -> u32 {
        self.findable
    }

    /// The physical blocks.
    #[cfg(test)]
    pub(in crate::cache) fn slots(&self) -> &[u32] {
        &self.slots
    }
}

/// A fixed number of blocks of one size, shared by the requests of one instance.
#[derive(Debug)]
pub struct BlockManager {
    store: Store,
    blocks: u32,
    block_size: u32,
    /// Blocks held; each counts once for every request that holds it.
    references: u64,
}

#[derive(Debug)]
enum Store {
    /// Blocks without content, by number.
    Counted { free: u32 },
    /// vLLM's block pool.
    Cached(Box<Pool>),
}

impl BlockManager {
    /// Creates a manager with a prefix cache. `blocks` are the usable ones (without vLLM's null block), contents are
    /// numbered below `contents`, and a block holds `block_size` tokens.
    pub fn cached(blocks: u32, contents: u32, block_size: u32, order: FreeOrder) -> Self {
        Self {
            store: Store::Cached(Box::new(Pool::new(blocks, contents, order))),
            blocks,
            block_size,
            references: 0,
        }
    }

    /// Creates a manager without a prefix cache: blocks are only counted, and nothing is ever found.
    pub fn counted(blocks: u32, block_size: u32) -> Self {
        Self {
            store: Store::Counted { free: blocks },
            blocks,
            block_size,
            references: 0,
        }
    }

    /// Number of usable blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Whether contents can be found, rather than blocks only counted.
    pub fn finds_contents(&self) -> bool {
        matches!(self.store, Store::Cached(_))
    }

    /// Number of blocks that no request holds, including those with content that can be found.
    pub fn free_blocks(&self) -> u32 {
        match &self.store {
            Store::Counted { free } => *free,
            Store::Cached(pool) => pool.free_slots(),
        }
    }

    /// Number of distinct contents that can be found.
    pub fn cached_contents(&self) -> u32 {
        match &self.store {
            Store::Counted { .. } => 0,
            Store::Cached(pool) => pool.cached_contents(),
        }
    }

    /// Number of blocks that were taken for other content while another block held the same content. vLLM counts these, too,
    /// as evictions.
    pub fn evicted_copies(&self) -> u64 {
        match &self.store {
            Store::Counted { .. } => 0,
            Store::Cached(pool) => pool.evicted_copies(),
        }
    }

    /// Number of leading blocks of `path` that can be found.
    pub fn resident(&self, path: &[BlockId]) -> u32 {
        let Store::Cached(pool) = &self.store else {
            return 0;
        };
        let found = path.iter().take_while(|block| pool.find(**block).is_some());
        found.count() as u32
    }

    /// Puts the longest prefix of `path` that can be found into `held`, which must be empty, and changes nothing else.
    /// Returns how many of these blocks are held by no request; each of them reduces the number of free blocks once it
    /// is held.
    pub fn lookup(&self, path: &[BlockId], held: &mut HeldBlocks) -> u32 {
        let mut unheld = 0;
        held.slots.clear();
        if let Store::Cached(pool) = &self.store {
            for content in path {
                let Some(slot) = pool.find(*content) else {
                    break;
                };
                unheld += u32::from(pool.is_free(slot));
                held.slots.push(slot);
            }
        }
        held.count = held.slots.len() as u32;
        held.findable = held.count;
        unheld
    }

    /// Holds the blocks that [`BlockManager::lookup`] found, `unheld` of which no request holds, and allocates free
    /// ones until the request has `needed`. Returns `false` if fewer than `reserve` free blocks would be left; the
    /// request then holds nothing.
    pub fn allocate(
        &mut self,
        held: &mut HeldBlocks,
        unheld: u32,
        needed: u32,
        reserve: u32,
        evicted: &mut impl EvictionSink,
    ) -> bool {
        let hits = held.count;
        let fresh = needed.saturating_sub(hits);
        if u64::from(fresh) + u64::from(unheld) + u64::from(reserve) > u64::from(self.free_blocks())
        {
            held.slots.clear();
            (held.count, held.findable) = (0, 0);
            return false;
        }
        match &mut self.store {
            Store::Counted { free } => *free -= fresh,
            Store::Cached(pool) => {
                for slot in &held.slots {
                    pool.touch(*slot);
                }
                for _ in 0..fresh {
                    held.slots.extend(pool.take(evicted));
                }
            }
        }
        held.count = hits + fresh;
        self.references += u64::from(held.count);
        self.debug_assert_invariants();
        true
    }

    /// Allocates free blocks until the request has `needed`. Returns `false`, and changes nothing, if too few are free.
    pub fn extend(
        &mut self,
        held: &mut HeldBlocks,
        needed: u32,
        evicted: &mut impl EvictionSink,
    ) -> bool {
        let fresh = needed.saturating_sub(held.count);
        if fresh == 0 {
            return true;
        }
        if fresh > self.free_blocks() {
            return false;
        }
        match &mut self.store {
            Store::Counted { free } => *free -= fresh,
            Store::Cached(pool) => {
                for _ in 0..fresh {
                    held.slots.extend(pool.take(evicted));
                }
            }
        }
        held.count += fresh;
        self.references += u64::from(fresh);
        self.debug_assert_invariants();
        true
    }

    /// Makes the first `full` blocks of a request findable; `path` has their contents. Blocks beyond the path have no
    /// known content and stay unfindable.
    pub fn fill(&mut self, held: &mut HeldBlocks, path: &[BlockId], full: u32) {
        let Store::Cached(pool) = &mut self.store else {
            return;
        };
        let full = full.min(path.len() as u32).min(held.count);
        while held.findable < full {
            let index = held.findable as usize;
            pool.cache(held.slots[index], path[index]);
            held.findable += 1;
        }
        self.debug_assert_invariants();
    }

    /// Decodes until `computed` tokens in total, token by token as an engine does: a block is allocated for the first
    /// token that falls into it, and can be found once it is full. Returns `false` at the first token for which no
    /// block is free; the tokens before it keep their blocks.
    pub fn decode_to(
        &mut self,
        held: &mut HeldBlocks,
        computed: u32,
        path: &[BlockId],
        evicted: &mut impl EvictionSink,
    ) -> bool {
        let size = self.block_size;
        // The prompt's partial block, which the request holds already, fills first.
        let mut index = held.findable;
        while index * size < computed {
            if index >= held.count && !self.extend(held, index + 1, evicted) {
                return false;
            }
            if (index + 1) * size > computed {
                break;
            }
            index += 1;
            self.fill(held, path, index);
            // Blocks beyond the known contents fill without becoming findable; the next call continues behind them.
            held.findable = index;
        }
        true
    }

    /// Puts content that was computed elsewhere into blocks that no request holds; contents that can be found already
    /// stay as they are. Returns the number of blocks added, which is smaller than the rest of the path if free blocks
    /// run out.
    pub fn insert(&mut self, path: &[BlockId]) -> u32 {
        let mut held = HeldBlocks::default();
        // Blocks already found are held meanwhile, so that they are not evicted for later blocks of the path.
        let unheld = self.lookup(path, &mut held);
        let found = held.count;
        let room = self.free_blocks().saturating_sub(unheld);
        let needed = (path.len() as u32).min(found + room);
        if matches!(self.store, Store::Counted { .. })
            || !self.allocate(&mut held, unheld, needed, 0, &mut ())
        {
            return 0;
        }
        self.fill(&mut held, path, needed);
        self.free(&mut held);
        needed - found
    }

    /// Ends or preempts a request and frees all its blocks; their contents can be found until the blocks are reused.
    pub fn free(&mut self, held: &mut HeldBlocks) {
        match &mut self.store {
            Store::Counted { free } => *free += held.count,
            Store::Cached(pool) => pool.release(&held.slots),
        }
        self.references -= u64::from(held.count);
        held.slots.clear();
        (held.count, held.findable) = (0, 0);
        self.debug_assert_invariants();
    }

    /// In builds with debug assertions, checks that free and held blocks are all blocks, that no block is in the free
    /// queue twice, that reference counts equal what requests hold, and that every content leads to the blocks that
    /// hold it.
    pub fn debug_assert_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        match &self.store {
            Store::Counted { free } => {
                let held = u64::from(self.blocks) - u64::from(*free);
                assert_eq!(held, self.references, "free + held = all");
            }
            Store::Cached(pool)
                if self.blocks <= FULL_CHECK_BLOCKS && pool.contents() <= FULL_CHECK_CONTENTS =>
            {
                pool.assert_consistent();
                let counted: u64 = pool
                    .references()
                    .iter()
                    .map(|count| u64::from(*count))
                    .sum();
                assert_eq!(counted, self.references, "reference counts add up");
            }
            Store::Cached(pool) => {
                let held = u64::from(self.blocks) - u64::from(pool.free_slots());
                assert!(held <= self.references, "a held block has no holder");
            }
        }
    }

    /// Number of requests that hold each block.
    #[cfg(test)]
    pub(in crate::cache) fn references(&self) -> &[u32] {
        match &self.store {
            Store::Counted { .. } => &[],
            Store::Cached(pool) => pool.references(),
        }
    }
}
