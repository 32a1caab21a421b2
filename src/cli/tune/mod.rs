//! `replay tune`

mod compare_samples;
mod select;

use clap::{Args, Subcommand};

/// Arguments of `replay tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay tune select --root threshold_output
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
    /// Say whether two columns of measurements really differ
    CompareSamples(compare_samples::CompareSamplesArgs),
}

pub(super) fn run(args: &TuneArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::Select(args) => select::run(args),
        Command::CompareSamples(args) => compare_samples::run(args),
    }
}

/// A whole number as Python's `int` reads it.
fn python_int(text: &str) -> Result<i128, String> {
    crate::tune::parse_int(text).ok_or_else(|| "is no whole number".to_owned())
}
