//! The KV cache memory of one instance, by blocks: counted only, or with contents that later requests can find.

use crate::cache::BlockId;
use crate::cache::engine::FreeOrder;
use crate::cache::engine::vllm_pool::{Pool, Slot};
use crate::sim::in_flight::{InFlightId, InFlightRequest};

/// Blocks of one instance, and which requests hold them.
#[derive(Debug)]
pub struct Kv {
    block_size: u32,
    total: u32,
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// Blocks without content. Per request, how many it holds.
    Counted { free: u32, held: Vec<u32> },
    /// vLLM's block pool. Per request, its blocks, and how many of them can be found.
    Cached { pool: Box<Pool>, held: Vec<Held> },
}

#[derive(Debug, Default, Clone)]
struct Held {
    slots: Vec<Slot>,
    filled: u32,
}

impl Kv {
    /// Memory without a prefix cache.
    pub fn counted(block_size: u32, blocks: u32) -> Self {
        Self {
            block_size,
            total: blocks,
            store: Store::Counted {
                free: blocks,
                held: Vec::new(),
            },
        }
    }

    /// Memory with vLLM's prefix cache, for contents below `contents`.
    pub fn cached(block_size: u32, blocks: u32, contents: u32) -> Self {
        Self {
            block_size,
            total: blocks,
            store: Store::Cached {
                pool: Box::new(Pool::new(blocks, contents, FreeOrder::Current)),
                held: Vec::new(),
            },
        }
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Blocks in all.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Blocks that no request holds; some of them may have content that can be found.
    pub fn free(&self) -> u32 {
        match &self.store {
            Store::Counted { free, .. } => *free,
            Store::Cached { pool, .. } => pool.free_slots(),
        }
    }

    /// Part of the blocks that requests hold.
    pub fn usage(&self) -> f64 {
        f64::from(self.total - self.free()) / f64::from(self.total.max(1))
    }

    /// So many blocks are a part of all, rounded down.
    pub fn part(&self, fraction: f64) -> u32 {
        (fraction * f64::from(self.total)) as u32
    }

    /// Blocks that so many tokens need.
    pub fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
    }

    /// Blocks that a request holds.
    pub fn held(&self, id: InFlightId) -> u32 {
        match &self.store {
            Store::Counted { held, .. } => held.get(id as usize).copied().unwrap_or(0),
            Store::Cached { held, .. } => held
                .get(id as usize)
                .map_or(0, |held| held.slots.len() as u32),
        }
    }

    /// How many leading blocks of a content are here, of at most `most`.
    pub fn resident(&self, blocks: &[BlockId], most: u32) -> u32 {
        let Store::Cached { pool, .. } = &self.store else {
            return 0;
        };
        let most = blocks.len().min(most as usize);
        let found = blocks[..most]
            .iter()
            .take_while(|block| pool.find(**block).is_some());
        found.count() as u32
    }

    /// Tokens of a request that it would find: whole blocks, and never the last token, whose logits are needed (vLLM's
    /// `get_computed_blocks`).
    pub fn lookup(&self, request_state: &InFlightRequest) -> u32 {
        let most = request_state.tokens().saturating_sub(1) / self.block_size;
        self.resident(&request_state.blocks, most) * self.block_size
    }

    /// Takes blocks for the first `tokens` tokens of a request that holds none; the first `cached` of them are found, as
    /// [`Kv::lookup`] or [`Kv::resident`] said. Changes nothing and returns `false` if that does not fit and leave `reserve`
    /// blocks free.
    pub fn admit(
        &mut self,
        id: InFlightId,
        request_state: &InFlightRequest,
        cached: u32,
        tokens: u32,
        reserve: u32,
    ) -> bool {
        let needed = self.blocks_for(tokens);
        let hits = cached / self.block_size;
        debug_assert_eq!(self.held(id), 0);
        match &mut self.store {
            Store::Counted { free, held } => {
                if needed + reserve > *free {
                    return false;
                }
                *free -= needed;
                *place(held, id) = needed;
            }
            Store::Cached { pool, held } => {
                let place = place(held, id);
                place.slots.clear();
                let mut idle = 0;
                for block in &request_state.blocks[..hits as usize] {
                    let Some(slot) = pool.find(*block) else {
                        debug_assert!(false, "a hit was taken back");
                        return false;
                    };
                    idle += u32::from(pool.is_free(slot));
                    place.slots.push(slot);
                }
                if needed - hits + idle + reserve > pool.free_slots() {
                    place.slots.clear();
                    return false;
                }
                for slot in &place.slots {
                    pool.touch(*slot);
                }
                for _ in hits..needed {
                    place.slots.extend(pool.take_quietly());
                }
                place.filled = hits;
            }
        }
        true
    }

    /// Takes what is missing for the first `tokens` tokens of a request; all or nothing.
    pub fn grow(&mut self, id: InFlightId, tokens: u32) -> bool {
        let needed = self.blocks_for(tokens);
        match &mut self.store {
            Store::Counted { free, held } => {
                let held = place(held, id);
                let missing = needed.saturating_sub(*held);
                if missing > *free {
                    return false;
                }
                *free -= missing;
                *held += missing;
            }
            Store::Cached { pool, held } => {
                let slots = &mut place(held, id).slots;
                let missing = needed.saturating_sub(slots.len() as u32);
                if missing > pool.free_slots() {
                    return false;
                }
                for _ in 0..missing {
                    slots.extend(pool.take_quietly());
                }
            }
        }
        true
    }

    /// The first `tokens` tokens of a request are, or are being, computed: full blocks can be found from now on.
    pub fn fill(&mut self, id: InFlightId, request_state: &InFlightRequest, tokens: u32) {
        let Store::Cached { pool, held } = &mut self.store else {
            return;
        };
        let held = place(held, id);
        let full = (tokens / self.block_size).min(request_state.blocks.len() as u32);
        while held.filled < full {
            let index = held.filled as usize;
            pool.cache(held.slots[index], request_state.blocks[index]);
            held.filled += 1;
        }
    }

    /// Content that was computed elsewhere is put into blocks that no request holds; what is here already stays as it is.
    /// How many blocks were added: the rest of the content, as far as there is room beside what is held.
    pub fn insert(&mut self, blocks: &[BlockId]) -> u32 {
        let Store::Cached { pool, .. } = &mut self.store else {
            return 0;
        };
        let mut slots = Vec::with_capacity(blocks.len());
        // What is here is held meanwhile, or else it might have to go for what follows it.
        for block in blocks {
            let Some(slot) = pool.find(*block) else {
                break;
            };
            pool.touch(slot);
            slots.push(slot);
        }
        let here = slots.len();
        for block in &blocks[here..] {
            let Some(slot) = pool.take_quietly() else {
                break;
            };
            pool.cache(slot, *block);
            slots.push(slot);
        }
        pool.release(&slots);
        (slots.len() - here) as u32
    }

    /// A request gives all its blocks back; their content stays until they are taken.
    pub fn release(&mut self, id: InFlightId) {
        match &mut self.store {
            Store::Counted { free, held } => *free += std::mem::take(place(held, id)),
            Store::Cached { pool, held } => {
                let held = place(held, id);
                pool.release(&held.slots);
                held.slots.clear();
                held.filled = 0;
            }
        }
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
        // 12 tokens need 3 of 5 blocks; all but the last could be found later, as the last token must be computed.
        assert_eq!(kv.lookup(&first), 0);
        assert!(kv.admit(0, &first, 0, 12, 0));
        kv.fill(0, &first, 12);
        assert_eq!((kv.free(), kv.held(0)), (2, 3));
        let second = request_state(&[0, 1, 3]);
        assert_eq!(kv.lookup(&second), 8);
        // Two are found, one is new: 1 free afterwards.
        assert!(kv.admit(1, &second, 8, 12, 0));
        assert_eq!(kv.free(), 1);
        // A third that needs 3 new ones does not fit, and changes nothing.
        assert!(!kv.admit(2, &request_state(&[4, 5, 6]), 0, 12, 0));
        assert_eq!((kv.free(), kv.held(2)), (1, 0));
        kv.release(0);
        // The first two are the second's, too.
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
