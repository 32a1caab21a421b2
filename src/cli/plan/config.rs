//! The flags that make a planner's configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};

use crate::autoscale::planner::PlannerConfig;
use crate::base::error::{Error, Location, Result};

/// How to plan.
#[derive(Debug, Args)]
pub(super) struct PlannerArgs {
    /// The planner's keys: TOML, alone or in a section [planner]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set a key of the planner, as max_gpu_budget=16
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Whose rules hold: replay, dynamo or sagellm [default: replay]
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,

    /// Seconds between two decisions [default: 60]
    #[arg(long, value_name = "SECONDS")]
    interval: Option<f64>,

    /// The load predictor [default: constant]
    #[arg(long, value_name = "NAME")]
    predictor: Option<String>,

    /// Intervals that a predictor looks back [default: 10]
    #[arg(long, value_name = "N")]
    window: Option<i64>,

    /// Mean time to first token to keep, in milliseconds [default: 200]
    #[arg(long, value_name = "MS")]
    target_ttft: Option<f64>,

    /// Mean time between tokens to keep, in milliseconds [default: 50]
    #[arg(long, value_name = "MS")]
    target_itl: Option<f64>,

    /// The folder of a profile: CSV as `replay profile` writes it, or Dynamo's files [default: a rule of thumb]
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,
}

impl PlannerArgs {
    /// The file's keys, with what flags say instead.
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
        put("variant", self.variant.as_ref().map(text));
        put("adjustment_interval_sec", self.interval.map(Value::Float));
        put("load_predictor_type", self.predictor.as_ref().map(text));
        put("prediction_window_size", self.window.map(Value::Integer));
        put("target_ttft_ms", self.target_ttft.map(Value::Float));
        put("target_itl_ms", self.target_itl.map(Value::Float));
        let profile = self.profile.as_ref().map(|folder| folder.display());
        put(
            "profile_data_dir",
            profile.map(|folder| Value::String(folder.to_string())),
        );
        for text in &self.set {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Error::usage(
                    format!("--set {text}"),
                    "give KEY=VALUE, as max_gpu_budget=16",
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
                        "docs/sla-planner.md tells the keys",
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
            "docs/sla-planner.md tells the keys",
        )
    })?;
    match table.remove("planner") {
        Some(Value::Table(section)) => Ok(section),
        Some(_) => Err(Error::input(
            Location::file(path),
            "planner is no section",
            "write [planner] and the keys below it",
        )),
        None => Ok(table),
    }
}
