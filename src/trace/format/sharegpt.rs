//! ShareGPT conversations, for `vllm bench serve --dataset-name sharegpt`: a JSON array with one record per line.
//!
//! Defined by `ShareGPTDataset` in `vllm/benchmarks/datasets.py`. A turn holds the text that its prompt adds to the previous
//! turn, as rendered by the chat template. Such files are read by the data set loaders, not as a trace.

use std::path::Path;

use crate::base::error::Result;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::answers::require_output;
use super::{TraceFormat, WriteOptions, WriteReport, bytes, require_tokens};

/// Writer of the trace format `sharegpt`.
pub(super) struct ShareGpt;

impl TraceFormat for ShareGpt {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "sharegpt",
            "conversations for `vllm bench serve --dataset-name sharegpt` (write only)",
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
        let mut turns = vec![Vec::new(); trace.sessions().len()];
        for (index, request) in trace.requests().iter().enumerate() {
            require_output(request, self.name())?;
            turns[request.session as usize].push(index);
        }
        let mut sink = bytes::Sink::create(path)?;
        sink.buffer.push(b'[');
        let mut records = 0;
        for (session, turns) in trace.sessions().iter().zip(&turns) {
            if turns.is_empty() {
                continue;
            }
            let out = &mut sink.buffer;
            out.extend_from_slice(if records == 0 { b"\n{" } else { b",\n{" });
            bytes::key(out, "id");
            bytes::string(out, session);
            bytes::key(out, "conversations");
            out.push(b'[');
            for (place, index) in turns.iter().enumerate() {
                let request = &trace.requests()[*index];
                if place > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"from\":\"human\",\"value\":");
                bytes::string(out, &text(trace.ids(request.fresh))?);
                out.extend_from_slice(b"},{\"from\":\"gpt\",\"value\":");
                bytes::string(out, &text(trace.ids(request.output))?);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
            records += 1;
            sink.flush_full()?;
        }
        sink.buffer.extend_from_slice(b"\n]\n");
        sink.finish()?;
        Ok(WriteReport {
            records,
            notes: vec![
                "vLLM sends the first exchange of each conversation only; `vllm-custom` sends every prompt".into(),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::sharegpt::*;
    use crate::trace::format::testing;

    #[test]
    fn golden() {
        let spell = |ids: &[u32]| Ok(format!("{ids:?}"));
        let options = WriteOptions {
            detokenize: Some(&spell),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "sharegpt", &options);
        assert_eq!(
            String::from_utf8_lossy(&written),
            r#"[
{"id":"a","conversations":[{"from":"human","value":"[1, 2, 3]"},{"from":"gpt","value":"[4, 5]"},{"from":"human","value":"[6]"},{"from":"gpt","value":"[8]"}]},
{"id":"b","conversations":[{"from":"human","value":"[1, 2, 9, 9, 9]"},{"from":"gpt","value":"[7]"}]}
]
"#
        );
    }
}
