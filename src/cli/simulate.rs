//! `replay simulate`

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::output;
use super::trace_input::TraceArgs;
use crate::autoscale::policy::POLICIES;
use crate::base::error::{Error, Result};
use crate::base::io::Input;
use crate::compat::splitwise::{self, Hydra};
use crate::compat::vidur;
use crate::compat::vidur::VidurConfig;
use crate::metrics::Serving;
use crate::report::studies;
use crate::report::studies::simulation;
use crate::scenario::{Compat, PRESETS, Run, RunOptions, Scenario, ScenarioConfig};
use crate::sim::Objectives;
use crate::sim::PoolResources;
use crate::sim::latency::{SplitwiseTable, VidurTable};
use crate::sim::{Simulation, Workload};
use crate::trace::Trace;

/// Arguments of `replay simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prefill and decode instances, or instances that serve whole requests, with prefix caches, KV transfers, and latency models.
Nothing is random but what a seed decides. Configurations: docs/simulation.md.

Examples:
  replay simulate trace.jsonl.zst --preset llama-8b-pd-4-4
  replay simulate mooncake.jsonl --preset llama-8b-pd-4-4 --set pool.decode.instances=6 --set router.prompt=round-robin
  replay simulate trace.jsonl.zst --config cluster.toml --seeds 0,1,2 --results output/results
  replay simulate trace.jsonl.zst --preset llama-8b-pd-4-4 --policy heteroscale --set autoscaling.heteroscale.target_tps=900
  replay simulate rr_conv_40.csv --config config.yaml      (SplitwiseSim's own configuration and rules)
  replay simulate conv.csv --config config.json            (Vidur's own configuration and rules)
  replay simulate --list-presets
  replay simulate --preset llama-70b-pd-2-2 --print-config > cluster.toml")]
pub(super) struct SimulateArgs {
    /// A trace of any readable format; - is standard input
    trace: Option<PathBuf>,

    /// The trace's format, where it is not recognised
    #[arg(long, value_name = "NAME")]
    format: Option<String>,

    /// The model's tokenizer, where the trace holds text: a built-in name, a tokenizer.json, a model folder
    #[arg(long, value_name = "NAME|PATH|DIR")]
    tokenizer: Option<String>,

    /// Tokens per block [default: the configuration's, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS")]
    block_size: Option<u32>,

    /// The cluster: TOML; or SplitwiseSim's config.yaml or Vidur's config.json, whose rules then hold
    #[arg(long, short, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,

    /// A cluster that ships [default: llama-8b-pd-4-4]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,

    /// Who changes the cluster's size: a policy's name, see --list-policies
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Set a key of the configuration, as pool.prefill.instances=4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Seeds, one run each, in parallel [default: the configuration's]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    seeds: Vec<u64>,

    /// Write results below this folder, as SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY
    #[arg(long, value_name = "DIR", conflicts_with = "output_dir")]
    results: Option<PathBuf>,

    /// Write the results of a single seed into this folder itself
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Further files: vidur (plots/*.csv and request_metrics.csv as Vidur writes them)
    #[arg(long, value_name = "NAME")]
    metrics: Option<String>,

    /// Write every step and request as a Chrome trace, for Perfetto (with several seeds: of the first)
    #[arg(long, value_name = "FILE")]
    chrome_trace: Option<PathBuf>,

    /// SplitwiseSim's perf_model.csv, for its config.yaml [default: the measurements that ship]
    #[arg(long, value_name = "FILE")]
    perf_model: Option<PathBuf>,

    /// Folder with Vidur's exact tables, for its config.json [default: those that ship, interpolated]
    #[arg(long, value_name = "DIR")]
    vidur_tables: Option<PathBuf>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,

    /// Print the effective configuration, and do nothing
    #[arg(long)]
    print_config: bool,

    /// Print the clusters that ship, and do nothing
    #[arg(long)]
    list_presets: bool,

    /// Print the autoscaling policies, and do nothing
    #[arg(long)]
    list_policies: bool,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Cluster where none is named.
pub(super) const DEFAULT_PRESET: &str = "llama-8b-pd-4-4";

/// Where other simulators' rules hold there is no autoscaling, and results say so in their path.
const POLICY: &str = "no_autoscaling";

pub(super) fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
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
    if let Some(path) = &args.config {
        match ending(path) {
            "yaml" | "yml" => return run_splitwise(args, &Hydra::read(path)?.config),
            "json" => return run_vidur(args, path),
            _ => {}
        }
    }
    let mut config = match &args.config {
        Some(path) => ScenarioConfig::read(path, &args.set)?,
        None => {
            let name = args.preset.as_deref().unwrap_or(DEFAULT_PRESET);
            ScenarioConfig::preset(name, &args.set)?
        }
    };
    if let Some(policy) = &args.policy {
        config.autoscaling.policy.clone_from(policy);
    }
    if let Some(size) = args.block_size {
        config.cache.block_size = size;
    }
    if args.print_config {
        return output::print(&config.to_toml());
    }
    if config.compat == Compat::Splitwise {
        let Some(own) = &config.splitwise else {
            return Err(Error::usage(
                "compat is `splitwise`, and there is no section [splitwise]",
                "give SplitwiseSim's servers, start_state and scheduler there, or its config.yaml as --config",
            )
            .into());
        };
        return run_splitwise(args, own);
    }
    let prepared = config.prepare()?;
    let input = input(args)?;
    let read = input.read(args.block_size, false)?;
    if read.trace.requests().is_empty() {
        return Err(Error::input(
            crate::base::error::Location::file(&input.trace),
            "has no requests",
            "give a trace with at least one",
        )
        .into());
    }
    run_accurate(args, &input, &read.trace, &prepared)
}

fn input(args: &SimulateArgs) -> Result<TraceArgs> {
    let Some(trace) = &args.trace else {
        return Err(Error::usage(
            "no trace to serve",
            "name a trace file, or make one with `replay gen-trace`",
        ));
    };
    Ok(TraceArgs {
        trace: trace.clone(),
        format: args.format.clone(),
        tokenizer: args.tokenizer.clone(),
    })
}

fn ending(path: &Path) -> &str {
    path.extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
}

fn seeds(args: &SimulateArgs, own: u64) -> Result<Vec<u64>> {
    let seeds = if args.seeds.is_empty() {
        vec![own]
    } else {
        args.seeds.clone()
    };
    if seeds.len() > 1 && args.output_dir.is_some() {
        return Err(Error::usage(
            "--output-dir holds one run, and there are several seeds",
            "take --results, which has a folder for each",
        ));
    }
    Ok(seeds)
}

fn run_accurate(
    args: &SimulateArgs,
    input: &TraceArgs,
    trace: &Trace,
    prepared: &Scenario,
) -> anyhow::Result<()> {
    let config = prepared.config();
    let seeds = seeds(args, config.seed)?;
    let blocks = prepared.blocks(trace)?;
    let mut workload = Workload::new(trace, blocks.as_ref());
    workload.stretch(config.workload.time_scale);
    let logs = args.chrome_trace.is_some() || args.metrics.is_some();
    let done = AtomicU64::new(0);
    let options = RunOptions {
        log_steps: logs,
        progress: Some(&done),
    };
    let simulate = |seed: &u64| -> Result<(u64, Run)> {
        Ok((*seed, prepared.run(&workload, *seed, options)?))
    };
    let total = (seeds.len() * workload.items().len()) as u64;
    let runs = output::with_progress("requests", total, &done, || {
        seeds.par_iter().map(simulate).collect::<Result<Vec<_>>>()
    })?;
    let names = names(prepared);
    for (seed, run) in &runs {
        let Some(folder) = folder(args, *seed, input, &names) else {
            continue;
        };
        let files = simulation::RunFiles {
            trace,
            records: &run.records,
            scaling: run.scaling.as_ref(),
            serving: &run.serving,
            config: &config.to_toml(),
            command: &super::typed_command(),
            seed: *seed,
        };
        if args.metrics.is_some() {
            vidur::write(&folder, &run.records, None)?;
        }
        simulation::write(&files, &folder)?;
        output::note(&format!("wrote {}", folder.display()));
    }
    if let (Some(path), Some((_, run))) = (&args.chrome_trace, runs.first()) {
        simulation::chrome_trace(&run.records, path)?;
    }
    if args.json {
        let one = |(seed, run): &(u64, Run)| {
            let mut figures = serde_json::to_value(&run.serving).unwrap_or_default();
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
    for (seed, run) in &runs {
        if runs.len() > 1 {
            output::print(&format!("seed {seed}"))?;
        }
        output::print(&simulation::text(&run.serving))?;
    }
    Ok(())
}

/// Names of the folders of a run: start state, cluster, model, scheduler, policy.
pub(super) fn names(prepared: &Scenario) -> [String; 5] {
    let config = prepared.config();
    [
        prepared.start_state(),
        config.name.clone(),
        config.model.name.clone(),
        prepared.schedulers(),
        config.autoscaling.label(),
    ]
}

/// A run's folder below the results.
pub(super) fn run_folder(
    results: &Path,
    seed: u64,
    trace: &str,
    [start_state, cluster, model, scheduler, policy]: &[String; 5],
) -> PathBuf {
    let parts = [start_state, trace, cluster, model, scheduler, policy];
    let mut folder = results.join(seed.to_string());
    for part in parts {
        folder.push(part.replace('/', "_"));
    }
    folder
}

/// Where the results of a run go, if they go anywhere.
fn folder(
    args: &SimulateArgs,
    seed: u64,
    input: &TraceArgs,
    names: &[String; 5],
) -> Option<PathBuf> {
    if let Some(folder) = &args.output_dir {
        return Some(folder.clone());
    }
    let trace = simulation::trace_name(&input.trace);
    let results = args.results.as_ref()?;
    Some(run_folder(results, seed, &trace, names))
}

/// By SplitwiseSim's rules.
fn run_splitwise(args: &SimulateArgs, config: &splitwise::Config) -> anyhow::Result<()> {
    let input = input(args)?;
    let arrivals = splitwise::read_arrivals(Input::open(&input.trace)?, config.application_id)?;
    let read = args
        .perf_model
        .as_ref()
        .map(SplitwiseTable::read)
        .transpose()?;
    let table = read.as_ref().unwrap_or_else(|| SplitwiseTable::builtin());
    for seed in seeds(args, config.seed)? {
        let config = splitwise::Config {
            seed,
            ..config.clone()
        };
        let report = splitwise::simulate(&config, &arrivals.requests, table)?;
        let names = [
            config.start_state.label(),
            config.cluster_label(),
            config.model.architecture.clone(),
            config.scheduler.name.clone(),
            POLICY.to_owned(),
        ];
        let mut figures = studies::splitwise::figures(&report, table);
        figures["version"] = json!(crate::base::version::VERSION);
        figures["seed"] = json!(seed);
        figures["command"] = json!(super::typed_command());
        if let Some(folder) = folder(args, seed, &input, &names) {
            let options = splitwise::WriteOptions {
                application_id: config.application_id,
                integral: arrivals.integral,
            };
            let effective = ScenarioConfig {
                name: config.cluster_label(),
                compat: Compat::Splitwise,
                splitwise: Some(config.clone()),
                ..ScenarioConfig::default()
            };
            let config = effective.to_toml();
            studies::splitwise::write(&report, options, &figures, &config, &folder)?;
            output::note(&format!("wrote {}", folder.display()));
        }
        if args.json {
            output::print(&serde_json::to_string_pretty(&figures)?)?;
        } else {
            output::print(&studies::splitwise::text(&report, table))?;
        }
    }
    Ok(())
}

/// By Vidur's rules, of its own configuration.
fn run_vidur(args: &SimulateArgs, path: &Path) -> anyhow::Result<()> {
    let config = VidurConfig::read(path)?;
    let input = input(args)?;
    let prefix = config.table_prefix();
    let table = match &args.vidur_tables {
        Some(folder) => VidurTable::read(folder, &prefix, config.overhead())?,
        None => VidurTable::preset(&prefix)?,
    };
    let trace = input.read(None, false)?.trace;
    let workload = Workload::of_items(config.requests(&input.trace)?);
    let mut cluster = config.cluster(&table);
    cluster.log_steps = true;
    let records = Simulation::new(&workload, cluster).run();
    let setup = PoolResources {
        pool: "replica".to_owned(),
        sku: config.cluster_config.replica_config.device.clone(),
        gpus: config.cluster_config.replica_config.tensor_parallel_size as u32,
        blocks: config.blocks(),
        hour_cost: None,
        watts: None,
    };
    let slo = Objectives::default();
    let serving = Serving::new(&records, None, &[setup], &slo, &mut table.clone());
    let names = [
        format!("replica-{}", config.cluster_config.num_replicas),
        config.cluster_config.replica_config.device.clone(),
        config.cluster_config.replica_config.model_name.clone(),
        config.cluster_config.replica_scheduler_config.name.clone(),
        POLICY.to_owned(),
    ];
    if let Some(folder) = folder(args, config.seed, &input, &names) {
        let (parameters, attention_width, flops) = config.work();
        let work = vidur::ModelWork {
            parameters,
            attention_width,
            flops,
        };
        vidur::write(&folder, &records, Some(work))?;
        let run = simulation::RunFiles {
            trace: &trace,
            records: &records,
            scaling: None,
            serving: &serving,
            config: "",
            command: &super::typed_command(),
            seed: config.seed,
        };
        simulation::write(&run, &folder)?;
        output::note(&format!("wrote {}", folder.display()));
    }
    if let Some(path) = &args.chrome_trace {
        simulation::chrome_trace(&records, path)?;
    }
    if args.json {
        return output::print(&serde_json::to_string_pretty(&serving)?);
    }
    output::print(&simulation::text(&serving))
}
