//! Replica schedulers by name.

use serde::{Deserialize, Serialize};

use crate::base::error::Result;
use crate::sim::replica::{
    OptSarathi, OptSarathiConfig, ReplicaScheduler, Sarathi, SarathiConfig, VllmV0, VllmV0Config,
    VllmV1, VllmV1Config,
};

/// How an instance forms its batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SchedulerConfig {
    /// vLLM v1: chunked prefill, prefix cache, preemption by recompute.
    VllmV1(VllmV1Config),
    /// vLLM v0 by Vidur's rules: prompts first and whole.
    VllmV0(VllmV0Config),
    /// Sarathi by Vidur's rules: decodes, and pieces of prompts beside them.
    Sarathi(SarathiConfig),
    /// Sarathi with priorities and a least size of pieces.
    OptSarathi(OptSarathiConfig),
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self::VllmV1(VllmV1Config::default())
    }
}

impl SchedulerConfig {
    /// Name in results.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VllmV1(_) => "vllm-v1",
            Self::VllmV0(_) => "vllm-v0",
            Self::Sarathi(_) => "sarathi",
            Self::OptSarathi(_) => "opt-sarathi",
        }
    }

    /// Whether it looks prefixes up; the others compute every prompt whole, as their originals do.
    pub fn finds_prefixes(&self) -> bool {
        matches!(self, Self::VllmV1(_))
    }

    /// A scheduler for one instance.
    ///
    /// # Errors
    /// Numbers that cannot be met.
    pub fn build(&self) -> Result<Box<dyn ReplicaScheduler>> {
        Ok(match self {
            Self::VllmV1(config) => Box::new(VllmV1::new(config.clone())),
            Self::VllmV0(config) => Box::new(VllmV0::new(config.clone())),
            Self::Sarathi(config) => Box::new(Sarathi::new(config.clone())),
            Self::OptSarathi(config) => Box::new(OptSarathi::new(config.clone())?),
        })
    }
}
