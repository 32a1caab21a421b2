//! `replay simulate`

mod foreign;
mod modes;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use self::modes::Mode;
use super::cluster_args::ClusterArgs;
use super::slo_args::SloArgs;
use super::trace_input::TraceArgs;
use super::{measured, output};
use crate::autoscale::policy::POLICIES;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::compat::splitwise::Hydra;
use crate::compat::vidur;
use crate::report::studies::simulation;
use crate::scenario::inputs::{RunInputs, TraceInput};
use crate::scenario::layout::{RunKey, trace_name};
use crate::scenario::{Compat, PRESETS, Run, RunOptions, Scenario};

/// Arguments of `replay simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Simulates prefill and decode instances, or instances that serve whole requests, with prefix caches, KV transfers and latency \
models. The same trace, configuration and seed give the same results.

--config takes a TOML file; SplitwiseSim's config.yaml and Vidur's config.json are simulated by those programs' rules, which have no \
autoscaling and no overrides.

Examples:
  replay simulate trace.jsonl.zst --preset llama-8b-pd-4-4
  replay simulate mooncake.jsonl --set pool.decode.instances=6 --set router.prompt=round-robin
  replay simulate trace.jsonl.zst --config cluster.toml --seeds 0,1,2 --results output/results
  replay simulate trace.jsonl.zst --autoscaler kpa --ttft-slo 500ms --tbt-slo 40ms
  replay simulate rr_conv_40.csv --config config.yaml      (by SplitwiseSim's rules)
  replay simulate conv.csv --config config.json            (by Vidur's rules)
  replay simulate --preset llama-70b-pd-2-2 --print-config > cluster.toml

Configurations and results: docs/simulation.md.")]
pub(super) struct SimulateArgs {
    /// Trace file in any readable format; - reads standard input
    trace: Option<PathBuf>,

    /// Format of the trace [default: recognised from its content]
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    format: Option<String>,

    /// Tokenizer, needed where the trace holds text: a built-in name, a tokenizer.json or a model folder
    #[arg(long, value_name = "NAME|PATH|DIR", help_heading = "Input")]
    tokenizer: Option<OsString>,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Tokens per block [default: the configuration's, or the block size of the trace's hash ids]
    #[arg(long, value_name = "TOKENS", help_heading = "Cluster", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,

    /// Autoscaling policy (see --list-policies) [default: the configuration's]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    autoscaler: Option<String>,

    /// Seeds, one run each, in parallel [default: the configuration's]
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        help_heading = "Cluster", value_parser = number::<u64>(limits::ANY))]
    seeds: Vec<u64>,

    #[command(flatten)]
    slo: SloArgs,

    /// SplitwiseSim's perf_model.csv, for its config.yaml [default: the built-in measurements]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    perf_model: Option<PathBuf>,

    /// Folder with Vidur's exact tables, for its config.json [default: the built-in tables, interpolated]
    #[arg(long, value_name = "DIR", help_heading = "Cluster")]
    vidur_tables: Option<PathBuf>,

    /// Write each run below this folder, in SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "output_dir",
        help_heading = "Output"
    )]
    results: Option<PathBuf>,

    /// Write the results of a single seed into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Also write another program's files: vidur (plots/*.csv and request_metrics.csv as Vidur writes them)
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    metrics: Option<String>,

    /// Write every step and request as a Chrome trace, for Perfetto (of the first seed, if there are several)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    chrome_trace: Option<PathBuf>,

    /// Print the effective configuration and exit
    #[arg(long, help_heading = "Print and exit")]
    print_config: bool,

    /// Print the built-in clusters and exit
    #[arg(long, help_heading = "Print and exit")]
    list_presets: bool,

    /// Print the autoscaling policies and exit
    #[arg(long, help_heading = "Print and exit")]
    list_policies: bool,
}

pub(super) fn run(args: &SimulateArgs, json: bool) -> anyhow::Result<()> {
    if args.list_presets {
        let lines = PRESETS
            .iter()
            .map(|preset| format!("{:<28} {}", preset.name, preset.summary));
        return output::print(&lines.collect::<Vec<_>>().join("\n"));
    }
    if args.list_policies {
        return output::print(&POLICIES.listing());
    }
    if let Some(metrics) = &args.metrics
        && metrics != "vidur"
    {
        return Err(Error::unknown_name("metrics", metrics, &["vidur"]).into());
    }
    if let Some(path) = &args.cluster.config {
        match ending(path) {
            "yaml" | "yml" => {
                args.refuse_meaningless(Mode::SplitwiseYaml)?;
                return foreign::splitwise(args, &Hydra::read(path)?.config, json);
            }
            "json" => {
                args.refuse_meaningless(Mode::Vidur)?;
                return foreign::vidur(args, path, json);
            }
            _ => {}
        }
    }
    let mut config = args.cluster.read()?;
    if config.compat == Compat::Splitwise {
        args.refuse_meaningless(Mode::SplitwiseToml)?;
        let Some(own) = &config.splitwise else {
            return Err(Error::usage(
                "compat is `splitwise`, but the configuration has no section [splitwise]",
                "give SplitwiseSim's servers, start_state and scheduler there, or its config.yaml in place of the TOML file",
            )
            .into());
        };
        return foreign::splitwise(args, own, json);
    }
    args.refuse_meaningless(Mode::Accurate)?;
    if let Some(policy) = &args.autoscaler {
        config.autoscaling.policy.clone_from(policy);
    }
    if let Some(size) = args.block_size {
        config.cache.block_size = size;
    }
    args.slo.apply(&mut config);
    if args.print_config {
        return output::print(&config.to_toml());
    }
    accurate(args, &config.prepare()?, json)
}

/// The ending of a file's name, without the dot.
fn ending(path: &Path) -> &str {
    path.extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
}

impl SimulateArgs {
    fn input(&self) -> Result<TraceArgs> {
        let Some(trace) = &self.trace else {
            return Err(Error::usage(
                "no trace is given",
                "name a trace file, or make one with `replay gen-trace`",
            ));
        };
        Ok(TraceArgs {
            trace: trace.clone(),
            format: self.format.clone(),
            tokenizer: self.tokenizer.clone(),
        })
    }

    fn seeds(&self, own: u64) -> Result<Vec<u64>> {
        let seeds = if self.seeds.is_empty() {
            vec![own]
        } else {
            self.seeds.clone()
        };
        if seeds.len() > 1 && self.output_dir.is_some() {
            return Err(Error::usage(
                "--output-dir holds a single run, but several seeds are given",
                "use --results, which has a folder for each",
            ));
        }
        Ok(seeds)
    }

    /// Folder for the results of a run, if they are to be written.
    fn folder(&self, trace: &Path, key: impl Fn(&str) -> RunKey) -> Option<PathBuf> {
        if let Some(folder) = &self.output_dir {
            return Some(folder.clone());
        }
        let results = self.results.as_ref()?;
        Some(key(&trace_name(trace)).path(results))
    }
}

/// Simulates a TOML configuration by this simulator's own rules.
fn accurate(args: &SimulateArgs, scenario: &Scenario, json: bool) -> anyhow::Result<()> {
    let input = args.input()?;
    let trace = input.read_some(args.block_size)?;
    let config = scenario.config();
    let seeds = args.seeds(config.seed)?;
    measured::tell(scenario);
    let blocks = scenario.blocks(&trace)?;
    let workload = scenario.workload(&trace, blocks.as_ref());
    let done = AtomicU64::new(0);
    let options = RunOptions {
        log_steps: args.chrome_trace.is_some() || args.metrics.is_some(),
        progress: Some(&done),
    };
    let total = (seeds.len() * workload.items().len()) as u64;
    let runs = output::with_progress("requests", total, &done, || {
        let run = |seed: &u64| Ok((*seed, scenario.run(&workload, *seed, options)?));
        seeds.par_iter().map(run).collect::<Result<Vec<_>>>()
    })?;
    // Before the folders, so that a trace that cannot be written leaves no results of a failed command.
    if let (Some(path), Some((_, run))) = (&args.chrome_trace, runs.first()) {
        simulation::chrome_trace(&run.records, path)?;
    }
    for (seed, run) in &runs {
        let key = |trace: &str| RunKey::new(scenario, *seed, trace);
        let Some(folder) = args.folder(&input.trace, key) else {
            continue;
        };
        let (format, tokenizer) = (input.format.as_deref(), input.tokenizer.as_deref());
        let source = TraceInput::new(&input.trace, format, tokenizer, args.block_size)?;
        let files = simulation::RunFiles {
            trace: &trace,
            records: &run.records,
            scaling: run.scaling.as_ref(),
            serving: &run.serving,
            config: &config.to_toml(),
            command: &super::typed_command(),
            seed: *seed,
        };
        RunInputs::new(config, *seed, source)?.record(&folder, |place| {
            config.keep_script(place)?;
            measured::write(scenario, place)?;
            if args.metrics.is_some() {
                vidur::write(place, &run.records, None)?;
            }
            simulation::write(&files, place)
        })?;
        output::wrote(&folder);
    }
    show(&runs, json)
}

/// Prints the figures of the runs.
fn show(runs: &[(u64, Run)], json: bool) -> anyhow::Result<()> {
    if json {
        let one = |(seed, run): &(u64, Run)| {
            let mut figures = simulation::value(&run.serving).unwrap_or_default();
            if let Some(figures) = figures.as_object_mut() {
                figures.insert("seed".into(), json!(seed));
            }
            figures
        };
        let all: Vec<_> = runs.iter().map(one).collect();
        let value = match all.as_slice() {
            [one] => one.clone(),
            _ => json!(all),
        };
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    for (seed, run) in runs {
        if runs.len() > 1 {
            output::print(&format!("seed {seed}"))?;
        }
        output::print(&simulation::text(&run.serving))?;
    }
    Ok(())
}
