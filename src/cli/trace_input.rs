//! The flags by which `analyze`, `inspect` and `export` read a trace.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::base::error::{Error, Location, Result};
use crate::prompt::tokenizer;
use crate::trace::Trace;
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
        format::read_trace(&self.trace, &self.options(block_size, tolerate)?)
    }

    /// Reads it, and refuses a trace without requests.
    pub(super) fn read_some(&self, block_size: Option<u32>) -> Result<Trace> {
        let trace = self.read(block_size, false)?.trace;
        if trace.requests().is_empty() {
            return Err(Error::input(
                Location::file(&self.trace),
                "has no requests",
                "give a trace with at least one",
            ));
        }
        Ok(trace)
    }

    /// How it is read.
    pub(super) fn options(&self, block_size: Option<u32>, tolerate: bool) -> Result<ReadOptions> {
        let tokenizer = match &self.tokenizer {
            Some(spec) => Some(Text(Arc::from(tokenizer::load(spec)?))),
            None => None,
        };
        Ok(ReadOptions {
            block_size,
            format: self.format.clone(),
            tolerate,
            tokenizer,
        })
    }
}
