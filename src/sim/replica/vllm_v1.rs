//! vLLM v1: `vllm/v1/core/sched/scheduler.py` (0.19 and later), with chunked prefill, prefix cache and preemption by
//! recomputation.
//!
//! With asynchronous scheduling (`async_scheduling`, the default of newer vLLM), a batch is formed while the previous one runs
//! on the GPU (`step_with_batch_queue` of `vllm/v1/engine/core.py`, `async_scheduler.py`). A new request therefore waits for
//! the end of the running step and then for the step that was formed before it arrived. A request whose last token is in the
//! running step keeps its place and its blocks until that step ends, although it is not in the next one.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Context, ReplicaScheduler, SchedulerParameters, Slice};
use crate::base::error::Result;
use crate::base::registry::Card;
use crate::sim::in_flight::{InFlightId, InFlightRequest, InFlightRequests, ServedPhases};
use crate::sim::kv::Kv;

/// Configuration under vLLM's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV1Config {
    /// Token budget of a step, summed over all requests.
    pub max_num_batched_tokens: u32,
    /// Maximum number of requests in a step.
    pub max_num_seqs: u32,
    /// Split prompts into chunks; otherwise a prompt waits for a step whose remaining budget covers all of it.
    pub enable_chunked_prefill: bool,
    /// Maximum chunk of a prompt in a step, in tokens; 0 means no limit.
    pub long_prefill_token_threshold: u32,
    /// Fraction of the blocks that must stay free when a request is admitted while others run.
    pub watermark: f64,
    /// Admit a request only if its whole prompt would fit, even if only a chunk of it is computed.
    pub scheduler_reserve_full_isl: bool,
    /// Form each batch while the previous one runs.
    pub async_scheduling: bool,
}

impl Default for VllmV1Config {
    fn default() -> Self {
        Self {
            max_num_batched_tokens: 2048,
            max_num_seqs: 128,
            enable_chunked_prefill: true,
            long_prefill_token_threshold: 0,
            watermark: 0.0,
            scheduler_reserve_full_isl: true,
            async_scheduling: false,
        }
    }
}

impl SchedulerParameters for VllmV1Config {
    const CARD: Card = Card::new(
        "vllm-v1",
        "vLLM v1: chunked prefill, prefix cache, preemption by recompute",
    );
    const FINDS_PREFIXES: bool = true;

    fn build(self) -> Result<Box<dyn ReplicaScheduler>> {
        Ok(Box::new(VllmV1::new(self)))
    }
}

/// A running request.
#[derive(Debug, Clone, Copy)]
struct Seat {
    id: InFlightId,
    /// Its tokens in the running batch, while the next one is formed.
    ahead: u32,
}

impl Seat {
    /// Whether the running batch samples a token of this request.
    fn samples(&self, request_state: &InFlightRequest) -> bool {
        self.ahead > 0 && self.ahead == request_state.gap()
    }

    /// Number of tokens whose KV cache exists, and of tokens left to compute, once the running batch has ended.
    fn then(&self, request_state: &InFlightRequest) -> (u32, u32) {
        let gap = request_state.gap() - self.ahead + u32::from(self.samples(request_state));
        (request_state.computed + self.ahead, gap)
    }

    /// Whether the running batch samples the request's last token.
    fn ends(&self, request_state: &InFlightRequest) -> bool {
        let last = match request_state.work {
            ServedPhases::PrefillAndDecode => request_state.output,
            ServedPhases::PrefillOnly => 1,
        };
        self.samples(request_state) && request_state.generated + 1 >= last
    }
}

/// The scheduler `vllm-v1` of one instance.
#[derive(Debug)]
pub struct VllmV1 {
    config: VllmV1Config,
    waiting: VecDeque<InFlightId>,
    running: Vec<Seat>,
    /// The batch that was formed while the previous one ran.
    next: Vec<Slice>,
    /// Requests that were preempted while they were in the running batch. Their blocks are free already; their token counts are
    /// corrected when the batch has ended.
    leaving: Vec<InFlightId>,
}

impl VllmV1 {
    /// Creates an idle scheduler.
    pub fn new(config: VllmV1Config) -> Self {
        Self {
            config,
            waiting: VecDeque::new(),
            running: Vec::new(),
            next: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Preempts a running request: its memory is freed, and it is recomputed before all waiting requests.
    fn preempt(&mut self, seat: Seat, context: &mut Context<'_>) {
        if seat.ahead > 0 {
            context.kv.release(seat.id);
            self.leaving.push(seat.id);
        } else {
            context.preempt(seat.id);
        }
        self.waiting.push_front(seat.id);
    }

    /// Whether no batch is running that may free memory when it ends.
    fn is_idle(&self) -> bool {
        self.leaving.is_empty() && self.running.iter().all(|seat| seat.ahead == 0)
    }

    /// Forms the next batch.
    fn schedule(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        let budget = self.run(context, batch);
        if let Some(budget) = budget {
            self.let_in(context, batch, budget);
        } else if batch.is_empty() && self.is_idle() {
            // All running requests were preempted because waiting requests hold the memory.
            self.let_in(context, batch, self.config.max_num_batched_tokens);
        }
    }

    /// Records how many tokens of each request are in the batch that starts now; the batch is in the order of `running`.
    fn start(&mut self, batch: &[Slice]) {
        let mut slices = batch.iter().peekable();
        for seat in &mut self.running {
            let slice = slices.next_if(|slice| slice.id == seat.id);
            seat.ahead = slice.map_or(0, |slice| slice.tokens);
        }
        debug_assert!(
            slices.next().is_none(),
            "a batch of others than those that run"
        );
    }

    /// Number of the missing tokens that the next step may compute.
    fn piece(&self, gap: u32, budget: u32) -> u32 {
        let piece = match self.config.long_prefill_token_threshold {
            0 => gap,
            longest => gap.min(longest),
        };
        piece.min(budget)
    }

    /// Schedules the running requests in the order of their admission. Returns the remaining budget, or `None` if a request
    /// was preempted for lack of memory, in which case no request is admitted.
    fn run(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) -> Option<u32> {
        let mut budget = self.config.max_num_batched_tokens;
        let mut preempted = false;
        let mut index = 0;
        while index < self.running.len() && budget > 0 {
            let seat = self.running[index];
            let (id, request_state) = (seat.id, &context.in_flight[seat.id]);
            if seat.ends(request_state) {
                index += 1;
                continue;
            }
            let (computed, gap) = seat.then(request_state);
            let tokens = self.piece(gap, budget);
            let end = computed + tokens;
            let mut fits = context.kv.grow(id, end);
            while !fits {
                if index == 0 && self.running.len() == 1 && self.make_room(context, 0) {
                    fits = context.kv.grow(id, end);
                    continue;
                }
                // The request admitted last is preempted first; it may be the current one.
                let Some(victim) = self.running.last().copied() else {
                    break;
                };
                // A prompt that ends in the running step is transferred to another instance, after which its blocks here are
                // freed.
                let last = &context.in_flight[victim.id];
                if last.work == ServedPhases::PrefillOnly && victim.ends(last) {
                    preempted = true;
                    break;
                }
                self.running.pop();
                self.preempt(victim, context);
                preempted = true;
                if victim.id == id {
                    break;
                }
                fits = context.kv.grow(id, end);
            }
            if !fits {
                break;
            }
            // A token that the running batch will sample has no content yet.
            let request_state = &context.in_flight[id];
            context
                .kv
                .fill(id, request_state, end.min(request_state.tokens()));
            batch.push(Slice { id, tokens });
            budget -= tokens;
            index += 1;
        }
        (!preempted).then_some(budget)
    }

    /// Handles the case that no request can run because waiting requests hold the memory (their KV cache was transferred from
    /// other instances): the last of them loses its memory and is recomputed. The first `spared` requests of the queue keep
    /// theirs.
    fn make_room(&mut self, context: &mut Context<'_>, spared: usize) -> bool {
        let held = |id: &&InFlightId| context.kv.held(**id) > 0;
        let Some(victim) = self.waiting.iter().skip(spared).rfind(held).copied() else {
            return false;
        };
        context.preempt(victim);
        true
    }

    /// Admits requests, first come first served; a request that does not fit blocks those behind it.
    fn let_in(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>, mut budget: u32) {
        let watermark = (self.config.watermark * f64::from(context.kv.total())) as u32;
        while budget > 0
            && self.running.len() < self.config.max_num_seqs as usize
            && let Some(id) = self.waiting.front().copied()
            && !self.leaving.contains(&id)
        {
            let request_state = &context.in_flight[id];
            // KV cache that was transferred from another instance is in memory already.
            let here = context.kv.held(id) > 0;
            let cached = if here {
                request_state.computed
            } else {
                context.kv.lookup(request_state)
            };
            let gap = request_state.tokens() - cached;
            let tokens = self.piece(gap, budget);
            if !self.config.enable_chunked_prefill && tokens < gap {
                break;
            }
            let end = cached + tokens;
            let mut reserve = if batch.is_empty() { 0 } else { watermark };
            // A preempted request that was readmitted before all of it fits would be preempted again and again.
            if self.config.scheduler_reserve_full_isl || request_state.preemptions > 0 {
                reserve +=
                    context.kv.blocks_for(request_state.tokens()) - context.kv.blocks_for(end);
            }
            let fits = if here {
                context.kv.grow(id, end)
            } else {
                context.kv.admit(id, request_state, cached, end, reserve)
            };
            if !fits {
                if batch.is_empty() && self.is_idle() && self.make_room(context, 1) {
                    continue;
                }
                break;
            }
            self.waiting.pop_front();
            self.running.push(Seat { id, ahead: 0 });
            if !here {
                context.begin(id, cached);
            }
            context.kv.fill(id, &context.in_flight[id], end);
            batch.push(Slice { id, tokens });
            budget -= tokens;
        }
    }
}

impl ReplicaScheduler for VllmV1 {
    fn enqueue(&mut self, id: InFlightId, _: &mut Context<'_>) {
        self.waiting.push_back(id);
    }

    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        for id in std::mem::take(&mut self.leaving) {
            context.preempt(id);
        }
        if !self.config.async_scheduling {
            return self.schedule(context, batch);
        }
        self.start(&[]);
        batch.append(&mut self.next);
        if batch.is_empty() {
            self.schedule(context, batch);
        }
        if batch.is_empty() {
            return;
        }
        self.start(batch);
        let mut next = std::mem::take(&mut self.next);
        self.schedule(context, &mut next);
        self.next = next;
    }

    fn retire(&mut self, in_flight: &InFlightRequests) {
        self.running.retain(|seat| !in_flight[seat.id].is_done());
        // The step in which it was preempted may have sampled its last token.
        if !self.leaving.is_empty() {
            self.leaving.retain(|id| !in_flight[*id].is_done());
            self.waiting.retain(|id| !in_flight[*id].is_done());
        }
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn running(&self) -> usize {
        self.running.len()
    }

    fn next_waiting(&self) -> Option<InFlightId> {
        self.waiting.front().copied()
    }

    fn most_running(&self) -> usize {
        self.config.max_num_seqs as usize
    }

    fn give_up_waiting(&mut self, kv: &Kv) -> Vec<InFlightId> {
        let leaving = &self.leaving;
        let (stay, go): (VecDeque<_>, VecDeque<_>) = self
            .waiting
            .drain(..)
            .partition(|id| kv.held(*id) > 0 || leaving.contains(id));
        self.waiting = stay;
        go.into()
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::Constant;
    use crate::sim::replica::vllm_v1::*;
    use crate::sim::{Cluster, InstanceSpec, Item, RequestRecord, Simulation, Workload};
    use crate::trace::Nanos;

    /// Runs requests given as arrival in half seconds, prompt and output length; steps take one second, blocks have four
    /// tokens.
    fn run(config: &VllmV1Config, blocks: u32, requests: &[(u64, u32, u32)]) -> Vec<RequestRecord> {
        let items = requests.iter().enumerate().map(|(index, request)| Item {
            arrival: Nanos(request.0 * 500_000_000),
            session: index as u32,
            prompt: request.1,
            output: request.2,
        });
        let workload = Workload::of_items(items.collect());
        let make = move |_| InstanceSpec {
            kv: Kv::counted(4, blocks),
            scheduler: Box::new(VllmV1::new(config.clone())),
            latency: Box::new(Constant { seconds: 1.0 }),
        };
        let cluster = Cluster::aggregated("one", 1, Box::new(make));
        Simulation::new(&workload, cluster).run().requests
    }

    fn config(async_scheduling: bool) -> VllmV1Config {
        VllmV1Config {
            async_scheduling,
            ..VllmV1Config::default()
        }
    }

    fn ends(records: &[RequestRecord]) -> Vec<u64> {
        records.iter().map(|r| r.ended.0 / 1_000_000_000).collect()
    }

    #[test]
    fn one_that_comes_waits_for_the_batch_that_is_formed_already() {
        // The first request decodes in [1, 2] and [2, 3]. The second arrives at 0.5, when [1, 2] is already formed.
        let requests = [(0, 4, 3), (1, 4, 1)];
        assert_eq!(ends(&run(&config(true), 100, &requests)), [3, 3]);
        assert_eq!(ends(&run(&config(false), 100, &requests)), [3, 2]);
    }

    #[test]
    fn a_seat_is_free_when_the_last_token_is_there() {
        let two = |async_scheduling| VllmV1Config {
            max_num_seqs: 2,
            ..config(async_scheduling)
        };
        // The first request gets its last token at 2. The batch of [2, 3] was formed at 1, so the third request is in that of
        // [3, 4].
        let requests = [(0, 4, 2), (0, 4, 3), (0, 4, 1)];
        assert_eq!(ends(&run(&two(true), 100, &requests)), [2, 3, 4]);
        assert_eq!(ends(&run(&two(false), 100, &requests)), [2, 3, 3]);
    }

    #[test]
    fn the_token_of_a_running_batch_outlives_preemption() {
        // There are three blocks of four tokens. At 0 both prompts begin. Only the first request fits in the next batch, with
        // two blocks; the second loses its block and still gets the token of [0, 1]. The first needs the third block for its
        // last token at 6. The second then computes 4 + 1 tokens in [6, 7] and gets its third token at 8.
        let requests = [(0, 4, 6), (0, 4, 3)];
        let records = run(&config(true), 3, &requests);
        assert_eq!(ends(&records), [6, 8]);
        assert_eq!(records[1].first_token, Some(Nanos(1_000_000_000)));
        assert_eq!((records[0].preemptions, records[1].preemptions), (0, 1));
        assert_eq!(ends(&run(&config(false), 3, &requests)), [6, 8]);
    }

    #[test]
    fn prompts_are_cut_to_the_budget() {
        let small = VllmV1Config {
            max_num_batched_tokens: 4,
            ..config(true)
        };
        // 10 tokens are computed in chunks of 4, 4 and 2. The second request gets the other 2 tokens of the third batch, and
        // its last 2 in the batch after it, beside the first request's decode.
        let records = run(&small, 100, &[(0, 10, 2), (0, 4, 1)]);
        assert_eq!(ends(&records), [4, 4]);
        assert_eq!(records[0].first_token, Some(Nanos(3_000_000_000)));
    }
}
