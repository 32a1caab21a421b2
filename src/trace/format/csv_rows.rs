//! Shared by the CSV formats with arrivals and lengths: one reading loop and one writing loop.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::trace::{Content, Nanos, NewRequest, Request, Trace, TraceBuilder};

use super::lines::{Fault, beyond, each_row, finish, foreign, plausible, tokens};
use super::{FAILURES, ReadOptions, ReadReport, WriteReport, bytes};
use crate::base::table::Row;

/// Arrival, prompt and output: the required columns, which come first in the list of names.
pub(super) const REQUIRED: usize = 3;

/// The properties of a request in a row besides its lengths.
pub(super) struct Label {
    pub(super) id: String,
    /// The session and the turn in it; with `None` the request is a session of its own, with the same name.
    pub(super) session: Option<(String, u32)>,
    /// Service time of the request, if the file has it.
    pub(super) service_time: Option<Nanos>,
}

impl Label {
    /// A request with this id that is its own session.
    pub(super) fn alone(id: impl ToString) -> Self {
        Self {
            id: id.to_string(),
            session: None,
            service_time: None,
        }
    }
}

/// A request with known lengths and no content.
pub(super) fn lengths(
    label: &Label,
    arrival: Nanos,
    input_length: u32,
    output_length: u32,
) -> NewRequest<'_> {
    let (session, turn) = match &label.session {
        Some((session, turn)) => (session, *turn),
        None => (&label.id, 0),
    };
    NewRequest {
        id: &label.id,
        session,
        turn,
        arrival,
        input_length,
        output_length,
        shared: 0,
        fresh: &[],
        output: &[],
        extra: None,
    }
}

/// What a row without output tokens is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoOutput {
    /// A request with an output of 0 tokens.
    Request,
    /// A request that failed. It is left out, and counted.
    Failure,
}

/// Reads a file whose arrivals are in seconds; `label` gets the number of the request and its row.
pub(super) fn read(
    format: &str,
    columns: &[&str],
    no_output: NoOutput,
    input: Input,
    options: &ReadOptions,
    mut label: impl FnMut(usize, &Row<'_>) -> Result<Label, Fault>,
) -> Result<(Trace, ReadReport)> {
    let path = input.path().to_path_buf();
    let mut builder = TraceBuilder::new(Content::Lengths);
    let mut failures = 0;
    let mut report = each_row(input, options, columns, REQUIRED, |row| {
        let late = |text: &str| Nanos::parse_secs(text).or_else(|| beyond(text));
        let arrival = plausible(row.parse(0, "seconds", late)?, "seconds")?;
        let (prompt, output) = (tokens(row, 1)?, tokens(row, 2)?);
        if output == 0 && no_output == NoOutput::Failure {
            failures += 1;
            return Ok(());
        }
        let label = label(builder.len(), row)?;
        builder.push(lengths(&label, arrival, prompt, output))?;
        if let Some(time) = label.service_time {
            builder.service_time(time);
        }
        Ok(())
    })?;
    report.records -= failures;
    report.failures = failures;
    let mut meta = foreign(format);
    if failures > 0 {
        meta.counts.insert(FAILURES.into(), failures.into());
    }
    Ok((finish(builder, meta, &path)?, report))
}

/// Writes a header and a line for each request; `line` formats a request and its number.
pub(super) fn write(
    trace: &Trace,
    path: &Path,
    header: &str,
    line: impl Fn(usize, &Request) -> String,
) -> Result<WriteReport> {
    let mut sink = bytes::Sink::create(path)?;
    sink.buffer.extend_from_slice(header.as_bytes());
    sink.buffer.push(b'\n');
    for (index, request) in trace.requests().iter().enumerate() {
        sink.buffer
            .extend_from_slice(line(index, request).as_bytes());
        sink.buffer.push(b'\n');
        sink.flush_full()?;
    }
    sink.finish()?;
    Ok(WriteReport {
        records: trace.requests().len() as u64,
        notes: Vec::new(),
    })
}
