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

/// What a scheduler works on: the instance's memory, and the requests.
#[derive(Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Nanos,
    /// All requests of the cluster.
    pub in_flight: &'a mut InFlightRequests,
    /// The instance's memory.
    pub kv: &'a mut Kv,
    /// Prompt tokens, and tokens to be computed again, that the instance has still to compute.
    pub backlog: &'a mut u64,
    /// Times that a request lost its memory here.
    pub preemptions: &'a mut u64,
}

impl Context<'_> {
    /// A request enters a batch for the first time, or again after it was preempted: `cached` of its tokens were found.
    pub fn begin(&mut self, id: InFlightId, cached: u32) {
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.computed = cached;
        if request_state.scheduled.is_none() {
            request_state.cached = cached;
        }
        *self.backlog += u64::from(request_state.backlog());
    }

    /// A request loses its memory, and with it what was computed; what was sampled stays.
    pub fn preempt(&mut self, id: InFlightId) {
        self.kv.release(id);
        let request_state = &mut self.in_flight[id];
        *self.backlog -= u64::from(request_state.backlog());
        request_state.computed = 0;
        request_state.preemptions += 1;
        *self.preemptions += 1;
        *self.backlog += u64::from(request_state.backlog());
    }

    /// A request loses its memory and starts again with `prompt` tokens, of those that are there, as its prompt; the
    /// tokens that are missing then are its output. Its length stays, prompt and output do not.
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
/// something changed, and after the step, where requests are done, [`retire`](Self::retire). It keeps the tokens' books
/// between; memory is the scheduler's to take and to preempt, and the driver's to give back when a request is done.
pub trait ReplicaScheduler: Send + std::fmt::Debug {
    /// A request has come; where its KV came from another instance, its memory is taken already.
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>);

    /// Puts the next batch together; an empty one if nothing can run.
    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>);

    /// Requests of the last batch are done (see [`super::InFlightRequest::is_done`]): they are to be forgotten.
    fn retire(&mut self, in_flight: &InFlightRequests);

    /// Requests that wait for their first batch, or for one after they were preempted.
    fn waiting(&self) -> usize;

    /// Requests that hold memory and are computed.
    fn running(&self) -> usize;

    /// The one of them that is let in next.
    fn next_waiting(&self) -> Option<InFlightId>;

    /// Most requests that it computes at once.
    fn most_running(&self) -> usize;

    /// Gives up all requests that wait and hold no memory, in order, to be sent elsewhere.
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
