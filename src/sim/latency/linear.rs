//! Durations linear in tokens, as in vLLM's simulator, with a term for context that is 0 there.

use serde::{Deserialize, Serialize};

use super::{LatencyContext, LatencyFactory, LatencyModel, LatencyParameters, Step};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// `base + prefill_per_token * prompt tokens + decode_per_request * decodes + per_context_token * tokens read`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// Milliseconds of every step.
    pub base_ms: f64,
    /// Milliseconds per prompt token that is computed.
    pub prefill_ms_per_token: f64,
    /// Milliseconds per decode in the batch.
    pub decode_ms_per_request: f64,
    /// Milliseconds per context token that decodes read.
    pub context_ms_per_token: f64,
}

impl Default for Linear {
    /// Roughly an 8B model on an A100.
    fn default() -> Self {
        Self {
            base_ms: 10.0,
            prefill_ms_per_token: 0.065,
            decode_ms_per_request: 0.03,
            context_ms_per_token: 1e-4,
        }
    }
}

impl LatencyParameters for Linear {
    const CARD: Card = Card::new("linear", "linear in tokens, as in vLLM's simulator");

    fn prepare(&self, _: &LatencyContext<'_>) -> Result<LatencyFactory> {
        for (name, number) in [
            ("base_ms", self.base_ms),
            ("prefill_ms_per_token", self.prefill_ms_per_token),
            ("decode_ms_per_request", self.decode_ms_per_request),
            ("context_ms_per_token", self.context_ms_per_token),
        ] {
            positive(&format!("latency.{name}"), number, true)?;
        }
        Ok(LatencyFactory::copies_of(*self))
    }
}

impl LatencyModel for Linear {
    fn seconds(&mut self, step: &Step) -> f64 {
        let ms = self.base_ms
            + self.prefill_ms_per_token * step.prefill_tokens() as f64
            + self.decode_ms_per_request * f64::from(step.decodes)
            + self.context_ms_per_token * step.decode_context as f64;
        ms / 1e3
    }
}
