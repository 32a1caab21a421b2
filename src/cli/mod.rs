//! The command line: the only place that knows about flags, terminals and the names of files.

mod analyze;
mod completions;
mod conversations;
mod experiment;
mod export;
mod gen_trace;
mod inspect;
mod output;
pub mod synth_dataset;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;

/// How much of your chat traffic can a prefix cache save?
///
/// Exact traces from real conversations, exact prefix-cache hits, offline and without a GPU.
#[derive(Debug, Parser)]
#[command(name = "replay", version, max_term_width = 120, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replay experiment --input data/sharegpt-synthetic.jsonl.zst --output-dir output/first
  replay gen-trace --input sharegpt.json --tokenizer path/to/model --output trace.jsonl.zst
  replay analyze trace.jsonl.zst --block-size 16 --capacity 50%
  replay export trace.jsonl.zst --to mooncake --output mooncake.jsonl";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a trace from ShareGPT conversations
    GenTrace(gen_trace::GenTraceArgs),
    /// Replay a trace against a prefix cache and measure what is shared
    Analyze(analyze::AnalyzeArgs),
    /// Single-turn and multi-turn side by side, from conversations to report
    Experiment(experiment::ExperimentArgs),
    /// Write a trace in another tool's format
    Export(export::ExportArgs),
    /// Say what a trace file is and holds
    Inspect(inspect::InspectArgs),
    /// Make a synthetic set of conversations
    SynthDataset(synth_dataset::SynthDatasetArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Parses the arguments and runs the subcommand. Exit codes: 0 done, 2 anything that the user can mend.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::GenTrace(args) => gen_trace::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::SynthDataset(args) => synth_dataset::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man => completions::man(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<Error>()
            .is_some_and(Error::is_broken_pipe)
            || cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// The command as it was typed, to stand in reports.
fn typed_command() -> String {
    let quote = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%+@".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let mut words: Vec<_> = std::env::args().map(quote).collect();
    if let Some(first) = words.first_mut() {
        "replay".clone_into(first);
    }
    words.join(" ")
}
