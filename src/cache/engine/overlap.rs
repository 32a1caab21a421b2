//! Requests that overlap: one clock, and what running requests do to a manager's blocks as time passes.
//!
//! A request is admitted when its prompt fits, first come, first served: no request overtakes the head of the queue. It holds its
//! blocks while its prompt is computed and its tokens are generated, one after the other. Waiting requests are looked up again each
//! time that others have ended. Where a running request finds no room for a token, the manager's rule says which request is
//! preempted; it waits again, and the tokens that it had generated are part of its prompt then.
//!
//! Things that happen at the same time come in the order of an engine's step: requests end, then those that run take blocks,
//! then those that wait are admitted, then others come.

use super::super::{BlockId, BlockTrace, Run};
use super::rules::Rules;
use super::server::Server;
use super::{EngineOptions, Hold, Outcome};
use crate::base::error::{Error, Result};
use crate::trace::Nanos;

/// An event of a request after its admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEvent {
    /// It lost its blocks to another request and waits again.
    Preempted,
    /// Its output needs more blocks than the cache has, so it was truncated.
    Truncated,
}

/// Receives what an engine does to each request.
pub trait EngineObserver {
    /// A request got its blocks, or was rejected. Requests come in the order in which they arrived.
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, evicted: &[BlockId]);

    /// A request that was served before filled some blocks; others lost their content to it.
    fn changed(&mut self, request: usize, now: Nanos, came: &[BlockId], went: &[BlockId]);

    /// Something else happened to a request that was served before.
    fn happened(&mut self, request: usize, what: EngineEvent);
}

/// When others can find the blocks of a running request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Findable {
    /// The prompt's from its admission on, the output's as each is full.
    AsFilled,
    /// The prompt's once it is computed, the output's at the request's end.
    AtEnd,
}

/// A prompt to be admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptRequest<'a> {
    /// Its full blocks.
    pub(crate) path: &'a [BlockId],
    /// So many of them may be looked up.
    pub(crate) lookups: usize,
    /// Blocks that it needs in all.
    pub(crate) needed: u32,
}

/// A running request that may be preempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Rises with each admission.
    pub(crate) admission: u64,
    /// Output tokens so far.
    pub(crate) generated: u32,
    /// Prompt tokens.
    pub(crate) input_length: u32,
}

/// What an engine's manager of blocks does for requests that run.
pub(crate) trait Manager {
    /// What a request holds.
    type Held: Default;
    /// When others can find it.
    const FINDABLE: Findable;
    /// Whether a preempted request is the next to be admitted, or the last.
    const TO_THE_FRONT: bool;

    /// Usable blocks.
    fn capacity(&self) -> u32;

    /// Looks a prompt up and takes what it needs; how many blocks were found, or `None` if it does not fit.
    fn admit(
        &mut self,
        prompt: &PromptRequest<'_>,
        held: &mut Self::Held,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32>;

    /// The prompt is computed; only where [`Findable::AtEnd`], and if the request goes on.
    fn prefilled(&mut self, held: &mut Self::Held, path: &[BlockId]);

    /// Goes on to `computed` tokens; false if there is no room.
    fn grow(
        &mut self,
        held: &mut Self::Held,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool;

    /// The request ends; `path` are the full blocks of all that it should have computed. How many of them it has.
    fn finish(&mut self, held: &mut Self::Held, path: &[BlockId]) -> usize;

    /// The request loses what it holds.
    fn preempt(&mut self, held: &mut Self::Held);

    /// The running request with the lowest rank is preempted.
    fn rank(candidate: &Candidate) -> (u64, u64);

    /// Blocks that can be found.
    fn cached_blocks(&self) -> u32;

    /// Whether no request holds anything.
    fn is_idle(&self) -> bool;
}

/// Replays `trace` with requests that overlap, as [`EngineOptions::hold`] says; how many blocks are cached at the end.
///
/// # Errors
/// As [`super::build`]; a trace that should have service times and has none.
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
