//! The options that name a trace and set how it is read.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::Resettable;

use super::output;
use crate::base::error::{Error, Location, Result};
use crate::prompt::tokenizer;
use crate::report::render::number::thousands;
use crate::trace::Trace;
use crate::trace::format::{self, ReadOptions, ReadTrace, Text};

/// Which trace, and how to read it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(super) struct TraceArgs {
    /// Trace file in any readable format; - reads standard input
    #[arg(help_heading = Resettable::Reset)]
    pub(super) trace: PathBuf,

    /// Format of the trace [default: recognised from its content]
    #[arg(long, value_name = "NAME")]
    pub(super) format: Option<String>,

    /// Tokenizer, needed where the trace or the output holds text: a built-in name, a tokenizer.json or a model folder
    #[arg(long, value_name = "NAME|PATH|DIR")]
    pub(super) tokenizer: Option<OsString>,
}

/// Prints how many failed requests the reader of a trace left out, if any.
pub(super) fn tell_failures(place: impl Display, failures: u64, requests: u64) {
    if failures > 0 {
        output::note(&format!(
            "{place}: {} of {} requests failed (no output tokens) and are left out; --format burstgpt-all keeps them",
            thousands(failures),
            thousands(failures + requests)
        ));
    }
}

impl TraceArgs {
    /// Reads the trace. With `tolerate`, malformed lines are counted instead of rejected.
    pub(super) fn read(&self, block_size: Option<u32>, tolerate: bool) -> Result<ReadTrace> {
        let read = format::read_trace(&self.trace, &self.options(block_size, tolerate)?)?;
        tell_failures(
            self.trace.display(),
            read.report.failures,
            read.report.records,
        );
        Ok(read)
    }

    /// Reads the trace and rejects one without requests.
    pub(super) fn read_some(&self, block_size: Option<u32>) -> Result<Trace> {
        let trace = self.read(block_size, false)?.trace;
        if trace.requests().is_empty() {
            return Err(Error::input(
                Location::file(&self.trace),
                "has no requests",
                "give a trace with at least one request",
            ));
        }
        Ok(trace)
    }

    /// Options for reading the trace.
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
