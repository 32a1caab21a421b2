//! vLLM's KV cache manager, version 0.33: `vllm/v1/core/kv_cache_manager.py` and `single_type_kv_cache_manager.py`.
//!
//! Agrees with it block by block: which are found, which are taken, which lose their content.

use std::collections::VecDeque;

use super::super::{BlockId, BlockTrace, Run};
use super::rules::Rules;
use super::vllm_pool::{Pool, Slot};
use super::{CacheEngine, EngineOptions, Outcome, Shape};

/// How long a request keeps its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Given back before the next request comes.
    None,
    /// Given back once this many later requests have come.
    Requests(u32),
}

/// Where a freed block without hash goes in the free queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeOrder {
    /// To the head.
    Current,
    /// To the tail, as all others: before vLLM PR 42656.
    Legacy,
}

/// With a finite pool.
#[derive(Debug)]
pub struct Vllm {
    pool: Pool,
    slots: u32,
    rules: Rules,
    hold: usize,
    running: VecDeque<Vec<Slot>>,
    /// Emptied vectors, to be used again.
    spare: Vec<Vec<Slot>>,
}

impl Vllm {
    /// An empty pool of `blocks` usable blocks; vLLM's own `num_gpu_blocks` is one more, for the null block.
    pub fn new(trace: &BlockTrace, blocks: u32, options: &EngineOptions) -> Self {
        Self {
            pool: Pool::new(blocks, trace.distinct(), options.free_order),
            slots: blocks,
            rules: Rules::new(trace, options),
            hold: match options.hold {
                Hold::None => 0,
                Hold::Requests(requests) => requests as usize,
            },
            running: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    fn release_oldest(&mut self) -> bool {
        let Some(mut slots) = self.running.pop_front() else {
            return false;
        };
        self.pool.release(&slots);
        slots.clear();
        self.spare.push(slots);
        true
    }

    /// The steps of decoding: a block is taken when the first token falls into it, and can be found once it is full.
    fn decode(
        &mut self,
        run: &Run<'_>,
        request: Shape,
        slots: &mut Vec<Slot>,
        evicted: &mut Vec<BlockId>,
    ) {
        let size = self.rules.block_size;
        let computed = request.input_length + request.output_length.saturating_sub(1);
        let mut index = request.input_length / size;
        // The prompt's partial block fills first, if there is one; it is there already.
        while index * size < computed {
            if index as usize >= slots.len() {
                match self.pool.take(evicted) {
                    Some(slot) => slots.push(slot),
                    // No room to go on: the output ends here. (An engine would preempt, which a replay without
                    // overlapping requests cannot express.)
                    None => return,
                }
            }
            if let Some(content) = run.all.get(index as usize)
                && (index + 1) * size <= computed
            {
                self.pool.cache(slots[index as usize], *content);
            }
            index += 1;
        }
    }
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
        if needed > self.slots {
            return Outcome {
                rejected: true,
                ..Outcome::default()
            };
        }
        let before = evicted.len();
        let mut slots = self.spare.pop().unwrap_or_default();
        loop {
            slots.clear();
            let mut found_free = 0;
            for content in &run.prompt[..self.rules.lookups(run, request)] {
                let Some(slot) = self.pool.find(*content) else {
                    break;
                };
                found_free += u32::from(self.pool.is_free(slot));
                slots.push(slot);
            }
            let hits = slots.len() as u32;
            // Nothing changes unless all fits; a request that does not waits until others end.
            if needed - hits + found_free <= self.pool.free_slots() || !self.release_oldest() {
                break;
            }
        }
        let hits = slots.len() as u32;
        for slot in &slots {
            self.pool.touch(*slot);
        }
        for _ in hits..needed {
            if let Some(slot) = self.pool.take(evicted) {
                slots.push(slot);
            }
        }
        for (slot, content) in slots.iter().zip(run.prompt).skip(hits as usize) {
            self.pool.cache(*slot, *content);
        }
        let mut outcome = self.rules.outcome(hits, request);
        outcome.evicted = (evicted.len() - before) as u32;
        if self.rules.cache_output && request.output_length > 0 && !self.rules.partial_tail {
            self.decode(run, request, &mut slots, evicted);
            outcome.evicted = (evicted.len() - before) as u32;
        }
        self.running.push_back(slots);
        outcome
    }

    fn resident(&self) -> u32 {
        self.pool.cached_contents()
    }
}

/// With as many blocks as come: no queue, no copies, only what was seen.
#[derive(Debug)]
pub struct UnboundedVllm {
    rules: Rules,
    cached: Vec<bool>,
    resident: u32,
}

impl UnboundedVllm {
    /// Nothing cached yet.
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Self {
        Self {
            rules: Rules::new(trace, options),
            cached: vec![false; trace.distinct() as usize],
            resident: 0,
        }
    }
}

impl CacheEngine for UnboundedVllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, _: &mut Vec<BlockId>) -> Outcome {
        let cached = &mut self.cached;
        let most = self.rules.lookups(run, request);
        let blocks = if self.rules.cache_output {
            run.all
        } else {
            run.prompt
        };
        let hits = run.prompt[..most]
            .iter()
            .take_while(|block| cached[**block as usize])
            .count();
        // Prefixes are closed: what follows the first miss may be cached already (a copy, or the capped last block).
        for block in &blocks[hits..] {
            self.resident += u32::from(!std::mem::replace(&mut cached[*block as usize], true));
        }
        self.rules.outcome(hits as u32, request)
    }

    fn resident(&self) -> u32 {
        self.resident
    }
}
