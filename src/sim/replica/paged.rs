//! Shared by the schedulers with paged memory: queues of waiting and running requests, and preemption when a decode needs a
//! block.

use std::collections::VecDeque;

use super::{Context, Slice};
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::sim::kv::Kv;

/// Queues of one instance. Running requests hold memory; waiting ones do not.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Waiting requests, first come first served; preempted requests are at the front.
    pub(super) waiting: VecDeque<InFlightId>,
    /// Running requests that were not in the last batch, in the order in which they are scheduled.
    pub(super) running: Vec<InFlightId>,
    /// Requests of the last batch, in batch order.
    pub(super) batched: Vec<InFlightId>,
    /// Running requests whose prompt is partly computed.
    pub(super) prefills: Vec<InFlightId>,
}

/// The tokens with which a preempted request restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// All tokens known so far.
    Tokens,
    /// The computed tokens and the one that is being decoded, as in Vidur's `Request.restart`. A partly computed prompt is
    /// truncated, and its remainder is decoded token by token.
    Processed,
}

impl Queues {
    /// Adds a request. A request whose KV cache was transferred to this instance is running at once.
    pub(super) fn enqueue(&mut self, id: InFlightId, kv: &Kv) {
        if kv.held(id) > 0 {
            self.running.push(id);
        } else {
            self.waiting.push_back(id);
        }
    }

    /// Ends the last batch: its requests are appended to the other running ones.
    pub(super) fn line_up(&mut self) {
        self.running.append(&mut self.batched);
    }

    /// Number of requests in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.running.len() + self.batched.len()
    }

    /// Whether no request holds memory or is about to hold memory.
    pub(super) fn is_alone(&self, batch: &[Slice]) -> bool {
        batch.is_empty() && self.in_memory() == 0
    }

    /// Removes finished requests.
    pub(super) fn retire(&mut self, in_flight: &InFlightRequests) {
        self.batched.retain(|id| !in_flight[*id].is_done());
        self.running.retain(|id| !in_flight[*id].is_done());
    }

    /// Sorts the running requests by arrival; the sort is stable.
    pub(super) fn sort_by_arrival(&mut self, in_flight: &InFlightRequests) {
        if !self.running.is_sorted_by_key(|id| in_flight[*id].arrival) {
            self.running.sort_by_key(|id| in_flight[*id].arrival);
        }
    }

    /// Schedules decodes of running requests in order, up to `most`, and moves unfinished prompts among them to `prefills`. A
    /// decode needs one free block even if it does not use it. If no block is free, the last running request is preempted, and
    /// finally the request itself.
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

    /// Puts all but the first `served` entries of `prefills` back at the front of the running requests.
    pub(super) fn put_back(&mut self, served: usize) {
        let skipped = self.prefills.drain(..).skip(served);
        self.running.splice(..0, skipped);
    }

    /// Admits the first waiting request: allocates memory for all its tokens and adds at most `most` of them to the batch.
    /// Returns `false` if no request waits or if fewer than `reserve` blocks would remain free. If no other request holds
    /// memory, no blocks need to remain free, because waiting would not free any; Vidur would wait for ever in that case.
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

    /// Removes and returns the waiting requests.
    pub(super) fn give_up_waiting(&mut self) -> Vec<InFlightId> {
        self.waiting.drain(..).collect()
    }
}
