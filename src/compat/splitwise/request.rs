//! A request as a chain of tasks: prompt, then a flow (if the KV cache is transferred), then tokens.

/// A request as recorded in a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Id of the request in the trace.
    pub id: u64,
    /// Arrival in seconds from the start of the trace.
    pub arrival: f64,
    /// Prompt tokens.
    pub prompt: u32,
    /// Tokens to generate; the prompt's iteration yields the first.
    pub output: u32,
    /// Factor of the request's KV cache, without any other effect; 1 in every published trace.
    pub batch: u32,
}

/// Index of a task: of request r, 2r is the prompt and 2r + 1 the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskId(pub(super) u32);

impl TaskId {
    pub(super) fn prompt_of(request: usize) -> Self {
        Self(2 * request as u32)
    }

    pub(super) fn tokens_of(request: usize) -> Self {
        Self(2 * request as u32 + 1)
    }

    pub(super) fn request(self) -> usize {
        self.0 as usize / 2
    }

    pub(super) fn is_prompt(self) -> bool {
        self.0.is_multiple_of(2)
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// State of a task: `NodeState` of `node.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskState {
    /// Not submitted.
    None,
    /// In a pending queue.
    Queued,
    /// In a batch.
    Running,
    /// Preempted: pending, with its KV cache still on the instance.
    Blocked,
    /// Done.
    Completed,
}

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) state: TaskState,
    /// Whether it is in the batch of its instance.
    pub(super) in_batch: bool,
    /// Number of the last batch selection that took it.
    pub(super) selected: u32,
    /// Number of iterations started without it while it was the request's next task.
    pub(super) preemptions: u32,
    /// Tokens still to generate; the batch holds the number while the task runs.
    pub(super) remaining: i64,
    pub(super) start: f64,
    pub(super) completion: f64,
}

/// An in-flight request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Arrival time from the trace, by which queues are ordered.
    pub(super) arrival: f64,
    pub(super) prompt: i64,
    pub(super) output: i64,
    /// Bytes of KV cache per token.
    pub(super) kv_bytes: i64,
    /// Bytes that the request holds on an instance.
    pub(super) memory: i64,
    pub(super) prompt_instance: u32,
    pub(super) token_instance: u32,
    /// Whether the KV cache is transferred between the tasks.
    pub(super) ships: bool,
    /// Number of the last batch selection that took one of its tasks.
    pub(super) selected: u32,
    /// Which of its tasks are in the pool of an instance.
    pub(super) prompt_in_pool: bool,
    pub(super) tokens_in_pool: bool,
    pub(super) router_arrival: f64,
    pub(super) queue_time: f64,
    /// Whether the clock was at an arrival time when the prompt started.
    pub(super) started_on_arrival: bool,
    pub(super) ttft: f64,
    pub(super) response: f64,
    pub(super) flow_start: f64,
    pub(super) flow_completion: f64,
}

impl Request {
    pub(super) fn new(arrival: &Arrival, kv_bytes_per_token: i64) -> Self {
        Self {
            arrival: arrival.arrival,
            prompt: arrival.prompt.into(),
            output: arrival.output.into(),
            kv_bytes: kv_bytes_per_token * i64::from(arrival.batch),
            memory: 0,
            prompt_instance: u32::MAX,
            token_instance: u32::MAX,
            ships: false,
            selected: 0,
            prompt_in_pool: false,
            tokens_in_pool: false,
            router_arrival: f64::NAN,
            queue_time: f64::NAN,
            started_on_arrival: false,
            ttft: f64::NAN,
            response: f64::NAN,
            flow_start: f64::NAN,
            flow_completion: f64::NAN,
        }
    }

    /// The two tasks, not submitted.
    pub(super) fn tasks(&self) -> [Task; 2] {
        [1, self.output - 1].map(|remaining| Task {
            state: TaskState::None,
            in_batch: false,
            selected: 0,
            preemptions: 0,
            remaining,
            start: f64::NAN,
            completion: f64::NAN,
        })
    }

    /// Bytes that the prompt task allocates: the prompt and the first token.
    pub(super) fn prompt_memory(&self) -> i64 {
        self.kv_bytes * (self.prompt + 1)
    }

    /// Bytes that the token task allocates when it starts: all of its tokens.
    pub(super) fn token_memory(&self) -> i64 {
        self.kv_bytes * (self.output - 1)
    }

    /// Bytes that a task allocates when it starts.
    pub(super) fn task_memory(&self, task: TaskId) -> i64 {
        if task.is_prompt() {
            self.prompt_memory()
        } else {
            self.token_memory()
        }
    }

    /// Number of tokens that a task adds to a batch.
    pub(super) fn tokens_per_iteration(&self, task: TaskId) -> i64 {
        if task.is_prompt() { self.prompt } else { 1 }
    }
}
