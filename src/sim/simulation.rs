//! The event loop: arrivals, routing, steps, transfers, and the end of each request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::cluster::{Cluster, Pacing};
use super::controller::{ClusterView, ControlWindow, Controller, ScalingAction};
use super::instance::{Instance, Role, State, TokenEvent};
use super::record::{NOWHERE, Outcome, Records, RequestRecord, StateChange, StepRecord};
use super::router::{Stage, View, serves};
use super::transfer::{Flow, Links};
use super::workload::{Item, Workload};
use crate::cache::RunCursor;
use crate::sim::event_queue::{EventQueue, Key};
use crate::sim::in_flight::{InFlightId, InFlightRequests, ServedPhases};
use crate::trace::Nanos;

#[derive(Debug, Clone, Copy)]
enum Event {
    StepEnd(u32),
    Ready(u32),
    Transfers,
    Resize(usize),
    Tick,
}

/// So many ticks at which nothing else was left to happen, and nobody has been helped: then nobody will be.
const MOST_IDLE_TICKS: u32 = 1_000;

/// One run of a cluster over a workload.
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
    /// Requests that no instance has taken yet.
    pending_prefill: VecDeque<InFlightId>,
    /// Requests whose prompt is computed, and where, that no instance has taken yet.
    pending_decode: VecDeque<(InFlightId, u32)>,
    /// Per session: the request that runs, and turns that wait for it.
    sessions: Vec<Turns>,
    records: Vec<RequestRecord>,
    gaps: Histogram<u64>,
    moved_bytes: f64,
    steps: Vec<StepRecord>,
    window: ControlWindow,
    /// Ticks in a row at which nothing but ticks was left to happen.
    idle_ticks: u32,
    state_changes: Vec<StateChange>,
    /// Instances at which something changed now.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    candidates: Vec<u32>,
    done: Vec<InFlightId>,
    flows: Vec<Flow>,
    /// Counts requests that have left, for whoever watches.
    progress: Option<&'a AtomicU64>,
    /// Changes the cluster's size while it runs.
    controller: Option<&'a mut dyn Controller>,
}

#[derive(Debug, Default)]
struct Turns {
    running: u32,
    waiting: VecDeque<InFlightId>,
}

impl<'a> Simulation<'a> {
    /// Everything in place at time 0.
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
            // Up to a day, to three digits.
            gaps: new_histogram(),
            moved_bytes: 0.0,
            steps: Vec::new(),
            window: ControlWindow::default(),
            idle_ticks: 0,
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

    /// Adds one to a counter for each request that leaves.
    #[must_use]
    pub fn watched(mut self, progress: &'a AtomicU64) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Lets a controller change the cluster's size while it runs.
    #[must_use]
    pub fn controlled(mut self, controller: &'a mut dyn Controller) -> Self {
        self.controller = Some(controller);
        self
    }

    /// Runs to the end: until nothing is left to happen, or the time is over.
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
            // Where only changes of size are left, nobody is there to see them; nor where ticks alone go on and help nobody.
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
        }
        // Nothing will happen any more: whoever is left found no instance.
        self.close(Outcome::NoInstance)
    }

    fn set_state(&mut self, instance: u32, state: State) {
        self.instances[instance as usize].state = state;
        self.state_changes.push(StateChange {
            time: self.now,
            instance,
            state,
        });
    }

    /// An instance of a pool is made; it cannot serve yet.
    fn create(&mut self, pool: u32) -> u32 {
        let number = self.instances.len() as u32;
        let kind = &self.cluster.pools[pool as usize];
        let parts = (kind.make)(number);
        let mut instance = Instance::new(pool, kind.role, parts.kv, parts.scheduler, parts.latency);
        instance.record.pool.clone_from(&kind.name);
        instance.record.role = kind.role;
        instance.record.instance = number;
        instance.record.created = self.now;
        instance.record.ready = self.now;
        self.instances.push(instance);
        self.is_touched.push(false);
        number
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

    fn tick(&mut self) {
        self.control(None);
        self.window.clear();
        let alone = self.queue.peek().is_none();
        self.idle_ticks = if alone { self.idle_ticks + 1 } else { 0 };
        if let Some(controller) = &self.controller {
            let next = self.now + controller.interval();
            self.queue.push(next, Event::Tick);
        }
    }

    /// The controller looks at the cluster, or at an instance that has started, and its actions are carried out.
    fn control(&mut self, started: Option<u32>) {
        let Some(controller) = self.controller.take() else {
            return;
        };
        let view = ClusterView {
            now: self.now,
            pools: &self.cluster.pools,
            instances: &self.instances,
            in_flight: &self.in_flight,
            window: &self.window,
            pending_prefill: &self.pending_prefill,
            pending_decode: self.pending_decode.len(),
        };
        let actions = match started {
            None => controller.tick(&view),
            Some(number) => controller.ready(&view, number),
        };
        self.controller = Some(controller);
        for action in actions {
            self.apply(action);
        }
    }

    fn apply(&mut self, action: ScalingAction) {
        let state = |number: u32| self.instances[number as usize].state;
        match action {
            ScalingAction::Start { pool, site } => {
                let number = self.start_instance(pool);
                self.instances[number as usize].site = site;
            }
            ScalingAction::Drain(number)
                if matches!(state(number), State::Ready | State::Parked) =>
            {
                self.drain(number);
            }
            ScalingAction::Drain(number) if state(number) == State::Starting => {
                let record = &mut self.instances[number as usize].record;
                record.ready = self.now;
                record.gone = self.now;
                self.set_state(number, State::Gone);
            }
            ScalingAction::Park(number) if state(number) == State::Ready => {
                self.set_state(number, State::Parked);
            }
            ScalingAction::Reinstate(number) if state(number) == State::Parked => {
                self.set_state(number, State::Ready);
            }
            // It is too late for it.
            ScalingAction::Drain(_) | ScalingAction::Park(_) | ScalingAction::Reinstate(_) => {}
        }
    }

    /// After all that happens at one time: what waits is sent on, and idle instances begin their next step.
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

    fn arrive(&mut self, request: u32) {
        let item = &self.workload.items()[request as usize];
        let id = self.in_flight.add();
        let request_state = &mut self.in_flight[id];
        let mut blocks = std::mem::take(&mut request_state.blocks);
        blocks.clear();
        let mut prompt_blocks = 0;
        if let (Some(cursor), Some(trace)) = (&mut self.runs, self.workload.blocks())
            && let Some(run) = cursor.next_run()
        {
            // A partial last block has an id in some traces; engines find whole blocks only.
            prompt_blocks = item.prompt / trace.block_size();
            let whole = if trace.partial_tail() {
                &run.all[..run.all.len().min(prompt_blocks as usize)]
            } else {
                run.all
            };
            blocks.extend_from_slice(whole);
        }
        *request_state = super::InFlightRequest {
            request,
            session: item.session,
            arrival: self.now,
            prompt: item.prompt,
            output: item.output,
            blocks,
            prompt_blocks,
            ..super::InFlightRequest::default()
        };
        if let Some(turns) = self.sessions.get_mut(item.session as usize) {
            if turns.running > 0 {
                turns.waiting.push_back(id);
                self.in_flight[id].held_back = true;
                return;
            }
            turns.running += 1;
        }
        self.enter(id);
    }

    /// A request arrives now: it is counted, and waits for an instance.
    fn enter(&mut self, id: InFlightId) {
        let request_state = &mut self.in_flight[id];
        request_state.held_back = false;
        request_state.arrival = self.now;
        self.window.arrived += 1;
        self.window.arrived_prompt_tokens += u64::from(request_state.prompt);
        let record = &mut self.records[request_state.request as usize];
        record.outcome = Outcome::EndOfTime;
        record.arrival = self.now;
        self.pending_prefill.push_back(id);
    }

    /// Finds an instance for a request that came; `false` leaves it where it is.
    fn route(&mut self, id: InFlightId) -> bool {
        let need = self.in_flight[id].prompt;
        let all = self.in_flight[id].prompt + self.in_flight[id].output - 1;
        let borrows = self.cluster.prompt_router.borrows_decode();
        let wanted = |instance: &Instance| {
            let tokens = if instance.role == Role::Prefill {
                need
            } else {
                all
            };
            instance.kv.blocks_for(tokens) <= instance.kv.total()
        };
        let serves_prompt = |instance: &Instance| {
            serves(instance, Stage::Prompt) || (borrows && serves(instance, Stage::Output))
        };
        let fits = |instance: &Instance| serves_prompt(instance) && wanted(instance);
        collect(&mut self.candidates, &self.instances, fits);
        if self.candidates.is_empty() {
            let could = |instance: &Instance| {
                instance.role != Role::Decode && instance.state != State::Gone
            };
            let mut there = self.instances.iter().filter(|instance| could(instance));
            let Some(first) = there.next() else {
                return false;
            };
            if wanted(first) || there.any(wanted) {
                return false;
            }
            self.leave(id, Outcome::TooLarge);
            return true;
        }
        let view = View {
            instances: &self.instances,
            candidates: &self.candidates,
        };
        let Some(chosen) = self
            .cluster
            .prompt_router
            .choose(&self.in_flight[id], &view)
        else {
            return false;
        };
        let request_state = &mut self.in_flight[id];
        let instance = &mut self.instances[chosen as usize];
        request_state.work = match instance.role {
            Role::Prefill if request_state.output > 1 => ServedPhases::PrefillOnly,
            _ => ServedPhases::PrefillAndDecode,
        };
        if request_state.work == ServedPhases::PrefillOnly && !self.output_fits(id) {
            self.leave(id, Outcome::TooLarge);
            return true;
        }
        let record = &mut self.records[self.in_flight[id].request as usize];
        record.prefill_instance = chosen;
        record.decode_instance = chosen;
        let instance = &mut self.instances[chosen as usize];
        instance.requests += 1;
        instance.enqueue(self.now, id, &mut self.in_flight);
        self.touch(chosen);
        true
    }

    /// Whether any instance for outputs has the memory that a request will need.
    fn output_fits(&self, id: InFlightId) -> bool {
        let request_state = &self.in_flight[id];
        let tokens = request_state.prompt + request_state.output - 1;
        let mut decode = self
            .instances
            .iter()
            .filter(|instance| matches!(instance.role, Role::Decode | Role::Mixed))
            .peekable();
        decode.peek().is_none()
            || decode.any(|instance| instance.kv.blocks_for(tokens) <= instance.kv.total())
    }

    /// Finds an instance for the output of a request whose prompt is computed.
    fn route_decode(&mut self, id: InFlightId, from: u32) -> bool {
        let tokens = self.in_flight[id].prompt + self.in_flight[id].output - 1;
        let fits = |instance: &Instance| {
            serves(instance, Stage::Output) && instance.kv.blocks_for(tokens) <= instance.kv.total()
        };
        collect(&mut self.candidates, &self.instances, fits);
        if self.candidates.is_empty() {
            return false;
        }
        self.keep_same_group(from);
        let view = View {
            instances: &self.instances,
            candidates: &self.candidates,
        };
        let Some(chosen) = self
            .cluster
            .output_router
            .choose(&self.in_flight[id], &view)
        else {
            return false;
        };
        let instance = &mut self.instances[chosen as usize];
        instance.requests += 1;
        instance.incoming.push_back((id, from));
        self.records[self.in_flight[id].request as usize].decode_instance = chosen;
        self.touch(chosen);
        true
    }

    /// Outputs stay in the deployment group where their prompt was computed, if anybody there serves them.
    fn keep_same_group(&mut self, from: u32) {
        let topology = &self.cluster.topology;
        if topology.site.is_empty() {
            return;
        }
        let here = self.instances[from as usize].site;
        let near = |number: &u32| topology.together(here, self.instances[*number as usize].site);
        if self.candidates.iter().any(near) {
            self.candidates.retain(near);
        }
    }

    /// An instance takes in what has come to it and fits: its KV begins to move.
    fn take_in(&mut self, number: u32) {
        while let Some((id, from)) = self.instances[number as usize].incoming.front().copied() {
            let instance = &mut self.instances[number as usize];
            if !instance.takes_in() {
                break;
            }
            let request_state = &self.in_flight[id];
            let size = instance.kv.block_size();
            let here = instance
                .kv
                .resident(&request_state.blocks, request_state.prompt / size)
                * size;
            // Room for the token that is computed next, too.
            if !instance
                .kv
                .admit(id, request_state, here, request_state.prompt + 1, 0)
            {
                break;
            }
            instance.incoming.pop_front();
            instance.note_usage(self.now);
            let moved = request_state.prompt - here;
            let record = &mut self.records[request_state.request as usize];
            record.transfer_start = self.now;
            record.transferred_tokens = moved;
            let mut bytes = f64::from(moved) * self.cluster.kv_bytes_per_token;
            self.moved_bytes += bytes;
            if self.cluster.transfer.layerwise {
                let computing = request_state.first_token.unwrap_or(self.now)
                    - request_state.scheduled.unwrap_or(self.now);
                let sent = computing.as_secs_f64() * self.cluster.transfer.gb_per_second * 1e9;
                let last = bytes / f64::from(self.cluster.layers.max(1));
                bytes = (bytes - sent).max(last);
            }
            if moved == 0 || from == number {
                self.arrived(id, from, number);
            } else {
                let site = |number: u32| self.instances[number as usize].site;
                let part = self.cluster.topology.bandwidth(site(from), site(number));
                self.links.start(self.now, id, (from, number), bytes, part);
            }
        }
    }

    fn transfers_ended(&mut self) {
        let mut flows = std::mem::take(&mut self.flows);
        self.links.finish(self.now, &mut flows);
        for flow in flows.drain(..) {
            self.arrived(flow.id, flow.from, flow.to);
        }
        self.flows = flows;
    }

    /// A request's KV is where its output will be.
    fn arrived(&mut self, id: InFlightId, from: u32, to: u32) {
        let source = &mut self.instances[from as usize];
        source.kv.release(id);
        source.note_usage(self.now);
        source.requests -= 1;
        let request_state = &mut self.in_flight[id];
        request_state.work = ServedPhases::PrefillAndDecode;
        self.records[request_state.request as usize].transfer_end = self.now;
        let prompt = request_state.prompt;
        let target = &mut self.instances[to as usize];
        target.kv.fill(id, &self.in_flight[id], prompt);
        target.enqueue(self.now, id, &mut self.in_flight);
        self.touch(from);
        self.touch(to);
        self.retire_if_drained(from);
    }

    /// The one event of the links is when something changes there next.
    fn watch_links(&mut self) {
        let next = self.links.next();
        if self.links_event.map(|(time, _)| time) == next {
            return;
        }
        if let Some((_, key)) = self.links_event.take() {
            self.queue.cancel(key);
        }
        if let Some(time) = next {
            let time = time.max(self.now);
            self.links_event = Some((time, self.queue.push(time, Event::Transfers)));
        }
    }

    fn step_ended(&mut self, number: u32) {
        let mut done = std::mem::take(&mut self.done);
        let instance = &mut self.instances[number as usize];
        let (gaps, window) = (&mut self.gaps, &mut self.window);
        let watched = self.controller.is_some();
        instance.finish(
            self.now,
            &mut self.in_flight,
            &mut done,
            |heard| match heard {
                TokenEvent::First(time) if watched => window.ttft.push(time.as_secs_f64()),
                TokenEvent::First(_) => {}
                TokenEvent::Gap(gap) => {
                    gaps.saturating_record(gap.0);
                    window.gaps += 1;
                    window.gap_nanos += gap.0;
                }
            },
        );
        for id in done.drain(..) {
            if self.in_flight[id].generated >= self.in_flight[id].output {
                self.complete(id, number);
            } else {
                self.pending_decode.push_back((id, number));
            }
        }
        self.done = done;
        if self.cluster.log_steps {
            let instance = &self.instances[number as usize];
            self.steps[instance.logged].usage_after = instance.kv.usage();
        }
        self.touch(number);
        self.retire_if_drained(number);
    }

    /// A request has all its tokens.
    fn complete(&mut self, id: InFlightId, number: u32) {
        let instance = &mut self.instances[number as usize];
        instance.kv.release(id);
        instance.note_usage(self.now);
        instance.requests -= 1;
        if self.cluster.write_back {
            let request_state = &self.in_flight[id];
            let home = self.records[request_state.request as usize].prefill_instance;
            if home != number && request_state.blocks.len() as u32 > request_state.prompt_blocks {
                let home = &mut self.instances[home as usize];
                if home.state == State::Ready {
                    let added = home.kv.insert(&request_state.blocks);
                    let tokens = f64::from(added * home.kv.block_size());
                    self.moved_bytes += tokens * self.cluster.kv_bytes_per_token;
                }
            }
        }
        self.leave(id, Outcome::Finished);
    }

    /// A request that ended is told to whoever controls the cluster.
    fn count(&mut self, record: &RequestRecord) {
        let window = &mut self.window;
        window.completed += 1;
        window.completed_prompt_tokens += u64::from(record.prompt);
        window.completed_output_tokens += u64::from(record.output);
        window.e2e.extend(record.e2e());
        window.tbt.extend(record.tbt());
    }

    /// A request leaves the cluster; the next turn of its session may come.
    fn leave(&mut self, id: InFlightId, outcome: Outcome) {
        self.write(id, outcome);
        if outcome == Outcome::Finished && self.controller.is_some() {
            let record = self.records[self.in_flight[id].request as usize];
            self.count(&record);
        }
        if let Some(progress) = self.progress {
            progress.fetch_add(1, Ordering::Relaxed);
        }
        let session = self.in_flight[id].session;
        self.in_flight.remove(id);
        if let Some(turns) = self.sessions.get_mut(session as usize) {
            turns.running -= 1;
            if let Some(next) = turns.waiting.pop_front() {
                turns.running += 1;
                self.enter(next);
            }
        }
    }

    fn write(&mut self, id: InFlightId, outcome: Outcome) {
        let request_state = &self.in_flight[id];
        let record = &mut self.records[request_state.request as usize];
        record.outcome = outcome;
        record.ended = self.now;
        record.scheduled = request_state.scheduled;
        record.first_token = request_state.first_token;
        // After a restart, part of the output is prompt: what is missing stays the same.
        let missing = request_state.output.saturating_sub(request_state.generated);
        record.generated = record.output.saturating_sub(missing);
        record.last_prompt = request_state.prompt;
        record.cached = request_state.cached;
        record.preemptions = request_state.preemptions;
        record.longest_gap = request_state.longest_gap;
        record.executed = request_state.executed;
        record.stalled = request_state.stalled;
    }

    fn resize(&mut self, index: usize) {
        let resize = self.cluster.resizes[index];
        let in_pool = |instance: &Instance| {
            instance.pool == resize.pool && matches!(instance.state, State::Starting | State::Ready)
        };
        let there: Vec<u32> = (0..self.instances.len() as u32)
            .filter(|number| in_pool(&self.instances[*number as usize]))
            .collect();
        let wanted = resize.instances as usize;
        for _ in there.len()..wanted {
            self.start_instance(resize.pool);
        }
        // The youngest go first.
        for number in there.iter().skip(wanted).rev() {
            self.apply(ScalingAction::Drain(*number));
        }
    }

    /// Asks for an instance of a pool; it serves once it has started.
    fn start_instance(&mut self, pool: u32) -> u32 {
        let number = self.create(pool);
        self.set_state(number, State::Starting);
        let startup = self.cluster.pools[pool as usize].startup;
        self.queue.push(self.now + startup, Event::Ready(number));
        number
    }

    /// An instance takes no new work; what waits without memory is sent elsewhere, the rest it finishes.
    fn drain(&mut self, number: u32) {
        self.set_state(number, State::Draining);
        let instance = &mut self.instances[number as usize];
        instance.record.draining = Some(self.now);
        let waiting = instance.scheduler.give_up_waiting(&instance.kv);
        instance.requests -= waiting.len() as u32;
        for id in &waiting {
            let request_state = &self.in_flight[*id];
            instance.backlog -= u64::from(request_state.backlog());
        }
        let incoming: Vec<_> = instance.incoming.drain(..).collect();
        instance.requests -= incoming.len() as u32;
        for id in waiting.into_iter().rev() {
            self.pending_prefill.push_front(id);
        }
        self.pending_decode.extend(incoming);
        self.retire_if_drained(number);
    }

    fn retire_if_drained(&mut self, number: u32) {
        let instance = &mut self.instances[number as usize];
        if instance.state == State::Draining && instance.requests == 0 {
            instance.note_usage(self.now);
            instance.record.gone = self.now;
            self.set_state(number, State::Gone);
        }
    }

    fn close(mut self, outcome: Outcome) -> Records {
        debug_assert!(
            !self.in_flight.is_empty()
                || self.instances.iter().all(|i| i.kv.free() == i.kv.total()),
            "everybody has left, and blocks are held"
        );
        let left: Vec<InFlightId> = self.in_flight.in_use().collect();
        for id in left {
            // A turn that waits for the one before it would have come after the end.
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

/// Numbers of the instances that a rule picks.
fn collect(into: &mut Vec<u32>, instances: &[Instance], pick: impl Fn(&Instance) -> bool) {
    into.clear();
    into.extend((0..instances.len() as u32).filter(|number| pick(&instances[*number as usize])));
}

fn new_histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts.
    Histogram::new_with_bounds(1, 86_400_000_000_000, 3).unwrap_or_else(|_| unreachable!())
}
