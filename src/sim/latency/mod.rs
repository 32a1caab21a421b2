//! How long a step takes: models of iteration time, one a file.

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

pub use constant::{Constant, Exponential};
pub use context_table::ContextTable;
pub use gpu::{GPUS, Gpu};
pub use linear::Linear;
pub use profile::Profile;
pub use roofline::{Roofline, RooflineConfig};
pub use splitwise_table::{IterationTimes, SplitwiseTable};
pub use splitwise_times::SplitwiseTimes;
pub use vidur_table::{BatchingOverhead, VidurTable};

/// A piece of a prompt in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens to compute.
    pub tokens: u32,
    /// Tokens of the same request whose KV is there already, cached ones included.
    pub past: u32,
}

/// A batch, as far as its time depends on it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Pieces of prompts, also of requests that are computed again.
    pub prefills: Vec<Chunk>,
    /// Requests that compute one sampled token.
    pub decodes: u32,
    /// Tokens whose KV those read, the token being computed not counted: the sum over decodes.
    pub decode_context: u64,
    /// Requests that get logits: decodes, and prompts that end in this step.
    pub sampled: u32,
}

impl Step {
    /// Empties it.
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

    /// Requests in it.
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

/// Steps that lay outside what a model was measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Clamped {
    /// Steps whose time was taken at the edge of the table.
    pub steps: u64,
    /// Steps in all.
    pub of: u64,
}

/// A model of iteration time. One is made per instance, so it may count and draw.
pub trait LatencyModel: Send + std::fmt::Debug {
    /// Seconds that the step takes; finite and not negative.
    fn seconds(&mut self, step: &Step) -> f64;

    /// How many steps were outside of what the model knows, and so taken at its edge.
    fn clamped(&self) -> Clamped {
        Clamped::default()
    }
}
