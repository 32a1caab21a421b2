//! One instance: memory, scheduler, and the step that it computes.

use std::collections::VecDeque;

use super::kv::Kv;
use super::latency::{Chunk, LatencyModel, Step};
use super::record::{InstanceRecord, StepRecord};
use super::replica::{Context, ReplicaScheduler, Slice};
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::trace::Nanos;

/// Which part of the work an instance is there for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Prompts, up to the first output token.
    Prefill,
    /// Outputs, after the first token.
    Decode,
    /// Whole requests, of which some prompts or outputs may be elsewhere: takes part in both pools.
    Mixed,
    /// Whole requests.
    #[default]
    Aggregated,
}

/// What an instance may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asked for, and not there yet.
    Starting,
    /// Serves.
    Ready,
    /// Takes no new work, and is kept: it may serve again at once.
    Parked,
    /// Takes no new work, and finishes what it has.
    Draining,
    /// Given back.
    Gone,
}

/// A token came out.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenEvent {
    /// A request's first, so long after it came.
    First(Nanos),
    /// Another, so long after the one before.
    Gap(Nanos),
}

/// An instance.
#[derive(Debug)]
pub struct Instance {
    /// Index of its pool in the configuration.
    pub pool: u32,
    /// What it is there for.
    pub role: Role,
    /// What it may do now.
    pub state: State,
    /// Its memory.
    pub kv: Kv,
    /// Prompt tokens that it has still to compute.
    pub backlog: u64,
    /// Requests that were sent to it and are not done: routed, waiting, running, or their KV on the way.
    pub requests: u32,
    /// Requests whose KV waits for room here, with the instance that holds it.
    pub(super) incoming: VecDeque<(InFlightId, u32)>,
    pub(super) scheduler: Box<dyn ReplicaScheduler>,
    latency: Box<dyn LatencyModel>,
    batch: Vec<Slice>,
    step: Step,
    started: Nanos,
    stepping: bool,
    /// Place of the step in the log of steps.
    pub(super) logged: usize,
    /// Site of the topology where it stands.
    pub site: u32,
    /// Prompt tokens of requests that it began, found in its cache or not.
    pub begun_tokens: u64,
    /// Part of a nanosecond that steps so far took more than their whole ones.
    remainder: f64,
    pub(super) record: InstanceRecord,
    /// Fraction of the blocks that requests hold since `usage_since`, and its integral over the time before, in seconds.
    usage: f64,
    usage_since: Nanos,
    usage_integral: f64,
}

impl Instance {
    pub(super) fn new(
        pool: u32,
        role: Role,
        kv: Kv,
        scheduler: Box<dyn ReplicaScheduler>,
        latency: Box<dyn LatencyModel>,
    ) -> Self {
        Self {
            pool,
            role,
            state: State::Starting,
            kv,
            backlog: 0,
            requests: 0,
            incoming: VecDeque::new(),
            scheduler,
            latency,
            batch: Vec::new(),
            step: Step::default(),
            started: Nanos::ZERO,
            stepping: false,
            logged: 0,
            site: 0,
            begun_tokens: 0,
            remainder: 0.0,
            record: InstanceRecord::default(),
            usage: 0.0,
            usage_since: Nanos::ZERO,
            usage_integral: 0.0,
        }
    }

    /// Whether it computes a step.
    pub fn is_stepping(&self) -> bool {
        self.stepping
    }

    /// Requests that wait for a batch.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Requests in its batches.
    pub fn running(&self) -> usize {
        self.scheduler.running()
    }

    /// Requests whose KV waits for room here.
    pub fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// Time that it computed until now, with the part of a step that is done.
    pub fn busy(&self, now: Nanos) -> Nanos {
        let part = if self.stepping {
            now - self.started
        } else {
            Nanos::ZERO
        };
        self.record.busy + part
    }

    /// What it did so far.
    pub fn record(&self) -> &InstanceRecord {
        &self.record
    }

    /// Whether it takes in the KV of one more request: there is a place in its batches, and nobody who was let in before waits
    /// for memory, as in vLLM, where a request's KV is fetched when it is scheduled.
    pub(super) fn takes_in(&self) -> bool {
        let here = self.requests as usize - self.incoming.len();
        if self.role != Role::Decode {
            return true;
        }
        let starves = |id: InFlightId| self.kv.held(id) == 0;
        here < self.scheduler.most_running() && !self.scheduler.next_waiting().is_some_and(starves)
    }

    /// Hands a request to the scheduler.
    pub(super) fn enqueue(&mut self, now: Nanos, id: InFlightId, in_flight: &mut InFlightRequests) {
        self.backlog += u64::from(in_flight[id].backlog());
        let mut context = Context {
            now,
            in_flight,
            kv: &mut self.kv,
            backlog: &mut self.backlog,
            preemptions: &mut self.record.preemptions,
        };
        self.scheduler.enqueue(id, &mut context);
    }

    /// Forms a batch and begins to compute it; when that will be done, or `None` if there is nothing to do.
    pub(super) fn begin(&mut self, now: Nanos, in_flight: &mut InFlightRequests) -> Option<Nanos> {
        debug_assert!(!self.stepping);
        self.batch.clear();
        let mut context = Context {
            now,
            in_flight,
            kv: &mut self.kv,
            backlog: &mut self.backlog,
            preemptions: &mut self.record.preemptions,
        };
        self.scheduler.form(&mut context, &mut self.batch);
        self.note_usage(now);
        if self.batch.is_empty() {
            return None;
        }
        self.step.clear();
        for slice in &self.batch {
            let request_state = &mut in_flight[slice.id];
            if request_state.scheduled.is_none() {
                request_state.scheduled = Some(now);
                request_state.last_step = now;
                self.record.cached_tokens += u64::from(request_state.cached);
                self.begun_tokens += u64::from(request_state.prompt);
            }
            let past = request_state.computed;
            if request_state.decodes() {
                self.step.decodes += 1;
                self.step.decode_context += u64::from(past);
                self.step.sampled += 1;
            } else {
                self.step.sampled += u32::from(slice.tokens == request_state.gap());
                self.step.prefills.push(Chunk {
                    tokens: slice.tokens,
                    past,
                });
            }
        }
        let exact = self.latency.seconds(&self.step) * 1e9 + self.remainder;
        let whole = exact.round().max(1.0);
        self.remainder = exact - whole;
        self.started = now;
        self.stepping = true;
        Some(now + Nanos(whole as u64))
    }

    /// The step that it computes, until `ended`.
    pub(super) fn describe(&self, ended: Nanos) -> StepRecord {
        let attended = |chunk: &Chunk| {
            u64::from(chunk.tokens) * (u64::from(chunk.tokens) + u64::from(chunk.past))
        };
        // A decode compares itself with what was before, the sampled token that it computes counted twice as in Vidur.
        let decodes = self.step.decode_context + 2 * u64::from(self.step.decodes);
        StepRecord {
            instance: self.record.instance,
            started: self.started,
            ended,
            requests: self.step.requests(),
            prefill_tokens: self.step.prefill_tokens() as u32,
            decodes: self.step.decodes,
            attended: self.step.prefills.iter().map(attended).sum::<u64>() + decodes,
            usage_before: self.kv.usage(),
            usage_after: 0.0,
        }
    }

    /// The step is over: its tokens are booked; requests that are done here are added to `done`.
    pub(super) fn finish(
        &mut self,
        now: Nanos,
        in_flight: &mut InFlightRequests,
        done: &mut Vec<InFlightId>,
        mut heard: impl FnMut(TokenEvent),
    ) {
        let duration = now - self.started;
        self.stepping = false;
        self.record.busy += duration;
        if !self.step.prefills.is_empty() {
            self.record.busy_prefill += duration;
        }
        self.record.steps += 1;
        for slice in &self.batch {
            let request_state = &mut in_flight[slice.id];
            if !request_state.decodes() {
                self.record.prefill_tokens += u64::from(slice.tokens);
            }
            self.backlog -= u64::from(request_state.backlog());
            request_state.computed += slice.tokens;
            self.backlog += u64::from(request_state.backlog());
            request_state.executed += duration;
            request_state.stalled += self.started - request_state.last_step;
            request_state.last_step = now;
            if request_state.gap() > 0 {
                continue;
            }
            request_state.generated += 1;
            self.record.output_tokens += 1;
            if request_state.first_token.is_none() {
                request_state.first_token = Some(now);
                heard(TokenEvent::First(now - request_state.arrival));
            } else {
                let since = now - request_state.last_token;
                request_state.longest_gap = request_state.longest_gap.max(since);
                heard(TokenEvent::Gap(since));
            }
            request_state.last_token = now;
            if request_state.is_done() {
                done.push(slice.id);
            }
        }
        if !done.is_empty() {
            self.scheduler.retire(in_flight);
        }
    }

    /// Records that requests may have taken or released blocks now. What was held since the last call is added up.
    pub(super) fn note_usage(&mut self, now: Nanos) {
        self.usage_integral += self.usage * (now - self.usage_since).as_secs_f64();
        self.usage = self.kv.usage();
        self.usage_since = now;
        self.record.peak_kv_usage = self.record.peak_kv_usage.max(self.usage);
    }

    /// Closes the books.
    pub(super) fn close(&mut self, now: Nanos) -> InstanceRecord {
        self.note_usage(now);
        let mut record = self.record.clone();
        // The end may come in the middle of a step.
        record.busy = self.busy(now);
        if self.stepping && !self.step.prefills.is_empty() {
            record.busy_prefill += now - self.started;
        }
        if self.state != State::Gone {
            record.gone = now;
        }
        if self.state == State::Starting {
            record.ready = now;
        }
        let life = (record.gone - record.ready).as_secs_f64();
        record.mean_kv_usage = if life > 0.0 {
            self.usage_integral / life
        } else {
            0.0
        };
        record.clamped = self.latency.clamped();
        record
    }
}
