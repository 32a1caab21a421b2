//! Selection of the tasks of the next batch: `select_batch` of `instance.py`, by ORCA's and by Splitwise's rules.

use super::instance::{Batching, Instance};
use super::request::{Request, Task, TaskId, TaskState};

/// The next batch. Its buffers are reused for each selection.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Number of selections so far, so that marks of earlier ones need not be cleared.
    number: u32,
    /// Tasks that join the batch, in order.
    pub(super) joining: Vec<TaskId>,
    /// Tasks that leave unfinished, in order of the old batch.
    pub(super) preempted: Vec<TaskId>,
    /// Number of tasks in the new batch, including those of the old one.
    size: usize,
    batch_tokens: i64,
    memory: i64,
}

/// Whether to examine the next task of a queue.
#[derive(PartialEq, Eq)]
enum Next {
    Look,
    Stop,
}

impl Selection {
    /// Selects the next batch of `instance`, and records its number of tokens there.
    pub(super) fn select(
        &mut self,
        number: u32,
        instance: &mut Instance,
        tasks: &mut [Task],
        requests: &mut [Request],
    ) {
        self.number = number;
        self.joining.clear();
        self.preempted.clear();
        self.size = 0;
        self.batch_tokens = 0;
        self.memory = instance.memory;
        let running = instance.batch.len();
        if instance.pending.is_empty() && instance.prompts_in_batch == 0 {
            // No task waits, so all tasks that fit stay in the batch: the common case on a token instance.
            let tokens = running as i64;
            match instance.batching {
                Batching::Orca => return,
                Batching::Splitwise {
                    max_batch_tokens, ..
                } if running <= instance.max_batch_size && tokens <= max_batch_tokens => {
                    instance.batch_tokens = tokens;
                    return;
                }
                Batching::Splitwise { .. } => {}
            }
        }
        match instance.batching {
            Batching::Orca => self.orca(instance, tasks, requests),
            Batching::Splitwise {
                max_batch_tokens,
                max_preemptions,
            } => {
                self.splitwise(instance, tasks, requests, max_batch_tokens, max_preemptions);
                instance.batch_tokens = self.batch_tokens;
            }
        }
    }

    /// Order of ORCA: the old batch, then requests by arrival, up to the first that does not fit.
    fn orca(&mut self, instance: &Instance, tasks: &[Task], requests: &[Request]) {
        self.size = instance.batch.len();
        for request in &instance.requests {
            if self.size == instance.max_batch_size {
                break;
            }
            let task = first_task(*request, requests);
            if tasks[task.index()].in_batch {
                continue;
            }
            let bytes = requests[task.request()].task_memory(task);
            if bytes + self.memory > instance.max_memory {
                break;
            }
            self.memory += bytes;
            self.size += 1;
            self.joining.push(task);
        }
    }

    /// Order of Splitwise: tasks passed over too often; prompts; preempted tasks; the old batch; others by arrival.
    fn splitwise(
        &mut self,
        instance: &Instance,
        tasks: &mut [Task],
        requests: &mut [Request],
        max_batch_tokens: i64,
        max_preemptions: u32,
    ) {
        let max_batch_size = instance.max_batch_size;
        // The first task of a batch may exceed the token limit.
        let full = |selection: &Self, tokens: i64| {
            selection.size > 0 && selection.batch_tokens + tokens > max_batch_tokens
        };
        for task in &instance.pending {
            let request = &requests[task.request()];
            if tasks[task.index()].preemptions < max_preemptions
                || self.size == max_batch_size
                || full(self, request.tokens_per_iteration(*task))
            {
                break;
            }
            if request.selected == self.number {
                continue;
            }
            // A task that does not fit is passed over; later tasks of the queue may still be taken.
            self.take_if_fits(*task, instance, tasks, requests);
        }
        for task in &instance.pending_prompts {
            let request = &requests[task.request()];
            if self.size == max_batch_size || full(self, request.tokens_per_iteration(*task)) {
                break;
            }
            if request.selected != self.number
                && self.take_new(*task, instance, tasks, requests) == Next::Stop
            {
                break;
            }
        }
        let running = instance.batch.iter().map(|slot| &slot.task);
        for task in instance.blocked.iter().chain(running) {
            let request = &requests[task.request()];
            if self.size == max_batch_size || full(self, request.tokens_per_iteration(*task)) {
                break;
            }
            if request.selected != self.number {
                self.take(*task, 0, tasks, requests);
            }
        }
        for request in &instance.requests {
            if self.size == max_batch_size {
                break;
            }
            let task = first_task(*request, requests);
            let request = &requests[task.request()];
            if request.selected == self.number {
                continue;
            }
            if full(self, request.tokens_per_iteration(task))
                || self.take_if_fits(task, instance, tasks, requests) == Next::Stop
            {
                break;
            }
        }
        let left = instance.batch.iter().map(|slot| slot.task);
        self.preempted
            .extend(left.filter(|task| tasks[task.index()].selected != self.number));
    }

    /// Adds a task to the batch; a preempted task has its memory already.
    fn take_if_fits(
        &mut self,
        task: TaskId,
        instance: &Instance,
        tasks: &mut [Task],
        requests: &mut [Request],
    ) -> Next {
        if tasks[task.index()].state == TaskState::Blocked {
            self.take(task, 0, tasks, requests);
            return Next::Look;
        }
        self.take_new(task, instance, tasks, requests)
    }

    fn take_new(
        &mut self,
        task: TaskId,
        instance: &Instance,
        tasks: &mut [Task],
        requests: &mut [Request],
    ) -> Next {
        let bytes = requests[task.request()].task_memory(task);
        if bytes + self.memory > instance.max_memory {
            return Next::Stop;
        }
        self.take(task, bytes, tasks, requests);
        Next::Look
    }

    fn take(&mut self, task: TaskId, bytes: i64, tasks: &mut [Task], requests: &mut [Request]) {
        let request = &mut requests[task.request()];
        request.selected = self.number;
        self.size += 1;
        self.memory += bytes;
        self.batch_tokens += request.tokens_per_iteration(task);
        let state = &mut tasks[task.index()];
        state.selected = self.number;
        if !state.in_batch {
            self.joining.push(task);
        }
    }
}

/// The next task to run among a request's tasks on an instance.
pub(super) fn first_task(request: u32, requests: &[Request]) -> TaskId {
    let request = request as usize;
    if requests[request].prompt_in_pool {
        TaskId::prompt_of(request)
    } else {
        TaskId::tokens_of(request)
    }
}
