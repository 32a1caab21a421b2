//! The sections of a scenario's TOML file, but for those that other folders define.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LatencyConfig, SchedulerConfig};
use crate::sim::{Objectives, Pacing, Role};

/// `[model]`: the model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Built-in name, or the name of a table's model.
    pub name: String,
    /// Hugging Face config.json, in place of a built-in model.
    pub config: Option<PathBuf>,
    /// Type of cached keys and values, as vLLM names it.
    pub kv_cache_dtype: String,
    /// Bytes of KV cache of one token, where the model is neither built in nor given by its config.json.
    pub kv_bytes_per_token: Option<f64>,
    /// Bytes of its weights, likewise.
    pub weight_bytes: Option<f64>,
    /// Number of its layers, likewise.
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
    /// Whether a turn waits for the answer to the turn before it.
    pub pacing: Pacing,
    /// Arrival times are multiplied by this: 0.5 doubles the rate.
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

/// `[cache]`: prefix caches of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// Whether instances have a prefix cache. It needs a trace with token ids or hash ids.
    pub prefix: bool,
    /// Tokens per block; a trace of hash ids has its own block size.
    pub block_size: u32,
    /// Whether a decode instance sends the KV of an output back to the instance that computed the prompt, so that the next
    /// turn finds it in that cache.
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

/// `[router]`: routers by name, with a parameter after a colon where a router has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSection {
    /// Chooses the instance that computes the prompt of a new request.
    pub prompt: String,
    /// Chooses the decode instance after prefill.
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

/// `[slo]`: service level objectives. A request meets them if it keeps all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloSection {
    /// Limit of the time to first token (TTFT), in seconds.
    pub ttft_seconds: f64,
    /// Limit of a request's mean time between tokens (TBT), in seconds.
    pub tbt_seconds: f64,
    /// Limit of the end-to-end time, in seconds.
    pub e2e_seconds: Option<f64>,
    /// Step times of an unloaded instance, by which slowdowns are counted [default: the first pool's].
    pub reference: Option<LatencyConfig>,
}

impl SloSection {
    /// The limits of a request.
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

/// `[[pool]]`: instances of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSection {
    /// Name in results and overrides.
    pub name: String,
    /// Which part of a request they compute.
    #[serde(default)]
    pub role: Role,
    /// Number of instances at the start.
    #[serde(default = "one")]
    pub instances: u32,
    /// Type of GPU.
    #[serde(default = "default_sku")]
    pub sku: String,
    /// GPUs of an instance (tensor parallelism).
    #[serde(default = "one")]
    pub gpus: u32,
    /// Blocks of KV cache of an instance [default: computed from GPU and model].
    pub blocks: Option<u32>,
    /// Fraction of a GPU's memory that the engine uses.
    #[serde(default = "default_utilization")]
    pub gpu_memory_utilization: f64,
    /// Seconds from the request for an instance until it is ready.
    #[serde(default = "default_startup")]
    pub startup_seconds: f64,
    /// Dollars per GPU and hour [default: the price of the GPU type].
    pub gpu_hour_cost: Option<f64>,
    /// How its instances form batches [default: `[scheduler]`].
    pub scheduler: Option<SchedulerConfig>,
    /// How long their steps take [default: `[latency]`].
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
    /// Seconds since the start.
    pub at_seconds: f64,
    /// Name of the pool.
    pub pool: String,
    /// Its number of instances from then on.
    pub instances: u32,
}
