//! Requests in flight.

use crate::cache::BlockId;
use crate::trace::Nanos;

/// Index of a request in the cluster; reused after the request has left.
pub type InFlightId = u32;

/// The request of an unused slot.
const NOBODY: u32 = u32::MAX;

/// Which phases of a request an instance computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServedPhases {
    /// Prefill and decode.
    #[default]
    PrefillAndDecode,
    /// Prefill and the first output token; another instance decodes the rest.
    PrefillOnly,
}

/// A request in flight.
///
/// As in vLLM v1 there are no phases, only a gap between the known tokens and those whose KV is computed: a step computes
/// part of the gap, and when the gap closes, one more token is sampled. A decode step has a gap of one.
#[derive(Debug, Clone, Default)]
pub struct InFlightRequest {
    /// Index in the workload.
    pub request: u32,
    /// Index of its session.
    pub session: u32,
    /// Time of arrival.
    pub arrival: Nanos,
    /// Whether it is a turn that waits for the previous one to end, and so has not arrived yet.
    pub held_back: bool,
    /// Prompt tokens.
    pub prompt: u32,
    /// Total number of output tokens; at least 1.
    pub output: u32,
    /// Output tokens sampled so far.
    pub generated: u32,
    /// Tokens whose KV is on the instance.
    pub computed: u32,
    /// Which phases the present instance computes.
    pub work: ServedPhases,
    /// Prompt tokens found in the prefix cache when it was first scheduled.
    pub cached: u32,
    /// Number of preemptions after which it was recomputed.
    pub preemptions: u32,
    /// Time of its first batch.
    pub scheduled: Option<Nanos>,
    /// Time of the first output token.
    pub first_token: Option<Nanos>,
    /// Time of the latest output token.
    pub last_token: Nanos,
    /// Largest gap between two output tokens.
    pub longest_gap: Nanos,
    /// Total time in batches.
    pub executed: Nanos,
    /// End of its last batch.
    pub last_step: Nanos,
    /// Total time between batches since it was first scheduled.
    pub stalled: Nanos,
    /// Content ids of the full blocks of prompt and output, as far as known.
    pub blocks: Vec<BlockId>,
    /// Number of these blocks that contain prompt tokens only.
    pub prompt_blocks: u32,
}

impl InFlightRequest {
    /// Known tokens: prompt tokens and sampled ones.
    pub fn tokens(&self) -> u32 {
        self.prompt + self.generated
    }

    /// Tokens to compute before the next one can be sampled.
    pub fn gap(&self) -> u32 {
        self.tokens() - self.computed
    }

    /// Whether its next step is a decode: a single sampled token is to be computed.
    pub fn decodes(&self) -> bool {
        self.generated > 0 && self.gap() == 1
    }

    /// Prompt tokens that are still to be computed, including those recomputed after preemption. A decode has none: it
    /// computes the token that was sampled last.
    pub fn backlog(&self) -> u32 {
        if self.decodes() { 0 } else { self.gap() }
    }

    /// Whether the present instance has completed its phases.
    pub fn is_done(&self) -> bool {
        match self.work {
            ServedPhases::PrefillAndDecode => self.generated >= self.output,
            // A request preempted on another instance already has output tokens, and its prompt is to be recomputed.
            ServedPhases::PrefillOnly => self.generated >= 1 && self.gap() == 1,
        }
    }
}

/// All requests in flight; slots are reused with their allocations.
#[derive(Debug, Default)]
pub struct InFlightRequests {
    places: Vec<InFlightRequest>,
    free: Vec<InFlightId>,
}

impl InFlightRequests {
    /// A slot, possibly with values of an earlier request.
    pub fn add(&mut self) -> InFlightId {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(InFlightRequest::default());
            self.places.len() as InFlightId - 1
        })
    }

    /// Releases a slot.
    pub fn remove(&mut self, id: InFlightId) {
        self.places[id as usize].request = NOBODY;
        self.free.push(id);
    }

    /// Requests that have arrived, in order of their slots: all except turns that wait for the previous one.
    pub fn arrived(&self) -> impl Iterator<Item = InFlightId> {
        self.in_use().filter(|id| !self[*id].held_back)
    }

    /// Slots in use, ascending.
    pub fn in_use(&self) -> impl Iterator<Item = InFlightId> {
        (0..self.places.len() as InFlightId).filter(|id| self[*id].request != NOBODY)
    }

    /// Number of requests in flight.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of slots, used and free.
    pub fn places(&self) -> usize {
        self.places.len()
    }
}

impl std::ops::Index<InFlightId> for InFlightRequests {
    type Output = InFlightRequest;
    fn index(&self, id: InFlightId) -> &InFlightRequest {
        &self.places[id as usize]
    }
}

impl std::ops::IndexMut<InFlightId> for InFlightRequests {
    fn index_mut(&mut self, id: InFlightId) -> &mut InFlightRequest {
        &mut self.places[id as usize]
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::in_flight::*;

    #[test]
    fn a_slot_stays_when_its_request_leaves() {
        // Two slots, of which one is free after the first request has left.
        let mut in_flight = InFlightRequests::default();
        let first = in_flight.add();
        in_flight.add();
        in_flight.remove(first);
        assert_eq!((in_flight.places(), in_flight.len()), (2, 1));
    }
}
