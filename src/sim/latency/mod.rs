//! Latency models: how long a step of an instance takes. One model is one file with its parameters and its card; the list
//! at the end of this file registers it.

mod card;
mod constant;
mod context_table;
mod gpu;
mod grid;
mod linear;
mod profile;
mod roofline;
mod splitwise_table;
mod splitwise_times;
mod vidur_table;

use crate::base::registry::Registry;

pub use card::{LatencyCard, LatencyConfig, LatencyContext, LatencyFactory, LatencyParameters};
pub use constant::{Constant, Exponential, ExponentialConfig};
pub use context_table::{ContextTable, ContextTableConfig};
pub use gpu::{GPUS, Gpu};
pub use linear::Linear;
pub use profile::{Profile, ProfileConfig};
pub use roofline::{Roofline, RooflineConfig};
pub use splitwise_table::{IterationTimes, SplitwiseTable};
pub use splitwise_times::{SplitwiseTableConfig, SplitwiseTimes};
pub use vidur_table::{BatchingOverhead, VidurTable, VidurTableConfig};

/// A chunk of a prompt in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens to compute.
    pub tokens: u32,
    /// Tokens of the same request whose KV cache exists already, prefix-cache hits included.
    pub past: u32,
}

/// The properties of a batch that its duration depends on.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Chunks of prompts, also of requests that are recomputed after a preemption.
    pub prefills: Vec<Chunk>,
    /// Requests that decode one token.
    pub decodes: u32,
    /// Context tokens that the decodes read, summed over decodes; the token being computed does not count.
    pub decode_context: u64,
    /// Requests that sample a token: decodes, and prompts that end in this step.
    pub sampled: u32,
}

impl Step {
    /// Removes everything.
    pub fn clear(&mut self) {
        self.prefills.clear();
        self.decodes = 0;
        self.decode_context = 0;
        self.sampled = 0;
    }

    /// Prompt tokens to compute.
    pub fn prefill_tokens(&self) -> u64 {
        self.prefills
            .iter()
            .map(|chunk| u64::from(chunk.tokens))
            .sum()
    }

    /// All tokens to compute.
    pub fn tokens(&self) -> u64 {
        self.prefill_tokens() + u64::from(self.decodes)
    }

    /// Number of requests.
    pub fn requests(&self) -> u32 {
        self.prefills.len() as u32 + self.decodes
    }

    /// Mean context of a decode, in tokens.
    pub fn mean_decode_context(&self) -> f64 {
        if self.decodes == 0 {
            0.0
        } else {
            self.decode_context as f64 / f64::from(self.decodes)
        }
    }
}

/// Steps outside the range that a model was measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Clamped {
    /// Steps whose duration was taken at the edge of the table.
    pub steps: u64,
    /// All steps.
    pub of: u64,
}

/// A model of the duration of a step. One is built per instance, so it may keep state and draw random numbers.
pub trait LatencyModel: Send + std::fmt::Debug {
    /// Duration of a step in seconds; finite and not negative.
    fn seconds(&mut self, step: &Step) -> f64;

    /// Number of steps so far outside the range that the model was measured for.
    fn clamped(&self) -> Clamped {
        Clamped::default()
    }
}

/// Every latency model.
pub static MODELS: Registry<LatencyCard> =
    Registry::new("latency model", "latency-models.md", LIST);

const LIST: &[LatencyCard] = &[
    LatencyCard::of::<RooflineConfig>(),
    LatencyCard::of::<Linear>(),
    LatencyCard::of::<Constant>(),
    LatencyCard::of::<ExponentialConfig>(),
    LatencyCard::of::<SplitwiseTableConfig>(),
    LatencyCard::of::<VidurTableConfig>(),
    LatencyCard::of::<ProfileConfig>(),
    LatencyCard::of::<ContextTableConfig>(),
];
