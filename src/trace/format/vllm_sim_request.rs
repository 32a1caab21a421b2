//! vLLM's simulator by request id: JSONL `{"request_id": "...", "output_token_ids": [...]}`.
//!
//! Defined by the variant that `VLLM_USE_SIMULATOR=1 VLLM_SIMULATOR_TRACE_PATH=FILE` switches on. It holds no prompts,
//! so what is read back has output lengths only, and prompts of length 0.

use std::path::Path;

use crate::error::Result;
use crate::io::Input;
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder};

use super::lines::{Fault, each_line, finish, foreign};
use super::scan::Scanner;
use super::vllm_sim::require_output;
use super::{
    Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes, require_tokens,
};

/// See the module.
pub(super) struct VllmSimRequest;

impl TraceFormat for VllmSimRequest {
    fn name(&self) -> &'static str {
        "vllm-sim-request"
    }

    fn summary(&self) -> &'static str {
        "vLLM simulator by request id: output token ids"
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("request_id") && head.has("output_token_ids")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut builder = TraceBuilder::new(Content::Lengths);
        let mut output = Vec::<u32>::new();
        let report = each_line(input, options, |line| {
            output.clear();
            let (mut id, mut has_output) = (None, false);
            Scanner::new(line)?.object(|key, value| match key {
                "request_id" => {
                    id = Some(value.name()?.into_owned());
                    Ok(())
                }
                "output_token_ids" => {
                    has_output = true;
                    value.integers(&mut output)
                }
                _ => value.skip(),
            })?;
            let id = id.ok_or_else(|| Fault::missing("request_id"))?;
            if !has_output {
                return Err(Fault::missing("output_token_ids"));
            }
            builder.push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival: Nanos::ZERO,
                input_length: 0,
                output_length: output.len() as u32,
                shared: 0,
                fresh: &[],
                output: &[],
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
        for (index, request) in trace.requests().iter().enumerate() {
            require_output(trace, index, self.name())?;
            let out = &mut sink.buffer;
            out.push(b'{');
            bytes::key(out, "request_id");
            bytes::string(out, &request.id);
            bytes::key(out, "output_token_ids");
            bytes::ids(out, trace.ids(request.output));
            out.extend_from_slice(b"}\n");
            sink.flush_full()?;
        }
        sink.finish()?;
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes: vec!["the client must send the same request ids".into()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn golden() {
        let written = testing::write(
            &testing::sample(),
            "vllm-sim-request",
            &WriteOptions::default(),
        );
        assert_eq!(
            String::from_utf8_lossy(&written).lines().next(),
            Some(r#"{"request_id":"a_turn0","output_token_ids":[4,5]}"#)
        );
    }

    #[test]
    fn reads_back_the_lengths() {
        let written = testing::write(
            &testing::sample(),
            "vllm-sim-request",
            &WriteOptions::default(),
        );
        let input =
            Input::from_reader("t", Box::new(std::io::Cursor::new(written))).expect("opens");
        let (trace, _) = VllmSimRequest
            .read(input, &ReadOptions::default())
            .expect("reads");
        let sample = testing::sample();
        assert_eq!(trace.content(), Content::Lengths);
        for request in trace.requests() {
            let known = sample
                .requests()
                .iter()
                .find(|known| known.id == request.id)
                .expect("the same ids");
            assert_eq!(request.output_length, known.output_length);
        }
    }
}
