//! Numbers of requests that arrived and finished, their tokens, and rates per second.

use serde::Serialize;

use super::rows::RequestRow;
use crate::sim::Outcome;

/// Numbers of requests that arrived and did not finish, by reason; and of requests that never arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Unfinished {
    /// All requests that arrived and did not finish.
    pub total: u64,
    /// Requests that need more memory than an instance has.
    pub too_large: u64,
    /// Requests that no instance accepted.
    pub no_instance: u64,
    /// Requests that were in flight when the simulation ended.
    pub end_of_time: u64,
    /// Requests whose arrival is after the end of the simulation; they do not count as arrived.
    pub not_arrived: u64,
}

impl Unfinished {
    /// Counts the outcomes of requests.
    pub fn of(requests: &[RequestRow]) -> Self {
        let count = |outcome| requests.iter().filter(|r| r.outcome == outcome).count() as u64;
        let (too_large, no_instance, end_of_time) = (
            count(Outcome::TooLarge),
            count(Outcome::NoInstance),
            count(Outcome::EndOfTime),
        );
        Self {
            total: too_large + no_instance + end_of_time,
            too_large,
            no_instance,
            end_of_time,
            not_arrived: count(Outcome::NotArrived),
        }
    }
}

/// Number of requests that arrived: the base of every ratio over requests.
pub fn arrived(requests: &[RequestRow]) -> u64 {
    requests.iter().filter(|r| r.has_arrived()).count() as u64
}

/// Number of requests that finished: all their tokens were generated.
pub fn finished(requests: &[RequestRow]) -> u64 {
    requests.iter().filter(|r| r.is_finished()).count() as u64
}

/// Token counts of finished requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Prompt tokens.
    pub prompt: u64,
    /// Prompt tokens found in a prefix cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
}

impl Tokens {
    /// Adds up the tokens of finished requests.
    pub fn of(requests: &[RequestRow]) -> Self {
        let sum = |of: fn(&RequestRow) -> u32| {
            let finished = requests.iter().filter(|r| r.is_finished());
            finished.map(|r| u64::from(of(r))).sum()
        };
        Self {
            prompt: sum(|r| r.prompt),
            cached: sum(|r| r.cached),
            output: sum(|r| r.output),
        }
    }

    /// Cached prompt tokens / all prompt tokens; `None` without prompt tokens.
    pub fn hit_ratio(self) -> Option<f64> {
        ratio(self.cached, self.prompt)
    }
}

/// `part / whole`; `None` if `whole` is 0.
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Requests per second over a simulation that ended after `seconds`; `None` for a duration of 0.
pub fn per_second(requests: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| requests as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::requests::*;
    use crate::metrics::serving::rows::testing::{finished as done, unfinished};

    #[test]
    fn requests_are_counted_by_outcome() {
        let requests = [
            done(0.1, None, 1.0),
            done(0.1, None, 2.0),
            unfinished(Outcome::TooLarge),
            unfinished(Outcome::NoInstance),
            unfinished(Outcome::EndOfTime),
            unfinished(Outcome::EndOfTime),
            unfinished(Outcome::NotArrived),
        ];
        // 2 finished + 1 + 1 + 2 unfinished = 6 arrived; one never did.
        assert_eq!((arrived(&requests), finished(&requests)), (6, 2));
        assert_eq!(
            Unfinished::of(&requests),
            Unfinished {
                total: 4,
                too_large: 1,
                no_instance: 1,
                end_of_time: 2,
                not_arrived: 1,
            }
        );
        // 2 requests in 8 s.
        assert_eq!(per_second(finished(&requests), 8.0), Some(0.25));
        assert_eq!(per_second(0, 0.0), None);
    }

    #[test]
    fn tokens_are_those_of_finished_requests() {
        let mut requests = [
            done(0.1, None, 1.0),
            done(0.1, None, 1.0),
            unfinished(Outcome::EndOfTime),
        ];
        requests[0].cached = 48;
        requests[2].prompt = 1000;
        // 100 + 100 prompt tokens, 48 of them cached: 0.24. 10 + 10 output tokens.
        let tokens = Tokens::of(&requests);
        assert_eq!((tokens.prompt, tokens.cached, tokens.output), (200, 48, 20));
        assert_eq!(tokens.hit_ratio(), Some(0.24));
        assert_eq!(Tokens::of(&requests[2..]).hit_ratio(), None);
    }
}
