//! `replay plan`

mod act;
mod config;
mod live;
mod serve;
mod trace;

use std::path::PathBuf;

use clap::Args;

use self::config::PlannerArgs;
use self::live::LiveArgs;
use super::engine_args::EngineArgs;
use crate::base::error::Error;

/// Arguments of `replay plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
With a trace, latencies are those of the performance model: an open loop, for trying targets, budgets and predictors. To let a
simulated cluster answer, use `replay simulate`. With Prometheus, the planner sees a real cluster. Nothing is scaled unless a
command or a webhook is named. Formulas and keys: docs/sla-planner.md.

Examples:
  replay plan --trace mooncake.jsonl --profile profile/ --interval 60 --target-ttft 500 --target-itl 20
  replay plan --trace mooncake.jsonl --backtest --interval 180 --window 50
  replay plan --trace trace.jsonl.zst --cache --block-size 16 --csv plan.csv --set max_gpu_budget=16
  replay plan --prometheus http://localhost:9090 --metrics vllm --model Qwen/Qwen3-8B --profile profile/ --once
  replay plan --prometheus http://localhost:9090 --metrics dynamo --scale-command './scale.sh' --listen 127.0.0.1:9099")]
pub(super) struct PlanArgs {
    /// Plan for a trace of any readable format; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "prometheus")]
    trace: Option<PathBuf>,

    /// The trace's format, where it is not recognised
    #[arg(long, value_name = "NAME", requires = "trace")]
    format: Option<String>,

    /// The model's tokenizer, where the trace holds text: a built-in name, a tokenizer.json, a model folder
    #[arg(long, value_name = "NAME|PATH|DIR", requires = "trace")]
    tokenizer: Option<String>,

    /// Compare the load predictors on the trace, and plan nothing
    #[arg(long, requires = "trace")]
    backtest: bool,

    /// Ask a prefix cache what prompts it holds: the flags below say by which rules
    #[arg(long, requires = "trace")]
    cache: bool,

    #[command(flatten)]
    engine: EngineArgs,

    /// Print the decisions (or, with --backtest, the errors) as JSON
    #[arg(long)]
    json: bool,

    /// Write one line per interval there; - is standard output
    #[arg(long, value_name = "FILE", requires = "trace")]
    csv: Option<PathBuf>,

    /// Prefill instances at the start [default: the fewest]
    #[arg(long, value_name = "N")]
    prefill: Option<u32>,

    /// Decode instances at the start [default: the fewest]
    #[arg(long, value_name = "N")]
    decode: Option<u32>,

    #[command(flatten)]
    planner: PlannerArgs,

    #[command(flatten)]
    live: LiveArgs,
}

impl PlanArgs {
    /// Instances at the start.
    fn start(&self, min: [u32; 2]) -> [u32; 2] {
        [
            self.prefill.unwrap_or(min[0]),
            self.decode.unwrap_or(min[1]),
        ]
    }
}

pub(super) fn run(args: &PlanArgs) -> anyhow::Result<()> {
    let (config, gpus) = args.planner.config()?;
    match (&args.trace, args.live.is_asked()) {
        (Some(_), true) => Err(Error::usage(
            "--trace and --prometheus are two different things",
            "give one of them",
        )
        .into()),
        (Some(file), false) if args.backtest => trace::backtest(args, file, &config),
        (Some(file), false) => trace::plan(args, file, config, &gpus),
        (None, _) => live::run(args, config, &gpus),
    }
}
