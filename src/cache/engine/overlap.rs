//! Requests that overlap: one clock, and what running requests do to a manager's blocks as time passes.
//!
//! A request is admitted when its prompt fits, first come, first served: nobody overtakes the head of the queue. It holds its
//! blocks while its prompt is computed and its tokens are generated, one after the other. Whoever waits is looked up anew each
//! time that others have ended. Where a running request finds no room for a token, the manager's rule says which one has to
//! go; it waits again, and what it had generated is part of its prompt then.
//!
//! Things that happen at the same time come in the order of an engine's step: requests end, then those that run take blocks,
//! then those that wait are admitted, then others come.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::super::{BlockId, BlockTrace, Facts, Run};
use super::rules::Rules;
use super::{
    Capacity, EngineOptions, Hold, Outcome, Sglang, Shape, UnboundedSglang, UnboundedVllm,
    tokens_in, vllm,
};
use crate::error::{Error, Result};
use crate::trace::{Nanos, Service};

/// What else may happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It lost its blocks to another one, and waits again.
    Preempted,
    /// Its output needs more blocks than there are, and takes no more.
    Cut,
}

/// Whoever wants to know what happens.
pub trait Watch {
    /// A request got its blocks, or was turned away. Requests come in the order in which they arrived.
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, evicted: &[BlockId]);

    /// A request that was served before filled some blocks; others lost their content to it.
    fn changed(&mut self, request: usize, now: Nanos, came: &[BlockId], went: &[BlockId]);

    /// Something else happened to a request that was served before.
    fn happened(&mut self, request: usize, what: Happening);
}

/// When others can find the blocks of a running request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Findable {
    /// The prompt's from its admission on, the output's as each is full.
    AsFilled,
    /// The prompt's once it is computed, the output's at the request's end.
    AtEnd,
}

/// A prompt that wants blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Its full blocks.
    pub(crate) path: &'a [BlockId],
    /// So many of them may be looked up.
    pub(crate) lookups: usize,
    /// Blocks that it needs in all.
    pub(crate) needed: u32,
}

/// A running request that may have to go.
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
        ask: &Ask<'_>,
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

    /// Of those that run, the one with the lowest rank goes.
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
pub fn replay(trace: &BlockTrace, options: &EngineOptions, watch: &mut dyn Watch) -> Result<u32> {
    super::check(options)?;
    if options.hold == Hold::Trace {
        require_service(trace)?;
    }
    Ok(match (options.engine.as_str(), options.capacity) {
        ("sglang", Capacity::Unbounded) => {
            drive(UnboundedSglang::new(trace, options)?, trace, options, watch)
        }
        ("sglang", Capacity::Blocks(pages)) => {
            drive(Sglang::new(trace, pages, options)?, trace, options, watch)
        }
        (_, Capacity::Unbounded) => {
            drive(UnboundedVllm::new(trace, options), trace, options, watch)
        }
        (_, Capacity::Blocks(blocks)) => {
            drive(vllm::manager(trace, blocks, options), trace, options, watch)
        }
    })
}

fn require_service(trace: &BlockTrace) -> Result<()> {
    match trace.facts().position(|facts| facts.service.is_none()) {
        None => Ok(()),
        Some(index) => Err(Error::usage(
            format!(
                "--hold trace: request {} of the trace has no service time",
                index + 1
            ),
            "give --hold linear:PREFILL_MS,DECODE_MS, or a trace with them: `service_time` in seconds on each line of a \
             native or token-ids trace, or `gen-trace --service-time`",
        )),
    }
}

pub(super) fn drive<M: Manager>(
    manager: M,
    trace: &BlockTrace,
    options: &EngineOptions,
    watch: &mut dyn Watch,
) -> u32 {
    let mut server = Server::new(manager, Rules::new(trace, options), options.hold, watch);
    let mut cursor = trace.cursor();
    while let Some(run) = cursor.next_run() {
        server.advance(run.facts.arrival);
        server.arrive(&run);
    }
    server.advance(Nanos(u64::MAX));
    debug_assert!(server.live == 0 && server.manager.is_idle());
    server.manager.cached_blocks()
}

/// What a running request does next; in the order in which they come at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Finish,
    Prefilled,
    /// So many tokens are computed then.
    Grow(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: Nanos,
    step: Class,
    /// Rises with each event.
    sequence: u64,
    request: usize,
    /// Of whose admission it is: a preempted request's events are void.
    admission: u64,
    what: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Ends,
    GoesOn,
}

/// A request from its arrival to its end.
#[derive(Debug, Default)]
struct Live<H> {
    index: usize,
    facts: Facts,
    /// Full blocks of prompt and output; its first `prompt` are those that the prompt has.
    path: Vec<BlockId>,
    prompt: usize,
    lookups: usize,
    /// Not admitted at once.
    late: bool,
    served: bool,
    cut: bool,
    /// Output tokens that it had when it was admitted.
    generated: u32,
    /// Tokens that take blocks now.
    computed: u32,
    /// When the prompt is computed.
    start: Nanos,
    service: Service,
    /// 0 while it waits.
    admission: u64,
    /// Where it stands among those that run.
    place: usize,
    held: H,
}

struct Server<'w, M: Manager> {
    manager: M,
    rules: Rules,
    hold: Hold,
    watch: &'w mut dyn Watch,
    now: Nanos,
    events: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    admissions: u64,
    requests: Vec<Live<M::Held>>,
    /// Places in `requests` to be used again.
    spare: Vec<usize>,
    /// Requests that have come and not ended.
    live: usize,
    running: Vec<usize>,
    waiting: VecDeque<usize>,
    evicted: Vec<BlockId>,
}

impl<'w, M: Manager> Server<'w, M> {
    fn new(manager: M, rules: Rules, hold: Hold, watch: &'w mut dyn Watch) -> Self {
        Self {
            manager,
            rules,
            hold,
            watch,
            now: Nanos::ZERO,
            events: BinaryHeap::new(),
            sequence: 0,
            admissions: 0,
            requests: Vec::new(),
            spare: Vec::new(),
            live: 0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            evicted: Vec::new(),
        }
    }

    /// Lets everything happen up to and including a time.
    fn advance(&mut self, until: Nanos) {
        while let Some(Reverse(event)) = self.events.peek()
            && event.time <= until
        {
            self.now = event.time;
            let mut ended = false;
            while let Some(Reverse(event)) = self.events.peek().copied()
                && event.time == self.now
            {
                self.events.pop();
                if self.requests[event.request].admission == event.admission {
                    ended |= event.what == Step::Finish;
                    self.step(event.request, event.what);
                }
            }
            // Blocks that a preempted request lost are for those that run, so it does not come back in the same step.
            if ended {
                self.admit_waiting();
            }
        }
    }

    fn arrive(&mut self, run: &Run<'_>) {
        self.now = run.facts.arrival;
        let id = self.spare.pop().unwrap_or_else(|| {
            self.requests.push(Live::default());
            self.requests.len() - 1
        });
        let request = &mut self.requests[id];
        request.path.clear();
        request.path.extend_from_slice(run.all);
        *request = Live {
            index: run.index,
            facts: run.facts,
            path: std::mem::take(&mut request.path),
            prompt: run.prompt.len(),
            lookups: self.rules.lookups(run, Shape::of(&run.facts)),
            held: std::mem::take(&mut request.held),
            ..Live::default()
        };
        self.live += 1;
        let first = self.waiting.is_empty();
        self.waiting.push_back(id);
        if first {
            self.admit_waiting();
        }
        // Wherever it is now, it is not gone: a request that was turned away has left its place.
        let request = &mut self.requests[id];
        request.late = !request.served;
    }

    /// Admits from the head of the queue whatever fits.
    fn admit_waiting(&mut self) {
        while let Some(id) = self.waiting.front().copied() {
            let request = &mut self.requests[id];
            let size = self.rules.block_size;
            let generated = if self.rules.decodes(Shape::of(&request.facts)) {
                request.generated
            } else {
                0
            };
            let tokens = request.facts.input_length + generated;
            let (blocks, lookups) = if generated == 0 {
                (request.prompt, request.lookups)
            } else {
                let full = ((tokens / size) as usize).min(request.path.len());
                let most = if self.rules.last_token_cap {
                    ((tokens - 1) / size) as usize
                } else {
                    full
                };
                (full, most.min(full))
            };
            let ask = Ask {
                path: &request.path[..blocks],
                lookups,
                needed: tokens.div_ceil(size).max(blocks as u32),
            };
            self.evicted.clear();
            let hits = if ask.needed > self.manager.capacity() {
                None
            } else {
                let admitted = self
                    .manager
                    .admit(&ask, &mut request.held, &mut self.evicted);
                if admitted.is_none() {
                    return;
                }
                admitted
            };
            self.waiting.pop_front();
            self.report(id, hits, blocks);
            match hits {
                Some(hits) => self.start(id, hits, tokens),
                None => self.leave(id),
            }
        }
    }

    /// Tells of an admission, or that a request was turned away.
    fn report(&mut self, id: usize, hits: Option<u32>, blocks: usize) {
        let request = &mut self.requests[id];
        let evicted = &self.evicted;
        if request.served {
            self.watch
                .changed(request.index, self.now, &request.path[..blocks], evicted);
            return;
        }
        request.served = true;
        let outcome = match hits {
            None => Outcome {
                rejected: true,
                ..Outcome::default()
            },
            Some(hits) => Outcome {
                evicted: evicted.len() as u32,
                waited: request.late.then(|| self.now - request.facts.arrival),
                ..self.rules.outcome(hits, Shape::of(&request.facts))
            },
        };
        let run = Run {
            index: request.index,
            prompt: &request.path[..request.prompt],
            all: &request.path,
            facts: request.facts,
        };
        self.watch.served(&run, self.now, &outcome, evicted);
    }

    fn start(&mut self, id: usize, hits: u32, tokens: u32) {
        let request = &mut self.requests[id];
        let uncached = tokens - tokens_in(hits, self.rules.block_size, tokens);
        request.service = self
            .hold
            .service(&request.facts, uncached)
            .unwrap_or_default();
        request.start = self.now + request.service.prefill;
        request.computed = tokens;
        self.admissions += 1;
        request.admission = self.admissions;
        request.place = self.running.len();
        self.running.push(id);
        if M::FINDABLE == Findable::AtEnd && request.end() > request.start {
            let time = request.start;
            self.schedule(id, time, Step::Prefilled);
        } else {
            self.schedule_next(id);
        }
    }

    fn schedule(&mut self, id: usize, time: Nanos, what: Step) {
        self.sequence += 1;
        self.events.push(Reverse(Event {
            time,
            step: match what {
                Step::Finish => Class::Ends,
                _ => Class::GoesOn,
            },
            sequence: self.sequence,
            request: id,
            admission: self.requests[id].admission,
            what,
        }));
    }

    /// The next time that a running request changes something.
    fn schedule_next(&mut self, id: usize) {
        let request = &self.requests[id];
        let size = self.rules.block_size;
        let shape = Shape::of(&request.facts);
        let computed = request.computed;
        if !request.cut && self.rules.decodes(shape) {
            // The last token of an output is sampled, but never computed.
            let last = shape.input_length + shape.output_length - 1;
            let next = if request.service.decode == Nanos::ZERO {
                last
            } else if computed.is_multiple_of(size) {
                computed + 1
            } else {
                let full = computed.next_multiple_of(size);
                match M::FINDABLE {
                    Findable::AsFilled => full,
                    Findable::AtEnd => full + 1,
                }
            };
            if next > computed && next <= last {
                let time = request.time_of(next - shape.input_length);
                self.schedule(id, time, Step::Grow(next));
                return;
            }
        }
        let time = request.end();
        self.schedule(id, time, Step::Finish);
    }

    fn step(&mut self, id: usize, what: Step) {
        match what {
            Step::Prefilled => {
                let request = &mut self.requests[id];
                let blocks = request.full_blocks(&self.rules);
                self.manager
                    .prefilled(&mut request.held, &request.path[..blocks]);
                self.schedule_next(id);
            }
            Step::Grow(computed) => self.grow(id, computed),
            Step::Finish => self.finish(id),
        }
    }

    fn grow(&mut self, id: usize, computed: u32) {
        loop {
            let request = &mut self.requests[id];
            self.evicted.clear();
            let fits = self.manager.grow(
                &mut request.held,
                computed,
                &request.path,
                &mut self.evicted,
            );
            let before = request.full_blocks(&self.rules);
            if fits {
                request.computed = computed;
            }
            let came = match M::FINDABLE {
                Findable::AsFilled => &request.path[before..request.full_blocks(&self.rules)],
                Findable::AtEnd => &[],
            };
            if !came.is_empty() || !self.evicted.is_empty() {
                self.watch
                    .changed(request.index, self.now, came, &self.evicted);
            }
            if fits {
                break;
            }
            // With more blocks than there are it cannot go on, whoever goes.
            if computed.div_ceil(self.rules.block_size) > self.manager.capacity() {
                request.cut = true;
                self.watch.happened(request.index, Happening::Cut);
                break;
            }
            let now = self.now;
            let rank = |id: &usize| {
                let request = &self.requests[*id];
                let candidate = Candidate {
                    admission: request.admission,
                    generated: request.generated_at(now),
                    input_length: request.facts.input_length,
                };
                (M::rank(&candidate), Reverse(request.admission))
            };
            let Some(victim) = self.running.iter().copied().min_by_key(rank) else {
                break;
            };
            self.preempt(victim);
            if victim == id {
                return;
            }
        }
        self.schedule_next(id);
    }

    fn preempt(&mut self, id: usize) {
        self.stop(id);
        let request = &mut self.requests[id];
        request.generated = request.generated_at(self.now);
        request.admission = 0;
        self.manager.preempt(&mut request.held);
        self.watch.happened(request.index, Happening::Preempted);
        if M::TO_THE_FRONT {
            self.waiting.push_front(id);
        } else {
            self.waiting.push_back(id);
        }
    }

    fn finish(&mut self, id: usize) {
        self.stop(id);
        let request = &mut self.requests[id];
        let shape = Shape::of(&request.facts);
        if self.rules.decodes(shape) {
            request.computed = shape.input_length + shape.output_length - 1;
        }
        let blocks = request.full_blocks(&self.rules);
        let has = self
            .manager
            .finish(&mut request.held, &request.path[..blocks]);
        if M::FINDABLE == Findable::AtEnd && has > request.prompt {
            let came = &request.path[request.prompt..has];
            self.watch.changed(request.index, self.now, came, &[]);
        }
        request.admission = 0;
        self.leave(id);
    }

    /// Takes a request out of those that run.
    fn stop(&mut self, id: usize) {
        let place = self.requests[id].place;
        self.running.swap_remove(place);
        if let Some(moved) = self.running.get(place) {
            self.requests[*moved].place = place;
        }
    }

    fn leave(&mut self, id: usize) {
        self.spare.push(id);
        self.live -= 1;
    }
}

impl<H> Live<H> {
    /// Full blocks of what is computed; where outputs take no blocks, the prompt's.
    fn full_blocks(&self, rules: &Rules) -> usize {
        if rules.decodes(Shape::of(&self.facts)) {
            ((self.computed / rules.block_size) as usize).min(self.path.len())
        } else {
            self.prompt
        }
    }

    /// When an output token is there, counted from 1.
    fn time_of(&self, token: u32) -> Nanos {
        let tokens = u128::from(self.facts.generated.max(1));
        let more = u128::from(token - self.generated);
        let part = u128::from(self.service.decode.0) * more / tokens;
        self.start + Nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }

    fn end(&self) -> Nanos {
        self.time_of(self.facts.generated.max(1))
    }

    /// Output tokens that are there; those of an earlier try that was preempted are in the prompt.
    fn generated_at(&self, now: Nanos) -> u32 {
        let decode = u128::from(self.service.decode.0);
        let most = self.facts.generated.saturating_sub(1);
        if now < self.start || decode == 0 || most == 0 {
            return self.generated;
        }
        // The last token whose time, rounded down, is not after now.
        let elapsed = u128::from((now - self.start).0) + 1;
        let more = (elapsed * u128::from(self.facts.generated) - 1) / decode;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.generated.saturating_add(more).min(most)
    }
}
