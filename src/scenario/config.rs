//! The TOML file of a scenario.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::sections::{
    CacheSection, ModelSection, PoolSection, ResizeSection, RouterSection, SloSection,
    WorkloadSection,
};
use super::{LatencyConfig, SchedulerConfig};
use super::{overrides, presets};
use crate::autoscale::AutoscalingSection;
use crate::base::error::{Error, Result};
use crate::base::io::read_configuration_text;
use crate::compat::splitwise;
use crate::sim::topology::Topology;
use crate::sim::transfer::TransferConfig;

/// The simulator whose rules apply to a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// This simulator's own rules, without the defects of the reference systems.
    #[default]
    Accurate,
    /// SplitwiseSim's rules, reproduced to the last bit; section `[splitwise]` is the whole configuration.
    Splitwise,
}

/// A scenario's TOML file: cluster, policy and objectives. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioConfig {
    /// Name of the cluster in results.
    pub name: String,
    /// The simulator whose rules apply.
    pub compat: Compat,
    /// Seed of all random draws.
    pub seed: u64,
    /// Seconds after which the simulation stops [default: when all requests are done].
    pub end_seconds: Option<f64>,
    /// The model.
    pub model: ModelSection,
    /// How the trace is replayed.
    pub workload: WorkloadSection,
    /// Prefix caches.
    pub cache: CacheSection,
    /// The router, which chooses the instance of each request.
    pub router: RouterSection,
    /// Links between instances.
    pub transfer: TransferConfig,
    /// Service level objectives.
    pub slo: SloSection,
    /// Default scheduler of pools, which forms batches.
    pub scheduler: SchedulerConfig,
    /// Default latency model of pools, which gives the duration of steps.
    pub latency: LatencyConfig,
    /// The pools of instances.
    pub pool: Vec<PoolSection>,
    /// Sites and networks of the instances.
    pub topology: Topology,
    /// The autoscaling policy and its bounds.
    pub autoscaling: AutoscalingSection,
    /// Changes of pool sizes at known times.
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

impl ScenarioConfig {
    /// Reads TOML and applies overrides of the form `a.b=value`.
    ///
    /// # Errors
    /// [`Error::Input`] for invalid TOML or an unknown key, with its line; [`Error::Usage`] for an override that matches no
    /// key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = read_configuration_text(path)?;
        let config = Self::parse(&text, path, overrides)?;
        Ok(config)
    }

    /// Returns one of [`PRESETS`], with overrides.
    ///
    /// # Errors
    /// An unknown name, or an override that matches no key.
    pub fn preset(name: &str, overrides: &[String]) -> Result<Self> {
        let preset = presets::find(name)?;
        Self::parse(&preset.toml(), Path::new(preset.name), overrides)
    }

    fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        // The text is read without overrides first, because errors then have lines.
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

    /// Returns the same configuration with overrides of the form `a.b=value`.
    ///
    /// # Errors
    /// An override that matches no key.
    pub fn with_overrides(&self, overrides: &[String]) -> Result<Self> {
        if overrides.is_empty() {
            return Ok(self.clone());
        }
        let table = toml::Table::try_from(self)
            .map_err(|error| Error::usage(error.to_string(), "give another configuration"))?;
        overrides::apply(table, overrides)
    }

    /// Returns the effective configuration as TOML, from which the run can be repeated.
    pub fn to_toml(&self) -> String {
        let mut effective = self.clone();
        effective.autoscaling = self.autoscaling.effective();
        toml::to_string(&effective).unwrap_or_default()
    }
}
