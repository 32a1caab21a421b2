//! The options that name a trace and say how to read it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::base::error::Result;
use crate::prompt::tokenizer;
use crate::trace::format::{self, ReadOptions, ReadTrace, Text};

/// Which trace, and how to read it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(super) struct TraceArgs {
    /// Trace file in any readable format; - reads standard input
    pub(super) trace: PathBuf,

    /// Format of the trace [default: recognised from its content]
    #[arg(long, value_name = "NAME")]
    pub(super) format: Option<String>,

    /// Tokenizer, needed where the trace or the output holds text: a built-in name, a tokenizer.json or a model folder
    #[arg(long, value_name = "NAME|PATH|DIR")]
    pub(super) tokenizer: Option<String>,
}

impl TraceArgs {
    /// Reads the trace. With `tolerate`, broken lines are counted instead of refused.
    pub(super) fn read(&self, block_size: Option<u32>, tolerate: bool) -> Result<ReadTrace> {
        let tokenizer = match &self.tokenizer {
            Some(spec) => Some(Text(Arc::from(tokenizer::load(spec)?))),
            None => None,
        };
        let options = ReadOptions {
            block_size,
            format: self.format.clone(),
            tolerate,
            tokenizer,
        };
        format::read_trace(&self.trace, &options)
    }
}
