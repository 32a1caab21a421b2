//! Alibaba's published Bailian (Qwen) traces: Mooncake's format with a link from each chat to its parent, times in seconds and
//! blocks of 16 tokens.
//!
//! Defined by alibaba-edu/qwen-bailian-usagetraces-anon: `chat_id` is a request, `parent_chat_id` the previous turn or -1, and
//! `turn` counts from 1.

use std::path::Path;

use hashbrown::HashMap;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder};

use super::blocks::BlockIds;
use super::lines::{Fault, beyond, each_line, finish, foreign, plausible};
use super::mooncake::{Intern, check_blocks};
use super::scan::Scanner;
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes};

/// Default tokens per block.
const BLOCK_SIZE: u32 = 16;

/// Reader and writer of the trace format `bailian`.
pub(super) struct Bailian;

impl TraceFormat for Bailian {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "bailian",
            "Alibaba Bailian's JSONL of block hash ids with linked chats",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("chat_id") && head.has("parent_chat_id")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let block_size = options.block_size.unwrap_or(BLOCK_SIZE);
        let mut builder = TraceBuilder::new(Content::HashIds { block_size });
        let mut intern = Intern::default();
        let mut roots: HashMap<String, String, std::hash::RandomState> =
            HashMap::with_hasher(std::hash::RandomState::new());
        let (mut raw, mut dense) = (Vec::<u64>::new(), Vec::new());
        let report = each_line(input, options, |line| {
            raw.clear();
            let (mut id, mut parent, mut arrival, mut has_ids) = (None, None, None, false);
            let (mut turn, mut input_length, mut output_length) = (1, None, None);
            Scanner::new(line)?.object(|key, value| {
                match key {
                    "chat_id" => id = Some(value.name()?),
                    "parent_chat_id" => parent = value.optional_name()?,
                    "timestamp" => {
                        let text = value.number()?;
                        let time = Nanos::parse_secs(text).or_else(|| beyond(text));
                        let time = time.ok_or_else(|| {
                            Fault::new(format!("expected seconds of 0 or more, found {text}"))
                        })?;
                        arrival = Some(plausible(time, "seconds")?);
                    }
                    "turn" => turn = value.count()?,
                    "input_length" => input_length = Some(value.count()?),
                    "output_length" => output_length = Some(value.count()?),
                    "hash_ids" => {
                        has_ids = true;
                        value.integers(&mut raw)?;
                    }
                    _ => value.skip()?,
                }
                Ok(())
            })?;
            let id = id.ok_or_else(|| Fault::missing("chat_id"))?;
            let input_length = input_length.ok_or_else(|| Fault::missing("input_length"))?;
            if !has_ids {
                return Err(Fault::missing("hash_ids"));
            }
            check_blocks(input_length, block_size, raw.len())?;
            let session = match parent.as_deref() {
                None | Some("-1") => id.clone().into_owned(),
                // Requests with the same parent are in one session even if the parent is not in the file.
                Some(parent) => roots
                    .get(parent)
                    .cloned()
                    .unwrap_or_else(|| parent.to_owned()),
            };
            dense.clear();
            dense.extend(raw.iter().map(|id| intern.id(*id)));
            builder.push(NewRequest {
                id: &id,
                session: &session,
                turn: turn.saturating_sub(1),
                arrival: arrival.ok_or_else(|| Fault::missing("timestamp"))?,
                input_length,
                output_length: output_length.ok_or_else(|| Fault::missing("output_length"))?,
                shared: 0,
                fresh: &dense,
                output: &[],
                extra: None,
            })?;
            roots.insert(id.into_owned(), session);
            Ok(())
        })?;
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }

    fn write(&self, trace: &Trace, options: &WriteOptions<'_>, path: &Path) -> Result<WriteReport> {
        let mut blocks = BlockIds::new(trace, options.block_size, BLOCK_SIZE, self.name())?;
        let mut last = vec![None; trace.sessions().len()];
        let mut sink = bytes::Sink::create(path)?;
        while let Some((index, ids)) = blocks.next_request() {
            let request = &trace.requests()[index];
            let parent = last[request.session as usize].replace(index);
            let out = &mut sink.buffer;
            out.push(b'{');
            bytes::number(out, "chat_id", index as u64);
            bytes::key(out, "parent_chat_id");
            match parent {
                Some(parent) => bytes::integer(out, parent as u64),
                None => out.extend_from_slice(b"-1"),
            }
            bytes::key(out, "timestamp");
            out.extend_from_slice(request.arrival.to_string().as_bytes());
            bytes::number(out, "input_length", request.input_length);
            bytes::number(out, "output_length", request.output_length);
            bytes::key(out, "type");
            bytes::string(out, "text");
            bytes::number(out, "turn", u64::from(request.turn) + 1);
            bytes::key(out, "hash_ids");
            bytes::ids(out, ids);
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
    use crate::trace::format::bailian::*;
    use crate::trace::format::testing;

    #[test]
    fn round_trip() {
        let written = testing::write(&testing::sample(), "bailian", &WriteOptions::default());
        let text = String::from_utf8_lossy(&written);
        assert_eq!(
            text.lines().nth(2),
            Some(
                r#"{"chat_id":2,"parent_chat_id":0,"timestamp":2.0,"input_length":6,"output_length":1,"type":"text","turn":2,"hash_ids":[2]}"#
            )
        );
        let back = testing::read(&written, &ReadOptions::default()).expect("reads");
        assert_eq!(back.format, "bailian");
        assert_eq!(
            testing::loads(&back.trace),
            testing::loads(&testing::sample())
        );
        assert_eq!(back.trace.sessions().len(), 2);
        assert_eq!(
            testing::write(&back.trace, "bailian", &WriteOptions::default()),
            written
        );
    }

    #[test]
    fn bad_lines() {
        testing::refuses(&[
            (
                r#"{"chat_id":0,"parent_chat_id":-1,"timestamp":2.0,"input_length":17,"output_length":1,"hash_ids":[2]}"#,
                "needs 2 hash ids",
            ),
            (
                r#"{"chat_id":0,"parent_chat_id":-1,"input_length":1,"output_length":1,"hash_ids":[2]}"#,
                "has no `timestamp`",
            ),
            (
                r#"{"chat_id":0,"parent_chat_id":-1,"timestamp":1,"input_length":1,"output_length":1}"#,
                "has no `hash_ids`",
            ),
        ]);
    }
}
