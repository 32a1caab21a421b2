//! The simulation: arrivals, tasks on instances, and flows between instances, by the rules of `simulator.py`,
//! `executor.py`, `instance.py` and `interconnect.py`.
//!
//! As in the reference, an action that is scheduled without a delay runs at once, nested in the action that scheduled
//! it.

use super::batch::{Selection, first_task};
use super::event_queue::{EventId, EventQueue};
use super::instance::{Batching, Instance};
use super::request::{Arrival, Request, Task, TaskId, TaskState};
use super::scheduler::Scheduler;

/// Seconds after which a flow without room at its destination tries again.
const RETRY_SECONDS: f64 = 1.0;

/// Effect of an event on a request or an instance.
#[derive(Debug, Clone, Copy)]
enum Action {
    Arrive(u32),
    Schedule(u32),
    EndIterations(u32),
    RetryFlow(u32),
    EndFlow(u32),
}

/// State of a run; after the run, the source of its report.
pub(super) struct Simulator {
    queue: EventQueue<Action>,
    now: f64,
    /// Whether an arrival was the last event to set the clock.
    at_arrival: bool,
    routing_delay: f64,
    scheduler: Scheduler,
    selection: Selection,
    selections: u32,
    /// Buffer of the tasks that end with an iteration.
    ending: Vec<TaskId>,
    /// The error at which the reference stops with an exception.
    fault: Option<String>,

    pub(super) requests: Vec<Request>,
    pub(super) tasks: Vec<Task>,
    pub(super) instances: Vec<Instance>,
    /// Requests in the order of their completion.
    pub(super) completed: Vec<u32>,
    /// Iterations whose number of tokens lies outside the measured range.
    pub(super) outside: u64,
    /// Number of iterations that could not start although requests were waiting.
    pub(super) stalls: u64,
}

impl Simulator {
    /// Creates a run with all arrivals scheduled.
    pub(super) fn new(
        arrivals: &[Arrival],
        kv_bytes_per_token: i64,
        instances: Vec<Instance>,
        scheduler: Scheduler,
        routing_delay: f64,
    ) -> Self {
        let mut queue = EventQueue::with_capacity(arrivals.len() + 4 * instances.len());
        let mut requests = Vec::with_capacity(arrivals.len());
        let mut tasks = Vec::with_capacity(2 * arrivals.len());
        for (index, arrival) in arrivals.iter().enumerate() {
            queue.push(arrival.arrival, Action::Arrive(index as u32));
            let request = Request::new(arrival, kv_bytes_per_token);
            tasks.extend(request.tasks());
            requests.push(request);
        }
        Self {
            queue,
            now: 0.0,
            at_arrival: false,
            routing_delay,
            scheduler,
            selection: Selection::default(),
            selections: 0,
            ending: Vec::new(),
            fault: None,
            requests,
            tasks,
            instances,
            completed: Vec::with_capacity(arrivals.len()),
            outside: 0,
            stalls: 0,
        }
    }

    /// Runs until no event is left or the clock reaches `end`; the first event after `end` is still processed.
    ///
    /// # Errors
    /// A description of the error at which the reference would stop with an exception.
    pub(super) fn run(&mut self, end: f64) -> Result<(), String> {
        while self.now < end {
            let Some((time, action)) = self.queue.pop() else {
                break;
            };
            self.now = time;
            self.at_arrival = false;
            match action {
                Action::Arrive(request) => {
                    self.at_arrival = true;
                    self.requests[request as usize].router_arrival = time;
                    if self
                        .schedule(self.routing_delay, Action::Schedule(request))
                        .is_none()
                    {
                        self.place(request as usize);
                    }
                }
                Action::Schedule(request) => self.place(request as usize),
                Action::EndIterations(instance) => self.end_iterations(instance as usize),
                Action::RetryFlow(request) => self.start_flow(request as usize),
                Action::EndFlow(request) => self.end_flow(request as usize),
            }
            if let Some(fault) = self.fault.take() {
                return Err(format!("at {} s: {fault}", self.now));
            }
        }
        Ok(())
    }

    /// Time of the last event.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// Number of events scheduled.
    pub(super) fn events(&self) -> u64 {
        self.queue.scheduled()
    }

    /// Schedules an event; returns `None` if the caller has to act at once.
    fn schedule(&mut self, delay: f64, action: Action) -> Option<(EventId, f64)> {
        if delay == 0.0 {
            return None;
        }
        let time = self.now + delay;
        Some((self.queue.push(time, action), time))
    }

    fn fail(&mut self, fault: impl Into<String>) {
        self.fault.get_or_insert(fault.into());
    }

    /// Lets the scheduler choose instances, then submits the first task and, if chained, the task behind it.
    fn place(&mut self, index: usize) {
        let placed = self
            .scheduler
            .place(&self.requests[index], &mut self.instances);
        let placement = match placed {
            Ok(placement) => placement,
            Err(fault) => return self.fail(fault),
        };
        let request = &mut self.requests[index];
        request.prompt_instance = placement.prompt as u32;
        request.token_instance = placement.token as u32;
        request.ships = placement.ships;
        self.task_arrival(TaskId::prompt_of(index));
        if !placement.ships {
            self.task_arrival(TaskId::tokens_of(index));
        }
    }

    fn instance_of(&self, task: TaskId) -> usize {
        let request = &self.requests[task.request()];
        if task.is_prompt() {
            request.prompt_instance as usize
        } else {
            request.token_instance as usize
        }
    }

    /// Handles a task's arrival at its instance: the task starts, or interrupts the running iterations, or waits.
    fn task_arrival(&mut self, task: TaskId) {
        let place = self.instance_of(task);
        self.tasks[task.index()].state = TaskState::Queued;
        let request = &mut self.requests[task.request()];
        let known = request.prompt_in_pool || request.tokens_in_pool;
        if task.is_prompt() {
            request.prompt_in_pool = true;
        } else {
            request.tokens_in_pool = true;
        }
        let (bytes, tokens) = (
            request.task_memory(task),
            request.tokens_per_iteration(task),
        );
        let instance = &mut self.instances[place];
        if !known {
            instance.add_request(task.request(), &self.requests);
        }
        instance.add_pending(task, &self.tasks, &self.requests);

        if instance.batch.is_empty() {
            if instance.memory + bytes <= instance.max_memory {
                self.start_iterations(place);
            }
            return;
        }
        let room = instance.batch.len() < instance.max_batch_size;
        let pauses = match instance.batching {
            Batching::Orca => room,
            Batching::Splitwise {
                max_batch_tokens, ..
            } => {
                let decodes = instance.batch.len() - instance.prompts_in_batch;
                let prompt_tokens = instance.batch_tokens - decodes as i64;
                (room && instance.batch_tokens + tokens <= max_batch_tokens)
                    || (task.is_prompt()
                        && decodes > 0
                        && prompt_tokens + tokens <= max_batch_tokens)
            }
        };
        if pauses {
            self.pause(place);
        }
    }

    /// Forms a batch and runs it until something changes.
    fn start_iterations(&mut self, place: usize) {
        let now = self.now;
        self.selections += 1;
        let instance = &mut self.instances[place];
        self.selection.select(
            self.selections,
            instance,
            &mut self.tasks,
            &mut self.requests,
        );
        for task in &self.selection.preempted {
            if task.is_prompt() {
                self.fault
                    .get_or_insert("a running prompt would be preempted".to_owned());
            }
            let remaining = instance.remove_from_batch(*task, now);
            let state = &mut self.tasks[task.index()];
            state.state = TaskState::Blocked;
            state.in_batch = false;
            state.remaining = remaining;
            instance.add_pending(*task, &self.tasks, &self.requests);
            instance.blocked.push(*task);
        }
        for task in &self.selection.joining {
            instance.remove_pending(*task);
            let state = &mut self.tasks[task.index()];
            state.in_batch = true;
            instance.add_to_batch(*task, state.remaining, now);
        }
        // If no request waits, every request with a task here is in the batch.
        let waiting = !instance.pending.is_empty();
        for request in instance.requests.iter().filter(|_| waiting) {
            let state = &mut self.tasks[first_task(*request, &self.requests).index()];
            state.preemptions += u32::from(!state.in_batch);
        }

        if instance.batch.is_empty() {
            if instance.requests.is_empty() {
                self.scheduler.instance_is_free(place, &mut self.instances);
            } else {
                self.stalls += 1;
            }
            return;
        }
        self.time_iteration(place);
        let instance = &mut self.instances[place];
        for task in &self.selection.joining {
            let state = &mut self.tasks[task.index()];
            if state.state == TaskState::Queued {
                state.start = now;
                let request = &mut self.requests[task.request()];
                if task.is_prompt() {
                    request.queue_time = now - request.router_arrival;
                    request.started_on_arrival = self.at_arrival;
                }
                let bytes = request.task_memory(*task);
                request.memory += bytes;
                instance.memory += bytes;
            }
            state.state = TaskState::Running;
        }
        let seconds = instance.iteration_seconds * instance.iterations;
        match self.schedule(seconds, Action::EndIterations(place as u32)) {
            event @ Some(_) => self.instances[place].event = event,
            None => self.end_iterations(place),
        }
    }

    /// Sets the duration of an iteration of the batch and the number of iterations in a row.
    fn time_iteration(&mut self, place: usize) {
        let instance = &mut self.instances[place];
        let decodes = (instance.batch.len() - instance.prompts_in_batch) as u64;
        let prompts = (instance.prompts_in_batch > 0).then(|| {
            let prompts = instance.batch.iter().filter(|slot| slot.task.is_prompt());
            prompts
                .map(|slot| self.requests[slot.task.request()].prompt as u64)
                .sum()
        });
        let tokens = prompts.unwrap_or(0) + decodes;
        self.outside += u64::from(instance.times.is_outside(tokens as f64));
        instance.iteration_seconds = instance.times.iteration(prompts, decodes);
        instance.iterations = instance.contiguous_iterations() as f64;
        let seconds = instance.iteration_seconds;
        if seconds.is_nan() || seconds <= 0.0 {
            self.fail(format!(
                "the table gives {seconds} s for an iteration of {tokens} tokens"
            ));
        }
    }

    /// Interrupts the running iterations at the next boundary, so that a task can join; not while a prompt runs.
    fn pause(&mut self, place: usize) {
        let now = self.now;
        let instance = &mut self.instances[place];
        if instance.paused || instance.prompts_in_batch > 0 {
            return;
        }
        let Some((event, end)) = instance.event else {
            return;
        };
        instance.paused = true;
        let (iterations, seconds) = instance.pause_at(end, now);
        instance.iterations = iterations;
        self.queue.cancel(event);
        match self.schedule(seconds, Action::EndIterations(place as u32)) {
            event @ Some(_) => self.instances[place].event = event,
            None => self.end_iterations(place),
        }
    }

    /// Credits the tokens of the iterations, ends tasks that have all of theirs, and starts the next batch.
    fn end_iterations(&mut self, place: usize) {
        let instance = &mut self.instances[place];
        let generated = instance.iterations as i64;
        let mut ending = std::mem::take(&mut self.ending);
        ending.clear();
        let mut least = 0;
        for slot in &mut instance.batch {
            slot.remaining -= generated;
            if slot.remaining == 0 {
                ending.push(slot.task);
            }
            least = least.min(slot.remaining);
        }
        if least < -1 {
            self.fail("a request would get more tokens than it asked for");
        }
        for task in &ending {
            self.end_task(*task, place);
        }
        self.ending = ending;
        self.instances[place].paused = false;
        if self.fault.is_none() {
            self.start_iterations(place);
        }
    }

    fn end_task(&mut self, task: TaskId, place: usize) {
        let now = self.now;
        if self.tasks[task.index()].state != TaskState::Running {
            return self.fail("a task would end twice");
        }
        // With a limit of no preemptions, a chained token task may be taken although its prompt finds no memory.
        let [prompt, tokens] = [
            TaskId::prompt_of(task.request()),
            TaskId::tokens_of(task.request()),
        ]
        .map(|task| self.tasks[task.index()].state);
        let in_order = if task.is_prompt() {
            matches!(tokens, TaskState::None | TaskState::Queued)
        } else {
            prompt == TaskState::Completed
        };
        if !in_order {
            return self.fail("a request would generate before its prompt");
        }
        let state = &mut self.tasks[task.index()];
        state.state = TaskState::Completed;
        state.in_batch = false;
        state.completion = now;
        let request = &mut self.requests[task.request()];
        let instance = &mut self.instances[place];
        if task.is_prompt() {
            instance.sched_pending_tokens -= request.prompt;
            request.ttft = now - request.router_arrival;
            request.prompt_in_pool = false;
        } else {
            instance.sched_pending_tokens -= 1;
            instance.free(std::mem::take(&mut request.memory));
            request.tokens_in_pool = false;
        }
        let left = request.prompt_in_pool || request.tokens_in_pool;
        let ships = request.ships;
        instance.remove_from_batch(task, now);
        if !left {
            instance.remove_request(task.request(), &self.requests);
        }
        if !task.is_prompt() {
            let request = &mut self.requests[task.request()];
            request.response = now - request.router_arrival;
            self.completed.push(task.request() as u32);
        } else if ships {
            self.start_flow(task.request());
        }
    }

    /// Transfers the KV cache of a request as soon as its destination has room for it.
    fn start_flow(&mut self, index: usize) {
        let request = &mut self.requests[index];
        let destination = &mut self.instances[request.token_instance as usize];
        if destination.memory + request.memory > destination.max_memory {
            self.schedule(RETRY_SECONDS, Action::RetryFlow(index as u32));
            return;
        }
        request.flow_start = self.now;
        destination.memory += request.memory;
        let bytes = request.kv_bytes * request.prompt;
        let seconds = self.scheduler.transfer_seconds(bytes);
        if self
            .schedule(seconds, Action::EndFlow(index as u32))
            .is_none()
        {
            self.end_flow(index);
        }
    }

    /// Frees the memory at the source, starts the decode, and lets the source form a new batch.
    fn end_flow(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.flow_completion = self.now;
        let source = request.prompt_instance as usize;
        self.instances[source].free(request.memory);
        self.task_arrival(TaskId::tokens_of(index));
        self.memory_was_freed(source);
    }

    /// `notify_flow_completion`: a waiting task may have room now.
    fn memory_was_freed(&mut self, place: usize) {
        let instance = &self.instances[place];
        let Some(task) = instance.pending.first() else {
            return;
        };
        if instance.batch.is_empty() {
            let bytes = self.requests[task.request()].task_memory(*task);
            if instance.memory + bytes <= instance.max_memory {
                self.start_iterations(place);
            }
            return;
        }
        let room = match instance.batching {
            Batching::Orca => true,
            Batching::Splitwise {
                max_batch_tokens, ..
            } => instance.batch_tokens < max_batch_tokens,
        };
        if room && instance.batch.len() < instance.max_batch_size {
            self.pause(place);
        }
    }
}
