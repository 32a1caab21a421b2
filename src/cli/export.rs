//! `replay export`

use std::path::{Path, PathBuf};

use clap::Args;

use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::Error;
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

    /// The format to write
    #[arg(long, value_name = "FORMAT", value_parser = clap::builder::PossibleValuesParser::new(format::names(|format| format.writable())))]
    to: String,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Tokens per block, for formats of blocks [default: the format's own]
    #[arg(long, value_name = "TOKENS")]
    block_size: Option<u32>,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
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
                "the trace was made with the tokenizer `{}`, which is another one",
                identity.name
            ),
            "name that one with --tokenizer",
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
    let mut lines = vec![format!(
        "wrote {} records to {}",
        thousands(report.records),
        args.output.display()
    )];
    lines.extend(report.notes);
    if let Some(command) = format::server_command(&args.to, &args.output) {
        lines.push(format!("serve it with:\n  {command}"));
    }
    if args.output.as_os_str() == "-" {
        lines.iter().for_each(|line| output::note(line));
        return Ok(());
    }
    output::print(&lines.join("\n"))
}

fn known(name: &str) -> bool {
    tokenizer::builtin_names().contains(&name) || Path::new(name).exists()
}
