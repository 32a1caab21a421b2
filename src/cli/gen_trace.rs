//! `replay gen-trace`

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::conversations::{ConversationArgs, describe, warn_about};
use super::output;
use crate::base::io::ShownPath;
use crate::report::render::number::thousands;
use crate::trace::Mode;
use crate::trace::format;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    /// One request for each conversation: its first turn
    Single,
    /// One request for each turn, with the whole history before it
    Multi,
}

/// Arguments of `replay gen-trace`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay gen-trace data/sharegpt-synthetic.jsonl.zst --output output/trace.jsonl.zst
  replay gen-trace a.json b.jsonl.gz --tokenizer ~/models/Qwen3-8B --rate 10 --output trace.jsonl.zst
  replay gen-trace chats.json --rate-shape diurnal:period=24h,low=0.2,high=1.8 -o day.jsonl.zst
  replay gen-trace chats.json --rate 5 --rate-shape spike:at=2m,factor=8,width=30s -o spike.jsonl.zst
  replay gen-trace chats.json --rate 5 --rate-shape trace:azure.csv,bin=1m -o azure-like.jsonl.zst
  zcat chats.jsonl.gz | replay gen-trace - --mode single --arrival gamma --cv 4 --output trace.jsonl")]
pub(super) struct GenTraceArgs {
    #[command(flatten)]
    conversations: ConversationArgs,

    /// Which requests a conversation makes
    #[arg(long, value_enum, default_value = "multi", help_heading = "Output")]
    mode: ModeArg,

    /// Trace to write: .jsonl, .jsonl.zst or .jsonl.gz; - is standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: PathBuf,
}

pub(super) fn run(args: &GenTraceArgs, json: bool) -> anyhow::Result<()> {
    let mode = match args.mode {
        ModeArg::Single => Mode::Single,
        ModeArg::Multi => Mode::Multi,
    };
    let options = args.conversations.generate_options(mode)?;
    let conversations = args.conversations.open()?;
    let (trace, report) = conversations.arrange(&options, &args.output)?;
    warn_about(&report);
    let done = AtomicU64::new(0);
    output::with_progress("requests written", trace.len() as u64, &done, || {
        format::write_arranged(&trace, &args.output, &done)
    })?;
    let text = || {
        format!(
            "{}\ntrace    {} requests of {} sessions: {} prompt tokens, {} output tokens, over {:.1} s",
            describe(&report),
            thousands(trace.len() as u64),
            thousands(trace.sessions() as u64),
            thousands(trace.prompt_tokens()),
            thousands(trace.output_tokens()),
            trace.span().as_secs_f64(),
        )
    };
    // Standard output may be the destination of the trace itself.
    if args.output.as_os_str() == "-" {
        output::note(&text());
        return Ok(());
    }
    let value = || {
        Ok(json!({
            "output": ShownPath(&args.output),
            "records": report.load.records,
            "requests": trace.len(),
            "sessions": trace.sessions(),
            "prompt_tokens": trace.prompt_tokens(),
            "output_tokens": trace.output_tokens(),
            "span_seconds": trace.span().as_secs_f64(),
        }))
    };
    output::result(json, value, text)?;
    output::wrote(&args.output);
    Ok(())
}
