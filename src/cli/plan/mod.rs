//! `replay plan`

mod act;
mod command;
mod config;
mod live;
mod serve;
mod trace;
mod web_args;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use self::config::PlannerArgs;
use self::live::LiveArgs;
use super::engine_args::{EngineArgs, EvictionSeedArgs};
use crate::base::error::Error;
use crate::base::limits;
use crate::cli::ranges::number;

/// Arguments of `replay plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
With a trace, latencies come from the performance model: an open loop, to try targets, budgets and predictors. For the answer of a \
simulated cluster, use `replay simulate`. With Prometheus, the planner reads a live cluster; nothing is scaled unless a command or a \
webhook is given. Formulas and keys: docs/sla-planner.md.

Examples:
  replay plan mooncake.jsonl --profile profile/ --interval 60 --ttft-slo 500ms --tbt-slo 20ms
  replay plan mooncake.jsonl --backtest --interval 180 --window 50
  replay plan trace.jsonl.zst --cache --block-size 16 --output plan.csv --set max_gpu_budget=16
  replay plan --prometheus http://localhost:9090 --model Qwen/Qwen3-8B --profile profile/ --once
  replay plan --prometheus http://localhost:9090 --metrics dynamo --scale-command './scale.sh'")]
pub(super) struct PlanArgs {
    /// Trace file in any readable format; - reads standard input
    #[arg(required_unless_present = "prometheus")]
    trace: Option<PathBuf>,

    /// Format of the trace [default: recognised from its content]
    #[arg(long, value_name = "NAME", requires = "trace", help_heading = "Input")]
    format: Option<String>,

    /// Tokenizer, needed where the trace holds text: a built-in name, a tokenizer.json or a model folder
    #[arg(
        long,
        value_name = "NAME|PATH|DIR",
        requires = "trace",
        help_heading = "Input"
    )]
    tokenizer: Option<OsString>,

    /// Compare the load predictors on the trace, without a plan
    #[arg(long, requires = "trace", help_heading = "Planner")]
    backtest: bool,

    #[command(flatten)]
    planner: PlannerArgs,

    /// Prefill instances at the start [default: the minimum]
    #[arg(long, value_name = "N", help_heading = "Planner", value_parser = number::<u32>(limits::INSTANCES))]
    prefill: Option<u32>,

    /// Decode instances at the start [default: the minimum]
    #[arg(long, value_name = "N", help_heading = "Planner", value_parser = number::<u32>(limits::INSTANCES))]
    decode: Option<u32>,

    /// CSV file to write, one line per interval; - is standard output
    #[arg(
        long,
        short,
        value_name = "FILE",
        requires = "trace",
        help_heading = "Output"
    )]
    output: Option<PathBuf>,

    /// Take the prefix cache into account, by the rules of the cache options
    #[arg(long, requires = "trace", help_heading = "Cache")]
    cache: bool,

    /// Tokens per block [default: 16, or the block size of the trace's hash ids]
    #[arg(long, value_name = "TOKENS", help_heading = "Cache", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    seed: EvictionSeedArgs,

    #[command(flatten)]
    live: LiveArgs,
}

impl PlanArgs {
    /// Number of instances at the start.
    fn start(&self, min: [u32; 2]) -> [u32; 2] {
        [
            self.prefill.unwrap_or(min[0]),
            self.decode.unwrap_or(min[1]),
        ]
    }
}

pub(super) fn run(args: &PlanArgs, json: bool) -> anyhow::Result<()> {
    let (config, gpus) = args.planner.config()?;
    match (&args.trace, args.live.is_asked()) {
        (Some(_), true) => Err(Error::usage(
            "a trace and --prometheus exclude each other",
            "give one of them",
        )
        .into()),
        (Some(file), false) if args.backtest => trace::backtest(args, file, &config, json),
        (Some(file), false) => trace::plan(args, file, config, &gpus, json),
        (None, _) => live::run(args, config, &gpus, json),
    }
}
