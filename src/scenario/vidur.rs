//! Runs by Vidur's rules, from Vidur's own configuration.

use std::path::Path;

use super::layout::{NO_AUTOSCALING, RunKey};
use super::run::{Run, RunOptions, Yardstick, serve};
use crate::base::error::Result;
use crate::compat::vidur::{ModelWork, VidurConfig};
use crate::sim::latency::VidurTable;
use crate::sim::{Objectives, PoolResources, Workload};

/// The prepared inputs of a run by Vidur's rules.
#[derive(Debug)]
pub struct VidurSetup {
    config: VidurConfig,
    table: VidurTable,
}

impl VidurSetup {
    /// Reads Vidur's `config.json`, and its tables of operations from a folder; without `tables`, the built-in ones are used.
    ///
    /// # Errors
    /// Files that cannot be read, or that require a feature that is not simulated.
    pub fn read(config: &Path, tables: Option<&Path>) -> Result<Self> {
        let config = VidurConfig::read(config)?;
        let prefix = config.table_prefix();
        let table = match tables {
            Some(folder) => VidurTable::read(folder, &prefix, config.overhead())?,
            None => VidurTable::preset(&prefix)?,
        };
        Ok(Self { config, table })
    }

    /// The configuration.
    pub fn config(&self) -> &VidurConfig {
        &self.config
    }

    /// Simulates the requests of a trace in Vidur's format. Attainment uses this program's default objectives, because Vidur
    /// has none.
    ///
    /// # Errors
    /// A trace that is not in Vidur's format.
    pub fn run(&self, trace: &Path) -> Result<Run> {
        let config = &self.config;
        let replica = &config.cluster_config.replica_config;
        let workload = Workload::of_items(config.requests(trace)?);
        let resources = [PoolResources {
            pool: "replica".to_owned(),
            sku: replica.device.clone(),
            gpus: replica.tensor_parallel_size as u32,
            blocks: config.blocks(),
            hour_cost: None,
            watts: None,
        }];
        let yardstick = Yardstick {
            resources: &resources,
            objectives: Objectives::default(),
            reference: &mut self.table.clone(),
        };
        let options = RunOptions {
            log_steps: true,
            ..RunOptions::default()
        };
        let cluster = config.cluster(&self.table);
        serve(&workload, cluster, None, yardstick, options)
    }

    /// The key of a run's results; `trace` is the trace's name.
    pub fn key(&self, trace: &str) -> RunKey {
        let cluster = &self.config.cluster_config;
        RunKey::of_names([
            &self.config.seed.to_string(),
            &format!("replica-{}", cluster.num_replicas),
            trace,
            &cluster.replica_config.device,
            &cluster.replica_config.model_name,
            &cluster.replica_scheduler_config.name,
            NO_AUTOSCALING,
        ])
    }

    /// Parameters, attention width and FLOPs of the model, which Vidur's own files need.
    pub fn model_work(&self) -> ModelWork {
        let (parameters, attention_width, flops) = self.config.work();
        ModelWork {
            parameters,
            attention_width,
            flops,
        }
    }
}
