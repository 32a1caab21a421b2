//! Schedulers that put the prompt on a prompt instance and the tokens on a token instance, and always transfer the KV
//! cache.

use super::super::instance::Instance;
use super::{Placement, least};

/// Rule by which an instance of each pool is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// Round robin.
    RoundRobin,
    /// The instance with the fewest requests.
    ShortestQueue,
    /// The instance with the fewest pending tokens. The reference subtracts completions and does not add arrivals, so
    /// the instance that has completed most receives every request.
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
