//! Requests that are in the cluster now.

use crate::cache::BlockId;
use crate::trace::Nanos;

/// Index of a request in the cluster; used again once the request has left.
pub type InFlightId = u32;

/// The request of a free place.
const NOBODY: u32 = u32::MAX;

/// How much of a request an instance is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServedPhases {
    /// Everything.
    #[default]
    PrefillAndDecode,
    /// The prompt and the first output token; the rest is another's.
    PrefillOnly,
}

/// A request in the cluster.
///
/// As in vLLM v1 there are no phases, only a gap between the tokens that are there and those whose KV is computed: a step
/// computes part of the gap, and when it closes, one more token is sampled. A decode step is a gap of one.
#[derive(Debug, Clone, Default)]
pub struct InFlightRequest {
    /// Index in the workload.
    pub request: u32,
    /// Index of its session.
    pub session: u32,
    /// When it arrived.
    pub arrival: Nanos,
    /// Whether it is a turn that waits for the one before it to end, and so has not arrived yet.
    pub held_back: bool,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens that it will have; at least 1.
    pub output: u32,
    /// Output tokens sampled so far.
    pub generated: u32,
    /// Tokens whose KV is on the instance.
    pub computed: u32,
    /// How much of it the instance does.
    pub work: ServedPhases,
    /// Tokens that were found in the prefix cache when it was first scheduled.
    pub cached: u32,
    /// How often it was preempted, to be computed again.
    pub preemptions: u32,
    /// First time in a batch.
    pub scheduled: Option<Nanos>,
    /// When the first output token was there.
    pub first_token: Option<Nanos>,
    /// When the latest output token was there.
    pub last_token: Nanos,
    /// Largest gap between two output tokens.
    pub longest_gap: Nanos,
    /// Time in batches.
    pub executed: Nanos,
    /// End of the last batch that it was in.
    pub last_step: Nanos,
    /// Time between batches since it was first scheduled.
    pub stalled: Nanos,
    /// Content of the full blocks that prompt and output fill, as far as known.
    pub blocks: Vec<BlockId>,
    /// How many of them the prompt fills alone.
    pub prompt_blocks: u32,
}

impl InFlightRequest {
    /// Tokens there are: of the prompt and sampled.
    pub fn tokens(&self) -> u32 {
        self.prompt + self.generated
    }

    /// Tokens to be computed before the next one can be sampled.
    pub fn gap(&self) -> u32 {
        self.tokens() - self.computed
    }

    /// Whether its next step is a decode: one token is to be computed, of those that were sampled.
    pub fn decodes(&self) -> bool {
        self.generated > 0 && self.gap() == 1
    }

    /// Prompt tokens that are still to be computed, those that are computed again included. A decode has none: it computes the
    /// token that was sampled last.
    pub fn backlog(&self) -> u32 {
        if self.decodes() { 0 } else { self.gap() }
    }

    /// Whether the instance has done its part.
    pub fn is_done(&self) -> bool {
        match self.work {
            ServedPhases::PrefillAndDecode => self.generated >= self.output,
            // One that was preempted elsewhere has tokens already, and its prompt is to be computed again.
            ServedPhases::PrefillOnly => self.generated >= 1 && self.gap() == 1,
        }
    }
}

/// All requests in the cluster; places are used again, with what they have allocated.
#[derive(Debug, Default)]
pub struct InFlightRequests {
    places: Vec<InFlightRequest>,
    free: Vec<InFlightId>,
}

impl InFlightRequests {
    /// A place, perhaps with what an earlier request left in it.
    pub fn add(&mut self) -> InFlightId {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(InFlightRequest::default());
            self.places.len() as InFlightId - 1
        })
    }

    /// Gives a place back.
    pub fn remove(&mut self, id: InFlightId) {
        self.places[id as usize].request = NOBODY;
        self.free.push(id);
    }

    /// Requests that have arrived, in order of their places: all but turns that wait for the one before them.
    pub fn arrived(&self) -> impl Iterator<Item = InFlightId> {
        self.in_use().filter(|id| !self[*id].held_back)
    }

    /// Places that are in use, rising.
    pub fn in_use(&self) -> impl Iterator<Item = InFlightId> {
        (0..self.places.len() as InFlightId).filter(|id| self[*id].request != NOBODY)
    }

    /// How many requests are in the cluster.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many places there are, used and free.
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
