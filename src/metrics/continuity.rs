//! How much of what a turn could share with the one before it the rendering keeps.
//!
//! A next prompt mostly repeats the previous prompt and its reply. Templates that rewrite earlier turns (Qwen3 drops
//! earlier thinking, Mistral moves the system message to the last question) break that prefix, and so lose reuse that no
//! cache can win back.

use serde::{Deserialize, Serialize};

use crate::trace::{Content, Trace};

/// Tokens that follow-up prompts could and do share with the request before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Continuity {
    /// Follow-up requests.
    pub followups: u64,
    /// Prompt and output tokens of the requests before them, as far as the prompts are long enough.
    pub possible_tokens: u64,
    /// Those that the prompts begin with.
    pub shared_tokens: u64,
}

impl Continuity {
    /// Of a trace of tokens; `None` where that cannot be told.
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

    /// The part of the possible tokens that is lost; 0 of none.
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
        // Repeats the prompt, but not the two tokens of the reply.
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
