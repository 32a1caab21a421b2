//! `replay experiment`

use std::path::{Path, PathBuf};

use clap::Args;

use super::conversations::{ConversationArgs, Conversations, describe, warn_about};
use super::engine_args::EngineArgs;
use super::output;
use crate::base::error::{Error, Result};
use crate::base::io::{StagedFolder, final_path};
use crate::base::limits;
use crate::cache::BlockTrace;
use crate::cache::capacity::ModelConfig;
use crate::cache::engine::{self, EngineOptions};
use crate::cli::ranges::number;
use crate::dataset::sharegpt::Join;
use crate::metrics::{Analysis, Settings, Summary, analyze};
use crate::report::render::number::thousands;
use crate::report::studies::{course, experiment, sharing};
use crate::trace::{Mode, Trace, format};

/// Arguments of `replay experiment`.
#[derive(Debug, Args)]
#[command(after_help = "\
Makes a single-turn and a multi-turn trace of the same conversations and replays both against a prefix cache. The folder gets \
summary.json, report.html and the charts; for each of the two, statistics, CSV files of requests and blocks, NAME.jsonl.zst for other \
commands of this program, and NAME_trace.jsonl for vLLM's simulator (export format vllm-sim).

Examples:
  replay experiment data/sharegpt-synthetic.jsonl.zst --output-dir output/first
  replay experiment chats.json --tokenizer ~/models/Qwen3-8B --capacity 10% -o output/small
  replay experiment sharegpt.json --block-size 8,16,32,64 --output-dir output/sizes
  replay experiment first100.json --preset course-project --output-dir output/course")]
pub(super) struct ExperimentArgs {
    #[command(flatten)]
    conversations: ConversationArgs,

    /// Rules of a published study: course-project counts as it did (100 conversations, a token for each character, blocks hashed
    /// alone, sessions one after another) and shows its published figures beside these
    #[arg(long, value_name = "NAME", value_parser = [COURSE_PROJECT], hide_possible_values = true, help_heading = "Cache")]
    preset: Option<String>,

    /// Tokens per block, one or several; files and charts are of the first [default: 16]
    #[arg(
        long,
        value_name = "TOKENS",
        value_delimiter = ',',
        help_heading = "Cache", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Vec<u32>,

    #[command(flatten)]
    engine: EngineArgs,

    /// Folder for the files
    #[arg(
        long,
        short,
        default_value = "output/experiment",
        value_name = "DIR",
        help_heading = "Output"
    )]
    output_dir: PathBuf,
}

/// Name of the preset with the course project's rules.
const COURSE_PROJECT: &str = "course-project";

/// One mode's trace with its results.
struct Measured {
    trace: Trace,
    analysis: Analysis,
    summary: Summary,
    /// Summaries at the other block sizes.
    others: Vec<Summary>,
    report: String,
}

impl Measured {
    fn run(&self) -> sharing::AnalyzedTrace<'_> {
        sharing::AnalyzedTrace {
            trace: &self.trace,
            analysis: &self.analysis,
            summary: &self.summary,
            hashes: None,
        }
    }
}

pub(super) fn run(args: &ExperimentArgs, json: bool) -> anyhow::Result<()> {
    engine::hash_scheme(&args.engine.engine)?;
    args.check_preset()?;
    let model = args.engine.model()?;
    let conversations = args.conversations.open()?;
    let measure = |mode| measure(args, &conversations, mode, model.as_ref());
    let single = measure(Mode::Single)?;
    let multi = measure(Mode::Multi)?;
    // If this run counts differently from an engine, the same chats are also measured under an engine's rules.
    let truth = if is_comparison(args) {
        Some(true_figures(args, model.as_ref())?)
    } else {
        None
    };

    let folder = &args.output_dir;
    let begun = StagedFolder::begin(folder)?;
    for (measured, prefix) in [(&single, "single_turn"), (&multi, "multi_turn")] {
        course::write(&measured.run(), begun.path(), prefix)?;
        write_traces(&measured.trace, begun.path(), prefix)?;
    }
    let columns = experiment::SingleAndMulti {
        single: single.run(),
        multi: multi.run(),
        truth: truth
            .as_ref()
            .map(|(single, multi)| (single.run(), multi.run())),
        others: single.others.iter().zip(&multi.others).collect(),
        published: args.preset.is_some(),
    };
    experiment::write(&columns, begun.path(), &super::typed_command())?;
    begun.finish(&["summary.json"])?;
    output::result(
        json,
        || Ok(experiment::json(&columns)),
        || format!("{}\n\n{}", multi.report, experiment::text(&columns)),
    )?;
    output::wrote(folder);
    Ok(())
}

/// Maximum number of tokens of a trace for vLLM's simulator, which repeats the whole history in every request; a larger one is
/// not written.
const MOST_TOKENS: u64 = 100_000_000;

/// Writes a trace for this program, and for vLLM's simulator.
fn write_traces(trace: &Trace, folder: &Path, prefix: &str) -> Result<()> {
    let options = format::WriteOptions::default();
    let own = folder.join(format!("{prefix}.jsonl.zst"));
    format::format("native")?.write(trace, &options, &own)?;
    let theirs = folder.join(format!("{prefix}_trace.jsonl"));
    if trace.prompt_tokens() > MOST_TOKENS {
        output::note(&format!(
            "note: {} is left out, as it would hold {} prompt tokens; `replay export {} --to vllm-sim` writes it",
            final_path(&theirs).display(),
            thousands(trace.prompt_tokens()),
            final_path(&own).display()
        ));
        return Ok(());
    }
    format::format("vllm-sim")?
        .write(trace, &options, &theirs)
        .map(drop)
}

impl ExperimentArgs {
    /// Rejects options that contradict the preset's rules, because its published figures would not be comparable.
    fn check_preset(&self) -> Result<()> {
        if self.preset.is_none() {
            return Ok(());
        }
        let sizes_differ = !matches!(self.block_size.as_slice(), [] | [16]);
        let changed = [
            ("--engine", self.engine.engine != "naive"),
            ("--block-size", sizes_differ),
        ];
        let option = changed
            .into_iter()
            .find_map(|(option, changed)| changed.then_some(option))
            .or_else(|| self.conversations.unlike_course_project());
        match option {
            None => Ok(()),
            Some(option) => Err(Error::usage(
                format!("--preset {COURSE_PROJECT} has another value of {option}"),
                format!("leave out {option}, or --preset"),
            )),
        }
    }
}

fn measure(
    args: &ExperimentArgs,
    conversations: &Conversations,
    mode: Mode,
    model: Option<&ModelConfig>,
) -> Result<Measured> {
    let options = args.conversations.generate_options(mode)?;
    let (trace, report) = conversations.build(&options)?;
    if mode == Mode::Multi {
        warn_about(&report);
    }
    let at = |size: Option<u32>| -> Result<(Analysis, Summary)> {
        let blocks = args.engine.blocks(&trace, size)?;
        let options = args.engine.options(&blocks, model, options.seed)?;
        analyzed(&trace, &blocks, &options, model)
    };
    let (analysis, summary) = at(args.block_size.first().copied())?;
    let others = args.block_size.iter().skip(1);
    let others = others
        .map(|size| Ok(at(Some(*size))?.1))
        .collect::<Result<Vec<_>>>()?;
    Ok(Measured {
        trace,
        analysis,
        summary,
        others,
        report: describe(&report),
    })
}

fn analyzed(
    trace: &Trace,
    blocks: &BlockTrace,
    options: &EngineOptions,
    model: Option<&ModelConfig>,
) -> Result<(Analysis, Summary)> {
    let analysis = analyze(trace, blocks, options)?;
    let summary = Summary::new(trace, &analysis, Settings::new(options, blocks), model);
    Ok((analysis, summary))
}

fn is_comparison(args: &ExperimentArgs) -> bool {
    args.engine.engine == "naive" || args.conversations.tokenizer() == "chars"
}

/// Measures the same chats with joined chunks, real tokens, and an engine's chained hashes.
fn true_figures(
    args: &ExperimentArgs,
    model: Option<&ModelConfig>,
) -> Result<(Measured, Measured)> {
    let conversations = args.conversations.open_as(Join::Auto)?;
    let measure = |mode| {
        let mut options = args.conversations.generate_options(mode)?;
        options.sequential = false;
        let (trace, report) = conversations.build(&options)?;
        let size = args.block_size.first().copied();
        let blocks = BlockTrace::new(&trace, size, engine::hash_scheme("vllm")?)?;
        let (analysis, summary) = analyzed(&trace, &blocks, &EngineOptions::default(), model)?;
        Ok(Measured {
            trace,
            analysis,
            summary,
            others: Vec::new(),
            report: describe(&report),
        })
    };
    Ok((measure(Mode::Single)?, measure(Mode::Multi)?))
}
