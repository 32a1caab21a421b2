//! The options of `threshold` and `aging` that name a trace and a cluster.

use clap::Args;

use super::super::cluster_args::{ClusterArgs, require_accurate};
use super::super::output;
use super::super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::scenario::{ScenarioConfig, SchedulerConfig};
use crate::sim::replica::{OptSarathiConfig, Policy};
use crate::tune::{TraceVariants, with_opt_sarathi};

/// The preset that is used if no cluster is named.
const DEFAULT_PRESET: &str = "llama-8b-aggregated-4";

/// Trace, cluster, and seeds.
#[derive(Debug, Args)]
pub(super) struct WorkloadArgs {
    #[command(flatten)]
    input: TraceArgs,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Token budget of a step [default: the configuration's, or 512]
    #[arg(long, value_name = "TOKENS", help_heading = "Scheduler", value_parser = number::<u32>(limits::TOKENS))]
    chunk_size: Option<u32>,

    /// Maximum number of requests of a step [default: the configuration's, or 128]
    #[arg(long, value_name = "N", help_heading = "Scheduler", value_parser = number::<u32>(limits::SEQUENCES))]
    max_num_seqs: Option<u32>,

    // The same as `--set scheduler.KEY=VALUE`.
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    scheduler: Vec<String>,

    /// Seeds, one run each: the first serves the trace as it is, the others permute the start times of its sessions
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0,1,2",
        help_heading = "Seeds", value_parser = number::<u64>(limits::ANY))]
    seeds: Vec<u64>,

    /// Keep the start times for every seed, which then decides only what is random in the cluster
    #[arg(long, help_heading = "Seeds")]
    keep_starts: bool,
}

/// The trace and the cluster of the simulations.
pub(super) struct Served {
    pub(super) variants: TraceVariants,
    pub(super) config: ScenarioConfig,
}

impl WorkloadArgs {
    /// Reads and checks all inputs.
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
        let variants = TraceVariants::new(
            &trace,
            config.workload.time_scale,
            &self.seeds,
            !self.keep_starts,
        )?;
        Ok(Served { variants, config })
    }

    /// The seeds.
    pub(super) fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Returns the cluster with `opt-sarathi` on all instances. Overrides are applied last, so that they may set that
    /// scheduler's keys.
    fn config(&self, policy: Option<Policy>) -> Result<ScenarioConfig> {
        let config = self.cluster.read_or(DEFAULT_PRESET, &[])?;
        require_accurate(&config)?;
        let mut others: Vec<&str> = schedulers(&config)
            .filter(|scheduler| scheduler.parameters::<OptSarathiConfig>().is_none())
            .map(SchedulerConfig::name)
            .collect();
        others.dedup();
        let changed = with_opt_sarathi(&config, |own| {
            own.chunk_size = self.chunk_size.unwrap_or(own.chunk_size);
            own.max_num_seqs = self.max_num_seqs.unwrap_or(own.max_num_seqs);
            own.policy = policy.unwrap_or(own.policy);
        });
        let mut overrides = self.cluster.set.clone();
        for text in &self.scheduler {
            overrides.push(format!("scheduler.{text}"));
            let pools = config.pool.iter().filter(|pool| pool.scheduler.is_some());
            overrides.extend(pools.map(|pool| format!("pool.{}.scheduler.{text}", pool.name)));
        }
        let changed = changed.with_overrides(&overrides)?;
        if let Some(other) = schedulers(&changed)
            .find(|scheduler| scheduler.parameters::<OptSarathiConfig>().is_none())
        {
            return Err(Error::usage(
                format!("the scheduler is {}", other.name()),
                "this command tunes opt-sarathi; do not set another kind",
            ));
        }
        if !others.is_empty() {
            let own: OptSarathiConfig = changed.scheduler.parameters().unwrap_or_default();
            output::note(&format!(
                "scheduler opt-sarathi in place of {}: chunk_size {}, max_num_seqs {}; --set scheduler.KEY=VALUE sets the rest",
                others.join(" and "),
                own.chunk_size,
                own.max_num_seqs
            ));
        }
        Ok(changed)
    }
}

/// The schedulers of all pools.
fn schedulers(config: &ScenarioConfig) -> impl Iterator<Item = &SchedulerConfig> {
    config
        .pool
        .iter()
        .map(|pool| pool.scheduler.as_ref().unwrap_or(&config.scheduler))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::tune::cluster::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: WorkloadArgs,
    }

    fn config(flags: &[&str]) -> Result<ScenarioConfig> {
        let words = ["tune", "trace.csv"].iter().chain(flags);
        Command::parse_from(words).args.config(None)
    }

    #[test]
    fn keys_of_the_scheduler_are_set_like_all_others() {
        for flag in ["--set=scheduler.", "--scheduler="] {
            let set = |text: &str| format!("{flag}{text}");
            let flags = [
                set("chunk_size=256"),
                set("policy=aging"),
                set("enable_dynamic_chunking_schedule = true"),
                set("aging_tokens_per_second=12.5"),
            ];
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let found = config(&flags).expect(flag);
            let own: OptSarathiConfig = found.scheduler.parameters().expect("opt-sarathi");
            assert_eq!((own.chunk_size, own.policy), (256, Policy::Aging));
            assert!(own.enable_dynamic_chunking_schedule);
            assert_eq!(own.aging_tokens_per_second, Some(12.5));
        }
        for text in [
            "scheduler.chunk=1",
            "scheduler.chunk_size",
            "scheduler.chunk_size=many",
            "scheduler.policy=lifo",
        ] {
            let flag = format!("--set={text}");
            let error = config(&[&flag]).expect_err(text).to_string();
            assert!(error.starts_with(&format!("override {text}")), "{error}");
        }
        let error = config(&["--set=scheduler.kind=vllm-v1"]).expect_err("another scheduler");
        assert!(!error.to_string().is_empty());
    }
}
