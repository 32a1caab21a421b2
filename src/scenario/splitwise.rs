//! Runs by SplitwiseSim's rules, from SplitwiseSim's own configuration.

use std::borrow::Cow;
use std::path::Path;

use super::layout::{NO_AUTOSCALING, RunKey};
use super::{Compat, ScenarioConfig};
use crate::base::error::Result;
use crate::base::io::Input;
use crate::compat::splitwise::{self, Arrivals, Report, WriteOptions};
use crate::sim::latency::SplitwiseTable;

/// The prepared inputs of a run by SplitwiseSim's rules.
#[derive(Debug)]
pub struct SplitwiseSetup {
    config: splitwise::Config,
    arrivals: Arrivals,
    table: Cow<'static, SplitwiseTable>,
}

/// A run by SplitwiseSim's rules.
#[derive(Debug)]
pub struct SplitwiseRun {
    /// The configuration, with the seed of this run.
    pub config: splitwise::Config,
    /// The results.
    pub report: Report,
    /// Options of the files that it writes.
    pub options: WriteOptions,
}

impl SplitwiseSetup {
    /// Reads the requests, and the iteration times from SplitwiseSim's `perf_model.csv`; without `times`, the built-in ones are
    /// used.
    ///
    /// # Errors
    /// Files that cannot be read or are not in SplitwiseSim's format.
    pub fn read(config: &splitwise::Config, trace: &Path, times: Option<&Path>) -> Result<Self> {
        let arrivals = splitwise::read_arrivals(Input::open(trace)?, config.application_id)?;
        let table = match times {
            Some(path) => Cow::Owned(SplitwiseTable::read(path)?),
            None => Cow::Borrowed(SplitwiseTable::builtin()),
        };
        Ok(Self {
            config: config.clone(),
            arrivals,
            table,
        })
    }

    /// The iteration times.
    pub fn table(&self) -> &SplitwiseTable {
        &self.table
    }

    /// Simulates with a seed.
    ///
    /// # Errors
    /// A configuration that is invalid under SplitwiseSim's rules.
    pub fn run(&self, seed: u64) -> Result<SplitwiseRun> {
        let config = splitwise::Config {
            seed,
            ..self.config.clone()
        };
        let report = splitwise::simulate(&config, &self.arrivals.requests, &self.table)?;
        Ok(SplitwiseRun {
            options: WriteOptions {
                application_id: config.application_id,
                integral: self.arrivals.integral,
            },
            config,
            report,
        })
    }
}

impl SplitwiseRun {
    /// The key of its results; `trace` is the trace's name.
    pub fn key(&self, trace: &str) -> RunKey {
        let config = &self.config;
        RunKey::of_names([
            &config.seed.to_string(),
            &config.start_state.label(),
            trace,
            &config.cluster_label(),
            &config.model.architecture,
            &config.scheduler.name,
            NO_AUTOSCALING,
        ])
    }
}

impl ScenarioConfig {
    /// Returns the configuration file that runs SplitwiseSim's rules with SplitwiseSim's own configuration.
    pub fn of_splitwise(config: &splitwise::Config) -> Self {
        Self {
            name: config.cluster_label(),
            compat: Compat::Splitwise,
            splitwise: Some(config.clone()),
            ..Self::default()
        }
    }
}
