//! Splitwise's own scheduler: prompt and token instances, and a mixed pool that borrows from both under load.

use super::super::instance::{Instance, Pool};
use super::super::request::Request;
use super::{Placement, least};

/// The pools; an instance that returns is appended to its pool.
#[derive(Debug)]
pub(super) struct MixedPool {
    prompt_limit: i64,
    prompts: Vec<usize>,
    mixed: Vec<usize>,
    tokens: Vec<usize>,
}

impl MixedPool {
    pub(super) fn new(prompt_limit: i64, prompts: Vec<usize>, tokens: Vec<usize>) -> Self {
        Self {
            prompt_limit,
            prompts,
            mixed: Vec::new(),
            tokens,
        }
    }

    pub(super) fn place(
        &mut self,
        request: &Request,
        instances: &mut [Instance],
    ) -> Option<Placement> {
        if (self.prompts.is_empty() || self.tokens.is_empty()) && self.mixed.is_empty() {
            return None;
        }
        let all = request.prompt_memory() + request.token_memory();
        let pending = |instance: &Instance| instance.sched_pending_tokens;
        let memory = |instance: &Instance| instance.sched_memory;

        // The least loaded instance of a pool, unless even that has a long queue or no memory.
        let for_prompt = |pool: &[usize]| {
            least(pool.iter().copied(), instances, pending).filter(|index| {
                let instance = &instances[*index];
                instance.pending.is_empty()
                    || instance.sched_pending_tokens + request.prompt <= self.prompt_limit
            })
        };
        let for_tokens = |pool: &[usize]| {
            least(pool.iter().copied(), instances, memory).filter(|index| {
                let instance = &instances[*index];
                instance.sched_memory + all < instance.max_memory
            })
        };
        let mut prompt = for_prompt(&self.prompts).or_else(|| for_prompt(&self.mixed));
        let mut token = for_tokens(&self.tokens).or_else(|| for_tokens(&self.mixed));

        if prompt.is_none() {
            prompt = least(self.tokens.iter().copied(), instances, pending);
            borrow(prompt, &mut self.tokens, &mut self.mixed, instances);
        }
        if token.is_none() {
            token = least(self.prompts.iter().copied(), instances, memory);
            borrow(token, &mut self.prompts, &mut self.mixed, instances);
        }
        let (prompt, token) = match (prompt, token) {
            (Some(prompt), Some(token)) => (prompt, token),
            _ => {
                let pools = [&self.prompts, &self.mixed, &self.tokens];
                let all = pools.into_iter().flatten().copied();
                let index = least(all, instances, pending)?;
                (index, index)
            }
        };

        if prompt == token {
            instances[prompt].sched_memory += all;
        } else {
            instances[prompt].sched_memory += request.prompt_memory();
            instances[token].sched_memory += all;
        }
        instances[prompt].sched_pending_tokens += request.prompt;
        instances[token].sched_pending_tokens += 1;
        Some(Placement {
            prompt,
            token,
            ships: prompt != token,
        })
    }

    /// Returns a mixed instance without requests to its own pool.
    pub(super) fn instance_is_free(&mut self, index: usize, instances: &mut [Instance]) {
        if !std::mem::take(&mut instances[index].mixed) {
            return;
        }
        self.mixed.retain(|other| *other != index);
        match instances[index].pool {
            Some(Pool::Prompt) => self.prompts.push(index),
            Some(Pool::Token) => self.tokens.push(index),
            None => {}
        }
    }
}

/// Moves an instance to the mixed pool.
fn borrow(
    index: Option<usize>,
    from: &mut Vec<usize>,
    mixed: &mut Vec<usize>,
    instances: &mut [Instance],
) {
    if let Some(index) = index {
        from.retain(|other| *other != index);
        mixed.push(index);
        instances[index].mixed = true;
    }
}
