//! Mooncake's published traces: JSONL of `timestamp` (ms), lengths and `hash_ids` of 512-token blocks.
//!
//! Defined by `FAST25-release/traces` of kvcache-ai/Mooncake. `session_id` and `delay` (ms after the session's previous
//! request) are read as in AIPerf's and Dynamo's loaders of the same format.

use std::path::Path;

use hashbrown::{HashMap, HashTable};

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder};

use super::blocks::BlockIds;
use super::lines::{Fault, beyond, each_line, finish, foreign, millis, parse_millis, plausible};
use super::scan::Scanner;
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes};

/// Default tokens per block.
const BLOCK_SIZE: u32 = 512;

/// Reader and writer of the trace format `mooncake`.
pub(super) struct Mooncake;

/// Dense ids of hash ids, in order of first use. Published ids are small and dense, so most are found by index.
#[derive(Default)]
pub(super) struct Intern {
    small: Vec<u32>,
    large: HashTable<(u64, u32)>,
    next: u32,
}

/// Ids below this limit are found by index, at four bytes each.
const SMALL: u64 = 1 << 22;

impl Intern {
    /// Returns the dense id of `id`.
    pub(super) fn id(&mut self, id: u64) -> u32 {
        if id < SMALL {
            let at = id as usize;
            if at >= self.small.len() {
                self.small.resize(at + 1, u32::MAX);
            }
            if self.small[at] == u32::MAX {
                self.small[at] = self.next;
                self.next += 1;
            }
            return self.small[at];
        }
        let hash = |id: u64| xxhash_rust::xxh3::xxh3_64(&id.to_le_bytes());
        if let Some((_, dense)) = self.large.find(hash(id), |(known, _)| *known == id) {
            return *dense;
        }
        let dense = self.next;
        self.next += 1;
        self.large
            .insert_unique(hash(id), (id, dense), |(known, _)| hash(*known));
        dense
    }
}

/// Remedy for a line whose lengths do not match its ids.
pub(super) const BLOCK_REMEDY: &str =
    "set `block_size` to the file's own tokens per block, or repair the line";

/// Checks the number of ids before any id is interned, so that a rejected line has no effect.
pub(super) fn check_blocks(input_length: u32, block_size: u32, found: usize) -> Result<(), Fault> {
    let expected = input_length.div_ceil(block_size) as usize;
    if found == expected {
        return Ok(());
    }
    let problem = format!(
        "input_length {input_length} needs {expected} hash ids of {block_size} tokens each, found {found}"
    );
    Err(Fault::new(problem).remedy(BLOCK_REMEDY))
}

impl TraceFormat for Mooncake {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "mooncake",
            "Mooncake's JSONL of block hash ids, as AIPerf and Dynamo read it",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("hash_ids") || head.has("timestamp") && head.has("input_length")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let block_size = options.block_size.unwrap_or(BLOCK_SIZE);
        let mut builder = TraceBuilder::new(Content::HashIds { block_size });
        let mut intern = Intern::default();
        // For each named session: its next turn and its last arrival.
        let mut sessions: HashMap<String, (u32, Nanos), std::hash::RandomState> =
            HashMap::with_hasher(std::hash::RandomState::new());
        let (mut raw, mut dense) = (Vec::<u64>::new(), Vec::new());
        let mut number = 0u64;
        let report = each_line(input, options, |line| {
            raw.clear();
            let (mut time, mut delay, mut session, mut has_ids) = (None, None, None, false);
            let (mut input_length, mut output_length) = (None, 0);
            let span = |text: &str| {
                let time = parse_millis(text).or_else(|| beyond(text));
                time.ok_or_else(|| {
                    Fault::new(format!("expected milliseconds of 0 or more, found {text}"))
                })
            };
            Scanner::new(line)?.object(|key, value| {
                match key {
                    "timestamp" if !value.null() => time = Some(span(value.number()?)?),
                    "delay" if !value.null() => delay = Some(span(value.number()?)?),
                    "timestamp" | "delay" => {}
                    "session_id" => session = value.optional_name()?,
                    "input_length" => input_length = Some(value.count()?),
                    "output_length" if !value.null() => output_length = value.count()?,
                    "output_length" => {}
                    "hash_ids" => {
                        has_ids = true;
                        value.integers(&mut raw)?;
                    }
                    _ => value.skip()?,
                }
                Ok(())
            })?;
            let input_length = input_length.ok_or_else(|| Fault::missing("input_length"))?;
            if !has_ids {
                return Err(Fault::missing("hash_ids"));
            }
            check_blocks(input_length, block_size, raw.len())?;
            let before = session
                .as_deref()
                .and_then(|name| sessions.get(name).copied());
            let arrival = match (time, before) {
                (Some(time), _) => time,
                (None, Some((_, last))) => last + delay.unwrap_or_default(),
                (None, None) if session.is_some() => delay.unwrap_or_default(),
                (None, None) => return Err(Fault::missing("timestamp")),
            };
            let arrival = plausible(arrival, "milliseconds")?;
            let turn = before.map_or(0, |(turn, _)| turn);
            dense.clear();
            dense.extend(raw.iter().map(|id| intern.id(*id)));
            let id = number.to_string();
            builder.push(NewRequest {
                id: &id,
                session: session.as_deref().unwrap_or(&id),
                turn,
                arrival,
                input_length,
                output_length,
                shared: 0,
                fresh: &dense,
                output: &[],
                extra: None,
            })?;
            number += 1;
            if let Some(name) = session {
                sessions.insert(name.into_owned(), (turn + 1, arrival));
            }
            Ok(())
        })?;
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }

    fn write(&self, trace: &Trace, options: &WriteOptions<'_>, path: &Path) -> Result<WriteReport> {
        let mut blocks = BlockIds::new(trace, options.block_size, BLOCK_SIZE, self.name())?;
        let sessions = trace.sessions().len() < trace.requests().len();
        let block_size = blocks.block_size();
        let mut sink = bytes::Sink::create(path)?;
        while let Some((index, ids)) = blocks.next_request() {
            let request = &trace.requests()[index];
            let out = &mut sink.buffer;
            out.extend_from_slice(b"{\"timestamp\":");
            out.extend_from_slice(millis(request.arrival).as_bytes());
            bytes::number(out, "input_length", request.input_length);
            bytes::number(out, "output_length", request.output_length);
            bytes::key(out, "hash_ids");
            bytes::ids(out, ids);
            if sessions {
                bytes::key(out, "session_id");
                bytes::string(out, &trace.sessions()[request.session as usize]);
            }
            out.extend_from_slice(b"}\n");
            sink.flush_full()?;
        }
        sink.finish()?;
        let mut notes = Vec::new();
        if block_size != BLOCK_SIZE {
            notes.push(format!(
                "blocks of {block_size} tokens: readers of the file need this number"
            ));
        }
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::mooncake::*;
    use crate::trace::format::testing;
    use proptest::prelude::*;

    #[test]
    fn golden() {
        let options = WriteOptions {
            block_size: Some(2),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "mooncake", &options);
        assert_eq!(
            String::from_utf8_lossy(&written),
            "{\"timestamp\":0,\"input_length\":3,\"output_length\":2,\"hash_ids\":[0,1],\"session_id\":\"a\"}\n\
             {\"timestamp\":1500.000001,\"input_length\":5,\"output_length\":1,\"hash_ids\":[0,2,3],\"session_id\":\"b\"}\n\
             {\"timestamp\":2000,\"input_length\":6,\"output_length\":1,\"hash_ids\":[0,4,5],\"session_id\":\"a\"}\n"
        );
    }

    #[test]
    fn delays_follow_the_session() {
        let text = br#"{"session_id": "a", "timestamp": 1000, "input_length": 5, "output_length": 1, "hash_ids": [7]}
{"session_id": "a", "delay": 500, "input_length": 600, "output_length": 1, "hash_ids": [7, 99999999999]}"#;
        let trace = testing::read(text, &ReadOptions::default())
            .expect("reads")
            .trace;
        let second = &trace.requests()[1];
        assert_eq!((second.arrival, second.turn), (Nanos(1_500_000_000), 1));
        assert_eq!(trace.ids(second.fresh), [0, 1]);
    }

    #[test]
    fn bad_lines() {
        testing::refuses(&[
            (
                r#"{"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [1]}"#,
                "needs 2 hash ids of 512 tokens each, found 1; set `block_size`",
            ),
            (
                r#"{"timestamp": 0, "input_length": 5, "output_length": 1}"#,
                "has no `hash_ids`",
            ),
            (
                r#"{"timestamp": "x", "input_length": 5, "output_length": 1, "hash_ids": [1]}"#,
                "t:1: `timestamp`: expected a number",
            ),
            (
                r#"{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [1"#,
                "truncated JSON",
            ),
            (
                r#"{"timestamp": 0, "input_length": -5, "output_length": 1, "hash_ids": [1]}"#,
                "`input_length`",
            ),
        ]);
    }

    proptest! {
        #[test]
        fn round_trip(rows in prop::collection::vec(
            (0u64..1 << 50, any::<u32>(), prop::collection::vec(any::<u64>(), 0..5), 0u8..3), 1..20)) {
            let mut text = String::new();
            for (nanos, output, ids, session) in &rows {
                text += &format!(
                    "{{\"timestamp\":{},\"input_length\":{},\"output_length\":{output},\"hash_ids\":{ids:?},\"session_id\":{session}}}\n",
                    millis(Nanos(*nanos)), ids.len() * 512);
            }
            let first = testing::read(text.as_bytes(), &ReadOptions::default()).expect("reads").trace;
            let bytes = testing::write(&first, "mooncake", &WriteOptions::default());
            let second = testing::read(&bytes, &ReadOptions::default()).expect("reads").trace;
            prop_assert_eq!(testing::loads(&first), testing::loads(&second));
            prop_assert_eq!(testing::write(&second, "mooncake", &WriteOptions::default()), bytes);
        }
    }
}
