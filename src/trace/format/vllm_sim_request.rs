//! vLLM's simulator by request id: JSONL `{"request_id": "...", "output_token_ids": [...]}`.
//!
//! Defined by the variant that `VLLM_USE_SIMULATOR=1 VLLM_SIMULATOR_TRACE_PATH=FILE` switches on. It holds no prompts,
//! so it cannot be read back as a trace.

use std::path::Path;

use crate::error::Result;
use crate::trace::Trace;

use super::vllm_sim::require_output;
use super::{Head, TraceFormat, WriteOptions, WriteReport, bytes, require_tokens};

/// See the module.
pub(super) struct VllmSimRequest;

impl TraceFormat for VllmSimRequest {
    fn name(&self) -> &'static str {
        "vllm-sim-request"
    }

    fn summary(&self) -> &'static str {
        "vLLM simulator by request id: output token ids (write only)"
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("request_id") && head.has("output_token_ids")
    }

    fn readable(&self) -> bool {
        false
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
}
