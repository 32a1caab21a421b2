//! vLLM's simulator by text: JSONL `{"prompt": "...", "response": "..."}`.
//!
//! Defined by the variant of `--use-simulator --sim-trace-path FILE`. Text is not tokens: written, never read.

use std::path::Path;

use crate::error::Result;
use crate::trace::{TokenReplay, Trace};

use super::vllm_sim::require_output;
use super::{Head, TraceFormat, WriteOptions, WriteReport, bytes, require_tokens};

/// See the module.
pub(super) struct VllmSimText;

impl TraceFormat for VllmSimText {
    fn name(&self) -> &'static str {
        "vllm-sim-text"
    }

    fn summary(&self) -> &'static str {
        "vLLM simulator by text: prompts and responses (write only)"
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("prompt") && head.has("response")
    }

    fn readable(&self) -> bool {
        false
    }

    fn needs_text(&self) -> bool {
        true
    }

    fn write(&self, trace: &Trace, options: &WriteOptions<'_>, path: &Path) -> Result<WriteReport> {
        require_tokens(trace, self.name())?;
        let text = options.text(self.name())?;
        let mut sink = bytes::Sink::create(path)?;
        let mut replay = TokenReplay::new(trace);
        while let Some(tokens) = replay.next_request() {
            require_output(trace, tokens.index, self.name())?;
            let out = &mut sink.buffer;
            out.push(b'{');
            bytes::key(out, "prompt");
            bytes::string(out, &text(tokens.prompt)?);
            bytes::key(out, "response");
            bytes::string(out, &text(tokens.output)?);
            out.extend_from_slice(b"}\n");
            sink.flush_full()?;
        }
        sink.finish()?;
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{format, testing};
    use super::*;

    #[test]
    fn golden_and_the_missing_tokenizer() {
        let spell = |ids: &[u32]| Ok(format!("{ids:?}\n"));
        let options = WriteOptions {
            detokenize: Some(&spell),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "vllm-sim-text", &options);
        assert_eq!(
            String::from_utf8_lossy(&written).lines().next(),
            Some(r#"{"prompt":"[1, 2, 3]\n","response":"[4, 5]\n"}"#)
        );
        let error = format("vllm-sim-text")
            .and_then(|f| f.write(&testing::sample(), &WriteOptions::default(), Path::new("x")))
            .expect_err("needs text");
        assert!(error.to_string().contains("--tokenizer"), "{error}");
    }
}
