//! The KV cache memory of one instance, in blocks. Blocks are only counted, or hold contents that later requests can reuse.

use crate::cache::{BlockId, BlockManager, FreeOrder, HeldBlocks};
use crate::sim::in_flight::{InFlightId, InFlightRequest};

/// The blocks of one instance and the requests that hold them.
#[derive(Debug)]
pub struct Kv {
    manager: BlockManager,
    /// Blocks of each request.
    held: Vec<HeldBlocks>,
}

impl Kv {
    /// Creates memory without a prefix cache.
    pub fn counted(block_size: u32, blocks: u32) -> Self {
        Self {
            manager: BlockManager::counted(blocks, block_size),
            held: Vec::new(),
        }
    }

    /// Creates memory with vLLM's prefix cache, for content ids below `contents`.
    pub fn cached(block_size: u32, blocks: u32, contents: u32) -> Self {
        Self {
            manager: BlockManager::cached(blocks, contents, block_size, FreeOrder::Current),
            held: Vec::new(),
        }
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u32 {
        self.manager.block_size()
    }

    /// Total number of blocks.
    pub fn total(&self) -> u32 {
        self.manager.blocks()
    }

    /// Number of blocks that no request holds; some of them may have reusable content.
    pub fn free(&self) -> u32 {
        self.manager.free_blocks()
    }

    /// Fraction (0 to 1) of the blocks that requests hold.
    pub fn usage(&self) -> f64 {
        f64::from(self.total() - self.free()) / f64::from(self.total().max(1))
    }

    /// Converts a fraction of all blocks to a number of blocks, rounded down.
    pub fn part(&self, fraction: f64) -> u32 {
        (fraction * f64::from(self.total())) as u32
    }

    /// Number of blocks that this many tokens need.
    pub fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size())
    }

    /// Number of blocks that a request holds.
    pub fn held(&self, id: InFlightId) -> u32 {
        self.held.get(id as usize).map_or(0, HeldBlocks::len)
    }

    /// Number of leading blocks of a content that are cached here, at most `most`.
    pub fn resident(&self, blocks: &[BlockId], most: u32) -> u32 {
        let most = blocks.len().min(most as usize);
        self.manager.resident(&blocks[..most])
    }

    /// Number of a request's prompt tokens that are cached: whole blocks, and never the last token, whose logits must be
    /// computed (vLLM's `get_computed_blocks`).
    pub fn lookup(&self, request: &InFlightRequest) -> u32 {
        let size = self.block_size();
        let most = request.tokens().saturating_sub(1) / size;
        self.resident(&request.blocks, most) * size
    }

    /// Allocates blocks for the first `tokens` tokens of a request that holds none. The first `cached` tokens are cached, as
    /// returned by [`Kv::lookup`] or [`Kv::resident`]. Returns `false` and changes nothing if the blocks do not fit or fewer
    /// than `reserve` blocks would remain free.
    pub fn admit(
        &mut self,
        id: InFlightId,
        request: &InFlightRequest,
        cached: u32,
        tokens: u32,
        reserve: u32,
    ) -> bool {
        let needed = self.blocks_for(tokens);
        let hits = cached / self.block_size();
        let held = place(&mut self.held, id);
        debug_assert!(held.is_empty());
        let path = &request.blocks[..hits as usize];
        let unheld = self.manager.lookup(path, held);
        debug_assert_eq!(held.len(), hits, "blocks that were found are gone");
        self.manager
            .allocate(held, unheld, needed, reserve, &mut ())
    }

    /// Allocates the blocks that the first `tokens` tokens of a request still need; returns `false` and changes nothing if they
    /// do not fit.
    pub fn grow(&mut self, id: InFlightId, tokens: u32) -> bool {
        let size = self.block_size();
        let held = place(&mut self.held, id);
        // Most steps add a token to a block that the request holds; they need no division.
        if u64::from(tokens) <= u64::from(held.len()) * u64::from(size) {
            return true;
        }
        self.manager.extend(held, tokens.div_ceil(size), &mut ())
    }

    /// Marks the first `tokens` tokens of a request as computed (or in computation): from now on its full blocks can be reused.
    pub fn fill(&mut self, id: InFlightId, request: &InFlightRequest, tokens: u32) {
        if !self.manager.finds_contents() {
            return;
        }
        let size = self.block_size();
        let held = place(&mut self.held, id);
        // Most steps fill no block; they need no division.
        if u64::from(tokens) < (u64::from(held.findable()) + 1) * u64::from(size) {
            return;
        }
        self.manager.fill(held, &request.blocks, tokens / size);
    }

    /// Stores content that another instance computed in blocks that no request holds. Returns the number of added blocks,
    /// without those that were cached already.
    pub fn insert(&mut self, blocks: &[BlockId]) -> u32 {
        self.manager.insert(blocks)
    }

    /// Frees all blocks of a request. Their content can be reused until the blocks are allocated again.
    pub fn release(&mut self, id: InFlightId) {
        self.manager.free(place(&mut self.held, id));
    }
}

fn place<T: Default + Clone>(places: &mut Vec<T>, id: InFlightId) -> &mut T {
    let index = id as usize;
    if index >= places.len() {
        places.resize(index + 1, T::default());
    }
    &mut places[index]
}

#[cfg(test)]
mod tests {
    use crate::sim::kv::*;
    use proptest::prelude::*;

    fn request_state(blocks: &[BlockId]) -> InFlightRequest {
        InFlightRequest {
            prompt: blocks.len() as u32 * 4,
            output: 1,
            blocks: blocks.to_vec(),
            ..InFlightRequest::default()
        }
    }

    #[test]
    fn what_one_request_leaves_the_next_finds() {
        let mut kv = Kv::cached(4, 5, 10);
        let first = request_state(&[0, 1, 2]);
        // 12 tokens need 3 of 5 blocks. All but the last block can be reused, because the last token must be computed.
        assert_eq!(kv.lookup(&first), 0);
        assert!(kv.admit(0, &first, 0, 12, 0));
        kv.fill(0, &first, 12);
        assert_eq!((kv.free(), kv.held(0)), (2, 3));
        let second = request_state(&[0, 1, 3]);
        assert_eq!(kv.lookup(&second), 8);
        // Two blocks are cached and one is new: 1 block is free afterwards.
        assert!(kv.admit(1, &second, 8, 12, 0));
        assert_eq!(kv.free(), 1);
        // A third request that needs 3 new blocks does not fit, and the call changes nothing.
        assert!(!kv.admit(2, &request_state(&[4, 5, 6]), 0, 12, 0));
        assert_eq!((kv.free(), kv.held(2)), (1, 0));
        kv.release(0);
        // The first two blocks belong to the second request, too.
        assert_eq!(kv.free(), 2);
        kv.release(1);
        assert_eq!(kv.free(), 5);
        assert_eq!(kv.lookup(&first), 8);
    }

    proptest! {
        #[test]
        fn blocks_never_leak(
            cached in any::<bool>(),
            steps in prop::collection::vec((0u32..6, 0u8..3, 1u32..30), 0..80),
        ) {
            let mut kv = if cached { Kv::cached(4, 12, 8) } else { Kv::counted(4, 12) };
            let content = request_state(&[0, 1, 2, 3, 4, 5, 6, 7]);
            for (id, what, tokens) in steps {
                match what {
                    0 if kv.held(id) == 0 => {
                        let hits = kv.lookup(&content).min(tokens / 4 * 4);
                        kv.admit(id, &content, hits, tokens, 0);
                        kv.fill(id, &content, tokens.min(kv.held(id) * 4));
                    }
                    1 if kv.held(id) > 0 => {
                        kv.grow(id, tokens);
                    }
                    _ => kv.release(id),
                }
                prop_assert!(kv.free() <= kv.total());
            }
            for id in 0..6 {
                kv.release(id);
            }
            prop_assert_eq!(kv.free(), kv.total());
        }
    }
}
