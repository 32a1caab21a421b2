//! Results of a run: records of requests and instances.

use serde::Serialize;

use super::instance::Pool;
use super::request::{Arrival, Request, TaskId, TaskState};
use super::simulator::Simulator;

/// Everything measured in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Completed requests, in the order of their completion.
    pub requests: Vec<RequestRecord>,
    /// Requests that did not finish, in the order of the trace. The reference does not report them.
    pub unfinished: Vec<UnfinishedRequest>,
    /// Instances, by number.
    pub instances: Vec<InstanceRecord>,
    /// Time of the last event, in seconds.
    pub end: f64,
    /// Number of events that were scheduled.
    pub events: u64,
    /// Iterations whose number of tokens lies outside the measured range.
    pub outside_table: u64,
    /// Number of times that an instance had requests and could start none of them for lack of memory.
    pub stalls: u64,
}

/// A completed request; times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestRecord {
    /// Index in the trace.
    pub index: u32,
    /// Id of the request in the trace.
    pub id: u64,
    /// Arrival time.
    pub arrival: f64,
    /// E2E: from arrival to the last token.
    pub response: f64,
    /// From arrival to the start of the prompt.
    pub queue: f64,
    /// TTFT: from arrival to the end of the prompt.
    pub ttft: f64,
    /// TBT as the reference defines it: (E2E - TTFT) / output tokens, although the difference does not contain the
    /// first token.
    pub tbt: f64,
    /// From the end of the prompt to the start of the token task: transfer and waiting.
    pub nth_token_overhead: f64,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens.
    pub output: u32,
    /// Start and end of the prompt.
    pub prompt_span: (f64, f64),
    /// Start and end of the KV transfer, if there was one.
    pub flow_span: Option<(f64, f64)>,
    /// Start and end of the token task.
    pub token_span: (f64, f64),
    /// Number of the instance that runs the prompt.
    pub prompt_instance: u32,
    /// Number of the instance that generates the tokens.
    pub token_instance: u32,
    /// Whether the prompt started at the exact time of an arrival.
    #[serde(skip)]
    pub started_on_arrival: bool,
}

/// State of a request at the end of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The run ended before the request arrived, or before it was scheduled.
    NotArrived,
    /// Waiting for an instance that runs its prompt.
    PromptWaits,
    /// In a batch with its prompt.
    PromptRuns,
    /// Waiting for memory at the destination of its KV cache, or in transfer.
    Shipping,
    /// Waiting to generate tokens, preempted or not yet started.
    TokensWait,
    /// In a batch, generating tokens.
    TokensRun,
}

/// A request that did not finish.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnfinishedRequest {
    /// Index in the trace.
    pub index: u32,
    /// Id of the request in the trace.
    pub id: u64,
    /// Arrival time, in seconds.
    pub arrival: f64,
    /// State at the end of the run.
    pub stage: Stage,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceRecord {
    /// Name of its GPUs.
    pub name: String,
    /// The pool that the instance was created for; `None` without pools.
    pub pool: Option<Pool>,
    /// Fraction of the time in which its batch was not empty. A batch still running at the end of the run does not
    /// count.
    pub utilization: f64,
    /// Time in which its batch was not empty, in seconds.
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

/// Where a request with tasks in these states is; `None` if it has completed.
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
