//! Replica schedulers: how one instance forms its batches. One scheduler is one file with its parameters and its card; the
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

/// A request's share of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The request.
    pub id: InFlightId,
    /// Number of its tokens to compute.
    pub tokens: u32,
}

/// The instance and the requests that a scheduler works on.
#[derive(Debug)]
pub struct Context<'a> {
    /// Current time.
    pub now: Nanos,
    /// All requests of the cluster.
    pub in_flight: &'a mut InFlightRequests,
    /// The instance's KV cache.
    pub kv: &'a mut Kv,
    /// Tokens that the instance still has to compute: of prompts, and of preempted requests.
    pub backlog: &'a mut u64,
    /// Number of preemptions on this instance.
    pub preemptions: &'a mut u64,
}

impl Context<'_> {
    /// Records that a request enters a batch for the first time or after a preemption; `cached` of its tokens were found in
    /// the prefix cache.
    pub fn begin(&mut self, id: InFlightId, cached: u32) {
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.computed = cached;
        if request_state.scheduled.is_none() {
            request_state.cached = cached;
        }
        *self.backlog += u64::from(request_state.backlog());
    }

    /// Preempts a request: it loses its KV cache and keeps the tokens that were sampled.
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
/// The driver calls [`enqueue`](Self::enqueue) for each request, [`form`](Self::form) whenever the instance is idle and
/// something changed, and after the step, where requests are done, [`retire`](Self::retire). It counts the
/// tokens; the scheduler allocates memory and preempts, and the driver frees memory when a request is done.
pub trait ReplicaScheduler: Send + std::fmt::Debug {
    /// Adds a request. If its KV cache came from another instance, its memory is allocated already.
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>);

    /// Forms the next batch; an empty one if nothing can run.
    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>);

    /// Removes the requests of the last batch that are done (see [`super::InFlightRequest::is_done`]).
    fn retire(&mut self, in_flight: &InFlightRequests);

    /// Number of requests that wait for their first batch, or for the first after a preemption.
    fn waiting(&self) -> usize;

    /// Number of requests that hold memory and are computed.
    fn running(&self) -> usize;

    /// The waiting request that is admitted next.
    fn next_waiting(&self) -> Option<InFlightId>;

    /// Most requests that are computed at once.
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
