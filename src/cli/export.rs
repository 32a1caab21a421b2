//! `replay export`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::Error;
use crate::base::io::ShownPath;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::prompt::tokenizer;
use crate::report::render::number::thousands;
use crate::trace::format::{self, WriteOptions};

/// Arguments of `replay export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay export trace.jsonl.zst --to mooncake --output mooncake.jsonl
  replay export trace.jsonl.zst --to vllm-sim --output sim.jsonl
  replay export trace.jsonl.zst --to sharegpt --tokenizer qwen2 --output bench.json")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Format to write
    #[arg(long, value_name = "FORMAT", help_heading = "Output", value_parser = clap::builder::PossibleValuesParser::new(format::names(|format| format.writable())))]
    to: String,

    /// File to write; - is standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: PathBuf,

    /// Tokens per block, for formats of block ids [default: the format's own]
    #[arg(long, value_name = "TOKENS", help_heading = "Output", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,
}

pub(super) fn run(args: &ExportArgs, json: bool) -> anyhow::Result<()> {
    let format = format::format(&args.to)?;
    let read = args.input.read(args.block_size, false)?;
    let named = read.trace.meta.tokenizer.as_ref();
    let tokenizer = match (&args.input.tokenizer, named) {
        _ if !format.needs_text() => None,
        (Some(spec), _) => Some(tokenizer::load(spec)?),
        (None, Some(identity)) if known(&identity.name) => Some(tokenizer::load(&identity.name)?),
        _ => None,
    };
    if let (Some(tokenizer), Some(identity)) = (&tokenizer, named)
        && tokenizer.identity().sha256 != identity.sha256
    {
        return Err(Error::usage(
            format!(
                "the trace was made with another tokenizer, `{}`",
                identity.name
            ),
            "name that tokenizer with --tokenizer",
        )
        .into());
    }
    let detokenize = tokenizer.as_ref().map(|tokenizer| {
        move |ids: &[u32]| {
            tokenizer.decode(ids).map_err(|problem| {
                Error::usage(
                    problem,
                    "name the tokenizer that made the trace with --tokenizer",
                )
            })
        }
    });
    let options = WriteOptions {
        block_size: args.block_size,
        detokenize: detokenize
            .as_ref()
            .map(|decode| decode as &format::Detokenize<'_>),
    };
    let report = format.write(&read.trace, &options, &args.output)?;
    let command = format::server_command(&args.to, &args.output);
    // Standard output may be the destination of the trace itself.
    let piped = args.output.as_os_str() == "-";
    let lines = || {
        let mut lines = vec![format!("{} records", thousands(report.records))];
        lines.extend(report.notes.iter().cloned());
        if let Some(command) = &command {
            lines.push(format!("serve it with:\n  {command}"));
        }
        lines.join("\n")
    };
    if piped {
        output::note(&lines());
        return Ok(());
    }
    let value = || {
        Ok(
            json!({"format": args.to, "output": ShownPath(&args.output), "records": report.records, "notes": report.notes,
            "server_command": command}),
        )
    };
    output::result(json, value, lines)?;
    output::wrote(&args.output);
    Ok(())
}

fn known(name: &str) -> bool {
    tokenizer::builtin_names().contains(&name) || Path::new(name).exists()
}
