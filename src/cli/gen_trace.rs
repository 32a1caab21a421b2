//! `replay gen-trace`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::conversations::{ConversationArgs, describe, warn_about};
use super::output;
use crate::report::render::number::thousands;
use crate::trace::Mode;
use crate::trace::format;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    Single,
    Multi,
}

/// Arguments of `replay gen-trace`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay gen-trace --input data/sharegpt-synthetic.jsonl.zst --output output/trace.jsonl.zst
  replay gen-trace --input a.json b.jsonl.gz --tokenizer ~/models/Qwen3-8B --rate 10 --output trace.jsonl.zst
  replay gen-trace --input chats.json --rate 5 --rate-shape diurnal:period=24h,low=0.2,high=1.8 --output day.jsonl.zst
  replay gen-trace --input chats.json --rate 5 --rate-shape spike:at=2m,factor=8,width=30s,decay=1m --output crowd.jsonl.zst
  replay gen-trace --input chats.json --rate 5 --rate-shape trace:azure.csv,bin=1m --output azure-like.jsonl.zst
  zcat chats.jsonl.gz | replay gen-trace --input - --mode single --arrival gamma --cv 4 --output trace.jsonl")]
pub(super) struct GenTraceArgs {
    #[command(flatten)]
    conversations: ConversationArgs,

    /// The trace to write: .jsonl, .jsonl.zst or .jsonl.gz; - is standard output
    #[arg(long, short, value_name = "TRACE")]
    output: PathBuf,

    /// One request per conversation, or one per turn with the whole history
    #[arg(long, value_enum, default_value = "multi")]
    mode: ModeArg,
}

pub(super) fn run(args: &GenTraceArgs) -> anyhow::Result<()> {
    let mode = match args.mode {
        ModeArg::Single => Mode::Single,
        ModeArg::Multi => Mode::Multi,
    };
    let options = args.conversations.generate_options(mode)?;
    let conversations = args.conversations.open()?;
    let (trace, report) = conversations.build(&options)?;
    warn_about(&report);
    format::format("native")?.write(&trace, &format::WriteOptions::default(), &args.output)?;
    let text = format!(
        "{}\nwrote    {} requests of {} sessions: {} prompt tokens, {} output tokens, over {:.1} s\n         {}\n",
        describe(&report),
        thousands(trace.requests().len() as u64),
        thousands(trace.sessions().len() as u64),
        thousands(trace.prompt_tokens()),
        thousands(trace.output_tokens()),
        trace.span().as_secs_f64(),
        args.output.display()
    );
    if args.output.as_os_str() == "-" {
        for line in text.lines() {
            output::note(line);
        }
        return Ok(());
    }
    output::print(&text)
}
