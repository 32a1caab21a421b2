//! The command line: the only place that knows about flags, terminals and the names of files.

mod analyze;
mod calibrate;
mod capacity;
mod cluster_args;
mod compare;
mod completions;
mod conversations;
mod curve;
mod engine_args;
mod experiment;
mod export;
mod gen_trace;
mod inspect;
mod matrix;
mod measured;
mod model_args;
mod output;
mod plan;
mod profile;
mod report;
mod simulate;
mod study;
mod sweep;
pub mod synth_dataset;
mod trace_input;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::error::Error;
use crate::base::version::VERSION_WITH_COMMIT;
use crate::report::render::shell::quoted;

/// How much of your chat traffic can a prefix cache save?
///
/// Exact traces from real conversations, exact prefix-cache hits, offline and without a GPU.
#[derive(Debug, Parser)]
#[command(name = "replay", version = VERSION_WITH_COMMIT, max_term_width = 120, after_help = EXAMPLES)]
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
    /// Hit ratio at every cache size, and how large the cache must be
    Curve(curve::CurveArgs),
    /// Say how many blocks of a model's KV cache fit on a GPU
    Capacity(capacity::CapacityArgs),
    /// Fit the simulator to a real engine's timings, and say how far off it is
    Calibrate(calibrate::CalibrateArgs),
    /// Policies, capacities and block sizes, all against all
    Sweep(sweep::SweepArgs),
    /// Serve a trace on a simulated cluster
    Simulate(simulate::SimulateArgs),
    /// Find the cheapest autoscaling policy for a trace: press, tune, simulate, choose
    Study(study::StudyArgs),
    /// Choose a scheduler's parameters, and say whether a difference is real
    Tune(tune::TuneArgs),
    /// Policies, traces, rates, clusters and seeds, all against all, and their comparison
    Matrix(matrix::MatrixArgs),
    /// Runs of autoscaling policies side by side
    Compare(compare::CompareArgs),
    /// Say how many instances keep TTFT and ITL: for a trace, or for a real cluster
    Plan(Box<plan::PlanArgs>),
    /// Measure simulated instances for the planner
    Profile(profile::ProfileArgs),
    /// Single-turn and multi-turn side by side, from conversations to report
    Experiment(experiment::ExperimentArgs),
    /// One page to zoom, sort and share, of a folder of results
    Report(report::ReportArgs),
    /// Write a trace in another tool's format
    Export(export::ExportArgs),
    /// Say what a trace file is and holds
    Inspect(inspect::InspectArgs),
    /// Make a synthetic set of conversations
    SynthDataset(synth_dataset::SynthDatasetArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// Parses the arguments and runs the subcommand. Exit codes: 0 done, 1 some cells of a matrix failed, 2 anything that the
/// user can mend.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = match cli.command {
        Command::GenTrace(args) => gen_trace::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Curve(args) => curve::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::SynthDataset(args) => synth_dataset::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        // Told already, cell by cell.
        Err(error) if error.is::<matrix::SomeFailed>() => {
            output::complain(&error);
            ExitCode::from(1)
        }
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}

/// What is wrong with the arguments, in one line like every other error. Help and version are printed as they are.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let (problem, remedy) = usage_parts(&error.render().to_string());
    output::complain(&Error::usage(problem, remedy).into());
    ExitCode::from(2)
}

/// Takes clap's paragraphs apart: the problem, perhaps with the values that are possible; tips; the usage.
fn usage_parts(text: &str) -> (String, String) {
    let mut problem = String::new();
    let mut remedies = Vec::new();
    let mut usage = None;
    for line in text.lines().map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            remedies.insert(0, tip.to_owned());
        } else if let Some(values) = line.strip_prefix("[possible values: ") {
            remedies.push(format!("known: {}", values.trim_end_matches(']')));
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(format!("usage: {line}"));
        } else if !line.is_empty() && !line.starts_with("For more information") {
            if !problem.is_empty() {
                problem.push(' ');
            }
            problem.push_str(line);
        }
    }
    if remedies.is_empty() {
        remedies.push(usage.unwrap_or_else(|| "try --help".to_owned()));
    }
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    (
        problem.to_owned(),
        remedies
            .join(". ")
            .replace("a similar value exists: ", "did you mean ")
            .replace("a similar argument exists: ", "did you mean ")
            .replace("a similar subcommand exists: ", "did you mean ")
            .replace("'. known", "'? known"),
    )
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
    let mut words: Vec<_> = std::env::args().map(|word| quoted(&word)).collect();
    if let Some(first) = words.first_mut() {
        "replay".clone_into(first);
    }
    words.join(" ")
}
