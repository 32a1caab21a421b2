//! Shared by the formats of vLLM's simulators, whose lines hold a prompt or its id, and its output.
//!
//! These formats have no times: every request that is read arrives at time 0.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::io::Input;
use crate::trace::{Content, Nanos, NewRequest, Request, Trace, TraceBuilder, TraceMeta};

use super::lines::{Fault, each_line, finish};
use super::scan::Scanner;
use super::{ReadOptions, ReadReport, WriteReport, bytes, require_tokens};

/// Reads lines with two keys, for prompt and output; `ids` converts the value of either to token ids.
pub(super) fn read(
    [prompt_key, answer_key]: [&str; 2],
    input: Input,
    options: &ReadOptions,
    meta: TraceMeta,
    mut ids: impl FnMut(&mut Scanner<'_>, &mut Vec<u32>) -> Result<(), Fault>,
) -> Result<(Trace, ReadReport)> {
    let path = input.path().to_path_buf();
    let mut builder = TraceBuilder::new(Content::Tokens);
    let (mut prompt, mut answer) = (Vec::new(), Vec::new());
    let report = each_line(input, options, |line| {
        prompt.clear();
        answer.clear();
        let (mut has_prompt, mut has_answer) = (false, false);
        Scanner::new(line)?.object(|key, value| {
            if key == prompt_key {
                has_prompt = true;
                ids(value, &mut prompt)
            } else if key == answer_key {
                has_answer = true;
                ids(value, &mut answer)
            } else {
                value.skip()
            }
        })?;
        require(has_prompt, prompt_key)?;
        require(has_answer, answer_key)?;
        let id = builder.len().to_string();
        builder.push(NewRequest {
            id: &id,
            session: &id,
            turn: 0,
            arrival: Nanos::ZERO,
            input_length: prompt.len() as u32,
            output_length: answer.len() as u32,
            shared: 0,
            fresh: &prompt,
            output: &answer,
            extra: None,
        })?;
        Ok(())
    })?;
    Ok((finish(builder, meta, &path)?, report))
}

/// Rejects a line without a required key.
pub(super) fn require(found: bool, key: &str) -> Result<(), Fault> {
    if found {
        Ok(())
    } else {
        Err(Fault::missing(key))
    }
}

/// Writes one object per request; `fields` writes the content between its braces.
pub(super) fn write(
    trace: &Trace,
    format: &str,
    path: &Path,
    mut fields: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<WriteReport> {
    require_tokens(trace, format)?;
    let mut sink = bytes::Sink::create(path)?;
    for (index, request) in trace.requests().iter().enumerate() {
        require_output(request, format)?;
        sink.buffer.push(b'{');
        fields(index, &mut sink.buffer)?;
        sink.buffer.extend_from_slice(b"}\n");
        sink.flush_full()?;
    }
    sink.finish()?;
    Ok(WriteReport {
        records: trace.requests().len() as u64,
        notes: Vec::new(),
    })
}

/// Rejects a request of which only the output length is known.
pub(super) fn require_output(request: &Request, format: &str) -> Result<()> {
    if request.output.is_empty() && request.output_length > 0 {
        return Err(Error::usage(
            format!(
                "format `{format}` needs the output's tokens, but request `{}` has only their number",
                request.id
            ),
            "export a trace that `replay gen-trace` made",
        ));
    }
    Ok(())
}
