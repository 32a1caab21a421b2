//! Schedulers that put both tasks of a request on one instance.

use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::super::instance::Instance;
use super::super::request::Request;
use super::{Placement, least};
use crate::base::random::stream;

/// Rule by which the instance is chosen.
#[derive(Debug)]
pub(super) enum Single {
    /// Drawn uniformly. The reference draws without a seed, so its choices cannot be reproduced; these depend on the
    /// seed.
    Random(Box<Pcg64>),
    /// Round robin.
    RoundRobin { next: usize },
    /// The instance with the fewest requests.
    ShortestQueue,
    /// The instance with the fewest pending tokens.
    FewestTokens,
}

impl Single {
    pub(super) fn random(seed: u64) -> Self {
        Self::Random(Box::new(stream(seed, "splitwise-random-scheduler", 0)))
    }

    pub(super) fn place(
        &mut self,
        request: &Request,
        instances: &mut [Instance],
    ) -> Option<Placement> {
        let all = 0..instances.len();
        let index = match self {
            _ if all.is_empty() => None,
            Self::Random(random) => Some(random.random_range(all)),
            Self::RoundRobin { next } => {
                let index = *next;
                *next = (index + 1) % instances.len();
                Some(index)
            }
            Self::ShortestQueue => least(all, instances, |instance| instance.requests.len()),
            Self::FewestTokens => {
                let index = least(all, instances, |instance| instance.sched_pending_tokens)?;
                instances[index].sched_pending_tokens += request.prompt + 1;
                Some(index)
            }
        }?;
        Some(Placement {
            prompt: index,
            token: index,
            ships: false,
        })
    }
}
