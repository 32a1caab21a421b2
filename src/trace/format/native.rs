//! The native format: a header line, then one line per request in arrival order, each with its new tokens only.
//!
//! Defined in this file. A change that older readers would misread increments [`VERSION`].

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::generate::{ArrangedTrace, Planned};
use crate::trace::{
    Content, ExtraKeys, Identity, Nanos, NewRequest, Trace, TraceBuilder, TraceMeta,
};

use super::lines::{Fault, empty, finish, settle};
use super::scan::Scanner;
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, bytes};

/// The format's name in the header.
const FORMAT: &str = "replay-trace";
/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

/// Reader and writer of the trace format `native`.
pub(super) struct Native;

#[derive(serde::Deserialize)]
struct Version {
    format: String,
    version: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    format: String,
    version: u64,
    #[serde(default)]
    generator: String,
    #[serde(default)]
    seed: Option<u64>,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokenizer: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default)]
    arrival: Map<String, Value>,
    #[serde(default)]
    counts: Map<String, Value>,
}

impl TraceFormat for Native {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "native",
            "replay's own JSONL: every token once, header with seed and origin",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("format") && head.has("version")
            || head.first_line.starts_with(b"{\"format\":\"replay-trace\"")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut lines = input.lines();
        let (content, meta) = match lines.next_line()? {
            None => return Err(empty(&path)),
            Some((number, line)) => header(line).map_err(|fault| {
                Error::input(Location::line(&path, number), fault.problem, fault.remedy)
            })?,
        };
        let mut builder = TraceBuilder::new(content);
        let mut report = ReadReport::default();
        let mut reader = Reader::default();
        while let Some((number, line)) = lines.next_line()? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let outcome = reader.line(line, &mut builder);
            settle(outcome, Location::line(&path, number), options, &mut report)?;
        }
        let announced = meta.counts.get("requests").and_then(Value::as_u64);
        if let Some(announced) = announced.filter(|n| *n != report.records && !options.tolerate) {
            return Err(Error::input(
                Location::file(&path),
                format!(
                    "has {} requests, its header says {announced}",
                    report.records
                ),
                "the file is truncated or was edited; generate or copy it again",
            ));
        }
        Ok((finish(builder, meta, &path)?, report))
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let mut sink = bytes::Sink::create(path)?;
        let counts = Counts {
            requests: trace.requests().len() as u64,
            sessions: trace.sessions().len() as u64,
            prompt_tokens: trace.prompt_tokens(),
            output_tokens: trace.output_tokens(),
        };
        sink.header(&head_of(&trace.meta, trace.content(), &counts), path)?;
        let ids_key = match trace.content() {
            Content::Tokens => Some("tokens"),
            Content::HashIds { .. } => Some("hash_ids"),
            Content::Lengths => None,
        };
        sink.all(trace.requests(), |request, out| {
            let line = Line {
                id: &request.id,
                session: &trace.sessions()[request.session as usize],
                turn: request.turn,
                arrival: request.arrival,
                input_length: request.input_length,
                output_length: request.output_length,
                service_time: request.service_time,
                shared: request.shared,
                fresh: ids_key.map(|key| (key, trace.ids(request.fresh))),
                output: trace.ids(request.output),
                extra: Some(trace.extra_keys(request)),
            };
            line.push(out);
        })?;
        sink.finish()?;
        Ok(WriteReport {
            records: trace.requests().len() as u64,
            notes: Vec::new(),
        })
    }
}

/// What a line says of a request.
struct Line<'a> {
    id: &'a str,
    session: &'a str,
    turn: u32,
    arrival: Nanos,
    input_length: u32,
    output_length: u32,
    service_time: Option<Nanos>,
    shared: u32,
    /// The key of the prompt's ids, and the ids; `None` for traces of lengths.
    fresh: Option<(&'static str, &'a [u32])>,
    output: &'a [u32],
    extra: Option<&'a ExtraKeys>,
}

impl Line<'_> {
    /// Appends the line.
    fn push(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        bytes::key(out, "request_id");
        bytes::string(out, self.id);
        bytes::key(out, "session_id");
        bytes::string(out, self.session);
        bytes::number(out, "turn", self.turn);
        bytes::key(out, "arrival_time");
        // Writing to memory cannot fail.
        let _ = write!(out, "{}", self.arrival);
        bytes::number(out, "input_length", self.input_length);
        bytes::number(out, "output_length", self.output_length);
        if let Some(time) = self.service_time {
            bytes::key(out, "service_time");
            let _ = write!(out, "{time}");
        }
        bytes::number(out, "shared", self.shared);
        if let Some((key, ids)) = self.fresh {
            bytes::key(out, key);
            bytes::ids(out, ids);
        }
        if !self.output.is_empty() {
            bytes::key(out, "output");
            bytes::ids(out, self.output);
        }
        if let Some(extra) = self.extra {
            for (key, value) in [("lora", &extra.lora), ("cache_salt", &extra.cache_salt)] {
                if let Some(value) = value {
                    bytes::key(out, key);
                    bytes::string(out, value);
                }
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Writes a trace that is not in memory. `done` counts the requests, for a progress bar.
///
/// # Errors
/// A file that cannot be written, or a temporary file that cannot be read.
pub(super) fn write_arranged(trace: &ArrangedTrace, path: &Path, done: &AtomicU64) -> Result<()> {
    let mut sink = bytes::Sink::create(path)?;
    let counts = Counts {
        requests: trace.len() as u64,
        sessions: trace.sessions() as u64,
        prompt_tokens: trace.prompt_tokens(),
        output_tokens: trace.output_tokens(),
    };
    sink.header(&head_of(&trace.meta, Content::Tokens, &counts), path)?;
    let load = |batch: &[Planned]| {
        done.fetch_add(batch.len() as u64, Ordering::Relaxed);
        trace.ids(batch)
    };
    sink.all_with(&trace.planned, load, |planned, ids, out| {
        let request = trace.request(planned);
        let line = Line {
            id: &format!("{}_turn{}", request.session, request.turn),
            session: request.session,
            turn: request.turn,
            arrival: request.arrival,
            input_length: request.input_length,
            output_length: request.output_length,
            service_time: None,
            shared: request.shared,
            fresh: Some(("tokens", ids.range(&request.fresh))),
            output: ids.range(&request.output),
            extra: None,
        };
        line.push(out);
    })?;
    sink.finish()
}

/// Counts of a file itself: readers detect a truncated file by them.
struct Counts {
    requests: u64,
    sessions: u64,
    prompt_tokens: u64,
    output_tokens: u64,
}

fn head_of(meta: &TraceMeta, content: Content, found: &Counts) -> Header {
    let (content, block_size) = match content {
        Content::Tokens => ("tokens", None),
        Content::HashIds { block_size } => ("hash_ids", Some(block_size)),
        Content::Lengths => ("lengths", None),
    };
    let meta = meta.clone();
    let mut counts = meta.counts;
    counts.insert("requests".into(), found.requests.into());
    counts.insert("sessions".into(), found.sessions.into());
    counts.insert("prompt_tokens".into(), found.prompt_tokens.into());
    counts.insert("output_tokens".into(), found.output_tokens.into());
    Header {
        format: FORMAT.into(),
        version: VERSION,
        generator: meta.generator,
        seed: meta.seed,
        content: content.into(),
        block_size,
        tokenizer: meta.tokenizer,
        template: meta.template,
        mode: meta.mode,
        arrival: meta.arrival,
        counts,
    }
}

fn header(line: &[u8]) -> Result<(Content, TraceMeta), Fault> {
    let wrong = |error: serde_json::Error| {
        Fault::new(format!("the header is not as expected: {error}"))
            .remedy("make the trace again with `replay gen-trace`")
    };
    let version: Version = serde_json::from_slice(line).map_err(wrong)?;
    if version.format != FORMAT {
        return Err(
            Fault::new(format!("format `{}`, expected `{FORMAT}`", version.format))
                .remedy("set `format` to the file's format"),
        );
    }
    if version.version != VERSION {
        return Err(Fault::new(format!(
            "the trace has version {}, but this program reads version {VERSION}",
            version.version
        ))
        .remedy("use the program version that wrote it, or generate the trace again"));
    }
    let header: Header = serde_json::from_slice(line).map_err(wrong)?;
    let content = match (header.content.as_str(), header.block_size) {
        ("tokens", _) => Content::Tokens,
        ("lengths", _) => Content::Lengths,
        ("hash_ids", Some(block_size @ 1..)) => Content::HashIds { block_size },
        ("hash_ids", _) => {
            return Err(
                Fault::new("content `hash_ids` without a `block_size` of 1 or more")
                    .remedy("add the tokens per block to the header"),
            );
        }
        (other, _) => {
            return Err(Fault::new(format!(
                "content `{}`, expected `tokens`, `hash_ids` or `lengths`",
                other.escape_debug()
            ))
            .remedy("make the trace again with `replay gen-trace`"));
        }
    };
    let meta = TraceMeta {
        generator: header.generator,
        seed: header.seed,
        tokenizer: header.tokenizer,
        template: header.template,
        mode: header.mode,
        arrival: header.arrival,
        counts: header.counts,
    };
    Ok((content, meta))
}

/// Buffers that are reused for all lines, and the last arrival.
#[derive(Default)]
struct Reader {
    fresh: Vec<u32>,
    output: Vec<u32>,
    last: Nanos,
}

impl Reader {
    fn line(&mut self, line: &[u8], builder: &mut TraceBuilder) -> Result<(), Fault> {
        self.fresh.clear();
        self.output.clear();
        let (mut id, mut session, mut arrival) = (None, None, None);
        let (mut turn, mut input, mut output, mut shared) = (0, None, None, 0);
        let (mut extra, mut service) = (ExtraKeys::default(), None);
        Scanner::new(line)?.object(|key, value| {
            match key {
                "request_id" => id = Some(value.name()?),
                "session_id" => session = Some(value.name()?),
                "turn" => turn = value.count()?,
                "arrival_time" => arrival = Some(value.seconds()?),
                "service_time" => service = Some(value.seconds()?),
                "input_length" => input = Some(value.count()?),
                "output_length" => output = Some(value.count()?),
                "shared" => shared = value.count()?,
                "tokens" | "hash_ids" => value.integers(&mut self.fresh)?,
                "output" => value.integers(&mut self.output)?,
                "lora" => extra.lora = value.optional_name()?.map(Into::into),
                "cache_salt" => extra.cache_salt = value.optional_name()?.map(Into::into),
                _ => value.skip()?,
            }
            Ok(())
        })?;
        let id = id.ok_or_else(|| Fault::missing("request_id"))?;
        let arrival = arrival.ok_or_else(|| Fault::missing("arrival_time"))?;
        if arrival < self.last {
            return Err(Fault::new(format!(
                "arrives at {arrival} s, before the line above it ({} s)",
                self.last
            ))
            .remedy("sort the lines by arrival_time"));
        }
        builder.push(NewRequest {
            id: &id,
            session: &session.ok_or_else(|| Fault::missing("session_id"))?,
            turn,
            arrival,
            input_length: input.ok_or_else(|| Fault::missing("input_length"))?,
            output_length: output.ok_or_else(|| Fault::missing("output_length"))?,
            shared,
            fresh: &self.fresh,
            output: &self.output,
            extra: Some(&extra),
        })?;
        if let Some(time) = service {
            builder.service_time(time);
        }
        self.last = arrival;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::native::*;
    use crate::trace::format::testing;
    use proptest::prelude::*;

    fn again(bytes: &[u8]) -> Trace {
        let read = testing::read(bytes, &ReadOptions::default()).expect("reads");
        assert_eq!(read.format, "native");
        read.trace
    }

    #[test]
    fn golden() {
        let written = testing::write(&testing::sample(), "native", &WriteOptions::default());
        let text = String::from_utf8(written.clone()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(r#"{"format":"replay-trace","version":1,"generator":"#));
        assert_eq!(
            lines[2],
            r#"{"request_id":"b_turn0","session_id":"b","turn":0,"arrival_time":1.500000001,"input_length":5,"output_length":1,"shared":0,"tokens":[1,2,9,9,9],"output":[7]}"#
        );
        let back = again(&written);
        assert_eq!(
            testing::prompts(&back),
            testing::prompts(&testing::sample())
        );
        assert_eq!(
            testing::write(&back, "native", &WriteOptions::default()),
            written
        );
    }

    #[test]
    fn service_times_stay() {
        let head = r#"{"format":"replay-trace","version":1,"content":"tokens"}"#;
        let line = |id: &str, time: &str| {
            format!(
                r#"{{"request_id":"{id}","session_id":"{id}","turn":0,"arrival_time":1.0,"input_length":1,"output_length":1,{time}"shared":0,"tokens":[1],"output":[3]}}"#
            )
        };
        let text = format!(
            "{head}\n{}\n{}\n",
            line("a", r#""service_time":2.000000001,"#),
            line("b", "")
        );
        let trace = again(text.as_bytes());
        let times: Vec<_> = trace.requests().iter().map(|r| r.service_time).collect();
        assert_eq!(times, [Some(Nanos(2_000_000_001)), None]);
        let written = testing::write(&trace, "native", &WriteOptions::default());
        assert!(String::from_utf8_lossy(&written).contains(r#""service_time":2.000000001,"#));
        let back = again(&written);
        assert_eq!(back.requests(), trace.requests());
        let bad = text.replace("2.000000001", "-1");
        testing::refuses(&[(&bad, "expected seconds from 0 to 18446744073, found -1")]);
    }

    #[test]
    fn bad_files() {
        let head = r#"{"format":"replay-trace","version":1,"content":"tokens"}"#;
        let line = r#"{"request_id":"a","session_id":"s","turn":0,"arrival_time":1.0,"input_length":2,"output_length":1,"shared":0,"tokens":[1,2],"output":[3]}"#;
        let with = |from: &str, to: &str| format!("{head}\n{}\n", line.replace(from, to));
        let cases = [
            (
                head.replace(":1,", ":2,"),
                "t:1: the trace has version 2, but this program reads version 1; ",
            ),
            (head.replace("tokens", "words"), "t:1: content `words`"),
            (head.replace("tokens", "hash_ids"), "block_size"),
            (
                with(",\"output\":[3]}", ""),
                "t:2: expected `,` or `}`, but the line ends",
            ),
            (
                with("[1,2]", "[1,\"2\"]"),
                "t:2: `tokens`: expected a whole number",
            ),
            (
                with("[1,2]", "[1]"),
                "input_length is 2, but there are 1 prompt tokens",
            ),
            (with("\"shared\":0", "\"shared\":1"), "shares 1 ids"),
            (with("1.0", "-1.0"), "expected seconds"),
            (with("\"request_id\":\"a\",", ""), "has no `request_id`"),
            (
                format!("{head}\n{line}\n{line}\n"),
                "request id `a` occurs twice",
            ),
            (
                format!("{head}\n{line}\n{}\n", line.replace("1.0", "0.5")),
                "sort the lines",
            ),
            (
                head.replace("}", ",\"counts\":{\"requests\":3}}"),
                "has 0 requests, its header says 3",
            ),
        ];
        let cases: Vec<_> = cases.iter().map(|(a, b)| (a.as_str(), *b)).collect();
        testing::refuses(&cases);
        let mut bytes = with("\"a\"", "\"?\"").into_bytes();
        let at = bytes.iter().position(|b| *b == b'?').expect("there");
        bytes[at] = 0xff;
        let error = testing::read(&bytes, &ReadOptions::default()).expect_err("bad");
        assert!(error.to_string().contains("t:2: invalid UTF-8"), "{error}");
    }

    proptest! {
        #[test]
        fn round_trip(
            turns in prop::collection::vec(
                (0usize..3, 0u64..5, any::<u32>(), prop::collection::vec(any::<u32>(), 0..6),
                 prop::collection::vec(any::<u32>(), 0..4), "[a-c\"\\\\é\u{1}]{0,3}"), 0..20),
            seed in any::<Option<u64>>(),
        ) {
            let mut builder = TraceBuilder::new(Content::Tokens);
            let mut joined = [0u32; 3];
            for (index, (session, arrival, shared, fresh, output, name)) in turns.iter().enumerate() {
                let shared = shared % (joined[*session] + 1);
                let arrival = Nanos(*arrival + index as u64 * 2_000_000_003);
                let extra = ExtraKeys { lora: None, cache_salt: Some(name.clone()) };
                joined[*session] = shared + (fresh.len() + output.len()) as u32;
                builder.push(NewRequest {
                    id: &format!("{name}{index}"), session: &format!("s{session}"), turn: index as u32,
                    arrival, input_length: shared + fresh.len() as u32, output_length: output.len() as u32,
                    shared, fresh, output, extra: Some(&extra),
                }).expect("fits");
            }
            let meta = TraceMeta { seed, ..TraceMeta::default() };
            let trace = builder.finish(meta).expect("is a trace");
            let bytes = testing::write(&trace, "native", &WriteOptions::default());
            let back = again(&bytes);
            prop_assert_eq!(testing::prompts(&back), testing::prompts(&trace));
            prop_assert_eq!(back.meta.seed, seed);
            prop_assert_eq!(testing::write(&back, "native", &WriteOptions::default()), bytes);
        }
    }
}
