//! vLLM before chunked prefill, as modelled by Vidur: `vidur/scheduler/replica_scheduler/vllm_replica_scheduler.py` at 7d47513.
//! Whole prompts are scheduled first, in batches without decodes; decodes run when no prompt can run.

use serde::{Deserialize, Serialize};

use super::paged::{Queues, Restart};
use super::{Context, ReplicaScheduler, SchedulerParameters, Slice};
use crate::base::error::Result;
use crate::base::registry::Card;
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::sim::kv::Kv;

/// Configuration under Vidur's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV0Config {
    /// Limit of the number of prompts in a step times the longest of them, because prompts are padded.
    pub max_tokens_in_batch: u32,
    /// Maximum number of requests in a step, and in memory.
    pub batch_size_cap: u32,
    /// Fraction of the blocks that must stay free when a request is admitted.
    pub watermark_blocks_fraction: f64,
}

impl Default for VllmV0Config {
    fn default() -> Self {
        Self {
            max_tokens_in_batch: 4096,
            batch_size_cap: 128,
            watermark_blocks_fraction: 0.01,
        }
    }
}

impl SchedulerParameters for VllmV0Config {
    const CARD: Card = Card::new("vllm-v0", "vLLM v0 by Vidur's rules: whole prompts first");

    fn build(self) -> Result<Box<dyn ReplicaScheduler>> {
        Ok(Box::new(VllmV0::new(self)))
    }
}

/// The scheduler `vllm-v0` of one instance.
#[derive(Debug)]
pub struct VllmV0 {
    config: VllmV0Config,
    queues: Queues,
}

impl VllmV0 {
    /// Creates an idle scheduler.
    pub fn new(config: VllmV0Config) -> Self {
        Self {
            config,
            queues: Queues::default(),
        }
    }

    /// Admits whole prompts, first come first served, as long as they fit when padded to the longest of them. A prompt that
    /// never fits runs once no other request holds memory; Vidur would wait for ever.
    fn prompts(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        let reserve = context.kv.part(self.config.watermark_blocks_fraction);
        let cap = self.config.batch_size_cap as usize;
        let mut longest = 0;
        while batch.len() + self.queues.running.len() < cap
            && let Some(id) = self.queues.waiting.front().copied()
        {
            let request_state = &context.in_flight[id];
            longest = longest.max(request_state.gap() - context.kv.lookup(request_state));
            let padded = (batch.len() as u64 + 1) * u64::from(longest);
            let too_long = padded > u64::from(self.config.max_tokens_in_batch);
            if too_long && !self.queues.is_alone(batch)
                || !self.queues.admit(context, batch, u32::MAX, reserve)
            {
                break;
            }
        }
    }
}

impl ReplicaScheduler for VllmV0 {
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>) {
        self.queues.enqueue(id, context.kv);
    }

    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        self.queues.line_up();
        self.prompts(context, batch);
        if batch.is_empty() {
            let cap = self.config.batch_size_cap as usize;
            self.queues.sort_by_arrival(context.in_flight);
            self.queues.decode(context, batch, cap, Restart::Tokens);
        }
        if batch.is_empty() {
            // The only request in memory preempted itself. Vidur would do nothing until the next request arrives.
            self.prompts(context, batch);
        }
        self.queues
            .batched
            .extend(batch.iter().map(|slice| slice.id));
    }

    fn retire(&mut self, in_flight: &InFlightRequests) {
        self.queues.retire(in_flight);
    }

    fn waiting(&self) -> usize {
        self.queues.waiting.len()
    }

    fn running(&self) -> usize {
        self.queues.in_memory()
    }

    fn next_waiting(&self) -> Option<InFlightId> {
        self.queues.waiting.front().copied()
    }

    fn most_running(&self) -> usize {
        self.config.batch_size_cap as usize
    }

    fn give_up_waiting(&mut self, _: &Kv) -> Vec<InFlightId> {
        self.queues.give_up_waiting()
    }
}
