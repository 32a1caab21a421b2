//! An instance: memory, scheduler, and the current step.

use std::collections::VecDeque;

use super::kv::Kv;
use super::latency::{Chunk, LatencyModel, Step};
use super::record::{InstanceRecord, StepRecord};
use super::replica::{Context, ReplicaScheduler, Slice};
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::trace::Nanos;

/// Which part of the work the instances of a pool do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Prefill, up to the first output token.
    Prefill,
    /// Decode, after the first token.
    Decode,
    /// Whole requests, or only the prefill or decode of some: part of both pools.
    Mixed,
    /// Whole requests.
    #[default]
    Aggregated,
}

/// State of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requested, and not ready yet.
    Starting,
    /// Accepts requests.
    Ready,
    /// Accepts no new requests and is kept: it can return to routing at once.
    Parked,
    /// Accepts no new requests and finishes those it has.
    Draining,
    /// Terminated.
    Gone,
}

/// An output token was generated.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenEvent {
    /// The first token of a request, with the time since its arrival.
    First(Nanos),
    /// A later token, with the time since the previous one.
    Gap(Nanos),
}

/// An instance.
#[derive(Debug)]
pub struct Instance {
    /// Index of its pool.
    pub pool: u32,
    /// Role.
    pub role: Role,
    /// State.
    pub state: State,
    /// KV cache memory.
    pub kv: Kv,
    /// Prompt tokens that it still has to compute.
    pub backlog: u64,
    /// Requests assigned to it that have not finished: routed, waiting, running, or with their KV in transfer.
    pub requests: u32,
    /// Requests whose KV waits for free blocks here, with the instance that holds it.
    pub(super) incoming: VecDeque<(InFlightId, u32)>,
    pub(super) scheduler: Box<dyn ReplicaScheduler>,
    latency: Box<dyn LatencyModel>,
    batch: Vec<Slice>,
    step: Step,
    started: Nanos,
    stepping: bool,
    /// Index of the current step in the record of steps.
    pub(super) logged: usize,
    /// Its site in the topology.
    pub site: u32,
    /// Prompt tokens of the requests that it started, cached or not.
    pub begun_tokens: u64,
    /// Fraction of a nanosecond by which the durations of past steps were rounded down.
    remainder: f64,
    pub(super) record: InstanceRecord,
    /// Fraction of its blocks held since `usage_since`, and the integral over the time before, in seconds.
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

    /// Whether a step is in progress.
    pub fn is_stepping(&self) -> bool {
        self.stepping
    }

    /// Requests that wait for a batch.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Requests in batches.
    pub fn running(&self) -> usize {
        self.scheduler.running()
    }

    /// Requests whose KV waits for free blocks here.
    pub fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// Total time in steps until now, including the elapsed part of the current one.
    pub fn busy(&self, now: Nanos) -> Nanos {
        let part = if self.stepping {
            now - self.started
        } else {
            Nanos::ZERO
        };
        self.record.busy + part
    }

    /// Its record so far.
    pub fn record(&self) -> &InstanceRecord {
        &self.record
    }

    /// Whether it accepts the KV of one more request: there is a free place in its batches, and no request admitted before
    /// waits for memory. As in vLLM, which fetches the KV of a request when it schedules it.
    pub(super) fn takes_in(&self) -> bool {
        let here = self.requests as usize - self.incoming.len();
        if self.role != Role::Decode {
            return true;
        }
        let starves = |id: InFlightId| self.kv.held(id) == 0;
        here < self.scheduler.most_running() && !self.scheduler.next_waiting().is_some_and(starves)
    }

    /// Passes a request to the scheduler.
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

    /// Forms a batch and starts a step; returns its end, or `None` if there is nothing to compute.
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

    /// Record of the current step, which ends at `ended`.
    pub(super) fn describe(&self, ended: Nanos) -> StepRecord {
        let attended = |chunk: &Chunk| {
            u64::from(chunk.tokens) * (u64::from(chunk.tokens) + u64::from(chunk.past))
        };
        // A decode attends to all earlier tokens; the sampled token that it computes is counted twice, as in Vidur.
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

    /// Ends the step: counts its tokens; requests that are done on this instance are appended to `done`.
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
            if request_state.decodes() {
                // A decode adds nothing to the backlog, neither before its token is computed nor after.
                request_state.computed += slice.tokens;
            } else {
                self.record.prefill_tokens += u64::from(slice.tokens);
                self.backlog -= u64::from(request_state.backlog());
                request_state.computed += slice.tokens;
                self.backlog += u64::from(request_state.backlog());
            }
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

    /// Records that requests may have allocated or freed blocks, and integrates the usage since the last call.
    pub(super) fn note_usage(&mut self, now: Nanos) {
        self.usage_integral += self.usage * (now - self.usage_since).as_secs_f64();
        self.usage = self.kv.usage();
        self.usage_since = now;
        self.record.peak_kv_usage = self.record.peak_kv_usage.max(self.usage);
    }

    /// Completes the record.
    pub(super) fn close(&mut self, now: Nanos) -> InstanceRecord {
        self.note_usage(now);
        let mut record = self.record.clone();
        // The simulation may end during a step.
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

#[cfg(test)]
mod tests {
    use crate::sim::instance::*;
    use crate::sim::latency::Constant;
    use crate::sim::replica::{VllmV1, VllmV1Config};

    #[test]
    fn a_decode_instance_takes_in_as_many_as_it_can_run() {
        let scheduler = VllmV1::new(VllmV1Config {
            max_num_seqs: 2,
            ..VllmV1Config::default()
        });
        let (kv, latency) = (Kv::counted(16, 100), Constant { seconds: 0.01 });
        let mut instance =
            Instance::new(0, Role::Decode, kv, Box::new(scheduler), Box::new(latency));
        // Two run at most: with both assigned there is no place, with one of the two still on its way there is.
        instance.requests = 2;
        assert!(!instance.takes_in());
        instance.incoming.push_back((1, 0));
        assert!(instance.takes_in());
        instance.role = Role::Aggregated;
        instance.requests = 5;
        assert!(instance.takes_in());
        // One of two places is taken, by a request that waits without a block.
        instance.role = Role::Decode;
        instance.requests = 1;
        instance.incoming.clear();
        assert!(instance.takes_in());
        let mut in_flight = InFlightRequests::default();
        let id = in_flight.add();
        in_flight[id].prompt = 8;
        in_flight[id].output = 2;
        instance.enqueue(Nanos::ZERO, id, &mut in_flight);
        assert!(!instance.takes_in());
    }
}
