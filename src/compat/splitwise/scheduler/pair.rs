//! The prompt on a prompt instance, the tokens on a token instance, the KV cache always shipped.

use super::super::instance::Instance;
use super::{Placement, least};

/// Which instance of each pool.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// In turn.
    RoundRobin,
    /// With the fewest requests.
    ShortestQueue,
    /// With the fewest pending tokens. Completions are counted and arrivals are not, in the reference: the instance that
    /// has completed most gets everything.
    FewestTokens,
}

/// Schedules prompts and tokens on separate instances; the KV cache is always transferred.
#[derive(Debug)]
pub(super) struct Pair {
    choice: Choice,
    prompts: Vec<usize>,
    tokens: Vec<usize>,
    next_prompt: usize,
    next_token: usize,
}

impl Pair {
    pub(super) fn new(choice: Choice, prompts: Vec<usize>, tokens: Vec<usize>) -> Self {
        Self {
            choice,
            prompts,
            tokens,
            next_prompt: 0,
            next_token: 0,
        }
    }

    pub(super) fn place(&mut self, instances: &[Instance]) -> Option<Placement> {
        let pick = |pool: &[usize], next: &mut usize| {
            let all = pool.iter().copied();
            match self.choice {
                Choice::RoundRobin => {
                    let index = pool.get(*next).copied();
                    *next = (*next + 1) % pool.len().max(1);
                    index
                }
                Choice::ShortestQueue => least(all, instances, |instance| instance.requests.len()),
                Choice::FewestTokens => {
                    least(all, instances, |instance| instance.sched_pending_tokens)
                }
            }
        };
        Some(Placement {
            prompt: pick(&self.prompts, &mut self.next_prompt)?,
            token: pick(&self.tokens, &mut self.next_token)?,
            ships: true,
        })
    }
}
