//! The options by which `threshold` and `aging` take a trace and a cluster.

use std::cell::RefCell;

use clap::Args;

use super::super::cluster_args::require_accurate;
use super::super::output;
use super::super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::scenario::{ScenarioConfig, SchedulerConfig};
use crate::sim::replica::{OptSarathiConfig, Policy};
use crate::tune::{Bench, with_opt_sarathi};

/// Cluster where none is named.
const DEFAULT_PRESET: &str = "llama-8b-aggregated-4";

/// Trace, cluster, and seeds.
#[derive(Debug, Args)]
pub(super) struct ServedArgs {
    #[command(flatten)]
    input: TraceArgs,

    #[command(flatten)]
    cluster: super::super::cluster_args::ClusterArgs,

    /// Tokens of a step [default: the configuration's, or 512]
    #[arg(long, value_name = "TOKENS", help_heading = "Scheduler")]
    chunk_size: Option<u32>,

    /// Most requests of a step [default: the configuration's, or 128]
    #[arg(long, value_name = "N", help_heading = "Scheduler")]
    max_num_seqs: Option<u32>,

    /// Set a key of the scheduler opt-sarathi, e.g. enable_dynamic_chunking_schedule=true
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Scheduler")]
    scheduler: Vec<String>,

    /// Seeds, one run each: the first serves the trace as it is, the others permute the start times of the sessions
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0,1,2",
        help_heading = "Seeds"
    )]
    seeds: Vec<u64>,

    /// Keep the start times for every seed, which then decides only what is random in the cluster
    #[arg(long, help_heading = "Seeds")]
    keep_starts: bool,
}

/// What is served, and on what.
pub(super) struct Served {
    pub(super) bench: Bench,
    pub(super) config: ScenarioConfig,
}

impl ServedArgs {
    /// Reads and checks everything.
    pub(super) fn open(&self, policy: Option<Policy>) -> anyhow::Result<Served> {
        let config = self.config(policy)?;
        config.prepare()?;
        for (index, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..index].contains(seed) {
                return Err(
                    Error::usage(format!("seed {seed} twice"), "give each seed once").into(),
                );
            }
        }
        let trace = self.input.read_some(None)?;
        let bench = Bench::new(
            &trace,
            config.workload.time_scale,
            &self.seeds,
            !self.keep_starts,
        )?;
        Ok(Served { bench, config })
    }

    /// The seeds.
    pub(super) fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn config(&self, policy: Option<Policy>) -> Result<ScenarioConfig> {
        let config = self.cluster.read_or(DEFAULT_PRESET, &self.cluster.set)?;
        require_accurate(&config)?;
        let pools = config
            .pool
            .iter()
            .map(|pool| pool.scheduler.as_ref().unwrap_or(&config.scheduler));
        let mut others: Vec<&str> = pools
            .filter(|scheduler| !matches!(scheduler, SchedulerConfig::OptSarathi(_)))
            .map(SchedulerConfig::name)
            .collect();
        others.dedup();
        let wrong = RefCell::new(None);
        let changed = with_opt_sarathi(&config, |own| {
            own.chunk_size = self.chunk_size.unwrap_or(own.chunk_size);
            own.max_num_seqs = self.max_num_seqs.unwrap_or(own.max_num_seqs);
            own.policy = policy.unwrap_or(own.policy);
            for text in &self.scheduler {
                if let Err(error) = set(own, text) {
                    wrong.replace(Some(error));
                }
            }
        });
        if let Some(error) = wrong.into_inner() {
            return Err(error);
        }
        if !others.is_empty() {
            let own = match &changed.scheduler {
                SchedulerConfig::OptSarathi(own) => own.clone(),
                _ => OptSarathiConfig::default(),
            };
            output::note(&format!(
                "scheduler opt-sarathi in place of {}: chunk_size {}, max_num_seqs {}; --scheduler KEY=VALUE sets the rest",
                others.join(" and "),
                own.chunk_size,
                own.max_num_seqs
            ));
        }
        Ok(changed)
    }
}

/// Sets one key of a scheduler.
fn set(config: &mut OptSarathiConfig, text: &str) -> Result<()> {
    let fail = |problem: String| {
        Error::usage(
            format!("--scheduler {text}: {}", problem.trim()),
            "give a key of opt-sarathi, e.g. chunk_size=256",
        )
    };
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| fail("is not KEY=VALUE".to_owned()))?;
    let (key, value) = (key.trim(), value.trim());
    // A word without quotes is a text, as the name of a policy.
    let value: toml::Value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut table = toml::Table::try_from(&*config).map_err(|error| fail(error.to_string()))?;
    table.insert(key.to_owned(), value);
    *config = table
        .try_into()
        .map_err(|error: toml::de::Error| fail(error.message().to_owned()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cli::tune::cluster::*;

    #[test]
    fn keys_of_the_scheduler() {
        let mut config = OptSarathiConfig::default();
        for text in [
            "chunk_size=256",
            "policy=aging",
            "enable_dynamic_chunking_schedule = true",
            "aging_tokens_per_second=12.5",
        ] {
            set(&mut config, text).expect(text);
        }
        assert_eq!((config.chunk_size, config.policy), (256, Policy::Aging));
        assert!(config.enable_dynamic_chunking_schedule);
        assert_eq!(config.aging_tokens_per_second, Some(12.5));
        for text in ["chunk=1", "chunk_size", "chunk_size=many", "policy=lifo"] {
            let error = set(&mut config, text).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("--scheduler {text}: ")),
                "{error}"
            );
        }
    }
}
