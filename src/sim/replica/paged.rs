//! What the schedulers with paged memory have in common: who waits, who runs, and decodes that preempt for a block.

use std::collections::VecDeque;

use super::{Context, Slice};
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::sim::kv::Kv;

/// Queues of one instance. A request that runs holds memory; one that waits does not.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Not in memory, first come first served; who is preempted waits in front.
    pub(super) waiting: VecDeque<InFlightId>,
    /// In memory and not in the last batch, in the order in which they are asked.
    pub(super) running: Vec<InFlightId>,
    /// In the last batch, in its order.
    pub(super) batched: Vec<InFlightId>,
    /// Prompts that are computed in part, found among those that run.
    pub(super) prefills: Vec<InFlightId>,
}

/// What a preempted request starts again with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// All tokens that are there.
    Tokens,
    /// The tokens that were computed, and the one being decoded: Vidur's `Request.restart`. A prompt that was computed in
    /// part is cut short, and the rest of it is decoded.
    Processed,
}

impl Queues {
    /// A request has come; what came with its KV runs at once.
    pub(super) fn enqueue(&mut self, id: InFlightId, kv: &Kv) {
        if kv.held(id) > 0 {
            self.running.push(id);
        } else {
            self.waiting.push_back(id);
        }
    }

    /// The last batch is over: its requests line up behind the others.
    pub(super) fn line_up(&mut self) {
        self.running.append(&mut self.batched);
    }

    /// Requests in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.running.len() + self.batched.len()
    }

    /// Whether nobody has memory or is about to get some.
    pub(super) fn is_alone(&self, batch: &[Slice]) -> bool {
        batch.is_empty() && self.in_memory() == 0
    }

    /// Forgets those that are done.
    pub(super) fn retire(&mut self, in_flight: &InFlightRequests) {
        self.batched.retain(|id| !in_flight[*id].is_done());
        self.running.retain(|id| !in_flight[*id].is_done());
    }

    /// Sorts those that run by arrival; equal arrivals keep their order.
    pub(super) fn sort_by_arrival(&mut self, in_flight: &InFlightRequests) {
        if !self.running.is_sorted_by_key(|id| in_flight[*id].arrival) {
            self.running.sort_by_key(|id| in_flight[*id].arrival);
        }
    }

    /// Decodes of those that run, in order, up to `most` of them; prompts on the way go to `prefills`. A decode needs one
    /// free block, whether it will take it or not; else the last that runs is preempted, and at last the one that asks.
    pub(super) fn decode(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<Slice>,
        most: usize,
        restart: Restart,
    ) {
        let mut next = 0;
        self.prefills.clear();
        while next < self.running.len() && batch.len() < most {
            let id = self.running[next];
            next += 1;
            if context.in_flight[id].generated == 0 {
                self.prefills.push(id);
                continue;
            }
            let mut fits = context.kv.free() > 0;
            while !fits {
                let victim = if self.running.len() > next {
                    self.running.pop().unwrap_or(id)
                } else {
                    id
                };
                let request_state = &context.in_flight[victim];
                let keep = match restart {
                    Restart::Processed if request_state.generated == 0 => request_state.computed,
                    _ => request_state.tokens(),
                };
                context.restart(victim, keep);
                self.waiting.push_front(victim);
                if victim == id {
                    break;
                }
                fits = context.kv.free() > 0;
            }
            if !fits {
                continue;
            }
            let end = context.in_flight[id].tokens();
            let grown = context.kv.grow(id, end);
            debug_assert!(grown, "a decode takes one block at most");
            context.kv.fill(id, &context.in_flight[id], end);
            batch.push(Slice { id, tokens: 1 });
        }
        self.running.drain(..next);
    }

    /// Puts all but the first `served` of `prefills` back, in front of those that run.
    pub(super) fn put_back(&mut self, served: usize) {
        let skipped = self.prefills.drain(..).skip(served);
        self.running.splice(..0, skipped);
    }

    /// The first that waits gets memory for all its tokens, and the batch its next ones, `most` at most; `false` if none
    /// waits, or that would not leave `reserve` blocks. Where nobody else has memory, none need be left: waiting would not
    /// help, though Vidur would wait for ever.
    pub(super) fn admit(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<Slice>,
        most: u32,
        reserve: u32,
    ) -> bool {
        let Some(id) = self.waiting.front().copied() else {
            return false;
        };
        let request_state = &context.in_flight[id];
        let all = request_state.tokens();
        let cached = context.kv.lookup(request_state);
        let tokens = (all - cached).min(most);
        let reserve = if self.is_alone(batch) { 0 } else { reserve };
        if !context.kv.admit(id, request_state, cached, all, reserve) {
            return false;
        }
        self.waiting.pop_front();
        context.begin(id, cached);
        let end = cached + tokens;
        context.kv.fill(id, &context.in_flight[id], end);
        batch.push(Slice { id, tokens });
        true
    }

    /// Gives up those that wait.
    pub(super) fn give_up_waiting(&mut self) -> Vec<InFlightId> {
        self.waiting.drain(..).collect()
    }
}
