//! The flags by which `threshold` and `aging` take a trace and a cluster.

use std::path::PathBuf;

use clap::Args;

use super::super::output;
use super::super::trace_input::TraceArgs;
use crate::error::{Error, Location, Result};
use crate::sim::config::{Compat, SchedulerConfig, SimConfig};
use crate::sim::replica::{OptSarathiConfig, Policy};
use crate::trace::Trace;
use crate::tune::{Bench, with_opt_sarathi};

/// Cluster where none is named.
const DEFAULT_PRESET: &str = "llama-8b-aggregated-4";

/// Trace, cluster, and seeds.
#[derive(Debug, Args)]
pub(super) struct ClusterArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// The cluster: TOML, as of `replay simulate`
    #[arg(long, short, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,

    /// A cluster that ships [default: llama-8b-aggregated-4]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,

    /// Set a key of the configuration, as pool.replicas.instances=2
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Tokens of a step [default: the configuration's, or 512]
    #[arg(long, value_name = "TOKENS")]
    chunk_size: Option<u32>,

    /// Requests of a step [default: the configuration's, or 128]
    #[arg(long, value_name = "N")]
    max_num_seqs: Option<u32>,

    /// Seeds, one run each: the first serves the trace as it is, the others exchange the sessions' start times
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "0,1,2"
    )]
    seeds: Vec<u64>,

    /// Leave start times as they are for every seed: it then decides only what is random in the cluster
    #[arg(long)]
    keep_starts: bool,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What is served, and on what.
pub(super) struct Served {
    pub(super) bench: Bench,
    pub(super) config: SimConfig,
}

impl ClusterArgs {
    /// Reads and checks everything.
    pub(super) fn open(&self, policy: Option<Policy>) -> anyhow::Result<Served> {
        output::set_threads(self.threads)?;
        let config = self.config(policy)?;
        config.prepare()?;
        for (index, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..index].contains(seed) {
                return Err(
                    Error::usage(format!("seed {seed} twice"), "give each seed once").into(),
                );
            }
        }
        let trace: Trace = self.input.read(None, false)?.trace;
        if trace.requests().is_empty() {
            return Err(Error::input(
                Location::file(&self.input.trace),
                "has no requests",
                "give a trace with at least one",
            )
            .into());
        }
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

    fn config(&self, policy: Option<Policy>) -> Result<SimConfig> {
        let config = match &self.config {
            Some(path) => SimConfig::read(path, &self.set)?,
            None => SimConfig::preset(self.preset.as_deref().unwrap_or(DEFAULT_PRESET), &self.set)?,
        };
        if config.compat != Compat::Accurate {
            return Err(Error::usage(
                "a configuration by another simulator's rules",
                "give a cluster with compat = \"accurate\"",
            ));
        }
        let pools = config
            .pool
            .iter()
            .map(|pool| pool.scheduler.as_ref().unwrap_or(&config.scheduler));
        let mut others: Vec<&str> = pools
            .filter(|scheduler| !matches!(scheduler, SchedulerConfig::OptSarathi(_)))
            .map(SchedulerConfig::name)
            .collect();
        others.dedup();
        let changed = with_opt_sarathi(&config, |own| {
            own.chunk_size = self.chunk_size.unwrap_or(own.chunk_size);
            own.max_num_seqs = self.max_num_seqs.unwrap_or(own.max_num_seqs);
            own.policy = policy.unwrap_or(own.policy);
        });
        if !others.is_empty() {
            let own = match &changed.scheduler {
                SchedulerConfig::OptSarathi(own) => own.clone(),
                _ => OptSarathiConfig::default(),
            };
            output::note(&format!(
                "scheduler opt-sarathi in place of {}: chunk_size {}, max_num_seqs {}; a [scheduler] of kind opt-sarathi sets the rest",
                others.join(" and "),
                own.chunk_size,
                own.max_num_seqs
            ));
        }
        Ok(changed)
    }
}
