//! An instance of the model: queues, batch and memory, by the rules of `instance.py`.

use super::config::InstanceConfig;
use super::request::{Request, Task, TaskId};
use crate::sim::latency::IterationTimes;

use super::event_queue::EventId;

/// The pool that an instance was created for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Prompt phase (prefill).
    Prompt,
    /// Token phase (decode).
    Token,
}

/// Rule by which batches are formed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Batching {
    /// First come first served, without a token limit and without preemption.
    Orca,
    /// Prompts first, up to a token limit; decodes are preempted.
    Splitwise {
        max_batch_tokens: i64,
        max_preemptions: u32,
    },
}

/// A task in a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) task: TaskId,
    /// Tokens still to generate; below zero if rounding caused an overrun.
    pub(super) remaining: i64,
}

/// An instance of SplitwiseSim: queues, batch and memory.
#[derive(Debug)]
pub(super) struct Instance {
    /// Name of its GPUs.
    pub(super) name: String,
    pub(super) pool: Option<Pool>,
    /// Whether it is in the mixed pool.
    pub(super) mixed: bool,
    pub(super) batching: Batching,
    pub(super) max_batch_size: usize,
    pub(super) times: IterationTimes,

    pub(super) memory: i64,
    pub(super) max_memory: i64,
    /// Prompt tokens and requests that the scheduler has assigned to the instance.
    pub(super) sched_pending_tokens: i64,
    /// Bytes that the scheduler has assigned to the instance, for running and future requests.
    pub(super) sched_memory: i64,

    /// Waiting tasks. Splitwise inserts them by (preemptions, arrival) and does not sort again when the number of
    /// preemptions rises.
    pub(super) pending: Vec<TaskId>,
    /// Waiting prompts, first come first served.
    pub(super) pending_prompts: Vec<TaskId>,
    /// Preempted tasks.
    pub(super) blocked: Vec<TaskId>,
    /// Requests with a task on this instance, waiting or running, by arrival.
    pub(super) requests: Vec<u32>,

    pub(super) batch: Vec<Slot>,
    pub(super) prompts_in_batch: usize,
    /// Number of tokens of the batch as selected; always 0 with ORCA.
    pub(super) batch_tokens: i64,
    pub(super) iteration_seconds: f64,
    /// Number of iterations until the next event.
    pub(super) iterations: f64,
    pub(super) paused: bool,
    /// The event that ends the iterations, and its time.
    pub(super) event: Option<(EventId, f64)>,

    pub(super) busy_since: f64,
    pub(super) busy: f64,
}

impl Instance {
    pub(super) fn new(
        name: &str,
        pool: Option<Pool>,
        config: &InstanceConfig,
        times: IterationTimes,
        model_bytes: i64,
        max_memory: i64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            pool,
            mixed: false,
            batching: config.batching(),
            max_batch_size: config.max_batch_size,
            times,
            memory: model_bytes,
            max_memory,
            sched_pending_tokens: 0,
            sched_memory: model_bytes,
            pending: Vec::new(),
            pending_prompts: Vec::new(),
            blocked: Vec::new(),
            requests: Vec::new(),
            batch: Vec::new(),
            prompts_in_batch: 0,
            batch_tokens: 0,
            iteration_seconds: 0.0,
            iterations: 0.0,
            paused: false,
            event: None,
            busy_since: 0.0,
            busy: 0.0,
        }
    }

    /// Frees the memory of a request that ends or leaves.
    pub(super) fn free(&mut self, bytes: i64) {
        self.memory -= bytes;
        self.sched_memory -= bytes;
    }

    /// Adds a task to the waiting ones.
    pub(super) fn add_pending(&mut self, task: TaskId, tasks: &[Task], requests: &[Request]) {
        match self.batching {
            Batching::Orca => self.pending.push(task),
            Batching::Splitwise { .. } => {
                let key = |task: TaskId| {
                    (
                        tasks[task.index()].preemptions,
                        requests[task.request()].arrival,
                    )
                };
                // Same position as `bisect.insort`, even if the keys are not in order.
                let new = key(task);
                let (mut low, mut high) = (0, self.pending.len());
                while low < high {
                    let middle = (low + high) / 2;
                    if new < key(self.pending[middle]) {
                        high = middle;
                    } else {
                        low = middle + 1;
                    }
                }
                self.pending.insert(low, task);
            }
        }
        if task.is_prompt() {
            self.pending_prompts.push(task);
        }
    }

    /// Removes a task from the waiting ones.
    pub(super) fn remove_pending(&mut self, task: TaskId) {
        remove(&mut self.pending, task);
        remove(&mut self.blocked, task);
        if task.is_prompt() {
            remove(&mut self.pending_prompts, task);
        }
    }

    /// Adds a request to those with a task here, behind earlier ones with the same arrival time.
    pub(super) fn add_request(&mut self, request: usize, requests: &[Request]) {
        let arrival = requests[request].arrival;
        let place = self
            .requests
            .partition_point(|other| requests[*other as usize].arrival <= arrival);
        self.requests.insert(place, request as u32);
    }

    /// Removes a request from those with a task here.
    pub(super) fn remove_request(&mut self, request: usize, requests: &[Request]) {
        let arrival = requests[request].arrival;
        let first = self
            .requests
            .partition_point(|other| requests[*other as usize].arrival < arrival);
        let same = |other: &u32| *other as usize == request;
        if let Some(offset) = self.requests[first..].iter().position(same) {
            self.requests.remove(first + offset);
        }
    }

    pub(super) fn add_to_batch(&mut self, task: TaskId, remaining: i64, now: f64) {
        self.batch.push(Slot { task, remaining });
        self.prompts_in_batch += usize::from(task.is_prompt());
        if self.batch.len() == 1 {
            self.busy_since = now;
        }
    }

    /// Removes a task from the batch; returns the number of tokens it still has to generate.
    pub(super) fn remove_from_batch(&mut self, task: TaskId, now: f64) -> i64 {
        let Some(place) = self.batch.iter().position(|slot| slot.task == task) else {
            return 0;
        };
        let slot = self.batch.remove(place);
        self.prompts_in_batch -= usize::from(task.is_prompt());
        if self.batch.is_empty() {
            self.busy += now - self.busy_since;
            self.busy_since = 0.0;
        }
        slot.remaining
    }

    /// Number of iterations that run without re-forming the batch: one with a prompt, otherwise until the first request
    /// ends.
    pub(super) fn contiguous_iterations(&self) -> i64 {
        if self.prompts_in_batch > 0 {
            return 1;
        }
        let remaining = self.batch.iter().map(|slot| slot.remaining);
        remaining.min().unwrap_or(0)
    }

    /// Number of iterations that will have run if the instance is stopped at the next boundary, and the seconds until
    /// then: one iteration more than those completed.
    ///
    /// The operations and their order are those of `pause_iteration`, whose rounding decides ties.
    pub(super) fn pause_at(&self, end: f64, now: f64) -> (f64, f64) {
        let start = end - self.iteration_seconds * self.iterations;
        let elapsed = now - start;
        let iterations = floor_divide(elapsed, self.iteration_seconds) + 1.0;
        (iterations, self.iteration_seconds * iterations - elapsed)
    }
}

/// `list.remove` of a task that may be missing.
fn remove(queue: &mut Vec<TaskId>, task: TaskId) {
    if let Some(place) = queue.iter().position(|other| *other == task) {
        queue.remove(place);
    }
}

/// Python's `//` of two floats.
fn floor_divide(a: f64, b: f64) -> f64 {
    let remainder = a % b;
    let mut quotient = (a - remainder) / b;
    if remainder != 0.0 && (b < 0.0) != (remainder < 0.0) {
        quotient -= 1.0;
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 {
        floor + 1.0
    } else {
        floor
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::instance::*;

    #[test]
    fn floor_division_is_pythons() {
        // 1.0 // 0.1 is 9 in Python: 0.1 is a little more than a tenth.
        assert_eq!(floor_divide(1.0, 0.1), 9.0);
        assert_eq!(floor_divide(-0.25, 0.1), -3.0);
        assert_eq!(floor_divide(0.3, 0.1), 2.0);
        assert_eq!(floor_divide(0.0, 0.1), 0.0);
        assert_eq!(floor_divide(6.0, 2.0), 3.0);
    }
}
