//! The trace. A prompt that extends the previous turn refers to it and is never copied, so the size of a trace grows with
//! its distinct tokens, however many turns repeat them.

use crate::base::Identity;
use std::ops::Range;

use hashbrown::HashTable;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::Nanos;
use crate::base::error::{Error, Result};
use crate::base::limits::CLOCK;

/// Kind of content of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Token ids of prompts, and usually of outputs.
    Tokens,
    /// One id per block of `block_size` tokens; an id identifies the block and all blocks before it. The last block may be
    /// partial and has an id too.
    HashIds {
        /// Tokens per block.
        block_size: u32,
    },
    /// Lengths only: sufficient for load, not for prefix sharing.
    Lengths,
}

/// Origin of a trace: the header of the native format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TraceMeta {
    /// Program and version that generated it.
    pub generator: String,
    /// Seed of all random draws.
    pub seed: Option<u64>,
    /// Tokenizer, if the content is tokens.
    pub tokenizer: Option<Identity>,
    /// Chat template, if conversations were rendered.
    pub template: Option<Identity>,
    /// `single` or `multi`, if known.
    pub mode: Option<String>,
    /// Arrival process and its parameters.
    pub arrival: Map<String, Value>,
    /// Counts of what was read, skipped and written.
    pub counts: Map<String, Value>,
}

/// A range in the trace's array of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    start: usize,
    len: u32,
}

impl Span {
    /// Number of ids.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    fn range(self) -> Range<usize> {
        self.start..self.start + self.len as usize
    }
}

/// What, in addition to the tokens, must be equal for a block to be shared (vLLM's extra keys).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct ExtraKeys {
    /// LoRA adapter: part of the hash of every block.
    pub lora: Option<String>,
    /// Cache salt: part of the hash of the first block, and so isolates all.
    pub cache_salt: Option<String>,
}

/// Service time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service {
    /// Until its prompt is computed.
    pub prefill: Nanos,
    /// From then until its last output token.
    pub decode: Nanos,
}

impl Service {
    /// Service times of which only the total is known: tokens are spread evenly over it.
    pub fn decoding(decode: Nanos) -> Self {
        Self {
            prefill: Nanos::ZERO,
            decode,
        }
    }
}

/// One request. Lengths are in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Unique in the trace.
    pub id: Box<str>,
    /// Index into [`Trace::sessions`].
    pub session: u32,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// Arrival, as time since the start of the trace.
    pub arrival: Nanos,
    /// Prompt tokens.
    pub input_length: u32,
    /// Output tokens.
    pub output_length: u32,
    /// Number of leading ids of the prompt that equal those of the session's previous request, prompt and output joined.
    pub shared: u32,
    /// The remaining ids of the prompt.
    pub fresh: Span,
    /// The output's ids; empty if unknown.
    pub output: Span,
    /// Index into [`Trace::extra_keys`]; 0 is none.
    pub extra: u32,
    /// From admission to the last token, if the trace contains it.
    pub service_time: Option<Nanos>,
}

/// Requests in order of arrival, ties by session and turn.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Origin of the trace.
    pub meta: TraceMeta,
    content: Content,
    sessions: Vec<Box<str>>,
    requests: Vec<Request>,
    ids: Vec<u32>,
    extra_keys: Vec<ExtraKeys>,
}

impl Trace {
    /// Kind of content.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Ids of the sessions, in order of first occurrence.
    pub fn sessions(&self) -> &[Box<str>] {
        &self.sessions
    }

    /// Requests in order of arrival.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The ids of a span of this trace: tokens, or block ids counted from 0 in order of first use.
    pub fn ids(&self, span: Span) -> &[u32] {
        &self.ids[span.range()]
    }

    /// The extra keys of a request.
    pub fn extra_keys(&self, request: &Request) -> &ExtraKeys {
        &self.extra_keys[request.extra as usize]
    }

    /// All sets of extra keys in use; the first is the empty one.
    pub fn all_extra_keys(&self) -> &[ExtraKeys] {
        &self.extra_keys
    }

    /// Total prompt tokens.
    pub fn prompt_tokens(&self) -> u64 {
        self.requests
            .iter()
            .map(|r| u64::from(r.input_length))
            .sum()
    }

    /// Total output tokens.
    pub fn output_tokens(&self) -> u64 {
        self.requests
            .iter()
            .map(|r| u64::from(r.output_length))
            .sum()
    }

    /// The same requests with all arrival times multiplied by a factor; 0.5 doubles the rate.
    ///
    /// # Errors
    /// A last arrival beyond the clock.
    pub fn stretched(&self, factor: f64) -> Result<Self> {
        let mut trace = self.clone();
        let last = self
            .requests
            .last()
            .map_or(0.0, |last| last.arrival.as_secs_f64());
        CLOCK.check("the last arrival, in seconds,", last * factor)?;
        for request in &mut trace.requests {
            request.arrival = Nanos((request.arrival.0 as f64 * factor).round() as u64);
        }
        Ok(trace)
    }

    /// Requests per second between the first arrival and the last; `None` if there are fewer than two different times.
    pub fn rate(&self) -> Option<f64> {
        let seconds = self.span().as_secs_f64();
        (seconds > 0.0).then(|| (self.requests.len() - 1) as f64 / seconds)
    }

    /// Duration from the first arrival to the last.
    pub fn span(&self) -> Nanos {
        match (self.requests.first(), self.requests.last()) {
            (Some(first), Some(last)) => last.arrival - first.arrival,
            _ => Nanos::ZERO,
        }
    }
}

/// A request as passed in by a reader or generator.
#[derive(Debug, Clone, Copy)]
pub struct NewRequest<'a> {
    /// Unique in the trace.
    pub id: &'a str,
    /// The session's own id; requests with the same id follow each other.
    pub session: &'a str,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// Arrival, as time since the start of the trace.
    pub arrival: Nanos,
    /// Prompt tokens.
    pub input_length: u32,
    /// Output tokens.
    pub output_length: u32,
    /// See [`Request::shared`].
    pub shared: u32,
    /// The prompt's ids after the shared ones.
    pub fresh: &'a [u32],
    /// The output's ids, or none.
    pub output: &'a [u32],
    /// Extra keys of the block hash.
    pub extra: Option<&'a ExtraKeys>,
}

/// Assembles a [`Trace`].
///
/// Requests of one session must come in the order in which they refer to each other; sessions may interleave in any way.
#[derive(Debug)]
pub struct TraceBuilder {
    trace: Trace,
    session_index: HashTable<u32>,
    /// Per session: ids of the last request's prompt and output joined, which the next may share.
    joined: Vec<u64>,
}

impl TraceBuilder {
    /// An empty trace of the given kind.
    pub fn new(content: Content) -> Self {
        Self {
            trace: Trace {
                meta: TraceMeta::default(),
                content,
                sessions: Vec::new(),
                requests: Vec::new(),
                ids: Vec::new(),
                extra_keys: vec![ExtraKeys::default()],
            },
            session_index: HashTable::new(),
            joined: Vec::new(),
        }
    }

    /// Number of requests so far.
    pub fn len(&self) -> usize {
        self.trace.requests.len()
    }

    /// Whether there are no requests yet.
    pub fn is_empty(&self) -> bool {
        self.trace.requests.is_empty()
    }

    /// Adds a request.
    ///
    /// # Errors
    /// A phrase that states what is inconsistent (lengths and ids, or more shared ids than exist); the caller adds the
    /// location.
    pub fn push(&mut self, new: NewRequest<'_>) -> Result<(), String> {
        let session = self.session(new.session);
        self.check(session, &new)?;
        let fresh = self.store(new.fresh);
        let output = self.store(new.output);
        let extra = match new.extra {
            Some(keys) if *keys != ExtraKeys::default() => self.extra(keys),
            _ => 0,
        };
        let known_output = if new.output.is_empty() {
            0
        } else {
            new.output.len()
        };
        self.joined[session as usize] =
            u64::from(new.shared) + new.fresh.len() as u64 + known_output as u64;
        self.trace.requests.push(Request {
            id: new.id.into(),
            session,
            turn: new.turn,
            arrival: new.arrival,
            input_length: new.input_length,
            output_length: new.output_length,
            shared: new.shared,
            fresh,
            output,
            extra,
            service_time: None,
        });
        Ok(())
    }

    /// Sets the service time of the request that was added last.
    pub fn service_time(&mut self, time: Nanos) {
        if let Some(request) = self.trace.requests.last_mut() {
            request.service_time = Some(time);
        }
    }

    fn check(&self, session: u32, new: &NewRequest<'_>) -> Result<(), String> {
        let before = self.joined[session as usize];
        if u64::from(new.shared) > before {
            return Err(format!(
                "shares {} ids with the session's previous request, which has {before}",
                new.shared
            ));
        }
        let given = u64::from(new.shared) + new.fresh.len() as u64;
        let length = u64::from(new.input_length);
        match self.trace.content {
            Content::Tokens => {
                if given != length {
                    return Err(format!(
                        "input_length is {length}, but there are {given} prompt tokens"
                    ));
                }
                if !new.output.is_empty() && new.output.len() as u64 != u64::from(new.output_length)
                {
                    return Err(format!(
                        "output_length is {}, but there are {} output tokens",
                        new.output_length,
                        new.output.len()
                    ));
                }
            }
            Content::HashIds { block_size } => {
                let expected = length.div_ceil(u64::from(block_size));
                if given != expected {
                    return Err(format!(
                        "input_length {length} needs {expected} hash ids of {block_size} tokens each, found {given}"
                    ));
                }
            }
            Content::Lengths => {}
        }
        Ok(())
    }

    fn session(&mut self, name: &str) -> u32 {
        let hash = xxh3_64(name.as_bytes());
        let sessions = &mut self.trace.sessions;
        if let Some(index) = self
            .session_index
            .find(hash, |i| &*sessions[*i as usize] == name)
        {
            return *index;
        }
        let index = sessions.len() as u32;
        sessions.push(name.into());
        self.joined.push(0);
        self.session_index
            .insert_unique(hash, index, |i| xxh3_64(sessions[*i as usize].as_bytes()));
        index
    }

    fn extra(&mut self, keys: &ExtraKeys) -> u32 {
        let known = &mut self.trace.extra_keys;
        let index = known.iter().position(|k| k == keys).unwrap_or_else(|| {
            known.push(keys.clone());
            known.len() - 1
        });
        index as u32
    }

    fn store(&mut self, ids: &[u32]) -> Span {
        let start = self.trace.ids.len();
        self.trace.ids.extend_from_slice(ids);
        Span {
            start,
            len: ids.len() as u32,
        }
    }

    /// Sorts by arrival (ties: session, then turn, then order of insertion) and checks that ids are unique and that no
    /// request arrives before the request of its session to which it refers.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the request.
    pub fn finish(self, meta: TraceMeta) -> Result<Trace> {
        self.complete(meta, |request| {
            (request.arrival, request.session, request.turn)
        })
    }

    /// As [`Self::finish`], but ties keep the order of insertion: for files, whose order of lines must be reproducible.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_in_entry_order(self, meta: TraceMeta) -> Result<Trace> {
        self.complete(meta, |request| request.arrival)
    }

    fn complete<K: Ord>(mut self, meta: TraceMeta, key: impl Fn(&Request) -> K) -> Result<Trace> {
        self.trace.meta = meta;
        let trace = &mut self.trace;
        check_order(&trace.requests, trace.sessions.len(), &key)?;
        trace.requests.sort_by_key(key);
        let mut seen: HashTable<u32> = HashTable::with_capacity(trace.requests.len());
        let requests = &trace.requests;
        let hash = |i: &u32| xxh3_64(requests[*i as usize].id.as_bytes());
        for (index, request) in requests.iter().enumerate() {
            let index = index as u32;
            if seen
                .find(hash(&index), |i| requests[*i as usize].id == request.id)
                .is_some()
            {
                return Err(Error::usage(
                    format!("request id `{}` occurs twice", request.id),
                    "make the ids unique",
                ));
            }
            seen.insert_unique(hash(&index), index, hash);
        }
        Ok(self.trace)
    }
}

/// Checks that sorting put no request before the one of its session to which it refers.
fn check_order<K: Ord>(
    requests: &[Request],
    sessions: usize,
    key: impl Fn(&Request) -> K,
) -> Result<()> {
    const NONE: u32 = u32::MAX;
    if requests.is_sorted_by_key(&key) {
        return Ok(());
    }
    let mut order: Vec<u32> = (0..requests.len() as u32).collect();
    order.sort_by_key(|index| key(&requests[*index as usize]));
    let mut last = vec![NONE; sessions];
    let mut refers_to = vec![NONE; requests.len()];
    for (index, request) in requests.iter().enumerate() {
        let last = &mut last[request.session as usize];
        refers_to[index] = std::mem::replace(last, index as u32);
    }
    last.fill(NONE);
    for index in order {
        let request = &requests[index as usize];
        let before = std::mem::replace(&mut last[request.session as usize], index);
        if request.shared > 0 && before != refers_to[index as usize] {
            return Err(Error::usage(
                format!(
                    "request `{}` arrives before the previous turn of its session",
                    request.id
                ),
                "give the turns of a session increasing arrival times",
            ));
        }
    }
    Ok(())
}
