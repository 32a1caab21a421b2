//! LLMServingSim's workloads: JSONL `input_toks, output_toks, arrival_time_ns, input_tok_ids, output_tok_ids`.
//!
//! Defined by `docs/docs/workloads/jsonl-format.md` of LLMServingSim; its benchmark replays the same file through vLLM. The ids
//! may be omitted. Each line is a session of its own. Lines with `sub_requests`, whose turns arrive when the previous turn is
//! finished, have no arrivals and are rejected.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, Nanos, NewRequest, TokenReplay, Trace, TraceBuilder};

use super::lines::{Fault, each_line, finish, foreign, plausible};
use super::scan::Scanner;
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes};

const KEYS: [&str; 5] = [
    "input_toks",
    "output_toks",
    "arrival_time_ns",
    "input_tok_ids",
    "output_tok_ids",
];

/// Reader and writer of the trace format `llmservingsim`.
pub(super) struct LlmServingSim;

/// A length that is stated, counted from ids, or both.
fn length(
    given: Option<u32>,
    ids: &[u32],
    content: Content,
    keys: [&str; 2],
) -> Result<u32, Fault> {
    match (given, content) {
        (Some(given), Content::Tokens) if !ids.is_empty() && given as usize != ids.len() => {
            Err(Fault::new(format!(
                "`{}` is {given}, but `{}` has {} ids",
                keys[0],
                keys[1],
                ids.len()
            )))
        }
        (Some(given), _) => Ok(given),
        (None, Content::Tokens) => Ok(ids.len() as u32),
        (None, _) => Err(Fault::missing(keys[0])),
    }
}

impl TraceFormat for LlmServingSim {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "llmservingsim",
            "LLMServingSim workload: arrivals in nanoseconds, lengths, and token ids where known",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("input_toks") || head.has("input_tok_ids") || head.has("sub_requests")
    }

    fn read(&self, mut input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let content = if Head::new(input.peek()?).has("input_tok_ids") {
            Content::Tokens
        } else {
            Content::Lengths
        };
        let mut builder = TraceBuilder::new(content);
        let (mut prompt, mut answer) = (Vec::new(), Vec::new());
        let report = each_line(input, options, |line| {
            prompt.clear();
            answer.clear();
            let (mut input_length, mut output_length, mut arrival) = (None, None, None);
            Scanner::new(line)?.object(|key, value| {
                match key {
                    "input_toks" => input_length = Some(value.count()?),
                    "output_toks" => output_length = Some(value.count()?),
                    "arrival_time_ns" => {
                        let text = value.number()?;
                        let time = text.parse().map(Nanos).map_err(|_| {
                            Fault::new(format!("expected whole nanoseconds, found {text}"))
                        })?;
                        arrival = Some(plausible(time, "nanoseconds")?);
                    }
                    "input_tok_ids" => value.integers(&mut prompt)?,
                    "output_tok_ids" => value.integers(&mut answer)?,
                    "sub_requests" => {
                        return Err(Fault::new(
                            "is a session whose turns arrive when the previous turn is finished",
                        )
                        .remedy("give a workload of single requests"));
                    }
                    _ => value.skip()?,
                }
                Ok(())
            })?;
            let arrival = arrival.ok_or_else(|| Fault::missing(KEYS[2]))?;
            if content == Content::Tokens && prompt.is_empty() {
                return Err(Fault::missing(KEYS[3]));
            }
            if content == Content::Lengths {
                prompt.clear();
                answer.clear();
            }
            let id = builder.len().to_string();
            builder.push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival,
                input_length: length(input_length, &prompt, content, [KEYS[0], KEYS[3]])?,
                output_length: length(output_length, &answer, content, [KEYS[1], KEYS[4]])?,
                shared: 0,
                fresh: &prompt,
                output: &answer,
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
        let tokens = trace.content() == Content::Tokens;
        let mut replay = TokenReplay::new(trace);
        let mut sink = bytes::Sink::create(path)?;
        for request in trace.requests() {
            let out = &mut sink.buffer;
            out.push(b'{');
            for (key, value) in KEYS.iter().zip([
                u64::from(request.input_length),
                u64::from(request.output_length),
                request.arrival.0,
            ]) {
                bytes::key(out, key);
                bytes::integer(out, value);
            }
            if tokens && let Some(whole) = replay.next_request() {
                bytes::key(out, KEYS[3]);
                bytes::ids(out, whole.prompt);
                // An output with a known length but no content has no ids.
                if !whole.output.is_empty() {
                    bytes::key(out, KEYS[4]);
                    bytes::ids(out, whole.output);
                }
            }
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
    use crate::trace::format::llmservingsim::*;
    use crate::trace::format::testing;

    #[test]
    fn round_trip_with_and_without_ids() {
        let written = testing::write(
            &testing::sample(),
            "llmservingsim",
            &WriteOptions::default(),
        );
        let text = String::from_utf8_lossy(&written);
        assert_eq!(
            text.lines().last(),
            Some(
                r#"{"input_toks":6,"output_toks":1,"arrival_time_ns":2000000000,"input_tok_ids":[1,2,3,4,5,6],"output_tok_ids":[8]}"#
            )
        );
        let back = testing::read(&written, &ReadOptions::default()).expect("reads");
        assert_eq!(back.format, "llmservingsim");
        assert_eq!(
            testing::write(&back.trace, "llmservingsim", &WriteOptions::default()),
            written
        );
        let lengths = b"{\"input_toks\": 5, \"output_toks\": 2, \"arrival_time_ns\": 7}\n";
        let back = testing::read(lengths, &ReadOptions::default()).expect("reads");
        assert_eq!(back.trace.content(), Content::Lengths);
        assert_eq!(testing::loads(&back.trace), [(7, 5, 2)]);
    }

    #[test]
    fn bad_lines() {
        testing::refuses(&[
            (r#"{"input_toks":1,"output_toks":1}"#, "`arrival_time_ns`"),
            (
                r#"{"output_toks":1,"arrival_time_ns":1,"input_tok_ids":[]}"#,
                "`input_tok_ids`",
            ),
            (
                r#"{"input_toks":2,"output_toks":1,"arrival_time_ns":1,"input_tok_ids":[4]}"#,
                "`input_toks` is 2",
            ),
            (
                r#"{"input_toks":2,"output_toks":1,"arrival_time_ns":1.5}"#,
                "whole nanoseconds",
            ),
            (
                r#"{"session_id":"a","arrival_time_ns":1,"sub_requests":[]}"#,
                "single requests",
            ),
        ]);
    }
}
