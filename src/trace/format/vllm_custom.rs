//! `vllm bench serve --dataset-name custom`: JSONL `{"prompt": "..."}`.
//!
//! Defined by `CustomDataset` in `vllm/benchmarks/datasets.py`. It is written but not read.

use std::path::Path;

use crate::base::error::Result;
use crate::base::registry::Card;
use crate::trace::{TokenReplay, Trace};

use super::{TraceFormat, WriteOptions, WriteReport, bytes, require_tokens};

/// Writer of the trace format `vllm-custom`.
pub(super) struct VllmCustom;

impl TraceFormat for VllmCustom {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "vllm-custom",
            "prompts for `vllm bench serve --dataset-name custom` (write only)",
        );
        &CARD
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
            let out = &mut sink.buffer;
            out.push(b'{');
            bytes::key(out, "prompt");
            bytes::string(out, &text(tokens.prompt)?);
            out.extend_from_slice(b"}\n");
            sink.flush_full()?;
        }
        sink.finish()?;
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes: vec![
                "prompts carry the chat template: run `vllm bench serve` with --skip-chat-template"
                    .into(),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;
    use crate::trace::format::vllm_custom::*;

    #[test]
    fn golden() {
        let spell = |ids: &[u32]| Ok(format!("\"{}\"", ids.len()));
        let options = WriteOptions {
            detokenize: Some(&spell),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "vllm-custom", &options);
        assert_eq!(
            String::from_utf8_lossy(&written).lines().last(),
            Some(r#"{"prompt":"\"6\""}"#)
        );
    }
}
