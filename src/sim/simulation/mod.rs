//! The event loop: arrivals, routing, steps, transfers and the completion of requests.

mod fleet;
mod requests;
mod routing;
mod transfers;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::cache::RunCursor;
use crate::sim::cluster::{Cluster, Pacing};
use crate::sim::controller::{ClusterView, ControlWindow, Controller, ScalingAction};
use crate::sim::event_queue::{EventQueue, Key};
use crate::sim::in_flight::{InFlightId, InFlightRequests, ServedPhases};
use crate::sim::instance::{Instance, Role, State, TokenEvent};
use crate::sim::record::{NOWHERE, Outcome, Records, RequestRecord, StateChange, StepRecord};
use crate::sim::router::{Stage, View, serves};
use crate::sim::transfer::{Flow, Links};
use crate::sim::workload::{Item, Workload};
use crate::trace::Nanos;

#[derive(Debug, Clone, Copy)]
enum Event {
    StepEnd(u32),
    Ready(u32),
    Transfers,
    Resize(usize),
    Tick,
}

/// Give up after this many consecutive ticks without any other event: the controller will not act.
const MOST_IDLE_TICKS: u32 = 1_000;

/// One simulation of a cluster and a workload.
#[derive(Debug)]
pub struct Simulation<'a> {
    workload: &'a Workload<'a>,
    cluster: Cluster<'a>,
    runs: Option<RunCursor<'a>>,
    now: Nanos,
    queue: EventQueue<Event>,
    in_flight: InFlightRequests,
    instances: Vec<Instance>,
    links: Links,
    links_event: Option<(Nanos, Key)>,
    /// Requests that are not yet assigned to an instance for prefill.
    pending_prefill: VecDeque<InFlightId>,
    /// Requests whose prompt is computed, with the instance that computed it, that are not yet assigned to an instance for
    /// decode.
    pending_decode: VecDeque<(InFlightId, u32)>,
    /// For each session: its running request, and the turns that wait for that request.
    sessions: Vec<Turns>,
    records: Vec<RequestRecord>,
    gaps: Histogram<u64>,
    moved_bytes: f64,
    steps: Vec<StepRecord>,
    window: ControlWindow,
    /// Number of consecutive ticks without any other event.
    idle_ticks: u32,
    /// Number of ticks so far.
    ticks: u64,
    state_changes: Vec<StateChange>,
    /// Instances whose state changed at the current time.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    candidates: Vec<u32>,
    done: Vec<InFlightId>,
    flows: Vec<Flow>,
    /// Counter of requests that have left the cluster, for a progress display.
    progress: Option<&'a AtomicU64>,
    /// Controller that changes the cluster's size during the run.
    controller: Option<&'a mut dyn Controller>,
}

#[derive(Debug, Default)]
struct Turns {
    running: u32,
    waiting: VecDeque<InFlightId>,
}

impl<'a> Simulation<'a> {
    /// Sets up the state at time 0.
    pub fn new(workload: &'a Workload<'a>, cluster: Cluster<'a>) -> Self {
        let sessions = match cluster.pacing {
            Pacing::Open => 0,
            Pacing::Wait => workload.sessions() as usize,
        };
        let record = |item: &Item| RequestRecord {
            arrival: item.arrival,
            prompt: item.prompt,
            output: item.output,
            prefill_instance: NOWHERE,
            decode_instance: NOWHERE,
            ..RequestRecord::default()
        };
        let mut simulation = Self {
            workload,
            runs: workload.blocks().map(|blocks| blocks.cursor()),
            now: Nanos::ZERO,
            queue: EventQueue::default(),
            in_flight: InFlightRequests::default(),
            instances: Vec::new(),
            links: Links::new(&cluster.transfer),
            links_event: None,
            pending_prefill: VecDeque::new(),
            pending_decode: VecDeque::new(),
            sessions: std::iter::repeat_with(Turns::default)
                .take(sessions)
                .collect(),
            records: workload.items().iter().map(record).collect(),
            // Histogram range of up to one day, with three significant digits.
            gaps: new_histogram(),
            moved_bytes: 0.0,
            steps: Vec::new(),
            window: ControlWindow::default(),
            idle_ticks: 0,
            ticks: 0,
            state_changes: Vec::new(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            candidates: Vec::new(),
            done: Vec::new(),
            flows: Vec::new(),
            progress: None,
            controller: None,
            cluster,
        };
        for pool in 0..simulation.cluster.pools.len() {
            for index in 0..simulation.cluster.pools[pool].instances as usize {
                let instance = simulation.create(pool as u32);
                let site = simulation.cluster.pools[pool].sites.get(index).copied();
                simulation.instances[instance as usize].site = site.unwrap_or(0);
                simulation.set_state(instance, State::Ready);
            }
        }
        simulation
    }

    /// Sets a counter that is incremented for each request that leaves the cluster.
    #[must_use]
    pub fn watched(mut self, progress: &'a AtomicU64) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Sets a controller that changes the cluster's size during the run.
    #[must_use]
    pub fn controlled(mut self, controller: &'a mut dyn Controller) -> Self {
        self.controller = Some(controller);
        self
    }

    /// Runs until no event remains, or until the end time.
    pub fn run(mut self) -> Records {
        if let Some(controller) = &self.controller {
            self.queue.push(controller.interval(), Event::Tick);
        }
        for (index, resize) in self.cluster.resizes.iter().enumerate() {
            self.queue.push(resize.at, Event::Resize(index));
        }
        let mut next = 0;
        let items = self.workload.items();
        loop {
            let arrival = items.get(next).map(|item| item.arrival);
            let event = self.queue.peek();
            let time = match (arrival, event) {
                (Some(a), Some(e)) => a.min(e),
                (Some(time), None) | (None, Some(time)) => time,
                (None, None) => break,
            };
            if let Some(end) = self.cluster.end
                && time > end
            {
                self.now = end;
                return self.close(Outcome::EndOfTime);
            }
            if time > Nanos::LAST {
                self.now = time;
                return self.close(Outcome::EndOfTime);
            }
            // Stops if the only remaining events are resizes, or ticks that change nothing.
            if arrival.is_none() && (self.in_flight.is_empty() || self.idle_ticks > MOST_IDLE_TICKS)
            {
                break;
            }
            self.now = time;
            while next < items.len() && items[next].arrival == time {
                self.arrive(next as u32);
                next += 1;
            }
            while self.queue.peek() == Some(time) {
                if let Some((_, event)) = self.queue.pop() {
                    self.happen(event);
                }
            }
            self.settle();
            if self.controller.as_ref().is_some_and(|c| c.has_failed()) {
                return self.close(Outcome::EndOfTime);
            }
        }
        // No event remains: no instance could serve the remaining requests.
        self.close(Outcome::NoInstance)
    }

    fn touch(&mut self, instance: u32) {
        if !std::mem::replace(&mut self.is_touched[instance as usize], true) {
            self.touched.push(instance);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::StepEnd(instance) => self.step_ended(instance),
            Event::Ready(number) => {
                let instance = &mut self.instances[number as usize];
                if instance.state == State::Starting {
                    instance.record.ready = self.now;
                    self.set_state(number, State::Ready);
                    self.control(Some(number));
                }
            }
            Event::Tick => self.tick(),
            Event::Transfers => {
                self.links_event = None;
                self.transfers_ended();
            }
            Event::Resize(index) => self.resize(index),
        }
    }

    /// Routes waiting requests and starts the next step of idle instances, after all events of one time.
    fn settle(&mut self) {
        while let Some(id) = self.pending_prefill.front().copied() {
            if !self.route(id) {
                break;
            }
            self.pending_prefill.pop_front();
        }
        while let Some((id, from)) = self.pending_decode.front().copied() {
            if !self.route_decode(id, from) {
                break;
            }
            self.pending_decode.pop_front();
        }
        let mut index = 0;
        while index < self.touched.len() {
            let number = self.touched[index];
            index += 1;
            self.is_touched[number as usize] = false;
            self.take_in(number);
            let instance = &mut self.instances[number as usize];
            if !instance.is_stepping()
                && let Some(end) = instance.begin(self.now, &mut self.in_flight)
            {
                if self.cluster.log_steps {
                    instance.logged = self.steps.len();
                    self.steps.push(instance.describe(end));
                }
                self.queue.push(end, Event::StepEnd(number));
            }
        }
        self.touched.clear();
        self.watch_links();
    }

    fn close(mut self, outcome: Outcome) -> Records {
        debug_assert!(
            !self.in_flight.is_empty()
                || self.instances.iter().all(|i| i.kv.free() == i.kv.total()),
            "all requests have left, but blocks are still held"
        );
        let left: Vec<InFlightId> = self.in_flight.in_use().collect();
        for id in left {
            // A turn that waits for the previous turn would have arrived after the end.
            if outcome != Outcome::EndOfTime || !self.in_flight[id].held_back {
                self.write(id, outcome);
            }
        }
        let mut steps = 0;
        let mut instances = Vec::new();
        for instance in &mut self.instances {
            steps += instance.record().steps;
            instances.push(instance.close(self.now));
        }
        Records {
            requests: self.records,
            instances,
            token_gaps: self.gaps,
            end: self.now,
            moved_bytes: self.moved_bytes as u64,
            steps,
            step_log: self.steps,
            state_changes: self.state_changes,
        }
    }
}

fn new_histogram() -> Histogram<u64> {
    // The bounds are constants in the range that the crate accepts.
    Histogram::new_with_bounds(1, 86_400_000_000_000, 3).unwrap_or_else(|_| unreachable!())
}
