//! The sections of a scenario's TOML file, except those that other folders define.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LatencyConfig, SchedulerConfig};
use crate::sim::{Objectives, Pacing, Role};

/// `[model]`: the model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Name of a built-in model, or of a model in a latency table.
    pub name: String,
    /// Path of a Hugging Face config.json, in place of a built-in model.
    pub config: Option<PathBuf>,
    /// Data type of cached keys and values, by vLLM's name.
    pub kv_cache_dtype: String,
    /// KV cache size of one token in bytes, for a model that is neither built in nor given by its config.json.
    pub kv_bytes_per_token: Option<f64>,
    /// Size of its weights in bytes, for the same models.
    pub weight_bytes: Option<f64>,
    /// Number of its layers, for the same models.
    pub layers: Option<u32>,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            name: "llama-3-8b".into(),
            config: None,
            kv_cache_dtype: "auto".into(),
            kv_bytes_per_token: None,
            weight_bytes: None,
            layers: None,
        }
    }
}

/// `[workload]`: how the trace is replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSection {
    /// Whether a turn waits for the answer to the previous turn.
    pub pacing: Pacing,
    /// Factor by which arrival times are multiplied: 0.5 doubles the rate.
    pub time_scale: f64,
}

impl Default for WorkloadSection {
    fn default() -> Self {
        Self {
            pacing: Pacing::Open,
            time_scale: 1.0,
        }
    }
}

/// `[cache]`: the prefix caches of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// Whether instances have a prefix cache. It needs a trace with token ids or hash ids.
    pub prefix: bool,
    /// Tokens per block; the block size of a trace of hash ids overrides it.
    pub block_size: u32,
    /// Whether a decode instance sends the KV of an output back to the prefill instance of the request, so that the next turn
    /// finds it in that instance's cache.
    pub write_back: bool,
}

impl Default for CacheSection {
    fn default() -> Self {
        Self {
            prefix: true,
            block_size: 16,
            write_back: true,
        }
    }
}

/// `[router]`: routers by name, with a parameter after a colon if the router has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSection {
    /// Router that chooses the instance for prefill of a new request.
    pub prompt: String,
    /// Router that chooses the decode instance after prefill.
    pub output: String,
}

impl Default for RouterSection {
    fn default() -> Self {
        Self {
            prompt: "prefix-aware".into(),
            output: "least-loaded".into(),
        }
    }
}

/// `[slo]`: service level objectives. A request meets the SLO if it meets all objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloSection {
    /// Objective for the time to first token (TTFT), in seconds.
    pub ttft_seconds: f64,
    /// Objective for a request's mean time between tokens (TBT), in seconds.
    pub tbt_seconds: f64,
    /// Objective for the end-to-end latency (E2E), in seconds.
    pub e2e_seconds: Option<f64>,
    /// Latency model of the idle instance to which slowdowns are relative [default: the first pool's].
    pub reference: Option<LatencyConfig>,
}

impl SloSection {
    /// The objectives of a request.
    pub fn objectives(&self) -> Objectives {
        Objectives {
            ttft_seconds: self.ttft_seconds,
            tbt_seconds: self.tbt_seconds,
            e2e_seconds: self.e2e_seconds,
        }
    }
}

impl Default for SloSection {
    fn default() -> Self {
        let Objectives {
            ttft_seconds,
            tbt_seconds,
            e2e_seconds,
        } = Objectives::default();
        Self {
            ttft_seconds,
            tbt_seconds,
            e2e_seconds,
            reference: None,
        }
    }
}

/// `[[pool]]`: a pool of equal instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSection {
    /// Name in results and overrides.
    pub name: String,
    /// Role of its instances.
    #[serde(default)]
    pub role: Role,
    /// Number of instances at the start.
    #[serde(default = "one")]
    pub instances: u32,
    /// Type of GPU.
    #[serde(default = "default_sku")]
    pub sku: String,
    /// GPUs per instance (tensor parallelism).
    #[serde(default = "one")]
    pub gpus: u32,
    /// Number of KV cache blocks per instance [default: computed from GPU and model].
    pub blocks: Option<u32>,
    /// Fraction (0 to 1) of a GPU's memory that the engine uses.
    #[serde(default = "default_utilization")]
    pub gpu_memory_utilization: f64,
    /// Start-up time in seconds, until a new instance is ready.
    #[serde(default = "default_startup")]
    pub startup_seconds: f64,
    /// Price in dollars per GPU and hour [default: the price of the GPU type].
    pub gpu_hour_cost: Option<f64>,
    /// Scheduler that forms the batches of its instances [default: `[scheduler]`].
    pub scheduler: Option<SchedulerConfig>,
    /// Latency model of its instances [default: `[latency]`].
    pub latency: Option<LatencyConfig>,
}

fn one() -> u32 {
    1
}

fn default_sku() -> String {
    "h100-80gb".into()
}

fn default_utilization() -> f64 {
    0.9
}

fn default_startup() -> f64 {
    60.0
}

/// `[[resize]]`: a change of a pool's size at a known time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeSection {
    /// Time in seconds since the start.
    pub at_seconds: f64,
    /// Name of the pool.
    pub pool: String,
    /// New number of its instances.
    pub instances: u32,
}
