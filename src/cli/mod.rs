//! The command line. Only this module knows flags, terminals and exit codes.

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
mod flags;
mod gen_trace;
mod global;
mod gpu_name;
mod inspect;
mod matrix;
mod measured;
mod model_args;
mod output;
mod path_list;
mod plan;
mod process;
mod profile;
mod ranges;
mod renamed;
mod report;
mod simulate;
mod slo_args;
mod study;
mod sweep;
mod synth_dataset;
mod trace_input;
mod tune;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::global::GlobalArgs;
pub use self::process::Allocator;
use crate::base::error::{Error, Location};
use crate::base::version::VERSION_WITH_COMMIT;
use crate::base::{foreign, io};
use crate::report::render::shell::quoted;

/// How much prefill a prefix cache saves on your traffic, and how a cluster would serve the rest
///
/// An offline simulator of prefix caches and of prefill/decode serving: exact token ids, exact cache hits, no GPU.
#[derive(Debug, Parser)]
#[command(name = "replay", version = VERSION_WITH_COMMIT, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replay experiment data/sharegpt-synthetic.jsonl.zst --output-dir output/first
  replay gen-trace sharegpt.json --tokenizer path/to/model --output trace.jsonl.zst
  replay analyze trace.jsonl.zst --capacity 10%
  replay simulate trace.jsonl.zst --preset llama-8b-pd-4-4

Exit codes: 0 success; 1 some runs of a matrix failed; 2 wrong arguments or input.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a trace from conversations in ShareGPT's or OpenAI's form
    GenTrace(gen_trace::GenTraceArgs),
    /// Describe a trace file: format, sizes, rates
    Inspect(inspect::InspectArgs),
    /// Replay a trace against a prefix cache and measure what is reused
    Analyze(analyze::AnalyzeArgs),
    /// Compute the hit ratio at every cache size, and how large the cache must be
    Curve(curve::CurveArgs),
    /// Compare every combination of eviction policy, capacity and block size
    Sweep(sweep::SweepArgs),
    /// Compare single-turn and multi-turn traffic, from conversations to report
    Experiment(experiment::ExperimentArgs),
    /// Compute how many KV cache blocks of a model fit on a GPU
    Capacity(capacity::CapacityArgs),
    /// Serve a trace on a simulated cluster
    Simulate(simulate::SimulateArgs),
    /// Simulate every combination of trace, rate, cluster, autoscaler and seed
    Matrix(matrix::MatrixArgs),
    /// Compare simulated runs by autoscaling policy
    Compare(compare::CompareArgs),
    /// Find the cheapest autoscaling policy that meets the objectives on a trace
    Study(study::StudyArgs),
    /// Measure simulated instances for the planner
    Profile(profile::ProfileArgs),
    /// Plan how many instances meet TTFT and ITL targets, for a trace or a live cluster
    Plan(Box<plan::PlanArgs>),
    /// Choose a scheduler's parameters, and test whether a difference is real
    Tune(tune::TuneArgs),
    /// Fit the simulator to a real engine's timings, and report its error
    Calibrate(calibrate::CalibrateArgs),
    /// Make one HTML page of a folder of results
    Report(report::ReportArgs),
    /// Convert a trace to another tool's format
    Export(export::ExportArgs),
    /// Make a synthetic set of conversations
    SynthDataset(synth_dataset::SynthDatasetArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page of this program or of one command, or write all pages
    Man(completions::ManArgs),
}

/// Parses the arguments and runs the command.
///
/// Exit codes: 0 success, also if the reader of a pipe has closed it; 1 some cells of a matrix failed; 2 invalid arguments,
/// input that cannot be read, or output that cannot be written.
pub fn main() -> ExitCode {
    if let Err(error) = process::prepare() {
        output::complain(&error.to_string());
        return ExitCode::from(2);
    }
    let (words, notes) = renamed::modernize(std::env::args_os());
    let mut command = Cli::command().color(color(&words).into());
    let parsed = command
        .try_get_matches_from_mut(&words)
        .and_then(|matches| {
            let cli = Cli::from_arg_matches(&matches)?;
            Ok((cli, flags::Flags::of(&command, &matches)))
        });
    let (cli, flags) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error.format(&mut command)),
    };
    output::configure(cli.global);
    foreign::watch(LONGEST_RENDERING, overdue);
    let threads = process::start_threads(cli.global.threads);
    let result = threads.map_err(Into::into).and_then(|()| run(cli));
    match result {
        Ok(()) => {
            // A command that fails prints its error and nothing else.
            for note in &notes {
                output::note(&format!("note: {note}"));
            }
            ExitCode::SUCCESS
        }
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let failed = error.is::<matrix::SomeFailed>();
            output::complain(&flags.in_message(&output::message(&error)));
            ExitCode::from(if failed { 1 } else { 2 })
        }
    }
}

/// Maximum time to render one conversation with a chat template; other limits end almost all that do not end by themselves.
const LONGEST_RENDERING: Duration = Duration::from_secs(5);

/// Ends the program when a chat template takes too long.
fn overdue(template: &str, limit: Duration) {
    let error = Error::input(
        Location::file(template),
        format!(
            "the chat template takes more than {} s for one conversation",
            limit.as_secs()
        ),
        "correct the template, or choose another one",
    );
    output::complain(&error.to_string());
    io::try_remove_all_and_stop();
    std::process::exit(2);
}

/// Parses arguments as [`main`] does, without running the command: what the fuzz target for command lines calls.
///
/// # Errors
/// The message for arguments that are refused.
#[cfg(fuzzing)]
pub fn check_arguments<'w>(words: impl Iterator<Item = &'w str>) -> Result<(), String> {
    let (words, _) = renamed::modernize(words.map(OsString::from));
    let mut command = Cli::command();
    let parsed = command
        .try_get_matches_from_mut(&words)
        .and_then(|matches| {
            let _ = flags::Flags::of(&command, &matches);
            Cli::from_arg_matches(&matches)
        });
    match parsed {
        Ok(_) => Ok(()),
        Err(error) => {
            let (problem, remedy) = usage_parts(&error.render().to_string());
            Err(Error::usage(problem, remedy).to_string())
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.global.json;
    if json && matches!(cli.command, Command::Completions(_) | Command::Man(_)) {
        return Err(Error::usage("this command has no result as JSON", "leave --json out").into());
    }
    match cli.command {
        Command::GenTrace(args) => gen_trace::run(&args, json),
        Command::Inspect(args) => inspect::run(&args, json),
        Command::Analyze(args) => analyze::run(&args, json),
        Command::Curve(args) => curve::run(&args, json),
        Command::Sweep(args) => sweep::run(&args, json),
        Command::Experiment(args) => experiment::run(&args, json),
        Command::Capacity(args) => capacity::run(&args, json),
        Command::Simulate(args) => simulate::run(&args, json),
        Command::Matrix(args) => matrix::run(&args, json),
        Command::Compare(args) => compare::run(&args, json),
        Command::Study(args) => study::run(&args, json),
        Command::Profile(args) => profile::run(&args, json),
        Command::Plan(args) => plan::run(&args, json),
        Command::Tune(args) => tune::run(&args, json),
        Command::Calibrate(args) => calibrate::run(&args, json),
        Command::Report(args) => report::run(&args, json),
        Command::Export(args) => export::run(&args, json),
        Command::SynthDataset(args) => synth_dataset::run(&args, json),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&args),
    }
}

/// Reads the value of `--color` before the arguments are parsed, because help and errors of the command line depend on it.
fn color(words: &[OsString]) -> global::ColorArg {
    use clap::ValueEnum;
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('=').map(|value| value.to_owned().into()),
            None => continue,
        };
        if let Some(color) = value.and_then(|value| global::ColorArg::from_str(&value, false).ok())
        {
            return color;
        }
    }
    global::ColorArg::default()
}

/// Reports invalid arguments in one line, like every other error. Help and version are printed unchanged.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let (problem, remedy) = match error.kind() {
        clap::error::ErrorKind::InvalidUtf8 => (
            "an option that is text, such as a format or a name, has bytes that are not UTF-8"
                .to_owned(),
            "name the file through a link whose name is UTF-8".to_owned(),
        ),
        _ => usage_parts(&error.render().to_string()),
    };
    output::complain(&Error::usage(problem, remedy).to_string());
    ExitCode::from(2)
}

/// Splits clap's message into the problem and a remedy, which is built from its possible values, its tips or its usage line.
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

/// The command line for reports and result files: as it was typed, without the options that cannot change a result.
fn typed_command() -> String {
    const WITHOUT_EFFECT: [&str; 4] = ["--threads", "--color", "--quiet", "-q"];
    let mut words = vec!["replay".to_owned()];
    // Bytes that are not UTF-8 are replaced in this text, which is only shown.
    let typed = std::env::args_os().skip(1);
    let mut typed = typed.map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = typed.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        match WITHOUT_EFFECT.contains(&name) {
            false => words.push(quoted(&word)),
            // The value of the first two options may be the next word.
            true if value.is_none() && matches!(name, "--threads" | "--color") => {
                typed.next();
            }
            true => {}
        }
    }
    words.join(" ")
}
