//! Sarathi as modelled by Vidur: `vidur/scheduler/replica_scheduler/sarathi_replica_scheduler.py` at 7d47513. A step schedules
//! decodes first, then chunks of prompts up to a token budget, then new requests. Memory for a whole prompt is allocated at
//! once.

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
pub struct SarathiConfig {
    /// Token budget of a step; decodes are scheduled even beyond it.
    pub chunk_size: u32,
    /// Maximum number of requests in a step, and in memory.
    pub batch_size_cap: u32,
    /// Fraction of the blocks that must stay free when a request is admitted.
    pub watermark_blocks_fraction: f64,
    /// Keep the whole prompt of a request that is preempted during prefill. Vidur truncates such a prompt and decodes its
    /// remainder, so `false` reproduces Vidur's times. The two differ only when memory is short.
    pub keep_prompt: bool,
}

impl Default for SarathiConfig {
    fn default() -> Self {
        Self {
            chunk_size: 512,
            batch_size_cap: 128,
            watermark_blocks_fraction: 0.01,
            keep_prompt: false,
        }
    }
}

impl SchedulerParameters for SarathiConfig {
    const CARD: Card = Card::new(
        "sarathi",
        "Sarathi by Vidur's rules: decodes, with chunks of prompts beside them",
    );

    fn build(self) -> Result<Box<dyn ReplicaScheduler>> {
        Ok(Box::new(Sarathi::new(self)))
    }
}

/// The scheduler `sarathi` of one instance.
#[derive(Debug)]
pub struct Sarathi {
    config: SarathiConfig,
    queues: Queues,
}

impl Sarathi {
    /// Creates an idle scheduler.
    pub fn new(config: SarathiConfig) -> Self {
        Self {
            config,
            queues: Queues::default(),
        }
    }

    /// Schedules chunks of prompts that are in memory. Prompts that get no chunk come first in the next step.
    fn continue_prompts(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) -> u32 {
        let mut left = self.config.chunk_size.saturating_sub(batch.len() as u32);
        let first = batch.len();
        for id in &self.queues.prefills {
            let request_state = &context.in_flight[*id];
            let tokens = request_state.gap().min(left);
            if tokens > 0 {
                context
                    .kv
                    .fill(*id, request_state, request_state.computed + tokens);
                batch.push(Slice { id: *id, tokens });
                left -= tokens;
            }
        }
        // Every prompt here has tokens left, so once the budget is used up, no later prompt gets a chunk either.
        let served = batch.len() - first;
        self.queues.put_back(served);
        left
    }
}

impl ReplicaScheduler for Sarathi {
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>) {
        self.queues.enqueue(id, context.kv);
    }

    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        let cap = self.config.batch_size_cap as usize;
        let restart = if self.config.keep_prompt {
            Restart::Tokens
        } else {
            Restart::Processed
        };
        self.queues.line_up();
        self.queues.decode(context, batch, cap, restart);
        let mut left = self.continue_prompts(context, batch);
        self.queues.sort_by_arrival(context.in_flight);
        let reserve = context.kv.part(self.config.watermark_blocks_fraction);
        while left > 0
            && batch.len() + self.queues.running.len() < cap
            && self.queues.admit(context, batch, left, reserve)
        {
            left -= batch.last().map_or(0, |slice| slice.tokens);
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
