//! Continuity of sessions: the fraction of the tokens that a turn could share with the turn before it and that the chat
//! template preserves.
//!
//! A prompt usually repeats the previous prompt and its reply. Templates that rewrite earlier turns (Qwen3 removes
//! earlier thinking, Mistral moves the system message to the last question) break that prefix, and so prevent reuse in
//! any cache.

use serde::{Deserialize, Serialize};

use crate::trace::{Content, Trace};

/// Tokens that follow-up prompts could and do share with the request before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Continuity {
    /// Number of follow-up requests.
    pub followups: u64,
    /// Prompt and output tokens of the requests before them, each sum limited to the length of the follow-up's prompt.
    pub possible_tokens: u64,
    /// Number of those tokens that the follow-up prompts begin with.
    pub shared_tokens: u64,
}

impl Continuity {
    /// Computes the figures of a trace of tokens; `None` for other traces.
    pub fn of(trace: &Trace) -> Option<Self> {
        if trace.content() != Content::Tokens {
            return None;
        }
        let mut before: Vec<Option<u64>> = vec![None; trace.sessions().len()];
        let mut sum = Self::default();
        for request in trace.requests() {
            let (input, output) = (u64::from(request.input_length), request.output.len() as u64);
            if let Some(joined) = before[request.session as usize].replace(input + output) {
                sum.followups += 1;
                sum.possible_tokens += joined.min(input);
                sum.shared_tokens += u64::from(request.shared);
            }
        }
        Some(sum)
    }

    /// Fraction of the possible tokens that is not shared; 0 if none are possible.
    pub fn lost(&self) -> f64 {
        super::analysis::ratio(
            self.possible_tokens.saturating_sub(self.shared_tokens),
            self.possible_tokens,
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::continuity::*;
    use crate::trace::{Nanos, NewRequest, TraceBuilder, TraceMeta};

    #[test]
    fn what_the_next_prompt_does_not_repeat_is_lost() {
        let mut builder = TraceBuilder::new(Content::Tokens);
        let mut push = |turn: u32, shared: u32, fresh: &[u32], output: &[u32]| {
            builder
                .push(NewRequest {
                    id: &format!("r{turn}"),
                    session: "s",
                    turn,
                    arrival: Nanos(u64::from(turn)),
                    input_length: shared + fresh.len() as u32,
                    output_length: output.len() as u32,
                    shared,
                    fresh,
                    output,
                    extra: None,
                })
                .expect("fits");
        };
        push(0, 0, &[1, 2, 3], &[4, 5]);
        // The prompt repeats the previous prompt, but not the two tokens of its reply.
        push(1, 3, &[9, 9, 9], &[]);
        let trace = builder.finish(TraceMeta::default()).expect("builds");
        let found = Continuity::of(&trace).expect("tokens");
        assert_eq!(
            (found.followups, found.possible_tokens, found.shared_tokens),
            (1, 5, 3)
        );
        assert!((found.lost() - 0.4).abs() < 1e-12);
    }
}
