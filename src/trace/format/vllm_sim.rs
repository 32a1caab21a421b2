//! vLLM's simulator executor: JSONL `{"prompt_token_ids": [...], "response_token_ids": [...]}`.
//!
//! Defined by that executor (`--distributed-executor-backend sim --sim-trace-path`), which looks a response up by the
//! SHA-1 of the comma-joined prompt ids. The file has no times: read here, every request arrives at 0.

use std::path::Path;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::io::Input;
use crate::trace::{Content, Nanos, NewRequest, TokenReplay, Trace, TraceBuilder};

use super::lines::{Fault, each_line, finish, foreign};
use super::scan::Scanner;
use super::{
    Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes, require_tokens,
};

/// See the module.
pub(super) struct VllmSim;

impl TraceFormat for VllmSim {
    fn name(&self) -> &'static str {
        "vllm-sim"
    }

    fn summary(&self) -> &'static str {
        "vLLM simulator executor: token ids of prompts and responses"
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("prompt_token_ids") && !head.has("arrival_time") && !head.has("conversation_id")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut builder = TraceBuilder::new(Content::Tokens);
        let (mut prompt, mut output) = (Vec::<u32>::new(), Vec::<u32>::new());
        let report = each_line(input, options, |line| {
            prompt.clear();
            output.clear();
            let (mut has_prompt, mut has_output) = (false, false);
            Scanner::new(line)?.object(|key, value| match key {
                "prompt_token_ids" => {
                    has_prompt = true;
                    value.integers(&mut prompt)
                }
                "response_token_ids" => {
                    has_output = true;
                    value.integers(&mut output)
                }
                _ => value.skip(),
            })?;
            if !has_prompt {
                return Err(Fault::missing("prompt_token_ids"));
            }
            if !has_output {
                return Err(Fault::missing("response_token_ids"));
            }
            let id = builder.len().to_string();
            builder.push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival: Nanos::ZERO,
                input_length: prompt.len() as u32,
                output_length: output.len() as u32,
                shared: 0,
                fresh: &prompt,
                output: &output,
                extra: None,
            })?;
            Ok(())
        })?;
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        require_tokens(trace, self.name())?;
        let mut sink = bytes::Sink::create(path)?;
        let mut replay = TokenReplay::new(trace);
        let mut seen: HashTable<(u128, u128)> = HashTable::new();
        let mut clashes = 0u64;
        while let Some(tokens) = replay.next_request() {
            require_output(trace, tokens.index, self.name())?;
            let out = &mut sink.buffer;
            out.push(b'{');
            bytes::key(out, "prompt_token_ids");
            let start = out.len();
            bytes::ids(out, tokens.prompt);
            let prompt = xxh3_128(&out[start..]);
            bytes::key(out, "response_token_ids");
            let start = out.len();
            bytes::ids(out, tokens.output);
            let response = xxh3_128(&out[start..]);
            out.extend_from_slice(b"}\n");
            match seen.find(prompt as u64, |(known, _)| *known == prompt) {
                Some((_, known)) => clashes += u64::from(*known != response),
                None => {
                    seen.insert_unique(prompt as u64, (prompt, response), |(known, _)| {
                        *known as u64
                    });
                }
            }
            sink.flush_full()?;
        }
        sink.finish()?;
        let mut notes = Vec::new();
        if clashes > 0 {
            notes.push(format!(
                "{clashes} requests repeat a prompt with another response; the simulator answers both alike"
            ));
        }
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes,
        })
    }
}

/// Refuses a request whose output is known by its length only.
pub(super) fn require_output(trace: &Trace, index: usize, format: &str) -> Result<()> {
    let request = &trace.requests()[index];
    if request.output.is_empty() && request.output_length > 0 {
        return Err(Error::usage(
            format!(
                "format `{format}` needs the output's tokens, and request `{}` has only their number",
                request.id
            ),
            "export a trace that `replay gen-trace` made",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn round_trip() {
        let written = testing::write(&testing::sample(), "vllm-sim", &WriteOptions::default());
        let text = String::from_utf8_lossy(&written);
        assert_eq!(
            text.lines().last(),
            Some(r#"{"prompt_token_ids":[1,2,3,4,5,6],"response_token_ids":[8]}"#)
        );
        let back = testing::read(&written, &ReadOptions::default()).expect("reads");
        assert_eq!(back.format, "vllm-sim");
        assert_eq!(
            testing::write(&back.trace, "vllm-sim", &WriteOptions::default()),
            written
        );
    }

    #[test]
    fn bad_lines() {
        testing::refuses(&[
            (
                r#"{"prompt_token_ids":[1]}"#,
                "t:1: has no `response_token_ids`",
            ),
            (
                r#"{"prompt_token_ids":[1],"response_token_ids":[-8]}"#,
                "whole number",
            ),
            (
                r#"{"prompt_token_ids":[1],"response_token_ids":[8]} x"#,
                "the end of the line",
            ),
        ]);
    }
}
