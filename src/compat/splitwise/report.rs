//! What a run has to tell: records of requests and instances.

use serde::Serialize;

use super::instance::Pool;
use super::request::{Arrival, Request, TaskId, TaskState};
use super::simulator::Simulator;

/// Everything measured in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Completed requests, in the order of their completion.
    pub requests: Vec<RequestRecord>,
    /// Requests that did not end, in the order of the trace. The reference does not tell of them.
    pub unfinished: Vec<UnfinishedRequest>,
    /// Instances, by number.
    pub instances: Vec<InstanceRecord>,
    /// Seconds: when the last event happened.
    pub end: f64,
    /// Number of events that were scheduled.
    pub events: u64,
    /// Iterations whose tokens lie outside of the measured range.
    pub outside_table: u64,
    /// Times that an instance had requests and could begin none of them for lack of memory.
    pub stalls: u64,
}

/// A completed request; times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestRecord {
    /// Place in the trace.
    pub index: u32,
    /// Number in the trace.
    pub id: u64,
    /// When it arrived.
    pub arrival: f64,
    /// E2E: from arrival to the last token.
    pub response: f64,
    /// From arrival to the start of the prompt.
    pub queue: f64,
    /// TTFT: from arrival to the end of the prompt.
    pub ttft: f64,
    /// TBT as the reference has it: (E2E - TTFT) / output tokens, of which the first is not in the difference.
    pub tbt: f64,
    /// From the end of the prompt to the start of the token task: shipping and waiting.
    pub nth_token_overhead: f64,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens.
    pub output: u32,
    /// Start and end of the prompt.
    pub prompt_span: (f64, f64),
    /// Start and end of shipping, where the KV cache is shipped.
    pub flow_span: Option<(f64, f64)>,
    /// Start and end of the token task.
    pub token_span: (f64, f64),
    /// Number of the instance that runs the prompt.
    pub prompt_instance: u32,
    /// Number of the instance that generates the tokens.
    pub token_instance: u32,
    /// Whether the prompt started at the very moment of an arrival.
    #[serde(skip)]
    pub started_on_arrival: bool,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The end came before its arrival, or before it was scheduled.
    NotArrived,
    /// Waits for an instance that runs its prompt.
    PromptWaits,
    /// In a batch with its prompt.
    PromptRuns,
    /// Waits for memory at the destination of its KV cache, or is being shipped.
    Shipping,
    /// Waits to generate tokens, preempted or not yet begun.
    TokensWait,
    /// In a batch, generating.
    TokensRun,
}

/// A request that did not end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnfinishedRequest {
    /// Place in the trace.
    pub index: u32,
    /// Number in the trace.
    pub id: u64,
    /// When it arrives, in seconds.
    pub arrival: f64,
    /// How far it came.
    pub stage: Stage,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceRecord {
    /// Name of its GPUs.
    pub name: String,
    /// The pool that it was made for; `None` where there are no pools.
    pub pool: Option<Pool>,
    /// Part of the time in which its batch was not empty. A batch at the end of the run is not counted.
    pub utilization: f64,
    /// Seconds in which its batch was not empty.
    pub busy: f64,
}

impl Report {
    pub(super) fn new(arrivals: &[Arrival], run: Simulator) -> Self {
        let end = run.now();
        let record = |index: &u32| {
            let (index, place) = (*index, *index as usize);
            let (arrival, request) = (&arrivals[place], &run.requests[place]);
            let span = |task: TaskId| {
                let task = &run.tasks[task.index()];
                (task.start, task.completion)
            };
            let prompt_span = span(TaskId::prompt_of(place));
            let token_span = span(TaskId::tokens_of(place));
            RequestRecord {
                index,
                id: arrival.id,
                arrival: arrival.arrival,
                response: request.response,
                queue: request.queue_time,
                ttft: request.ttft,
                tbt: (request.response - request.ttft) / request.output as f64,
                nth_token_overhead: token_span.0 - prompt_span.1,
                prompt: arrival.prompt,
                output: arrival.output,
                prompt_span,
                flow_span: request
                    .ships
                    .then_some((request.flow_start, request.flow_completion)),
                token_span,
                prompt_instance: request.prompt_instance,
                token_instance: request.token_instance,
                started_on_arrival: request.started_on_arrival,
            }
        };
        let mut unfinished = Vec::new();
        for (index, request) in run.requests.iter().enumerate() {
            let states = [TaskId::prompt_of(index), TaskId::tokens_of(index)]
                .map(|task| run.tasks[task.index()].state);
            if let Some(stage) = stage(request, states) {
                unfinished.push(UnfinishedRequest {
                    index: index as u32,
                    id: arrivals[index].id,
                    arrival: arrivals[index].arrival,
                    stage,
                });
            }
        }
        let instances = run.instances.iter().map(|instance| InstanceRecord {
            name: instance.name.clone(),
            pool: instance.pool,
            utilization: instance.busy / end,
            busy: instance.busy,
        });
        Self {
            requests: run.completed.iter().map(record).collect(),
            unfinished,
            instances: instances.collect(),
            end,
            events: run.events(),
            outside_table: run.outside,
            stalls: run.stalls,
        }
    }
}

/// Where a request with tasks in these states is, or `None` where it is done.
fn stage(request: &Request, states: [TaskState; 2]) -> Option<Stage> {
    Some(match states {
        [TaskState::None, _] => Stage::NotArrived,
        [TaskState::Queued | TaskState::Blocked, _] => Stage::PromptWaits,
        [TaskState::Running, _] => Stage::PromptRuns,
        [TaskState::Completed, TaskState::None] if request.ships => Stage::Shipping,
        [TaskState::Completed, TaskState::Completed] => return None,
        [TaskState::Completed, TaskState::Running] => Stage::TokensRun,
        [TaskState::Completed, _] => Stage::TokensWait,
    })
}
