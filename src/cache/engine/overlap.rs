//! Replay of requests that overlap: one clock, and the changes that running requests make to a manager's blocks over
//! time.
//!
//! A request is admitted when its prompt fits, first come, first served: no request overtakes the head of the queue. It
//! holds its blocks while its prompt is computed and its tokens are generated one by one. Waiting requests are looked
//! up again each time that other requests have ended. When a running request finds no free block for a token, the
//! manager's rule selects the request to preempt; the preempted request waits again, and the tokens that it had
//! generated then belong to its prompt.
//!
//! Events at the same time are processed in the order of an engine's step: requests end, then running requests take
//! blocks, then waiting requests are admitted, then new requests arrive.

use super::super::{BlockId, BlockTrace, Run};
use super::rules::Rules;
use super::server::Server;
use super::{EngineOptions, Hold, Outcome};
use crate::base::error::{Error, Result};
use crate::trace::Nanos;

/// An event of a request after its admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEvent {
    /// The request lost its blocks to another request and waits again.
    Preempted,
    /// Its output needs more blocks than the cache has, so it was truncated.
    Truncated,
}

/// What a cache gained and lost in one step of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheChange<'a> {
    /// Blocks of the request that are cached now. Some may have been cached before.
    pub came: &'a [BlockId],
    /// Number of blocks that were stored: they are cached now and were not before.
    pub stored: u32,
    /// Blocks that are no longer cached.
    pub went: &'a [BlockId],
    /// Number of second copies of cached blocks that lost their content.
    pub copies: u32,
}

impl CacheChange<'_> {
    /// Whether anything came or went.
    pub(super) fn is_some(&self) -> bool {
        !self.came.is_empty() || !self.went.is_empty() || self.copies > 0
    }
}

/// Receives what an engine does to each request.
pub trait EngineObserver {
    /// A request was admitted or rejected. These calls are in the order of the requests' arrivals. The counts of the change
    /// are also in the outcome.
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, change: &CacheChange<'_>);

    /// The cache has changed for a request after its admission.
    fn changed(&mut self, request: usize, now: Nanos, change: &CacheChange<'_>);

    /// Another event of an admitted request.
    fn happened(&mut self, request: usize, what: EngineEvent);
}

/// When other requests can find the blocks of a running request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Findable {
    /// Prompt blocks from the request's admission on, each output block once it is full.
    AsFilled,
    /// Prompt blocks once the prompt is computed, output blocks once the request has ended.
    AtEnd,
}

/// A prompt that is to be admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptRequest<'a> {
    /// The prompt's full blocks.
    pub(crate) path: &'a [BlockId],
    /// Number of leading blocks that may be looked up.
    pub(crate) lookups: usize,
    /// Total number of blocks that the prompt needs.
    pub(crate) needed: u32,
}

/// A running request that may be preempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Number of the admission, which rises with each one.
    pub(crate) admission: u64,
    /// Output tokens generated so far.
    pub(crate) generated: u32,
    /// Prompt tokens.
    pub(crate) input_length: u32,
}

/// Operations on an engine's blocks for requests that run.
pub(crate) trait Manager {
    /// The blocks that a request holds.
    type Held: Default;
    /// When other requests can find a request's blocks.
    const FINDABLE: Findable;
    /// Whether a preempted request goes to the front of the queue instead of its end.
    const TO_THE_FRONT: bool;

    /// Number of usable blocks.
    fn capacity(&self) -> u32;

    /// Looks a prompt up and allocates the blocks it needs; returns the number of blocks found, or `None` if it does
    /// not fit.
    fn admit(
        &mut self,
        prompt: &PromptRequest<'_>,
        held: &mut Self::Held,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32>;

    /// Called when the prompt has been computed; only with [`Findable::AtEnd`], and only if the request then continues.
    fn prefilled(&mut self, held: &mut Self::Held, path: &[BlockId]);

    /// Extends the request to `computed` tokens; returns false if no block is free.
    fn grow(
        &mut self,
        held: &mut Self::Held,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool;

    /// Ends the request. `path` are the full blocks of all tokens that it should have computed; returns how many of
    /// them it has.
    fn finish(&mut self, held: &mut Self::Held, path: &[BlockId]) -> usize;

    /// Number of leading blocks of a request that others can find; only with [`Findable::AsFilled`].
    fn findable(&self, _held: &Self::Held) -> u32 {
        0
    }

    /// Number of second copies of cached blocks that have lost their content so far.
    fn evicted_copies(&self) -> u64 {
        0
    }

    /// Frees all blocks of a preempted request.
    fn preempt(&mut self, held: &mut Self::Held);

    /// Rank of a running request; the one with the lowest rank is preempted.
    fn rank(candidate: &Candidate) -> (u64, u64);

    /// Number of blocks that can be found.
    fn cached_blocks(&self) -> u32;

    /// Whether no request holds any block.
    fn is_idle(&self) -> bool;
}

/// Replays `trace` with requests that overlap, as [`EngineOptions::hold`] specifies; returns the number of cached
/// blocks at the end.
///
/// # Errors
/// As [`super::build`], and [`Error::Usage`] for a trace without the service times that the hold needs.
pub fn replay(
    trace: &BlockTrace,
    options: &EngineOptions,
    watch: &mut dyn EngineObserver,
) -> Result<u32> {
    super::check(options)?;
    if options.hold == Hold::Trace {
        require_service(trace)?;
    }
    options.engine.card().replay(trace, options, watch)
}

fn require_service(trace: &BlockTrace) -> Result<()> {
    match trace.facts().position(|facts| facts.service.is_none()) {
        None => Ok(()),
        Some(index) => Err(Error::usage(
            format!(
                "request {} of the trace has no service time, which a holding time of trace needs",
                index + 1
            ),
            "set `hold` to linear:PREFILL_MS,DECODE_MS, or use a trace with them: `service_time` in seconds on each line of a \
             native or token-ids trace, or one that `replay gen-trace` made with a `service_time`",
        )),
    }
}

pub(super) fn drive<M: Manager>(
    manager: M,
    trace: &BlockTrace,
    options: &EngineOptions,
    watch: &mut dyn EngineObserver,
) -> u32 {
    let mut server = Server::new(manager, Rules::new(trace, options), options.hold, watch);
    let mut cursor = trace.cursor();
    while let Some(run) = cursor.next_run() {
        server.advance(run.facts.arrival);
        server.arrive(&run);
    }
    server.advance(Nanos(u64::MAX));
    debug_assert!(server.in_flight == 0 && server.manager.is_idle());
    server.manager.cached_blocks()
}
