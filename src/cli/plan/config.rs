//! The options that make a planner's configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};

use crate::autoscale::planner::PlannerConfig;
use crate::base::error::{Error, Location, Result};
use crate::cli::slo_args::duration;

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
    #[arg(long, value_name = "SECONDS")]
    interval: Option<f64>,

    /// Load predictor [default: constant]
    #[arg(long, value_name = "NAME")]
    predictor: Option<String>,

    /// Number of past intervals that a predictor uses [default: 10]
    #[arg(long, value_name = "N")]
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
    /// The keys of the file, overridden by the options.
    pub(super) fn config(&self) -> Result<PlannerConfig> {
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
            let Some((key, value)) = text.split_once('=') else {
                return Err(Error::usage(
                    format!("--set {text}"),
                    "give KEY=VALUE, e.g. max_gpu_budget=16",
                ));
            };
            table.insert(key.trim().to_owned(), value_of(value.trim()));
        }
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
        Ok(config)
    }
}

/// A number, a truth value, or else text.
fn value_of(text: &str) -> Value {
    toml::from_str::<Table>(&format!("x = {text}"))
        .ok()
        .and_then(|mut table| table.remove("x"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::read(path, source))?;
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
