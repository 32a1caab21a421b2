//! `replay tune`

mod aging;
mod cluster;
mod compare_samples;
mod select;
mod threshold;

use clap::{Args, Subcommand};

/// Arguments of `replay tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay tune select --root threshold_output
  replay tune threshold trace.jsonl.zst --preset llama-8b-aggregated-4 --seeds 0,1,2
  replay tune aging trace.jsonl.zst --preset llama-8b-aggregated-4 --output-dir output/aging
  replay tune compare-samples before.csv after.csv --column prefill_e2e_time --statistic p95

What each command does and what the figures mean: docs/tuning.md.")]
pub(super) struct TuneArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Recommend a min_chunk_threshold from measured runs, and say whether it is more than chance
    Select(select::SelectArgs),
    /// Serve a trace at many values of min_chunk_threshold on a simulated cluster, and recommend one
    Threshold(threshold::ThresholdArgs),
    /// Serve a trace with many weights of the aging policy, and say what each costs and gains
    Aging(aging::AgingArgs),
    /// Say whether two columns of measurements really differ
    CompareSamples(compare_samples::CompareSamplesArgs),
}

pub(super) fn run(args: &TuneArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::Select(args) => select::run(args),
        Command::Threshold(args) => threshold::run(args),
        Command::Aging(args) => aging::run(args),
        Command::CompareSamples(args) => compare_samples::run(args),
    }
}

/// A whole number as Python's `int` reads it.
fn python_int(text: &str) -> Result<i128, String> {
    crate::tune::parse_int(text).ok_or_else(|| "is no whole number".to_owned())
}
