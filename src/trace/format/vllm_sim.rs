//! vLLM's simulator executor: JSONL `{"prompt_token_ids": [...], "response_token_ids": [...]}`.
//!
//! Defined by that executor (`--distributed-executor-backend sim --sim-trace-path`), which finds a response by the SHA-1 of the
//! comma-joined prompt ids. The file has no times: every request that is read arrives at time 0.

use std::path::Path;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{TokenReplay, Trace};

use super::lines::foreign;
use super::{
    Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, answers, bytes,
};

const KEYS: [&str; 2] = ["prompt_token_ids", "response_token_ids"];

/// Reader and writer of the trace format `vllm-sim`.
pub(super) struct VllmSim;

impl TraceFormat for VllmSim {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "vllm-sim",
            "vLLM simulator executor: token ids of prompts and responses",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("prompt_token_ids") && !head.has("arrival_time") && !head.has("conversation_id")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        answers::read(KEYS, input, options, foreign(self.name()), |value, ids| {
            value.integers(ids)
        })
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let mut replay = TokenReplay::new(trace);
        let mut seen: HashTable<(u128, u128)> = HashTable::new();
        let mut clashes = 0u64;
        let mut report = answers::write(trace, self.name(), path, |_, out| {
            let Some(tokens) = replay.next_request() else {
                return Ok(());
            };
            bytes::key(out, KEYS[0]);
            let start = out.len();
            bytes::ids(out, tokens.prompt);
            let prompt = xxh3_128(&out[start..]);
            bytes::key(out, KEYS[1]);
            let start = out.len();
            bytes::ids(out, tokens.output);
            let response = xxh3_128(&out[start..]);
            match seen.find(prompt as u64, |(known, _)| *known == prompt) {
                Some((_, known)) => clashes += u64::from(*known != response),
                None => {
                    seen.insert_unique(prompt as u64, (prompt, response), |(known, _)| {
                        *known as u64
                    });
                }
            }
            Ok(())
        })?;
        if clashes > 0 {
            report.notes.push(format!(
                "{clashes} requests repeat a prompt with another response; the simulator answers both alike"
            ));
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;
    use crate::trace::format::vllm_sim::*;

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
