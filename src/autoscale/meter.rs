//! Computes [`Signals`] over a sliding window from the states of the cluster.

use std::collections::VecDeque;

use super::signals::{Fleet, FleetKind, Member, Sample, Signals};
use crate::sim::{ClusterView, ControlWindow, Instance, ServedPhases, State};
use crate::trace::Nanos;

/// Measurements of one control interval.
#[derive(Debug, Default)]
struct Slice {
    seconds: f64,
    window: ControlWindow,
    begun_tokens: u64,
    cached_tokens: u64,
    /// By [`FleetKind`].
    fleets: [FleetSlice; 4],
}

#[derive(Debug, Default, Clone, Copy)]
struct FleetSlice {
    busy: f64,
    life: f64,
    prefill_tokens: u64,
    output_tokens: u64,
}

/// Counters of an instance at the end of the last control interval.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    busy: Nanos,
    prefill_tokens: u64,
    output_tokens: u64,
    begun_tokens: u64,
    cached_tokens: u64,
}

/// Keeps the control intervals of the window.
#[derive(Debug)]
pub(super) struct Meter {
    window: Nanos,
    last: Nanos,
    seen: Vec<Seen>,
    slices: VecDeque<(Nanos, Slice)>,
}

impl Meter {
    /// A meter with a window of this length; the last control interval is always included.
    pub(super) fn new(window: Nanos) -> Self {
        Self {
            window,
            last: Nanos::ZERO,
            seen: Vec::new(),
            slices: VecDeque::new(),
        }
    }

    /// Ends a control interval and computes the signals.
    pub(super) fn look(&mut self, view: &ClusterView<'_, '_>) -> Signals {
        let slice = self.slice(view);
        self.slices.push_back((view.now, slice));
        self.last = view.now;
        while let Some((end, slice)) = self.slices.front()
            && self.slices.len() > 1
            && view.now.as_secs_f64() - end.as_secs_f64() + slice.seconds
                > self.window.as_secs_f64() + 1e-9
        {
            self.slices.pop_front();
        }
        self.signals(view)
    }

    fn slice(&mut self, view: &ClusterView<'_, '_>) -> Slice {
        self.seen.resize(view.instances.len(), Seen::default());
        let mut slice = Slice {
            seconds: (view.now - self.last).as_secs_f64(),
            window: view.window.clone(),
            ..Slice::default()
        };
        for (instance, seen) in view.instances.iter().zip(&mut self.seen) {
            let record = instance.record();
            if instance.state == State::Gone && instance.busy(view.now) == seen.busy {
                continue;
            }
            let now = Seen {
                busy: instance.busy(view.now),
                prefill_tokens: record.prefill_tokens,
                output_tokens: record.output_tokens,
                begun_tokens: instance.begun_tokens,
                cached_tokens: record.cached_tokens,
            };
            slice.begun_tokens += now.begun_tokens - seen.begun_tokens;
            slice.cached_tokens += now.cached_tokens - seen.cached_tokens;
            let fleet = &mut slice.fleets[FleetKind::from(instance.role) as usize];
            fleet.prefill_tokens += now.prefill_tokens - seen.prefill_tokens;
            fleet.output_tokens += now.output_tokens - seen.output_tokens;
            // Draining and parked instances get no new requests: they would make the ready ones seem idle.
            if instance.state == State::Ready {
                fleet.busy += (now.busy - seen.busy).as_secs_f64();
                fleet.life += (view.now - record.ready.max(self.last)).as_secs_f64();
            }
            *seen = now;
        }
        slice
    }

    fn signals(&self, view: &ClusterView<'_, '_>) -> Signals {
        let mut all = Slice::default();
        let mut gaps = (0, 0);
        for (_, slice) in &self.slices {
            all.seconds += slice.seconds;
            let (sum, one) = (&mut all.window, &slice.window);
            sum.arrived += one.arrived;
            sum.arrived_prompt_tokens += one.arrived_prompt_tokens;
            sum.completed += one.completed;
            sum.completed_output_tokens += one.completed_output_tokens;
            sum.ttft.extend_from_slice(&one.ttft);
            sum.tbt.extend_from_slice(&one.tbt);
            sum.e2e.extend_from_slice(&one.e2e);
            gaps = (
                gaps.0 + one.gaps,
                u64::saturating_add(gaps.1, one.gap_nanos),
            );
            all.begun_tokens += slice.begun_tokens;
            all.cached_tokens += slice.cached_tokens;
            for (sum, one) in all.fleets.iter_mut().zip(&slice.fleets) {
                sum.busy += one.busy;
                sum.life += one.life;
                sum.prefill_tokens += one.prefill_tokens;
                sum.output_tokens += one.output_tokens;
            }
        }
        let per_second = |count: u64| per(count as f64, all.seconds);
        let mut fleets = fleets(view);
        for fleet in &mut fleets {
            let slice = &all.fleets[fleet.kind as usize];
            fleet.busy = per(slice.busy, slice.life);
            fleet.prefill_tps = per_second(slice.prefill_tokens);
            fleet.output_tps = per_second(slice.output_tokens);
        }
        let queues = Queues::of(view);
        for fleet in &mut fleets {
            queues.add_to(fleet);
        }
        let window = all.window;
        Signals {
            time: view.now.as_secs_f64(),
            window: all.seconds,
            arrival_rate: per_second(window.arrived),
            completed: window.completed,
            arrived_prompt_tps: per_second(window.arrived_prompt_tokens),
            cache_missed_tps: per_second(all.begun_tokens.saturating_sub(all.cached_tokens)),
            hit_ratio: per(all.cached_tokens as f64, all.begun_tokens as f64),
            prefill_tps: fleets.iter().map(|fleet| fleet.prefill_tps).sum(),
            decode_tps: fleets.iter().map(|fleet| fleet.output_tps).sum(),
            completed_output_tps: per_second(window.completed_output_tokens),
            isl: per(window.arrived_prompt_tokens as f64, window.arrived as f64),
            osl: per(
                window.completed_output_tokens as f64,
                window.completed as f64,
            ),
            ttft: Sample::new(window.ttft),
            tbt: Sample::new(window.tbt),
            itl: per(gaps.1 as f64 / 1e9, gaps.0 as f64),
            e2e: Sample::new(window.e2e),
            waiting: queues.waiting,
            oldest_wait: queues.oldest.as_secs_f64(),
            in_flight: view.in_flight.arrived().count() as u32,
            fleets,
        }
    }
}

fn per(value: f64, of: f64) -> f64 {
    if of > 0.0 { value / of } else { 0.0 }
}

/// The present instances, by fleet.
fn fleets(view: &ClusterView<'_, '_>) -> Vec<Fleet> {
    let mut kinds: Vec<FleetKind> = view.pools.iter().map(|pool| pool.role.into()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let one = |kind: &FleetKind| {
        let mut fleet = Fleet::none(*kind);
        let there = view.instances.iter().enumerate();
        for (number, instance) in there.filter(|(_, i)| FleetKind::from(i.role) == *kind) {
            match instance.state {
                State::Starting => fleet.starting += 1,
                State::Parked => fleet.parked += 1,
                State::Draining => fleet.draining += 1,
                State::Gone => continue,
                State::Ready => fleet.members.push(member(number as u32, instance)),
            }
            fleet.waiting += waiting(instance);
            fleet.running += instance.running() as u32;
            fleet.requests += instance.requests;
            if kind.prefills() {
                fleet.queue_tokens += instance.backlog;
            }
        }
        fleet.ready = fleet.members.len() as u32;
        let usage: f64 = fleet.members.iter().map(|member| member.kv_usage).sum();
        fleet.kv_usage = per(usage, f64::from(fleet.ready));
        fleet
    };
    kinds.iter().map(one).collect()
}

fn waiting(instance: &Instance) -> u32 {
    (instance.waiting() + instance.incoming()) as u32
}

fn member(number: u32, instance: &Instance) -> Member {
    Member {
        instance: number,
        kv_usage: instance.kv.usage(),
        waiting: waiting(instance),
        running: instance.running() as u32,
        requests: instance.requests,
    }
}

/// Requests that wait in the cluster's own queues.
#[derive(Debug, Default)]
struct Queues {
    waiting: u32,
    oldest: Nanos,
    pending_prefill: (u32, u64),
    pending_decode: u32,
    unmoved_tokens: u64,
}

impl Queues {
    fn of(view: &ClusterView<'_, '_>) -> Self {
        let mut queues = Self {
            pending_decode: view.pending_decode as u32,
            ..Self::default()
        };
        for id in view.in_flight.arrived() {
            let request_state = &view.in_flight[id];
            if request_state.scheduled.is_none() {
                queues.waiting += 1;
                queues.oldest = queues.oldest.max(view.now - request_state.arrival);
            } else if request_state.work == ServedPhases::PrefillOnly && request_state.is_done() {
                queues.unmoved_tokens += u64::from(request_state.tokens());
            }
        }
        for id in view.pending_prefill {
            queues.pending_prefill.0 += 1;
            queues.pending_prefill.1 += u64::from(view.in_flight[*id].gap());
        }
        queues
    }

    /// Adds the requests in the cluster's own queues to the fleet that they need.
    fn add_to(&self, fleet: &mut Fleet) {
        match fleet.kind {
            FleetKind::Prefill | FleetKind::Aggregated => {
                fleet.waiting += self.pending_prefill.0;
                fleet.queue_tokens += self.pending_prefill.1;
            }
            FleetKind::Decode => {
                fleet.waiting += self.pending_decode;
                fleet.queue_tokens += self.unmoved_tokens;
            }
            FleetKind::Mixed => {}
        }
    }
}
