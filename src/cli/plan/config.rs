//! The options from which a planner's configuration is built.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use toml::{Table, Value};

use crate::autoscale::planner::PlannerConfig;
use crate::autoscale::planner::profile_facts::{InstanceFacts, ProfileFacts};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration_text;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::cli::slo_args::duration;
use crate::scenario::set_key;

/// How to plan.
#[derive(Debug, Args)]
#[command(next_help_heading = "Planner")]
pub(super) struct PlannerArgs {
    /// TTFT target (mean), e.g. 500ms [default: 200ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttft_slo: Option<f64>,

    /// ITL target (mean), e.g. 20ms [default: 50ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    tbt_slo: Option<f64>,

    /// Performance profile: a folder that `replay profile` or Dynamo's profiler wrote [default: a rule of thumb]
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,

    /// Length of an interval between two decisions, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = number::<f64>(limits::INTERVAL))]
    interval: Option<f64>,

    /// Load predictor [default: constant]
    #[arg(long, value_name = "NAME")]
    predictor: Option<String>,

    /// Number of past intervals that a predictor uses [default: 10]
    #[arg(long, value_name = "N", value_parser = number::<i64>(limits::STEP))]
    window: Option<i64>,

    /// Rules of the planner: replay, dynamo or sagellm [default: replay]
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,

    /// TOML file with the planner's keys, alone or in a section [planner]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set a key of the planner, e.g. max_gpu_budget=16
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl PlannerArgs {
    /// Returns the configuration from the file's keys and the options that override them, and the origin of the GPUs per
    /// instance.
    pub(super) fn config(&self) -> Result<(PlannerConfig, InstanceGpus)> {
        let mut table = match &self.config {
            Some(path) => read(path)?,
            None => Table::new(),
        };
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), value);
            }
        };
        let text = |text: &String| Value::String(text.clone());
        let milliseconds = |seconds: f64| Value::Float(seconds * 1e3);
        put("variant", self.variant.as_ref().map(text));
        put("adjustment_interval_sec", self.interval.map(Value::Float));
        put("load_predictor_type", self.predictor.as_ref().map(text));
        put("prediction_window_size", self.window.map(Value::Integer));
        put("target_ttft_ms", self.ttft_slo.map(milliseconds));
        put("target_itl_ms", self.tbt_slo.map(milliseconds));
        let profile = self.profile.as_ref().map(|folder| folder.display());
        put(
            "profile_data_dir",
            profile.map(|folder| Value::String(folder.to_string())),
        );
        for text in &self.set {
            set_key(&mut table, text)?;
        }
        let gpus = self.take_gpus(&mut table)?;
        let config: PlannerConfig =
            Value::Table(table)
                .try_into()
                .map_err(|error: toml::de::Error| {
                    Error::usage(
                        format!("planner's configuration: {}", error.message()),
                        "docs/sla-planner.md has the keys",
                    )
                })?;
        config.check()?;
        Ok((config, gpus))
    }

    /// Sets the GPUs per instance in the table: the configured number, or else that of the profile's instances.
    fn take_gpus(&self, table: &mut Table) -> Result<InstanceGpus> {
        let folder = table.get("profile_data_dir").and_then(Value::as_str);
        let facts = match folder.map(Path::new) {
            Some(folder) if folder.is_dir() => ProfileFacts::load(folder)?,
            _ => None,
        };
        let mut take = |role: &str, facts: Option<&InstanceFacts>| {
            let key = format!("{role}_gpus_per_instance");
            match (table.contains_key(&key), facts) {
                (true, _) => GpuSource::Configuration,
                (false, Some(facts)) => {
                    let gpus = i64::from(facts.gpus_per_instance);
                    table.insert(key, Value::Integer(gpus));
                    GpuSource::Profile
                }
                (false, None) => GpuSource::Default,
            }
        };
        Ok(InstanceGpus {
            prefill: take("prefill", facts.as_ref().map(|facts| &facts.prefill)),
            decode: take("decode", facts.as_ref().map(|facts| &facts.decode)),
            facts,
        })
    }
}

/// Origin of a number of GPUs per instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GpuSource {
    /// Set by the user.
    Configuration,
    /// Taken from the profile's instances.
    Profile,
    /// The default: neither the configuration nor the profile sets it.
    Default,
}

/// Origins of the numbers of GPUs per instance, and the profile's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstanceGpus {
    pub(super) prefill: GpuSource,
    pub(super) decode: GpuSource,
    facts: Option<ProfileFacts>,
}

impl InstanceGpus {
    /// A sentence that states the GPUs per instance and their origin.
    pub(super) fn sentence(&self, config: &PlannerConfig) -> String {
        let one = |phase: &str, gpus: u32, source, facts: Option<&InstanceFacts>| {
            let source = match (source, facts) {
                (GpuSource::Profile, _) => "from the profile".to_owned(),
                (GpuSource::Configuration, Some(facts)) if facts.gpus_per_instance != gpus => {
                    format!(
                        "as configured, but the profile was measured on {}",
                        facts.gpus_per_instance
                    )
                }
                (GpuSource::Configuration, _) => "as configured".to_owned(),
                (GpuSource::Default, _) => {
                    format!("assumed; set {phase}_gpus_per_instance to change it")
                }
            };
            format!("{gpus} per {phase} instance ({source})")
        };
        let facts = self.facts.as_ref();
        let (prefill, decode) = (
            config.prefill_gpus_per_instance,
            config.decode_gpus_per_instance,
        );
        format!(
            "GPUs: {}, {}",
            one("prefill", prefill, self.prefill, facts.map(|f| &f.prefill)),
            one("decode", decode, self.decode, facts.map(|f| &f.decode))
        )
    }
}

fn read(path: &Path) -> Result<Table> {
    let text = read_configuration_text(path)?;
    let mut table: Table = toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..before]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        Error::input(
            Location::line(path, line as u64 + 1),
            error.message().to_owned(),
            "docs/sla-planner.md has the keys",
        )
    })?;
    match table.remove("planner") {
        Some(Value::Table(section)) => Ok(section),
        Some(_) => Err(Error::input(
            Location::file(path),
            "`planner` is not a section",
            "write [planner] and the keys below it",
        )),
        None => Ok(table),
    }
}
