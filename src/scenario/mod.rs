//! A simulation's configuration: one TOML file, in which unknown keys are errors and every key can be overridden.

mod build;
mod overrides;
mod presets;
pub mod profiler;
mod run;
mod sku;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compat::splitwise;
use crate::autoscale::AutoscalingSection;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::sim::Role;
use crate::sim::topology::Topology;
use crate::sim::transfer::TransferConfig;
use crate::sim::{Objectives, Pacing};

pub use crate::sim::latency::LatencyConfig;
pub use crate::sim::replica::SchedulerConfig;
pub use build::Scenario;
pub use presets::{PRESETS, Preset};
pub use run::{Run, RunOptions};
pub use sku::{SKUS, Sku};

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// This simulator's own, without the defects of the reference systems.
    #[default]
    Accurate,
    /// SplitwiseSim's, to the last bit: section `[splitwise]` is the whole configuration.
    Splitwise,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioConfig {
    /// Name of the cluster in results.
    pub name: String,
    /// Whose rules hold.
    pub compat: Compat,
    /// Of all random draws.
    pub seed: u64,
    /// When to stop, in seconds; else when all is done.
    pub end_seconds: Option<f64>,
    /// What is served.
    pub model: ModelSection,
    /// How requests come.
    pub workload: WorkloadSection,
    /// Prefix caches.
    pub cache: CacheSection,
    /// Who gets a request.
    pub router: RouterSection,
    /// Links between instances.
    pub transfer: TransferConfig,
    /// What counts as good.
    pub slo: SloSection,
    /// How batches are formed, where a pool does not say.
    pub scheduler: SchedulerConfig,
    /// How long they take, where a pool does not say.
    pub latency: LatencyConfig,
    /// Kinds of instances.
    pub pool: Vec<PoolSection>,
    /// Where instances stand.
    pub topology: Topology,
    /// Who changes the cluster's size.
    pub autoscaling: AutoscalingSection,
    /// Changes of size at known times.
    pub resize: Vec<ResizeSection>,
    /// SplitwiseSim's own configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splitwise: Option<splitwise::Config>,
}

impl Default for ScenarioConfig {
    fn default() -> Self {
        Self {
            name: "cluster".into(),
            compat: Compat::Accurate,
            seed: 0,
            end_seconds: None,
            model: ModelSection::default(),
            workload: WorkloadSection::default(),
            cache: CacheSection::default(),
            router: RouterSection::default(),
            transfer: TransferConfig::default(),
            slo: SloSection::default(),
            scheduler: SchedulerConfig::default(),
            latency: LatencyConfig::default(),
            pool: Vec::new(),
            topology: Topology::default(),
            autoscaling: AutoscalingSection::default(),
            resize: Vec::new(),
            splitwise: None,
        }
    }
}

/// The model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Built-in name, or the name of a table's model.
    pub name: String,
    /// Hugging Face config.json, in place of a built-in model.
    pub config: Option<PathBuf>,
    /// Type of cached keys and values, as vLLM names it.
    pub kv_cache_dtype: String,
    /// KV of one token in bytes, where the model is neither built in nor given by its config.json.
    pub kv_bytes_per_token: Option<f64>,
    /// Its weights in bytes, likewise.
    pub weight_bytes: Option<f64>,
    /// Its layers, likewise.
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

/// How the trace is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSection {
    /// Whether turns wait for each other.
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

/// Prefix caches of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// Whether prefixes are found, where the trace tells what its tokens are.
    pub prefix: bool,
    /// Tokens per block; a trace of hash ids has its own.
    pub block_size: u32,
    /// Whether a decode instance sends outputs back to the one that computed the prompt, so that the next turn finds them.
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

/// Routers by name, perhaps with a number behind a colon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSection {
    /// Where requests go that come.
    pub prompt: String,
    /// Where their outputs go, after a prefill instance.
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

/// Service level objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloSection {
    /// A request is good only if its first token comes within so many seconds.
    pub ttft_seconds: f64,
    /// And its mean time between tokens is at most this.
    pub tbt_seconds: f64,
    /// And it ends within so many seconds, if given.
    pub e2e_seconds: Option<f64>,
    /// What an unloaded instance needs, by which slowdowns are counted; the first pool's own, if not given.
    pub reference: Option<LatencyConfig>,
}

impl SloSection {
    /// The limits that a request has to keep.
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

/// A kind of instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSection {
    /// As results and overrides name it.
    pub name: String,
    /// What they are there for.
    #[serde(default)]
    pub role: Role,
    /// How many at the beginning.
    #[serde(default = "one")]
    pub instances: u32,
    /// GPU of an instance.
    #[serde(default = "default_sku")]
    pub sku: String,
    /// GPUs of an instance, which share its layers.
    #[serde(default = "one")]
    pub gpus: u32,
    /// Blocks of KV cache; worked out from GPU and model where missing.
    pub blocks: Option<u32>,
    /// Part of a GPU's memory that the engine uses.
    #[serde(default = "default_utilization")]
    pub gpu_memory_utilization: f64,
    /// Seconds from asking for an instance until it serves.
    #[serde(default = "default_startup")]
    pub startup_seconds: f64,
    /// Dollars per GPU and hour, where not the SKU's.
    pub gpu_hour_cost: Option<f64>,
    /// How it forms batches.
    pub scheduler: Option<SchedulerConfig>,
    /// How long they take.
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

/// From a time on, a pool is to have another number of instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeSection {
    /// When.
    pub at_seconds: f64,
    /// Name of the pool.
    pub pool: String,
    /// How many.
    pub instances: u32,
}

impl ScenarioConfig {
    /// Reads TOML, and sets keys as `a.b=value`.
    ///
    /// # Errors
    /// [`Error::Input`] for what is no TOML or has a key that does not exist, with its line; [`Error::Usage`] for an
    /// override that fits nowhere.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let bytes = Input::open(path)?.read_to_end()?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::input(Location::file(path), "is not UTF-8", "give a TOML file"))?;
        let config = Self::parse(&text, path, overrides)?;
        Ok(config)
    }

    /// One of [`PRESETS`], with overrides.
    ///
    /// # Errors
    /// An unknown name, or an override that fits nowhere.
    pub fn preset(name: &str, overrides: &[String]) -> Result<Self> {
        let preset = presets::find(name)?;
        Self::parse(&preset.toml(), Path::new(preset.name), overrides)
    }

    fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        // Read first as it is: its faults have lines.
        let mut config: Self =
            toml::from_str(text).map_err(|error| overrides::fault(path, text, &error))?;
        if !overrides.is_empty() {
            let table: toml::Table =
                toml::from_str(text).map_err(|error| overrides::fault(path, text, &error))?;
            config = overrides::apply(table, overrides)?;
        }
        if config.name == Self::default().name
            && let Some(stem) = path.file_stem()
        {
            config.name = stem.to_string_lossy().into_owned();
        }
        Ok(config)
    }

    /// The effective configuration, to make the run again.
    pub fn to_toml(&self) -> String {
        let mut effective = self.clone();
        effective.autoscaling = self.autoscaling.effective();
        toml::to_string(&effective).unwrap_or_default()
    }
}
