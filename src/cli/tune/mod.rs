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
  replay tune select threshold_output
  replay tune threshold trace.jsonl.zst --preset llama-8b-aggregated-4 --seeds 0,1,2
  replay tune aging trace.jsonl.zst --preset llama-8b-aggregated-4 --output-dir output/aging
  replay tune compare-samples before.csv after.csv --column prefill_e2e_time --statistic p95

Methods and figures: docs/tuning.md.")]
pub(super) struct TuneArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Recommend a min_chunk_threshold from measured runs, and test whether it is better than chance
    Select(select::SelectArgs),
    /// Simulate a trace at many values of min_chunk_threshold, and recommend one
    Threshold(threshold::ThresholdArgs),
    /// Simulate a trace with many weights of the aging order, and report what each costs and gains
    Aging(aging::AgingArgs),
    /// Test whether two samples of measurements differ
    CompareSamples(compare_samples::CompareSamplesArgs),
}

pub(super) fn run(args: &TuneArgs, json: bool) -> anyhow::Result<()> {
    match &args.command {
        Command::Select(args) => select::run(args, json),
        Command::Threshold(args) => threshold::run(args, json),
        Command::Aging(args) => aging::run(args, json),
        Command::CompareSamples(args) => compare_samples::run(args, json),
    }
}

/// Parses a whole number as Python's `int` does.
fn python_int(text: &str) -> Result<i128, String> {
    crate::tune::parse_int(text).ok_or_else(|| "is not a whole number".to_owned())
}
