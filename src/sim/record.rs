//! What became of each request, and of each instance.

use hdrhistogram::Histogram;

use super::instance::{Role, State};
use super::latency::Clamped;
use crate::trace::Nanos;

/// No instance.
pub const NOWHERE: u32 = u32::MAX;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All its tokens were there.
    Finished,
    /// It needs more memory than any instance that may serve it has.
    TooLarge,
    /// No instance took it.
    NoInstance,
    /// The simulation ended before.
    EndOfTime,
    /// The simulation ended before it came.
    #[default]
    NotArrived,
}

/// One request. Times are since the start of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RequestRecord {
    /// When it came.
    pub arrival: Nanos,
    /// When it was first in a batch.
    pub scheduled: Option<Nanos>,
    /// When its first output token was there.
    pub first_token: Option<Nanos>,
    /// When its last output token was there, or it was given up.
    pub ended: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens it was to have.
    pub output: u32,
    /// Output tokens it got.
    pub generated: u32,
    /// Prompt tokens found in the prefix cache of the instance that computed the prompt.
    pub cached: u32,
    /// How often it lost its memory and was computed again.
    pub preemptions: u32,
    /// Where its prompt was computed.
    pub prefill_instance: u32,
    /// Where its output was.
    pub decode_instance: u32,
    /// When its KV began to move; equal to the end where nothing was moved.
    pub transfer_start: Nanos,
    /// When its KV was there.
    pub transfer_end: Nanos,
    /// Tokens whose KV was moved; those that the other instance had already were not.
    pub transferred_tokens: u32,
    /// Prompt tokens when it last started: more than at first if it was preempted after output tokens, which then count as
    /// prompt.
    pub last_prompt: u32,
    /// Largest gap between two of its output tokens.
    pub longest_gap: Nanos,
    /// Time in batches.
    pub executed: Nanos,
    /// Time between batches, since it was first in one, transfers included.
    pub stalled: Nanos,
}

impl RequestRecord {
    /// Whether it got all its tokens.
    pub fn is_finished(&self) -> bool {
        self.outcome == Outcome::Finished
    }

    /// Time to first token, in seconds.
    pub fn ttft(&self) -> Option<f64> {
        self.first_token
            .map(|first| (first - self.arrival).as_secs_f64())
    }

    /// End to end, in seconds, of a finished request.
    pub fn e2e(&self) -> Option<f64> {
        self.is_finished()
            .then(|| (self.ended - self.arrival).as_secs_f64())
    }

    /// Mean time between output tokens (TPOT), in seconds: of a finished request with more than one.
    pub fn tbt(&self) -> Option<f64> {
        let first = self.first_token?;
        (self.is_finished() && self.output > 1)
            .then(|| (self.ended - first).as_secs_f64() / f64::from(self.output - 1))
    }

    /// From arrival to the first batch, in seconds.
    pub fn queued(&self) -> Option<f64> {
        self.scheduled
            .map(|scheduled| (scheduled - self.arrival).as_secs_f64())
    }
}

/// One instance over the whole simulation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InstanceRecord {
    /// Name of its pool.
    pub pool: String,
    /// What it was there for.
    pub role: Role,
    /// Number within the cluster.
    pub instance: u32,
    /// When it was asked for.
    pub created: Nanos,
    /// When it could take work.
    pub ready: Nanos,
    /// When it was told to finish what it had, if it was.
    pub draining: Option<Nanos>,
    /// When it was given back, or the simulation ended.
    pub gone: Nanos,
    /// Time in steps.
    pub busy: Nanos,
    /// Of these, in steps with prompts.
    pub busy_prefill: Nanos,
    /// Steps.
    pub steps: u64,
    /// Prompt tokens computed, those computed again included.
    pub prefill_tokens: u64,
    /// Output tokens sampled.
    pub output_tokens: u64,
    /// Prompt tokens found in its prefix cache.
    pub cached_tokens: u64,
    /// Requests that lost their memory here.
    pub preemptions: u64,
    /// Most of its blocks held at once, as a part of all.
    pub peak_kv_usage: f64,
    /// Blocks held, as a part of all, by time.
    pub mean_kv_usage: f64,
    /// Steps outside of what its latency model knows.
    pub clamped: Clamped,
}

impl InstanceRecord {
    /// Fraction of its time from ready to gone that it computed; `None` where it never was ready.
    pub fn utilisation(&self) -> Option<f64> {
        let lifetime = (self.gone - self.ready).0;
        (lifetime > 0).then(|| self.busy.0 as f64 / lifetime as f64)
    }
}

/// One step of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepRecord {
    /// Which instance.
    pub instance: u32,
    /// When it began.
    pub started: Nanos,
    /// When it was over.
    pub ended: Nanos,
    /// Requests in it.
    pub requests: u32,
    /// Prompt tokens computed, those computed again included.
    pub prefill_tokens: u32,
    /// Requests that computed one sampled token.
    pub decodes: u32,
    /// Tokens that attention compared: for each request its tokens of this step times those and all before.
    pub attended: u64,
    /// Blocks held, as a part of all, when it began.
    pub usage_before: f64,
    /// And after it, when requests that were done had given theirs back.
    pub usage_after: f64,
}

/// An instance was in another state from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// When.
    pub time: Nanos,
    /// Which instance.
    pub instance: u32,
    /// Its state from then on.
    pub state: State,
}

/// Everything that a simulation leaves behind.
#[derive(Debug, Clone)]
pub struct Records {
    /// By index in the workload.
    pub requests: Vec<RequestRecord>,
    /// By number.
    pub instances: Vec<InstanceRecord>,
    /// Gaps between consecutive output tokens (ITL), in nanoseconds, to three digits.
    pub token_gaps: Histogram<u64>,
    /// When the last event came.
    pub end: Nanos,
    /// KV that was moved between instances, in bytes.
    pub moved_bytes: u64,
    /// Steps of all instances.
    pub steps: u64,
    /// Each of them, in the order in which they began, where [`super::Cluster::log_steps`] asks for it.
    pub step_log: Vec<StepRecord>,
    /// Changes of instances' states, in order.
    pub state_changes: Vec<StateChange>,
}
