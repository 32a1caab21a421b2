//! `replay experiment`

use std::path::PathBuf;

use clap::Args;

use super::conversations::{ConversationArgs, Conversations, describe, warn_about};
use super::engine_args::EngineArgs;
use super::output;
use crate::base::error::Result;
use crate::cache::BlockTrace;
use crate::cache::capacity::ModelConfig;
use crate::cache::engine::{self, EngineOptions};
use crate::dataset::sharegpt::Join;
use crate::metrics::{Analysis, Settings, Summary, analyze};
use crate::report::studies::{course, experiment, sharing};
use crate::trace::{Mode, Trace, format};

/// Arguments of `replay experiment`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay experiment --input data/sharegpt-synthetic.jsonl.zst --output-dir output/first
  replay experiment --input sharegpt.json --tokenizer ~/models/Qwen3-8B --capacity 10% --output-dir output/small
  replay experiment --input first100.json --join-chunks never --tokenizer chars --chat-template simple --sequential \\
      --engine naive --output-dir output/course")]
pub(super) struct ExperimentArgs {
    #[command(flatten)]
    conversations: ConversationArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// Where the files go
    #[arg(long, short, default_value = "output/experiment", value_name = "DIR")]
    output_dir: PathBuf,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// One mode's trace with what was measured.
struct Measured {
    trace: Trace,
    analysis: Analysis,
    summary: Summary,
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

pub(super) fn run(args: &ExperimentArgs) -> anyhow::Result<()> {
    engine::hash_scheme(&args.engine.engine)?;
    let model = args.engine.model()?;
    let conversations = args.conversations.open()?;
    let measure = |mode| measure(args, &conversations, mode, model.as_ref());
    let single = measure(Mode::Single)?;
    let multi = measure(Mode::Multi)?;
    // Where this run counts in another way than an engine does, the same chats are measured as an engine would.
    let truth = if is_comparison(args) {
        Some(true_figures(args, model.as_ref())?)
    } else {
        None
    };

    let folder = &args.output_dir;
    for (measured, prefix) in [(&single, "single_turn"), (&multi, "multi_turn")] {
        course::write(&measured.run(), folder, prefix)?;
        let path = folder.join(format!("{prefix}_trace.jsonl"));
        format::format("native")?.write(
            &measured.trace,
            &format::WriteOptions::default(),
            &path,
        )?;
    }
    let columns = experiment::SingleAndMulti {
        single: single.run(),
        multi: multi.run(),
        truth: truth
            .as_ref()
            .map(|(single, multi)| (single.run(), multi.run())),
    };
    experiment::write(&columns, folder, &super::typed_command())?;
    if args.json {
        return output::print(&serde_json::to_string_pretty(&experiment::json(&columns))?);
    }
    output::print(&format!(
        "{}\n\n{}\nwrote {}",
        multi.report,
        experiment::text(&columns),
        folder.display()
    ))
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
    let blocks = args.engine.blocks(&trace)?;
    let options = args.engine.options(&blocks, model)?;
    finish(trace, &blocks, &options, model, describe(&report))
}

fn finish(
    trace: Trace,
    blocks: &BlockTrace,
    options: &EngineOptions,
    model: Option<&ModelConfig>,
    report: String,
) -> Result<Measured> {
    let analysis = analyze(&trace, blocks, options)?;
    let summary = Summary::new(&trace, &analysis, Settings::new(options, blocks), model);
    Ok(Measured {
        trace,
        analysis,
        summary,
        report,
    })
}

fn is_comparison(args: &ExperimentArgs) -> bool {
    args.engine.engine == "naive" || args.conversations.tokenizer() == "chars"
}

/// The same chats with chunks joined, real tokens, and an engine's chained hashes.
fn true_figures(
    args: &ExperimentArgs,
    model: Option<&ModelConfig>,
) -> Result<(Measured, Measured)> {
    let conversations = args.conversations.open_as(Join::Auto)?;
    let measure = |mode| {
        let mut options = args.conversations.generate_options(mode)?;
        options.sequential = false;
        let (trace, report) = conversations.build(&options)?;
        let blocks = BlockTrace::new(&trace, args.engine.block_size, engine::hash_scheme("vllm")?)?;
        finish(
            trace,
            &blocks,
            &EngineOptions::default(),
            model,
            describe(&report),
        )
    };
    Ok((measure(Mode::Single)?, measure(Mode::Multi)?))
}
