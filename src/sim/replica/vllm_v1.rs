//! vLLM v1: `vllm/v1/core/sched/scheduler.py` (0.19 and later): chunked prefill, prefix cache, preemption by recompute.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Context, ReplicaScheduler, Slice};
use crate::sim::kv::Kv;
use crate::sim::live::{LiveId, Lives};

/// vLLM's own names and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV1Config {
    /// Tokens of a step, over all requests.
    pub max_num_batched_tokens: u32,
    /// Requests of a step.
    pub max_num_seqs: u32,
    /// Whether a prompt may be computed in pieces; else it waits for a step that has room for all of it.
    pub enable_chunked_prefill: bool,
    /// Longest piece of a prompt in a step; 0 for as long as fits.
    pub long_prefill_token_threshold: u32,
    /// Part of the blocks that must stay free when a request is let in while others run.
    pub watermark: f64,
}

impl Default for VllmV1Config {
    fn default() -> Self {
        Self {
            max_num_batched_tokens: 2048,
            max_num_seqs: 128,
            enable_chunked_prefill: true,
            long_prefill_token_threshold: 0,
            watermark: 0.0,
        }
    }
}

/// The scheduler.
#[derive(Debug)]
pub struct VllmV1 {
    config: VllmV1Config,
    waiting: VecDeque<LiveId>,
    running: Vec<LiveId>,
}

impl VllmV1 {
    /// With nothing to do yet.
    pub fn new(config: VllmV1Config) -> Self {
        Self {
            config,
            waiting: VecDeque::new(),
            running: Vec::new(),
        }
    }

    /// How much of a gap the next step may compute.
    fn piece(&self, gap: u32, budget: u32) -> u32 {
        let piece = match self.config.long_prefill_token_threshold {
            0 => gap,
            longest => gap.min(longest),
        };
        piece.min(budget)
    }

    /// Requests that run, in the order in which they were let in. Returns the budget that is left, or `None` if somebody
    /// had to be preempted, in which case nobody is let in.
    fn run(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) -> Option<u32> {
        let mut budget = self.config.max_num_batched_tokens;
        let mut preempted = false;
        let mut index = 0;
        while index < self.running.len() && budget > 0 {
            let id = self.running[index];
            let live = &context.lives[id];
            let tokens = self.piece(live.gap(), budget);
            let end = live.computed + tokens;
            let mut fits = context.kv.grow(id, end);
            while !fits {
                if index == 0 && self.running.len() == 1 && self.make_room(context, 0) {
                    fits = context.kv.grow(id, end);
                    continue;
                }
                // The last that was let in goes first, and that may be the one that asks.
                let Some(victim) = self.running.pop() else {
                    break;
                };
                context.preempt(victim);
                self.waiting.push_front(victim);
                preempted = true;
                if victim == id {
                    break;
                }
                fits = context.kv.grow(id, end);
            }
            if !fits {
                break;
            }
            context.kv.fill(id, &context.lives[id], end);
            batch.push(Slice { id, tokens });
            budget -= tokens;
            index += 1;
        }
        (!preempted).then_some(budget)
    }

    /// Where those that wait hold memory (it came with their KV from other instances) and so nobody can run, the last of
    /// them loses it and will be computed again; the first `spared` in the queue are left alone.
    fn make_room(&mut self, context: &mut Context<'_>, spared: usize) -> bool {
        let held = |id: &&LiveId| context.kv.held(**id) > 0;
        let Some(victim) = self.waiting.iter().skip(spared).rfind(held).copied() else {
            return false;
        };
        context.preempt(victim);
        true
    }

    /// Lets requests in, first come first served; the first that does not fit holds up the others.
    fn let_in(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>, mut budget: u32) {
        let watermark = (self.config.watermark * f64::from(context.kv.total())) as u32;
        while budget > 0
            && self.running.len() < self.config.max_num_seqs as usize
            && let Some(id) = self.waiting.front().copied()
        {
            let live = &context.lives[id];
            // What came from another instance is there already.
            let here = context.kv.held(id) > 0;
            let cached = if here {
                live.computed
            } else {
                context.kv.lookup(live)
            };
            let gap = live.tokens() - cached;
            let tokens = self.piece(gap, budget);
            if !self.config.enable_chunked_prefill && tokens < gap {
                break;
            }
            let end = cached + tokens;
            let reserve = if batch.is_empty() { 0 } else { watermark };
            let fits = if here {
                context.kv.grow(id, end)
            } else {
                context.kv.admit(id, live, cached, end, reserve)
            };
            if !fits {
                if batch.is_empty() && self.make_room(context, 1) {
                    continue;
                }
                break;
            }
            self.waiting.pop_front();
            self.running.push(id);
            if !here {
                context.begin(id, cached);
            }
            context.kv.fill(id, &context.lives[id], end);
            batch.push(Slice { id, tokens });
            budget -= tokens;
        }
    }
}

impl ReplicaScheduler for VllmV1 {
    fn enqueue(&mut self, id: LiveId, _: &mut Context<'_>) {
        self.waiting.push_back(id);
    }

    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        let budget = self.run(context, batch);
        if let Some(budget) = budget {
            self.let_in(context, batch, budget);
        } else if batch.is_empty() {
            // All that ran were preempted, for memory that waiting requests hold.
            self.let_in(context, batch, self.config.max_num_batched_tokens);
        }
    }

    fn retire(&mut self, lives: &Lives) {
        self.running.retain(|id| !lives[*id].is_done());
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn running(&self) -> usize {
        self.running.len()
    }

    fn give_up_waiting(&mut self, kv: &Kv) -> Vec<LiveId> {
        let (stay, go): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|id| kv.held(*id) > 0);
        self.waiting = stay;
        go.into()
    }
}
