//! Generates a trace from encoded conversations: selects turns and assigns arrival times.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::arrival::{ArrivalProcess, ServiceTime, ThinkTime};
use super::spool::{Spool, SpooledIds};
use super::{Content, Nanos, NewRequest, RateShape, Trace, TraceBuilder, TraceMeta};
use crate::base::error::{Error, Result};
use crate::base::limits::{CLOCK, RATE, SECONDS};
use crate::base::random::stream;

/// Which requests a conversation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first user message and the reply to it.
    Single,
    /// Every user message with a reply; the prompt contains the whole history.
    Multi,
}

impl Mode {
    /// Name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
        }
    }
}

/// Treatment of prompts longer than the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlong {
    /// They are left out.
    Drop,
    /// Only their last tokens are kept.
    Truncate,
    /// The session ends before them.
    EndSession,
}

/// The unit of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    /// Requests per second, on average over the trace.
    Request,
    /// Sessions per second.
    Session,
}

/// Options of the generator.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Which requests a conversation gives.
    pub mode: Mode,
    /// Arrival process of sessions.
    pub arrival: ArrivalProcess,
    /// Rate per second.
    pub rate: f64,
    /// Unit of the rate.
    pub rate_unit: RateUnit,
    /// Variation of the rate over time.
    pub rate_shape: RateShape,
    /// Mean think time in seconds.
    pub turn_delay: f64,
    /// Distribution of the think time.
    pub think_time: ThinkTime,
    /// Estimate of a request's service time.
    pub service_time: ServiceTime,
    /// A session starts only after the previous one has ended.
    pub sequential: bool,
    /// Longest prompt in tokens.
    pub max_model_len: Option<u32>,
    /// Treatment of longer prompts.
    pub overlong: Overlong,
    /// Seed of all random draws.
    pub seed: u64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Multi,
            arrival: ArrivalProcess::Poisson,
            rate: 2.0,
            rate_unit: RateUnit::Request,
            rate_shape: RateShape::steady(),
            turn_delay: 1.0,
            think_time: ThinkTime::Fixed,
            service_time: ServiceTime {
                prefill_ms: 0.0,
                decode_ms: 0.0,
                fixed: 0.0,
            },
            sequential: false,
            max_model_len: None,
            overlong: Overlong::Drop,
            seed: 0,
        }
    }
}

/// Counts of the generator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenerateReport {
    /// Sessions with at least one request.
    pub sessions: u64,
    /// Requests.
    pub requests: u64,
    /// Prompts left out because they are too long.
    pub dropped_overlong: u64,
    /// Prompts of which only the end was kept.
    pub truncated: u64,
    /// Sessions that ended early.
    pub ended_sessions: u64,
    /// Sessions without any remaining request.
    pub empty_sessions: u64,
}

/// One request of a session, before it has an arrival time.
#[derive(Debug, Clone, Copy)]
struct Turn {
    number: u32,
    shared: u32,
    fresh: u32,
    output: u32,
}

/// The requests of one session; `ids` contains their ids consecutively.
#[derive(Debug, Clone, Default)]
pub struct SessionTurns {
    turns: Vec<Turn>,
    ids: Vec<u32>,
    report: GenerateReport,
    /// Ids of the last prompt and output, joined, while turns are added.
    joined: Vec<u32>,
    stable: usize,
    ended: bool,
}

impl SessionTurns {
    /// Adds a turn: its whole prompt, of which at least `stable` leading ids equal those of the previous prompt.
    pub fn push(
        &mut self,
        number: u32,
        prompt: &[u32],
        stable: usize,
        output: &[u32],
        options: &GenerateOptions,
    ) {
        self.stable = self.stable.min(stable);
        if self.ended {
            return;
        }
        let mut prompt = prompt;
        if let Some(most) = options
            .max_model_len
            .filter(|most| prompt.len() > *most as usize)
        {
            match options.overlong {
                Overlong::Drop => {
                    self.report.dropped_overlong += 1;
                    return;
                }
                Overlong::EndSession => {
                    self.report.ended_sessions += 1;
                    self.ended = true;
                    return;
                }
                Overlong::Truncate => {
                    self.report.truncated += 1;
                    prompt = &prompt[prompt.len() - most as usize..];
                    self.stable = 0;
                }
            }
        }
        let known = self.stable.min(prompt.len()).min(self.joined.len());
        let more = self.joined[known..]
            .iter()
            .zip(&prompt[known..])
            .take_while(|(a, b)| a == b)
            .count();
        let shared = known + more;
        self.turns.push(Turn {
            number,
            shared: shared as u32,
            fresh: (prompt.len() - shared) as u32,
            output: output.len() as u32,
        });
        self.ids.extend_from_slice(&prompt[shared..]);
        self.ids.extend_from_slice(output);
        self.joined.truncate(shared);
        self.joined.extend_from_slice(&prompt[shared..]);
        self.joined.extend_from_slice(output);
        // The shared prefix of the next prompt is measured against this one; a truncated prompt has none, because its
        // positions differ.
        self.stable = if self.report.truncated > 0 {
            0
        } else {
            usize::MAX
        };
    }

    /// Ends the session: frees what only adding turns needs.
    pub fn close(&mut self) {
        self.joined = Vec::new();
        self.ids.shrink_to_fit();
    }

    /// Whether the session has a request.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

/// Rejects a trace that goes on beyond the clock, where times would be cut off.
fn check_clock(last: Nanos) -> Result<()> {
    match CLOCK.holds(last.as_secs_f64()) {
        true => Ok(()),
        false => Err(Error::usage(
            "the last request would arrive later than the clock goes, after more than 570 years",
            "raise `rate`, or lower `turn_delay`",
        )),
    }
}

/// One session in the generator: where its parts end; they begin where those of the session before end.
#[derive(Debug, Clone, Copy)]
struct Session {
    name_end: usize,
    turns_end: usize,
    ids_end: u64,
}

/// Collects sessions and assigns arrival times. For each session it keeps its name and about 100 bytes, for each request 32; the
/// ids are in memory or, for a trace that is only written, in a temporary file.
#[derive(Debug)]
pub struct Generator {
    options: GenerateOptions,
    sessions: Vec<Session>,
    /// Names of all sessions, one after the other.
    names: String,
    /// New names of sessions whose names occurred before.
    renamed: HashMap<usize, String>,
    /// Start times of sessions in the data, if they are used.
    timestamps: Vec<Nanos>,
    turns: Vec<Turn>,
    ids: Spool,
    report: GenerateReport,
}

/// A request with its arrival time: session and turn by their places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    arrival: Nanos,
    session: u32,
    turn: u32,
}

impl Generator {
    /// No sessions yet; ids are kept in `ids`.
    ///
    /// # Errors
    /// A rate or delay that is not a valid number.
    pub fn new(options: GenerateOptions, ids: Spool) -> Result<Self> {
        RATE.check("`rate`", options.rate)?;
        SECONDS.check("`turn_delay`", options.turn_delay)?;
        if options.arrival == ArrivalProcess::Timestamps && !options.rate_shape.is_steady() {
            return Err(Error::usage(
                format!(
                    "the rate shape {} cannot be applied to the timestamps of the data",
                    options.rate_shape.name()
                ),
                "set another `arrival`, or leave `rate_shape` out",
            ));
        }
        Ok(Self {
            options,
            sessions: Vec::new(),
            names: String::new(),
            renamed: HashMap::new(),
            timestamps: Vec::new(),
            turns: Vec::new(),
            ids,
            report: GenerateReport::default(),
        })
    }

    /// Options of the generator.
    pub fn options(&self) -> &GenerateOptions {
        &self.options
    }

    /// Adds a session; sessions start in the order in which they are added. A repeated name gets a number.
    ///
    /// # Errors
    /// A session without a timestamp, if the arrival process uses timestamps; a temporary file that cannot be written.
    pub fn push(&mut self, id: &str, timestamp: Option<Nanos>, turns: &SessionTurns) -> Result<()> {
        let part = &turns.report;
        self.report.dropped_overlong += part.dropped_overlong;
        self.report.truncated += part.truncated;
        self.report.ended_sessions += part.ended_sessions;
        if turns.is_empty() {
            self.report.empty_sessions += 1;
            return Ok(());
        }
        if self.options.arrival == ArrivalProcess::Timestamps {
            let Some(timestamp) = timestamp else {
                return Err(Error::usage(
                    format!("conversation `{id}` has no timestamp"),
                    "set another `arrival`, or use data whose records have a `timestamp`",
                ));
            };
            self.timestamps.push(timestamp);
        }
        self.report.sessions += 1;
        self.report.requests += turns.turns.len() as u64;
        self.names.push_str(id);
        self.turns.extend_from_slice(&turns.turns);
        self.ids.extend(&turns.ids)?;
        self.sessions.push(Session {
            name_end: self.names.len(),
            turns_end: self.turns.len(),
            ids_end: self.ids.len(),
        });
        Ok(())
    }

    /// Number of sessions so far.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are no sessions yet.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions per second.
    fn session_rate(&self) -> f64 {
        match self.options.rate_unit {
            RateUnit::Session => self.options.rate,
            RateUnit::Request => {
                self.options.rate * self.report.sessions as f64
                    / (self.report.requests as f64).max(1.0)
            }
        }
    }

    /// The session before this one, or the start.
    fn before(&self, session: usize) -> Session {
        match session.checked_sub(1) {
            Some(before) => self.sessions[before],
            None => Session {
                name_end: 0,
                turns_end: 0,
                ids_end: 0,
            },
        }
    }

    fn given_name(&self, session: usize) -> &str {
        &self.names[self.before(session).name_end..self.sessions[session].name_end]
    }

    pub(super) fn name(&self, session: usize) -> &str {
        match self.renamed.get(&session) {
            Some(name) => name,
            None => self.given_name(session),
        }
    }

    fn turns_of(&self, session: usize) -> &[Turn] {
        &self.turns[self.before(session).turns_end..self.sessions[session].turns_end]
    }

    /// Assigns an arrival time to every request and completes the description of the trace. The requests are in the order of
    /// their sessions and turns.
    fn plan(&mut self, meta: &mut TraceMeta) -> Result<Vec<Planned>> {
        if self.sessions.is_empty() {
            return Err(Error::usage(
                "no conversation gives a request",
                "see how many records were skipped, or raise `max_model_len`",
            ));
        }
        if u32::try_from(self.sessions.len().max(self.turns.len())).is_err() {
            return Err(Error::usage(
                format!("a trace of {} requests", self.turns.len()),
                "set `max_conversations`; a trace has at most 4,294,967,295 requests",
            ));
        }
        let starts = self.session_starts();
        self.renamed = self.repeated_names();
        let mut origin = Nanos::ZERO;
        if self.options.arrival == ArrivalProcess::Timestamps {
            origin = starts.iter().min().copied().unwrap_or_default();
            meta.arrival
                .insert("first_timestamp".into(), json!(origin.as_secs_f64()));
        }
        meta.seed = Some(self.options.seed);
        meta.mode = Some(self.options.mode.name().into());
        self.describe_arrival(&mut meta.arrival);
        self.describe_counts(&mut meta.counts);
        let mut planned = Vec::with_capacity(self.turns.len());
        let mut free_from = Nanos::ZERO;
        for (session, start) in starts.into_iter().enumerate() {
            let mut random = stream(self.options.seed, "think", session as u64);
            let mut arrival = start - origin;
            if self.options.sequential {
                arrival = if self.options.rate_shape.is_steady() {
                    free_from + arrival
                } else {
                    self.options.rate_shape.after(free_from, arrival)
                };
            }
            for turn in self.turns_of(session) {
                planned.push(Planned {
                    arrival,
                    session: session as u32,
                    turn: planned.len() as u32,
                });
                let input_length = turn.shared + turn.fresh;
                arrival += self.options.service_time.of(input_length, turn.output);
                free_from = arrival;
                let think = self
                    .options
                    .think_time
                    .draw(self.options.turn_delay, &mut random);
                arrival += Nanos::from_secs_f64(think);
            }
        }
        Ok(planned)
    }

    /// Assigns an arrival time to every request and builds the trace.
    ///
    /// # Errors
    /// There is no session; a temporary file that cannot be read.
    pub fn finish(mut self, mut meta: TraceMeta) -> Result<(Trace, GenerateReport)> {
        let planned = self.plan(&mut meta)?;
        let mut builder = TraceBuilder::new(Content::Tokens);
        let mut from = 0;
        for (session, requests) in planned.chunk_by(|a, b| a.session == b.session).enumerate() {
            let upto = self.sessions[session].ids_end;
            let ids = self.ids.read(from..upto)?;
            from = upto;
            let name = self.name(session);
            let mut at = 0;
            for (request, turn) in requests.iter().zip(self.turns_of(session)) {
                let (fresh, output) = (turn.fresh as usize, turn.output as usize);
                builder
                    .push(NewRequest {
                        id: &format!("{name}_turn{}", turn.number),
                        session: name,
                        turn: turn.number,
                        arrival: request.arrival,
                        input_length: turn.shared + turn.fresh,
                        output_length: turn.output,
                        shared: turn.shared,
                        fresh: &ids[at..at + fresh],
                        output: &ids[at + fresh..at + fresh + output],
                        extra: None,
                    })
                    .map_err(|problem| {
                        Error::usage(
                            format!("session `{name}`: {problem}"),
                            "report this as a bug",
                        )
                    })?;
                at += fresh + output;
            }
        }
        let trace = builder.finish(meta)?;
        let last = trace.requests().last().map(|request| request.arrival);
        check_clock(last.unwrap_or_default())?;
        Ok((trace, self.report))
    }

    /// Assigns an arrival time to every request and sorts them as [`Self::finish`] does, without building the trace.
    ///
    /// # Errors
    /// There is no session.
    pub fn arrange(mut self, mut meta: TraceMeta) -> Result<ArrangedTrace> {
        let mut planned = self.plan(&mut meta)?;
        planned.sort_by_key(|request| (request.arrival, request.session, request.turn));
        let mut at = 0;
        let place = |turn: &Turn| {
            let from = at;
            at += u64::from(turn.fresh) + u64::from(turn.output);
            from
        };
        let places = self.turns.iter().map(place).collect();
        Ok(ArrangedTrace {
            meta,
            planned,
            places,
            sessions: self,
        })
    }

    /// Start times of sessions; with `sequential`, the delays after the end of the previous session, at a constant rate.
    fn session_starts(&self) -> Vec<Nanos> {
        if self.options.arrival == ArrivalProcess::Timestamps {
            return self.timestamps.clone();
        }
        let rate = self.session_rate();
        let shape = &self.options.rate_shape;
        let mut random = stream(self.options.seed, "arrivals", 0);
        if !shape.is_steady() && !self.options.sequential {
            let mut due = 0.0;
            return (0..self.sessions.len())
                .map(|_| {
                    due += self.options.arrival.gap(1.0, &mut random);
                    Nanos::from_secs_f64(shape.inverse(due / rate))
                })
                .collect();
        }
        let mut now = Nanos::ZERO;
        (0..self.sessions.len())
            .map(|_| {
                let gap = Nanos::from_secs_f64(self.options.arrival.gap(rate, &mut random));
                now = if self.options.sequential {
                    gap
                } else {
                    now + gap
                };
                now
            })
            .collect()
    }

    fn describe_arrival(&self, into: &mut Map<String, Value>) {
        let options = &self.options;
        let unit = match options.rate_unit {
            RateUnit::Request => "request",
            RateUnit::Session => "session",
        };
        into.insert("process".into(), json!(options.arrival.name()));
        if let ArrivalProcess::Gamma { cv } = options.arrival {
            into.insert("cv".into(), json!(cv));
        }
        into.insert("rate".into(), json!(options.rate));
        into.insert("rate_unit".into(), json!(unit));
        if !options.rate_shape.is_steady() {
            into.insert("rate_shape".into(), json!(options.rate_shape.name()));
        }
        into.insert("turn_delay".into(), json!(options.turn_delay));
        into.insert("think_time".into(), json!(options.think_time.name()));
        into.insert(
            "service_time".into(),
            json!({"prefill_ms": options.service_time.prefill_ms, "decode_ms": options.service_time.decode_ms, "fixed_s": options.service_time.fixed}),
        );
        into.insert("sequential".into(), json!(options.sequential));
        into.insert(
            "random".into(),
            json!("rand_pcg::Pcg64, one stream per entity"),
        );
    }

    fn describe_counts(&self, into: &mut Map<String, Value>) {
        let report = &self.report;
        for (name, count) in [
            ("sessions", report.sessions),
            ("requests", report.requests),
            ("dropped_overlong", report.dropped_overlong),
            ("truncated", report.truncated),
            ("ended_sessions", report.ended_sessions),
        ] {
            into.insert(name.into(), json!(count));
        }
    }

    /// New names for sessions whose names occurred before, because real files may repeat an id and a trace may not.
    fn repeated_names(&self) -> HashMap<usize, String> {
        let hash = |session: usize| xxh3_64(self.given_name(session).as_bytes());
        let mut order: Vec<(u64, u32)> = (0..self.sessions.len())
            .into_par_iter()
            .map(|session| (hash(session), session as u32))
            .collect();
        order.par_sort_unstable();
        let mut repeated: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for group in order
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|all| all.len() > 1)
        {
            for (_, session) in group {
                let session = *session as usize;
                repeated
                    .entry(self.given_name(session))
                    .or_default()
                    .push(session);
            }
        }
        let is_taken = |name: &str| {
            let wanted = xxh3_64(name.as_bytes());
            let from = order.partition_point(|(hash, _)| *hash < wanted);
            let same = order[from..].iter().take_while(|(hash, _)| *hash == wanted);
            same.into_iter()
                .any(|(_, session)| self.given_name(*session as usize) == name)
        };
        let mut renamed = HashMap::new();
        for (given, sessions) in &repeated {
            let mut number = 1;
            for session in &sessions[1..] {
                let name = loop {
                    number += 1;
                    let name = format!("{given}#{number}");
                    if !is_taken(&name) {
                        break name;
                    }
                };
                renamed.insert(*session, name);
            }
        }
        renamed
    }
}

/// A trace whose requests have arrival times and an order, while their ids are still where the generator put them. It is written
/// without ever being in memory.
#[derive(Debug)]
pub struct ArrangedTrace {
    pub(super) meta: TraceMeta,
    /// Requests in order of arrival, ties by session and turn.
    pub(super) planned: Vec<Planned>,
    /// Where the ids of each turn begin.
    places: Vec<u64>,
    sessions: Generator,
}

/// One request of an [`ArrangedTrace`].
pub(super) struct ArrangedRequest<'a> {
    pub(super) session: &'a str,
    pub(super) turn: u32,
    pub(super) arrival: Nanos,
    pub(super) input_length: u32,
    pub(super) output_length: u32,
    pub(super) shared: u32,
    /// Where its ids are: those of the prompt after the shared ones, and those of the output.
    pub(super) fresh: Range<u64>,
    pub(super) output: Range<u64>,
}

impl ArrangedTrace {
    /// Counts of the generator.
    pub fn report(&self) -> &GenerateReport {
        &self.sessions.report
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.planned.len()
    }

    /// Whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Total prompt tokens.
    pub fn prompt_tokens(&self) -> u64 {
        let turns = self.sessions.turns.iter();
        turns.map(|turn| u64::from(turn.shared + turn.fresh)).sum()
    }

    /// Total output tokens.
    pub fn output_tokens(&self) -> u64 {
        let turns = self.sessions.turns.iter();
        turns.map(|turn| u64::from(turn.output)).sum()
    }

    /// Duration from the first arrival to the last.
    pub fn span(&self) -> Nanos {
        match (self.planned.first(), self.planned.last()) {
            (Some(first), Some(last)) => last.arrival - first.arrival,
            _ => Nanos::ZERO,
        }
    }

    pub(super) fn request(&self, planned: &Planned) -> ArrangedRequest<'_> {
        let turn = self.sessions.turns[planned.turn as usize];
        let from = self.places[planned.turn as usize];
        let middle = from + u64::from(turn.fresh);
        ArrangedRequest {
            session: self.sessions.name(planned.session as usize),
            turn: turn.number,
            arrival: planned.arrival,
            input_length: turn.shared + turn.fresh,
            output_length: turn.output,
            shared: turn.shared,
            fresh: from..middle,
            output: middle..middle + u64::from(turn.output),
        }
    }

    /// Reads the ids of some requests.
    ///
    /// # Errors
    /// A temporary file that cannot be read.
    pub(super) fn ids(&self, planned: &[Planned]) -> Result<SpooledIds> {
        let range = |planned: &Planned| {
            let request = self.request(planned);
            request.fresh.start..request.output.end
        };
        self.sessions.ids.read_all(planned.iter().map(range))
    }
}
