//! State shared by the engines without physical blocks: which blocks are resident, and the accesses that a request
//! makes.

use super::super::eviction::{self, Eviction, EvictionContext, Use};
use super::super::optimal::{NEVER, NextUse};
use super::super::{BlockId, BlockTrace, Run};
use super::{Capacity, EngineOptions, UseOrder};
use crate::base::error::Result;
use crate::trace::Nanos;

/// The resident blocks.
pub(super) enum Content {
    /// Nothing is ever evicted.
    Unbounded { resident: Vec<bool>, count: u32 },
    /// An eviction policy decides which blocks stay.
    Bounded(Box<dyn Eviction>),
}

impl Content {
    /// Creates an empty cache.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for an unknown policy.
    pub(super) fn new(
        trace: &BlockTrace,
        capacity: Capacity,
        options: &EngineOptions,
    ) -> Result<Self> {
        Ok(match capacity {
            Capacity::Unbounded => Self::Unbounded {
                resident: vec![false; trace.distinct() as usize],
                count: 0,
            },
            Capacity::Blocks(capacity) => {
                let context = EvictionContext {
                    blocks: trace.distinct(),
                    capacity,
                    block_size: trace.block_size(),
                    seed: options.seed,
                };
                Self::Bounded(eviction::by_name(&options.policy, &context)?)
            }
        })
    }

    pub(super) fn contains(&self, block: BlockId) -> bool {
        match self {
            Self::Unbounded { resident, .. } => resident[block as usize],
            Self::Bounded(policy) => policy.contains(block),
        }
    }

    /// Advances the policy's clock to this time.
    pub(super) fn advance(&mut self, now: Nanos, evicted: &mut Vec<BlockId>) {
        if let Self::Bounded(policy) = self {
            policy.advance(now, evicted);
        }
    }

    /// Uses a block and returns whether it was resident.
    pub(super) fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        match self {
            Self::Unbounded { resident, count } => {
                let known = std::mem::replace(&mut resident[used.block as usize], true);
                *count += u32::from(!known);
                known
            }
            Self::Bounded(policy) => policy.access(used, evicted),
        }
    }

    pub(super) fn len(&self) -> u32 {
        match self {
            Self::Unbounded { count, .. } => *count,
            Self::Bounded(policy) => policy.len(),
        }
    }

    pub(super) fn steps(&self) -> u64 {
        match self {
            Self::Unbounded { .. } => 0,
            Self::Bounded(policy) => policy.steps(),
        }
    }
}

/// Produces the accesses of a request's blocks, in order, with the information that policies may use.
#[derive(Debug, Default)]
pub(super) struct Uses {
    order: UseOrder,
    cache_output: bool,
    /// For bounds such as Belady's, which use the time of the next access.
    future: Option<NextUse>,
    next: Vec<u32>,
}

impl Uses {
    pub(super) fn new(trace: &BlockTrace, options: &EngineOptions) -> Self {
        let cache_output = options.caches_output();
        let bounded = options.capacity != Capacity::Unbounded;
        let looks_ahead = bounded && eviction::looks_ahead(&options.policy);
        Self {
            order: options.order(),
            cache_output,
            future: looks_ahead.then(|| NextUse::new(trace, cache_output)),
            next: Vec::new(),
        }
    }

    /// Positions of this number of blocks in the order of their use.
    pub(super) fn positions(&self, blocks: usize) -> impl Iterator<Item = usize> + use<> {
        let order = self.order;
        (0..blocks).map(move |step| match order {
            UseOrder::HeadFirst => step,
            UseOrder::TailFirst => blocks - 1 - step,
        })
    }

    pub(super) fn each(&mut self, run: &Run<'_>, mut with: impl FnMut(&Use)) {
        let blocks = if self.cache_output {
            run.all
        } else {
            run.prompt
        };
        if let Some(future) = &self.future {
            future.of(run.index, blocks.len(), &mut self.next);
        }
        let next = self.future.as_ref().map(|_| &*self.next);
        for depth in self.positions(blocks.len()) {
            with(&Use {
                block: blocks[depth],
                parent: depth.checked_sub(1).map(|above| blocks[above]),
                depth: depth as u32,
                request: run.index as u32,
                session: run.facts.session,
                turns_left: run.facts.turns_left,
                priority: 0,
                now: run.facts.arrival,
                next: next.map_or(NEVER, |next| next[depth]),
            });
        }
    }
}
