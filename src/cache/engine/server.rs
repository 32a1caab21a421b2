//! The clock, the queue and the running requests of [`super::overlap`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::super::{BlockId, Facts, Run};
use super::overlap::{
    CacheChange, Candidate, EngineEvent, EngineObserver, Findable, Manager, PromptRequest,
};
use super::rules::Rules;
use super::{Hold, Outcome, Shape, tokens_in};
use crate::trace::{Nanos, Service};

/// The next step of a running request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Finish,
    Prefilled,
    /// The request reaches this number of computed tokens.
    Grow(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: Nanos,
    class: Class,
    /// The admission that the event belongs to; the event is void once the request was preempted. At equal times, the
    /// request that was admitted first is processed first, as in vLLM's list of running requests. A request has one
    /// event at a time.
    admission: u64,
    request: usize,
    what: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Ends,
    GoesOn,
}

/// A request between its arrival and its end.
#[derive(Debug, Default)]
struct InFlightRequest<H> {
    index: usize,
    facts: Facts,
    /// Full blocks of prompt and output; the first `prompt` of them are the prompt's.
    path: Vec<BlockId>,
    prompt: usize,
    lookups: usize,
    /// Whether the request was not admitted on arrival.
    late: bool,
    served: bool,
    cut: bool,
    /// Output tokens that had been generated when the request was last admitted.
    generated: u32,
    /// Tokens that take blocks now.
    computed: u32,
    /// Time at which the prompt is computed.
    start: Nanos,
    service: Service,
    /// Number of the admission; 0 while the request waits.
    admission: u64,
    /// Index in the list of running requests.
    place: usize,
    held: H,
}

/// The counts of a manager after its last reported change.
#[derive(Debug, Default)]
struct Counts {
    cached: u32,
    copies: u64,
}

impl Counts {
    /// What has changed since; `went` are the blocks that were evicted, `came` those of the request that are cached now.
    fn change<'a, M: Manager>(
        &mut self,
        manager: &M,
        came: &'a [BlockId],
        went: &'a [BlockId],
    ) -> CacheChange<'a> {
        let before = std::mem::replace(
            self,
            Self {
                cached: manager.cached_blocks(),
                copies: manager.evicted_copies(),
            },
        );
        CacheChange {
            came,
            stored: self.cached + went.len() as u32 - before.cached,
            went,
            copies: (self.copies - before.copies) as u32,
        }
    }
}

/// A manager, its requests and the clock.
pub(super) struct Server<'w, M: Manager> {
    pub(super) manager: M,
    rules: Rules,
    hold: Hold,
    watch: &'w mut dyn EngineObserver,
    now: Nanos,
    events: BinaryHeap<Reverse<Event>>,
    admissions: u64,
    requests: Vec<InFlightRequest<M::Held>>,
    /// Indices of `requests` that can be reused.
    spare: Vec<usize>,
    /// Number of requests that have arrived and not ended.
    pub(super) in_flight: usize,
    running: Vec<usize>,
    waiting: VecDeque<usize>,
    evicted: Vec<BlockId>,
    counts: Counts,
}

impl<'w, M: Manager> Server<'w, M> {
    pub(super) fn new(
        manager: M,
        rules: Rules,
        hold: Hold,
        watch: &'w mut dyn EngineObserver,
    ) -> Self {
        Self {
            manager,
            rules,
            hold,
            watch,
            now: Nanos::ZERO,
            events: BinaryHeap::new(),
            admissions: 0,
            requests: Vec::new(),
            spare: Vec::new(),
            in_flight: 0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            evicted: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Processes all events up to and including this time.
    pub(super) fn advance(&mut self, until: Nanos) {
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
            // Blocks that a preempted request lost go to the running requests, so it is not admitted again in the same
            // step.
            if ended {
                self.admit_waiting();
            }
        }
    }

    pub(super) fn arrive(&mut self, run: &Run<'_>) {
        self.now = run.facts.arrival;
        let id = self.spare.pop().unwrap_or_else(|| {
            self.requests.push(InFlightRequest::default());
            self.requests.len() - 1
        });
        let request = &mut self.requests[id];
        request.path.clear();
        request.path.extend_from_slice(run.all);
        *request = InFlightRequest {
            index: run.index,
            facts: run.facts,
            path: std::mem::take(&mut request.path),
            prompt: run.prompt.len(),
            lookups: self.rules.lookups(run, Shape::of(&run.facts)),
            held: std::mem::take(&mut request.held),
            ..InFlightRequest::default()
        };
        self.in_flight += 1;
        let first = self.waiting.is_empty();
        self.waiting.push_back(id);
        if first {
            self.admit_waiting();
        }
        // The slot still belongs to this request: even a rejected one was reported before it left.
        let request = &mut self.requests[id];
        request.late = !request.served;
    }

    /// Admits requests from the head of the queue as long as they fit.
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
            let ask = PromptRequest {
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

    /// Reports an admission or a rejection.
    fn report(&mut self, id: usize, hits: Option<u32>, blocks: usize) {
        let request = &mut self.requests[id];
        let came = match (M::FINDABLE, hits) {
            (Findable::AsFilled, Some(_)) => &request.path[..blocks],
            _ => &[],
        };
        let change = self.counts.change(&self.manager, came, &self.evicted);
        if request.served {
            self.watch.changed(request.index, self.now, &change);
            return;
        }
        request.served = true;
        let outcome = match hits {
            None => Outcome {
                rejected: true,
                ..Outcome::default()
            },
            Some(hits) => Outcome {
                new_blocks: change.stored,
                evicted: change.went.len() as u32,
                evicted_copies: change.copies,
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
        self.watch.served(&run, self.now, &outcome, &change);
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
        self.events.push(Reverse(Event {
            time,
            class: match what {
                Step::Finish => Class::Ends,
                _ => Class::GoesOn,
            },
            admission: self.requests[id].admission,
            request: id,
            what,
        }));
    }

    /// Schedules the next time at which a running request changes its blocks.
    fn schedule_next(&mut self, id: usize) {
        let request = &self.requests[id];
        let size = self.rules.block_size;
        let shape = Shape::of(&request.facts);
        let computed = request.computed;
        if !request.cut && self.rules.decodes(shape) {
            // The last token of an output is sampled, but its KV is never computed.
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
                let came = &request.path[..blocks];
                self.manager.prefilled(&mut request.held, came);
                let change = self.counts.change(&self.manager, came, &[]);
                self.watch.changed(request.index, self.now, &change);
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
                Findable::AsFilled if fits => {
                    &request.path[before..request.full_blocks(&self.rules)]
                }
                // The blocks before the one that found no room stay.
                Findable::AsFilled => {
                    let findable = self.manager.findable(&request.held) as usize;
                    &request.path[before..findable.clamp(before, request.path.len())]
                }
                Findable::AtEnd => &[],
            };
            let change = self.counts.change(&self.manager, came, &self.evicted);
            if change.is_some() {
                self.watch.changed(request.index, self.now, &change);
            }
            if fits {
                break;
            }
            // The request needs more blocks than the cache has, so no preemption can help.
            if computed.div_ceil(self.rules.block_size) > self.manager.capacity() {
                request.cut = true;
                self.watch.happened(request.index, EngineEvent::Truncated);
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
        self.watch.happened(request.index, EngineEvent::Preempted);
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
        if M::FINDABLE == Findable::AtEnd && has > 0 {
            let change = self.counts.change(&self.manager, &request.path[..has], &[]);
            self.watch.changed(request.index, self.now, &change);
        }
        request.admission = 0;
        self.leave(id);
    }

    /// Removes a request from the running requests.
    fn stop(&mut self, id: usize) {
        let place = self.requests[id].place;
        self.running.swap_remove(place);
        if let Some(moved) = self.running.get(place) {
            self.requests[*moved].place = place;
        }
    }

    fn leave(&mut self, id: usize) {
        self.spare.push(id);
        self.in_flight -= 1;
    }
}

impl<H> InFlightRequest<H> {
    /// Number of full blocks of the computed tokens; where outputs take no blocks, those of the prompt.
    fn full_blocks(&self, rules: &Rules) -> usize {
        if rules.decodes(Shape::of(&self.facts)) {
            ((self.computed / rules.block_size) as usize).min(self.path.len())
        } else {
            self.prompt
        }
    }

    /// Time at which an output token, counted from 1, is generated.
    fn time_of(&self, token: u32) -> Nanos {
        let tokens = u128::from(self.facts.generated.max(1));
        let more = u128::from(token - self.generated);
        let part = u128::from(self.service.decode.0) * more / tokens;
        self.start + Nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }

    fn end(&self) -> Nanos {
        self.time_of(self.facts.generated.max(1))
    }

    /// Output tokens generated by this time; those from before a preemption are part of the prompt.
    fn generated_at(&self, now: Nanos) -> u32 {
        let decode = u128::from(self.service.decode.0);
        let most = self.facts.generated.saturating_sub(1);
        if now < self.start || decode == 0 || most == 0 {
            return self.generated;
        }
        // The last token whose time, rounded down, is not after `now`.
        let elapsed = u128::from((now - self.start).0) + 1;
        let more = (elapsed * u128::from(self.facts.generated) - 1) / decode;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.generated.saturating_add(more).min(most)
    }
}
