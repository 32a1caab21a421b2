//! vLLM's KV cache manager, version 0.33: `vllm/v1/core/kv_cache_manager.py` and `single_type_kv_cache_manager.py`.
//!
//! Agrees with vLLM block by block in the blocks that are found, allocated and evicted.

use std::collections::VecDeque;

use super::super::{BlockId, BlockManager, BlockTrace, HeldBlocks, Run};
use super::card::{EngineCard, ServerCard, only_lru};
use super::overlap::{Candidate, Findable, Manager, PromptRequest, drive};
use super::rules::Rules;
use super::{CacheEngine, Capacity, EngineOptions, Hold, Outcome, Shape};

/// The card of the engine.
pub(super) const CARD: EngineCard = EngineCard::server(
    "vllm",
    "vLLM's KV cache manager, exact",
    ServerCard {
        policies: &["lru"],
        check_policy: |policy| only_lru("vllm", policy),
        holds: |_| true,
        replay: |trace, options, watch| {
            Ok(match options.capacity {
                Capacity::Unbounded => {
                    drive(UnboundedVllm::new(trace, options), trace, options, watch)
                }
                Capacity::Blocks(blocks) => {
                    drive(manager(trace, blocks, options), trace, options, watch)
                }
            })
        },
    },
    |trace, options| {
        Ok(match options.capacity {
            Capacity::Unbounded => Box::new(UnboundedVllm::new(trace, options)),
            Capacity::Blocks(blocks) => Box::new(Vllm::new(trace, blocks, options)),
        })
    },
);

/// vLLM's cache with a finite pool.
#[derive(Debug)]
pub struct Vllm {
    manager: BlockManager,
    rules: Rules,
    hold: usize,
    running: VecDeque<HeldBlocks>,
    /// Emptied holders, reused for later requests.
    spare: Vec<HeldBlocks>,
}

impl Vllm {
    /// Creates an empty pool of `blocks` usable blocks; vLLM's own `num_gpu_blocks` is one more, for the null block.
    pub fn new(trace: &BlockTrace, blocks: u32, options: &EngineOptions) -> Self {
        Self {
            manager: manager(trace, blocks, options),
            rules: Rules::new(trace, options),
            hold: match options.hold {
                Hold::Requests(requests) => requests as usize,
                _ => 0,
            },
            running: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    fn release_oldest(&mut self) -> bool {
        let Some(mut held) = self.running.pop_front() else {
            return false;
        };
        self.manager.free(&mut held);
        self.spare.push(held);
        true
    }
}

/// Creates an empty pool with these options.
pub(super) fn manager(trace: &BlockTrace, blocks: u32, options: &EngineOptions) -> BlockManager {
    BlockManager::cached(
        blocks,
        trace.distinct(),
        trace.block_size(),
        options.free_order,
    )
}

impl CacheEngine for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        while self.running.len() > self.hold {
            self.release_oldest();
        }
        let needed = self.rules.prompt_blocks(request);
        if needed > self.manager.blocks() {
            return Outcome {
                rejected: true,
                ..Outcome::default()
            };
        }
        let (before, cached) = (evicted.len(), self.manager.cached_contents());
        let copies = self.manager.evicted_copies();
        let mut held = self.spare.pop().unwrap_or_default();
        let lookups = &run.prompt[..self.rules.lookups(run, request)];
        let hits = loop {
            let unheld = self.manager.lookup(lookups, &mut held);
            let hits = held.len();
            // A request that does not fit waits until earlier requests have ended.
            if self.manager.allocate(&mut held, unheld, needed, 0, evicted) {
                // The prompt's full blocks can be found from its admission on, before they are computed.
                self.manager
                    .fill(&mut held, run.prompt, run.prompt.len() as u32);
                break hits;
            }
            if !self.release_oldest() {
                break hits;
            }
        };
        let mut outcome = self.rules.outcome(hits, request);
        if self.rules.decodes(request) {
            let computed = request.input_length + request.output_length - 1;
            // The output is truncated when no block is free. vLLM would preempt a request, which only requests that
            // overlap can model.
            outcome.cut = !self
                .manager
                .decode_to(&mut held, computed, run.all, evicted);
        }
        outcome.evicted = (evicted.len() - before) as u32;
        outcome.evicted_copies = (self.manager.evicted_copies() - copies) as u32;
        outcome.new_blocks = self.manager.cached_contents() + outcome.evicted - cached;
        self.running.push_back(held);
        outcome
    }

    fn resident(&self) -> u32 {
        self.manager.cached_contents()
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.manager.resident(&[block]) == 1
    }
}

/// Rules for requests that overlap: an output block can be found as soon as it is full, a prompt's blocks from its
/// admission on.
impl Manager for BlockManager {
    type Held = HeldBlocks;
    const FINDABLE: Findable = Findable::AsFilled;
    const TO_THE_FRONT: bool = true;

    fn capacity(&self) -> u32 {
        self.blocks()
    }

    fn admit(
        &mut self,
        ask: &PromptRequest<'_>,
        held: &mut HeldBlocks,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32> {
        let unheld = self.lookup(&ask.path[..ask.lookups], held);
        let hits = held.len();
        if !self.allocate(held, unheld, ask.needed, 0, evicted) {
            return None;
        }
        self.fill(held, ask.path, ask.path.len() as u32);
        Some(hits)
    }

    fn prefilled(&mut self, _: &mut HeldBlocks, _: &[BlockId]) {}

    fn grow(
        &mut self,
        held: &mut HeldBlocks,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        self.decode_to(held, computed, path, evicted)
    }

    fn findable(&self, held: &HeldBlocks) -> u32 {
        held.findable()
    }

    fn evicted_copies(&self) -> u64 {
        Self::evicted_copies(self)
    }

    fn finish(&mut self, held: &mut HeldBlocks, path: &[BlockId]) -> usize {
        let blocks = path.len().min(held.len() as usize);
        self.free(held);
        blocks
    }

    fn preempt(&mut self, held: &mut HeldBlocks) {
        self.free(held);
    }

    /// Same choice as `Scheduler.schedule` of `vllm/v1/core/sched/scheduler.py`, which preempts the last of its running
    /// requests.
    fn rank(candidate: &Candidate) -> (u64, u64) {
        (u64::MAX - candidate.admission, 0)
    }

    fn cached_blocks(&self) -> u32 {
        self.cached_contents()
    }

    fn is_idle(&self) -> bool {
        self.free_blocks() == self.blocks()
    }
}

/// vLLM's cache without a capacity limit: it needs no free queue and no copies, only the set of blocks seen so far.
#[derive(Debug)]
pub struct UnboundedVllm {
    rules: Rules,
    cached: Vec<bool>,
    resident: u32,
}

impl UnboundedVllm {
    /// Creates an empty cache.
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Self {
        Self {
            rules: Rules::new(trace, options),
            cached: vec![false; trace.distinct() as usize],
            resident: 0,
        }
    }

    /// Number of leading blocks that are cached.
    pub(super) fn find(&self, path: &[BlockId]) -> usize {
        path.iter()
            .take_while(|block| self.cached[**block as usize])
            .count()
    }

    /// Adds blocks. Blocks after the first miss may be cached already (as a copy, or as the last block that was not
    /// looked up).
    pub(super) fn add(&mut self, blocks: &[BlockId]) {
        let cached = &mut self.cached;
        for block in blocks {
            self.resident += u32::from(!std::mem::replace(&mut cached[*block as usize], true));
        }
    }
}

impl CacheEngine for UnboundedVllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, _: &mut Vec<BlockId>) -> Outcome {
        let blocks = if self.rules.cache_output {
            run.all
        } else {
            run.prompt
        };
        let hits = self.find(&run.prompt[..self.rules.lookups(run, request)]);
        let before = self.resident;
        self.add(&blocks[hits..]);
        Outcome {
            new_blocks: self.resident - before,
            ..self.rules.outcome(hits as u32, request)
        }
    }

    fn resident(&self) -> u32 {
        self.resident
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.cached[block as usize]
    }
}

/// Rules for requests that overlap, without a capacity limit.
impl Manager for UnboundedVllm {
    type Held = ();
    const FINDABLE: Findable = Findable::AsFilled;
    const TO_THE_FRONT: bool = true;

    fn capacity(&self) -> u32 {
        u32::MAX
    }

    fn admit(&mut self, ask: &PromptRequest<'_>, (): &mut (), _: &mut Vec<BlockId>) -> Option<u32> {
        let hits = self.find(&ask.path[..ask.lookups]);
        self.add(&ask.path[hits..]);
        Some(hits as u32)
    }

    fn prefilled(&mut self, (): &mut (), _: &[BlockId]) {}

    fn grow(&mut self, (): &mut (), computed: u32, path: &[BlockId], _: &mut Vec<BlockId>) -> bool {
        let full = (computed / self.rules.block_size) as usize;
        // Usually this adds the one block that has filled since the last call; where decoding takes no time, it adds
        // all.
        let from = path[..full.min(path.len())]
            .iter()
            .rposition(|block| self.cached[*block as usize])
            .map_or(0, |last| last + 1);
        self.add(&path[from..full.min(path.len())]);
        true
    }

    fn finish(&mut self, (): &mut (), path: &[BlockId]) -> usize {
        path.len()
    }

    fn preempt(&mut self, (): &mut ()) {}

    fn rank(candidate: &Candidate) -> (u64, u64) {
        (candidate.admission, 0)
    }

    fn cached_blocks(&self) -> u32 {
        self.resident
    }

    fn is_idle(&self) -> bool {
        true
    }
}
