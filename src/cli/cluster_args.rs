//! The options that name a cluster, shared by every command that simulates one.

use std::path::PathBuf;

use clap::Args;

use super::path_list;
use crate::base::error::{Error, Result};
use crate::report::render::shell::quoted;
use crate::scenario::{Compat, ScenarioConfig};

/// The preset that is used if no cluster is named.
pub(super) const DEFAULT_PRESET: &str = "llama-8b-pd-4-4";

/// One cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterArgs {
    /// Cluster configuration, a TOML file
    #[arg(long, short, value_name = "FILE", conflicts_with = "preset")]
    pub(super) config: Option<PathBuf>,

    /// Built-in cluster, see `replay simulate --list-presets` [default: llama-8b-pd-4-4; for `tune`: llama-8b-aggregated-4]
    #[arg(long, value_name = "NAME")]
    pub(super) preset: Option<String>,

    /// Override a key of the configuration, e.g. pool.prefill.instances=4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl ClusterArgs {
    /// Reads the configuration and applies its overrides.
    pub(super) fn read(&self) -> Result<ScenarioConfig> {
        self.read_or(DEFAULT_PRESET, &self.set)
    }

    /// Reads the configuration with other overrides, or a preset if no cluster is named.
    pub(super) fn read_or(&self, preset: &str, overrides: &[String]) -> Result<ScenarioConfig> {
        match &self.config {
            Some(path) => ScenarioConfig::read(path, overrides),
            None => ScenarioConfig::preset(self.preset.as_deref().unwrap_or(preset), overrides),
        }
    }

    /// Like [`Self::read`], but rejects configurations of other simulators.
    pub(super) fn read_accurate(&self) -> Result<ScenarioConfig> {
        let config = self.read()?;
        require_accurate(&config)?;
        Ok(config)
    }
}

/// Several clusters.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClustersArgs {
    /// Cluster configurations, TOML files; may be repeated
    #[arg(long, short, value_name = "FILE,..")]
    config: Vec<PathBuf>,

    /// Built-in clusters, see `replay simulate --list-presets`; may be repeated [default: llama-8b-pd-4-4]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    preset: Vec<String>,

    #[arg(long, value_name = "FILE|NAME,..", hide = true)]
    clusters: Vec<PathBuf>,

    /// Override a key of every configuration, e.g. pool.prefill.instances=4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// A configuration and the flags that name it.
pub(super) struct NamedCluster {
    pub(super) config: ScenarioConfig,
    pub(super) flags: String,
}

impl ClustersArgs {
    /// Reads the configurations and applies their overrides; rejects configurations of other simulators.
    pub(super) fn read(&self) -> Result<Vec<NamedCluster>> {
        let is_file =
            |path: &PathBuf| path.extension().is_some_and(|end| end == "toml") || path.is_file();
        let named = path_list::split(self.clusters.iter().map(|path| path.as_os_str()));
        let (files, names): (Vec<_>, Vec<_>) = named.into_iter().partition(is_file);
        let mut clusters: Vec<ClusterArgs> = Vec::new();
        let one = |config: Option<PathBuf>, preset: Option<String>| ClusterArgs {
            config,
            preset,
            set: self.set.clone(),
        };
        let configs = path_list::split(self.config.iter().map(|path| path.as_os_str()));
        clusters.extend(configs.into_iter().map(|path| one(Some(path), None)));
        let presets = self.preset.iter().cloned();
        clusters.extend(presets.map(|name| one(None, Some(name))));
        clusters.extend(files.into_iter().map(|path| one(Some(path), None)));
        let names = names.into_iter().map(|name| name.display().to_string());
        clusters.extend(names.map(|name| one(None, Some(name))));
        if clusters.is_empty() {
            clusters.push(one(None, Some(DEFAULT_PRESET.to_owned())));
        }
        let read = |cluster: ClusterArgs| {
            Ok(NamedCluster {
                config: cluster.read_accurate()?,
                flags: match (&cluster.config, &cluster.preset) {
                    (Some(path), _) => format!("--config {}", quoted(&path.display().to_string())),
                    (None, name) => {
                        format!("--preset {}", quoted(name.as_deref().unwrap_or_default()))
                    }
                },
            })
        };
        clusters.into_iter().map(read).collect()
    }
}

/// Rejects a configuration by another simulator's rules.
pub(super) fn require_accurate(config: &ScenarioConfig) -> Result<()> {
    if config.compat == Compat::Accurate {
        return Ok(());
    }
    Err(Error::usage(
        format!("{}: compat is not `accurate`", config.name),
        "only `replay simulate` runs another simulator's rules; give this command a cluster with compat = \"accurate\"",
    ))
}
