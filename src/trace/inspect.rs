//! Summary of a trace: the library part of `replay inspect`.

use crate::base::Distribution;

use super::format::ReadTrace;
use super::{Content, Request, Trace};

/// Summary of a trace. Lengths are in tokens, rates per second of trace time.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Name of the file's format.
    pub format: String,
    /// `tokens`, `hash_ids` or `lengths`.
    pub content: &'static str,
    /// Tokens per block of a trace of hash ids.
    pub block_size: Option<u32>,
    /// Number of requests.
    pub requests: u64,
    /// Number of sessions.
    pub sessions: u64,
    /// Requests per session.
    pub turns_per_session: Distribution,
    /// Prompt tokens of all requests.
    pub input_tokens: u64,
    /// Output tokens of all requests.
    pub output_tokens: u64,
    /// Prompt tokens per request.
    pub input_length: Distribution,
    /// Output tokens per request.
    pub output_length: Distribution,
    /// Duration from the first arrival to the last.
    pub span_seconds: f64,
    /// Requests per second; `None` if all arrive at the same time.
    pub request_rate: Option<f64>,
    /// Sessions per second.
    pub session_rate: Option<f64>,
    /// Prompt tokens per second.
    pub input_token_rate: Option<f64>,
    /// Output tokens per second.
    pub output_token_rate: Option<f64>,
    /// Requests that failed on the traced system and are left out.
    pub failures_left_out: u64,
    /// Requests without a prompt token.
    pub requests_without_prompt: u64,
    /// Requests without an output token, or with an unknown output length.
    pub requests_without_output: u64,
    /// Lines that could not be read.
    pub broken_lines: u64,
    /// One-based numbers of the first few of them.
    pub first_broken_lines: Vec<u64>,
    /// Problem of the first of them.
    pub first_problem: Option<String>,
}

impl Summary {
    /// Summarises a trace and the counts of its reader.
    pub fn new(read: &ReadTrace) -> Self {
        let trace = &read.trace;
        let (content, block_size) = match trace.content() {
            Content::Tokens => ("tokens", None),
            Content::HashIds { block_size } => ("hash_ids", Some(block_size)),
            Content::Lengths => ("lengths", None),
        };
        let mut turns = vec![0.0; trace.sessions().len()];
        for request in trace.requests() {
            turns[request.session as usize] += 1.0;
        }
        let requests = trace.requests().len() as u64;
        let sessions = trace.sessions().len() as u64;
        let (input_tokens, output_tokens) = (trace.prompt_tokens(), trace.output_tokens());
        let span_seconds = trace.span().as_secs_f64();
        let rate = |count: u64| (span_seconds > 0.0).then(|| count as f64 / span_seconds);
        Self {
            format: read.format.to_owned(),
            content,
            block_size,
            requests,
            sessions,
            turns_per_session: Distribution::from_values(&mut turns),
            input_tokens,
            output_tokens,
            input_length: lengths(trace, |request| request.input_length),
            output_length: lengths(trace, |request| request.output_length),
            span_seconds,
            request_rate: rate(requests),
            session_rate: rate(sessions),
            input_token_rate: rate(input_tokens),
            output_token_rate: rate(output_tokens),
            failures_left_out: read.report.failures,
            requests_without_prompt: without(trace, |request| request.input_length),
            requests_without_output: without(trace, |request| request.output_length),
            broken_lines: read.report.broken,
            first_broken_lines: read.report.broken_lines.clone(),
            first_problem: read.report.first_problem.clone(),
        }
    }
}

/// Number of requests whose length is 0.
fn without(trace: &Trace, length: impl Fn(&Request) -> u32) -> u64 {
    trace.requests().iter().filter(|r| length(r) == 0).count() as u64
}

fn lengths(trace: &Trace, length: impl Fn(&Request) -> u32) -> Distribution {
    let mut values: Vec<f64> = trace
        .requests()
        .iter()
        .map(|r| f64::from(length(r)))
        .collect();
    Distribution::from_values(&mut values)
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;
    use crate::trace::inspect::*;

    #[test]
    fn of_a_small_trace() {
        let read = ReadTrace {
            trace: testing::sample(),
            format: "native",
            report: Default::default(),
        };
        let summary = Summary::new(&read);
        assert_eq!((summary.requests, summary.sessions), (3, 2));
        assert_eq!((summary.input_tokens, summary.output_tokens), (14, 4));
        assert_eq!(summary.turns_per_session.mean, Some(1.5));
        assert_eq!(summary.span_seconds, 2.0);
        assert_eq!(summary.input_token_rate, Some(7.0));
    }
}
