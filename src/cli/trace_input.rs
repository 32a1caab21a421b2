//! The flags by which `analyze`, `inspect` and `export` read a trace.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::base::error::Result;
use crate::prompt::tokenizer;
use crate::trace::format::{self, ReadOptions, ReadTrace, Text};

/// Which trace.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// A trace of any readable format; - is standard input
    pub(super) trace: PathBuf,

    /// The trace's format, where it is not recognised
    #[arg(long, value_name = "NAME")]
    pub(super) format: Option<String>,

    /// The model's tokenizer, where the trace or the output holds text: a built-in name, a tokenizer.json, a model folder
    #[arg(long, value_name = "NAME|PATH|DIR")]
    pub(super) tokenizer: Option<String>,
}

impl TraceArgs {
    /// Reads it; with `tolerate`, broken lines are counted.
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
