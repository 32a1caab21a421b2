//! Records of the requests, instances and steps of a simulation.

use hdrhistogram::Histogram;

use super::instance::{Role, State};
use super::latency::Clamped;
use crate::trace::Nanos;

/// Number that stands for no instance.
pub const NOWHERE: u32 = u32::MAX;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It got all its output tokens.
    Finished,
    /// It needs more memory than any eligible instance has.
    TooLarge,
    /// No instance accepted it.
    NoInstance,
    /// The simulation ended before the request.
    EndOfTime,
    /// The simulation ended before the request arrived.
    #[default]
    NotArrived,
}

/// Record of one request. Times are since the start of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RequestRecord {
    /// Arrival.
    pub arrival: Nanos,
    /// Start of its first batch.
    pub scheduled: Option<Nanos>,
    /// Time of its first output token.
    pub first_token: Option<Nanos>,
    /// Time of its last output token, or of its failure.
    pub ended: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens requested.
    pub output: u32,
    /// Output tokens generated.
    pub generated: u32,
    /// Prompt tokens found in the prefix cache of the instance that computed the prompt.
    pub cached: u32,
    /// Number of preemptions after which it was recomputed.
    pub preemptions: u32,
    /// Instance that computed its prompt.
    pub prefill_instance: u32,
    /// Instance that decoded its output.
    pub decode_instance: u32,
    /// Start of its KV transfer; equal to the end if nothing was transferred.
    pub transfer_start: Nanos,
    /// End of its KV transfer.
    pub transfer_end: Nanos,
    /// Tokens whose KV was transferred, without those that the receiving instance had already.
    pub transferred_tokens: u32,
    /// Prompt tokens at its last start: larger than at first if it was preempted after output tokens, which then count as
    /// prompt.
    pub last_prompt: u32,
    /// Largest gap between two of its output tokens.
    pub longest_gap: Nanos,
    /// Total time in batches.
    pub executed: Nanos,
    /// Total time between batches since its first one, transfers included.
    pub stalled: Nanos,
}

impl RequestRecord {
    /// Whether it finished.
    pub fn is_finished(&self) -> bool {
        self.outcome == Outcome::Finished
    }

    /// Time to first token (TTFT), in seconds.
    pub fn ttft(&self) -> Option<f64> {
        self.first_token
            .map(|first| (first - self.arrival).as_secs_f64())
    }

    /// End-to-end time (E2E) of a finished request, in seconds.
    pub fn e2e(&self) -> Option<f64> {
        self.is_finished()
            .then(|| (self.ended - self.arrival).as_secs_f64())
    }

    /// Mean time between output tokens (TBT) of a finished request with more than one, in seconds.
    pub fn tbt(&self) -> Option<f64> {
        let first = self.first_token?;
        (self.is_finished() && self.output > 1)
            .then(|| (self.ended - first).as_secs_f64() / f64::from(self.output - 1))
    }

    /// Time from arrival to the first batch, in seconds.
    pub fn queued(&self) -> Option<f64> {
        self.scheduled
            .map(|scheduled| (scheduled - self.arrival).as_secs_f64())
    }
}

/// Record of one instance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InstanceRecord {
    /// Name of its pool.
    pub pool: String,
    /// Role.
    pub role: Role,
    /// Number within the cluster.
    pub instance: u32,
    /// Time at which it was requested.
    pub created: Nanos,
    /// Time at which it became ready.
    pub ready: Nanos,
    /// Start of draining, if it was drained.
    pub draining: Option<Nanos>,
    /// Time of its termination, or of the end of the simulation.
    pub gone: Nanos,
    /// Total time in steps.
    pub busy: Nanos,
    /// Part of this time in steps that computed prompts.
    pub busy_prefill: Nanos,
    /// Number of steps.
    pub steps: u64,
    /// Prompt tokens computed, recomputed ones included.
    pub prefill_tokens: u64,
    /// Output tokens sampled.
    pub output_tokens: u64,
    /// Prompt tokens found in its prefix cache.
    pub cached_tokens: u64,
    /// Number of preemptions on this instance.
    pub preemptions: u64,
    /// Largest fraction of its blocks held at once.
    pub peak_kv_usage: f64,
    /// Mean fraction of its blocks held over time.
    pub mean_kv_usage: f64,
    /// Steps outside the measured range of its latency model.
    pub clamped: Clamped,
}

impl InstanceRecord {
    /// Fraction of its time from ready to termination in which it computed; `None` if it never was ready.
    pub fn utilisation(&self) -> Option<f64> {
        let lifetime = (self.gone - self.ready).0;
        (lifetime > 0).then(|| self.busy.0 as f64 / lifetime as f64)
    }
}

/// Record of one step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepRecord {
    /// Number of the instance.
    pub instance: u32,
    /// Start.
    pub started: Nanos,
    /// End.
    pub ended: Nanos,
    /// Requests in the batch.
    pub requests: u32,
    /// Prompt tokens computed, recomputed ones included.
    pub prefill_tokens: u32,
    /// Number of decodes: requests that computed one sampled token.
    pub decodes: u32,
    /// Token pairs in attention: for each request, its tokens of this step times all its tokens up to then.
    pub attended: u64,
    /// Fraction of the blocks held at the start.
    pub usage_before: f64,
    /// The same at the end, after finished requests have freed theirs.
    pub usage_after: f64,
}

/// A change of an instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// Time of the change.
    pub time: Nanos,
    /// Number of the instance.
    pub instance: u32,
    /// State from then on.
    pub state: State,
}

/// All results of a simulation.
#[derive(Debug, Clone)]
pub struct Records {
    /// Requests, by index in the workload.
    pub requests: Vec<RequestRecord>,
    /// Instances, by number.
    pub instances: Vec<InstanceRecord>,
    /// Gaps between consecutive output tokens (ITL), in nanoseconds, with three significant digits.
    pub token_gaps: Histogram<u64>,
    /// Time of the last event.
    pub end: Nanos,
    /// KV bytes transferred between instances.
    pub moved_bytes: u64,
    /// Number of steps of all instances.
    pub steps: u64,
    /// All steps, in order of their start, if [`super::Cluster::log_steps`] is set.
    pub step_log: Vec<StepRecord>,
    /// Changes of instances' states, in order.
    pub state_changes: Vec<StateChange>,
}
