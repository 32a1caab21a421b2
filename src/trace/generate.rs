//! Generates a trace from encoded conversations: selects turns and assigns arrival times.

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::arrival::{ArrivalProcess, ServiceTime, ThinkTime};
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
#[derive(Debug, Clone)]
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

/// Collects sessions and assigns arrival times.
#[derive(Debug)]
pub struct Generator {
    options: GenerateOptions,
    sessions: Vec<(String, Option<Nanos>, SessionTurns)>,
    report: GenerateReport,
}

impl Generator {
    /// No sessions yet.
    ///
    /// # Errors
    /// A rate or delay that is not a valid number.
    pub fn new(options: GenerateOptions) -> Result<Self> {
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
    /// A session without a timestamp, if the arrival process uses timestamps.
    pub fn push(&mut self, id: &str, timestamp: Option<Nanos>, turns: SessionTurns) -> Result<()> {
        let part = &turns.report;
        self.report.dropped_overlong += part.dropped_overlong;
        self.report.truncated += part.truncated;
        self.report.ended_sessions += part.ended_sessions;
        if turns.is_empty() {
            self.report.empty_sessions += 1;
            return Ok(());
        }
        if self.options.arrival == ArrivalProcess::Timestamps && timestamp.is_none() {
            return Err(Error::usage(
                format!("conversation `{id}` has no timestamp"),
                "set another `arrival`, or use data whose records have a `timestamp`",
            ));
        }
        self.report.sessions += 1;
        self.report.requests += turns.turns.len() as u64;
        self.sessions.push((id.to_owned(), timestamp, turns));
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

    /// Assigns an arrival time to every request and builds the trace.
    ///
    /// # Errors
    /// There is no session.
    pub fn finish(mut self, mut meta: TraceMeta) -> Result<(Trace, GenerateReport)> {
        if self.sessions.is_empty() {
            return Err(Error::usage(
                "no conversation gives a request",
                "see how many records were skipped, or raise `max_model_len`",
            ));
        }
        let starts = self.session_starts();
        unique_names(&mut self.sessions);
        if self.options.arrival == ArrivalProcess::Timestamps {
            // Earlier sessions first, so that ties are in the order of the start times.
            let mut order: Vec<usize> = (0..self.sessions.len()).collect();
            order.sort_by_key(|index| starts[*index]);
            meta.arrival.insert(
                "first_timestamp".into(),
                json!(starts.iter().min().map(|t| t.as_secs_f64())),
            );
        }
        meta.seed = Some(self.options.seed);
        meta.mode = Some(self.options.mode.name().into());
        self.describe_arrival(&mut meta.arrival);
        self.describe_counts(&mut meta.counts);
        let origin = if self.options.arrival == ArrivalProcess::Timestamps {
            starts.iter().min().copied().unwrap_or_default()
        } else {
            Nanos::ZERO
        };
        let mut builder = TraceBuilder::new(Content::Tokens);
        let mut free_from = Nanos::ZERO;
        for (index, (name, _, session)) in self.sessions.drain(..).enumerate() {
            let mut random = stream(self.options.seed, "think", index as u64);
            let mut arrival = starts[index] - origin;
            if self.options.sequential {
                arrival = if self.options.rate_shape.is_steady() {
                    free_from + arrival
                } else {
                    self.options.rate_shape.after(free_from, arrival)
                };
            }
            let mut at = 0;
            for turn in &session.turns {
                let (fresh, output) = (turn.fresh as usize, turn.output as usize);
                let input_length = turn.shared + turn.fresh;
                builder
                    .push(NewRequest {
                        id: &format!("{name}_turn{}", turn.number),
                        session: &name,
                        turn: turn.number,
                        arrival,
                        input_length,
                        output_length: turn.output,
                        shared: turn.shared,
                        fresh: &session.ids[at..at + fresh],
                        output: &session.ids[at + fresh..at + fresh + output],
                        extra: None,
                    })
                    .map_err(|problem| {
                        Error::usage(
                            format!("session `{name}`: {problem}"),
                            "report this as a bug",
                        )
                    })?;
                at += fresh + output;
                arrival += self.options.service_time.of(input_length, turn.output);
                free_from = arrival;
                let think = self
                    .options
                    .think_time
                    .draw(self.options.turn_delay, &mut random);
                arrival += Nanos::from_secs_f64(think);
            }
        }
        let trace = builder.finish(meta)?;
        let last = trace.requests().last().map(|request| request.arrival);
        check_clock(last.unwrap_or_default())?;
        Ok((trace, self.report))
    }

    /// Start times of sessions; with `sequential`, the delays after the end of the previous session, at a constant rate.
    fn session_starts(&self) -> Vec<Nanos> {
        if self.options.arrival == ArrivalProcess::Timestamps {
            return self
                .sessions
                .iter()
                .map(|(_, timestamp, _)| timestamp.unwrap_or_default())
                .collect();
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
}

/// Makes session ids unique: real files may repeat an id, a trace may not.
fn unique_names(sessions: &mut [(String, Option<Nanos>, SessionTurns)]) {
    let mut order: Vec<usize> = (0..sessions.len()).collect();
    order.par_sort_by(|a, b| sessions[*a].0.cmp(&sessions[*b].0).then(a.cmp(b)));
    let taken: std::collections::HashSet<String> =
        sessions.iter().map(|session| session.0.clone()).collect();
    for group in order
        .chunk_by(|a, b| sessions[*a].0 == sessions[*b].0)
        .map(<[usize]>::to_vec)
        .collect::<Vec<_>>()
    {
        let mut number = 1;
        for index in &group[1..] {
            let name = loop {
                number += 1;
                let name = format!("{}#{number}", sessions[*index].0);
                if !taken.contains(&name) {
                    break name;
                }
            };
            sessions[*index].0 = name;
        }
    }
}
