//! Replica schedulers, which form the batches of one instance. One scheduler is one file with its parameters and its card; the
//! list at the end of this file registers it.

mod card;
mod opt_sarathi;
mod paged;
mod sarathi;
mod vllm_v0;
mod vllm_v1;

#[cfg(test)]
mod tests;

use super::kv::Kv;
use crate::base::registry::Registry;
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::trace::Nanos;

pub use card::{SchedulerCard, SchedulerConfig, SchedulerParameters};
pub use opt_sarathi::{OptSarathi, OptSarathiConfig, Policy, SrtfRule};
pub use sarathi::{Sarathi, SarathiConfig};
pub use vllm_v0::{VllmV0, VllmV0Config};
pub use vllm_v1::{VllmV1, VllmV1Config};

/// The tokens of one request in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The request.
    pub id: InFlightId,
    /// Number of tokens to compute.
    pub tokens: u32,
}

/// The instance and the requests on which a scheduler operates.
#[derive(Debug)]
pub struct Context<'a> {
    /// Current time.
    pub now: Nanos,
    /// All requests of the cluster.
    pub in_flight: &'a mut InFlightRequests,
    /// The instance's KV cache.
    pub kv: &'a mut Kv,
    /// Tokens that the instance still has to compute, of prompts and of preempted requests.
    pub backlog: &'a mut u64,
    /// Number of preemptions on this instance.
    pub preemptions: &'a mut u64,
}

impl Context<'_> {
    /// Records that a request enters a batch for the first time, or for the first time after a preemption. `cached` is the
    /// number of its tokens that were found in the prefix cache.
    pub fn begin(&mut self, id: InFlightId, cached: u32) {
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.computed = cached;
        if request_state.scheduled.is_none() {
            request_state.cached = cached;
        }
        *self.backlog += u64::from(request_state.backlog());
    }

    /// Preempts a request: its KV cache is freed, and the tokens sampled so far are kept.
    pub fn preempt(&mut self, id: InFlightId) {
        self.kv.release(id);
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.computed = 0;
        request_state.preemptions += 1;
        *self.preemptions += 1;
        *self.backlog += u64::from(request_state.backlog());
    }

    /// Preempts a request and restarts it with `prompt` of its known tokens as its prompt; the remaining tokens become its
    /// output. Its total length stays the same.
    pub fn restart(&mut self, id: InFlightId, prompt: u32) {
        self.kv.release(id);
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.output = request_state.prompt + request_state.output - prompt;
        request_state.prompt = prompt;
        request_state.generated = 0;
        request_state.computed = 0;
        request_state.preemptions += 1;
        *self.preemptions += 1;
        *self.backlog += u64::from(request_state.backlog());
    }
}

/// Forms the batches of one instance.
///
/// The event loop calls [`enqueue`](Self::enqueue) for each request. It calls [`form`](Self::form) when the instance is idle
/// and its state has changed, and [`retire`](Self::retire) after a step in which requests finished. The event loop counts
/// tokens and frees the memory of finished requests; the scheduler allocates memory and preempts.
pub trait ReplicaScheduler: Send + std::fmt::Debug {
    /// Adds a request. If its KV cache was transferred from another instance, its memory is allocated already.
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>);

    /// Forms the next batch; it is empty if no request can run.
    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>);

    /// Removes the requests of the last batch that have finished (see [`super::InFlightRequest::is_done`]).
    fn retire(&mut self, in_flight: &InFlightRequests);

    /// Number of requests that wait for their first batch, or for their first batch after a preemption.
    fn waiting(&self) -> usize;

    /// Number of requests that hold memory and are being computed.
    fn running(&self) -> usize;

    /// The waiting request that is admitted next.
    fn next_waiting(&self) -> Option<InFlightId>;

    /// Maximum number of requests that are computed at once.
    fn most_running(&self) -> usize;

    /// Removes and returns all waiting requests that hold no memory, in order, so that they can be routed again.
    fn give_up_waiting(&mut self, kv: &Kv) -> Vec<InFlightId>;
}

/// Every replica scheduler.
pub static SCHEDULERS: Registry<SchedulerCard> = Registry::new("scheduler", "simulation.md", LIST);

const LIST: &[SchedulerCard] = &[
    SchedulerCard::of::<VllmV1Config>(),
    SchedulerCard::of::<VllmV0Config>(),
    SchedulerCard::of::<SarathiConfig>(),
    SchedulerCard::of::<OptSarathiConfig>(),
];
