//! `replay tune threshold`

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::super::output;
use super::cluster::WorkloadArgs;
use super::select::ScoreArgs;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::studies::tuning;
use crate::sim::replica::Policy;
use crate::tune::threshold::{parse_time, runs, time_name};

/// Order of the requests in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyArg {
    Fcfs,
    Spf,
    Srtf,
    Aging,
}

/// Arguments of `replay tune threshold`.
#[derive(Debug, Args)]
#[command(after_help = "\
Simulates the trace at every threshold and seed on a cluster with the scheduler opt-sarathi, writes the files that sarathi-serve's \
scripts would have written, and recommends a threshold as `replay tune select` does.

Examples:
  replay tune threshold trace.jsonl.zst --seeds 0,1,2,3,4
  replay tune threshold trace.jsonl.zst --chunk-size 256 --queue-order aging --max-threshold 70
  replay tune threshold trace.jsonl.zst --config cluster.toml -o output/threshold --time now")]
pub(super) struct ThresholdArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Highest threshold; it must be below 0.3 of the chunk size
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        help_heading = "Thresholds", value_parser = number::<u32>(limits::THRESHOLD))]
    max_threshold: u32,

    /// Step from one threshold to the next, from 0
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        help_heading = "Thresholds", value_parser = number::<u32>(limits::STEP))]
    step: u32,

    /// Order of the requests in memory [default: the configuration's]
    #[arg(long, value_enum, help_heading = "Scheduler")]
    queue_order: Option<PolicyArg>,

    /// Folder for the runs, as DIR/TIME/THRESHOLD/*.csv
    #[arg(
        long,
        short,
        default_value = "threshold_output",
        value_name = "DIR",
        help_heading = "Output"
    )]
    output_dir: PathBuf,

    /// TIME of seed 0, e.g. 2025-12-18_14-30-00, or `now`; seed N is N seconds later
    #[arg(
        long,
        default_value = "1970-01-01_00-00-00",
        value_name = "TIME",
        help_heading = "Output"
    )]
    time: String,

    #[command(flatten)]
    score: ScoreArgs,
}

pub(super) fn run(args: &ThresholdArgs, json: bool) -> anyhow::Result<()> {
    let names = names(args)?;
    // Some of the folders may be those of the same command that was stopped.
    let folders: Vec<PathBuf> = names
        .iter()
        .map(|name| args.output_dir.join(name))
        .collect();
    if let Some(first) = folders.first()
        && folders.iter().all(|folder| folder.exists())
    {
        return Err(Error::usage(
            format!("{} exists already", first.display()),
            "name another --output-dir or --time, or remove it",
        )
        .into());
    }
    let policy = args.queue_order.map(|policy| match policy {
        PolicyArg::Fcfs => Policy::Fcfs,
        PolicyArg::Spf => Policy::Spf,
        PolicyArg::Srtf => Policy::Srtf,
        PolicyArg::Aging => Policy::Aging,
    });
    let served = args.workload.open(policy)?;
    let thresholds: Vec<u32> = (0..=args.max_threshold)
        .step_by(args.step as usize)
        .collect();
    let done = AtomicU64::new(0);
    let total = (served.variants.requests() * thresholds.len() * names.len()) as u64;
    let runs = output::with_progress("requests", total, &done, || {
        runs(&served.variants, &served.config, &thresholds, &names, &done)
    })?;
    tuning::write_runs(&runs, &args.output_dir)?;
    for folder in &folders {
        output::wrote(folder);
    }
    args.score.report(&runs, &args.output_dir, json)
}

/// Returns a folder name for each seed.
fn names(args: &ThresholdArgs) -> Result<Vec<String>> {
    let base = if args.time == "now" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    } else {
        parse_time(&args.time).ok_or_else(|| {
            Error::usage(
                format!("the time `{}`", args.time),
                "give a time such as 2025-12-18_14-30-00, or `now`",
            )
        })?
    };
    // Years of more than four digits would not sort correctly.
    const LATEST: u64 = 253_402_300_799;
    let name = |seed: &u64| {
        let seconds = base.checked_add(*seed).filter(|seconds| *seconds <= LATEST);
        seconds.map(time_name).ok_or_else(|| {
            Error::usage(
                format!("seed {seed} seconds after {}", args.time),
                "give smaller seeds",
            )
        })
    };
    args.workload.seeds().iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use crate::cli::tune::threshold::time_name;

    #[test]
    fn the_latest_name_has_four_digits_for_the_year() {
        assert_eq!(time_name(253_402_300_799), "9999-12-31_23-59-59");
    }
}
